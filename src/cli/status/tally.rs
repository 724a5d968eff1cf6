//! How many runs of a sweep stand how, by their records.

use anyhow::Result;
use serde::Serialize;

use crate::plan::RunId;
use crate::record::bulk::Ending;
use crate::record::store::Store;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    pub runs: usize,
    pub done: usize,
    /// Of those done, the ones whose predictions are all alike.
    pub collapsed: usize,
    pub failed: usize,
    /// Ended by a rule of `[stop]`.
    pub stopped: usize,
    /// Without a record, and spared by a rule of `[stop]` since comparisons are decided.
    pub not_needed: usize,
    /// Without a record, and to be done.
    pub left: usize,
}

impl Tally {
    /// # Errors
    /// A record that cannot be read.
    pub fn of(store: &Store, ids: &[RunId]) -> Result<Tally> {
        let mut tally = Tally { runs: ids.len(), ..Tally::default() };
        for ending in store.view_each(ids)? {
            match ending {
                None => tally.left += 1,
                Some(Ending::Failed) => tally.failed += 1,
                Some(Ending::Stopped) => tally.stopped += 1,
                Some(Ending::Done { collapsed }) => {
                    tally.done += 1;
                    tally.collapsed += usize::from(collapsed);
                }
            }
        }
        Ok(tally)
    }
}
