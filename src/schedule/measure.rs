//! A few training steps on several workers at once, to see how fast they are together.

use std::path::Path;
use std::time::{Duration, Instant};

use super::conversation::{Conversation, Silence};
use super::local::Interrupts;
use super::slot::Slot;
use crate::protocol::{Job, Message, Order};

/// What is timed.
const SPAN: Duration = Duration::from_secs(2);
/// What workers get to load and to train; who is slower is too slow.
const PATIENCE: Duration = Duration::from_secs(180);

/// How fast workers train together, and what one of them takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Speed {
    pub examples_per_second: f64,
    /// Peak resident memory of the largest worker, MiB.
    pub memory_mib: f64,
}

/// Starts a worker for each slot, lets all load a job's model and data, and then lets them train at the same time. To
/// be called from a thread that outlives the call.
///
/// # Errors
/// A worker does not start, refuses, dies or takes too long; the user asked to stop.
pub fn measure(worker: &Path, slots: &[Slot], job: &Job, interrupts: &Interrupts) -> Result<Speed, Silence> {
    let deadline = Instant::now() + PATIENCE;
    let mut workers = Vec::new();
    for slot in slots {
        workers.push(Conversation::begin(worker, slot, interrupts.clone())?);
    }
    for worker in &workers {
        worker.ready()?;
    }
    // One step first, which allocates what all others use again; then all train at one time.
    let mut speed = Speed { examples_per_second: 0.0, memory_mib: 0.0 };
    for span in [Duration::ZERO, SPAN] {
        speed.examples_per_second = 0.0;
        let order = Order::Measure { job: Box::new(job.clone()), seconds: span.as_secs_f64() };
        workers.iter_mut().for_each(|worker| worker.tell(&order));
        for worker in &workers {
            if let Message::Measured { examples, seconds, peak_memory_mib } = worker.hear(Some(deadline))? {
                speed.memory_mib = speed.memory_mib.max(peak_memory_mib);
                speed.examples_per_second += examples as f64 / seconds.max(f64::MIN_POSITIVE);
            }
        }
    }
    Ok(speed)
}
