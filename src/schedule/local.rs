//! The driver: plays the scheduler's state over real worker processes on this machine.
//!
//! It is the only writer of records, the log and the manifest's neighbours; workers only tell.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::process::Process;
use super::queue::Ticket;
use super::slot::Slot;
use super::state::{Command, Counts, Errand, Event, Exit, Finish, Limits, Note, Place, State, Worker};
use super::suspend::{self, Clock};
use crate::device::gauge::Meter;
use crate::device::peak::Shape;
use crate::disk::remove_checkpoints;
use crate::plan::RunId;
use crate::protocol::{Job, Message, Order};
use crate::record::log::{self, Log, What};
use crate::record::shard::Shard;
use crate::record::store::Store;
use crate::record::{End, FORMAT, Failure, Provenance, Record};

/// How often interrupts are looked for and the display may move.
const BEAT: Duration = Duration::from_millis(100);
/// How often a full disk is looked at again.
const ROOM: Duration = Duration::from_millis(500);
/// What a worker gets to end of itself once there is nothing left to do.
const GRACE: Duration = Duration::from_secs(3);

#[derive(Debug, Clone)]
pub struct Options {
    /// The worker's program.
    pub worker: PathBuf,
    pub slots: Vec<Slot>,
    /// Git commit of the program's source, for the log and for records of crashed runs; empty if unknown.
    pub commit: String,
    pub limits: Limits,
    pub interrupts: Interrupts,
    /// The share of the runs that this coordinator does, where others do the rest at the same time.
    pub shard: Option<Shard>,
    /// The job of a cluster that it is, and its node, for the records.
    pub job: Option<String>,
}

/// How often the user asked to stop: once lets running runs reach a checkpoint, twice stops at once.
#[derive(Debug, Clone, Default)]
pub struct Interrupts(Arc<AtomicUsize>);

impl Interrupts {
    /// Counts the process's SIGINT, SIGTERM and SIGHUP from now on. The third one ends the process as if nobody listened.
    pub fn from_signals() -> Result<Interrupts> {
        let interrupts = Interrupts::default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // `nohup` has it ignored, and so it stays.
            if signal == SIGHUP && is_ignored(signal) {
                continue;
            }
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

    /// Those of a job of a cluster: `warning`, and what engines end a job by, ask once to come to a checkpoint, however many
    /// come. Whoever wants it to end at once has SIGKILL. With it comes whether it was the warning.
    ///
    /// # Errors
    /// The system does not let us listen.
    pub fn of_job(warning: libc::c_int) -> Result<(Interrupts, Arc<AtomicBool>)> {
        let (interrupts, came) = (Interrupts::default(), Arc::new(AtomicBool::new(false)));
        for signal in [SIGINT, SIGTERM, SIGHUP, warning] {
            let (count, told) = (interrupts.0.clone(), came.clone());
            let note = move || {
                told.fetch_or(signal == warning, Ordering::SeqCst);
                count.fetch_max(1, Ordering::SeqCst);
            };
            // SAFETY: atomic operations are async-signal-safe.
            unsafe { signal_hook::low_level::register(signal, note) }.context("cannot listen for a signal")?;
        }
        Ok((interrupts, came))
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

fn is_ignored(signal: libc::c_int) -> bool {
    // SAFETY: asks only; `old` is a plain structure that the call fills.
    unsafe {
        let mut old: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &mut old) == 0 && old.sa_sigaction == libc::SIG_IGN
    }
}

/// Looks on and shows what it likes.
pub trait Observer {
    fn note(&mut self, note: &Note);
    /// Called several times a second, so that clocks on the screen go on; `now` is the time since the start.
    fn beat(&mut self, _state: &State, _now: Duration) {}
}

/// What else has a say in a sweep under way: rules that add and end runs, orders from other terminals, the disk.
pub trait Director {
    /// Asked after every event and on every beat; what it answers the scheduler hears next. Nothing to say while
    /// nothing runs ends the sweep.
    fn say(&mut self, state: &State, now: Duration) -> Vec<Event>;
    /// Told of all that happens.
    fn note(&mut self, _note: &Note) {}
}

/// How many runs ended which way, and how the sweep did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    pub done: usize,
    pub failed: usize,
    /// Ended by a rule.
    pub stopped: usize,
    /// Put aside at a checkpoint; they are among those left.
    pub paused: usize,
    /// Without a record.
    pub left: usize,
    pub finish: Finish,
}

/// Does all runs, in the order of their tickets, and returns when every one has a record or nothing more can be done.
/// `job` gives what a worker needs to know of a run; attempt, step and passes are those of the ticket.
/// The caller holds the store's lock, and calls from a thread that outlives the call (see `Process::spawn`).
///
/// # Errors
/// Records or the log cannot be written, or no worker ever becomes ready. Runs that fail are no error.
pub fn run(
    tickets: Vec<Ticket>,
    job: &dyn Fn(&RunId) -> Result<Job>,
    store: &Store,
    sweep: &str,
    options: &Options,
    observer: &mut dyn Observer,
    director: Option<&mut dyn Director>,
) -> Result<Summary> {
    if options.slots.is_empty() && !tickets.is_empty() {
        bail!("there is no device to train on: name one with `--devices cpu`");
    }
    let (mut log, reading) = Log::open(&store.sweep_folder(sweep).join(Shard::file(options.shard, "events", "jsonl")))?;
    if !reading.skipped.is_empty() {
        let lines = reading.skipped.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        observer.note(&Note::Warning(format!(
            "the event log of `{sweep}` is damaged or newer than this program in line {lines}; skipped. Records are \
             not touched by this"
        )));
    }
    let began = What::Began {
        sweep: sweep.to_owned(),
        runs: tickets.len(),
        commit: options.commit.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
    };
    log.append(&log::Event { time: now(), what: began })?;
    let places = places(&options.slots);
    let mut state = State::new(tickets, places, options.limits);
    if director.is_some() {
        state = state.open();
    }
    let (sender, events) = mpsc::channel();
    let mut driver = Driver {
        store,
        sweep,
        options,
        observer,
        director,
        log,
        job,
        running: HashMap::new(),
        started: HashMap::new(),
        processes: HashMap::new(),
        meters: HashMap::new(),
        sender,
    };
    let _suspends = suspend::Listening::start();
    let finish = driver.play(&mut state, &events)?;
    driver.dismiss(&events);
    if let Finish::NoWorkers(Exit { how, tail, .. }) = finish {
        let said = if tail.is_empty() { "It said nothing.".to_owned() } else { format!("Its last words:\n{tail}") };
        bail!(
            "no worker became ready, on any device ({how}). {said}\nThe whole log is {}; `sweep doctor` says what is \
             missing.",
            store.sweep_folder(sweep).join("worker-*.log").display()
        );
    }
    let Counts { done, failed, stopped, paused, total } = state.counts();
    Ok(Summary { done, failed, stopped, paused, left: total - done - failed - stopped, finish })
}

/// Slots of one device share its memory; those of a CPU all do.
fn places(slots: &[Slot]) -> Vec<Place> {
    let first = |slot: &Slot| slots.iter().position(|other| other.name() == slot.name()).unwrap_or_default();
    slots.iter().map(|slot| Place { device: first(slot), room: slot.room }).collect()
}

struct Driver<'a, 'd> {
    store: &'a Store,
    sweep: &'a str,
    options: &'a Options,
    observer: &'a mut dyn Observer,
    director: Option<&'d mut dyn Director>,
    log: Log,
    job: &'a dyn Fn(&RunId) -> Result<Job>,
    /// The jobs under way.
    running: HashMap<RunId, Running>,
    /// When each of them was handed out, RFC 3339.
    started: HashMap<RunId, String>,
    processes: HashMap<Worker, Process>,
    /// Of workers on a device whose memory can be looked at.
    meters: HashMap<Worker, Meter>,
    sender: Sender<Event>,
}

/// A run under way.
struct Running {
    job: Job,
    slot: usize,
    /// No other run began beside it in its program.
    is_alone: bool,
}

impl Driver<'_, '_> {
    /// Feeds the state with what happens until it is over.
    fn play(&mut self, state: &mut State, events: &Receiver<Event>) -> Result<Finish> {
        let mut clock = Clock::start();
        let mut heard = 0; // interrupts that the state knows of
        let mut beat = Instant::now();
        let mut commands = state.start();
        loop {
            if let Some(finish) = self.carry_out(commands)? {
                return Ok(finish);
            }
            let said = self.director.as_mut().map_or_else(Vec::new, |director| director.say(state, clock.now()));
            if !said.is_empty() {
                commands = said.into_iter().flat_map(|event| state.on(event, clock.now())).collect();
                continue;
            }
            if self.director.is_some() && state.is_idle() && state.held().is_none() {
                commands = state.on(Event::Close, clock.now());
                if !commands.is_empty() {
                    continue;
                }
            }
            let mut event = if self.options.interrupts.count() > heard {
                heard += 1;
                Some(Event::Interrupt)
            } else {
                events.recv_timeout(BEAT).ok()
            };
            match &mut event {
                Some(Event::Exited(worker, _)) => {
                    self.processes.remove(worker);
                    self.meters.remove(worker);
                }
                Some(Event::From(worker, Message::Done { id, made, .. })) => self.weigh(*worker, id, made),
                _ => {}
            }
            if suspend::was_asked() {
                // Ctrl-Z is for the workers too, which are in groups of their own; time stands still for all.
                self.processes.values().for_each(Process::stand_still);
                clock.without(suspend::now);
                self.processes.values().for_each(Process::go_on);
            }
            commands = event.map_or_else(Vec::new, |event| state.on(event, clock.now()));
            if beat.elapsed() >= BEAT {
                beat = Instant::now();
                self.observer.beat(state, clock.now());
                commands.extend(state.on(Event::Tick, clock.now()));
            }
        }
    }

    fn carry_out(&mut self, commands: Vec<Command>) -> Result<Option<Finish>> {
        for command in commands {
            match command {
                Command::Spawn(worker) => self.spawn(worker),
                Command::Train(worker, errands) => self.train(worker, errands)?,
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
                Command::Append(what) => self.append(what)?,
                Command::Show(note) => self.show(&note),
                Command::Finish(finish) => return Ok(Some(finish)),
            }
        }
        Ok(None)
    }

    fn train(&mut self, worker: Worker, errands: Vec<Errand>) -> Result<()> {
        let job = |Errand { id, attempt, until, micro_batch }: Errand| -> Result<Job> {
            Ok(Job { attempt, until, micro_batch, ..(self.job)(&id)? })
        };
        let mut jobs = errands.into_iter().map(job).collect::<Result<Vec<Job>>>()?;
        for job in &jobs {
            self.started.insert(job.id.clone(), now());
            self.running
                .insert(job.id.clone(), Running { job: job.clone(), slot: worker.slot, is_alone: jobs.len() == 1 });
        }
        if let Some(process) = self.processes.get_mut(&worker) {
            process.log_to(jobs.iter().map(|job| job.folder.join("log.txt")).collect());
            process.order(&match jobs.len() {
                1 => Order::Train(Box::new(jobs.remove(0))),
                _ => Order::Fuse(jobs),
            });
        }
        Ok(())
    }

    fn show(&mut self, note: &Note) {
        match note {
            Note::Ended { slot, id, .. }
            | Note::Paused { slot, id, .. }
            | Note::Reached { slot, id, .. }
            | Note::Regrouped { slot, id }
            | Note::PutBack { slot, id, .. } => {
                self.running.remove(id);
                self.started.remove(id);
                self.log_idle(*slot);
            }
            _ => {}
        }
        if let Some(director) = &mut self.director {
            director.note(note);
        }
        self.observer.note(note);
    }

    fn spawn(&mut self, worker: Worker) {
        let Options { worker: program, slots, .. } = self.options;
        let slot = &slots[worker.slot];
        match Process::spawn(program, slot, self.idle_log(worker.slot), worker, &self.sender) {
            Ok(process) => {
                if let Some(gauge) = &slot.gauge {
                    self.meters.insert(worker, Meter::new(gauge.clone(), process.id()));
                }
                self.processes.insert(worker, process);
            }
            Err(error) => {
                let how = format!("{} cannot be started: {error}", program.display());
                let _ = self.sender.send(Event::Exited(worker, Exit { how, ..Exit::default() }));
            }
        }
    }

    /// Notes what a run took of its device's memory, before its worker gets another.
    fn weigh(&mut self, worker: Worker, id: &RunId, made: &mut Provenance) {
        let name = |worker: &Worker| self.options.slots.get(worker.slot).map(Slot::name);
        let alone = self.processes.keys().all(|other| *other == worker || name(other) != name(&worker));
        if let (Some(meter), Some(Running { job, is_alone, .. })) = (self.meters.get_mut(&worker), self.running.get(id))
        {
            made.peak_device_memory_mib = match is_alone {
                true => meter.after(Shape::of(&job.run, job.micro_batch), alone),
                false => meter.after_group(alone),
            };
        }
    }

    /// Words of a worker that has no run.
    fn idle_log(&self, slot: usize) -> PathBuf {
        self.store.sweep_folder(self.sweep).join(Shard::file(self.options.shard, &format!("worker-{slot}"), "log"))
    }

    /// Once the last run of a slot is gone, its worker's words are nobody's.
    fn log_idle(&self, slot: usize) {
        if self.running.values().any(|running| running.slot == slot) {
            return;
        }
        for (_, process) in self.processes.iter().filter(|(worker, _)| worker.slot == slot) {
            process.log_to(vec![self.idle_log(slot)]);
        }
    }

    fn write(&mut self, id: &RunId, end: End, mut made: Provenance) -> Result<()> {
        // A crashed worker told nothing; what the coordinator knows is better than nothing.
        if made.version.is_empty() {
            made.version = env!("CARGO_PKG_VERSION").to_owned();
            made.commit = self.options.commit.clone();
        }
        made.job.clone_from(&self.options.job);
        if made.started.is_empty() {
            made.started = self.started.get(id).cloned().unwrap_or_else(now);
        }
        let goes_on = !matches!(&end, End::Done(_) | End::Failed(Failure::Diverged { .. }));
        let job = self.running.get(id).map(|running| running.job.clone());
        let job = job.map_or_else(|| (self.job)(id), Ok)?;
        let record = Record { format: FORMAT, id: id.clone(), run: job.run.clone(), end, made };
        let store = self.store;
        match job.copy {
            None => self.when_there_is_room(|_| store.write(&record))?,
            Some(_) => self.when_there_is_room(|driver| driver.publish(&record, &job.folder))?,
        }
        // Not before the record is there: a kill in between must not cost the run.
        if !goes_on && self.running.contains_key(id) {
            remove_checkpoints(&job.cache, &job.checkpoints());
        }
        Ok(())
    }

    /// Makes the folder of a copy the run's, unless another copy was first.
    fn publish(&mut self, record: &Record, folder: &Path) -> Result<()> {
        if !self.store.publish(record, folder)? {
            let said = format!(
                "run {:.10} was ended by another copy before; what this one found lies in {}",
                record.id,
                folder.display()
            );
            self.observer.note(&Note::Warning(said));
        }
        Ok(())
    }

    fn append(&mut self, what: What) -> Result<()> {
        let event = log::Event { time: now(), what };
        self.when_there_is_room(|driver| driver.log.append(&event))
    }

    /// Writes, and where the disk is full waits until it is not: what a run has measured must not be lost.
    ///
    /// # Errors
    /// Any other trouble; the user asks to stop while it waits.
    fn when_there_is_room(&mut self, mut write: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        let before = self.options.interrupts.count();
        let mut told = false;
        loop {
            match write(self) {
                Err(error) if is_full(&error) && self.options.interrupts.count() == before => {
                    if !std::mem::replace(&mut told, true) {
                        self.observer.note(&Note::Warning(format!(
                            "{error:#}. The sweep waits for space; Ctrl-C gives up what could not be written"
                        )));
                    }
                    std::thread::sleep(ROOM);
                }
                written => return written,
            }
        }
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

fn is_full(error: &anyhow::Error) -> bool {
    let kind = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    matches!(kind, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
}

/// RFC 3339, UTC.
fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}
