//! What the folder says of the runs: which have ended, who has the others, and how earlier claims were over.

use std::collections::HashSet;

use anyhow::Result;

use super::Lead;
use crate::cluster::Ending;
use crate::cluster::claim::{Claim, Claims, Holder, Over};
use crate::cluster::decide::{Held, Left};
use crate::cluster::pilot::has_ended;
use crate::plan::RunId;
use crate::record::shard::Shard;

impl Lead<'_> {
    /// Looks which runs have a record by now.
    pub(super) fn look_for_records(&mut self) {
        // Reading the folder lets a network file system see what other nodes have put there.
        let folders: HashSet<RunId> = self.store.ids().unwrap_or_default().into_iter().collect();
        for entry in self.entries {
            let (id, attempt) = (&entry.job.id, entry.ticket.attempt);
            if folders.contains(id) && !self.state.done.contains(id) && has_ended(self.store, id, attempt) {
                let is_failed = matches!(self.store.read(id), Ok(Some(record)) if record.failure().is_some());
                self.state.failed += usize::from(is_failed);
                self.state.done.insert(id.clone());
            }
        }
    }

    /// The runs without a record, in the order of work.
    pub(super) fn left(&mut self) -> Result<Vec<Left>> {
        self.look_for_records();
        let claims = Claims::of(self.store);
        let all = claims.all();
        let alive: HashSet<Shard> = self
            .store
            .seen(&self.batch.sweep, &[])
            .into_iter()
            .filter(|seen| seen.verdict.is_at_work())
            .filter_map(|seen| seen.live.shard)
            .collect();
        let mut left = Vec::new();
        for entry in self.entries {
            let id = entry.job.id.clone();
            if self.state.done.contains(&id) {
                continue;
            }
            let Claim { copy, is_over } = all.get(&id).cloned().unwrap_or_default();
            let held = (copy > 0 && !is_over).then(|| self.held(&claims, &id, copy, &alive));
            let past = self.past(&claims, &id, copy);
            left.push(Left { id, copy, held, past });
        }
        Ok(left)
    }

    fn held(&mut self, claims: &Claims, id: &RunId, copy: u32, alive: &HashSet<Shard>) -> Held {
        let key = (id.clone(), copy);
        if !self.state.holders.contains_key(&key)
            && let Some(holder) = claims.holder(id, copy)
        {
            self.state.holders.insert(key.clone(), holder);
        }
        match self.state.holders.get(&key) {
            Some(Holder { sweep, pilot: pilot @ Shard::Pilot { submission, task, .. }, node, .. })
                if *sweep == self.batch.sweep =>
            {
                Held::By { submission: *submission, task: *task, node: node.clone(), gave_sign: alive.contains(pilot) }
            }
            _ => Held::Elsewhere,
        }
    }

    /// How the copies of a run were over.
    fn past(&mut self, claims: &Claims, id: &RunId, copy: u32) -> Vec<Over> {
        let mut past = Vec::new();
        for copy in 1..=copy {
            let key = (id.clone(), copy);
            if !self.state.overs.contains_key(&key)
                && let Some(over) = claims.over(id, copy)
            {
                self.state.overs.insert(key.clone(), over);
            }
            past.extend(self.state.overs.get(&key).cloned());
        }
        past
    }

    /// Runs that have ended, and claims that did not come to nothing: more than before says that jobs train.
    pub(super) fn progress(&mut self) -> u32 {
        let claims = Claims::of(self.store);
        let mut sum = self.state.done.len() as u32;
        for (id, claim) in claims.all() {
            let past = self.past(&claims, &id, claim.copy);
            let futile = past.iter().filter(|over| matches!(over.ending, Some(Ending::Failed | Ending::Completed)));
            sum += claim.copy.saturating_sub(futile.count() as u32);
        }
        sum
    }
}
