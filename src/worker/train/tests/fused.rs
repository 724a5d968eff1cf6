//! Runs that are trained side by side are the runs that they are alone.

use super::*;
use crate::method::Hook;
use crate::plan::{Precision, Recipe};
use crate::train::fused::Team;

/// What a run of a group came to.
struct Found {
    ending: Ending,
    theta: Tensor,
    steps: Vec<String>,
}

/// Trains runs side by side, each in a folder of its own.
fn fused(example: &Example, runs: &[Run], pause_after: Option<u32>, folders: &[Folder]) -> Vec<Found> {
    let subject = example.subject(&runs[0]);
    let places: Vec<Places> = folders.iter().map(Folder::places).collect();
    let mut listeners: Vec<Quiet> = runs.iter().map(|_| Quiet { pause_after, asked: 0 }).collect();
    let mut team = Team::of(&subject, runs.len());
    let (passes, subjects) = team.split();
    let mut trainees = Vec::new();
    for (((run, subject), places), listener) in runs.iter().zip(subjects).zip(&places).zip(&mut listeners) {
        subject.reset(run.seed, &run.recipe);
        trainees.push(Trainee::begin(run, &example.task, subject, &example.data, places, listener).expect("a run"));
    }
    let mut found: Vec<Option<Found>> = runs.iter().map(|_| None).collect();
    crate::train::fused::train(passes, trainees, &mut |place, trainee, ending| {
        let theta = trainee.subject.arena.theta.copy();
        found[place] = Some(Found { ending, theta, steps: folders[place].steps() });
    })
    .expect("endings");
    found.into_iter().map(|found| found.expect("each run ends")).collect()
}

/// Loss and norm of each step.
fn numbers(steps: &[String]) -> Vec<[f64; 2]> {
    let number =
        |line: &str, column: usize| line.split(',').nth(column).and_then(|x| x.parse().ok()).expect("a number");
    steps.iter().skip(1).map(|line| [number(line, 1), number(line, 3)]).collect()
}

#[track_caller]
fn assert_alike(found: &Found, theta: &Tensor, steps: &[String], share: f64, what: &str) {
    let (own, alone) = (numbers(&found.steps), numbers(steps));
    assert_eq!(own.len(), alone.len(), "{what}");
    for (step, (own, alone)) in own.iter().zip(&alone).enumerate() {
        for (a, b) in own.iter().zip(alone) {
            assert!((a - b).abs() <= share * b.abs(), "{what}, step {}: {own:?} instead of {alone:?}", step + 1);
        }
    }
    let apart = (&found.theta - theta).norm().double_value(&[]) / theta.norm().double_value(&[]);
    assert!(apart <= share, "{what}: θ is {apart} apart");
}

fn folders(count: usize) -> Vec<Folder> {
    (0..count).map(|_| Folder::new()).collect()
}

/// Methods whose passes are those of plain training, each with a seed and a rate of its own.
fn unlike(change: &dyn Fn(&mut Recipe)) -> Vec<Run> {
    let fuses = |mode: &&str| {
        let method = Combination::<crate::arena::Values>::build(&lively(mode).method).expect("a method");
        !method.has(Hook::Loss) && !method.has(Hook::Adapted)
    };
    let of = |(place, mode): (usize, &str)| {
        let mut run = lively(mode);
        run.seed = place as u64 + 1;
        run.recipe.lr *= 1.0 + place as f64 / 10.0;
        (run.recipe.train_size, run.recipe.epochs) = (Some(29), 2);
        change(&mut run.recipe);
        run
    };
    modes().into_iter().filter(fuses).enumerate().map(of).collect()
}

#[test]
fn without_dropout_a_run_is_what_it_is_alone() {
    let example = Example::classes();
    for (precision, share) in [(Precision::Fp32, 1e-3), (Precision::Bf16, 0.1)] {
        let runs = unlike(&|recipe| (recipe.dropout, recipe.precision) = (Some(0.0), precision));
        assert!(runs.len() > 15, "{}", runs.len());
        // Entries with tiny gradients move by their sign, which rounding decides: rates are small, so that it shows little.
        for runs in runs.chunks(6) {
            let own = folders(runs.len());
            for ((found, run), folder) in fused(&example, runs, None, &own).iter().zip(runs).zip(folders(runs.len())) {
                let mut subject = example.subject(run);
                let alone = outcome(train_on(&example, &mut subject, run, &folder, None));
                let what = format!("{}, {precision:?}", run.mode);
                assert_alike(found, &subject.arena.theta, &folder.steps(), share, &what);
                let Ending::Done(outcome) = &found.ending else { panic!("{:?}", found.ending) };
                assert_eq!((outcome.steps, outcome.train_examples), (alone.steps, alone.train_examples));
                assert_eq!(outcome.mask.is_some(), alone.mask.is_some(), "{what}");
            }
        }
    }
}

#[test]
fn a_run_that_diverges_leaves_a_hole_and_its_neighbours_as_they_were() {
    let example = Example::classes();
    let mut runs = unlike(&|recipe| recipe.dropout = Some(0.1));
    runs.truncate(3);
    let whole = fused(&example, &runs, None, &folders(3));
    runs[1].recipe.lr = f64::MAX;
    let holed = fused(&example, &runs, None, &folders(3));
    assert!(matches!(holed[1].ending, Ending::Diverged { step: 2.. }), "{:?}", holed[1].ending);
    for place in [0, 2] {
        assert!(matches!(holed[place].ending, Ending::Done(_)));
        assert_eq!(holed[place].steps, whole[place].steps, "dropout of a neighbour is drawn anew");
        assert!(holed[place].theta.equal(&whole[place].theta));
    }
}

#[test]
fn a_group_that_is_put_aside_goes_on_bit_for_bit() {
    let example = Example::classes();
    let mut runs = unlike(&|recipe| recipe.dropout = Some(0.1));
    runs.truncate(4);
    let whole = fused(&example, &runs, None, &folders(4));
    let own = folders(4);
    for found in fused(&example, &runs, Some(3), &own) {
        assert!(matches!(found.ending, Ending::Paused { step: 3 }), "{:?}", found.ending);
    }
    for (found, whole) in fused(&example, &runs, None, &own).iter().zip(&whole) {
        assert!(found.theta.equal(&whole.theta));
        assert_eq!(found.steps, whole.steps);
    }
}

/// A kill between two checkpoints leaves runs at unlike steps: they go on, one after the other.
#[test]
fn runs_at_unlike_steps_go_on_alone() {
    let example = Example::classes();
    let mut runs = unlike(&|recipe| recipe.dropout = Some(0.0));
    runs.truncate(2);
    let own = folders(2);
    let mut subject = example.subject(&runs[0]);
    train_on(&example, &mut subject, &runs[0], &own[0], Some(2));
    for ((found, run), folder) in fused(&example, &runs, None, &own).iter().zip(&runs).zip(folders(2)) {
        let mut subject = example.subject(run);
        train_on(&example, &mut subject, run, &folder, None);
        assert_alike(found, &subject.arena.theta, &folder.steps(), 1e-6, &run.mode);
    }
}

/// With dropout the losses of many first steps have the mean and the spread that they have alone.
#[test]
fn with_dropout_a_run_is_alike_in_distribution() {
    let example = Example::classes();
    let first_losses = |runs: &[Run], together: bool| -> Vec<f64> {
        let own = folders(runs.len());
        if together {
            fused(&example, runs, Some(1), &own);
        } else {
            for (run, folder) in runs.iter().zip(&own) {
                train_on(&example, &mut example.subject(run), run, folder, Some(1));
            }
        }
        own.iter().map(|folder| numbers(&folder.steps())[0][0]).collect()
    };
    // One head and one order for all, so that dropout alone tells them apart.
    let runs = |group: u64| -> Vec<Run> {
        let of = |lr: u64| {
            let mut run = run("vanilla", &[]);
            (run.recipe.dropout, run.recipe.shuffle, run.recipe.batch_size) = (Some(0.3), false, 8);
            run.recipe.lr = 1e-5 * (lr + 1) as f64;
            run.seed = group * 8 + lr;
            run
        };
        (0..8).map(of).collect()
    };
    let moments = |together: bool| {
        let losses: Vec<f64> = (0..12).flat_map(|group| first_losses(&runs(group), together)).collect();
        let mean = losses.iter().sum::<f64>() / losses.len() as f64;
        let spread = (losses.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / losses.len() as f64).sqrt();
        (mean, spread, (losses.len() as f64).sqrt())
    };
    let ((mean, spread, root), (alone, alone_spread, _)) = (moments(true), moments(false));
    assert!(spread > 0.0 && (mean - alone).abs() < 4.0 * alone_spread / root, "{mean} instead of {alone}");
    assert!((spread / alone_spread).ln().abs() < 0.5, "{spread} instead of {alone_spread}");
}
