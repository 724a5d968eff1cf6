//! One sweep: its running runs, what failed and why, and what happened last.

use std::collections::{BTreeMap, HashMap};

use anyhow::Result;
use rayon::prelude::*;
use serde::Serialize;

use super::{Known, Line};
use crate::cli::{Exit, duration, print};
use crate::plan::{Run, RunId, labels};
use crate::record::Failure;
use crate::record::live::{Running, Slot, seconds_since};
use crate::record::log::{self, Event, What};
use crate::record::shard::Shard;
use crate::record::store::{Manifest, Store};
use crate::watch::last_lines;

/// Failed runs that are named, and events that are told.
const FAILURES: usize = 8;
const EVENTS: usize = 6;

#[derive(Serialize)]
struct Json<'a> {
    #[serde(flatten)]
    line: Line,
    failures: &'a [Failed],
    events: &'a [Event],
}

#[derive(Serialize)]
struct Failed {
    id: RunId,
    run: String,
    cause: String,
    message: String,
}

pub fn show(store: &Store, manifest: &Manifest, json: bool) -> Result<Exit> {
    let holders = store.holders();
    let ids: Vec<RunId> = manifest.runs.iter().map(|(id, _)| id.clone()).collect();
    let known = Known::of(store, &manifest.name, &ids, manifest.stop.is_some(), &holders)?;
    let labels = labels(manifest.runs.iter().map(|(id, run)| (id, run)));
    let failures = if known.tally.failed > 0 { failures(store, manifest, &labels)? } else { Vec::new() };
    let events = last_events(store, &manifest.name);
    if json {
        let json = Json { line: known.line(&manifest.name), failures: &failures, events: &events };
        print(&serde_json::to_string_pretty(&json)?)?;
        return Ok(Exit::Done);
    }
    match &manifest.question {
        Some(question) => print(&format!("{}: {question}", manifest.name))?,
        None => print(&manifest.name)?,
    }
    print(&counts(&known))?;
    for phrase in known.now() {
        print(&phrase)?;
    }
    for (slot, running) in running(&known) {
        print(&format!("  {}", line_of(slot, running)))?;
    }
    if !failures.is_empty() {
        print(&format!("failed: {}", causes(&failures)))?;
        for failed in failures.iter().take(FAILURES) {
            let message = failed.message.lines().next().unwrap_or_default();
            print(&format!("  {:.10}  {}  {}: {message}", failed.id, failed.run, failed.cause))?;
        }
        if failures.len() > FAILURES {
            print(&format!("  and {} more", failures.len() - FAILURES))?;
        }
    }
    if !events.is_empty() {
        print("last:")?;
        for event in &events {
            print(&format!("  {}  {}", event.time, told(&event.what, &labels)))?;
        }
    }
    Ok(Exit::Done)
}

/// `51 runs: 12 done, 1 failed, 2 running, 36 waiting`.
fn counts(known: &Known) -> String {
    let (tally, running) = (known.tally, known.running().min(known.tally.left));
    let is_at_work = known.seen.iter().any(|seen| seen.verdict.is_at_work()) || !known.holders.is_empty();
    let rest = if is_at_work { "waiting" } else { "left" };
    let all = [
        (tally.done, "done"),
        (tally.stopped, "stopped early"),
        (tally.failed, "failed"),
        (running, "running"),
        (tally.left - running, rest),
    ];
    let mut said: Vec<String> =
        all.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    if tally.collapsed > 0 {
        said[0] += &format!(" ({} collapsed)", tally.collapsed);
    }
    format!("{} runs: {}", tally.runs, said.join(", "))
}

fn running(known: &Known) -> impl Iterator<Item = (&Slot, &Running)> {
    let at_work = known.seen.iter().filter(|seen| seen.verdict.is_at_work());
    at_work.flat_map(|seen| &seen.live.slots).flat_map(|slot| slot.runs().map(move |run| (slot, run)))
}

/// `3f2a91bc04  rte · vanilla · seed 1  train 40/120, loss 0.534, 120 ex/s, 65 s, cpu`.
fn line_of(slot: &Slot, run: &Running) -> String {
    let mut said = vec![match (run.phase.as_str(), run.of) {
        ("train", 1..) => format!("step {} of {}", run.step, run.of),
        (phase, _) => phase.to_owned(),
    }];
    said.extend(run.loss.map(|loss| format!("loss {loss:.3}")));
    said.extend(run.examples_per_second.map(|speed| format!("{speed:.0} examples/s")));
    let age = run.since.parse().ok().map(|since| seconds_since(since, jiff::Timestamp::now()).max(0.0));
    said.extend(age.map(|age| format!("for {}", duration(age))));
    said.push(format!("on {}", slot.device));
    if run.attempt > 1 {
        said.push(format!("attempt {}", run.attempt));
    }
    said.extend(run.checkpoint.map(|step| format!("checkpoint at step {step}")));
    format!("{:.10}  {}  {}", run.id, run.label, said.join(", "))
}

/// The runs that failed, in the order of the plan.
fn failures(store: &Store, manifest: &Manifest, labels: &HashMap<RunId, String>) -> Result<Vec<Failed>> {
    let read = |(id, _): &(RunId, Run)| -> Result<Option<Failed>> {
        let Some(record) = store.read(id)? else { return Ok(None) };
        let failed = |failure: &Failure| Failed {
            id: id.clone(),
            run: labels.get(id).cloned().unwrap_or_default(),
            cause: failure.cause().to_owned(),
            message: failure.sentence(),
        };
        Ok(record.failure().map(failed))
    };
    let failures: Result<Vec<Option<Failed>>> = manifest.runs.par_iter().map(read).collect();
    Ok(failures?.into_iter().flatten().collect())
}

/// `2 crashed, 1 out of memory`.
fn causes(failures: &[Failed]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    failures.iter().for_each(|failed| *counts.entry(&failed.cause).or_default() += 1);
    counts.iter().map(|(cause, count)| format!("{count} {cause}")).collect::<Vec<_>>().join(", ")
}

/// The last events of all coordinators, oldest first.
pub fn last_events(store: &Store, sweep: &str) -> Vec<Event> {
    let folder = store.sweep_folder(sweep);
    let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    let is_log = |name: &std::ffi::OsString| Shard::is_file_of(&name.to_string_lossy(), "events", "jsonl");
    let logs = entries.map(|entry| entry.file_name()).filter(is_log);
    let lines = logs.flat_map(|name| last_lines(&folder.join(name), EVENTS));
    let mut events: Vec<Event> = lines.filter_map(|line| log::event_of(format!("{line}\n").as_bytes())).collect();
    events.sort_by(|a, b| a.time.cmp(&b.time));
    events.split_off(events.len().saturating_sub(EVENTS))
}

/// An event in words.
fn told(what: &What, labels: &HashMap<RunId, String>) -> String {
    let run = |id: &RunId| labels.get(id).map_or_else(|| format!("{id:.10}"), |label| format!("{id:.10}  {label}"));
    match what {
        // A job of a cluster takes what it finds.
        What::Began { runs: 0, pid, .. } => format!("process {pid} began to take runs"),
        What::Began { runs, pid, .. } => format!("process {pid} set out to do {runs} runs"),
        What::Started { id, slot, attempt: 1 } => format!("{}  started in slot {slot}", run(id)),
        What::Started { id, slot, attempt } => format!("{}  started in slot {slot}, attempt {attempt}", run(id)),
        What::Ended { id, how, seconds } => format!("{}  {how} after {}", run(id), duration(*seconds)),
        What::Paused { id, step } => format!("{}  put aside at step {step}", run(id)),
        What::PutBack { id, attempt, how, next } => format!("{}  attempt {attempt} failed ({how}): {next}", run(id)),
        What::Reached { id, rung } => {
            format!("{}  waits at step {} of {} for its rule", run(id), rung.step, rung.of)
        }
        What::Held { why } => format!("paused: {why}"),
        What::Released => "goes on".to_owned(),
        What::Finished { done, failed, left } => format!("ended: {done} done, {failed} failed, {left} left"),
    }
}
