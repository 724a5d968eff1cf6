//! Panels of lines with bands: what `reserve_rate` and `low_resource` have in common.

use anyhow::Result;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::style::{self, Pen};
use super::{Area, drawing};

/// Panels in a grid, one legend below all of them.
pub struct Panels {
    pub panels: Vec<Panel>,
    pub x_label: String,
    /// Where the x axis is labelled, the same in every panel.
    pub x_ticks: Vec<(f64, String)>,
    pub legend: Vec<Legend>,
}

pub struct Panel {
    pub title: String,
    pub y_label: String,
    pub lines: Vec<Line>,
    /// Horizontal lines across the panel.
    pub levels: Vec<Level>,
}

pub struct Level {
    /// Which line, for the colour.
    pub line: usize,
    pub at: Point,
}

pub struct Line {
    /// Which line, for colour and marker: the same number in every figure.
    pub line: usize,
    /// By x, ascending.
    pub points: Vec<Point>,
}

/// y and spread in points.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    pub x: f64,
    pub y: f64,
    pub spread: Option<f64>,
}

pub enum Legend {
    Line { line: usize, name: String },
    Level { line: usize, name: String },
}

const PANEL: (i32, i32) = (370, 290);
const ROW: i32 = 24;
const SWATCH: i32 = 44;
const GAP: i32 = 26;
const MARGIN: i32 = 14;

impl Panels {
    fn columns(&self) -> i32 {
        match self.panels.len() {
            1 => 1,
            2 | 4 => 2,
            _ => 3,
        }
    }

    /// Wide enough for the legend's x label too when there is one panel only.
    fn panel(&self) -> (i32, i32) {
        if self.panels.len() == 1 { (620, 400) } else { PANEL }
    }

    fn width(&self) -> i32 {
        self.columns() * self.panel().0 + 2 * MARGIN
    }

    fn rows(&self) -> i32 {
        (self.panels.len() as i32 + self.columns() - 1) / self.columns()
    }

    pub fn size(&self) -> (u32, u32) {
        let legend = self.legend_places().last().map_or(0, |(_, y)| y + ROW);
        (self.width() as u32, (self.rows() * self.panel().1 + ROW + legend + 2 * MARGIN) as u32)
    }

    /// Where each entry of the legend begins, at scale 1: it flows like words in a paragraph.
    fn legend_places(&self) -> Vec<(i32, i32)> {
        let (mut x, mut y) = (0, 0);
        let room = self.width() - 2 * MARGIN;
        let mut places = Vec::new();
        for entry in &self.legend {
            let wide = SWATCH + style::width(&self.legend_text(entry)) + GAP;
            if x > 0 && x + wide - GAP > room {
                (x, y) = (0, y + ROW);
            }
            places.push((x, y));
            x += wide;
        }
        places
    }

    fn legend_text(&self, entry: &Legend) -> String {
        let (Legend::Line { name, .. } | Legend::Level { name, .. }) = entry;
        style::fitted(name, self.width() - 2 * MARGIN - SWATCH, false)
    }

    pub fn draw<B: DrawingBackend>(&self, on: &Area<B>, pen: Pen) -> Result<()> {
        let (wide, high) = self.panel();
        for (i, panel) in self.panels.iter().enumerate() {
            let (column, row) = (i as i32 % self.columns(), i as i32 / self.columns());
            let (left, top) = (MARGIN + column * wide, MARGIN + row * high);
            let area = on.clone().shrink((pen.px(left), pen.px(top)), (pen.px(wide), pen.px(high)));
            self.draw_panel(panel, &area, pen)?;
        }
        let below = MARGIN + self.rows() * high;
        let middle = pen.small().pos(Pos::new(HPos::Center, VPos::Center));
        on.draw(&Text::new(self.x_label.clone(), (pen.px(self.width() / 2), pen.px(below + ROW / 2 - 4)), middle))
            .map_err(drawing)?;
        let top = below + ROW + ROW / 2;
        for (entry, (x, y)) in self.legend.iter().zip(self.legend_places()) {
            self.draw_legend(entry, (MARGIN + x, top + y), on, pen)?;
        }
        Ok(())
    }

    fn draw_legend<B: DrawingBackend>(&self, entry: &Legend, (x, y): (i32, i32), on: &Area<B>, pen: Pen) -> Result<()> {
        let (x, y, wide) = (pen.px(x), pen.px(y), pen.px(SWATCH - 10));
        let ends = vec![(x, y), (x + wide, y)];
        match entry {
            Legend::Line { line, .. } => {
                on.draw(&PathElement::new(ends, pen.line(style::colour(*line)))).map_err(drawing)?;
                mark(on, (x + wide / 2, y), *line, pen)?;
            }
            Legend::Level { line, .. } => {
                let dashes = DashedPathElement::new(ends, pen.px(7), pen.px(5), pen.line(style::colour(*line)));
                on.draw(&dashes).map_err(drawing)?;
            }
        }
        let beside = pen.small().pos(Pos::new(HPos::Left, VPos::Center));
        on.draw(&Text::new(self.legend_text(entry), (x + pen.px(SWATCH - 4), y), beside)).map_err(drawing)
    }

    fn draw_panel<B: DrawingBackend>(&self, panel: &Panel, area: &Area<B>, pen: Pen) -> Result<()> {
        let (wide, high) = self.panel();
        let (left, right, top, bottom) = (64, 14, 30, 34);
        let (x_low, x_high) = self.x_range();
        let (y_low, y_high) = panel.y_range();
        let inner = (wide - left - right, high - top - bottom);
        let place = |x: f64, y: f64| -> (i32, i32) {
            let across = (x - x_low) / (x_high - x_low);
            let up = (y - y_low) / (y_high - y_low);
            let scale = f64::from(pen.scale);
            let x = f64::from(left) + across * f64::from(inner.0);
            let y = f64::from(top + inner.1) - up * f64::from(inner.1);
            ((x * scale).round() as i32, (y * scale).round() as i32)
        };
        let (x0, y0) = place(x_low, y_low);
        let (x1, y1) = place(x_high, y_high);

        let title = pen.title().pos(Pos::new(HPos::Left, VPos::Center));
        let name = style::fitted(&panel.title, wide - left, true);
        area.draw(&Text::new(name, (x0, pen.px(top / 2)), title)).map_err(drawing)?;
        let (ticks, digits) = style::ticks(y_low, y_high, if high > 300 { 7 } else { 5 });
        for tick in ticks {
            let (_, y) = place(x_low, tick);
            area.draw(&PathElement::new(vec![(x0, y), (x1, y)], pen.hair(style::FAINT))).map_err(drawing)?;
            let beside = pen.small().pos(Pos::new(HPos::Right, VPos::Center));
            area.draw(&Text::new(format!("{tick:.digits$}"), (x0 - pen.px(7), y), beside)).map_err(drawing)?;
        }
        let mut free_from = i32::MIN;
        for (x, name) in &self.x_ticks {
            let (x, _) = place(*x, y_low);
            area.draw(&PathElement::new(vec![(x, y0), (x, y0 + pen.px(5))], pen.hair(style::AXIS))).map_err(drawing)?;
            let half = pen.px(style::width(name)) / 2;
            // A label that would touch the one before is left to its tick.
            if x - half > free_from {
                let under = pen.small().pos(Pos::new(HPos::Center, VPos::Top));
                area.draw(&Text::new(name.clone(), (x, y0 + pen.px(8)), under)).map_err(drawing)?;
                free_from = x + half + pen.px(5);
            }
        }
        area.draw(&PathElement::new(vec![(x0, y1), (x0, y0), (x1, y0)], pen.hair(style::AXIS))).map_err(drawing)?;
        let upright = pen.small().transform(FontTransform::Rotate270).pos(Pos::new(HPos::Center, VPos::Center));
        let label = style::fitted(&panel.y_label, inner.1 + top, false);
        area.draw(&Text::new(label, (pen.px(11), (y0 + y1) / 2), upright)).map_err(drawing)?;

        for Level { line, at: level } in &panel.levels {
            let colour = style::colour(*line);
            let ends = |y: f64| vec![place(x_low, y), place(x_high, y)];
            if let Some(spread) = level.spread {
                let (above, below) = (place(x_low, level.y + spread), place(x_high, level.y - spread));
                area.draw(&Rectangle::new([above, below], colour.mix(0.13).filled())).map_err(drawing)?;
            }
            let dashes = DashedPathElement::new(ends(level.y), pen.px(7), pen.px(5), pen.line(colour));
            area.draw(&dashes).map_err(drawing)?;
        }
        for line in &panel.lines {
            let colour = style::colour(line.line);
            let spread: Vec<&Point> = line.points.iter().filter(|p| p.spread.is_some()).collect();
            if spread.len() > 1 {
                let up = spread.iter().map(|p| place(p.x, p.y + p.spread.unwrap_or(0.0)));
                let down = spread.iter().rev().map(|p| place(p.x, p.y - p.spread.unwrap_or(0.0)));
                let outline: Vec<_> = up.chain(down).collect();
                area.draw(&Polygon::new(outline, colour.mix(0.16).filled())).map_err(drawing)?;
            } else if let [only] = spread[..] {
                let spread = only.spread.unwrap_or(0.0);
                let ends = vec![place(only.x, only.y - spread), place(only.x, only.y + spread)];
                area.draw(&PathElement::new(ends, pen.line(colour))).map_err(drawing)?;
            }
        }
        for line in &panel.lines {
            let places: Vec<_> = line.points.iter().map(|p| place(p.x, p.y)).collect();
            area.draw(&PathElement::new(places.clone(), pen.line(style::colour(line.line)))).map_err(drawing)?;
            for place in places {
                mark(area, place, line.line, pen)?;
            }
        }
        Ok(())
    }

    fn x_range(&self) -> (f64, f64) {
        padded(self.x_ticks.iter().map(|(x, _)| *x), 0.06)
    }
}

impl Panel {
    fn y_range(&self) -> (f64, f64) {
        let points = self.lines.iter().flat_map(|l| &l.points).chain(self.levels.iter().map(|l| &l.at));
        padded(points.flat_map(|p| [p.y - p.spread.unwrap_or(0.0), p.y + p.spread.unwrap_or(0.0)]), 0.08)
    }
}

/// The range of the values with this share of room at both ends; one value gets a unit of room.
fn padded(values: impl Iterator<Item = f64>, share: f64) -> (f64, f64) {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    if !low.is_finite() || !high.is_finite() {
        return (0.0, 1.0);
    }
    let room = if high > low { (high - low) * share } else { low.abs().max(1.0) * 0.1 };
    (low - room, high + room)
}

/// The marker of the i-th line: a shape of its own beside the colour.
fn mark<B: DrawingBackend>(on: &Area<B>, (x, y): (i32, i32), line: usize, pen: Pen) -> Result<()> {
    let (r, fill) = (pen.px(5), style::colour(line).filled());
    let shape =
        |corners: &[(i32, i32)]| Polygon::new(corners.iter().map(|(a, b)| (x + a, y + b)).collect::<Vec<_>>(), fill);
    let drawn = match line % 5 {
        0 => on.draw(&Circle::new((x, y), r, fill)),
        1 => on.draw(&shape(&[(-r, -r), (r, -r), (r, r), (-r, r)])),
        2 => on.draw(&shape(&[(0, -r - r / 3), (r + r / 5, r), (-r - r / 5, r)])),
        3 => on.draw(&shape(&[(0, -r - r / 3), (r + r / 3, 0), (0, r + r / 3), (-r - r / 3, 0)])),
        _ => on.draw(&shape(&[(0, r + r / 3), (r + r / 5, -r), (-r - r / 5, -r)])),
    };
    drawn.map_err(drawing)
}

/// A panel's name: the task, and what else differs between panels.
pub fn panel_title(task: &str, model: Option<&str>, size: Option<String>) -> String {
    [Some(task.to_owned()), model.map(str::to_owned), size].into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_or_none_still_has_a_range() {
        assert_eq!(padded([].into_iter(), 0.1), (0.0, 1.0));
        assert_eq!(padded([f64::NAN].into_iter(), 0.1), (0.0, 1.0));
        let (low, high) = padded([0.0].into_iter(), 0.1);
        assert!(low < 0.0 && high > 0.0);
    }

    #[test]
    fn a_long_legend_wraps_and_the_picture_grows() {
        let legend = |n: usize| {
            let entry = |line| Legend::Line { line, name: format!("a mode with quite a long name, number {line}") };
            Panels {
                panels: Vec::new(),
                x_label: String::new(),
                x_ticks: Vec::new(),
                legend: (0..n).map(entry).collect(),
            }
        };
        assert!(legend(9).size().1 > legend(1).size().1);
        let width = legend(9).size().0 as i32;
        for ((x, _), entry) in legend(9).legend_places().iter().zip(&legend(9).legend) {
            assert!(x + SWATCH + style::width(&legend(9).legend_text(entry)) <= width);
        }
    }
}
