//! How long runs take: what this sweep has measured so far, else what earlier records say.

use std::collections::HashMap;

use super::queue::Ticket;

/// Durations of whole runs, by shape.
#[derive(Debug, Default)]
pub struct Measured {
    by_shape: HashMap<u32, (f64, u32)>,
    all: (f64, u32),
}

impl Measured {
    /// Learns how long the part of a run took that a ticket asked for.
    pub fn add(&mut self, ticket: &Ticket, seconds: f64) {
        let held = self.by_shape.entry(ticket.shape).or_default();
        for (sum, n) in [held, &mut self.all] {
            *sum += seconds / ticket.share;
            *n += 1;
        }
    }

    /// Seconds that it takes; `None` where neither this sweep nor a record has one of its shape.
    pub fn of(&self, ticket: &Ticket) -> Option<f64> {
        let whole = self.by_shape.get(&ticket.shape).map(|(sum, n)| sum / f64::from(*n)).or(ticket.estimate);
        whole.map(|seconds| seconds * ticket.share)
    }

    /// Seconds of a whole run of a shape that `known` may know from records; failing all, the mean of every run so far.
    pub fn of_shape(&self, shape: u32, known: Option<f64>) -> Option<f64> {
        let mean = |(sum, n): &(f64, u32)| (*n > 0).then(|| sum / f64::from(*n));
        self.by_shape.get(&shape).and_then(mean).or(known).or_else(|| mean(&self.all))
    }
}
