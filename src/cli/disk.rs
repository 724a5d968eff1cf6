//! A sweep and the disk that its results lie on: what it will take, whether it fits, what earlier calls left behind.

use std::collections::{BTreeMap, HashSet};

use anyhow::Result;

use super::Refusal;
use super::plan::Judged;
use super::workspace::Workspace;
use crate::disk::{Estimate, Leftover, Model, estimate as estimate_of, free_bytes, leftovers};
use crate::kept::Kept;
use crate::method::Role;
use crate::model::{self, Config};
use crate::plan::RunId;
use crate::record::shard::Shard;
use crate::record::store::Store;
use crate::schedule::Floor;
use crate::spec::{RunTable, Slots};

/// Bytes that stay free where the sweep file does not say.
const MIN_FREE: u64 = 1_000_000_000;

/// Bytes free where results lie.
pub fn free(store: &Store) -> Option<u64> {
    free_bytes(store.root())
}

pub fn least(run: &RunTable) -> u64 {
    run.min_free.unwrap_or(MIN_FREE)
}

/// What the runs that are to do will take.
///
/// # Errors
/// A model's config cannot be read.
pub fn estimate(workspace: &Workspace, to_do: &[&Judged], slots: usize) -> Result<Estimate> {
    let mut configs: BTreeMap<&str, Config> = BTreeMap::new();
    for (name, folder) in &workspace.models {
        configs.insert(name, Config::read(folder)?);
    }
    let mut sizes: BTreeMap<(&str, &str), Model> = BTreeMap::new();
    let runs: Vec<_> = to_do
        .iter()
        .filter_map(|j| {
            let (name, task) = (j.run.model.name.as_str(), j.run.task.name.as_str());
            let (config, outputs) = (configs.get(name)?, workspace.tasks.get(task)?.labels.outputs() as i64);
            let model = *sizes.entry((name, task)).or_insert_with(|| {
                let parameters = config.parameters(outputs);
                let encoder = model::count(parameters.iter().filter(|p| p.role == Role::Encoder));
                Model { parameters: model::count(&parameters) as u64, encoder: encoder as u64 }
            });
            Some((j.run, model))
        })
        .collect();
    let (run, cache) = (&workspace.sweep.run, workspace.store.cache());
    let lies = |training: &RunId| Kept::at(&cache, training).theta().is_file();
    Ok(estimate_of(&runs, slots, run.keep, workspace.sweep.log_every, lies))
}

/// Runs at a time, as far as can be told without asking the trainer what there is.
pub fn at_a_time(workspace: &Workspace) -> usize {
    let run = &workspace.sweep.run;
    let devices = run.devices.as_ref().map_or(1, Vec::len);
    let slots = match run.slots_per_device {
        Some(Slots::Count(n)) => devices * n as usize,
        _ => devices.max(std::thread::available_parallelism().map_or(1, usize::from).min(4)),
    };
    slots * run.fuse.unwrap_or(1) as usize
}

/// # Errors
/// The sweep cannot fit; what to change.
pub fn check(needed: &Estimate, workspace: &Workspace) -> Result<()> {
    let why = free(&workspace.store).and_then(|free| needed.refusal(free, least(&workspace.sweep.run)));
    why.map_or(Ok(()), |why| Err(Refusal(why).into()))
}

/// Holds the sweep while the disk is nearly full.
pub fn floor(workspace: &Workspace) -> Floor<'static> {
    floor_of(&workspace.store, least(&workspace.sweep.run))
}

/// The same for so many bytes.
pub fn floor_of(store: &Store, least: u64) -> Floor<'static> {
    let store = store.clone();
    Floor::new(least, move || free(&store))
}

/// Removes what an earlier call for these runs, or for this share of them, began and left. That of other sweeps stays:
/// `sweep doctor` tells of it.
pub fn clear(workspace: &Workspace, shard: Option<Shard>) {
    let own = || workspace.runs.iter().filter(|(id, _)| shard.is_none_or(|shard| shard.takes(id)));
    let asked: HashSet<RunId> = own().map(|(id, _)| id.clone()).collect();
    let found = leftovers(&workspace.store, &asked);
    if found.is_empty() {
        return;
    }
    let trained: HashSet<RunId> = own().map(|(_, run)| run.training_id()).collect();
    for left in found {
        let name = left.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        // A draft's name has its writer behind the id.
        let id = RunId(name.split('.').next().unwrap_or_default().to_owned());
        if asked.contains(&id) || trained.contains(&id) {
            remove(&left);
        }
    }
}

/// What cannot be removed only costs disk.
pub fn remove(left: &Leftover) {
    let _ = std::fs::remove_dir_all(&left.path);
}
