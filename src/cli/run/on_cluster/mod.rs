//! `sweep run --executor slurm`: the same sweep as jobs of a cluster.

mod screen;
mod tally;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::super::fuse::Fusible;
use super::super::notify;
use super::super::plan::{Judged, judge, past};
use super::super::retention::Retention;
use super::super::workspace::Workspace;
use super::super::{Exit, Refusal, complain, disk, duration, print, work};
use super::screen::write_frames;
use super::summary::news;
use super::{Arguments, STALL, Wanted, job, manifest, take_lock};
use crate::cluster::batch::{Batch, Entry, Terms};
use crate::cluster::lead::{Finish, Lead, Script};
use crate::cluster::pilot::has_ended;
use crate::cluster::slurm::{self, Slurm, quoted};
use crate::cluster::template::{self, Template};
use crate::cluster::{Engine, Submit};
use crate::plan;
use crate::record::lock::Beside;
use crate::record::process::Process;
use crate::schedule::Interrupts;
use crate::spec::Slots;
use crate::spec::cluster::{Executor, Jobs, Mode};
use screen::Screen;
use tally::{count, in_words, tell};

/// Of a job, where the sweep file does not say.
const TIME: Duration = Duration::from_secs(4 * 3600);
const AT_ONCE: u32 = 8;
/// From this length of a run on, each has a job of its own.
const LONG: f64 = 20.0 * 60.0;
/// How long before its end a job is told; a signal may come a minute early.
const WARNING: Duration = Duration::from_secs(180);

pub fn go(
    arguments: &Arguments,
    wanted: &Wanted,
    workspace: &Workspace,
    executor: Executor,
    interrupts: &Interrupts,
) -> Result<Exit> {
    let began = Instant::now();
    let (name, store, run) = (&workspace.sweep.name, &workspace.store, &workspace.sweep.run);
    refuse(arguments, workspace)?;
    let slurm = run.slurm.clone().unwrap_or_default();
    let (engine, jobs): (Box<dyn Engine>, &Jobs) = match (executor, &run.command) {
        (Executor::Slurm, _) => {
            (Box::new(Slurm::open().map_err(|no| Refusal(no.to_string()))?.without(&slurm.exclude)), &slurm.jobs)
        }
        (_, Some(commands)) => (
            Box::new(
                Template::new(commands, commands.jobs.time.unwrap_or(TIME)).map_err(|no| Refusal(no.to_string()))?,
            ),
            &commands.jobs,
        ),
        (_, None) => return Err(Refusal("executor = \"command\" needs a table [run.command]".to_owned()).into()),
    };
    let lock = if arguments.dry_run { None } else { Some(take_lock(store, name, None, beside(arguments))?) };
    let past = past(workspace)?;
    let judged = judge(workspace, &past, None);
    let mut seen = HashSet::new();
    let mut to_do: Vec<&Judged> = judged.iter().filter(|j| wanted.takes(j)).filter(|j| seen.insert(j.id)).collect();
    to_do.truncate(arguments.limit.unwrap_or(usize::MAX));

    let batch = Batch::of(store, name);
    let terms = terms(arguments, workspace, engine.as_ref(), jobs, &to_do, &batch)?;
    let entries = entries(workspace, &to_do, &past, &terms)?;
    let at_once = jobs.concurrency.unwrap_or(AT_ONCE);
    let program = program(&batch)?;
    let time = jobs.time.unwrap_or(TIME);
    let warning = WARNING.min(time / 3);
    let script = |script: &Script| -> String {
        let seconds = time.saturating_sub(warning).as_secs();
        let line = format!("{program} --submission {} --seconds {seconds}", script.number);
        match (executor, &run.command) {
            (Executor::Command, Some(commands)) => template::script(commands, &line),
            _ => slurm::script(
                &slurm,
                &slurm::Call {
                    name: script.name,
                    program: &line,
                    log: &absolute(&batch.log(script.number, "%a")),
                    tasks: script.tasks,
                    at_once: script.at_once,
                    exclude: script.exclude,
                    time,
                    warning,
                },
            ),
        }
    };
    let how = mode_in_words(terms.mode, at_once);
    let time = duration(time.as_secs_f64());
    let plan = format!("{} runs on {}, by {how}, each {time} long at most", to_do.len(), terms.engine);
    if arguments.dry_run {
        for j in &to_do {
            print(&format!("{:.10}  {:<13}  {}", j.id, j.reason.word(), j.run.label()))?;
        }
        print(&plan)?;
        return dry_run(engine.as_ref(), &terms, &script, to_do.len() as u32, at_once);
    }
    let is_new = store.write_manifest(&manifest(workspace))?;
    // Runs of an earlier call whose jobs are out go on beside those of this one.
    let is_out = has_open(&batch)? && !batch.is_stopped();
    let mut entries = entries;
    if is_out {
        let here: HashSet<plan::RunId> = entries.iter().map(|entry| entry.job.id.clone()).collect();
        let is_theirs =
            |entry: &Entry| !here.contains(&entry.job.id) && !has_ended(store, &entry.job.id, entry.ticket.attempt);
        let theirs: Vec<Entry> = batch.runs()?.into_iter().filter(is_theirs).collect();
        if !theirs.is_empty() {
            complain(&format!("{} runs of an earlier call are under way too, and are waited for", theirs.len()));
        }
        entries.extend(theirs);
    }
    if entries.is_empty() && !is_out {
        if is_new {
            write_frames(store, name)?;
        }
        print(match wanted {
            Wanted::Failed(_) => "no run failed like that; nothing to do again",
            Wanted::Missing => "nothing to do: every run has a record, or failed by its own fault",
        })?;
        return Ok(Exit::Done);
    }
    disk::check(&disk::estimate(workspace, &to_do, at_once as usize)?, workspace)?;
    complain_of_what_has_no_effect(workspace);
    batch.write_terms(&terms)?;
    batch.write_runs(&entries)?;
    complain(&plan);

    let mut screen = Screen::new(store, &batch, &terms, &entries);
    let mut lead = Lead::new(engine.as_ref(), store, &batch, &terms, &entries, &script);
    (lead.at_once, lead.is_detached) = (at_once, arguments.detach);
    lead.max_fail = arguments.max_fail.or(run.max_fail).map(|most| most.of(to_do.len()));
    let finish = lead.lead(&mut |look| screen.show(look, interrupts));
    screen.end(&match &finish {
        Ok(finish) => in_words(finish),
        Err(error) => format!("it could not go on: {error:#}"),
    });
    let kept = write_frames(store, name);
    let counts = count(store, &entries)?;
    if let Some(command) = &run.notify {
        let summary =
            finish.as_ref().map_err(|error| anyhow::anyhow!("{error:#}")).map(|finish| counts.summary(finish));
        let news = news(workspace, &summary, &counts.failures, began.elapsed());
        if let Err(why) = notify::tell(command, &news, notify::PATIENCE) {
            complain(&format!("warning: {why}"));
        }
    }
    let finish = finish?;
    kept?;
    if matches!(finish, Finish::Complete | Finish::Stopped) {
        batch.settle(store, &entries);
        // Which models stay is decided by all scores, which no job knows.
        Retention::of(workspace, &super::super::plan::past(workspace)?)?;
    }
    drop(lock);
    tell(&counts, &finish, store, name)
}

fn beside(arguments: &Arguments) -> Beside {
    if arguments.take_over { Beside::Anybody } else { Beside::Jobs }
}

/// What makes no sense on a cluster.
fn refuse(arguments: &Arguments, workspace: &Workspace) -> Result<()> {
    let why = if workspace.sweep.stop.is_some() {
        "a rule of [stop] must see all runs of a sweep as they train, which jobs of a cluster do not let it; leave out \
         [stop], or train on one machine"
    } else if arguments.shard.is_some() {
        "--shard splits runs among coordinators, and on a cluster one coordinator leads all jobs; leave it out"
    } else if arguments.time_budget.is_some() {
        "--time-budget is for one machine; on a cluster `time` in [run.slurm] says how long a job lasts"
    } else {
        return Ok(());
    };
    Err(Refusal(why.to_owned()).into())
}

/// Keys of `[run]` that speak of one machine.
fn complain_of_what_has_no_effect(workspace: &Workspace) {
    let run = &workspace.sweep.run;
    let set = [("time_budget", run.time_budget.is_some()), ("mps", run.mps), ("tensorboard", run.tensorboard)];
    let names: Vec<&str> = set.iter().filter(|(_, is_set)| *is_set).map(|(name, _)| *name).collect();
    if !names.is_empty() {
        complain(&format!("{} in [run] has no effect on a cluster", names.join(", ")));
    }
}

fn terms(
    arguments: &Arguments,
    workspace: &Workspace,
    engine: &dyn Engine,
    jobs: &Jobs,
    to_do: &[&Judged],
    batch: &Batch,
) -> Result<Terms> {
    let run = &workspace.sweep.run;
    let before = batch.terms()?;
    let devices = match &arguments.devices {
        Some(list) if list != "auto" => Some(list.split(',').map(|device| device.trim().to_owned()).collect()),
        Some(_) => None,
        None => run.devices.clone(),
    };
    let slots = match arguments.slots_per_device.or(run.slots_per_device) {
        Some(Slots::Count(count)) => Some(count),
        Some(Slots::Auto) | None => None,
    };
    Ok(Terms {
        sweep: workspace.sweep.name.clone(),
        // Jobs that were submitted under it are found by it.
        name: before.as_ref().map_or_else(new_name, |before| before.name.clone()),
        // Jobs that are out go on as they began.
        mode: match &before {
            Some(before) if has_open(batch)? => before.mode,
            _ => arguments.jobs.or(jobs.mode).unwrap_or_else(|| by_length(to_do)),
        },
        engine: engine.describe(),
        devices,
        slots,
        fuse: arguments.fuse.or(run.fuse).unwrap_or(1),
        timeout: run.timeout.map(|time| time.as_secs_f64()),
        stall: Some(run.stall.unwrap_or(STALL).as_secs_f64()),
        oom_fails: run.oom_fails,
        min_free: disk::least(run),
    })
}

/// How runs become jobs where nobody says it: by the median of how long they take.
fn by_length(to_do: &[&Judged]) -> Mode {
    let mut estimates: Vec<f64> = to_do.iter().filter_map(|j| j.estimate).collect();
    estimates.sort_by(f64::total_cmp);
    match estimates.get(estimates.len() / 2) {
        Some(median) if *median >= LONG => Mode::Array,
        _ => Mode::Pilot,
    }
}

/// `jobs that take run after run (pilot), 8 at one time at most`.
fn mode_in_words(mode: Mode, at_once: u32) -> String {
    let how = match mode {
        Mode::Pilot => "jobs that take run after run (pilot)",
        Mode::Array => "a task of an array for each (array)",
    };
    format!("{how}, {at_once} at one time at most")
}

/// What `sweep plan` says of a sweep whose file names a cluster.
pub fn sketch(workspace: &Workspace, to_do: &[&Judged]) -> Option<String> {
    let run = &workspace.sweep.run;
    let jobs = match run.executor {
        Executor::Local => return None,
        Executor::Slurm => run.slurm.as_ref().map(|slurm| &slurm.jobs),
        Executor::Command => run.command.as_ref().map(|command| &command.jobs),
    };
    let mode = jobs.and_then(|jobs| jobs.mode).unwrap_or_else(|| by_length(to_do));
    let at_once = jobs.and_then(|jobs| jobs.concurrency).unwrap_or(AT_ONCE);
    Some(format!("`sweep run` trains them on a cluster, by {}", mode_in_words(mode, at_once)))
}

/// The beginning of names that no other sweep on the cluster has: short, since some engines print ten letters of a name,
/// and a letter first, since some want that.
fn new_name() -> String {
    let own = Process::own();
    let text = format!("{}-{}-{}-{}", own.host, own.boot, own.pid, jiff::Timestamp::now());
    format!("s{:.7}", blake3::hash(text.as_bytes()).to_hex())
}

fn has_open(batch: &Batch) -> Result<bool> {
    Ok(batch.submitted()?.values().any(|submission| submission.is_open()))
}

fn entries(
    workspace: &Workspace,
    to_do: &[&Judged],
    past: &super::super::past::Past,
    terms: &Terms,
) -> Result<Vec<Entry>> {
    let fusible = (terms.fuse > 1).then(|| Fusible::of(workspace));
    let tickets = work::tickets(&workspace.sweep, to_do, &past.peaks, fusible.as_ref());
    let labels = plan::labels(to_do.iter().map(|j| (j.id, j.run)));
    let by_id: std::collections::HashMap<_, _> = to_do.iter().map(|j| (j.id, *j)).collect();
    let entry = |ticket: crate::schedule::Ticket| -> Result<Entry> {
        let judged = by_id.get(&ticket.id).ok_or_else(|| Refusal(format!("run {} is none of this call", ticket.id)))?;
        let label = labels.get(&ticket.id).cloned().unwrap_or_default();
        Ok(Entry { job: job(workspace, judged)?, label, ticket })
    };
    let mut entries = tickets.into_iter().map(entry).collect::<Result<Vec<Entry>>>()?;
    // Higher priorities first; of equals the order of the plan.
    entries.sort_by_key(|entry| -i64::from(entry.ticket.priority));
    Ok(entries)
}

/// The line that becomes a job.
fn program(batch: &Batch) -> Result<String> {
    let own = std::env::current_exe()?;
    Ok(format!(
        "{} pilot {}",
        quoted(&own.display().to_string()),
        quoted(&absolute(&batch.folder).display().to_string())
    ))
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Prints a script as it would be submitted, and when it would begin.
fn dry_run(
    engine: &dyn Engine,
    terms: &Terms,
    script: &dyn Fn(&Script) -> String,
    runs: u32,
    at_once: u32,
) -> Result<Exit> {
    let tasks = match terms.mode {
        Mode::Array => runs.min(engine.most_tasks()),
        Mode::Pilot => runs.min(at_once),
    };
    if tasks == 0 {
        return Ok(Exit::Done);
    }
    let name = format!("{}-1-{}", terms.name, terms.sweep);
    let exclude = Vec::new();
    let text = script(&Script { number: 1, name: &name, tasks, at_once: at_once.min(tasks), exclude: &exclude });
    print(&format!("\nthe script:\n\n{text}"))?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("sweep.sh");
    std::fs::write(&file, &text)?;
    let order = Submit { name, script: file, tasks, at_once, exclude };
    match engine.estimate(&order) {
        Ok(estimate) => print(&format!("{estimate}; nothing was submitted"))?,
        Err(trouble) => return Err(Refusal(format!("it would be refused: {trouble}")).into()),
    }
    Ok(Exit::Done)
}
