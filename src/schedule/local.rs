//! The driver: plays the scheduler's state over real worker processes on this machine.
//!
//! It is the only writer of records, the log and the manifest's neighbours; workers only tell.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::process::Process;
use super::state::{Command, Event, Exit, Finish, Note, State, Worker};
use crate::plan::RunId;
use crate::protocol::{Job, Order};
use crate::record::log::{self, Log, What};
use crate::record::store::Store;
use crate::record::{End, FORMAT, Provenance, Record};

/// How often interrupts are looked for and the display may move.
const BEAT: Duration = Duration::from_millis(100);
/// What a worker gets to end of itself once there is nothing left to do.
const GRACE: Duration = Duration::from_secs(3);

/// A place for one worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// `cpu`, `cuda:0`.
    pub device: String,
    pub threads: u32,
}

#[derive(Debug, Clone)]
pub struct Options {
    /// The worker's program.
    pub worker: PathBuf,
    pub slots: Vec<Slot>,
    /// Git commit of the program's source, for the log and for records of crashed runs; empty if unknown.
    pub commit: String,
    pub interrupts: Interrupts,
}

/// How often the user asked to stop: once lets running runs reach a checkpoint, twice stops at once.
#[derive(Debug, Clone, Default)]
pub struct Interrupts(Arc<AtomicUsize>);

impl Interrupts {
    /// Counts the process's SIGINT and SIGTERM from now on. The third one ends the process as if nobody listened.
    pub fn from_signals() -> Result<Interrupts> {
        let interrupts = Interrupts::default();
        for signal in [SIGINT, SIGTERM] {
            let count = interrupts.0.clone();
            let count_up = move || {
                if count.fetch_add(1, Ordering::SeqCst) >= 2 {
                    let _ = signal_hook::low_level::emulate_default_handler(signal);
                }
            };
            // SAFETY: an atomic addition and `emulate_default_handler` are async-signal-safe.
            unsafe { signal_hook::low_level::register(signal, count_up) }.context("cannot listen for Ctrl-C")?;
        }
        Ok(interrupts)
    }

    /// Asks to stop, as Ctrl-C does.
    pub fn press(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether there was one.
    pub fn is_any(&self) -> bool {
        self.count() > 0
    }

    /// How often so far.
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// Looks on and shows what it likes.
pub trait Observer {
    fn note(&mut self, note: &Note);
    /// Called several times a second, so that clocks on the screen go on.
    fn beat(&mut self) {}
}

/// How many runs ended which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    pub done: usize,
    pub failed: usize,
    /// Put aside at a checkpoint; they are among those left.
    pub paused: usize,
    /// Without a record.
    pub left: usize,
    pub interrupted: bool,
}

/// Does all jobs, in their order, and returns when every one has a record or nothing more can be done.
/// The caller holds the store's lock, and calls from a thread that outlives the call (see `Process::spawn`).
///
/// # Errors
/// Records or the log cannot be written, or no worker ever becomes ready. Runs that fail are no error.
pub fn run(
    jobs: Vec<Job>,
    store: &Store,
    sweep: &str,
    options: &Options,
    observer: &mut dyn Observer,
) -> Result<Summary> {
    if options.slots.is_empty() && !jobs.is_empty() {
        bail!("there is no device to train on: name one with `--devices cpu`");
    }
    let (mut log, reading) = Log::open(&store.sweep_folder(sweep).join("events.jsonl"))?;
    if !reading.skipped.is_empty() {
        let lines = reading.skipped.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        observer.note(&Note::Warning(format!(
            "the event log of `{sweep}` is damaged or newer than this program in line {lines}; skipped. Records are \
             not touched by this"
        )));
    }
    append(
        &mut log,
        What::Began {
            sweep: sweep.to_owned(),
            runs: jobs.len(),
            commit: options.commit.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
        },
    )?;
    let mut state = State::new(jobs.iter().map(|job| (job.id.clone(), job.attempt)), options.slots.len());
    let (sender, events) = mpsc::channel();
    let mut driver = Driver {
        store,
        sweep,
        options,
        observer,
        log,
        jobs: jobs.into_iter().map(|job| (job.id.clone(), job)).collect(),
        started: HashMap::new(),
        processes: HashMap::new(),
        sender,
    };
    let start = Instant::now();
    let mut heard = 0; // interrupts that the state knows of
    let mut commands = state.start();
    let finish = loop {
        if let Some(finish) = driver.carry_out(commands)? {
            break finish;
        }
        let event = if options.interrupts.count() > heard {
            heard += 1;
            Some(Event::Interrupt)
        } else {
            events.recv_timeout(BEAT).ok()
        };
        driver.observer.beat();
        if let Some(Event::Exited(worker, _)) = &event {
            driver.processes.remove(worker);
        }
        commands = event.map_or_else(Vec::new, |event| state.on(event, start.elapsed()));
    };
    driver.dismiss(&events);
    if let Finish::NoWorkers(Exit { how, tail }) = finish {
        let said = if tail.is_empty() { "It said nothing.".to_owned() } else { format!("Its last words:\n{tail}") };
        bail!(
            "no worker became ready, on any device ({how}). {said}\nThe whole log is {}; `sweep doctor` says what is \
             missing.",
            store.sweep_folder(sweep).join("worker-*.log").display()
        );
    }
    let counts = state.counts();
    Ok(Summary {
        done: counts.done,
        failed: counts.failed,
        paused: counts.paused,
        left: counts.total - counts.done - counts.failed,
        interrupted: finish == Finish::Interrupted,
    })
}

struct Driver<'a> {
    store: &'a Store,
    sweep: &'a str,
    options: &'a Options,
    observer: &'a mut dyn Observer,
    log: Log,
    jobs: HashMap<RunId, Job>,
    /// When each run was handed out, RFC 3339.
    started: HashMap<RunId, String>,
    processes: HashMap<Worker, Process>,
    sender: Sender<Event>,
}

impl Driver<'_> {
    fn carry_out(&mut self, commands: Vec<Command>) -> Result<Option<Finish>> {
        for command in commands {
            match command {
                Command::Spawn(worker) => self.spawn(worker),
                Command::Train(worker, id) => {
                    self.started.insert(id.clone(), now());
                    if let (Some(process), Some(job)) = (self.processes.get_mut(&worker), self.jobs.get(&id)) {
                        process.log_to(job.folder.join("log.txt"));
                        process.order(&Order::Train(Box::new(job.clone())));
                    }
                }
                Command::Pause(worker) => {
                    if let Some(process) = self.processes.get_mut(&worker) {
                        process.order(&Order::Pause);
                    }
                }
                Command::Kill(worker) => {
                    if let Some(process) = self.processes.get(&worker) {
                        process.kill();
                    }
                }
                Command::Write(id, end, made) => self.write(&id, *end, *made)?,
                Command::Append(what) => append(&mut self.log, what)?,
                Command::Show(note) => {
                    if let Note::Ended { slot, .. } | Note::Paused { slot, .. } = note {
                        self.log_idle(slot);
                    }
                    self.observer.note(&note);
                }
                Command::Finish(finish) => return Ok(Some(finish)),
            }
        }
        Ok(None)
    }

    fn spawn(&mut self, worker: Worker) {
        let Options { worker: program, slots, .. } = self.options;
        let Slot { device, threads } = &slots[worker.slot];
        match Process::spawn(program, device, *threads, self.idle_log(worker.slot), worker, &self.sender) {
            Ok(process) => {
                self.processes.insert(worker, process);
            }
            Err(error) => {
                let how = format!("{} cannot be started: {error}", program.display());
                let _ = self.sender.send(Event::Exited(worker, Exit { how, tail: String::new() }));
            }
        }
    }

    /// Words of a worker that has no run.
    fn idle_log(&self, slot: usize) -> PathBuf {
        self.store.sweep_folder(self.sweep).join(format!("worker-{slot}.log"))
    }

    fn log_idle(&self, slot: usize) {
        for (_, process) in self.processes.iter().filter(|(worker, _)| worker.slot == slot) {
            process.log_to(self.idle_log(slot));
        }
    }

    fn write(&self, id: &RunId, end: End, mut made: Provenance) -> Result<()> {
        let Some(job) = self.jobs.get(id) else { return Ok(()) };
        // A crashed worker told nothing; what the coordinator knows is better than nothing.
        if made.version.is_empty() {
            made.version = env!("CARGO_PKG_VERSION").to_owned();
            made.commit = self.options.commit.clone();
        }
        if made.started.is_empty() {
            made.started = self.started.get(id).cloned().unwrap_or_default();
        }
        self.store.write(&Record { format: FORMAT, id: id.clone(), run: job.run.clone(), end, made })
    }

    /// Lets the workers end of themselves for a moment; dropping them ends those that do not.
    fn dismiss(&mut self, events: &Receiver<Event>) {
        self.processes.values_mut().for_each(Process::dismiss);
        let deadline = Instant::now() + GRACE;
        while !self.processes.is_empty() {
            match events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Event::Exited(worker, _)) => drop(self.processes.remove(&worker)),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        self.processes.clear();
    }
}

fn append(log: &mut Log, what: What) -> Result<()> {
    log.append(&log::Event { time: now(), what })
}

/// RFC 3339, UTC.
fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}
