//! Score against reserve rate: a panel per task, a line per mode that has a p, the reference as a level.

use anyhow::Result;
use plotters::prelude::DrawingBackend;

use super::lines::{Legend, Line, Panel, Panels, Point, panel_title};
use super::style::{self, Pen};
use super::{Area, Data, Plot};
use crate::frame::{Cell, REFERENCE, best_of};

pub struct ReserveRate {
    panels: Panels,
    /// What is drawn, for the CSV.
    drawn: Vec<Cell>,
    /// Some mode had several settings for one p.
    chosen: bool,
}

impl Plot for ReserveRate {
    fn plan(data: &Data) -> Result<ReserveRate, String> {
        let scored: Vec<&Cell> = data.cells.iter().filter(|c| c.mean.is_some()).collect();
        let modes: Vec<(usize, &str)> = data.modes().into_iter().enumerate().collect();
        let has_p = |mode: &str| scored.iter().any(|c| c.p.is_some() && c.mode == mode);
        let modes: Vec<(usize, &str)> = modes.into_iter().filter(|(_, mode)| has_p(mode)).collect();
        if modes.is_empty() {
            return Err("No finished run has a reserve rate p, so there is nothing to draw against it.".to_owned());
        }
        let best = best_of(scored.iter().copied(), |c| {
            (c.task.clone(), c.model.clone(), c.train_size, c.mode.clone(), c.p.map(f64::to_bits))
        });
        let shown: Vec<&Cell> = best.iter().copied().filter(|c| c.p.is_some() || c.mode == REFERENCE).collect();
        let keys = best_of(best.iter().copied().filter(|c| c.p.is_some()), key);
        let several = |f: fn(&Cell) -> String| keys.iter().any(|c| f(c) != f(keys[0]));
        let (models, sizes) = (several(|c| c.model.clone()), several(|c| format!("{:?}", c.train_size)));

        let panels = keys.iter().map(|first| {
            let own: Vec<&Cell> = shown.iter().copied().filter(|c| key(c) == key(first)).collect();
            let lines = modes.iter().map(|&(mode, name)| {
                let mut points: Vec<Point> =
                    own.iter().filter(|c| c.mode == name).filter_map(|c| point(c.p?, c)).collect();
                points.sort_by(|a, b| a.x.total_cmp(&b.x));
                Line { mode, points }
            });
            let size = first.train_size.map_or("all examples".to_owned(), |n| format!("{n} examples"));
            Panel {
                title: panel_title(&first.task, models.then_some(&*first.model), sizes.then_some(size)),
                y_label: style::metric(first.metric.as_deref().unwrap_or("score")),
                lines: lines.filter(|l| !l.points.is_empty()).collect(),
                level: own.iter().find(|c| c.mode == REFERENCE && c.p.is_none()).and_then(|c| point(0.0, c)),
            }
        });
        let mut panels: Vec<Panel> = panels.collect();
        // A lone rate is no curve; it is shown only where there is nothing else.
        let is_curve = |panel: &Panel| panel.lines.iter().any(|line| line.points.len() > 1);
        if panels.iter().any(is_curve) {
            panels.retain(is_curve);
        }
        let mut rates: Vec<f64> = shown.iter().filter_map(|c| c.p).collect();
        rates.sort_by(f64::total_cmp);
        rates.dedup();
        let mut legend: Vec<Legend> =
            modes.into_iter().map(|(mode, name)| Legend::Mode { mode, name: name.to_owned() }).collect();
        if panels.iter().any(|p| p.level.is_some()) {
            legend.push(Legend::Level { name: format!("{REFERENCE} (no p)") });
        }
        Ok(ReserveRate {
            panels: Panels {
                panels,
                x_label: "reserve rate p (share of the maskable parameters updated)".to_owned(),
                x_ticks: rates.into_iter().map(|p| (p, p.to_string())).collect(),
                legend,
            },
            chosen: best.len() < scored.len(),
            drawn: shown.into_iter().cloned().collect(),
        })
    }

    fn size(&self) -> (u32, u32) {
        self.panels.size()
    }

    fn draw<B: DrawingBackend>(&self, on: &Area<B>, pen: Pen) -> Result<()> {
        self.panels.draw(on, pen)
    }

    fn caption(&self) -> String {
        let mut caption = String::from("Points are means over seeds.");
        if self.drawn.iter().any(|c| c.std.is_some()) {
            caption += " Bands are ± one standard deviation; a setting with one seed has none.";
        } else {
            caption += " Each has one seed, so there is no band.";
        }
        if self.drawn.iter().any(|c| c.mode == REFERENCE) {
            caption += " The dashed line is the reference, vanilla fine-tuning of everything.";
        }
        if self.chosen {
            caption += " Where a mode ran with several settings at one p, the best on dev is drawn.";
        }
        if self.drawn.iter().any(|c| !c.trouble().is_empty()) {
            caption += " Some runs collapsed, diverged or failed: the table of settings counts them.";
        }
        caption
    }

    fn csv(&self) -> Result<String> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        let head = ["task", "model", "train_size", "mode", "p", "setting", "metric", "n", "mean_points", "std_points"];
        csv.write_record(head)?;
        for cell in &self.drawn {
            csv.write_record([
                cell.task.clone(),
                cell.model.clone(),
                cell.train_size.map_or(String::new(), |n| n.to_string()),
                cell.mode.clone(),
                cell.p.map_or(String::new(), |p| p.to_string()),
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
fn key(cell: &Cell) -> (String, String, Option<u32>) {
    (cell.task.clone(), cell.model.clone(), cell.train_size)
}

fn point(x: f64, cell: &Cell) -> Option<Point> {
    Some(Point { x, y: cell.mean? * 100.0, spread: cell.std.map(|s| s * 100.0) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::frame::example;

    #[test]
    fn a_panel_per_task_a_line_per_mode_and_the_reference() {
        let plot = ReserveRate::plan(&Data::of(&example::good(2, 3, &[None])).unwrap()).unwrap();
        assert_eq!(plot.panels.panels.len(), 2);
        for panel in &plot.panels.panels {
            assert_eq!(panel.lines.len(), 2);
            assert!(panel.level.is_some() && panel.lines.iter().all(|l| l.points.len() == 5));
        }
        assert_eq!(plot.panels.x_ticks.len(), 5);
        assert_eq!(plot.csv().unwrap().lines().count(), 1 + 2 * 11);
    }
}
