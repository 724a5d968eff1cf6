//! A setting and what its seeds scored, as a plain value.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use polars::prelude::*;

use super::runs::SETTING;
use super::{REFERENCE, RunId};
use crate::stats::{Interval, mean_interval};
use crate::stop::Standing;

/// One row of the summary.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    pub task: String,
    pub model: String,
    pub mode: String,
    /// The reserve rate, where the method has one.
    pub p: Option<f64>,
    /// Training examples asked for; `None` is all of them.
    pub train_size: Option<u32>,
    /// The other settings, in the order of the columns: `lr` and `2e-5`.
    pub settings: Vec<(String, String)>,
    /// Names of those that differ between cells of this mode.
    pub varying: Vec<String>,
    /// Names of those that are compared, each value on a row or line of its own: what differs in `varying` is else
    /// chosen on dev, or goes with the task, the model or the size.
    pub apart: Vec<String>,
    /// The headline metric; `None` where no run was scored.
    pub metric: Option<String>,
    /// Training examples used, where a run got that far.
    pub train_examples: Option<u64>,
    pub runs: u32,
    /// Runs with a score. All statistics are over these, raw, not in points.
    pub n: u32,
    pub mean: Option<f64>,
    /// Of the sample; `None` below two scores.
    pub std: Option<f64>,
    pub median: Option<f64>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    /// 95 % of the mean, by [`mean_interval`]; `None` below two scores.
    pub interval: Option<Interval>,
    /// What settings are chosen by where this is not the mean itself: the mean over the even half of dev.
    pub chosen_by: Option<f64>,
    /// Finished runs whose dev predictions are all alike; those with a score are in the mean.
    pub collapsed: u32,
    /// Finished runs whose metric is undefined though their predictions differ.
    pub undefined: u32,
    pub diverged: u32,
    /// Runs that failed in another way.
    pub failed: u32,
    /// Runs that a rule ended early: neither scored nor failed; and the last step that one of them came to.
    pub stopped: u32,
    pub stopped_at: Option<u32>,
    /// Runs that were never needed, since the comparison is decided; they are not among `runs`.
    pub spared: u32,
    /// How its comparison with the reference stands, where seeds were added only while it was open.
    pub looked: Option<Standing>,
    /// Seed to score.
    pub scores: BTreeMap<u64, f64>,
    /// The runs behind it, in their order.
    pub ids: Vec<RunId>,
}

impl Cell {
    /// What of this setting is not said by task, model, mode and size: `p=0.3 lr=2e-5`, or nothing.
    pub fn setting(&self) -> String {
        self.said(self.p, |name| self.varying.contains(name))
    }

    /// The row or line that this cell belongs to: the mode and what is compared beside it, `child-d fidelity=code`.
    pub fn line(&self) -> String {
        let apart = self.said(None, |name| self.apart.contains(name));
        if apart.is_empty() { self.mode.clone() } else { format!("{} {apart}", self.mode) }
    }

    /// What of the setting the name of its line does not say: `p=0.3 lr=2e-5`, or nothing.
    pub fn choice(&self) -> String {
        self.said(self.p, |name| self.varying.contains(name) && !self.apart.contains(name))
    }

    fn said(&self, p: Option<f64>, is_said: impl Fn(&String) -> bool) -> String {
        let p = p.map(|p| format!("p={p}"));
        let settings = self.settings.iter().filter(|(name, _)| is_said(name));
        p.into_iter().chain(settings.map(|(name, value)| format!("{name}={value}"))).collect::<Vec<_>>().join(" ")
    }

    /// The value of a setting, `p` among them, as a sweep file would say it.
    pub fn value(&self, name: &str) -> Option<String> {
        match name {
            "p" => self.p.map(|p| p.to_string()),
            _ => self.settings.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone()),
        }
    }

    /// Whether a cell of the reference is this one's counterpart: equal in all that the reference is compared in.
    pub fn fits(&self, reference: &Cell) -> bool {
        reference.apart.iter().all(|name| self.value(name) == reference.value(name))
    }

    /// The runs with a score, of those that ended: `3`, or `2 of 3`.
    pub fn counted(&self) -> String {
        if self.n < self.runs { format!("{} of {}", self.n, self.runs) } else { self.n.to_string() }
    }

    /// What is to be said of runs without a score: trouble, and those that were stopped early.
    pub fn remarks(&self) -> String {
        let stopped = (self.stopped > 0).then(|| format!("{} stopped early", self.stopped));
        [Some(self.trouble()).filter(|t| !t.is_empty()), stopped].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// Runs that went wrong, in words: `1 collapsed, 2 diverged`; empty where none did.
    pub fn trouble(&self) -> String {
        [
            (self.collapsed, "collapsed"),
            (self.undefined, "undefined"),
            (self.diverged, "diverged"),
            (self.failed, "failed"),
        ]
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect::<Vec<_>>()
        .join(", ")
    }
}

/// The rows of a summary. `tune` names the settings that are chosen on dev and not compared.
pub fn cells(summary: &DataFrame, tune: &[String]) -> Result<Vec<Cell>> {
    let named = ["task", "model", "mode", "method", "p", "numbers", "train_size"];
    let others: Vec<&str> = SETTING.into_iter().filter(|name| !named.contains(name)).collect();
    let mut cells = Vec::new();
    for row in 0..summary.height() {
        let text =
            |name: &str| -> Result<Option<String>> { Ok(summary.column(name)?.str()?.get(row).map(str::to_owned)) };
        let real = |name: &str| -> Result<Option<f64>> { Ok(summary.column(name)?.f64()?.get(row)) };
        let count = |name: &str| -> Result<u32> { Ok(summary.column(name)?.u32()?.get(row).unwrap_or(0)) };
        let list = |name: &str| -> Result<Series> {
            let list = summary.column(name)?.list()?.get_as_series(row);
            Ok(list.unwrap_or_default())
        };
        let (seeds, scores) = (list("seeds")?, list("scores")?);
        let scores = scores.f64()?;
        let scored: Vec<f64> = scores.iter().flatten().collect();
        let pairs = seeds.u64()?.iter().zip(scores.iter()).filter_map(|(seed, score)| Some((seed?, score?)));
        let mut settings = Vec::new();
        for name in &others {
            settings.push(((*name).to_owned(), shown(&summary.column(name)?.get(row)?)));
        }
        let numbers = text("numbers")?.unwrap_or_default();
        let numbers = numbers.split(' ').filter_map(|number| number.split_once('='));
        settings.splice(0..0, numbers.map(|(name, value)| (name.to_owned(), value.to_owned())));
        cells.push(Cell {
            task: text("task")?.unwrap_or_default(),
            model: text("model")?.unwrap_or_default(),
            mode: text("mode")?.unwrap_or_default(),
            p: real("p")?,
            train_size: summary.column("train_size")?.u32()?.get(row),
            settings,
            varying: Vec::new(),
            apart: Vec::new(),
            metric: text("metric")?,
            train_examples: summary.column("train_examples")?.u64()?.get(row),
            runs: count("runs")?,
            n: count("n")?,
            mean: real("mean")?,
            std: real("std")?,
            median: real("median")?,
            min: real("min")?,
            max: real("max")?,
            interval: mean_interval(&scored),
            chosen_by: None,
            collapsed: count("collapsed")?,
            undefined: count("undefined")?,
            diverged: count("diverged")?,
            failed: count("failed")?,
            stopped: count("stopped")?,
            stopped_at: summary.column("stopped_at")?.u32()?.get(row),
            spared: 0,
            looked: None,
            scores: pairs.collect(),
            ids: list("ids")?.str()?.iter().flatten().map(|id| RunId(id.to_owned())).collect(),
        });
    }
    let varying = differing(&cells, |c| c.mode.clone());
    // What changes only with task, model or size, as zipped axes do, compares nothing.
    let blocks = differing(&cells, |c| (c.mode.clone(), c.task.clone(), c.model.clone(), c.train_size));
    let mut within: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for ((mode, ..), names) in blocks {
        within.entry(mode).or_default().extend(names);
    }
    let alone = unlike_the_reference(&cells);
    for cell in &mut cells {
        let names = || cell.settings.iter().map(|(name, _)| name.clone());
        let differs = |name: &String| within[&cell.mode].contains(name);
        // One number of a combination is tuned under its plain name.
        let is_tuned = |name: &String| tune.iter().any(|tuned| name.rsplit('.').next() == Some(tuned));
        cell.apart = names().filter(|name| !is_tuned(name) && differs(name)).collect();
        let unlike = |name: &String| !is_tuned(name) && alone.contains(&(cell.mode.clone(), name.clone()));
        cell.varying = names().filter(|name| varying[&cell.mode].contains(name) || unlike(name)).collect();
    }
    Ok(cells)
}

/// Modes and settings of training in which a mode has a value that the reference never has on the same task, model and
/// size: what it is compared with was trained otherwise, and that must be seen.
fn unlike_the_reference(cells: &[Cell]) -> BTreeSet<(String, String)> {
    let block = |c: &Cell| (c.task.clone(), c.model.clone(), c.train_size);
    let of_training = |c: &Cell| -> Vec<(String, String)> {
        c.settings.iter().filter(|(name, _)| SETTING.contains(&name.as_str())).cloned().collect()
    };
    let mut reference: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for cell in cells.iter().filter(|c| c.mode == REFERENCE) {
        reference.entry(block(cell)).or_default().extend(of_training(cell));
    }
    let unlike =
        cells.iter().filter_map(|cell| Some((cell, reference.get(&block(cell))?))).flat_map(|(cell, known)| {
            let own = of_training(cell).into_iter().filter(|setting| !known.contains(setting));
            own.map(|(name, _)| (cell.mode.clone(), name)).collect::<Vec<_>>()
        });
    unlike.collect()
}

/// For every key the names of the settings that its cells differ in.
fn differing<K: Ord>(cells: &[Cell], key: impl Fn(&Cell) -> K) -> BTreeMap<K, BTreeSet<String>> {
    let mut first: BTreeMap<K, &Cell> = BTreeMap::new();
    let mut names: BTreeMap<K, BTreeSet<String>> = BTreeMap::new();
    for cell in cells {
        let first = first.entry(key(cell)).or_insert(cell);
        let differing = cell.settings.iter().filter(|(name, value)| first.value(name).as_ref() != Some(value));
        names.entry(key(cell)).or_default().extend(differing.map(|(name, _)| name.clone()));
    }
    names
}

/// A setting's value as a sweep file would say it.
fn shown(value: &AnyValue) -> String {
    match value {
        AnyValue::Null => "default".to_owned(),
        AnyValue::String(word) => (*word).to_owned(),
        AnyValue::StringOwned(word) => word.to_string(),
        AnyValue::Float64(x) if *x != 0.0 && x.abs() < 1e-3 => format!("{x:e}"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::frame::{example, runs, summary};

    #[test]
    fn what_is_compared_names_the_line_and_what_is_tuned_or_goes_with_the_task_does_not() {
        let mut records = Vec::new();
        for (task, epochs) in [("rte", 3), ("cola", 5)] {
            for fidelity in ["paper", "code"] {
                for lr in [2e-5, 4e-5] {
                    let mut record = example::record(task, "child-d", Some(0.3), 1, 0.6);
                    record.run.method.numbers.insert("fidelity".into(), fidelity.into());
                    (record.run.recipe.lr, record.run.recipe.epochs) = (lr, epochs);
                    records.push(record);
                }
            }
        }
        let summary = summary(&runs(&records).unwrap()).unwrap();
        let tuned = cells(&summary, &["lr".to_owned()]).unwrap();
        assert_eq!(
            (tuned[2].line(), tuned[2].choice()),
            ("child-d fidelity=code".into(), "p=0.3 epochs=3 lr=2e-5".into())
        );
        assert_eq!(tuned[2].setting(), "p=0.3 fidelity=code epochs=3 lr=2e-5");
        assert_eq!(cells(&summary, &[]).unwrap()[2].line(), "child-d fidelity=code lr=2e-5");
    }

    #[test]
    fn a_cell_shows_only_what_varies_within_its_mode() {
        let mut records = Vec::new();
        for lr in [2e-5, 4e-5] {
            let mut record = example::record("rte", "child-d", Some(0.3), 1, 0.6);
            record.run.recipe.lr = lr;
            records.push(record);
        }
        records.push(example::record("rte", "vanilla", None, 1, 0.6));
        let cells = cells(&summary(&runs(&records).unwrap()).unwrap(), &[]).unwrap();
        let settings: Vec<String> = cells.iter().map(Cell::setting).collect();
        assert_eq!(settings, ["p=0.3 lr=2e-5", "p=0.3 lr=4e-5", ""]);
    }
}
