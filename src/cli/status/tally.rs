//! How many runs of a sweep stand how, by their records.

use anyhow::Result;
use rayon::prelude::*;
use serde::Serialize;

use crate::record::Record;
use crate::record::store::{Manifest, Store};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    pub runs: usize,
    pub done: usize,
    /// Of those done, the ones whose predictions are all alike.
    pub collapsed: usize,
    pub failed: usize,
    /// Ended by a rule of `[stop]`.
    pub stopped: usize,
    /// Without a record.
    pub left: usize,
}

impl Tally {
    /// # Errors
    /// A record that cannot be read.
    pub fn of(store: &Store, manifest: &Manifest) -> Result<Tally> {
        let runs = manifest.runs.par_iter();
        let one = |(id, _): &(_, _)| Ok(Tally::of_one(store.read(id)?.as_ref()));
        runs.map(one).try_reduce(Tally::default, |a, b| Ok(a.and(b)))
    }

    fn of_one(record: Option<&Record>) -> Tally {
        let mut tally = Tally { runs: 1, ..Tally::default() };
        match record {
            None => tally.left = 1,
            Some(record) if record.failure().is_some() => tally.failed = 1,
            Some(record) if record.stopped().is_some() => tally.stopped = 1,
            Some(record) => {
                tally.done = 1;
                tally.collapsed = usize::from(record.outcome().is_some_and(|outcome| outcome.collapsed));
            }
        }
        tally
    }

    fn and(self, other: Tally) -> Tally {
        Tally {
            runs: self.runs + other.runs,
            done: self.done + other.done,
            collapsed: self.collapsed + other.collapsed,
            failed: self.failed + other.failed,
            stopped: self.stopped + other.stopped,
            left: self.left + other.left,
        }
    }
}
