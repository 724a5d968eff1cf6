//! Score against reserve rate: a panel per task, a line per mode and compared setting that has a p, the reference as a
//! level.

use anyhow::Result;
use plotters::prelude::DrawingBackend;

use super::lines::{Legend, Level, Line, Panel, Panels, Point, panel_title};
use super::style::{self, Pen};
use super::{Area, Data, Plot};
use crate::frame::{Cell, REFERENCE, best_of, chosen_over, in_words};

pub struct ReserveRate {
    panels: Panels,
    /// What is drawn, for the CSV.
    drawn: Vec<Cell>,
    /// What the best on dev was chosen over at one p.
    over: Vec<String>,
}

impl Plot for ReserveRate {
    fn plan(data: &Data) -> Result<ReserveRate, String> {
        let is_shown = |c: &&Cell| c.mean.is_some() && (c.p.is_some() || c.mode == REFERENCE);
        let scored: Vec<&Cell> = data.cells.iter().filter(is_shown).collect();
        let mut keys = best_of(scored.iter().copied().filter(|c| c.p.is_some()), key);
        if keys.is_empty() {
            return Err("No finished run has a reserve rate p, so there is nothing to draw against it.".to_owned());
        }
        // A lone rate is no curve; it is shown only where there is nothing else.
        let is_curve = |first: &&Cell| {
            let own: Vec<&&Cell> = scored.iter().filter(|c| c.p.is_some() && key(c) == key(first)).collect();
            own.iter().any(|a| own.iter().any(|b| a.p != b.p && a.line() == b.line()))
        };
        if keys.iter().any(is_curve) {
            keys.retain(is_curve);
        }
        let scored: Vec<&Cell> = scored.into_iter().filter(|c| keys.iter().any(|k| key(k) == key(c))).collect();
        let drawn = best_of(scored.iter().copied(), point_key);

        let lines: Vec<(usize, String)> = data.lines().into_iter().enumerate().collect();
        let differs = |f: fn(&Cell) -> String| keys.iter().any(|c| f(c) != f(keys[0]));
        let (models, sizes) = (differs(|c| c.model.clone()), differs(|c| format!("{:?}", c.train_size)));
        let panels = keys.iter().map(|first| {
            let of_line = |name: &str| -> Vec<&Cell> {
                drawn.iter().copied().filter(|c| key(c) == key(first) && c.line() == name).collect()
            };
            let curves = lines.iter().map(|(line, name)| {
                let mut points: Vec<Point> = of_line(name).into_iter().filter_map(|c| point(c.p?, c)).collect();
                points.sort_by(|a, b| a.x.total_cmp(&b.x));
                Line { line: *line, points }
            });
            let levels = lines.iter().filter_map(|(line, name)| {
                let at = of_line(name).into_iter().find(|c| c.p.is_none()).and_then(|c| point(0.0, c))?;
                Some(Level { line: *line, at })
            });
            let size = first.train_size.map_or("all examples".to_owned(), |n| format!("{n} examples"));
            Panel {
                title: panel_title(&first.task, models.then_some(&*first.model), sizes.then_some(size)),
                y_label: style::metric(first.metric.as_deref().unwrap_or("score")),
                lines: curves.filter(|l| !l.points.is_empty()).collect(),
                levels: levels.collect(),
            }
        });
        let panels = panels.collect();
        let mut rates: Vec<f64> = drawn.iter().filter_map(|c| c.p).collect();
        rates.sort_by(f64::total_cmp);
        rates.dedup();
        let has = |name: &str, p: bool| drawn.iter().any(|c| c.line() == name && c.p.is_some() == p);
        let curves = lines.iter().filter(|(_, name)| has(name, true));
        let curves = curves.map(|(line, name)| Legend::Line { line: *line, name: name.clone() });
        let levels = lines.iter().filter(|(_, name)| has(name, false));
        let levels = levels.map(|(line, name)| Legend::Level { line: *line, name: format!("{name} (no p)") });
        Ok(ReserveRate {
            panels: Panels {
                panels,
                x_label: "reserve rate p (share of the maskable parameters updated)".to_owned(),
                x_ticks: rates.into_iter().map(|p| (p, p.to_string())).collect(),
                legend: curves.chain(levels).collect(),
            },
            over: chosen_over(scored.iter().copied(), point_key),
            drawn: drawn.into_iter().cloned().collect(),
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
            caption += &self.panels.left_out();
        } else {
            caption += " Each has one seed, so there is no band.";
        }
        if self.drawn.iter().any(|c| c.mode == REFERENCE) {
            caption += " The dashed line is the reference, vanilla fine-tuning of everything.";
        }
        if !self.over.is_empty() {
            caption += &format!(" At each p the best on dev over {} is drawn.", in_words(&self.over));
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
pub(super) fn key(cell: &Cell) -> (String, String, Option<u32>) {
    (cell.task.clone(), cell.model.clone(), cell.train_size)
}

/// What makes a point.
pub(super) fn point_key(cell: &Cell) -> ((String, String, Option<u32>), String, Option<u64>) {
    (key(cell), cell.line(), cell.p.map(f64::to_bits))
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
            assert!(panel.levels.len() == 1 && panel.lines.iter().all(|l| l.points.len() == 5));
        }
        assert_eq!(plot.panels.x_ticks.len(), 5);
        assert_eq!(plot.csv().unwrap().lines().count(), 1 + 2 * 11);
    }

    #[test]
    fn what_is_not_drawn_is_in_neither_csv_nor_ticks_nor_legend() {
        let mut study = example::good(1, 2, &[None]);
        let mut lone = example::record("mrpc", "another", Some(0.9), 1, 0.7);
        lone.run.recipe.lr = 4e-5;
        study.records.extend([lone, example::record("mrpc", "vanilla", None, 1, 0.7)]);
        let plot = ReserveRate::plan(&Data::of(&study).unwrap()).unwrap();
        assert_eq!(plot.panels.panels.len(), 1);
        assert!(!plot.csv().unwrap().contains("mrpc"));
        assert!(plot.panels.x_ticks.iter().all(|(p, _)| *p < 0.9));
        let told = |entry: &Legend| matches!(entry, Legend::Line { name, .. } if name == "another");
        assert!(!plot.panels.legend.iter().any(told));
    }

    #[test]
    fn a_compared_setting_has_its_own_line_and_a_tuned_one_is_chosen_over() {
        let mut study = example::good(1, 2, &[None]);
        for mut record in study.records.clone() {
            record.run.recipe.epochs = 9;
            study.records.push(record);
        }
        for record in study.records.clone() {
            let mut record = record.clone();
            record.run.recipe.lr = 4e-5;
            study.records.push(record);
        }
        study.tune = vec!["lr".to_owned()];
        let plot = ReserveRate::plan(&Data::of(&study).unwrap()).unwrap();
        let panel = &plot.panels.panels[0];
        assert_eq!((panel.lines.len(), panel.levels.len()), (4, 2));
        assert!(panel.lines.iter().all(|line| line.points.len() == 5));
        let mut colours: Vec<usize> =
            panel.lines.iter().map(|l| l.line).chain(panel.levels.iter().map(|l| l.line)).collect();
        colours.sort_unstable();
        assert_eq!(colours, [0, 1, 2, 3, 4, 5]);
        let told = |entry: &Legend| matches!(entry, Legend::Line { name, .. } if name == "child-d epochs=9");
        assert!(plot.panels.legend.iter().any(told));
        assert!(plot.caption().contains("the best on dev over lr is drawn"), "{}", plot.caption());
    }
}
