//! The page as plain values; `templates/report.html` sets them.

use std::collections::{BTreeMap, HashMap};

use askama::Template;

use crate::figure::{Figure, Made, Picture};
use crate::frame::{MainTable, REFERENCE, Record, RunId, Study, Table, duration, points};

#[derive(Template)]
#[template(path = "report.html")]
pub struct Page {
    name: String,
    question: Option<String>,
    counts: Vec<Count>,
    facts: Vec<Fact>,
    warnings: Vec<String>,
    main: Table,
    differences: Option<Table>,
    reference: &'static str,
    figures: Vec<Drawn>,
    settings: Table,
    failures: Vec<Cause>,
    runs: Vec<Row>,
    provenance: Vec<Fact>,
}

struct Count {
    /// Class in the style sheet.
    kind: &'static str,
    number: usize,
    word: &'static str,
}

struct Fact {
    name: &'static str,
    value: String,
}

struct Drawn {
    name: &'static str,
    title: &'static str,
    drawn: Result<Picture, String>,
}

/// Runs that failed alike.
struct Cause {
    name: &'static str,
    runs: Vec<Failed>,
}

struct Failed {
    label: String,
    sentence: String,
}

struct Row {
    kind: &'static str,
    label: String,
    id: String,
    ended: String,
    score: String,
    seconds: String,
    device: String,
}

impl Page {
    /// `records` in the order of the plan.
    pub fn of(
        study: &Study,
        records: &[Record],
        main: MainTable,
        settings: Table,
        figures: Vec<(&'static Figure, Made)>,
    ) -> Page {
        let figures = figures.into_iter().map(|(figure, made)| Drawn {
            name: figure.name,
            title: figure.title,
            drawn: match made {
                Made::Picture(picture) => Ok(picture),
                Made::Skipped(reason) => Err(reason),
            },
        });
        Page {
            name: study.name.clone(),
            question: study.question.clone(),
            counts: counts(study, records),
            facts: facts(study, records),
            warnings: study.warnings.clone(),
            main: main.scores,
            differences: main.differences,
            reference: REFERENCE,
            figures: figures.collect(),
            settings,
            failures: failures(records),
            runs: rows(study, records),
            provenance: provenance(records),
        }
    }
}

fn counts(study: &Study, records: &[Record]) -> Vec<Count> {
    let done = records.iter().filter(|r| r.outcome().is_some()).count();
    let failed = records.len() - done;
    let known: HashMap<&RunId, ()> = records.iter().map(|r| (&r.id, ())).collect();
    let waiting = study.planned.iter().filter(|(id, _)| !known.contains_key(id)).count();
    vec![
        Count { kind: "planned", number: study.planned.len(), word: "runs planned" },
        Count { kind: "done", number: done, word: "done" },
        Count { kind: if failed > 0 { "failed" } else { "none" }, number: failed, word: "failed" },
        Count { kind: "waiting", number: waiting, word: "not yet run" },
    ]
}

fn facts(study: &Study, records: &[Record]) -> Vec<Fact> {
    let runs = || study.planned.iter().map(|(_, run)| run);
    let mut seeds: Vec<u64> = runs().map(|r| r.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    let seeds = match seeds[..] {
        [] => String::new(),
        [first, .., last] if last - first + 1 == seeds.len() as u64 => format!("{first} to {last}"),
        _ => seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
    };
    let total: f64 = records.iter().map(|r| r.made.total_seconds()).sum();
    let facts = [
        Fact { name: "tasks", value: listed(runs().map(|r| r.task.name.clone())) },
        Fact { name: "model", value: listed(runs().map(|r| r.model.name.clone())) },
        Fact { name: "modes", value: listed(runs().map(|r| r.mode.clone())) },
        Fact { name: "seeds", value: seeds },
        Fact { name: "devices", value: listed(records.iter().map(device)) },
        Fact { name: "commit", value: listed(records.iter().map(|r| short(&r.made.commit))) },
        Fact { name: "time of all runs", value: if records.is_empty() { String::new() } else { duration(total) } },
    ];
    facts.into_iter().filter(|f| !f.value.is_empty()).collect()
}

fn provenance(records: &[Record]) -> Vec<Fact> {
    let started = || records.iter().map(|r| r.made.started.clone()).filter(|s| !s.is_empty());
    let mut phases: BTreeMap<&str, f64> = BTreeMap::new();
    for (phase, seconds) in records.iter().flat_map(|r| &r.made.seconds) {
        *phases.entry(phase).or_default() += seconds;
    }
    let phases: Vec<String> = phases.iter().map(|(phase, s)| format!("{phase} {}", duration(*s))).collect();
    let peak = records.iter().map(|r| r.made.peak_memory_mib).fold(0.0, f64::max);
    let facts = [
        Fact { name: "sweep", value: listed(records.iter().map(|r| r.made.version.clone())) },
        Fact { name: "commit", value: listed(records.iter().map(|r| r.made.commit.clone())) },
        Fact { name: "libtorch", value: listed(records.iter().map(|r| r.made.libtorch.clone())) },
        Fact { name: "threads a run", value: listed(records.iter().map(|r| r.made.threads.to_string())) },
        Fact { name: "first run started", value: started().min().unwrap_or_default() },
        Fact { name: "last run started", value: started().max().unwrap_or_default() },
        Fact { name: "time by phase", value: phases.join(", ") },
        Fact { name: "peak memory", value: if peak > 0.0 { format!("{peak:.0} MiB") } else { String::new() } },
        Fact { name: "data (hash)", value: listed(records.iter().map(|r| hashed(&r.run.task.name, &r.run.task.hash))) },
        Fact {
            name: "model (hash)",
            value: listed(records.iter().map(|r| hashed(&r.run.model.name, &r.run.model.hash))),
        },
    ];
    facts.into_iter().filter(|f| !f.value.is_empty()).collect()
}

fn failures(records: &[Record]) -> Vec<Cause> {
    let mut causes: BTreeMap<&'static str, Vec<Failed>> = BTreeMap::new();
    for record in records {
        if let Some(failure) = record.failure() {
            let failed = Failed { label: record.run.label(), sentence: failure.sentence() };
            causes.entry(failure.cause()).or_default().push(failed);
        }
    }
    causes.into_iter().map(|(name, runs)| Cause { name, runs }).collect()
}

/// A row for each planned run, then one for each record that no plan names.
fn rows(study: &Study, records: &[Record]) -> Vec<Row> {
    let by_id: HashMap<&RunId, &Record> = records.iter().map(|r| (&r.id, r)).collect();
    let planned: HashMap<&RunId, ()> = study.planned.iter().map(|(id, _)| (id, ())).collect();
    let rows = study.planned.iter().map(|(id, run)| row(id, run.label(), by_id.get(id).copied()));
    let others = records.iter().filter(|r| !planned.contains_key(&r.id));
    rows.chain(others.map(|r| row(&r.id, r.run.label(), Some(r)))).collect()
}

fn row(id: &RunId, label: String, record: Option<&Record>) -> Row {
    let ended = match record {
        None => "not yet run".to_owned(),
        Some(r) => match (r.failure(), r.outcome()) {
            (Some(failure), _) => failure.cause().to_owned(),
            (_, Some(outcome)) if outcome.collapsed => "done, collapsed".to_owned(),
            _ => "done".to_owned(),
        },
    };
    Row {
        kind: if record.is_some_and(|r| r.failure().is_some()) { "failed" } else { "fine" },
        label,
        id: id.to_string(),
        ended,
        score: record.map_or(String::new(), |r| points(r.score(), None)),
        seconds: record.map_or(String::new(), |r| format!("{:.1}", r.made.total_seconds())),
        device: record.map_or(String::new(), |r| r.made.device.clone()),
    }
}

/// Distinct values in order of appearance, with commas.
fn listed(values: impl Iterator<Item = String>) -> String {
    let mut seen: Vec<String> = Vec::new();
    for value in values.filter(|v| !v.is_empty()) {
        if !seen.contains(&value) {
            seen.push(value);
        }
    }
    seen.join(", ")
}

fn device(record: &Record) -> String {
    let made = &record.made;
    if made.device_name.is_empty() { made.device.clone() } else { format!("{} ({})", made.device, made.device_name) }
}

/// The first digits of a commit, and the `+` that marks a changed tree.
fn short(commit: &str) -> String {
    let digits: String = commit.chars().take_while(|c| *c != '+').take(12).collect();
    if commit.ends_with('+') { digits + "+" } else { digits }
}

fn hashed(name: &str, hash: &str) -> String {
    format!("{name} {}", hash.chars().take(12).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_keeps_its_mark() {
        assert_eq!(short("0123456789abcdef+"), "0123456789ab+");
        assert_eq!(short(""), "");
    }
}
