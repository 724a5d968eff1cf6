//! `sweep explain RUN`: why a run waits, why it would be trained again or not, and what its id is made of.

mod differences;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use comfy_table::{Table, presets::NOTHING};

use super::early::Early;
use super::plan::{Judged, Reason, judge, past};
use super::recorded::Recorded;
use super::which::{self, Which};
use super::workspace::{Inputs, Workspace, results_root};
use super::{Exit, Places, Refusal, duration, print};
use crate::kept::Kept;
use crate::plan::{Run, RunId};
use crate::record::control::{self, Request};
use crate::record::live::{Seen, Slot, Verdict};
use crate::record::log::{self, Event, What};
use crate::record::shard::Shard;
use crate::record::store::Store;
use crate::record::{Record, Rung};
use crate::watch::ended;
use differences::differences;

#[derive(clap::Args)]
pub struct Arguments {
    /// The run's id, or the beginning of it
    run: String,
    /// The sweep file, to hold the run against the data and models of this machine
    file: Option<PathBuf>,
    #[command(flatten)]
    places: Places,
}

/// How long a coordinator may take to say where a run stands.
const PATIENCE: Duration = Duration::from_secs(3);

pub fn main(arguments: &Arguments) -> Result<Exit> {
    let places = &arguments.places;
    let workspace = match &arguments.file {
        // One that was never planned here is found by the file alone.
        Some(file) if file.is_file() => Some(Workspace::open(file, places, None, Inputs::MayLack)?),
        Some(name) => {
            Recorded::open(name, places.results.as_deref(), places.profile.as_deref())?;
            None
        }
        None => None,
    };
    let store = match &workspace {
        Some(workspace) => workspace.store.clone(),
        None => Store::new(results_root(places, None)),
    };
    let which = find(&store, workspace.as_ref(), &arguments.run)?;
    let record = store.read(&which.id)?;
    let planned = workspace.as_ref().and_then(|workspace| workspace.runs.iter().find(|(id, _)| *id == which.id));
    let recorded = record.as_ref().map(|record| &record.run);
    let run = planned.map(|(_, run)| run).or(which.sweeps.first().map(|(_, run)| run)).or(recorded);
    let Some(run) = run else {
        let folder = store.run_folder(&which.id);
        let say = format!("of run {} only the folder {} is known: no sweep asks for it", which.id, folder.display());
        return Err(Refusal(say).into());
    };

    print(&format!("run {}: {}", which.id, run.label()))?;
    let sweeps: Vec<&str> = which.sweeps.iter().map(|(name, _)| name.as_str()).collect();
    let asked = if sweeps.is_empty() { "no sweep that was run here".to_owned() } else { sweeps.join(", ") };
    print(&format!("asked for by: {asked}"))?;

    print("\nnow")?;
    for line in now(&store, &which, record.as_ref())? {
        print(&format!("  {line}"))?;
    }
    print("\nwould `sweep run` train it")?;
    for line in again(&store, workspace.as_ref(), &which.id, run, record.as_ref())? {
        print(&format!("  {line}"))?;
    }
    let attempts = attempts(&store, &which)?;
    if !attempts.is_empty() {
        print("\nhistory")?;
        for line in attempts {
            print(&format!("  {line}"))?;
        }
    }
    print(&format!("\nits id is the hash of numerics, data, model, method, recipe and seed\n{}", identity(run)))?;
    print(&format!("  not part of it: mode {}, model's name {}", run.mode, run.model.name))?;
    print("\nfiles")?;
    for (what, path) in files(&store, &which.id, run) {
        print(&format!("  {what:<11} {}", path.display()))?;
    }
    Ok(Exit::Done)
}

/// The run among those of the results folder and those of the sweep file.
fn find(store: &Store, workspace: Option<&Workspace>, prefix: &str) -> Result<Which> {
    let known = which::find(store, prefix);
    let planned: Vec<RunId> =
        workspace.into_iter().flat_map(|workspace| &workspace.runs).map(|(id, _)| id.clone()).collect();
    match known {
        Err(_) if planned.iter().any(|id| !prefix.is_empty() && id.0.starts_with(prefix)) => {
            let id = which::by_prefix(store, &planned, prefix)?;
            Ok(Which { id, sweeps: Vec::new() })
        }
        known => known,
    }
}

/// Where it stands at this moment.
fn now(store: &Store, which: &Which, record: Option<&Record>) -> Result<Vec<String>> {
    let (id, holders) = (&which.id, store.holders());
    let mut said = Vec::new();
    for (sweep, _) in &which.sweeps {
        let all = store.seen(sweep, &holders);
        let takes = |seen: &&Seen| {
            let has_it = seen.live.slots.iter().flat_map(Slot::runs).any(|run| run.id == *id);
            // Of jobs of a cluster only one that has the run knows of it.
            has_it || (seen.live.job.is_none() && seen.live.shard.is_none_or(|shard| shard.takes(id)))
        };
        let at_work: Vec<&Seen> = all.iter().filter(|seen| seen.verdict.is_at_work()).collect();
        let Some(seen) = at_work.iter().copied().find(takes) else {
            if let Some(seen) = at_work.first() {
                let shard = seen.live.shard.map_or_else(String::new, |shard| shard.to_string());
                said.push(format!("{sweep}: it falls to another share than {shard}, and nobody works on that one"));
            }
            continue;
        };
        let process = match &seen.verdict {
            Verdict::Starting(holder) => &holder.process,
            _ => &seen.live.process,
        };
        let mut running = seen.live.slots.iter().flat_map(|slot| slot.runs().map(move |run| (slot, run)));
        if let Some((slot, run)) = running.find(|(_, run)| run.id == *id) {
            let step = if run.of > 0 { format!(", step {} of {}", run.step, run.of) } else { String::new() };
            said.push(format!("{sweep}: it runs since {} on {}: {}{step}", run.since, slot.device, run.phase));
            continue;
        }
        let busy = seen.live.slots.iter().filter(|slot| slot.run.is_some()).count();
        let places = format!("{busy} of {} slots are busy", seen.live.slots.len());
        match control::ask(store, sweep, process, &Request::Where(id.clone()), PATIENCE)? {
            Some(answer) if answer.done => said.push(format!("{sweep}: {}; {places}", answer.say)),
            Some(answer) if record.is_none() => said.push(format!("{sweep}: {}", answer.say)),
            Some(_) => {}
            None => said.push(format!("{sweep}: its coordinator, process {}, does not answer", process.pid)),
        }
    }
    if let Some(record) = record {
        said.push(format!("{} (record of {})", ended(record).1, record.made.started));
    } else if said.is_empty() {
        said.push("it has no record, and nobody works on it".to_owned());
    }
    Ok(said)
}

/// Whether a later call would train it, and why.
fn again(
    store: &Store,
    workspace: Option<&Workspace>,
    id: &RunId,
    run: &Run,
    record: Option<&Record>,
) -> Result<Vec<String>> {
    let Some(workspace) = workspace else {
        let of_record = record.map(|record| {
            let judged = Judged {
                id,
                run,
                reason: match record {
                    record if record.outcome().is_some() => Reason::Done,
                    record if record.stopped().is_some() => Reason::Stopped,
                    _ => Reason::FailedBefore,
                },
                failure: record.failure(),
                attempts: record.made.attempt,
                estimate: None,
                fate: None,
            };
            verdict(&judged)
        });
        let hint = "with the sweep file as second argument, it is held against the data and models of today";
        return Ok(vec![of_record.unwrap_or_else(|| "yes: it has no record".to_owned()), hint.to_owned()]);
    };
    let (past, early) = (past(workspace)?, Early::of(workspace)?);
    let judged = judge(workspace, &past, early.as_ref());
    let lacking = workspace.lacking.iter().map(|lacking| format!("not here, so ids cannot be told: {}", lacking.why));
    let mut said: Vec<String> = lacking.collect();
    match judged.iter().find(|j| j.id == id) {
        Some(j) => {
            said.push(verdict(j));
            if j.reason == Reason::Stale {
                let key = run.settings_key();
                let then = past.iter().filter(|(_, glance)| glance.settings == key);
                let mut then: Vec<&RunId> = then.map(|(id, _)| id).collect();
                then.sort_unstable();
                for id in then {
                    said.extend(store.read(id)?.iter().flat_map(|record| differences(id, &record.run, run)));
                }
            }
        }
        None => {
            let key = run.settings_key();
            let successor = judged.iter().find(|j| j.run.settings_key() == key);
            match successor {
                Some(j) => {
                    said.push(format!("no: the sweep file asks for run {} of the same settings instead", j.id));
                    said.extend(differences(id, run, j.run));
                }
                None => said.push("no: the sweep file asks for no run of these settings (any more)".to_owned()),
            }
        }
    }
    Ok(said)
}

fn verdict(j: &Judged) -> String {
    let is = if j.is_to_do() { "yes" } else { "no" };
    let why = match (j.reason, j.failure) {
        (Reason::New, _) => "it is new: no record has these settings".to_owned(),
        (Reason::Done, _) => "its record holds a score; without the record it would be trained anew".to_owned(),
        (Reason::Stopped, _) if j.is_to_do() => {
            "a rule of [stop] ended it early, and no rule holds it back now".to_owned()
        }
        (Reason::Stopped, _) => "a rule of [stop] ended it early".to_owned(),
        (Reason::NotNeeded, _) => "every comparison that it is part of is decided ([stop])".to_owned(),
        (Reason::Stale, _) => {
            "it is stale: a record of the same settings was made of other content, and stays as it is".to_owned()
        }
        (Reason::FailedBefore, Some(failure)) if j.is_to_do() => {
            format!("it failed before ({}), through no fault of its own", failure.cause())
        }
        (Reason::FailedBefore, Some(failure)) => {
            let class = failure.class();
            format!(
                "it failed before ({}) and would do so again; `sweep rerun FILE --cause {class}` tries it nevertheless",
                failure.cause()
            )
        }
        (Reason::FailedBefore, None) => "it failed before".to_owned(),
    };
    format!("{is}: {why}")
}

/// What the logs of its sweeps tell of it.
fn attempts(store: &Store, which: &Which) -> Result<Vec<String>> {
    let mut events: Vec<(String, Event)> = Vec::new();
    for (sweep, _) in &which.sweeps {
        let folder = store.sweep_folder(sweep);
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if Shard::is_file_of(&entry.file_name().to_string_lossy(), "events", "jsonl") {
                let found = log::read(&entry.path())?.events;
                events.extend(found.into_iter().map(|event| (sweep.clone(), event)));
            }
        }
    }
    events.sort_by(|a, b| a.1.time.cmp(&b.1.time));
    let told = events
        .into_iter()
        .filter_map(|(sweep, event)| Some(format!("{}  {sweep}: {}", event.time, told(&event.what, &which.id)?)));
    Ok(told.collect())
}

/// An event of this run in words.
fn told(what: &What, own: &RunId) -> Option<String> {
    let (id, say) = match what {
        What::Started { id, slot, attempt } => (id, format!("attempt {attempt} started in slot {slot}")),
        What::Ended { id, how, seconds } => (id, format!("{how} after {}", duration(*seconds))),
        What::Paused { id, step } => (id, format!("put aside at a checkpoint at step {step}")),
        What::PutBack { id, attempt, how, next } => (id, format!("attempt {attempt} failed ({how}): {next}")),
        What::Reached { id, rung } => {
            let Rung { step, of, metric, .. } = rung.as_ref();
            let score = rung.score().map_or_else(String::new, |score| format!(", {metric} {score:.4}"));
            (id, format!("came to step {step} of {of}, where its rule decides{score}"))
        }
        What::Began { .. } | What::Held { .. } | What::Released | What::Finished { .. } => return None,
    };
    (id == own).then_some(say)
}

fn identity(run: &Run) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    for (name, value) in run.identity() {
        let about = match name.as_str() {
            "numerics" => "  raised when a change of the program changes numbers",
            "task_hash" => "  of the data files and how they are read",
            "model_hash" => "  of weights, config and tokenizer",
            _ => "",
        };
        table.add_row([format!(" {name}"), format!("{value}{about}")]);
    }
    table.trim_fmt()
}

/// What lies on the disk of it.
fn files(store: &Store, id: &RunId, run: &Run) -> Vec<(&'static str, PathBuf)> {
    let (folder, cache) = (store.run_folder(id), store.cache());
    let there = [
        ("record", folder.join("record.json")),
        ("log", folder.join("log.txt")),
        ("steps", folder.join("steps.csv")),
        ("checkpoint", cache.join("checkpoints").join(&id.0)),
        ("model", Kept::at(&cache, &run.training_id()).folder),
    ];
    let mut found: Vec<(&str, PathBuf)> = there.into_iter().filter(|(_, path)| Path::exists(path)).collect();
    if found.is_empty() {
        found.push(("none yet", folder));
    }
    found
}
