//! Low-resource curves: score against the number of training examples, a line per mode and compared setting, at the
//! best p and tuned values.

use std::collections::BTreeSet;

use anyhow::Result;
use plotters::prelude::DrawingBackend;

use super::lines::{Legend, Line, Panel, Panels, Point, panel_title};
use super::style::{self, Pen};
use super::{Area, Data, Plot};
use crate::frame::{Cell, best_of, chosen_over, in_words};

pub struct LowResource {
    panels: Panels,
    /// What is drawn, for the CSV.
    drawn: Vec<Cell>,
    /// Some line had several settings at one size.
    chosen: bool,
}

impl Plot for LowResource {
    fn plan(data: &Data) -> Result<LowResource, String> {
        let scored: Vec<&Cell> =
            data.cells.iter().filter(|c| c.mean.is_some() && c.train_examples.is_some_and(|n| n > 0)).collect();
        // The whole of a data set is a point only beside smaller samples of it.
        let sampled: Vec<&Cell> = scored
            .iter()
            .copied()
            .filter(|c| scored.iter().any(|o| key(o) == key(c) && o.train_size != c.train_size))
            .collect();
        if sampled.is_empty() {
            return Err(
                "No task was trained on two or more sizes of its training set (the axis train_size), so there \
                        is no curve to draw."
                    .to_owned(),
            );
        }
        let best = best_of(sampled.iter().copied(), point_key);
        let keys = best_of(best.iter().copied(), key);
        let models = keys.iter().any(|c| c.model != keys[0].model);
        let lines: Vec<(usize, String)> =
            data.lines().into_iter().enumerate().filter(|(_, name)| best.iter().any(|c| c.line() == *name)).collect();
        let panels = keys.iter().map(|first| {
            let curves = lines.iter().map(|(line, name)| {
                let own = best.iter().filter(|c| key(c) == key(first) && c.line() == *name);
                let mut points: Vec<Point> = own.filter_map(|c| point(c)).collect();
                points.sort_by(|a, b| a.x.total_cmp(&b.x));
                Line { line: *line, points }
            });
            Panel {
                title: panel_title(&first.task, models.then_some(&*first.model), None),
                y_label: style::metric(first.metric.as_deref().unwrap_or("score")),
                lines: curves.filter(|l| !l.points.is_empty()).collect(),
                levels: Vec::new(),
            }
        });
        let panels = panels.collect();
        let sizes: BTreeSet<u64> = best.iter().filter_map(|c| c.train_examples).collect();
        let mut chosen = false;
        let legend = lines.iter().map(|(line, name)| {
            let own = || sampled.iter().copied().filter(|c| c.line() == *name);
            let over = chosen_over(own(), point_key);
            chosen |= !over.is_empty();
            let settings: BTreeSet<String> = own().map(Cell::choice).collect();
            let name = match settings.first() {
                _ if !over.is_empty() => format!("{name} (best {} on dev)", in_words(&over)),
                Some(only) if settings.len() == 1 && !only.is_empty() => format!("{name} ({only})"),
                _ => name.clone(),
            };
            Legend::Line { line: *line, name }
        });
        let legend = legend.collect();
        Ok(LowResource {
            panels: Panels {
                panels,
                x_label: "training examples (log scale)".to_owned(),
                x_ticks: sizes.into_iter().map(|n| ((n as f64).log10(), style::thousands(n))).collect(),
                legend,
            },
            chosen,
            drawn: best.into_iter().cloned().collect(),
        })
    }

    fn size(&self) -> (u32, u32) {
        self.panels.size()
    }

    fn draw<B: DrawingBackend>(&self, on: &Area<B>, pen: Pen) -> Result<()> {
        self.panels.draw(on, pen)
    }

    fn caption(&self) -> String {
        let mut caption = String::from("Points are means over seeds; smaller samples are nested in larger ones.");
        if self.drawn.iter().any(|c| c.std.is_some()) {
            caption += " Bands are ± one standard deviation; a point with one seed has none.";
            caption += &self.panels.left_out();
        }
        if self.chosen {
            caption += " Where the legend says so, each point shows the best on dev, named in the CSV.";
        }
        caption
    }

    fn csv(&self) -> Result<String> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        csv.write_record([
            "task",
            "model",
            "train_examples",
            "mode",
            "setting",
            "metric",
            "n",
            "mean_points",
            "std_points",
        ])?;
        for cell in &self.drawn {
            csv.write_record([
                cell.task.clone(),
                cell.model.clone(),
                cell.train_examples.map_or(String::new(), |n| n.to_string()),
                cell.mode.clone(),
                cell.setting(),
                cell.metric.clone().unwrap_or_default(),
                cell.n.to_string(),
                cell.mean.map_or(String::new(), |m| format!("{:.4}", m * 100.0)),
                cell.std.map_or(String::new(), |s| format!("{:.4}", s * 100.0)),
            ])?;
        }
        Ok(String::from_utf8(csv.into_inner().map_err(|e| e.into_error())?)?)
    }
}

/// What makes a panel.
fn key(cell: &Cell) -> (String, String) {
    (cell.task.clone(), cell.model.clone())
}

/// What makes a point.
fn point_key(cell: &Cell) -> ((String, String), String, Option<u32>) {
    (key(cell), cell.line(), cell.train_size)
}

fn point(cell: &Cell) -> Option<Point> {
    let x = (cell.train_examples? as f64).log10();
    Some(Point { x, y: cell.mean? * 100.0, spread: cell.std.map(|s| s * 100.0) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::frame::example;

    #[test]
    fn a_point_per_size_at_the_best_p() {
        let study = example::good(2, 2, &[Some(100), Some(300), Some(1000)]);
        let plot = LowResource::plan(&Data::of(&study).unwrap()).unwrap();
        assert_eq!(plot.panels.panels.len(), 2);
        assert!(plot.panels.panels.iter().all(|p| p.lines.len() == 3 && p.lines.iter().all(|l| l.points.len() == 3)));
        let ticks: Vec<&str> = plot.panels.x_ticks.iter().map(|(_, name)| &**name).collect();
        assert_eq!(ticks, ["100", "300", "1,000"]);
        let Legend::Line { name, .. } = &plot.panels.legend[1] else { panic!("lines only") };
        assert_eq!(name, "child-f (best p on dev)");
    }

    #[test]
    fn one_size_is_no_curve() {
        assert!(LowResource::plan(&Data::of(&example::good(2, 2, &[None])).unwrap()).is_err());
    }
}
