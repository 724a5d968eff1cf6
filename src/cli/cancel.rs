//! `sweep cancel`: ends a run, or stops a sweep, of a coordinator in another terminal.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use super::recorded::Recorded;
use super::workspace::results_root;
use super::{Exit, Places, Refusal, print, which};
use crate::cluster::batch::Batch;
use crate::cluster::slurm::Slurm;
use crate::cluster::{Engine, State};
use crate::record::control::{self, Answer, Request};
use crate::record::live::{Live, Verdict};
use crate::record::process::Process;
use crate::record::store::Store;

#[derive(clap::Args)]
pub struct Arguments {
    /// The run's id, or the beginning of it; with --all, the sweep's file or name, where several are running
    #[arg(value_name = "RUN|SWEEP", required_unless_present = "all")]
    what: Option<String>,
    #[command(flatten)]
    places: Places,
    /// Stop the whole sweep as Ctrl-C does: running runs go on to a checkpoint, and `sweep run` goes on from there
    #[arg(long)]
    all: bool,
}

/// How long a coordinator may take to answer. It looks ten times a second; what it ends has to die.
const PATIENCE: Duration = Duration::from_secs(10);

pub fn main(arguments: &Arguments) -> Result<Exit> {
    let store = Store::new(results_root(&arguments.places, None));
    if arguments.all {
        return stop(arguments, store);
    }
    let which = which::find(&store, arguments.what.as_deref().unwrap_or_default())?;
    let sweeps: Vec<String> = which.sweeps.iter().map(|(name, _)| name.clone()).collect();
    let (id, root) = (&which.id, store.root().display());
    let mut answers = Vec::new();
    for sweep in &sweeps {
        answers.extend(ask(&store, sweep, &Request::Cancel(id.clone()), PATIENCE)?);
    }
    // A run of two sweeps is done by one of them.
    let answer = answers.iter().find(|answer| answer.done).or(answers.last());
    match answer {
        Some(answer) if answer.done => print(&format!("run {id:.10}: {}", answer.say))?,
        Some(answer) => return Err(Refusal(format!("run {id:.10}: {}", answer.say)).into()),
        None => {
            let say = format!("nobody works on run {id:.10} ({root}), so there is nothing to cancel");
            return Err(Refusal(say).into());
        }
    }
    Ok(Exit::Done)
}

fn stop(arguments: &Arguments, store: Store) -> Result<Exit> {
    let (store, sweeps) = match &arguments.what {
        Some(sweep) => {
            let (results, profile) = (arguments.places.results.as_deref(), arguments.places.profile.as_deref());
            let recorded = Recorded::open(&PathBuf::from(sweep), results, profile)?;
            (recorded.store, vec![recorded.manifest.name])
        }
        None => {
            let sweeps = store.sweeps()?;
            (store, sweeps)
        }
    };
    let on_cluster: Vec<&String> = sweeps.iter().filter(|sweep| has_open_jobs(&store, sweep)).collect();
    let workers = at_work(&store, &sweeps)?;
    if let ([sweep], true) = (&on_cluster[..], workers.iter().all(|live| live.job.is_some())) {
        return stop_jobs(&store, sweep);
    }
    let names: std::collections::BTreeSet<&str> = workers.iter().map(|live| live.sweep.as_str()).collect();
    if names.len() > 1 {
        let names: Vec<&str> = names.into_iter().collect();
        return Err(Refusal(format!("several sweeps are running: name one of {}", names.join(", "))).into());
    }
    if workers.is_empty() {
        let what = arguments.what.as_ref().map_or("any sweep".to_owned(), |sweep| format!("sweep {sweep}"));
        let say = format!("nobody works on {what} in {}, so there is nothing to stop", store.root().display());
        return Err(Refusal(say).into());
    }
    let mut is_well = true;
    for live in &workers {
        let share = live.shard.map_or_else(String::new, |shard| format!(", share {shard}"));
        let answer = ask_one(&store, live, &Request::Stop, PATIENCE)?;
        is_well &= answer.done;
        print(&format!("sweep {}{share}: {}", live.sweep, answer.say))?;
    }
    Ok(if is_well { Exit::Done } else { Exit::Usage })
}

fn has_open_jobs(store: &Store, sweep: &str) -> bool {
    let submitted = Batch::of(store, sweep).submitted().unwrap_or_default();
    submitted.values().any(|submission| submission.is_open())
}

/// Stops the jobs of a sweep on a cluster whose coordinator is gone: those that run see the word in the folder, those that
/// wait are cancelled, where the engine is at hand.
fn stop_jobs(store: &Store, sweep: &str) -> Result<Exit> {
    let batch = Batch::of(store, sweep);
    batch.stop()?;
    print(&format!("sweep {sweep}: its jobs take no more runs; those that run go on to a checkpoint"))?;
    let is_slurm = batch.terms()?.is_some_and(|terms| terms.engine.starts_with("Slurm"));
    let names: Vec<String> =
        batch.submitted()?.into_values().filter(|submission| submission.is_open()).map(|open| open.name).collect();
    let cancelled = if is_slurm {
        Slurm::open().and_then(|engine| {
            let jobs = engine.list(&names)?;
            let waiting: Vec<String> =
                jobs.iter().filter(|seen| seen.state == State::Waiting).map(|seen| seen.id.to_string()).collect();
            if !waiting.is_empty() {
                engine.cancel(&waiting)?;
            }
            Ok(waiting.len())
        })
    } else {
        Ok(0)
    };
    match cancelled {
        Ok(0) => {}
        Ok(count) => print(&format!("{count} jobs that waited are cancelled"))?,
        Err(trouble) => print(&format!("jobs that wait will end by themselves as they begin ({trouble})"))?,
    }
    Ok(Exit::Done)
}

/// The coordinators that work on these sweeps, as far as can be said.
fn at_work(store: &Store, sweeps: &[String]) -> Result<Vec<Live>> {
    let holders = store.holders();
    let mut found = Vec::new();
    for sweep in sweeps {
        for seen in store.seen(sweep, &holders) {
            // Of one that is just starting only the lock tells.
            if let Verdict::Starting(holder) = &seen.verdict {
                found.push(Live { process: holder.process.clone(), ..seen.live });
            } else if seen.verdict.is_at_work() {
                found.push(seen.live);
            }
        }
    }
    Ok(found)
}

/// Asks those coordinators of a sweep that a request concerns, until one carries it out; nothing where there is none.
///
/// # Errors
/// The folder cannot be written.
pub fn ask(store: &Store, sweep: &str, request: &Request, patience: Duration) -> Result<Vec<Answer>> {
    let mut answers = Vec::new();
    for live in at_work(store, &[sweep.to_owned()])? {
        let concerns = match (request, live.shard) {
            (Request::Cancel(id), Some(shard)) => shard.takes(id),
            _ => true,
        };
        if concerns {
            answers.push(ask_one(store, &live, request, patience)?);
        }
    }
    Ok(answers)
}

/// Silence is an answer too.
fn ask_one(store: &Store, live: &Live, request: &Request, patience: Duration) -> Result<Answer> {
    let Process { pid, host, .. } = &live.process;
    let answer = control::ask(store, &live.sweep, &live.process, request, patience)?;
    Ok(answer.unwrap_or_else(|| {
        let say = format!(
            "process {pid} on {host} did not answer within {} s; it may be suspended, or just starting. Try again, or \
             there `kill -INT {pid}`",
            patience.as_secs()
        );
        Answer { done: false, say }
    }))
}
