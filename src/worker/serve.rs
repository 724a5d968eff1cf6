//! Takes orders, trains, answers. A panic ends only this process.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::Arguments;
use crate::after::fused::{self, Member};
use crate::after::{self, Stages};
use crate::apply::Bench;
use crate::cuda;
use crate::fault;
use crate::log;
use crate::measure::measure;
use crate::network::rounding;
use crate::orders::Orders;
use crate::plan::{Precision, RunId};
use crate::protocol::{Job, Message, Order, Probe, ProbedDevice};
use crate::record::{Failure, Provenance};
use crate::train::checkpoint::Spent;
use crate::train::{Ending, Listener, Places};
use crate::warm::Warm;

/// Exit code of a worker that SIGTERM ended: its run, if it had one, stands at its last checkpoint.
const PREEMPTED: u8 = 75; // EX_TEMPFAIL of sysexits.h

/// Between two checkpoints a run trains at least so many times as long as the last one took to write: a slow disk makes
/// checkpoints rarer, not runs endless.
const SAVING: f64 = 4.0;

/// Takes orders until standard input ends, or SIGTERM comes. Gives the exit code.
pub fn serve(arguments: &Arguments) -> u8 {
    let Arguments { device: own_name, threads, label, hardware, .. } = arguments;
    let threads = *threads;
    tch::set_num_threads(threads as i32);
    tch::set_num_interop_threads(1);
    // Only a second call fails, and then the pool of the first one stands.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(threads as usize).build_global();
    let device = match cuda::device(own_name) {
        Ok(device) => device,
        Err(message) => {
            log::line(&message);
            return 1;
        }
    };
    let found = || cuda::devices().into_iter().find(|(name, _)| name == own_name).map(|(_, hardware)| hardware);
    let hardware = hardware.clone().filter(|name| !name.is_empty()).or_else(found).unwrap_or_default();
    let device_name = label.as_ref().unwrap_or(own_name);
    say(&Message::Ready {
        device: device_name.clone(),
        device_name: hardware.clone(),
        libtorch: cuda::LIBTORCH.to_owned(),
        threads,
    });
    let orders = Orders::listen();
    let mut warm = Warm::new(device);
    let mut bench = Bench::new(device);
    while let Some(order) = orders.next() {
        let provenance = |job: &Job| Provenance {
            commit: env!("SWEEP_COMMIT").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            libtorch: cuda::LIBTORCH.to_owned(),
            device: device_name.to_owned(),
            device_name: hardware.clone(),
            threads,
            started: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            attempt: job.attempt,
            micro_batch: job.micro_batch,
            ..Provenance::default()
        };
        let of = match &order {
            Order::Train(job) | Order::Measure { job, .. } => Some(&job.run),
            Order::Fuse(jobs) => jobs.first().map(|job| &job.run),
            Order::Open(opening) => Some(&opening.run),
            Order::Pause | Order::Predict { .. } | Order::Export { .. } => None,
        };
        if let Some(run) = of {
            rounding::to_tf32(run.recipe.precision == Precision::Tf32);
        }
        match order {
            Order::Train(job) => say(&work(&job, &mut warm, &orders, provenance(&job))),
            Order::Fuse(jobs) => work_on_all(&jobs, &mut warm, &orders, &provenance),
            // Heard on the thread of the orders.
            Order::Pause => {}
            Order::Measure { job, seconds } => say(&measured(&job, seconds, &mut warm)),
            order => say(&bench.answer(order)),
        }
    }
    if orders.is_terminated() { PREEMPTED } else { 0 }
}

fn measured(job: &Job, seconds: f64, warm: &mut Warm) -> Message {
    let span = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    match measure(job, span, warm) {
        Ok((examples, seconds)) => Message::Measured { examples, seconds, peak_memory_mib: peak_memory_mib() },
        Err(error) => Message::Refused { message: format!("{error:#}") },
    }
}

/// Prints what this machine can train on, a `protocol::Probe`. Gives the exit code.
pub fn probe() -> u8 {
    let devices = cuda::devices().into_iter().map(|(name, hardware)| {
        let memory = cuda::memory(&name);
        ProbedDevice { name, hardware, memory }
    });
    let found = Probe { libtorch: cuda::LIBTORCH.to_owned(), devices: devices.collect() };
    let found = serde_json::to_string(&found).expect("words and numbers");
    let printed = writeln!(std::io::stdout(), "{found}");
    u8::from(printed.is_err())
}

fn work(job: &Job, warm: &mut Warm, orders: &Orders, made: Provenance) -> Message {
    forget_peak_memory();
    let mut listener = Reporter::new(job, orders, Rc::new(Cell::new(1)));
    listener.phase("load");
    let others = job.others.iter().map(|task| Ok((task.clone(), warm.data(job, task)?))).collect::<Result<Vec<_>>>();
    let train = |listener: &mut Reporter| {
        let others = others?;
        let (subject, data) = warm.take(job)?;
        subject.reset(job.run.seed, &job.run.recipe);
        let places = places(job);
        let (keep, micro_batch) = (job.keep, job.micro_batch);
        let stages = Stages { model: &job.model, others: &others, keep, micro_batch };
        after::complete(&job.run, &job.task, subject, &data, &places, &stages, listener)
    };
    let ending = catch_unwind(AssertUnwindSafe(|| train(&mut listener)));
    let ending = or_failure(ending, warm);
    ended(&mut listener, ending, made)
}

/// Trains runs side by side, and says of each how it ended, as soon as it did.
fn work_on_all(jobs: &[Job], warm: &mut Warm, orders: &Orders, provenance: &dyn Fn(&Job) -> Provenance) {
    let Some(first) = jobs.first() else { return };
    forget_peak_memory();
    let on_the_way = Rc::new(Cell::new(jobs.len()));
    let made: Vec<Provenance> = jobs.iter().map(provenance).collect();
    let reporters: Vec<RefCell<Reporter>> =
        jobs.iter().map(|job| RefCell::new(Reporter::new(job, orders, on_the_way.clone()))).collect();
    reporters.iter().for_each(|reporter| reporter.borrow_mut().phase("load"));
    let mut told = vec![false; jobs.len()];
    let mut tell = |place: usize, ending: Result<Ending, Failure>| {
        if !std::mem::replace(&mut told[place], true) {
            say(&ended(&mut reporters[place].borrow_mut(), ending, made[place].clone()));
            // From now on the others have the program's time for themselves.
            reporters.iter().for_each(|reporter| reporter.borrow_mut().phases.settle());
            on_the_way.set(on_the_way.get() - 1);
        }
    };
    let train = || {
        let (subject, data) = warm.take(first)?;
        let places: Vec<Places> = jobs.iter().map(places).collect();
        let mut listeners: Vec<Shared> = reporters.iter().map(Shared).collect();
        let members = jobs.iter().zip(&places).zip(&mut listeners).map(|((job, places), listener)| Member {
            run: &job.run,
            places,
            listener,
            keep: job.keep,
        });
        fused::complete(members.collect(), &first.task, &data, &first.model, subject, &mut |place, ending| {
            tell(place, ending.map_err(|error| fault::of_error(&error)));
        })
    };
    let trained = catch_unwind(AssertUnwindSafe(train));
    // What concerns them all ends those that had not ended.
    if let Err(failure) = or_failure(trained, warm) {
        (0..jobs.len()).for_each(|place| tell(place, Err(failure.clone())));
    }
}

/// What was done, or what it failed of. A panic that leaves nobody knows what ends the process.
fn or_failure<T>(done: thread::Result<Result<T>>, warm: &mut Warm) -> Result<T, Failure> {
    match done {
        Ok(done) => done.map_err(|error| fault::of_error(&error)),
        Err(panic) => {
            // The next run gets its model anew, into memory that is free.
            warm.forget();
            Err(fault::of_panic(panic.as_ref()).unwrap_or_else(|| resume_unwind(panic)))
        }
    }
}

fn places(job: &Job) -> Places {
    Places {
        folder: job.folder.clone(),
        cache: job.cache.clone(),
        masks: job.masks.clone(),
        log_every: job.log_every,
        scores_at_end: job.scores_at_end,
        id: job.checkpoints(),
        until: job.until,
    }
}

/// What the coordinator is told of the end of a run.
fn ended(listener: &mut Reporter, ending: Result<Ending, Failure>, mut made: Provenance) -> Message {
    let id = listener.job.id.clone();
    let Spent { seconds, resumed, group } = listener.spent();
    (made.seconds, made.resumed, made.group) = (seconds, resumed, group);
    made.peak_memory_mib = peak_memory_mib();
    let made = Box::new(made);
    match ending {
        Ok(Ending::Done(outcome)) => Message::Done { id, outcome: Box::new(outcome), made },
        Ok(Ending::Diverged { step }) => Message::Failed { id, failure: Failure::Diverged { step }, made },
        Ok(Ending::Paused { step }) => Message::Paused { id, step },
        Ok(Ending::Reached(rung)) => Message::Reached { id, rung, made },
        Err(failure) => Message::Failed { id, failure, made },
    }
}

/// Passes what a run says on to the coordinator, and keeps the time of its phases.
struct Reporter<'a> {
    job: &'a Job,
    orders: &'a Orders,
    phases: Phases,
    /// What earlier parts of this run took.
    before: Option<Spent>,
    /// When the last checkpoint was written, or the run began.
    saved: Instant,
    /// How long that took.
    saving: Duration,
    /// The runs that it was trained side by side with so far, itself among them; empty where it was always alone.
    group: Vec<RunId>,
}

impl<'a> Reporter<'a> {
    /// `on_the_way` counts the runs that share the program's time.
    fn new(job: &'a Job, orders: &'a Orders, on_the_way: Rc<Cell<usize>>) -> Reporter<'a> {
        let phases = Phases { seconds: BTreeMap::new(), current: None, on_the_way };
        let (saved, saving) = (Instant::now(), Duration::ZERO);
        Reporter { job, orders, phases, before: None, saved, saving, group: Vec::new() }
    }
    fn note_saving(&mut self) {
        self.saved = Instant::now();
        self.saving = self.phases.current.map_or(Duration::ZERO, |(_, since)| since.elapsed());
    }
}

impl Listener for Reporter<'_> {
    fn phase(&mut self, name: &'static str) {
        self.phases.enter(name);
        say(&Message::Phase { id: self.job.id.clone(), name: name.to_owned() });
    }

    fn step(&mut self, step: u32, of: u32, loss: f64, examples_per_second: f64) {
        say(&Message::Step { id: self.job.id.clone(), step, of, loss, examples_per_second });
    }

    fn pause(&mut self) -> bool {
        self.orders.pause_asked()
    }

    fn is_save_due(&mut self) -> bool {
        let least = self.saving.as_secs_f64() * SAVING;
        self.job.checkpoint_every.is_some_and(|every| self.saved.elapsed().as_secs_f64() >= every.max(least))
    }

    fn saved(&mut self, step: u32) {
        self.note_saving();
        say(&Message::Checkpointed { id: self.job.id.clone(), step });
    }

    fn not_saved(&mut self, why: &str) {
        self.note_saving();
        log::line(&format!("the run goes on without this checkpoint: {why}"));
    }

    fn spent(&mut self) -> Spent {
        let before = self.before.clone().unwrap_or_default();
        let mut seconds = before.seconds;
        for (phase, own) in self.phases.so_far() {
            *seconds.entry(phase).or_default() += own;
        }
        // To the millisecond.
        seconds.values_mut().for_each(|s| *s = (*s * 1e3).round() / 1e3);
        let mut group = before.group;
        group.extend(self.group.iter().filter(|id| !group.contains(id)).cloned().collect::<Vec<_>>());
        Spent { seconds, resumed: before.resumed, group }
    }

    fn all_saved(&mut self, took: Duration) {
        (self.saved, self.saving) = (Instant::now(), took);
    }

    fn beside(&mut self, group: &[RunId]) {
        self.group = group.to_vec();
    }

    fn taken_up(&mut self, spent: Spent) {
        self.before = Some(Spent { resumed: spent.resumed + 1, ..spent });
    }
}

/// A reporter that somebody else asks too.
struct Shared<'a, 'b>(&'a RefCell<Reporter<'b>>);

impl Listener for Shared<'_, '_> {
    fn phase(&mut self, name: &'static str) {
        self.0.borrow_mut().phase(name);
    }

    fn step(&mut self, step: u32, of: u32, loss: f64, examples_per_second: f64) {
        self.0.borrow_mut().step(step, of, loss, examples_per_second);
    }

    fn pause(&mut self) -> bool {
        self.0.borrow_mut().pause()
    }

    fn is_save_due(&mut self) -> bool {
        self.0.borrow_mut().is_save_due()
    }

    fn saved(&mut self, step: u32) {
        self.0.borrow_mut().saved(step);
    }

    fn not_saved(&mut self, why: &str) {
        self.0.borrow_mut().not_saved(why);
    }

    fn spent(&mut self) -> Spent {
        self.0.borrow_mut().spent()
    }

    fn all_saved(&mut self, took: Duration) {
        self.0.borrow_mut().all_saved(took);
    }

    fn beside(&mut self, group: &[RunId]) {
        self.0.borrow_mut().beside(group);
    }

    fn taken_up(&mut self, spent: Spent) {
        self.0.borrow_mut().taken_up(spent);
    }
}

struct Phases {
    /// This run's even share of what its program took.
    seconds: BTreeMap<String, f64>,
    current: Option<(&'static str, Instant)>,
    on_the_way: Rc<Cell<usize>>,
}

impl Phases {
    fn enter(&mut self, name: &'static str) {
        self.close();
        self.current = Some((name, Instant::now()));
    }

    fn close(&mut self) {
        if let Some((name, since)) = self.current.take() {
            let share = since.elapsed().as_secs_f64() / self.on_the_way.get().max(1) as f64;
            *self.seconds.entry(name.to_owned()).or_default() += share;
        }
    }

    /// Counts what went by so far.
    fn settle(&mut self) {
        if let Some((name, _)) = self.current {
            self.enter(name);
        }
    }

    /// Seconds per phase up to now.
    fn so_far(&mut self) -> BTreeMap<String, f64> {
        self.settle();
        self.seconds.clone()
    }
}

fn say(message: &Message) {
    let line = serde_json::to_string(message).expect("messages hold only numbers and words");
    let mut out = std::io::stdout().lock();
    // A coordinator that is gone ends this process through its standard input.
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

/// Starts a new measurement of the peak: a worker lives for many runs.
fn forget_peak_memory() {
    // Where the system cannot do that, the peak is that of the process so far.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// High-water mark of this process's resident memory since the last reset, MiB.
fn peak_memory_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse::<f64>().ok());
    (peak.unwrap_or(0.0) / 1024.0).round()
}
