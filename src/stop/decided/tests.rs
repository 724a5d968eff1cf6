#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::record::store::Stop;
use crate::stop::{Rule, example};

fn stop(first: u32, every: u32) -> Stop {
    Stop::Decided(Decided { alpha: 0.05, first, every, spending: Spending::OBrienFleming })
}

/// Two modes against vanilla on one task.
fn grid(seeds: u64) -> Vec<(RunId, Run)> {
    let of_seed = |seed| ["vanilla", "child-d", "child-f"].map(|mode| example::run("rte", mode, seed));
    example::planned((1..=seeds).flat_map(of_seed))
}

/// Small and lively, the same for a seed in every call.
fn noise(seed: u64, salt: u64) -> f64 {
    let hash = (seed + 1).wrapping_mul(salt + 17).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let hash = (hash ^ (hash >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (hash >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

/// child-d is better by more than the noise, child-f is no better.
fn score(run: &Run) -> f64 {
    let gain = if run.mode == "child-d" { 0.03 } else { 0.0 };
    0.6 + gain + 0.01 * noise(run.seed, run.mode.len() as u64 * 31 + run.mode.as_bytes()[6] as u64)
}

/// Trains what is asked for until nothing is, in turns of those that `order` puts first; what was trained, and how it
/// ended.
fn train(rule: &Rule, runs: &[(RunId, Run)], order: &dyn Fn(&Run) -> u64) -> (Vec<Fate>, Vec<Standing>) {
    let mut known = HashMap::new();
    loop {
        let fates = rule.fates(&known);
        let next = runs.iter().filter(|(id, _)| matches!(fates[id], Fate::Train { .. }));
        let Some((_, run)) = next.min_by_key(|(_, run)| order(run)) else {
            return (runs.iter().map(|(id, _)| fates[id]).collect(), rule.standings(&known));
        };
        example::end(&mut known, run, score(run));
    }
}

#[test]
fn a_clear_difference_stops_early_and_an_open_one_gets_every_seed() {
    let runs = grid(20);
    let rule = example::rule(&stop(5, 5), &runs);
    let (fates, standings) = train(&rule, &runs, &|_| 0);
    let trained = |mode: &str| {
        let of_mode = runs.iter().zip(&fates).filter(|((_, run), _)| run.mode == mode);
        of_mode.filter(|(_, fate)| **fate == Fate::Ended).count()
    };
    assert_eq!((trained("child-d"), trained("child-f"), trained("vanilla")), (10, 20, 20), "{standings:?}");
    assert!(fates.iter().all(|fate| matches!(fate, Fate::Ended | Fate::Spared)));
    let [clear, open] = &standings[..] else { panic!("{standings:?}") };
    let look = clear.look.unwrap();
    assert!(clear.is_decided() && !clear.is_exhausted() && (look.difference - 0.03).abs() < 0.01);
    assert_eq!((look.seeds, clear.of, clear.family, clear.looks), (10, 20, 2, 2));
    assert!(!open.is_decided() && open.is_exhausted() && open.look.unwrap().seeds == 20 && open.looks == 4);
    // Half the seeds, half of 5 %, O'Brien and Fleming: far below 0.05.
    assert!(look.level < 1e-3 && open.look.unwrap().level > 0.02);
}

#[test]
fn a_look_waits_for_its_seeds_and_asks_for_no_more() {
    let runs = grid(20);
    let rule = example::rule(&stop(5, 5), &runs);
    let mut known = HashMap::new();
    let count = |known: &HashMap<RunId, Known>| {
        let fates = rule.fates(known);
        [Fate::Train { until: None, rung: 0 }, Fate::Waits, Fate::Ended]
            .map(|fate| fates.values().filter(|f| **f == fate).count())
    };
    assert_eq!(count(&known), [15, 45, 0]);
    for (_, run) in runs.iter().filter(|(_, run)| run.seed <= 5) {
        assert_eq!(rule.fates_beside(&run.id(), &known).len(), 60);
        example::end(&mut known, run, score(run));
    }
    assert_eq!(count(&known), [15, 30, 15]);
}

#[test]
fn a_setting_without_a_counterpart_is_trained_as_ever() {
    let mut runs = grid(20);
    runs.retain(|(_, run)| run.mode != "vanilla" || run.seed > 15);
    let rule = example::rule(&stop(2, 2), &runs);
    let fates = rule.fates(&HashMap::new());
    let early = |mode: &str, seed| fates[&example::run("rte", mode, seed).id()];
    assert_eq!(early("child-d", 1), Fate::Train { until: None, rung: 0 });
    assert_eq!((early("child-d", 16), early("child-d", 20)), (Fate::Train { until: None, rung: 0 }, Fate::Waits));
    // No reference at all, or none with the compared setting of training.
    let alone = example::planned((1..=9).map(|seed| example::run("rte", "child-d", seed)));
    let rule = example::rule(&stop(2, 2), &alone);
    assert!(rule.standings(&HashMap::new()).is_empty());
    assert!(rule.fates(&HashMap::new()).values().all(|fate| matches!(fate, Fate::Train { .. })));
}

#[test]
fn a_setting_meets_the_reference_of_its_own_learning_rate() {
    let with = |mode: &str, seed, lr| {
        let mut run = example::run("rte", mode, seed);
        run.recipe.lr = lr;
        run
    };
    let of_seed = |seed| {
        [("vanilla", 2e-5), ("vanilla", 4e-5), ("child-d", 2e-5), ("child-d", 4e-5), ("child-f", 9e-5)]
            .map(|(mode, lr)| with(mode, seed, lr))
    };
    let runs = example::planned((1..=8).flat_map(of_seed));
    let standings = example::rule(&stop(5, 5), &runs).standings(&HashMap::new());
    let met: Vec<(f64, f64)> = standings
        .iter()
        .map(|standing| {
            let lr = |id: &RunId| runs.iter().find(|(own, _)| own == id).unwrap().1.recipe.lr;
            (lr(&standing.runs[0]), lr(&standing.reference[0]))
        })
        .collect();
    assert_eq!(met, [(2e-5, 2e-5), (4e-5, 4e-5)]);
    assert!(standings.iter().all(|standing| standing.family == 2));
}

#[test]
fn failed_runs_make_no_pair_and_hold_nothing_up() {
    let runs = grid(20);
    let rule = example::rule(&stop(5, 5), &runs);
    let mut known = HashMap::new();
    for (id, run) in &runs {
        match run.seed {
            3 if run.mode == "child-d" => {
                drop(known.insert(id.clone(), Known { end: Some(Ended::Failed), ..Known::default() }))
            }
            seed if seed <= 10 => example::end(&mut known, run, score(run)),
            _ => {}
        }
    }
    let standing = &rule.standings(&known)[0];
    let look = standing.look.unwrap();
    assert_eq!((look.seeds, look.pairs, standing.is_decided()), (10, 9, true));
}

proptest! {
    /// Whichever runs come first, the same are trained and the same is found.
    #[test]
    fn the_order_of_events_decides_nothing(salt in any::<u64>(), first in 2u32..8, every in 1u32..6, seeds in 3u64..14) {
        let runs = grid(seeds);
        let rule = example::rule(&stop(first, every), &runs);
        let calm = train(&rule, &runs, &|_| 0);
        let mixed = train(&rule, &runs, &|run| (noise(run.seed, salt ^ run.mode.len() as u64) * 1e6) as i64 as u64);
        prop_assert_eq!(calm, mixed);
    }
}
