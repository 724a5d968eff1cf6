//! Which child networks the runs used, and which two of them are worth comparing.

use std::collections::{BTreeMap, BTreeSet};

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
    let mut uses: Vec<MaskUse> = Vec::new();
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
        if !uses.contains(&used) {
            uses.push(used);
        }
    }
    uses
}

/// The pairs of mask keys whose overlap a report shows: two tasks, otherwise the same setting and seed. Sorted.
pub fn mask_pairs(records: &[Record]) -> Vec<(String, String)> {
    let uses = mask_uses(records);
    let mut pairs = BTreeSet::new();
    for (i, a) in uses.iter().enumerate() {
        for b in &uses[i + 1..] {
            let alike = (&a.family, a.p, a.train_size, a.seed) == (&b.family, b.p, b.train_size, b.seed);
            if a.task != b.task && a.key != b.key && alike {
                pairs.insert((a.key.clone().min(b.key.clone()), a.key.clone().max(b.key.clone())));
            }
        }
    }
    pairs.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::example;

    #[test]
    fn pairs_join_two_tasks_of_one_setting_and_seed() {
        let mut records = Vec::new();
        for (task, p, seed, key) in [
            ("rte", 0.3, 1, "k1"),
            ("mrpc", 0.3, 1, "k0"),
            ("mrpc", 0.3, 2, "k3"),
            ("cola", 0.2, 1, "k4"),
            ("rte", 0.3, 1, "k1"),
        ] {
            let mut record = example::record(task, "child-d", Some(p), seed, 0.5);
            example::put_mask(&mut record, key, 30, 100);
            records.push(record);
        }
        assert_eq!(mask_pairs(&records), [("k0".to_owned(), "k1".to_owned())]);
        assert_eq!(mask_uses(&records).len(), 4, "the same child network twice is one");
    }
}
