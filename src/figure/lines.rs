//! Panels of lines with bands over a common x axis.

use anyhow::Result;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

pub use super::legend::Legend;

use super::legend::{self, ROW, mark};
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

/// Lines of a panel beyond which bands would hide them.
const MOST_BANDS: usize = 6;
const PANEL: (i32, i32) = (370, 290);
const MARGIN: i32 = 14;

impl Panels {
    /// For captions: a sentence where bands are left out, or nothing.
    pub fn left_out(&self) -> String {
        match self.panels.iter().any(|panel| panel.lines.len() > MOST_BANDS) {
            true => format!(" Panels of more than {MOST_BANDS} lines have no bands; the CSV has the numbers."),
            false => String::new(),
        }
    }

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
        let legend = legend::height(&self.legend, self.width() - 2 * MARGIN);
        (self.width() as u32, (self.rows() * self.panel().1 + ROW + legend + 2 * MARGIN) as u32)
    }

    pub fn draw<B: DrawingBackend>(&self, on: &Area<B>, pen: Pen) -> Result<()> {
        self.draw_over(on, pen, &[])
    }

    /// As marks over the curves that a theory expects, a list of them for each panel, on a logarithmic y axis: the y of
    /// every line and curve is the decimal logarithm of what is shown.
    pub fn draw_over<B: DrawingBackend>(&self, on: &Area<B>, pen: Pen, theory: &[Vec<Line>]) -> Result<()> {
        let (wide, high) = self.panel();
        for (i, panel) in self.panels.iter().enumerate() {
            let (column, row) = (i as i32 % self.columns(), i as i32 / self.columns());
            let (left, top) = (MARGIN + column * wide, MARGIN + row * high);
            let area = on.clone().shrink((pen.px(left), pen.px(top)), (pen.px(wide), pen.px(high)));
            self.draw_panel(panel, theory.get(i).map(Vec::as_slice), &area, pen)?;
        }
        let below = MARGIN + self.rows() * high;
        let middle = pen.small().pos(Pos::new(HPos::Center, VPos::Center));
        on.draw(&Text::new(self.x_label.clone(), (pen.px(self.width() / 2), pen.px(below + ROW / 2 - 4)), middle))
            .map_err(drawing)?;
        legend::draw(&self.legend, self.width() - 2 * MARGIN, (MARGIN, below + ROW + ROW / 2), on, pen)
    }

    fn draw_panel<B: DrawingBackend>(
        &self,
        panel: &Panel,
        theory: Option<&[Line]>,
        area: &Area<B>,
        pen: Pen,
    ) -> Result<()> {
        let (wide, high) = self.panel();
        let (x_low, x_high) = self.x_range();
        let (y_low, y_high) = panel.y_range(theory.unwrap_or_default());
        let ticks: Vec<(f64, String)> = match theory {
            Some(_) => style::log_ticks(y_low, y_high),
            None => {
                let (ticks, digits) = style::ticks(y_low, y_high, if high > 300 { 7 } else { 5 });
                ticks.into_iter().map(|tick| (tick, style::tick(tick, digits))).collect()
            }
        };
        // Between the panel's edge and the axis stand the label, upright, and the numbers.
        let numbers = ticks.iter().map(|(_, name)| style::width(name)).max().unwrap_or(0);
        let (left, right, top, bottom) = (64.max(numbers + 28), 14, 30, 34);
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
        for (tick, name) in ticks {
            let (_, y) = place(x_low, tick);
            area.draw(&PathElement::new(vec![(x0, y), (x1, y)], pen.hair(style::FAINT))).map_err(drawing)?;
            let beside = pen.small().pos(Pos::new(HPos::Right, VPos::Center));
            area.draw(&Text::new(name, (x0 - pen.px(7), y), beside)).map_err(drawing)?;
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
        for curve in theory.unwrap_or_default() {
            let places: Vec<_> = curve.points.iter().map(|p| place(p.x, p.y)).collect();
            area.draw(&PathElement::new(places, pen.line(style::colour(curve.line)))).map_err(drawing)?;
        }
        for line in &panel.lines {
            let colour = style::colour(line.line);
            let ends = |p: &Point| {
                let spread = p.spread.unwrap_or(0.0);
                (place(p.x, p.y + spread), place(p.x, p.y - spread))
            };
            // A point without a spread ends a band: nothing is known of what lies beside it.
            let stretches = line.points.chunk_by(|a, b| a.spread.is_some() && b.spread.is_some());
            for stretch in stretches.filter(|stretch| stretch[0].spread.is_some()) {
                if theory.is_none() && stretch.len() > 1 {
                    if panel.lines.len() > MOST_BANDS {
                        continue;
                    }
                    let (up, down): (Vec<_>, Vec<_>) = stretch.iter().map(ends).unzip();
                    let outline: Vec<_> = up.into_iter().chain(down.into_iter().rev()).collect();
                    area.draw(&Polygon::new(outline, colour.mix(0.16).filled())).map_err(drawing)?;
                    continue;
                }
                for (up, down) in stretch.iter().map(ends) {
                    area.draw(&PathElement::new(vec![up, down], pen.line(colour))).map_err(drawing)?;
                }
            }
        }
        for line in &panel.lines {
            let places: Vec<_> = line.points.iter().map(|p| place(p.x, p.y)).collect();
            if theory.is_none() {
                let path = PathElement::new(places.clone(), pen.line(style::colour(line.line)));
                area.draw(&path).map_err(drawing)?;
            }
            for place in places {
                mark(area, place, line.line, pen)?;
            }
        }
        Ok(())
    }

    fn x_range(&self) -> (f64, f64) {
        let points = self.panels.iter().flat_map(|panel| &panel.lines).flat_map(|line| &line.points);
        padded(self.x_ticks.iter().map(|(x, _)| *x).chain(points.map(|p| p.x)), 0.06)
    }
}

impl Panel {
    fn y_range(&self, theory: &[Line]) -> (f64, f64) {
        let points = self.lines.iter().chain(theory).flat_map(|l| &l.points).chain(self.levels.iter().map(|l| &l.at));
        padded(points.flat_map(|p| [p.y - p.spread.unwrap_or(0.0), p.y + p.spread.unwrap_or(0.0)]), 0.08)
    }
}

/// The range of the values with this share of room at both ends; one value gets a unit of room.
pub fn padded(values: impl Iterator<Item = f64>, share: f64) -> (f64, f64) {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    if !low.is_finite() || !high.is_finite() {
        return (0.0, 1.0);
    }
    let room = if high > low { (high - low) * share } else { low.abs().max(1.0) * 0.1 };
    (low - room, high + room)
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
}
