//! In how many workers the cores of a CPU are cut: by measurement where that pays, else by a rule.
//!
//! Processes of one thread together often do more than one process of many threads, since no thread waits for another;
//! but the runs of one machine share its caches and its way to memory, and a large model wants them for itself. Which
//! wins depends on model, batch and machine, so a few steps of the sweep's own training say it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::plan::{Precision, Run};
use crate::record::store::replace;

/// Beyond this many cores the rule gives a worker to every four.
const MOST_SINGLE_CORES: usize = 4;
/// A split must be faster by more than this to be worth more workers, each of which takes memory.
const TIE: f64 = 1.02;

/// Workers that the cores are cut into where nothing was measured.
pub fn by_rule(cores: usize) -> usize {
    if cores <= MOST_SINGLE_CORES { cores.max(1) } else { cores / 4 }
}

/// Threads of each of so many workers.
pub fn threads(cores: usize, workers: usize) -> u32 {
    (cores / workers.max(1)).max(1) as u32
}

/// Numbers of workers worth a measurement, fewest first: all cores to one, one core to each, and some between.
pub fn candidates(cores: usize, runs: usize) -> Vec<usize> {
    let stride = if cores > 16 { 4 } else { 2 };
    let steps = std::iter::successors(Some(1usize), |workers| workers.checked_mul(stride));
    let mut candidates: Vec<usize> = steps.take_while(|&workers| workers < cores).collect();
    candidates.push(cores.max(1));
    // More workers than runs would wait.
    candidates.retain(|&workers| workers == 1 || workers <= runs);
    candidates
}

/// What the best split depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// What the processor calls itself.
    pub cpu: String,
    pub cores: usize,
    /// Hash of the model's content.
    pub model: String,
    /// Examples in a pass.
    pub rows: usize,
    pub max_length: u32,
    pub precision: Precision,
    pub gradient_checkpointing: bool,
}

impl Key {
    /// Of this machine's training of a run.
    pub fn of(run: &Run, cpu: String, cores: usize) -> Key {
        let recipe = &run.recipe;
        Key {
            cpu,
            cores,
            model: run.model.hash.clone(),
            rows: recipe.rows(),
            max_length: recipe.max_length,
            precision: recipe.precision,
            gradient_checkpointing: recipe.gradient_checkpointing,
        }
    }

    fn path(&self, cache: &Path) -> PathBuf {
        let text = serde_json::to_vec(self).unwrap_or_default();
        let hash = blake3::hash(&text).to_hex();
        cache.join("splits").join(format!("{:.20}.json", hash.as_str()))
    }
}

/// How fast so many workers train together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timing {
    pub workers: usize,
    /// Of each worker.
    pub threads: u32,
    /// Of all workers together.
    pub examples_per_second: f64,
}

/// Measurements of one key, kept under `results/cache/splits`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    pub key: Key,
    pub timings: Vec<Timing>,
}

impl Measured {
    /// What an earlier sweep measured; `None` where none did, or where its file is not what one writes.
    pub fn read(cache: &Path, key: &Key) -> Option<Measured> {
        let measured: Measured = serde_json::from_slice(&std::fs::read(key.path(cache)).ok()?).ok()?;
        (measured.key == *key && measured.best().is_some()).then_some(measured)
    }

    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, cache: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).context("a measurement holds only numbers and words")?;
        replace(&self.key.path(cache), &text)
    }

    /// The fastest split; of those about as fast, the one of fewest workers.
    pub fn best(&self) -> Option<Timing> {
        let speeds = || self.timings.iter().filter(|timing| timing.examples_per_second > 0.0);
        let top = speeds().map(|timing| timing.examples_per_second).fold(0.0, f64::max);
        speeds().filter(|timing| timing.examples_per_second * TIE >= top).min_by_key(|timing| timing.workers).copied()
    }

    /// `1 × 2 threads 57.0, 2 × 1 thread 66.1 examples a second`.
    pub fn describe(&self) -> String {
        let one = |timing: &Timing| {
            let thread = if timing.threads == 1 { "thread" } else { "threads" };
            format!("{} × {} {thread} {:.1}", timing.workers, timing.threads, timing.examples_per_second)
        };
        format!("{} examples a second", self.timings.iter().map(one).collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn key() -> Key {
        Key {
            cpu: "EPYC".into(),
            cores: 8,
            model: "a".into(),
            rows: 16,
            max_length: 128,
            precision: Precision::Fp32,
            gradient_checkpointing: false,
        }
    }

    fn measured(speeds: &[(usize, f64)]) -> Measured {
        let timing = |&(workers, examples_per_second): &(usize, f64)| Timing {
            workers,
            threads: threads(8, workers),
            examples_per_second,
        };
        Measured { key: key(), timings: speeds.iter().map(timing).collect() }
    }

    #[test]
    fn the_faster_split_wins_and_a_tie_goes_to_fewer_workers() {
        let best = |speeds: &[(usize, f64)]| measured(speeds).best().map(|timing| (timing.workers, timing.threads));
        assert_eq!(best(&[(1, 50.0), (2, 70.0), (8, 60.0)]), Some((2, 4)));
        assert_eq!(best(&[(1, 69.5), (2, 70.0), (8, 60.0)]), Some((1, 8)));
        assert_eq!(best(&[(1, 0.0)]), None);
        assert_eq!(best(&[]), None);
        let said = measured(&[(1, 57.04), (8, 66.1)]).describe();
        assert_eq!(said, "1 × 8 threads 57.0, 8 × 1 thread 66.1 examples a second");
    }

    #[test]
    fn candidates_reach_from_one_worker_to_one_a_core() {
        assert_eq!(candidates(2, 100), [1, 2]);
        assert_eq!(candidates(6, 100), [1, 2, 4, 6]);
        assert_eq!(candidates(16, 100), [1, 2, 4, 8, 16]);
        assert_eq!(candidates(64, 100), [1, 4, 16, 64]);
        assert_eq!(candidates(16, 3), [1, 2]);
        assert_eq!((candidates(1, 9), candidates(0, 9)), (vec![1], vec![1]));
        assert_eq!([1, 2, 4, 5, 8, 64].map(by_rule), [1, 2, 4, 1, 2, 16]);
    }

    #[test]
    fn a_measurement_is_kept_for_its_key_alone() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Measured::read(folder.path(), &key()), None);
        let kept = measured(&[(1, 50.0), (8, 60.0)]);
        kept.write(folder.path()).unwrap();
        assert_eq!(Measured::read(folder.path(), &key()), Some(kept));
        for other in [
            Key { cores: 4, ..key() },
            Key { model: "b".into(), ..key() },
            Key { rows: 32, ..key() },
            Key { max_length: 64, ..key() },
            Key { cpu: "Xeon".into(), ..key() },
        ] {
            assert_eq!(Measured::read(folder.path(), &other), None, "{other:?}");
        }
        // Damaged, it is measured again.
        std::fs::write(key().path(folder.path()), b"{").unwrap();
        assert_eq!(Measured::read(folder.path(), &key()), None);
    }

    proptest! {
        #[test]
        fn no_split_asks_for_more_cores_than_there_are(cores in 1usize..300, runs in 1usize..300) {
            let candidates = candidates(cores, runs);
            prop_assert_eq!(candidates[0], 1);
            for pair in candidates.windows(2) {
                prop_assert!(pair[0] < pair[1]);
            }
            for workers in candidates {
                prop_assert!(workers * threads(cores, workers) as usize <= cores);
                prop_assert!(workers <= runs.max(1));
            }
        }
    }
}
