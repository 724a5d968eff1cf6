//! The legend below a figure: what each mark, line and dashed line is, flowing like words in a paragraph.

use anyhow::Result;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::style::{self, Pen};
use super::{Area, drawing};

pub enum Legend {
    Line { line: usize, name: String },
    Level { line: usize, name: String },
}

pub const ROW: i32 = 24;
const SWATCH: i32 = 44;
const GAP: i32 = 26;

/// Where each entry begins, at scale 1, in a room this wide.
fn places(legend: &[Legend], room: i32) -> Vec<(i32, i32)> {
    let (mut x, mut y) = (0, 0);
    let mut places = Vec::new();
    for entry in legend {
        let wide = SWATCH + style::width(&text(entry, room)) + GAP;
        if x > 0 && x + wide - GAP > room {
            (x, y) = (0, y + ROW);
        }
        places.push((x, y));
        x += wide;
    }
    places
}

fn text(entry: &Legend, room: i32) -> String {
    let (Legend::Line { name, .. } | Legend::Level { name, .. }) = entry;
    style::fitted(name, room - SWATCH, false)
}

/// How high it is in a room this wide.
pub fn height(legend: &[Legend], room: i32) -> i32 {
    places(legend, room).last().map_or(0, |(_, y)| y + ROW)
}

/// Draws it into a room this wide; `left` and `middle` are where the first entry begins and the middle of its row.
pub fn draw<B: DrawingBackend>(
    legend: &[Legend],
    room: i32,
    (left, middle): (i32, i32),
    on: &Area<B>,
    pen: Pen,
) -> Result<()> {
    for (entry, (x, y)) in legend.iter().zip(places(legend, room)) {
        let (x, y, wide) = (pen.px(left + x), pen.px(middle + y), pen.px(SWATCH - 10));
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
        on.draw(&Text::new(text(entry, room), (x + pen.px(SWATCH - 4), y), beside)).map_err(drawing)?;
    }
    Ok(())
}

/// The marker of the i-th line: a shape of its own beside the colour.
pub fn mark<B: DrawingBackend>(on: &Area<B>, (x, y): (i32, i32), line: usize, pen: Pen) -> Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_legend_wraps() {
        let entry = |line| Legend::Line { line, name: format!("a mode with quite a long name, number {line}") };
        let legend: Vec<Legend> = (0..9).map(entry).collect();
        let room = 620;
        assert!(height(&legend, room) > height(&legend[..1], room));
        for ((x, _), entry) in places(&legend, room).iter().zip(&legend) {
            assert!(x + SWATCH + style::width(&text(entry, room)) <= room);
        }
    }
}
