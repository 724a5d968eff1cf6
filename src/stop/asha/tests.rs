use proptest::prelude::*;

use super::*;
use crate::plan::Run;
use crate::record::store::Stop;
use crate::stop::{Rule, example};

const RATES: [f64; 9] = [1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4];

/// Settings of lr, seeds slowest as in a plan.
fn grid(settings: usize, seeds: u64) -> Vec<(RunId, Run)> {
    example::planned((1..=seeds).flat_map(|seed| {
        RATES[..settings].iter().map(move |lr| {
            let mut run = example::run("rte", "vanilla", seed);
            run.recipe.lr = *lr;
            run
        })
    }))
}

fn stop(eta: u32, rungs: u32) -> Stop {
    Stop::Asha(Asha { eta, rungs })
}

/// A trainer: takes runs that are to be trained, chosen by `pick`, until none is left; scores are given by setting, seed
/// and step. Says in which order runs were handed out, and all fates at the end.
fn train(
    rule: &Rule,
    runs: &[(RunId, Run)],
    score: &dyn Fn(&Run, u32) -> Option<f64>,
    slots: usize,
    pick: &mut dyn FnMut(usize) -> usize,
) -> (usize, Vec<Fate>) {
    let mut known: HashMap<RunId, Known> = HashMap::new();
    let mut busy: Vec<(usize, Option<u32>)> = Vec::new();
    let mut steps = 0;
    loop {
        let fates = rule.fates(&known);
        let waiting = runs.iter().enumerate().filter_map(|(i, (id, _))| match fates[id] {
            Fate::Train { until, .. } if !busy.iter().any(|(own, _)| *own == i) => Some((i, until)),
            _ => None,
        });
        let waiting: Vec<(usize, Option<u32>)> = waiting.collect();
        for next in waiting.into_iter().take(slots - busy.len()) {
            busy.push(next);
        }
        if busy.is_empty() {
            return (steps, runs.iter().map(|(id, _)| fates[id]).collect());
        }
        // Any of those under way may be the first to end.
        let (i, until) = busy.swap_remove(pick(busy.len()));
        let (id, run) = &runs[i];
        let run_known = known.entry(id.clone()).or_default();
        steps += 1;
        match (until, score(run, until.unwrap_or(27))) {
            (Some(step), score) => drop(run_known.rungs.insert(step, score)),
            (None, Some(score)) => run_known.end = Some(Ended::Scored(Some(score))),
            (None, None) => run_known.end = Some(Ended::Failed),
        }
    }
}

#[test]
fn rungs_lie_at_powers_of_eta() {
    let at = |eta, count, total| rungs(&Asha { eta, rungs: count }, total);
    assert_eq!(at(3, 2, 27), [3, 9]);
    assert_eq!(at(3, 4, 27), [1, 3, 9]);
    assert_eq!(at(4, 3, 1000), [16, 63, 250]);
    assert_eq!(at(2, 20, 3), [1, 2]);
    assert!(at(3, 2, 1).is_empty());
}

#[test]
fn a_third_goes_on_from_each_rung_and_the_best_wins() {
    let runs = grid(9, 2);
    let rule = example::rule(&stop(3, 2), &runs);
    // The sixth is the best at any step.
    let score = |run: &Run, step: u32| Some(0.5 - (run.recipe.lr / 5e-5).ln().abs() * 0.05 + f64::from(step) * 0.01);
    let (work, fates) = train(&rule, &runs, &score, 1, &mut |_| 0);
    let ended: Vec<usize> = (0..18).filter(|i| fates[*i] == Fate::Ended).collect();
    assert!(ended.contains(&5) && ended.contains(&14), "{fates:?}");
    let stopped = |step| fates.iter().filter(|fate| **fate == Fate::Stopped { step }).count();
    assert_eq!(ended.len() + stopped(3) + stopped(9), 18, "{fates:?}");
    assert!(stopped(3) >= 8 && work < 2 * (9 + 5 + 3) + 1, "{work} {fates:?}");
}

#[test]
fn nobody_waits_for_a_full_rung() {
    let runs = grid(6, 1);
    let rule = example::rule(&stop(3, 1), &runs);
    let mut known = HashMap::new();
    let score = |known: &mut HashMap<RunId, Known>, i: usize, score: f64| {
        known.entry(runs[i].0.clone()).or_default().rungs.insert(9, Some(score));
    };
    score(&mut known, 0, 0.5);
    score(&mut known, 1, 0.7);
    assert_eq!(rule.fates(&known)[&runs[1].0], Fate::Waits);
    score(&mut known, 2, 0.6);
    let fates = rule.fates(&known);
    assert_eq!(fates[&runs[1].0], Fate::Train { until: None, rung: 1 });
    // Of six, two can go on, and the first is third already.
    assert_eq!((fates[&runs[0].0], fates[&runs[2].0]), (Fate::Stopped { step: 9 }, Fate::Waits));
    assert_eq!(fates[&runs[5].0], Fate::Train { until: Some(9), rung: 0 });
    let beside = rule.fates_beside(&runs[3].0, &known);
    assert_eq!(beside.into_iter().collect::<HashMap<_, _>>(), fates);
}

#[test]
fn fewer_settings_than_eta_send_their_best_on() {
    let runs = grid(2, 3);
    let rule = example::rule(&stop(3, 1), &runs);
    let (_, fates) = train(&rule, &runs, &|run, _| Some(run.recipe.lr * 1e4), 2, &mut |_| 0);
    assert_eq!(fates, [Fate::Stopped { step: 9 }, Fate::Ended].repeat(3));
}

#[test]
fn a_setting_that_loses_a_seed_ranks_behind_and_one_without_scores_never_goes_on() {
    let runs = grid(3, 2);
    let rule = example::rule(&stop(3, 1), &runs);
    let mut known: HashMap<RunId, Known> = HashMap::new();
    for (i, (id, run)) in runs.iter().enumerate() {
        let known = known.entry(id.clone()).or_default();
        match (i % 3, run.seed) {
            (0, 1) | (1, _) => known.end = Some(Ended::Failed),
            (0, _) => drop(known.rungs.insert(9, Some(0.9))),
            _ => drop(known.rungs.insert(9, Some(0.6))),
        }
    }
    let fates: Vec<Fate> = runs.iter().map(|(id, _)| rule.fates(&known)[id]).collect();
    let on = Fate::Train { until: None, rung: 1 };
    assert_eq!(fates, [Fate::Ended, Fate::Ended, on, Fate::Stopped { step: 9 }, Fate::Ended, on]);
}

#[test]
fn what_another_sweep_trained_to_the_end_takes_no_part_and_one_setting_has_no_race() {
    let runs = grid(3, 1);
    let rule = example::rule(&stop(3, 1), &runs);
    let mut known = HashMap::new();
    example::end(&mut known, &runs[0].1, 0.9);
    for (i, score) in [(1, 0.4), (2, 0.5)] {
        known.entry(runs[i].0.clone()).or_default().rungs.insert(9, Some(score));
    }
    let fates = rule.fates(&known);
    assert_eq!(fates[&runs[0].0], Fate::Ended);
    assert_eq!(fates[&runs[1].0], Fate::Stopped { step: 9 });
    assert_eq!(fates[&runs[2].0], Fate::Train { until: None, rung: 1 });

    let alone = grid(1, 2);
    let fates = example::rule(&stop(3, 2), &alone).fates(&HashMap::new());
    assert!(fates.values().all(|fate| *fate == Fate::Train { until: None, rung: 0 }));
}

proptest! {
    /// However many slots, whichever run ends first, whatever fails: the same runs reach the end, the others stop at the
    /// same steps, and no fate that was told is taken back.
    #[test]
    fn the_order_of_events_decides_nothing(
        settings in 2usize..9, seeds in 1u64..4, eta in 2u32..5, rungs in 1u32..4,
        scores in prop::collection::vec(prop::option::weighted(0.9, 0..20u8), 9 * 4 * 28),
        picks in prop::collection::vec(any::<usize>(), 200), slots in 2usize..6,
    ) {
        let runs = grid(settings, seeds);
        let rule = example::rule(&stop(eta, rungs), &runs);
        let score = |run: &Run, step: u32| {
            let setting = RATES.iter().position(|lr| *lr == run.recipe.lr).expect("a known rate");
            scores[(setting * 4 + run.seed as usize) * 28 + step as usize].map(|s| f64::from(s) / 20.0)
        };
        let (work, calm) = train(&rule, &runs, &score, 1, &mut |_| 0);
        let mut at = 0;
        let mut pick = |n: usize| { at += 1; picks[at % picks.len()] % n };
        let (other_work, stormy) = train(&rule, &runs, &score, slots, &mut pick);
        prop_assert_eq!(&calm, &stormy);
        prop_assert_eq!(work, other_work);
        let decided = |fate: &Fate| matches!(fate, Fate::Ended | Fate::Stopped { .. });
        prop_assert!(calm.iter().all(decided), "{:?}", calm);
    }
}
