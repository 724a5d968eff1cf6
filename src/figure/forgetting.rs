//! Forgetting: the score of the task trained first, before and after further training on another one, a row per mode at
//! its best p and tuned values.

use anyhow::Result;
use plotters::prelude::DrawingBackend;

use super::dots::{Dot, DotPanel, DotRow, Dots};
use super::lines::{Point, panel_title};
use super::measured::{point, size};
use super::reserve_rate::key;
use super::style::{self, Pen};
use super::{Area, Data, Plot};
use crate::frame::{Cell, Outcome, Way, best_of, chosen_over, in_words};

pub struct Forgetting {
    dots: Dots,
    drawn: Vec<Drawn>,
    /// What the best on dev was chosen over.
    over: Vec<String>,
}

/// Scores in points.
struct Drawn {
    cell: Cell,
    line: usize,
    target: String,
    before: Point,
    after: Point,
    runs: usize,
}

impl Plot for Forgetting {
    fn plan(data: &Data) -> Result<Forgetting, String> {
        // Target, score before, score after.
        let kept = |cell: &Cell| -> Vec<(String, f64, f64)> {
            let runs = data.runs_of(cell).filter_map(|r| Some((r.score()?, r.outcome()?)));
            let of_run = |(before, outcome): (f64, &Outcome)| -> Vec<(String, f64, f64)> {
                let transfers = outcome.elsewhere.iter().filter(|e| e.way == Way::Transfer);
                transfers.filter_map(|e| Some((e.task.clone(), before, e.source_after?))).collect()
            };
            runs.flat_map(of_run).collect()
        };
        let measured: Vec<&Cell> = data.cells.iter().filter(|cell| !kept(cell).is_empty()).collect();
        if measured.is_empty() {
            return Err("No run was scored on its own task again after training further on another one.".to_owned());
        }
        let lines = data.lines();
        let mut drawn: Vec<Drawn> = Vec::new();
        for cell in best_of(measured.iter().copied(), line_key) {
            let found = kept(cell);
            let mut targets: Vec<&str> = found.iter().map(|(target, ..)| &**target).collect();
            targets.sort_unstable();
            targets.dedup();
            for target in targets {
                let own = || found.iter().filter(|(other, ..)| other == target);
                let (before, after) = (point(0.0, own().map(|f| 100.0 * f.1)), point(0.0, own().map(|f| 100.0 * f.2)));
                let line = lines.iter().position(|name| *name == cell.line());
                if let (Some(before), Some(after), Some(line)) = (before, after, line) {
                    let target = target.to_owned();
                    drawn.push(Drawn { cell: cell.clone(), line, target, before, after, runs: own().count() });
                }
            }
        }
        let mut keys: Vec<&Drawn> = Vec::new();
        for one in &drawn {
            if !keys.iter().any(|held| panel_key(held) == panel_key(one)) {
                keys.push(one);
            }
        }
        let differs = |f: fn(&Cell) -> String| keys.iter().any(|one| f(&one.cell) != f(&keys[0].cell));
        let (models, sizes) = (differs(|c| c.model.clone()), differs(|c| format!("{:?}", c.train_size)));
        let panels = keys.iter().map(|first| {
            let mut own: Vec<&Drawn> = drawn.iter().filter(|one| panel_key(one) == panel_key(first)).collect();
            own.sort_by_key(|one| one.line);
            let rows = own.into_iter().map(|one| {
                let ends = one.after.spread.map(|s| (one.after.y - s, one.after.y + s));
                let choice = one.cell.choice();
                let line = one.cell.line();
                DotRow {
                    name: if choice.is_empty() { line } else { format!("{line} ({choice})") },
                    dots: vec![Dot { line: one.line, x: one.after.y, ends, from: Some(one.before.y) }],
                }
            });
            let cell = &first.cell;
            let task = format!("after {}: {}", first.target, cell.task);
            DotPanel {
                title: panel_title(&task, models.then_some(&*cell.model), sizes.then(|| size(cell))),
                x_label: style::metric(cell.metric.as_deref().unwrap_or("score")),
                rows: rows.collect(),
                level: None,
            }
        });
        let dots = Dots { panels: panels.collect(), legend: Vec::new() };
        Ok(Forgetting { dots, over: chosen_over(measured, line_key), drawn })
    }

    fn size(&self) -> (u32, u32) {
        self.dots.size()
    }

    fn draw<B: DrawingBackend>(&self, on: &Area<B>, pen: Pen) -> Result<()> {
        self.dots.draw(on, pen)
    }

    fn caption(&self) -> String {
        let mut caption = String::from(
            "Hollow: the score on the task trained first. Filled: the same head's score on it after the encoder was \
             trained further on the other task. Means over seeds.",
        );
        if self.drawn.iter().any(|one| one.after.spread.is_some()) {
            caption += " Bars are ± one standard deviation of the second.";
        }
        if !self.over.is_empty() {
            caption += &format!(" Each mode at its best on the first task's dev set over {}.", in_words(&self.over));
        }
        caption
    }

    fn csv(&self) -> Result<String> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        let head = ["task", "then", "model", "train_size", "mode", "setting", "n"];
        let values = ["before_mean_points", "before_std_points", "after_mean_points", "after_std_points"];
        csv.write_record(head.iter().chain(&values))?;
        for one in &self.drawn {
            let spread = |at: Point| at.spread.map_or(String::new(), |s| format!("{s:.4}"));
            csv.write_record([
                one.cell.task.clone(),
                one.target.clone(),
                one.cell.model.clone(),
                one.cell.train_size.map_or(String::new(), |n| n.to_string()),
                one.cell.mode.clone(),
                one.cell.setting(),
                one.runs.to_string(),
                format!("{:.4}", one.before.y),
                spread(one.before),
                format!("{:.4}", one.after.y),
                spread(one.after),
            ])?;
        }
        Ok(String::from_utf8(csv.into_inner().map_err(|e| e.into_error())?)?)
    }
}

fn line_key(cell: &Cell) -> ((String, String, Option<u32>), String) {
    (key(cell), cell.line())
}

fn panel_key(one: &Drawn) -> ((String, String, Option<u32>), &str) {
    (key(&one.cell), &one.target)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::frame::example;

    #[test]
    fn a_panel_for_each_way_with_a_row_per_mode_from_before_to_after() {
        let data = Data::of(&example::measured(2, 3)).unwrap();
        let plot = Forgetting::plan(&data).unwrap();
        assert_eq!(plot.dots.panels.len(), 2);
        let names: Vec<&str> = plot.dots.panels[0].rows.iter().map(|row| &*row.name).collect();
        assert_eq!(names[0], "vanilla");
        assert!(names[1].starts_with("child-f (p=0.") && names.len() == 3, "{names:?}");
        let dot = &plot.dots.panels[0].rows[0].dots[0];
        let cell = data.cells.iter().find(|c| c.task == "movies-rating" && c.mode == "vanilla").unwrap();
        assert!((dot.from.unwrap() - 100.0 * cell.mean.unwrap()).abs() < 1e-9);
        // The example forgets 4 points.
        assert!((dot.from.unwrap() - dot.x - 4.0).abs() < 1e-9);
    }
}
