//! `sweep run FILE`: train what is missing.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::plan::{Judged, judge};
use super::workspace::{Inputs, Workspace};
use super::{Exit, Places, Refusal, complain, devices, inputs, print, progress, study};
use crate::plan::RunId;
use crate::protocol::Job;
use crate::record::End;
use crate::record::lock::{Lock, LockError};
use crate::record::store::{Manifest, Store};
use crate::schedule::local::{self, Interrupts, Observer, Options, Summary};
use crate::schedule::state::Note;

#[derive(clap::Args)]
pub struct Arguments {
    /// The sweep file
    file: PathBuf,
    #[command(flatten)]
    places: Places,
    /// auto, cpu, cuda:0, or several with commas [default: the sweep file's, else auto]
    #[arg(long, value_name = "LIST")]
    devices: Option<String>,
    /// Worker processes on each device [default: the sweep file's, else auto]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    slots_per_device: Option<u32>,
    /// Only the runs that meet the conditions: "task=rte and seed<=2"
    #[arg(long, value_name = "CONDITIONS")]
    only: Option<String>,
    /// Train at most so many runs
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Say what would be trained, and where; start nothing
    #[arg(long)]
    dry_run: bool,
}

pub fn main(arguments: &Arguments) -> Result<Exit> {
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
    let judged = judge(&workspace, &records);
    let mut to_do: Vec<&Judged> = Vec::new();
    for j in judged.iter().filter(|j| j.is_to_do()) {
        // Two modes of one sweep may be one run under two names.
        if !to_do.iter().any(|other| other.id == j.id) {
            to_do.push(j);
        }
    }
    to_do.truncate(arguments.limit.unwrap_or(usize::MAX));
    let diverged = judged.iter().filter(|j| j.failure.is_some() && !j.is_to_do()).count();
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
        runs: workspace.runs.clone(),
    };
    if to_do.is_empty() && store.manifest(name)?.as_ref() == Some(&manifest) {
        print(&summary_line(&judged, &Summary::default(), diverged))?;
        return Ok(if diverged > 0 { Exit::SomeFailed } else { Exit::Done });
    }
    store.write_manifest(&manifest)?;
    let jobs = to_do.iter().map(|j| job(&workspace, j)).collect::<Result<Vec<Job>>>()?;
    let options = Options { worker, slots, commit: env!("SWEEP_COMMIT").to_owned(), interrupts };
    let progress = progress::Progress::new(&jobs, options.slots.len());
    let mut screen = Screen { progress, failures: Vec::new(), store, name, written: Instant::now() };
    let summary = local::run(jobs, store, name, &options, &mut screen);
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
    let mut line = summary_line(&judged, &summary, diverged);
    if summary.interrupted {
        line += &format!("; stopped on request, `sweep run {}` goes on", arguments.file.display());
    }
    print(&line)?;
    print(&format!("records: {}", store.sweep_folder(name).join("runs.csv").display()))?;
    Ok(match () {
        () if summary.interrupted => Exit::Interrupted,
        () if summary.failed + diverged > 0 => Exit::SomeFailed,
        () => Exit::Done,
    })
}

/// `3 done now, 3 done before, 0 failed, 0 left`, over the runs that were asked for.
fn summary_line(judged: &[Judged], summary: &Summary, diverged: usize) -> String {
    let before = judged.iter().filter(|j| !j.is_to_do()).count() - diverged;
    let failed = summary.failed + diverged;
    let left = judged.len().saturating_sub(before + summary.done + failed);
    format!("{} done now, {before} done before, {failed} failed, {left} left", summary.done)
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
        keep: workspace.sweep.run.keep.unwrap_or(!run.after.is_empty()),
        log_every: workspace.sweep.log_every,
        attempt: judged.attempts + 1,
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

    fn beat(&mut self) {
        self.progress.beat();
    }
}
