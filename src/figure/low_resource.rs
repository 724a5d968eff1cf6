//! Low-resource curves: score against the number of training examples, a line per mode at its best setting.

use std::collections::BTreeSet;

use anyhow::Result;
use plotters::prelude::DrawingBackend;

use super::lines::{Legend, Line, Panel, Panels, Point, panel_title};
use super::style::{self, Pen};
use super::{Area, Data, Plot};
use crate::frame::{Cell, best_of};

pub struct LowResource {
    panels: Panels,
    /// What is drawn, for the CSV.
    drawn: Vec<Cell>,
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
        let best = best_of(sampled.iter().copied(), |c| (key(c), c.mode.clone(), c.train_size));
        let keys = best_of(best.iter().copied(), key);
        let models = keys.iter().any(|c| c.model != keys[0].model);
        let modes: Vec<(usize, &str)> = data.modes().into_iter().enumerate().collect();
        let modes: Vec<(usize, &str)> =
            modes.into_iter().filter(|(_, mode)| best.iter().any(|c| c.mode == *mode)).collect();
        let panels = keys.iter().map(|first| {
            let lines = modes.iter().map(|&(mode, name)| {
                let own = best.iter().filter(|c| key(c) == key(first) && c.mode == name);
                let mut points: Vec<Point> = own.filter_map(|c| point(c)).collect();
                points.sort_by(|a, b| a.x.total_cmp(&b.x));
                Line { mode, points }
            });
            Panel {
                title: panel_title(&first.task, models.then_some(&*first.model), None),
                y_label: style::metric(first.metric.as_deref().unwrap_or("score")),
                lines: lines.filter(|l| !l.points.is_empty()).collect(),
                level: None,
            }
        });
        let panels = panels.collect();
        let sizes: BTreeSet<u64> = best.iter().filter_map(|c| c.train_examples).collect();
        let legend = modes.iter().map(|&(mode, name)| {
            let of_mode: Vec<&Cell> = sampled.iter().copied().filter(|c| c.mode == name).collect();
            let settings: BTreeSet<String> = of_mode.iter().map(|c| c.setting()).collect();
            let name = match settings.first() {
                Some(_) if settings.len() > 1 && of_mode.iter().any(|c| c.p.is_some()) => {
                    format!("{name} (best p on dev)")
                }
                Some(_) if settings.len() > 1 => format!("{name} (best setting on dev)"),
                Some(only) if !only.is_empty() => format!("{name} ({only})"),
                _ => name.to_owned(),
            };
            Legend::Mode { mode, name }
        });
        Ok(LowResource {
            panels: Panels {
                panels,
                x_label: "training examples (log scale)".to_owned(),
                x_ticks: sizes.into_iter().map(|n| ((n as f64).log10(), style::thousands(n))).collect(),
                legend: legend.collect(),
            },
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
            caption += " Bands are ± one standard deviation.";
        }
        caption + " Where a mode ran with several settings, each point shows its best on dev, named in the CSV."
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
        let Legend::Mode { name, .. } = &plot.panels.legend[1] else { panic!("modes only") };
        assert_eq!(name, "child-f (best p on dev)");
    }

    #[test]
    fn one_size_is_no_curve() {
        assert!(LowResource::plan(&Data::of(&example::good(2, 2, &[None])).unwrap()).is_err());
    }
}
