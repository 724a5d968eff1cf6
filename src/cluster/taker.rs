//! Claims runs as slots become free: the director of a pilot's scheduler.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

use super::batch::{Batch, Entry};
use super::pilot::{Pilot, has_ended};
use crate::disk::checkpoint_folder;
use crate::plan::RunId;
use crate::protocol::checkpoints_of;
use crate::record::store::{Store, make_folder};
use crate::schedule::Ticket;
use crate::schedule::local::Director;
use crate::schedule::state::{Event, Note, State};

/// How often the folder is looked at while nothing can be claimed but something is trained here.
const EVERY: Duration = Duration::from_secs(5);
/// How often it is looked whether the sweep was stopped.
const OFTEN: Duration = Duration::from_secs(1);

/// Claims runs as slots become free.
pub struct Taker<'a> {
    pub pilot: &'a Pilot,
    pub store: &'a Store,
    pub batch: &'a Batch,
    pub entries: Vec<&'a Entry>,
    /// The copies that are ours.
    pub copies: &'a RefCell<HashMap<RunId, u32>>,
    /// Runs that are known to have a record.
    pub done: &'a mut HashSet<RunId>,
    /// A run was left alone since it would not end in time.
    pub is_too_late: &'a mut bool,
    pub at_once: usize,
    pub time: Option<Duration>,
    pub looked: Option<Duration>,
    /// When it was last looked whether the sweep was stopped.
    pub asked: Option<Duration>,
    pub error: &'a mut Option<anyhow::Error>,
}

impl Taker<'_> {
    /// Claims the next runs.
    fn take(&mut self, count: usize, now: Duration) -> Result<Vec<Ticket>> {
        let claimed = self.pilot.claims.all();
        let left = self.time.map(|time| time.saturating_sub(now).as_secs_f64());
        let is_fresh = self.copies.borrow().is_empty();
        let mut taken: Vec<Ticket> = Vec::new();
        for entry in &self.entries {
            let id = &entry.job.id;
            if taken.len() == count {
                break;
            }
            let before = claimed.get(id).cloned().unwrap_or_default();
            let is_free = before.copy == 0 || before.is_over;
            if !is_free || self.done.contains(id) || self.copies.borrow().contains_key(id) {
                continue;
            }
            // The first is taken in any case: a run that is longer than a job goes on from its checkpoint in the next.
            let is_first = is_fresh && taken.is_empty();
            if !is_first && left.zip(entry.ticket.estimate).is_some_and(|(left, estimate)| estimate > left) {
                *self.is_too_late |= !has_ended(self.store, id, entry.ticket.attempt);
                continue;
            }
            if has_ended(self.store, id, entry.ticket.attempt) {
                self.done.insert(id.clone());
                continue;
            }
            let copy = before.copy + 1;
            if !self.pilot.claims.take(id, copy, &self.pilot.holder)? {
                continue;
            }
            self.copies.borrow_mut().insert(id.clone(), copy);
            // A look at the folder lets a network file system see what another node has put there since.
            if copy > 1 && fs::read_dir(self.store.runs()).is_ok() && has_ended(self.store, id, entry.ticket.attempt) {
                self.done.insert(id.clone());
                continue;
            }
            self.take_over(entry, copy)?;
            let estimate = entry.ticket.estimate.filter(|_| !is_first);
            taken.push(Ticket { attempt: entry.ticket.attempt + before.copy, estimate, ..entry.ticket.clone() });
        }
        Ok(taken)
    }

    /// The checkpoints of the copy before become ours by a rename: one that is still under way somewhere writes no more
    /// into them. Its steps are copied, so that they go on in one file.
    fn take_over(&self, entry: &Entry, copy: u32) -> Result<()> {
        let id = &entry.job.id;
        let checkpoints = |copy| checkpoint_folder(&entry.job.cache, &checkpoints_of(id, copy));
        let (to, folder) = (checkpoints(Some(copy)), self.store.attempt_folder(id, copy));
        // Of a copy of this number that was settled long ago.
        for stale in [&to, &folder] {
            let _ = fs::remove_dir_all(stale);
        }
        make_folder(&folder)?;
        let before = (copy > 1).then(|| (checkpoints(Some(copy - 1)), self.store.attempt_folder(id, copy - 1)));
        let own = (checkpoints(None), self.store.run_folder(id));
        for (from, old) in before.into_iter().chain([own]) {
            match fs::rename(&from, &to) {
                Ok(()) => {
                    // Without checkpoints the run begins anew, and so do its files.
                    for name in ["steps.csv", "log.txt"] {
                        let _ = fs::copy(old.join(name), folder.join(name));
                    }
                    return Ok(());
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).with_context(|| format!("cannot take over {}", from.display())),
            }
        }
        Ok(())
    }
}

impl Director for Taker<'_> {
    fn say(&mut self, state: &State, now: Duration) -> Vec<Event> {
        let counts = state.counts();
        let under_way = counts.total - counts.done - counts.failed - counts.stopped - counts.paused;
        let room = self.at_once.saturating_sub(under_way);
        if self.asked.is_none_or(|asked| now.saturating_sub(asked) >= OFTEN) && !state.is_stopping() {
            self.asked = Some(now);
            if self.batch.is_stopped() {
                return vec![Event::Interrupt];
            }
        }
        let is_early = self.looked.is_some_and(|looked| now.saturating_sub(looked) < EVERY);
        if room == 0 || self.error.is_some() || state.is_stopping() || (is_early && under_way > 0) {
            return Vec::new();
        }
        match self.take(room, now) {
            Ok(taken) if taken.is_empty() => {
                self.looked = Some(now);
                Vec::new()
            }
            Ok(taken) => {
                self.looked = None;
                vec![Event::Admit(taken)]
            }
            Err(error) => {
                *self.error = Some(error);
                vec![Event::Interrupt]
            }
        }
    }

    fn note(&mut self, note: &Note) {
        if let Note::Ended { .. } = note {
            self.looked = None;
        }
    }
}
