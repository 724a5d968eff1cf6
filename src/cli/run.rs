//! `sweep run FILE`: train what is missing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::plan::{Judged, Reason, judge};
use super::workspace::{Inputs, Workspace};
use super::{Exit, Places, Refusal, complain, devices, early, inputs, print, progress, study, work};
use crate::plan::{Run, RunId};
use crate::protocol::Job;
use crate::record::lock::{Lock, LockError};
use crate::record::store::{Manifest, Store};
use crate::record::{Class, End, Record};
use crate::schedule::local::{self, Director, Interrupts, Observer, Options, Summary};
use crate::schedule::state::{Note, State};
use crate::schedule::{Finish, Limits};
use crate::spec::{self, Keep, MaxFail, RunTable, Slots};

/// Longest silence of a worker that is still thought to work. Preparing a large model on a slow machine takes long.
const STALL: Duration = Duration::from_secs(2 * 3600);

#[derive(clap::Args)]
pub struct Arguments {
    /// The sweep file
    file: PathBuf,
    #[command(flatten)]
    places: Places,
    /// auto, cpu, cuda:0, or several with commas [default: the sweep file's, else auto]
    #[arg(long, value_name = "LIST")]
    devices: Option<String>,
    /// Worker processes on each device, or auto [default: the sweep file's, else auto]
    #[arg(long, value_name = "N")]
    slots_per_device: Option<Slots>,
    /// Only the runs that meet the conditions: "task=rte and seed<=2"
    #[arg(long, value_name = "CONDITIONS")]
    only: Option<String>,
    /// Train at most so many runs
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Start nothing that would not end within so long: 2h, 90m; runs under way then go to a checkpoint
    #[arg(long, value_name = "TIME", value_parser = spec::duration)]
    time_budget: Option<Duration>,
    /// Stop when so many runs, or such a share of them, have failed: 5, 10%
    #[arg(long, value_name = "N")]
    max_fail: Option<MaxFail>,
    /// Say what would be trained, and where; start nothing
    #[arg(long)]
    dry_run: bool,
}

/// Which runs a call is about.
pub enum Wanted {
    /// What has no result, and did not fail by its own fault.
    Missing,
    /// What failed of one of these causes; of any, if there are none.
    Failed(Vec<Class>),
}

impl Wanted {
    fn takes(&self, j: &Judged) -> bool {
        match (self, j.failure) {
            (Wanted::Missing, _) => j.is_to_do(),
            (Wanted::Failed(classes), Some(failure)) => classes.is_empty() || classes.contains(&failure.class()),
            (Wanted::Failed(_), None) => false,
        }
    }
}

pub fn main(arguments: &Arguments) -> Result<Exit> {
    go(arguments, &Wanted::Missing)
}

/// Trains the runs that are wanted.
pub fn go(arguments: &Arguments, wanted: &Wanted) -> Result<Exit> {
    let (file, places, only) = (&arguments.file, &arguments.places, arguments.only.as_deref());
    let mut interrupts = Interrupts::default();
    let workspace = if arguments.dry_run {
        Workspace::open(file, places, only, Inputs::Needed)?
    } else {
        interrupts = Interrupts::from_signals()?;
        inputs::open(file, places, only, &interrupts)?
    };
    workspace.check_only()?;
    workspace.check_data()?;
    let worker = devices::worker_program()?;
    let slots =
        devices::slots(&worker, arguments.devices.as_deref(), &workspace.sweep.run, arguments.slots_per_device)?;
    let (name, store) = (&workspace.sweep.name, &workspace.store);
    // Before the records are read: another sweep may be about to add to them.
    let lock = if arguments.dry_run { None } else { Some(take_lock(store, name)?) };
    let records = store.read_all()?;
    let judged = judge(&workspace, &records)?;
    let mut to_do: Vec<&Judged> = Vec::new();
    for j in judged.iter().filter(|j| wanted.takes(j)) {
        // Two modes of one sweep may be one run under two names.
        if !to_do.iter().any(|other| other.id == j.id) {
            to_do.push(j);
        }
    }
    to_do.truncate(arguments.limit.unwrap_or(usize::MAX));
    let left_failed = judged.iter().filter(|j| j.failure.is_some() && !wanted.takes(j)).count();
    if arguments.dry_run {
        for j in &to_do {
            print(&format!("{:.10}  {:<13}  {}", j.id, j.reason.word(), j.run.label()))?;
        }
        let slots: Vec<String> = slots.iter().map(|s| format!("{} ({} threads)", s.device, s.threads)).collect();
        print(&format!("{} runs would be trained on {}; nothing was started", to_do.len(), slots.join(", ")))?;
        return Ok(Exit::Done);
    }

    let manifest = Manifest {
        format: crate::record::FORMAT,
        name: name.clone(),
        question: workspace.sweep.question.clone(),
        tune: workspace.sweep.tune.iter().map(|a| a.name.clone()).collect(),
        select: workspace.sweep.select,
        paper: workspace.sweep.paper.clone(),
        models: workspace.origins.clone(),
        stop: workspace.sweep.stop.clone(),
        examples: workspace.examples.clone(),
        runs: workspace.runs.clone(),
    };
    if to_do.is_empty() && store.manifest(name)?.as_ref() == Some(&manifest) {
        if let Wanted::Failed(_) = wanted {
            print("no run failed like that; nothing to do again")?;
            return Ok(Exit::Done);
        }
        print(&nothing_line(&judged, left_failed, file))?;
        return Ok(if left_failed > 0 { Exit::SomeFailed } else { Exit::Done });
    }
    store.write_manifest(&manifest)?;
    let by_id: HashMap<&RunId, &Judged> = to_do.iter().map(|j| (j.id, *j)).collect();
    let job = |id: &RunId| match by_id.get(id) {
        Some(judged) => job(&workspace, judged),
        None => Err(Refusal(format!("run {id} is none of this call")).into()),
    };
    // What cannot be trained is told before anything starts.
    to_do.iter().try_for_each(|j| job(j.id).map(drop))?;
    let tickets = work::tickets(&workspace.sweep, &to_do);
    // Where a rule decides as it goes, it says what comes first.
    let rule = early::Early::of(&workspace)?;
    let is_again = |record: &Record| record.failure().is_some() && by_id.contains_key(&record.id);
    let (mut early, tickets) = match &rule {
        Some(rule) => rule.director(&workspace, &records, is_again, tickets),
        None => (None, tickets),
    };
    let limits = limits(arguments, &workspace.sweep.run, to_do.len());
    let options = Options { worker, slots, commit: env!("SWEEP_COMMIT").to_owned(), limits, interrupts };
    let shown: Vec<(&RunId, &Run)> = to_do.iter().map(|j| (j.id, j.run)).collect();
    let progress = progress::Progress::new(&shown);
    let mut screen = Screen { progress, failures: Vec::new(), store, name, written: Instant::now() };
    let director = early.as_mut().map(|early| early as &mut dyn Director);
    let summary = local::run(tickets, &job, store, name, &options, &mut screen, director);
    let Screen { progress, failures, .. } = screen;
    drop(progress);
    // Also after an error: what is done is done, and the frames show it.
    let kept = study::write_frames(store, name);
    let summary = summary?;
    kept?;
    drop(lock);

    for (id, sentence) in &failures {
        complain(&format!("failed: {:.10}: {sentence} (log: {})", id, store.run_folder(id).join("log.txt").display()));
    }
    let spared = match &early {
        Some(early) => early.spared(judged.iter().map(|j| j.id)),
        None => 0,
    };
    print(&summary_line(&judged, &to_do, &summary, left_failed, spared, file))?;
    print(&format!("records: {}", store.sweep_folder(name).join("runs.csv").display()))?;
    Ok(match summary.finish {
        Finish::Interrupted | Finish::OutOfTime => Exit::Interrupted,
        Finish::TooManyFailed(_) => Exit::SomeFailed,
        Finish::Complete | Finish::NoWorkers(_) if summary.failed + left_failed > 0 => Exit::SomeFailed,
        Finish::Complete | Finish::NoWorkers(_) => Exit::Done,
    })
}

/// The command line goes before the sweep file.
fn limits(arguments: &Arguments, run: &RunTable, runs: usize) -> Limits {
    Limits {
        max_fail: arguments.max_fail.or(run.max_fail).map(|most| most.of(runs)),
        timeout: run.timeout,
        stall: Some(run.stall.unwrap_or(STALL)),
        budget: arguments.time_budget.or(run.time_budget),
        oom_fails: run.oom_fails,
    }
}

fn nothing_line(judged: &[Judged], left_failed: usize, file: &Path) -> String {
    let summary = Summary { done: 0, failed: 0, stopped: 0, paused: 0, left: 0, finish: Finish::Complete };
    let spared = judged.iter().filter(|j| j.reason == Reason::NotNeeded).count();
    summary_line(judged, &[], &summary, left_failed, spared, file)
}

/// `3 done now, 3 done before, 0 failed, 0 left`, over the runs that were asked for, and what to do next.
fn summary_line(
    judged: &[Judged],
    to_do: &[&Judged],
    summary: &Summary,
    left_failed: usize,
    spared: usize,
    file: &Path,
) -> String {
    let before = judged.iter().filter(|j| j.reason == Reason::Done).count();
    let stopped = judged.iter().filter(|j| j.reason == Reason::Stopped).count() + summary.stopped;
    let again = to_do.iter().filter(|j| j.reason == Reason::Done || j.reason == Reason::Stopped).count();
    let failed = summary.failed + left_failed;
    let left = (judged.len() + again).saturating_sub(before + stopped + spared + summary.done + failed);
    let mut line = format!("{} done now, {before} done before, {failed} failed, {left} left", summary.done);
    if stopped > 0 {
        line += &format!(", {stopped} stopped early");
    }
    if spared > 0 {
        line += &format!(", {spared} not needed (decided)");
    }
    let file = file.display();
    match &summary.finish {
        Finish::Interrupted => line += &format!("; stopped on request, `sweep run {file}` goes on"),
        Finish::OutOfTime => line += &format!("; the time budget is used up, `sweep run {file}` goes on"),
        Finish::TooManyFailed(why) => {
            line += &format!("; given up: {why}. Mend the cause; `sweep rerun {file} --failed` tries them again");
        }
        Finish::Complete | Finish::NoWorkers(_) if left_failed > 0 => {
            line += &format!("; `sweep rerun {file} --failed` tries failed runs again");
        }
        Finish::Complete | Finish::NoWorkers(_) => {}
    }
    line
}

pub fn take_lock(store: &Store, sweep: &str) -> Result<Lock> {
    Lock::take(store.root(), sweep).map_err(|error| match error {
        LockError::Io(error) => error,
        held => Refusal(held.to_string()).into(),
    })
}

pub fn job(workspace: &Workspace, judged: &Judged) -> Result<Job> {
    let (run, store) = (judged.run, &workspace.store);
    let absolute = |path: &Path| std::path::absolute(path);
    let missing = |what: &str, name: &str| Refusal(format!("{what} {name} was not resolved"));
    Ok(Job {
        id: judged.id.clone(),
        run: run.clone(),
        task: workspace.tasks.get(&run.task.name).cloned().ok_or_else(|| missing("task", &run.task.name))?,
        others: workspace.others.of(&run.after),
        model: absolute(workspace.models.get(&run.model.name).ok_or_else(|| missing("model", &run.model.name))?)?,
        folder: absolute(&store.run_folder(judged.id))?,
        cache: absolute(&store.cache())?,
        masks: absolute(&store.masks())?,
        keep: match workspace.sweep.run.keep {
            Some(keep) => keep != Keep::None,
            None => !run.after.is_empty(),
        },
        log_every: workspace.sweep.log_every,
        attempt: judged.attempts + 1,
        until: None,
        micro_batch: None,
        checkpoint_every: None,
    })
}

/// Frames are rewritten as runs end, but not more often than this.
const FRAMES_EVERY: Duration = Duration::from_secs(60);

/// The progress display, the frames kept current, and the failures for the end.
struct Screen<'a> {
    progress: progress::Progress,
    failures: Vec<(RunId, String)>,
    store: &'a Store,
    name: &'a str,
    written: Instant,
}

impl Observer for Screen<'_> {
    fn note(&mut self, note: &Note) {
        if let Note::Ended { id, end, .. } = note
            && let End::Failed(failure) = end.as_ref()
        {
            self.failures.push((id.clone(), failure.sentence()));
        }
        self.progress.note(note);
        if matches!(note, Note::Ended { .. }) && self.written.elapsed() > FRAMES_EVERY {
            // What cannot be written now is written, or said, at the end.
            let _ = study::write_frames(self.store, self.name);
            self.written = Instant::now();
        }
    }

    fn beat(&mut self, state: &State, now: Duration) {
        self.progress.beat(state, now);
    }
}
