//! Panels of dots with error bars, a row for each thing that is compared, its name in full beside it.

use anyhow::Result;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::legend::{self, Legend, ROW, mark};
use super::lines::padded;
use super::style::{self, Pen};
use super::{Area, drawing};

/// Panels side by side, one legend below all of them.
pub struct Dots {
    pub panels: Vec<DotPanel>,
    pub legend: Vec<Legend>,
}

pub struct DotPanel {
    pub title: String,
    pub x_label: String,
    /// From above.
    pub rows: Vec<DotRow>,
    /// A dashed line from top to bottom.
    pub level: Option<f64>,
}

pub struct DotRow {
    pub name: String,
    /// Each on a line of its own within the row.
    pub dots: Vec<Dot>,
}

pub struct Dot {
    /// Which line, for colour and marker: the same number in every figure.
    pub line: usize,
    pub x: f64,
    /// Ends of the error bar.
    pub ends: Option<(f64, f64)>,
    /// Where it was before: a hollow mark, joined with the dot.
    pub from: Option<f64>,
}

const PLOT: i32 = 300;
const LONGEST: i32 = 300;
const HEAD: i32 = 32;
const FOOT: i32 = 56;
const SLOT: i32 = 15;
const MARGIN: i32 = 14;

impl Dots {
    fn columns(&self) -> i32 {
        if self.panels.len() == 1 { 1 } else { 2 }
    }

    fn rows(&self) -> i32 {
        (self.panels.len() as i32 + self.columns() - 1) / self.columns()
    }

    fn names(&self) -> i32 {
        let names = self.panels.iter().flat_map(|p| &p.rows).map(|row| style::width(&row.name));
        names.max().unwrap_or(0).min(LONGEST) + 14
    }

    fn wide(&self) -> i32 {
        let plot = if self.panels.len() == 1 { PLOT + 160 } else { PLOT };
        self.names() + plot + 24
    }

    fn width(&self) -> i32 {
        2 * MARGIN + self.columns() * self.wide()
    }

    /// Of the panels of one row, the highest.
    fn high(&self, row: i32) -> i32 {
        let panels = self.panels.iter().skip((row * self.columns()) as usize).take(self.columns() as usize);
        panels.map(DotPanel::high).max().unwrap_or(0)
    }

    pub fn size(&self) -> (u32, u32) {
        let panels: i32 = (0..self.rows()).map(|row| self.high(row)).sum();
        let height = panels + legend::height(&self.legend, self.width() - 2 * MARGIN) + 2 * MARGIN;
        (self.width() as u32, height as u32)
    }

    pub fn draw<B: DrawingBackend>(&self, on: &Area<B>, pen: Pen) -> Result<()> {
        let mut top = MARGIN;
        for row in 0..self.rows() {
            for column in 0..self.columns() {
                let Some(panel) = self.panels.get((row * self.columns() + column) as usize) else { continue };
                let corner = (pen.px(MARGIN + column * self.wide()), pen.px(top));
                let area = on.clone().shrink(corner, (pen.px(self.wide()), pen.px(panel.high())));
                panel.draw(&area, pen, self.names(), self.wide())?;
            }
            top += self.high(row);
        }
        legend::draw(&self.legend, self.width() - 2 * MARGIN, (MARGIN, top + ROW / 2), on, pen)
    }
}

impl DotRow {
    fn high(&self) -> i32 {
        self.dots.len().max(1) as i32 * SLOT + 9
    }
}

impl DotPanel {
    fn high(&self) -> i32 {
        HEAD + self.rows.iter().map(DotRow::high).sum::<i32>() + FOOT
    }

    fn range(&self) -> (f64, f64) {
        let of_dot = |dot: &Dot| {
            let (low, high) = dot.ends.unwrap_or((dot.x, dot.x));
            [dot.x, low, high, dot.from.unwrap_or(dot.x)]
        };
        padded(self.rows.iter().flat_map(|row| &row.dots).flat_map(of_dot).chain(self.level), 0.06)
    }

    fn draw<B: DrawingBackend>(&self, area: &Area<B>, pen: Pen, names: i32, wide: i32) -> Result<()> {
        let (left, right, top, bottom) = (names, wide - 24, HEAD, self.high() - FOOT);
        let (low, high) = self.range();
        let across = |x: f64| {
            let share = (x - low) / (high - low);
            ((f64::from(left) + share * f64::from(right - left)) * f64::from(pen.scale)).round() as i32
        };
        let title = pen.title().pos(Pos::new(HPos::Left, VPos::Center));
        let fitted = style::fitted(&self.title, wide - 24, true);
        area.draw(&Text::new(fitted, (0, pen.px(HEAD / 2)), title)).map_err(drawing)?;
        let (ticks, digits) = style::ticks(low, high, 5);
        let mut free_from = i32::MIN;
        for tick in ticks {
            let x = across(tick);
            area.draw(&PathElement::new(vec![(x, pen.px(top)), (x, pen.px(bottom))], pen.hair(style::FAINT)))
                .map_err(drawing)?;
            let name = style::tick(tick, digits);
            let half = pen.px(style::width(&name)) / 2;
            if x - half > free_from {
                let under = pen.small().pos(Pos::new(HPos::Center, VPos::Top));
                area.draw(&Text::new(name, (x, pen.px(bottom + 6)), under)).map_err(drawing)?;
                free_from = x + half + pen.px(6);
            }
        }
        let label = style::fitted(&self.x_label, wide, false);
        let middle = pen.small().pos(Pos::new(HPos::Center, VPos::Center));
        // Under the axis, but inside the panel where the label is longer than it.
        let half = style::width(&label) / 2;
        let centre = ((left + right) / 2).min(wide - half).max(half);
        area.draw(&Text::new(label, (pen.px(centre), pen.px(bottom + 34)), middle)).map_err(drawing)?;
        let mut y = top;
        for row in self.rows.iter().rev().skip(1).rev() {
            y += row.high();
            let ends = vec![(0, pen.px(y)), (pen.px(right), pen.px(y))];
            area.draw(&PathElement::new(ends, pen.hair(style::FAINT))).map_err(drawing)?;
        }
        if let Some(level) = self.level {
            let ends = vec![(across(level), pen.px(top)), (across(level), pen.px(bottom))];
            let dashes = DashedPathElement::new(ends, pen.px(7), pen.px(5), pen.line(style::colour(0)));
            area.draw(&dashes).map_err(drawing)?;
        }
        let mut y = top;
        for row in &self.rows {
            let beside = pen.small().pos(Pos::new(HPos::Right, VPos::Center));
            let name = style::fitted(&row.name, names - 12, false);
            area.draw(&Text::new(name, (pen.px(left - 9), pen.px(y + row.high() / 2 + 1)), beside)).map_err(drawing)?;
            for (slot, dot) in row.dots.iter().enumerate() {
                let middle = y + row.high() / 2 - (row.dots.len() as i32 - 1) * SLOT / 2 + slot as i32 * SLOT;
                dot.draw(area, pen, across, pen.px(middle))?;
            }
            y += row.high();
        }
        let axis = vec![(pen.px(left), pen.px(top)), (pen.px(left), pen.px(bottom)), (pen.px(right), pen.px(bottom))];
        area.draw(&PathElement::new(axis, pen.hair(style::AXIS))).map_err(drawing)
    }
}

impl Dot {
    fn draw<B: DrawingBackend>(&self, area: &Area<B>, pen: Pen, across: impl Fn(f64) -> i32, y: i32) -> Result<()> {
        let stroke = pen.line(style::colour(self.line));
        if let Some(from) = self.from {
            let start = (across(from), y);
            // Thin, so that the error bar stands out from it.
            let hair = pen.hair(style::colour(self.line));
            area.draw(&PathElement::new(vec![start, (across(self.x), y)], hair)).map_err(drawing)?;
            area.draw(&Circle::new(start, pen.px(5), style::colour(self.line).filled())).map_err(drawing)?;
            area.draw(&Circle::new(start, pen.px(3), WHITE.filled())).map_err(drawing)?;
        }
        if let Some((low, high)) = self.ends {
            area.draw(&PathElement::new(vec![(across(low), y), (across(high), y)], stroke)).map_err(drawing)?;
        }
        mark(area, (across(self.x), y), self.line, pen)
    }
}
