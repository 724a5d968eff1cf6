//! A run under way.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::record::Failure;
use crate::schedule::queue::{Ease, Ticket};

#[derive(Debug)]
pub(super) struct Running {
    pub ticket: Ticket,
    pub since: Duration,
    /// When its worker last said anything.
    pub heard: Duration,
    /// Phases in the order entered, with the time of entry.
    pub phases: Vec<(String, Duration)>,
    /// The first step heard of, the last one, the number of steps, and when the first one was.
    steps: Option<(u32, u32, u32, Duration)>,
    /// Why its worker was killed by us.
    pub doom: Option<Failure>,
    /// How many began side by side in its program, itself among them.
    pub of: usize,
    /// Its worker was killed for another run's sake.
    pub is_bystander: bool,
    /// No other run may be on the device.
    pub alone: bool,
    /// Another run was on the device at some time.
    pub was_shared: bool,
}

impl Running {
    pub fn new(ticket: Ticket, of: usize, alone: bool, now: Duration) -> Running {
        let phases = vec![("load".to_owned(), now)];
        Running {
            ticket,
            since: now,
            heard: now,
            phases,
            steps: None,
            doom: None,
            of,
            is_bystander: false,
            alone,
            was_shared: false,
        }
    }

    pub fn at_step(&mut self, step: u32, of: u32, now: Duration) {
        let (first, .., when) = self.steps.unwrap_or((step, step, of, now));
        self.steps = Some((first, step, of, when));
    }

    /// Its even share of the wall seconds per phase up to `now`.
    pub fn share_of_seconds(&self, now: Duration) -> BTreeMap<String, f64> {
        let ends = self.phases.iter().skip(1).map(|&(_, at)| at).chain([now]);
        let mut seconds = BTreeMap::new();
        for ((name, from), to) in self.phases.iter().zip(ends) {
            *seconds.entry(name.clone()).or_default() += to.saturating_sub(*from).as_secs_f64() / self.of as f64;
        }
        seconds
    }

    /// Its even share of what its program took so far.
    pub fn share_so_far(&self, now: Duration) -> f64 {
        self.seconds_so_far(now) / self.of as f64
    }

    pub fn seconds_so_far(&self, now: Duration) -> f64 {
        now.saturating_sub(self.since).as_secs_f64()
    }

    /// Seconds until its end, by its own steps, else by what one of its kind takes as a whole.
    pub fn rest(&self, now: Duration, whole: Option<f64>) -> Option<f64> {
        let by_steps = self.steps.and_then(|(first, step, of, when)| {
            let steps = f64::from(step.checked_sub(first).filter(|&steps| steps > 0)?);
            let until = self.ticket.until.unwrap_or(of);
            Some(now.saturating_sub(when).as_secs_f64() / steps * f64::from(until.saturating_sub(step)))
        });
        by_steps.or_else(|| Some((whole? * self.of as f64 - self.seconds_so_far(now)).max(0.0)))
    }
}

impl Ticket {
    /// Examples in one pass, where memory was too small for those of the recipe.
    pub(super) fn micro_batch(&self) -> Option<u32> {
        match self.ease {
            Ease::MicroBatch(rows) => Some(rows),
            Ease::None | Ease::Again | Ease::Alone => None,
        }
    }
}
