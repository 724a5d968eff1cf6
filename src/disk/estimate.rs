//! What a sweep will take on disk, before it starts.

use std::collections::{BTreeMap, BTreeSet};

use super::bytes;
use super::retention::cell;
use crate::plan::{Choice, Run, RunId};
use crate::spec::Keep;

/// Checkpoints of a running run that lie on disk at once.
pub const GENERATIONS: u64 = 2;
/// A run's record, its row in the frames and its log, bytes.
const RECORD: u64 = 12_000;
/// A line of steps.csv, bytes.
const STEP: u64 = 72;

/// The parameters of a model with its head, and those in its layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Model {
    pub parameters: u64,
    pub encoder: u64,
}

/// Bytes, each at its most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Of the runs under way.
    pub checkpoints: u64,
    /// Trained models, those that stay and those that are under way.
    pub models: u64,
    /// Child networks, and the Fisher scores that they are chosen by.
    pub masks: u64,
    pub records: u64,
}

/// Bytes of a checkpoint: weights, two moments, and what the method carries from step to step.
pub fn checkpoint_bytes(method: &Choice, parameters: u64) -> u64 {
    // Vectors of `Method::state`; a test of the worker holds the two together.
    let vectors = |part: &str| match part {
        "sage" | "dps-dense" => 1,
        "dps-mix" => 3,
        _ => 0,
    };
    let carried: u64 = method.parts().map(vectors).sum();
    4 * parameters * (3 + carried)
}

/// What runs that are to be trained will take, over so many slots. `lies` says whether a trained model is there already.
pub fn estimate(
    runs: &[(&Run, Model)],
    slots: usize,
    keep: Option<Keep>,
    log_every: u32,
    lies: impl Fn(&RunId) -> bool,
) -> Estimate {
    let mut checkpoints: Vec<u64> =
        runs.iter().map(|(run, model)| checkpoint_bytes(&run.method, model.parameters)).collect();
    checkpoints.sort_unstable_by(|a, b| b.cmp(a));
    let mut seen = BTreeSet::new();
    let mut kept: BTreeMap<RunId, Vec<u64>> = BTreeMap::new();
    let mut passing = 0; // the largest model that is there only while a run has stages to do
    for (run, model) in runs {
        let theta = 4 * model.parameters;
        let stays = keep.map_or(!run.after.is_empty(), |keep| keep != Keep::None);
        if !stays && !run.after.is_empty() {
            passing = passing.max(theta);
        }
        if stays {
            let training = run.training_id();
            if !lies(&training) && seen.insert(training) {
                kept.entry(cell(run)).or_default().push(theta);
            }
        }
    }
    let most = match keep {
        // One more a slot, until the best are known.
        Some(Keep::Best(k)) => k as usize,
        _ => usize::MAX,
    };
    let models: u64 = kept.values().flat_map(|models| models.iter().take(most)).sum();
    let largest = kept.values().flatten().copied().max().unwrap_or(0);
    let under_way = if most == usize::MAX { passing } else { passing.max(largest) };
    Estimate {
        checkpoints: checkpoints.iter().take(slots).sum::<u64>() * GENERATIONS,
        models: models + under_way * slots as u64,
        masks: masks(runs),
        records: runs.iter().map(|(run, _)| RECORD + lines(run, log_every) * STEP).sum(),
    }
}

/// One bit an entry for each child network; four bytes an entry for scores, which runs share that differ in little else
/// than their settings.
fn masks(runs: &[(&Run, Model)]) -> u64 {
    let mut scores = BTreeMap::new();
    let mut bits = 0;
    for (run, model) in runs {
        for part in run.method.parts() {
            let covered = match part {
                "fish" => model.parameters,
                "child-d" | "child-lowest" | "prune" | "child-random" => model.encoder,
                _ => continue,
            };
            bits += covered / 8;
            if part != "child-random" {
                let head = run.method.number(part, "fisher_seed").cloned().unwrap_or_else(|| run.seed.into());
                let fidelity = run.method.number(part, "fidelity").cloned().unwrap_or_default();
                let shared = (&run.model.hash, &run.task.name, run.recipe.train_size.map(|n| (n, run.seed)));
                scores.insert(format!("{shared:?} {head} {fidelity} {}", part == "fish"), 4 * covered);
            }
        }
    }
    bits + scores.values().sum::<u64>()
}

/// Lines of steps.csv, where the number of steps can be told without the data.
fn lines(run: &Run, log_every: u32) -> u64 {
    let recipe = &run.recipe;
    let of_size = recipe.train_size.map(|n| u64::from(n.div_ceil(recipe.batch_size)) * u64::from(recipe.epochs));
    let steps = of_size.into_iter().chain(recipe.max_steps.map(u64::from)).min().unwrap_or(0);
    steps.checked_div(u64::from(log_every)).unwrap_or(0)
}

impl Estimate {
    pub fn total(&self) -> u64 {
        self.checkpoints + self.models + self.masks + self.records
    }

    /// `disk: about 3.1 GB (checkpoints 2.5 GB, models 0.6 GB), 78 GB free`.
    pub fn line(&self, free: Option<u64>) -> String {
        let parts: Vec<String> =
            self.parts().into_iter().map(|(name, size, _)| format!("{name} {}", bytes(size))).collect();
        let of = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
        let free = free.map_or_else(|| "free space unknown".to_owned(), |free| format!("{} free", bytes(free)));
        format!("disk: about {}{of}; {free}", bytes(self.total()))
    }

    /// Why the sweep cannot fit, and what to change; `None` if it can.
    pub fn refusal(&self, free: u64, least: u64) -> Option<String> {
        if self.total() <= free.saturating_sub(least) {
            return None;
        }
        let largest = self.parts().into_iter().max_by_key(|(_, size, _)| *size);
        let advice = largest.map_or("", |(_, _, advice)| advice);
        Some(format!(
            "{}, of which {} are to stay free (min_free): that cannot fit. {advice}, make room, or choose another disk \
             with --results",
            self.line(Some(free)),
            bytes(least)
        ))
    }

    /// Those that count, each with what makes it smaller.
    fn parts(&self) -> Vec<(&'static str, u64, &'static str)> {
        let parts = [
            ("checkpoints", self.checkpoints, "Train fewer runs at a time (--slots-per-device 1, --fuse 1)"),
            ("models", self.models, "Keep fewer trained models (keep = { best = 1 } or \"none\" in [run])"),
            ("masks", self.masks, "Train a part of the runs (--only)"),
            ("records", self.records, "Log fewer steps (log_every in [train])"),
        ];
        parts.into_iter().filter(|(_, size, _)| *size * 50 >= self.total() && *size > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Input, Measure, Recipe, SharpnessSettings};

    const MODEL: Model = Model { parameters: 1_000_000, encoder: 800_000 };

    fn run(mode: &str, seed: u64) -> Run {
        let input = || Input { name: "x".into(), hash: "x".into() };
        let method = Choice { name: mode.into(), numbers: BTreeMap::new() };
        let recipe = Recipe { train_size: Some(160), epochs: 2, ..Recipe::default() };
        Run { task: input(), model: input(), mode: mode.into(), method, recipe, seed, after: Default::default() }
    }

    fn of(runs: &[Run], slots: usize, keep: Option<Keep>) -> Estimate {
        let runs: Vec<(&Run, Model)> = runs.iter().map(|run| (run, MODEL)).collect();
        estimate(&runs, slots, keep, 0, |_| false)
    }

    #[test]
    fn each_part_counts_what_lies_there_at_once() {
        let runs: Vec<Run> = ["vanilla", "dps-mix+sage"].iter().flat_map(|m| (1..=5).map(|s| run(m, s))).collect();
        let plain = of(&runs, 2, None);
        assert_eq!(plain.checkpoints, 2 * 2 * 4_000_000 * 7, "the two largest of two slots, two generations each");
        assert_eq!((plain.models, plain.masks, plain.records), (0, 0, 10 * RECORD));
        assert_eq!(of(&runs, 99, None).checkpoints, 2 * 4_000_000 * (5 * 3 + 5 * 7), "no more than there are runs");
        assert_eq!(of(&runs, 2, Some(Keep::Last)).models, 10 * 4_000_000);
        assert_eq!(of(&runs, 2, Some(Keep::Best(2))).models, (2 * 2 + 2) * 4_000_000);
        assert_eq!(of(&runs, 2, Some(Keep::None)).models, 0);

        let mut staged = run("vanilla", 1);
        let sharpness = SharpnessSettings { examples: 1, iterations: 1, rho: 0.1, sigma: 0.1, directions: 1 };
        staged.after.measure = Some(Measure { sharpness: Some(sharpness), variance: None });
        assert_eq!(of(&[staged.clone()], 3, None).models, 4_000_000, "kept where there are stages");
        assert_eq!(of(&[staged], 3, Some(Keep::None)).models, 3 * 4_000_000, "there until the stages are done");

        let pairs: Vec<(&Run, Model)> = runs.iter().map(|run| (run, MODEL)).collect();
        assert_eq!(estimate(&pairs, 1, Some(Keep::Last), 0, |_| true).models, 0, "those that lie there already");
        assert_eq!(
            estimate(&pairs, 1, None, 2, |_| false).records,
            10 * (RECORD + 10 * STEP),
            "20 steps, every second"
        );
    }

    #[test]
    fn scores_are_shared_and_masks_are_not() {
        let mut runs: Vec<Run> = (1..=3).map(|seed| run("child-d", seed)).collect();
        runs.extend(runs.clone().into_iter().map(|mut run| {
            run.recipe.lr = 1.0;
            run
        }));
        assert_eq!(of(&runs, 1, None).masks, 6 * 100_000 + 3 * 3_200_000);
        assert_eq!(of(&[run("child-random", 1), run("child-f", 1)], 1, None).masks, 100_000);
    }

    #[test]
    fn what_cannot_fit_is_refused_with_what_to_change() {
        let estimate = of(&[run("vanilla", 1)], 1, Some(Keep::Last));
        let total = estimate.total();
        assert_eq!(estimate.refusal(total + 10, 10), None);
        let why = estimate.refusal(total + 9, 10).expect("a refusal");
        assert!(why.contains("disk: about 28.0 MB (checkpoints 24.0 MB, models 4.0 MB)"), "{why}");
        assert!(why.contains("Train fewer runs at a time") && why.contains("min_free"), "{why}");
        assert!(estimate.refusal(5, 10).is_some());
    }
}
