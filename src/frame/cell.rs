//! A setting and what its seeds scored, as a plain value.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use polars::prelude::*;

use super::runs::SETTING;

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
    /// The other settings that differ between runs of the same mode, in the order of the columns: `lr` and `2e-5`.
    pub varying: Vec<(String, String)>,
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
    /// Finished runs whose dev predictions are all alike; those with a score are in the mean.
    pub collapsed: u32,
    pub diverged: u32,
    /// Runs that failed in another way.
    pub failed: u32,
    /// Seed to score.
    pub scores: BTreeMap<u64, f64>,
}

impl Cell {
    /// What of this setting is not said by task, model, mode and size: `p=0.3 lr=2e-5`, or nothing.
    pub fn setting(&self) -> String {
        let p = self.p.map(|p| format!("p={p}"));
        let varying = self.varying.iter().map(|(name, value)| match name.as_str() {
            "numbers" => value.clone(),
            _ => format!("{name}={value}"),
        });
        p.into_iter().chain(varying).filter(|s| !s.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// Runs that went wrong, in words: `1 collapsed, 2 diverged`; empty where none did.
    pub fn trouble(&self) -> String {
        [(self.collapsed, "collapsed"), (self.diverged, "diverged"), (self.failed, "failed")]
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!("{count} {word}"))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// The rows of a summary.
pub fn cells(summary: &DataFrame) -> Result<Vec<Cell>> {
    let named = ["task", "model", "mode", "method", "p", "train_size"];
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
        let pairs = seeds.u64()?.iter().zip(scores.f64()?.iter()).filter_map(|(seed, score)| Some((seed?, score?)));
        let mut settings = Vec::new();
        for name in &others {
            settings.push(((*name).to_owned(), shown(&summary.column(name)?.get(row)?)));
        }
        cells.push(Cell {
            task: text("task")?.unwrap_or_default(),
            model: text("model")?.unwrap_or_default(),
            mode: text("mode")?.unwrap_or_default(),
            p: real("p")?,
            train_size: summary.column("train_size")?.u32()?.get(row),
            varying: settings,
            metric: text("metric")?,
            train_examples: summary.column("train_examples")?.u64()?.get(row),
            runs: count("runs")?,
            n: count("n")?,
            mean: real("mean")?,
            std: real("std")?,
            median: real("median")?,
            min: real("min")?,
            max: real("max")?,
            collapsed: count("collapsed")?,
            diverged: count("diverged")?,
            failed: count("failed")?,
            scores: pairs.collect(),
        });
    }
    keep_what_varies(&mut cells);
    Ok(cells)
}

/// A setting is worth showing if two cells of one mode differ in it.
fn keep_what_varies(cells: &mut [Cell]) {
    let mut seen: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for cell in cells.iter() {
        for (name, value) in &cell.varying {
            seen.entry((cell.mode.clone(), name.clone())).or_default().insert(value.clone());
        }
    }
    for cell in cells {
        let mode = cell.mode.clone();
        cell.varying.retain(|(name, _)| seen[&(mode.clone(), name.clone())].len() > 1);
    }
}

/// A setting's value as a sweep file would say it.
fn shown(value: &AnyValue) -> String {
    match value {
        AnyValue::Null => "default".to_owned(),
        AnyValue::String(word) => (*word).to_owned(),
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
    fn a_cell_shows_only_what_varies_within_its_mode() {
        let mut records = Vec::new();
        for lr in [2e-5, 4e-5] {
            let mut record = example::record("rte", "child-d", Some(0.3), 1, 0.6);
            record.run.recipe.lr = lr;
            records.push(record);
        }
        records.push(example::record("rte", "vanilla", None, 1, 0.6));
        let cells = cells(&summary(&runs(&records).unwrap()).unwrap()).unwrap();
        let settings: Vec<String> = cells.iter().map(Cell::setting).collect();
        assert_eq!(settings, ["p=0.3 lr=2e-5", "p=0.3 lr=4e-5", ""]);
    }
}
