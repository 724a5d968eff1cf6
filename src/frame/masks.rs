//! Which child networks the runs used, and which two of them are worth comparing.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::plan::Run;
use crate::record::Record;

/// A finished run's fixed child network.
#[derive(Debug, Clone, PartialEq)]
pub struct MaskUse {
    pub task: String,
    /// What two masks must share to stand in one picture: mode and model.
    pub family: String,
    pub p: Option<f64>,
    /// Training examples asked for; `None` is all of them.
    pub train_size: Option<u32>,
    pub seed: u64,
    /// Names the mask file.
    pub key: String,
    /// Entries trained, of the entries covered.
    pub kept: u64,
    pub of: u64,
}

/// The child networks of the runs, in their order, one for each task, family, p and seed.
pub fn mask_uses(records: &[Record]) -> Vec<MaskUse> {
    let (mut uses, mut seen) = (Vec::new(), HashSet::new());
    // Masks of unlike numbers are no two draws of one thing: where a mode has several, they name the family too.
    let of_mode = |run: &Run| (run.mode.clone(), run.model.name.clone());
    let mut settings: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for record in records.iter().filter(|r| r.outcome().is_some_and(|o| o.mask.is_some())) {
        settings.entry(of_mode(&record.run)).or_default().insert(super::runs::numbers(&record.run));
    }
    for record in records {
        let Some(mask) = record.outcome().and_then(|o| o.mask.as_ref()) else { continue };
        let run = &record.run;
        let used = MaskUse {
            task: run.task.name.clone(),
            family: match settings.get(&of_mode(run)) {
                Some(several) if several.len() > 1 => {
                    format!("{} {} · {}", run.mode, super::runs::numbers(run), run.model.name)
                }
                _ => format!("{} · {}", run.mode, run.model.name),
            },
            p: run.p(),
            train_size: run.recipe.train_size,
            seed: run.seed,
            key: mask.key.clone(),
            kept: mask.kept,
            of: mask.of,
        };
        let told = (used.task.clone(), used.family.clone(), used.p.map(f64::to_bits), used.train_size, used.seed);
        if seen.insert((told, used.key.clone())) {
            uses.push(used);
        }
    }
    uses
}

/// What two child networks of one setting differ in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Between {
    /// Two tasks, the same seed.
    Tasks,
    /// Two seeds, the same task.
    Seeds,
}

/// Two child networks whose overlap a report shows, the one with the lesser key first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MaskPair<'a> {
    pub between: Between,
    pub first: &'a MaskUse,
    pub second: &'a MaskUse,
}

impl<'a> MaskPair<'a> {
    /// The keys, in the order in which files name them.
    pub fn keys(&self) -> (&'a str, &'a str) {
        (&self.first.key, &self.second.key)
    }
}

/// The pairs of child networks that a report compares, within each setting (family, p, training size): any two tasks of
/// one seed, and of each task each seed with the next, so that ten seeds make nine pairs and not forty-five. They go
/// from seed to seed, so that whoever reads the masks need not hold more than those of two seeds.
pub fn mask_pairs(uses: &[MaskUse]) -> Vec<MaskPair<'_>> {
    let mut settings: BTreeMap<_, BTreeMap<u64, Vec<&MaskUse>>> = BTreeMap::new();
    for used in uses {
        let setting = (&used.family, used.p.map(f64::to_bits), used.train_size);
        settings.entry(setting).or_default().entry(used.seed).or_default().push(used);
    }
    let mut pairs = Vec::new();
    let mut join = |between: Between, a, b| {
        let (first, second): (&MaskUse, &MaskUse) = (a, b);
        match first.key.cmp(&second.key) {
            Ordering::Less => pairs.push(MaskPair { between, first, second }),
            Ordering::Greater => pairs.push(MaskPair { between, first: second, second: first }),
            // One mask for both, as with a seed of its own for the scores: nothing to compare.
            Ordering::Equal => {}
        }
    };
    for seeds in settings.values() {
        let mut before: BTreeMap<&str, Vec<&MaskUse>> = BTreeMap::new();
        for own in seeds.values() {
            let mut by_task: BTreeMap<&str, Vec<&MaskUse>> = BTreeMap::new();
            for (i, a) in own.iter().enumerate() {
                own[i + 1..].iter().filter(|b| a.task != b.task).for_each(|b| join(Between::Tasks, a, b));
                by_task.entry(&a.task).or_default().push(a);
            }
            for (task, now) in by_task {
                let last = before.insert(task, now.clone()).unwrap_or_default();
                last.iter().for_each(|a| now.iter().for_each(|b| join(Between::Seeds, a, b)));
            }
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::example;

    fn uses(masks: &[(&str, f64, u64, &str)]) -> Vec<MaskUse> {
        let records = masks.iter().map(|(task, p, seed, key)| {
            let mut record = example::record(task, "child-d", Some(*p), *seed, 0.5);
            example::put_mask(&mut record, key, 30, 100);
            record
        });
        mask_uses(&records.collect::<Vec<_>>())
    }

    #[test]
    fn pairs_join_two_tasks_of_one_seed_and_a_seed_with_the_next() {
        let uses = uses(&[
            ("rte", 0.3, 1, "k1"),
            ("mrpc", 0.3, 1, "k0"),
            ("mrpc", 0.3, 2, "k3"),
            ("mrpc", 0.3, 7, "k9"),
            ("cola", 0.2, 1, "k4"),
            ("rte", 0.3, 1, "k1"),
        ]);
        assert_eq!(uses.len(), 5, "the same child network twice is one");
        let pairs: Vec<_> = mask_pairs(&uses).iter().map(|p| (p.between, p.keys())).collect();
        let seeds = Between::Seeds;
        assert_eq!(pairs, [(Between::Tasks, ("k0", "k1")), (seeds, ("k0", "k3")), (seeds, ("k3", "k9"))]);
    }

    #[test]
    fn one_mask_for_all_seeds_is_not_compared_with_itself() {
        assert!(mask_pairs(&uses(&[("rte", 0.3, 1, "k"), ("rte", 0.3, 2, "k")])).is_empty());
    }

    #[test]
    fn ten_seeds_of_eight_tasks_are_few_pairs() {
        let names: Vec<(String, u64, String)> =
            (0..8).flat_map(|t| (1..=10).map(move |s| (format!("t{t}"), s, format!("{t}-{s}")))).collect();
        let masks: Vec<_> = names.iter().map(|(task, seed, key)| (&**task, 0.3, *seed, &**key)).collect();
        let uses = uses(&masks);
        let pairs = mask_pairs(&uses);
        let of = |between| pairs.iter().filter(|p| p.between == between).count();
        assert_eq!((of(Between::Tasks), of(Between::Seeds)), (10 * 28, 8 * 9));
    }
}
