//! `sweep pilot FOLDER`: what a job of a cluster runs on its node.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::devices::{find, worker_program};
use super::slots::{self, Wish};
use super::{Exit, Refusal, complain};
use crate::cluster::batch::Batch;
use crate::cluster::pilot::{Call, Means, Pilot, work};
use crate::device::Device;
use crate::plan::RunId;
use crate::record::store::Store;
use crate::schedule::state::{Finish, Note, State};
use crate::schedule::{Directors, Interrupts, Keeper, Observer, Orders};
use crate::spec::{RunTable, Slots};

#[derive(clap::Args)]
pub struct Arguments {
    /// `results/<sweep>/cluster`
    folder: PathBuf,
    #[arg(long)]
    submission: u32,
    /// Which of the submission's tasks it is
    #[arg(long)]
    task: u32,
    /// The engine's name of it
    #[arg(long)]
    job: Option<String>,
    /// Only look around on the node, and write what is seen into this file
    #[arg(long)]
    answer: Option<PathBuf>,
    /// How long it may train
    #[arg(long, default_value_t = 14_400)]
    seconds: u64,
    /// The engine's name of its node
    #[arg(long)]
    node: Option<String>,
    /// Cores that it has; 0 lets it find out
    #[arg(long, default_value_t = 0)]
    cpus: u32,
    /// The command that lets it begin again, where work is left when its time is over
    #[arg(long)]
    requeue: Option<String>,
}

pub fn main(arguments: &Arguments) -> Result<Exit> {
    let began = Instant::now();
    if let Some(file) = &arguments.answer {
        super::doctor::cluster::answer(file)?;
        return Ok(Exit::Done);
    }
    // USR2 is the engine's warning that time is nearly over, or that another job wants the node.
    let (interrupts, warned) = Interrupts::of_job(libc::SIGUSR2)?;
    let above = arguments.folder.parent();
    let names = above.and_then(|sweep| Some((sweep.parent()?, sweep.file_name()?.to_str()?)));
    let (root, sweep) =
        names.ok_or_else(|| Refusal(format!("{} is no folder results/<sweep>/cluster", arguments.folder.display())))?;
    let store = Store::new(root);
    let batch = Batch::of(&store, sweep);
    let nothing =
        || Refusal(format!("{} holds no sweep; `sweep run --executor slurm` makes it", batch.folder.display()));
    let terms = batch.terms()?.ok_or_else(nothing)?;
    let entries = batch.runs()?;
    refuse_beside_local(&store)?;
    let call = Call {
        submission: arguments.submission,
        task: arguments.task,
        job: arguments.job.clone().unwrap_or_else(|| format!("{}-{}", terms.name, arguments.submission)),
        node: arguments.node.clone().filter(|node| !node.is_empty()),
    };
    let submission = batch.submitted()?.remove(&call.submission);
    let runs = submission.and_then(|submission| submission.runs);
    let only = runs.as_ref().and_then(|runs| runs.get(call.task as usize).cloned());
    if let (Some(runs), None) = (&runs, &only) {
        let say = format!("task {} is none of the {} of submission {}", call.task, runs.len(), call.submission);
        return Err(Refusal(say).into());
    }
    let pilot = Pilot::begin(&store, &batch, &call)?;

    let worker = worker_program()?;
    let asked = terms.devices.as_ref().map(|devices| devices.join(","));
    let found = find(&worker, asked.as_deref(), &RunTable::default())?;
    let per_device = Some(Slots::Count(terms.slots.unwrap_or(1)));
    let wish = Wish { sweep, per_device, cpu_workers: 1, runs: entries.len(), mps: false };
    let slots::Taken { mut slots, notes, .. } = slots::take(&found, wish)?;
    // That other jobs use the node's cores is no news: each has its own.
    if found.devices.iter().any(Device::is_gpu) {
        notes.iter().for_each(|note| complain(note));
    }
    if arguments.cpus > 0 {
        let threads = (arguments.cpus / slots.len() as u32).max(1);
        slots.iter_mut().for_each(|slot| slot.threads = threads);
    }
    let devices: Vec<&str> = slots.iter().map(|slot| slot.name()).collect();
    say(&format!("job {} ({}) trains on {}", call.job, pilot.holder.pilot, devices.join(", ")));

    let labels: std::collections::HashMap<RunId, String> =
        entries.iter().map(|entry| (entry.job.id.clone(), entry.label.clone())).collect();
    let label = |id: &RunId| labels.get(id).cloned().unwrap_or_else(|| id.to_string());
    let keeper = Keeper::new(&store, sweep, Some(pilot.holder.pilot), &slots, &label).of_job(&call.job);
    let mut screen = Lines { keeper };
    let mut asked = Orders::of_one_among_many(&store, sweep);
    let mut floor = super::disk::floor_of(&store, terms.min_free);
    let mut orders = Directors(vec![&mut asked, &mut floor]);
    let time = Duration::from_secs(arguments.seconds).saturating_sub(began.elapsed());
    let means = Means {
        store: &store,
        batch: &batch,
        terms: &terms,
        entries,
        only,
        worker,
        slots,
        commit: env!("SWEEP_COMMIT").to_owned(),
        interrupts,
        time: Some(time),
    };
    let ended = work(&pilot, means, &mut screen, &mut orders);
    screen.keeper.end(&match &ended {
        Ok((finish, _)) => finish.in_words(),
        Err(error) => format!("it could not go on: {error:#}"),
    });
    let (finish, is_left) = ended?;
    say(&format!("job {}: {}", call.job, finish.in_words()));
    let is_out_of_time = finish == Finish::OutOfTime || warned.load(Ordering::SeqCst);
    if let (true, true, Some(command)) = (is_out_of_time, is_left && !batch.is_stopped(), &arguments.requeue) {
        say("its time is over and work is left: it begins again");
        let status = Command::new("sh").args(["-c", command]).status().context("cannot start a shell")?;
        if !status.success() {
            complain(&format!("`{command}` failed ({status}); the coordinator submits another job"));
        }
    }
    Ok(Exit::Done)
}

/// A coordinator on one machine may hand the same runs out.
fn refuse_beside_local(store: &Store) -> Result<()> {
    let holders = store.holders();
    for sweep in store.sweeps()? {
        for seen in store.seen(&sweep, &holders) {
            let is_of_cluster = seen.live.job.is_some() || seen.live.engine.is_some();
            if seen.verdict.is_at_work() && !is_of_cluster {
                let process = &seen.live.process;
                let say = format!(
                    "sweep `{sweep}` runs on these results without the cluster (process {} on {}): this job leaves them \
                     alone",
                    process.pid, process.host
                );
                return Err(Refusal(say).into());
            }
        }
    }
    Ok(())
}

/// A line with the time, for the job's log.
fn say(text: &str) {
    complain(&format!("{:.0} {text}", jiff::Timestamp::now()));
}

/// The live file, and a line in the job's log for what happens.
struct Lines<'a> {
    keeper: Keeper<'a>,
}

impl Observer for Lines<'_> {
    fn note(&mut self, note: &Note) {
        match note {
            Note::Started { id, attempt, .. } => {
                let again = if *attempt > 1 { format!(", attempt {attempt}") } else { String::new() };
                say(&format!("{id:.10}  {}{again}: started", self.keeper.label(id)));
            }
            Note::Ended { id, end, seconds, .. } => {
                let how = match end.as_ref() {
                    crate::record::End::Failed(failure) => format!("failed: {}", failure.sentence()),
                    _ => "done".to_owned(),
                };
                say(&format!("{id:.10}  {} after {seconds:.1} s", how));
            }
            Note::Paused { id, step, .. } => say(&format!("{id:.10}  put aside at step {step}")),
            Note::PutBack { id, failure, next, .. } => say(&format!("{id:.10}  {}: {next}", failure.sentence())),
            Note::Warning(text) => say(text),
            _ => {}
        }
        self.keeper.note(note);
    }

    fn beat(&mut self, state: &State, now: Duration) {
        self.keeper.beat(state, now);
    }
}
