//! How long runs take: what this sweep has measured so far, else what earlier records say.

use std::collections::HashMap;

use super::queue::Ticket;

/// Durations of runs that reached their end, by shape.
#[derive(Debug, Default)]
pub struct Measured {
    by_shape: HashMap<u32, (f64, u32)>,
    all: (f64, u32),
}

impl Measured {
    pub fn add(&mut self, shape: u32, seconds: f64) {
        let held = self.by_shape.entry(shape).or_default();
        for (sum, n) in [held, &mut self.all] {
            *sum += seconds;
            *n += 1;
        }
    }

    /// Seconds that a run takes; `None` where neither this sweep nor a record has one of its shape.
    pub fn of(&self, ticket: &Ticket) -> Option<f64> {
        self.by_shape.get(&ticket.shape).map(|(sum, n)| sum / f64::from(*n)).or(ticket.estimate)
    }

    /// Seconds of a shape that `known` may know from records; failing all, the mean of every run so far.
    pub fn of_shape(&self, shape: u32, known: Option<f64>) -> Option<f64> {
        let mean = |(sum, n): &(f64, u32)| (*n > 0).then(|| sum / f64::from(*n));
        self.by_shape.get(&shape).and_then(mean).or(known).or_else(|| mean(&self.all))
    }
}
