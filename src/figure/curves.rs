//! Learning curves: dev score after each epoch, and training loss, a line per mode and compared setting, at the best p
//! and tuned values.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::Result;
use plotters::prelude::DrawingBackend;
use serde::Deserialize;

use super::lines::{Legend, Line, Panel, Panels, Point, panel_title};
use super::style::{self, Pen};
use super::{Area, Data, Plot};
use crate::frame::{Cell, Record, RunId, best_of};

/// Dev scores by epoch.
pub type ScoreCurves = Curves<false>;
/// Training losses by epoch, or finer where steps were written.
pub type LossCurves = Curves<true>;

pub struct Curves<const LOSS: bool> {
    panels: Panels,
    drawn: Vec<Curve>,
}

/// The course of one run: what it had measured by the end of each epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Course {
    pub epochs: Vec<Mark>,
}

/// The end of an epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mark {
    /// Counted from 1.
    pub epoch: u32,
    pub step: u32,
    /// Mean training loss over its steps.
    pub loss: f64,
    /// The headline dev score, raw.
    pub score: Option<f64>,
}

impl Course {
    /// The courses of all runs that reached an epoch's end.
    pub fn of(records: &[Record]) -> HashMap<RunId, Course> {
        let of_run = |record: &Record| {
            let outcome = record.outcome()?;
            let epochs = outcome.epochs.iter().map(|e| Mark {
                epoch: e.epoch,
                step: e.step,
                loss: e.loss,
                score: e.dev.get(&outcome.metric).copied().flatten(),
            });
            Some((record.id.clone(), Course { epochs: epochs.collect() }))
        };
        records.iter().filter_map(of_run).collect()
    }
}

/// A line of the figure.
struct Curve {
    cell: Cell,
    line: usize,
    /// Mean over the seeds that got there, with the number of these.
    points: Vec<(Point, usize)>,
}

/// Markers that stay apart in a panel.
const MOST_POINTS: usize = 24;

impl<const LOSS: bool> Plot for Curves<LOSS> {
    fn plan(data: &Data) -> Result<Self, String> {
        // The other tasks that a run was scored on have no course of their own.
        let trained = data.cells.iter().filter(|c| c.n > 0 && c.metric.is_some());
        let has_course = |cell: &&Cell| data.trained_on.contains(&cell.task);
        let best = best_of(trained.filter(has_course), |c| (panel_key(c), c.line(), c.train_size));
        // Of several sizes of the training set the largest.
        let largest = |cell: &&Cell| {
            let beside = best.iter().filter(|o| panel_key(o) == panel_key(cell));
            beside.map(|o| o.train_examples).max() == Some(cell.train_examples)
        };
        let lines = data.lines();
        let curves = best.iter().copied().filter(largest).filter_map(|cell| {
            let line = lines.iter().position(|name| *name == cell.line())?;
            let points = if LOSS { losses(data, cell) } else { scores(data, cell) };
            (points.len() > 1).then(|| Curve { cell: cell.clone(), line, points })
        });
        let drawn: Vec<Curve> = curves.collect();
        if drawn.is_empty() {
            return Err(
                "No run was measured at two or more points of its training, so there is no curve to draw.".to_owned()
            );
        }
        let keys = best_of(drawn.iter().map(|c| &c.cell), panel_key);
        let models = keys.iter().any(|c| c.model != keys[0].model);
        let panels = keys.iter().map(|first| Panel {
            title: panel_title(&first.task, models.then_some(&*first.model), None),
            y_label: match LOSS {
                true => "training loss".to_owned(),
                false => style::metric(first.metric.as_deref().unwrap_or("score")),
            },
            lines: drawn
                .iter()
                .filter(|c| panel_key(&c.cell) == panel_key(first))
                .map(|c| Line { line: c.line, points: c.points.iter().map(|(point, _)| *point).collect() })
                .collect(),
            levels: Vec::new(),
        });
        let last = drawn.iter().flat_map(|c| &c.points).map(|(p, _)| p.x).fold(0.0, f64::max).ceil() as u32;
        let first = if drawn.iter().flat_map(|c| &c.points).any(|(p, _)| p.x < 1.0) { 0 } else { 1 };
        let legend = lines.iter().enumerate().filter(|(i, _)| drawn.iter().any(|c| c.line == *i));
        Ok(Curves {
            panels: Panels {
                panels: panels.collect(),
                x_label: "epoch".to_owned(),
                x_ticks: (first..=last).map(|epoch| (f64::from(epoch), epoch.to_string())).collect(),
                legend: legend.map(|(line, name)| Legend::Line { line, name: name.clone() }).collect(),
            },
            drawn,
        })
    }

    fn size(&self) -> (u32, u32) {
        self.panels.size()
    }

    fn draw<B: DrawingBackend>(&self, on: &Area<B>, pen: Pen) -> Result<()> {
        self.panels.draw(on, pen)
    }

    fn caption(&self) -> String {
        let what = match LOSS {
            true => "Training loss, averaged within an epoch, or over stretches of steps where runs wrote their steps",
            false => "Dev score after each epoch",
        };
        let mut caption = format!("{what}: means over seeds, at the best setting of each line on dev.");
        if self.drawn.iter().flat_map(|c| &c.points).any(|(p, _)| p.spread.is_some()) {
            caption += " Bands are ± one standard deviation.";
        }
        let sizes =
            |c: &Curve| self.drawn.iter().any(|o| o.cell.task == c.cell.task && o.cell.train_size != c.cell.train_size);
        if self.drawn.iter().any(sizes) {
            caption += " Of several sizes of a training set, the largest is shown.";
        }
        caption
    }

    fn csv(&self) -> Result<String> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        let (value, spread) = if LOSS { ("mean_loss", "std_loss") } else { ("mean_points", "std_points") };
        csv.write_record(["task", "model", "train_examples", "mode", "setting", "epoch", "n", value, spread])?;
        for Curve { cell, points, .. } in &self.drawn {
            for (point, n) in points {
                csv.write_record([
                    cell.task.clone(),
                    cell.model.clone(),
                    cell.train_examples.map_or(String::new(), |n| n.to_string()),
                    cell.mode.clone(),
                    cell.setting(),
                    format!("{:.4}", point.x),
                    n.to_string(),
                    format!("{:.4}", point.y),
                    point.spread.map_or(String::new(), |s| format!("{s:.4}")),
                ])?;
            }
        }
        Ok(String::from_utf8(csv.into_inner().map_err(|e| e.into_error())?)?)
    }
}

/// What makes a panel.
fn panel_key(cell: &Cell) -> (String, String) {
    (cell.task.clone(), cell.model.clone())
}

fn courses<'a>(data: &'a Data, cell: &'a Cell) -> impl Iterator<Item = &'a Course> {
    cell.ids.iter().filter_map(|id| data.courses.get(id))
}

/// Dev scores in points by epoch.
fn scores(data: &Data, cell: &Cell) -> Vec<(Point, usize)> {
    let marks = courses(data, cell).flat_map(|course| &course.epochs);
    over_seeds(marks.filter_map(|m| Some((m.epoch.into(), 1, m.score? * 100.0))))
}

/// Losses by stretches of steps where every run of the cell wrote its steps, else by epoch.
fn losses(data: &Data, cell: &Cell) -> Vec<(Point, usize)> {
    let stretches: Option<Vec<Vec<(u64, u64, f64)>>> = data.folder.as_ref().and_then(|folder| {
        let of_run = |id: &RunId| stretches(&folder.join(&id.0).join("steps.csv"), data.courses.get(id)?);
        cell.ids.iter().filter(|id| data.courses.contains_key(id)).map(of_run).collect()
    });
    match stretches {
        Some(runs) if !runs.is_empty() => over_seeds(runs.into_iter().flatten()),
        _ => {
            let marks = courses(data, cell).flat_map(|course| &course.epochs);
            over_seeds(marks.map(|m| (m.epoch.into(), 1, m.loss)))
        }
    }
}

/// A line of steps.csv, as far as it matters here.
#[derive(Deserialize)]
struct Step {
    step: u32,
    loss: f64,
}

/// The mean loss of each stretch of a run's steps, at its middle as a fraction of epochs; `None` where no steps were
/// written or the file is damaged: curves are then drawn by epoch.
fn stretches(path: &Path, course: &Course) -> Option<Vec<(u64, u64, f64)>> {
    let last = course.epochs.last().filter(|mark| mark.step > 0)?;
    let steps: Vec<Step> = csv::Reader::from_path(path).ok()?.into_deserialize().collect::<Result<_, _>>().ok()?;
    let most = (MOST_POINTS as u64).min(u64::from(last.step));
    let mut sums: BTreeMap<u64, (f64, u32)> = BTreeMap::new();
    for Step { step, loss } in steps.iter().filter(|s| (1..=last.step).contains(&s.step)) {
        let sum = sums.entry(u64::from(step - 1) * most / u64::from(last.step)).or_default();
        (sum.0, sum.1) = (sum.0 + loss, sum.1 + 1);
    }
    let epochs = u64::from(last.epoch);
    let means = sums.into_iter().map(|(i, (sum, n))| ((2 * i + 1) * epochs, 2 * most, sum / f64::from(n)));
    Some(means.collect()).filter(|means: &Vec<_>| means.len() > 1)
}

/// Mean and sample standard deviation of the finite values at each place, places as fractions, ascending.
fn over_seeds(values: impl Iterator<Item = (u64, u64, f64)>) -> Vec<(Point, usize)> {
    let mut places: Vec<(f64, Vec<f64>)> = Vec::new();
    for (over, under, value) in values.filter(|(.., value)| value.is_finite()) {
        let x = over as f64 / under as f64;
        match places.iter_mut().find(|(place, _)| *place == x) {
            Some((_, own)) => own.push(value),
            None => places.push((x, vec![value])),
        }
    }
    places.sort_by(|a, b| a.0.total_cmp(&b.0));
    let point = |(x, values): (f64, Vec<f64>)| {
        let n = values.len() as f64;
        let y = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|v| (v - y).powi(2)).sum();
        let spread = (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt());
        (Point { x, y, spread }, values.len())
    };
    places.into_iter().map(point).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::frame::{Study, example};

    fn study() -> Study {
        let scores = [("vanilla", 1, 0.60), ("vanilla", 2, 0.64), ("child-f", 1, 0.7)];
        let records: Vec<Record> =
            scores.iter().map(|(mode, seed, score)| example::record("rte", mode, None, *seed, *score)).collect();
        Study { planned: records.iter().map(|r| (r.id.clone(), r.run.clone())).collect(), records, ..Study::default() }
    }

    #[test]
    fn scores_are_means_over_seeds_by_epoch() {
        let plot = ScoreCurves::plan(&Data::of(&study()).unwrap()).unwrap();
        let csv = plot.csv().unwrap();
        let lines: Vec<&str> = csv.lines().collect();
        // The example's first epoch is ten points below its last; std of (60, 64) is 2.8284.
        assert!(lines[1].ends_with("vanilla,,1.0000,2,52.0000,2.8284"), "{csv}");
        assert!(lines[2].ends_with("vanilla,,2.0000,2,62.0000,2.8284"), "{csv}");
        assert!(lines[3].ends_with("child-f,,1.0000,1,60.0000,"), "{csv}");
        assert_eq!(plot.panels.x_ticks.len(), 2);
    }

    #[test]
    fn losses_are_by_epoch_unless_every_run_of_the_line_wrote_its_steps() {
        let folder = tempfile::tempdir().unwrap();
        let study = Study { folder: Some(folder.path().to_owned()), ..study() };
        for record in &study.records {
            let own = folder.path().join(&record.id.0);
            std::fs::create_dir_all(&own).unwrap();
            if record.run.mode == "vanilla" {
                let rows: String = (1..=10).map(|s| format!("{s},{},1e-5,1,16,0\n", 1.0 / f64::from(s))).collect();
                std::fs::write(
                    own.join("steps.csv"),
                    format!("step,loss,learning_rate,gradient_norm,examples,seconds\n{rows}"),
                )
                .unwrap();
            }
        }
        let plot = LossCurves::plan(&Data::of(&study).unwrap()).unwrap();
        let counts: Vec<usize> = plot.drawn.iter().map(|c| c.points.len()).collect();
        assert_eq!(counts, [10, 2]);
        // Two epochs of five steps: the first step lies in the middle of the first tenth.
        let (first, n) = plot.drawn[0].points[0];
        assert_eq!((first.x, first.y, n), (0.1, 1.0, 2));
        assert_eq!(plot.panels.x_ticks[0].0, 0.0);
    }

    #[test]
    fn one_epoch_is_no_curve() {
        let mut study = study();
        for record in &mut study.records {
            if let crate::record::End::Done(outcome) = &mut record.end {
                outcome.epochs.truncate(1);
            }
        }
        assert!(ScoreCurves::plan(&Data::of(&study).unwrap()).is_err_and(|why| why.contains("two or more")));
    }
}
