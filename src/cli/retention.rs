//! `keep = { best = k }`: as runs end, trained models that are not among the best of their cell go.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use super::past::{Ended, Past};
use super::workspace::Workspace;
use crate::disk::retention::{Candidate, cell, to_drop};
use crate::kept::Kept;
use crate::plan::{Run, RunId};
use crate::record::End;
use crate::record::store::Store;
use crate::schedule::Note;
use crate::schedule::local::Director;
use crate::schedule::state::{Event, State};
use crate::spec::Keep;

/// Keeps the trained models of a sweep within its rule; without such a rule it does nothing.
pub struct Retention {
    best: Option<usize>,
    cache: PathBuf,
    /// The sweep's runs, each with its cell and the name of its model.
    runs: HashMap<RunId, Place>,
    /// Models that lie in the cache, by cell.
    there: HashMap<RunId, Vec<Candidate>>,
}

struct Place {
    cell: RunId,
    training: RunId,
    seed: u64,
}

impl Retention {
    /// # Errors
    /// The manifest of another sweep cannot be read: what it wants to keep is not known.
    pub fn of(workspace: &Workspace, past: &Past) -> Result<Retention> {
        let cache = workspace.store.cache();
        let Some(Keep::Best(k)) = workspace.sweep.run.keep else {
            return Ok(Retention { best: None, cache, runs: HashMap::new(), there: HashMap::new() });
        };
        let others = wanted_elsewhere(&workspace.store, &workspace.sweep.name)?;
        let place = |run: &Run| Place { cell: cell(run), training: run.training_id(), seed: run.seed };
        let runs: HashMap<RunId, Place> = workspace
            .runs
            .iter()
            .map(|(id, run)| (id.clone(), place(run)))
            .filter(|(_, place)| !others.contains(&place.training))
            .collect();
        let mut retention = Retention { best: Some(k as usize), cache, runs, there: HashMap::new() };
        // What an earlier call was killed over.
        for (id, glance) in past.iter() {
            if let Ended::Done(score) = glance.ended {
                retention.add(id, score);
            }
        }
        let cells: Vec<RunId> = retention.there.keys().cloned().collect();
        cells.iter().for_each(|cell| retention.prune(cell));
        Ok(retention)
    }

    fn add(&mut self, id: &RunId, score: Option<f64>) -> Option<RunId> {
        let Place { cell, training, seed } = self.runs.get(id)?;
        if !Kept::at(&self.cache, training).theta().is_file() {
            return None;
        }
        let (cell, training, seed) = (cell.clone(), training.clone(), *seed);
        let members = self.there.entry(cell.clone()).or_default();
        if members.iter().all(|member| member.training != training) {
            // A run of this sweep that is done has its stages behind it, and no other one shares its model.
            members.push(Candidate { training, cell: cell.clone(), seed, score, is_needed: false });
        }
        Some(cell)
    }

    fn prune(&mut self, cell: &RunId) {
        let (Some(k), Some(members)) = (self.best, self.there.get_mut(cell)) else { return };
        let gone = to_drop(members, k);
        members.retain(|member| !gone.contains(&member.training));
        for training in gone {
            // A model left behind costs disk until the next call; its runs have their records.
            let _ = std::fs::remove_dir_all(Kept::at(&self.cache, &training).folder);
        }
    }
}

impl Director for Retention {
    fn say(&mut self, _: &State, _: Duration) -> Vec<Event> {
        Vec::new()
    }

    fn note(&mut self, note: &Note) {
        if let Note::Ended { id, end, .. } = note
            && let End::Done(outcome) = end.as_ref()
            && self.best.is_some()
            && let Some(cell) = self.add(id, outcome.score())
        {
            self.prune(&cell);
        }
    }
}

/// The models of runs that other sweeps of these results ask for too: theirs to keep.
fn wanted_elsewhere(store: &Store, own: &str) -> Result<HashSet<RunId>> {
    let mut wanted = HashSet::new();
    for name in store.sweeps()?.iter().filter(|name| *name != own) {
        let manifest = store.manifest(name)?;
        wanted.extend(manifest.iter().flat_map(|manifest| &manifest.runs).map(|(_, run)| run.training_id()));
    }
    Ok(wanted)
}
