//! `sweep run FILE`: train what is missing.

mod on_cluster;
mod screen;
mod summary;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::devices::Found;
use super::fuse::Fusible;
use super::plan::{Judged, judge, past};
use super::retention::Retention;
use super::slots::Wish;
use super::workspace::{Inputs, Workspace};
use super::{
    Exit, Places, Refusal, complain, devices, disk, early, inputs, notify, print, progress, slots, split, work,
};
use crate::device::Device;
use crate::plan::{self, Run, RunId};
use crate::protocol::Job;
use crate::record::lock::{Beside, Lock, LockError};
use crate::record::process::Process;
use crate::record::shard::Shard;
use crate::record::store::{Manifest, Store};
use crate::record::{Class, Failure};
use crate::schedule::local::{self, Director, Interrupts, Options};
use crate::schedule::{Directors, Finish, Keeper, Limits, Orders};
use crate::spec::cluster::{self, Executor};
use crate::spec::{self, Keep, MaxFail, RunTable, Slots};
pub use on_cluster::sketch;
use screen::{Screen, write_frames};
use summary::{news, nothing_line, share_line, summary_line};

/// Work that a kill may cost, where the sweep file does not say.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(600);
/// Longest silence of a worker that is still thought to work. Preparing a large model on a slow machine takes long.
const STALL: Duration = Duration::from_secs(2 * 3600);

#[derive(clap::Args)]
pub struct Arguments {
    /// The sweep file
    file: PathBuf,
    #[command(flatten)]
    places: Places,
    /// auto, cpu, cuda:0, GPU-<uuid>, MIG-<uuid>, or several with commas [default: the sweep file's, else auto]
    #[arg(long, value_name = "LIST")]
    devices: Option<String>,
    /// Worker processes on each device, or auto [default: the sweep file's, else one on a GPU and auto on a CPU]
    #[arg(long, value_name = "N")]
    slots_per_device: Option<Slots>,
    /// Train up to so many runs side by side in one program, where they differ in seed, rate and method alone
    /// [default: the sweep file's, else 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(spec::FUSE)))]
    fuse: Option<u32>,
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
    /// Do only the k-th of n shares of the runs, 2/4, while other coordinators on these results do the other shares
    #[arg(long, value_name = "K/N")]
    shard: Option<Shard>,
    /// Go on though another machine's coordinator seems to be alive and its lock cannot be seen
    #[arg(long)]
    take_over: bool,
    /// Train here, or as jobs of a cluster: local, slurm or command [default: the sweep file's, else local]
    #[arg(long, value_name = "WHERE")]
    executor: Option<Executor>,
    /// On a cluster: one job for run after run (pilot), or a task for each (array) [default: by how long a run takes]
    #[arg(long, value_name = "HOW")]
    jobs: Option<cluster::Mode>,
    /// On a cluster: submit, and leave; the same command comes back to its jobs
    #[arg(long)]
    detach: bool,
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
    let began = Instant::now();
    let (file, places, only) = (&arguments.file, &arguments.places, arguments.only.as_deref());
    let mut interrupts = Interrupts::default();
    let workspace = if arguments.dry_run {
        Workspace::open(file, places, only, Inputs::Needed)?
    } else {
        interrupts = Interrupts::from_signals()?;
        inputs::open(file, places, only, &interrupts)?
    };
    workspace.check_only()?;
    if let (Some(shard), Some(_)) = (arguments.shard, &workspace.sweep.stop) {
        let say = format!(
            "--shard {shard}: a rule of [stop] must see all runs of a sweep, so its work cannot be shared out; leave out \
             --shard, or [stop]"
        );
        return Err(Refusal(say).into());
    }
    workspace.check_data()?;
    let worker = devices::worker_program()?;
    let executor = arguments.executor.unwrap_or(workspace.sweep.run.executor);
    if executor != Executor::Local {
        return on_cluster::go(arguments, wanted, &workspace, executor, &interrupts);
    }
    if arguments.detach {
        return Err(Refusal("--detach is for jobs of a cluster: --executor slurm".to_owned()).into());
    }
    let found = devices::find(&worker, arguments.devices.as_deref(), &workspace.sweep.run)?;
    let (name, store) = (&workspace.sweep.name, &workspace.store);
    // Before the records are read: another sweep may be about to add to them.
    let beside = if arguments.take_over { Beside::Anybody } else { Beside::Nobody };
    let lock = if arguments.dry_run { None } else { Some(take_lock(store, name, arguments.shard, beside)?) };
    let (past, rule) = (past(&workspace)?, early::Early::of(&workspace)?);
    let judged = judge(&workspace, &past, rule.as_ref());
    // Two modes of one sweep may be one run under two names.
    let mut seen = HashSet::new();
    let is_ours = |j: &&Judged| arguments.shard.is_none_or(|shard| shard.takes(j.id));
    let wanted_runs = judged.iter().filter(|j| wanted.takes(j)).filter(is_ours);
    let mut to_do: Vec<&Judged> = wanted_runs.filter(|j| seen.insert(j.id)).collect();
    to_do.truncate(arguments.limit.unwrap_or(usize::MAX));
    let limits = limits(arguments, &workspace.sweep.run, to_do.len());
    let left_failed = judged.iter().filter(|j| j.failure.is_some() && !wanted.takes(j)).count();
    if arguments.dry_run {
        for j in &to_do {
            print(&format!("{:.10}  {:<13}  {}", j.id, j.reason.word(), j.run.label()))?;
        }
        let (wish, why) = wish(arguments, &workspace, &found, &to_do, &worker, &interrupts, false)?;
        found.notes.iter().for_each(|note| complain(note));
        let places = slots::sketch(&found, wish, &why).join(", ");
        print(&format!("{} runs would be trained on {places}; nothing was started", to_do.len()))?;
        print(&disk::estimate(&workspace, &to_do, wish.total(&found) * limits.fuse)?.line(disk::free(store)))?;
        if let Some(line) = share_line(arguments.shard, &judged) {
            print(&line)?;
        }
        return Ok(Exit::Done);
    }

    let is_new = store.write_manifest(&manifest(&workspace))?;
    if to_do.is_empty() && !is_new {
        if let Wanted::Failed(_) = wanted {
            print("no run failed like that; nothing to do again")?;
            return Ok(Exit::Done);
        }
        print(&nothing_line(&judged, left_failed, file))?;
        return Ok(if left_failed > 0 { Exit::SomeFailed } else { Exit::Done });
    }
    if let Some(line) = share_line(arguments.shard, &judged) {
        complain(&line);
    }
    let (wish, why) = wish(arguments, &workspace, &found, &to_do, &worker, &interrupts, true)?;
    disk::check(&disk::estimate(&workspace, &to_do, wish.total(&found) * limits.fuse)?, &workspace)?;
    disk::clear(&workspace, arguments.shard);
    let slots::Taken { slots, notes, mps } = slots::take(&found, wish)?;
    notes.iter().for_each(|note| complain(note));
    if wish.per_device == Some(Slots::Auto) && !why.is_empty() {
        complain(&format!("cpu: {} workers, {why}", wish.cpu_workers));
    }
    let by_id: HashMap<&RunId, &Judged> = to_do.iter().map(|j| (j.id, *j)).collect();
    let job = |id: &RunId| match by_id.get(id) {
        Some(judged) => job(&workspace, judged),
        None => Err(Refusal(format!("run {id} is none of this call")).into()),
    };
    // What cannot be trained is told before anything starts; it is so for all runs of its task and model.
    let mut seen = HashSet::new();
    let mut kinds = to_do.iter().filter(|j| seen.insert((&j.run.task.name, &j.run.model.name)));
    kinds.try_for_each(|j| job(j.id).map(drop))?;
    // What a rule decides must not hang on which runs happened to be trained side by side.
    let may_fuse = limits.fuse > 1 && workspace.sweep.stop.is_none();
    let fusible = may_fuse.then(|| Fusible::of(&workspace));
    let tickets = work::tickets(&workspace.sweep, &to_do, &past.peaks, fusible.as_ref());
    // Where a rule decides as it goes, it says what comes first.
    let is_again = |_: &Failure, id: &RunId| by_id.contains_key(id);
    let (mut early, tickets) = match &rule {
        Some(rule) => rule.director(&workspace, is_again, tickets),
        None => (None, tickets),
    };
    let options = Options {
        worker,
        slots,
        commit: env!("SWEEP_COMMIT").to_owned(),
        limits,
        interrupts,
        shard: arguments.shard,
        job: None,
    };
    let shown: Vec<(&RunId, &Run)> = to_do.iter().map(|j| (j.id, j.run)).collect();
    let progress = progress::Progress::new(&shown);
    let labels = plan::labels(shown.iter().copied());
    let label = |id: &RunId| labels.get(id).cloned().unwrap_or_else(|| id.to_string());
    let live = Keeper::new(store, name, arguments.shard, &options.slots, &label);
    let mut screen = Screen::new(&workspace, progress, live);
    let others: Vec<Process> = store.holders().into_iter().map(|holder| holder.process).collect();
    let mut orders = Orders::new(store, name, &others);
    let mut floor = disk::floor(&workspace);
    let mut retention = Retention::of(&workspace, &past)?;
    let mut directors = Directors(vec![&mut orders, &mut floor, &mut retention]);
    directors.0.extend(early.as_mut().map(|early| early as &mut dyn Director));
    let summary = local::run(tickets, &job, store, name, &options, &mut screen, Some(&mut directors));
    let Screen { progress, live, failures, .. } = screen;
    drop(progress);
    live.end(&match &summary {
        Ok(summary) => summary.finish.in_words(),
        Err(error) => format!("it could not go on: {error:#}"),
    });
    // Also after an error: what is done is done, and the frames show it.
    let kept = write_frames(store, name);
    if let Some(command) = &workspace.sweep.run.notify {
        let news = news(&workspace, &summary, &failures, began.elapsed());
        if let Err(why) = notify::tell(command, &news, notify::PATIENCE) {
            complain(&format!("warning: {why}"));
        }
    }
    let summary = summary?;
    kept?;
    drop((lock, mps));

    for failed in &failures {
        let log = store.run_folder(&failed.id).join("log.txt");
        complain(&format!("failed: {:.10}: {} (log: {})", failed.id, failed.message, log.display()));
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

/// What the results folder is told of a sweep.
fn manifest(workspace: &Workspace) -> Manifest<&Vec<(RunId, Run)>> {
    Manifest {
        format: crate::record::FORMAT,
        name: workspace.sweep.name.clone(),
        question: workspace.sweep.question.clone(),
        tune: workspace.sweep.tune.iter().map(|a| a.name.clone()).collect(),
        select: workspace.sweep.select,
        paper: workspace.sweep.paper.clone(),
        models: workspace.origins.clone(),
        stop: workspace.sweep.stop.clone(),
        examples: workspace.examples.clone(),
        runs: &workspace.runs,
    }
}

/// What the sweep wants of its devices, and why the CPU gets as many workers as it does.
fn wish<'a>(
    arguments: &Arguments,
    workspace: &'a Workspace,
    found: &Found,
    to_do: &[&Judged],
    worker: &Path,
    interrupts: &Interrupts,
    may_measure: bool,
) -> Result<(Wish<'a>, String)> {
    let run = &workspace.sweep.run;
    let per_device = arguments.slots_per_device.or(run.slots_per_device);
    let counted = matches!(per_device, Some(Slots::Count(_))) || found.devices.iter().all(Device::is_gpu);
    let (cpu_workers, why) = if counted {
        (1, String::new())
    } else {
        let job = |j: &Judged| job(workspace, j);
        let choice = split::workers(workspace, to_do, worker, &job, interrupts, may_measure)?;
        (choice.workers, choice.why)
    };
    let sweep = &workspace.sweep.name;
    Ok((Wish { sweep, per_device, cpu_workers, runs: to_do.len(), mps: run.mps }, why))
}

/// The command line goes before the sweep file.
fn limits(arguments: &Arguments, run: &RunTable, runs: usize) -> Limits {
    Limits {
        max_fail: arguments.max_fail.or(run.max_fail).map(|most| most.of(runs)),
        timeout: run.timeout,
        stall: Some(run.stall.unwrap_or(STALL)),
        budget: arguments.time_budget.or(run.time_budget),
        oom_fails: run.oom_fails,
        fuse: arguments.fuse.or(run.fuse).unwrap_or(1) as usize,
    }
}

pub fn take_lock(store: &Store, sweep: &str, shard: Option<Shard>, beside: Beside) -> Result<Lock> {
    Lock::take(store.root(), sweep, shard, beside).map_err(|error| match error {
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
        scores_at_end: workspace.sweep.run.scores_at_end,
        attempt: judged.attempts + 1,
        until: None,
        micro_batch: None,
        checkpoint_every: match workspace.sweep.run.checkpoint_every.unwrap_or(CHECKPOINT_EVERY) {
            Duration::ZERO => None,
            every => Some(every.as_secs_f64()),
        },
        copy: None,
    })
}
