//! Which trained models stay: of each cell, which is all that runs share but their seed, the best k by dev score.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::{After, Run, RunId};

/// A run of the sweep whose trained model lies in the cache.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The name of its model: runs that differ in their stages alone share it.
    pub training: RunId,
    /// See [`cell`].
    pub cell: RunId,
    pub seed: u64,
    /// The headline dev score, larger is better; `None` where the metric is undefined.
    pub score: Option<f64>,
    /// Some run still needs the model, for its stages or because its record is not written.
    pub is_needed: bool,
}

/// All that the runs of one cell have in common.
pub fn cell(run: &Run) -> RunId {
    Run { seed: 0, after: After::default(), ..run.clone() }.id()
}

/// The models that go, so that of each cell its best `k` stay; of equal scores that of the smaller seed. What is needed
/// stays besides, and so does a model that is among the best of another cell.
pub fn to_drop(candidates: &[Candidate], k: usize) -> BTreeSet<RunId> {
    let mut cells: BTreeMap<&RunId, Vec<&Candidate>> = BTreeMap::new();
    for candidate in candidates {
        cells.entry(&candidate.cell).or_default().push(candidate);
    }
    let mut stay = BTreeSet::new();
    for members in cells.values_mut() {
        let rank = |c: &Candidate| c.score.filter(|score| !score.is_nan()).unwrap_or(f64::NEG_INFINITY);
        members.sort_by(|a, b| rank(b).total_cmp(&rank(a)).then(a.seed.cmp(&b.seed)));
        stay.extend(members.iter().take(k).map(|c| &c.training));
    }
    stay.extend(candidates.iter().filter(|c| c.is_needed).map(|c| &c.training));
    candidates.iter().filter(|c| !stay.contains(&c.training)).map(|c| c.training.clone()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidate(n: u64, cell: u64, seed: u64, score: Option<f64>) -> Candidate {
        let id = |n: u64| RunId(format!("{n:020}"));
        Candidate { training: id(n), cell: id(cell), seed, score, is_needed: false }
    }

    fn dropped(candidates: &[Candidate], k: usize) -> Vec<usize> {
        let gone = to_drop(candidates, k);
        (0..candidates.len()).filter(|&i| gone.contains(&candidates[i].training)).collect()
    }

    #[test]
    fn the_best_of_each_cell_stay() {
        let mut all = vec![
            candidate(0, 1, 1, Some(0.5)),
            candidate(1, 1, 2, Some(0.9)),
            candidate(2, 1, 3, Some(0.5)),
            candidate(3, 1, 4, None),
            candidate(4, 2, 1, Some(0.1)),
            candidate(5, 2, 2, Some(f64::NAN)),
        ];
        assert_eq!(dropped(&all, 1), [0, 2, 3, 5]);
        assert_eq!(dropped(&all, 2), [2, 3], "of equal scores the smaller seed");
        assert_eq!(dropped(&all, 9), [0; 0]);
        all[2].is_needed = true;
        assert_eq!(dropped(&all, 1), [0, 3, 5], "what is needed stays");
    }

    fn any_candidates() -> impl Strategy<Value = Vec<Candidate>> {
        // Few values, so that scores tie.
        let one = (0u64..4, 0u64..6, prop::option::of(0u8..4), prop::bool::weighted(0.2));
        prop::collection::vec(one, 0..24).prop_map(|all| {
            let made = all.into_iter().enumerate().map(|(n, (cell, seed, score, is_needed))| Candidate {
                is_needed,
                ..candidate(n as u64, cell, seed, score.map(|s| f64::from(s) / 4.0))
            });
            made.collect()
        })
    }

    proptest! {
        #[test]
        fn never_one_of_the_best_k_and_never_one_that_is_needed(all in any_candidates(), k in 1usize..4) {
            let gone = dropped(&all, k);
            for (i, own) in all.iter().enumerate() {
                let better = |c: &&Candidate| {
                    let by_seed = c.score == own.score && (c.seed, &c.training) < (own.seed, &own.training);
                    c.cell == own.cell && (c.score > own.score || by_seed)
                };
                let rank = all.iter().filter(better).count();
                prop_assert_eq!(gone.contains(&i), rank >= k && !own.is_needed, "{:?}", own);
            }
        }

        /// Models go as runs end; in which order they end leaves the same ones.
        #[test]
        fn the_order_in_which_runs_end_does_not_matter(
            (first, second) in any_candidates().prop_flat_map(|all| {
                let all: Vec<Candidate> = all.into_iter().map(|c| Candidate { is_needed: false, ..c }).collect();
                (Just(all.clone()), Just(all).prop_shuffle())
            }),
            k in 1usize..4,
        ) {
            let left = |order: Vec<Candidate>| {
                let mut there: Vec<Candidate> = Vec::new();
                for ended in order {
                    there.push(ended);
                    let gone = to_drop(&there, k);
                    there.retain(|c| !gone.contains(&c.training));
                }
                there.into_iter().map(|c| c.training).collect::<BTreeSet<_>>()
            };
            // Two runs of one cell have unlike seeds.
            let mut seen = BTreeSet::new();
            let distinct: BTreeSet<RunId> =
                first.iter().filter(|c| seen.insert((c.cell.clone(), c.seed))).map(|c| c.training.clone()).collect();
            let of = |all: Vec<Candidate>| all.into_iter().filter(|c| distinct.contains(&c.training)).collect();
            prop_assert_eq!(left(of(first)), left(of(second)));
        }
    }
}
