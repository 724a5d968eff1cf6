//! The runs, one row each, as many as a page bears.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde_json::Value;

use super::log_tail::log_tail;
use crate::frame::{Record, Run, RunId, Study, is_rate, points};

pub struct RunList {
    pub rows: Vec<Row>,
    /// Runs planned or recorded, shown or not.
    pub of: usize,
}

pub struct Row {
    /// Class in the style sheet.
    pub kind: &'static str,
    pub task: String,
    pub mode: String,
    /// p, and what else differs between runs of its mode: `p=0.3 lr=2e-5`.
    pub setting: String,
    pub seed: u64,
    pub status: String,
    pub score: String,
    pub seconds: String,
    pub device: String,
    pub id: String,
    pub log: Option<String>,
}

/// Rows on the page, failed runs first served.
const MOST_ROWS: usize = 2000;
/// Bytes of log on the page, failed runs first served.
const MOST_LOG: usize = 256 << 10;

/// A row for each planned run, then one for each record that no plan names. Where they are too many, failed runs come
/// before others, and what is shown keeps its order.
pub fn run_list(study: &Study, records: &[Record], spared: &HashSet<RunId>) -> RunList {
    let by_id: HashMap<&RunId, &Record> = records.iter().map(|r| (&r.id, r)).collect();
    let planned: HashSet<&RunId> = study.planned.iter().map(|(id, _)| id).collect();
    let unplanned = records.iter().filter(|r| !planned.contains(&r.id)).map(|r| (&r.id, &r.run));
    let all: Vec<(&RunId, &Run)> = study.planned.iter().map(|(id, run)| (id, run)).chain(unplanned).collect();
    let has_failed = |id: &RunId| by_id.get(id).is_some_and(|r| r.failure().is_some());

    let mut first: Vec<usize> = (0..all.len()).collect();
    first.sort_by_key(|i| !has_failed(all[*i].0));
    first.truncate(MOST_ROWS);
    let mut logs =
        study.folder.as_deref().map_or_else(HashMap::new, |folder| logs(folder, first.iter().map(|i| all[*i].0)));
    first.sort_unstable();
    let settings = settings(first.iter().map(|i| all[*i].1));
    let rows = first.into_iter().zip(settings).map(|(i, setting)| {
        let (id, run) = all[i];
        let status = status(by_id.get(id).copied(), spared.contains(id));
        row(id, run, setting, status, by_id.get(id).copied(), logs.remove(id))
    });
    RunList { rows: rows.collect(), of: all.len() }
}

/// Tails of logs until the page has enough of them.
fn logs<'a>(folder: &Path, ids: impl Iterator<Item = &'a RunId>) -> HashMap<&'a RunId, String> {
    let mut left = MOST_LOG;
    let mut logs = HashMap::new();
    for id in ids {
        let Some(tail) = log_tail(&folder.join(&id.0)) else { continue };
        if tail.len() > left {
            break;
        }
        left -= tail.len();
        logs.insert(id, tail);
    }
    logs
}

/// For each run the settings by which it is told from others of its mode.
fn settings<'a>(runs: impl Iterator<Item = &'a Run> + Clone) -> Vec<String> {
    let mut values: HashMap<(&str, String), HashSet<String>> = HashMap::new();
    for run in runs.clone() {
        for (name, value) in named(run) {
            values.entry((&run.mode, name)).or_default().insert(value);
        }
    }
    let of_run = |run: &'a Run| {
        let differs = |name: &String| is_rate(name) || values[&(run.mode.as_str(), name.clone())].len() > 1;
        let told = named(run).into_iter().filter(|(name, _)| differs(name));
        told.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    };
    runs.map(of_run).collect()
}

/// Every setting of a run but task, mode and seed, as a sweep file would say it.
fn named(run: &Run) -> Vec<(String, String)> {
    let said = |value: &Value| match value {
        Value::Null => "default".to_owned(),
        Value::String(word) => word.clone(),
        other => other.to_string(),
    };
    let recipe = serde_json::to_value(&run.recipe).unwrap_or_default();
    let model = [("model".to_owned(), run.model.name.clone())];
    let numbers = run.method.numbers.iter().map(|(name, value)| (name.clone(), said(value)));
    let recipe = recipe.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), said(value)));
    model.into_iter().chain(numbers).chain(recipe).collect()
}

fn status(record: Option<&Record>, is_spared: bool) -> String {
    let Some(record) = record else {
        return if is_spared { "not needed (decided)" } else { "not yet run" }.to_owned();
    };
    match (record.failure(), record.stopped(), record.outcome()) {
        (Some(failure), ..) => failure.cause().to_owned(),
        (_, Some(stopped), _) => format!("stopped early, step {} of {}", stopped.at.step, stopped.at.of),
        (.., Some(outcome)) if outcome.collapsed => "done, collapsed".to_owned(),
        _ => "done".to_owned(),
    }
}

fn row(id: &RunId, run: &Run, setting: String, status: String, record: Option<&Record>, log: Option<String>) -> Row {
    let made = record.map(|r| &r.made);
    Row {
        kind: if record.is_some_and(|r| r.failure().is_some()) { "failed" } else { "fine" },
        task: run.task.name.clone(),
        mode: run.mode.clone(),
        setting,
        seed: run.seed,
        status,
        score: record.map_or(String::new(), |r| points(r.score(), None)),
        seconds: made.map_or(String::new(), |m| format!("{:.1}", m.total_seconds())),
        device: made.map_or(String::new(), |m| m.device.clone()),
        id: id.to_string(),
        log,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::frame::example;
    use crate::record::{End, Failure};

    #[test]
    fn a_setting_is_told_where_it_differs_within_the_mode() {
        let mut records = [
            example::record("rte", "vanilla", None, 1, 0.5),
            example::record("rte", "child-f", Some(0.3), 1, 0.5),
            example::record("rte", "child-f", Some(0.3), 2, 0.5),
        ];
        records[2].run.recipe.lr = 4e-5;
        let told = settings(records.iter().map(|r| &r.run));
        assert_eq!(told, ["", "p=0.3 lr=0.00002", "p=0.3 lr=0.00004"]);
    }

    #[test]
    fn failed_runs_and_their_logs_are_served_first() {
        let folder = tempfile::tempdir().unwrap();
        let mut records: Vec<Record> =
            (0..3000).map(|seed| example::record("rte", "vanilla", None, seed, 0.5)).collect();
        records[2999].end = End::Failed(Failure::Diverged { step: 3 });
        let long = "a line of a log that goes on and on\n".repeat(12);
        for record in &records[..1000] {
            std::fs::create_dir(folder.path().join(&record.id.0)).unwrap();
            std::fs::write(folder.path().join(&record.id.0).join("log.txt"), &long).unwrap();
        }
        let failed = folder.path().join(&records[2999].id.0);
        std::fs::create_dir(&failed).unwrap();
        std::fs::write(failed.join("log.txt"), "why").unwrap();
        let planned = records.iter().map(|r| (r.id.clone(), r.run.clone())).collect();
        let study = Study { planned, folder: Some(folder.path().to_owned()), ..Study::default() };
        let list = run_list(&study, &records, &HashSet::new());
        assert_eq!((list.rows.len(), list.of), (MOST_ROWS, 3000));
        let last = list.rows.last().unwrap();
        assert_eq!((&*last.status, last.kind, last.log.as_deref()), ("diverged", "failed", Some("why")));
        let shown = list.rows.iter().filter(|r| r.log.is_some()).count();
        assert_eq!(shown, 1 + (MOST_LOG - 3) / (long.len() - 1));
    }
}
