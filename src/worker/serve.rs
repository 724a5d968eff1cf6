//! Takes orders, trains, answers. A panic ends only this process.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;

use crate::after::{self, Stages};
use crate::apply::Bench;
use crate::cuda;
use crate::log;
use crate::orders::Orders;
use crate::protocol::{Job, Message, Order, Probe, ProbedDevice};
use crate::record::{Failure, Provenance};
use crate::train::{Ending, Listener, Places};
use crate::warm::Warm;

/// Takes orders until standard input ends.
pub fn serve(device_name: &str, threads: u32) -> ExitCode {
    tch::set_num_threads(threads as i32);
    tch::set_num_interop_threads(1);
    // Only a second call fails, and then the pool of the first one stands.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(threads as usize).build_global();
    let device = match cuda::device(device_name) {
        Ok(device) => device,
        Err(message) => {
            log::line(&message);
            return ExitCode::FAILURE;
        }
    };
    let hardware =
        cuda::devices().into_iter().find(|(name, _)| name == device_name).map_or_else(String::new, |(_, n)| n);
    say(&Message::Ready {
        device: device_name.to_owned(),
        device_name: hardware.clone(),
        libtorch: cuda::LIBTORCH.to_owned(),
        threads,
    });
    let orders = Orders::listen();
    let mut warm = Warm::new(device);
    let mut bench = Bench::new(device);
    while let Some(order) = orders.next() {
        let job = match order {
            Order::Train(job) => job,
            // Heard on the thread of the orders.
            Order::Pause => continue,
            order => {
                say(&bench.answer(order));
                continue;
            }
        };
        let made = Provenance {
            commit: env!("SWEEP_COMMIT").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            libtorch: cuda::LIBTORCH.to_owned(),
            device: device_name.to_owned(),
            device_name: hardware.clone(),
            threads,
            started: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            attempt: job.attempt,
            ..Provenance::default()
        };
        say(&work(&job, &mut warm, &orders, made));
    }
    ExitCode::SUCCESS
}

/// Prints what this machine can train on, a `protocol::Probe`.
pub fn probe() -> ExitCode {
    let devices = cuda::devices().into_iter().map(|(name, hardware)| {
        let memory = cuda::memory(&name);
        ProbedDevice { name, hardware, memory }
    });
    let found = Probe { libtorch: cuda::LIBTORCH.to_owned(), devices: devices.collect() };
    let found = serde_json::to_string(&found).expect("words and numbers");
    let printed = writeln!(std::io::stdout(), "{found}");
    if printed.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn work(job: &Job, warm: &mut Warm, orders: &Orders, mut made: Provenance) -> Message {
    let id = job.id.clone();
    forget_peak_memory();
    let mut listener = Reporter { job, orders, phases: Phases::default() };
    listener.phase("load");
    let others = job.others.iter().map(|task| Ok((task.clone(), warm.data(job, task)?))).collect::<Result<Vec<_>>>();
    let ending = others.and_then(|others| {
        let (subject, data) = warm.take(job)?;
        subject.reset(job.run.seed, &job.run.recipe);
        let places = Places {
            folder: job.folder.clone(),
            cache: job.cache.clone(),
            masks: job.masks.clone(),
            log_every: job.log_every,
            id: id.0.clone(),
            until: job.until,
        };
        let stages = Stages { model: &job.model, others: &others, keep: job.keep };
        after::complete(&job.run, &job.task, subject, &data, &places, &stages, &mut listener)
    });
    made.seconds = listener.phases.finish();
    made.peak_memory_mib = peak_memory_mib();
    let made = Box::new(made);
    match ending {
        Ok(Ending::Done(outcome)) => Message::Done { id, outcome: Box::new(outcome), made },
        Ok(Ending::Diverged { step }) => Message::Failed { id, failure: Failure::Diverged { step }, made },
        Ok(Ending::Paused { step }) => Message::Paused { id, step },
        Ok(Ending::Reached { step, of, metric, dev, halves }) => {
            Message::Reached { id, step, of, metric, dev, halves: Some(halves), made }
        }
        Err(error) => Message::Failed { id, failure: Failure::Refused { message: format!("{error:#}") }, made },
    }
}

/// Passes what a run says on to the coordinator, and keeps the time of its phases.
struct Reporter<'a> {
    job: &'a Job,
    orders: &'a Orders,
    phases: Phases,
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
}

#[derive(Default)]
struct Phases {
    seconds: BTreeMap<String, f64>,
    current: Option<(&'static str, Instant)>,
}

impl Phases {
    fn enter(&mut self, name: &'static str) {
        self.close();
        self.current = Some((name, Instant::now()));
    }

    fn close(&mut self) {
        if let Some((name, since)) = self.current.take() {
            *self.seconds.entry(name.to_owned()).or_default() += since.elapsed().as_secs_f64();
        }
    }

    /// Seconds per phase, to the millisecond.
    fn finish(&mut self) -> BTreeMap<String, f64> {
        self.close();
        self.seconds.values_mut().for_each(|s| *s = (*s * 1e3).round() / 1e3);
        std::mem::take(&mut self.seconds)
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
