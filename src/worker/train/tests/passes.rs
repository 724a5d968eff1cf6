//! How a batch goes through the model: in parts, in bf16, its layers twice. What comes out must be the same step.

use tch::Kind;

use super::*;
use crate::plan::{Precision, Recipe};

/// Runs whose batches go through the model in unlike ways, dropout on.
pub fn unlike() -> Vec<(&'static str, Run)> {
    let of = |mode, change: fn(&mut Recipe)| {
        let mut run = lively(mode);
        change(&mut run.recipe);
        (mode, run)
    };
    vec![
        of("hype+r-drop", |recipe| recipe.micro_batch = Some(3)),
        of("mixout+child-d+recadam", |recipe| recipe.precision = Precision::Bf16),
        of("r3f", |recipe| recipe.gradient_checkpointing = true),
        of("dps-mix", |recipe| {
            (recipe.micro_batch, recipe.precision) = (Some(5), Precision::Bf16);
            recipe.gradient_checkpointing = true;
        }),
    ]
}

/// Loss and gradient norm of each step, and θ.
struct Course {
    steps: Vec<[f64; 2]>,
    theta: Tensor,
}

/// 45 examples in batches of 8: each epoch ends with one of 5.
fn course(example: &Example, mut run: Run, change: impl FnOnce(&mut Recipe)) -> Course {
    (run.recipe.epochs, run.recipe.train_size) = (2, Some(45));
    change(&mut run.recipe);
    let folder = Folder::new();
    let mut subject = example.subject(&run);
    train_on(example, &mut subject, &run, &folder, None);
    let number =
        |line: &str, column: usize| line.split(',').nth(column).and_then(|x| x.parse().ok()).expect("a number");
    let steps = folder.steps().iter().skip(1).map(|line| [number(line, 1), number(line, 3)]).collect();
    Course { steps, theta: subject.arena.theta.copy() }
}

#[track_caller]
fn assert_close(found: &Course, expected: &Course, share: f64, what: &str) {
    assert_eq!(found.steps.len(), expected.steps.len());
    for (step, (found, expected)) in found.steps.iter().zip(&expected.steps).enumerate() {
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() <= share * b.abs(), "{what}, step {}: {found:?} instead of {expected:?}", step + 1);
        }
    }
}

/// What a combination is of, for the whole batch: R-Drop as its authors have it sums over the batch.
fn all() -> Vec<(&'static str, Run)> {
    let code = run("r-drop", &[("fidelity", "code".into())]);
    modes().into_iter().map(|mode| (mode, lively(mode))).chain([("r-drop of the code", code)]).collect()
}

#[test]
fn a_batch_in_parts_is_the_batch_by_every_method() {
    let example = Example::new_head();
    for (what, run) in all() {
        let whole = course(&example, run.clone(), |recipe| recipe.dropout = Some(0.0));
        let parts = course(&example, run, |recipe| (recipe.dropout, recipe.micro_batch) = (Some(0.0), Some(3)));
        assert_close(&parts, &whole, 2e-3, what);
        assert!(!parts.theta.equal(&whole.theta), "{what}: nothing was cut");
    }
}

#[test]
fn parts_no_smaller_than_the_batch_change_nothing_and_smaller_ones_draw_their_own_dropout() {
    let example = Example::classes();
    let steps = |micro_batch| course(&example, lively("vanilla"), |recipe| recipe.micro_batch = micro_batch);
    let whole = steps(None);
    for rows in [8, 1000] {
        assert!(steps(Some(rows)).theta.equal(&whole.theta), "{rows}");
    }
    let (parts, again) = (steps(Some(4)), steps(Some(4)));
    assert!((parts.steps[0][0] / whole.steps[0][0] - 1.0).abs() > 1e-3, "one dropout for two micro-batches");
    assert!(parts.theta.equal(&again.theta));
}

/// Run again, a layer gives what it gave; the sums of two passes' gradients may round otherwise.
#[test]
fn gradient_checkpointing_changes_nothing_by_any_method() {
    let example = Example::new_head();
    for (what, run) in all() {
        let kept = course(&example, run.clone(), |recipe| recipe.dropout = Some(0.0));
        let again = course(&example, run, |recipe| {
            (recipe.dropout, recipe.gradient_checkpointing) = (Some(0.0), true);
        });
        assert_close(&again, &kept, 2e-3, what);
    }
}

/// With the dropout of both passes alike, the gradient is that of the loss; with unlike ones it would be another's.
#[test]
fn a_layer_that_runs_again_draws_the_dropout_that_it_drew() {
    let example = Example::classes();
    let mut run = lively("vanilla");
    run.recipe.dropout = Some(0.3);
    let mut subject = example.subject(&run);
    let recipe = Recipe { gradient_checkpointing: true, ..run.recipe.clone() };
    let method = Combination::build(&run.method).expect("a method");
    let picks: Vec<u32> = (0..8).collect();
    let at = Moment { seed: 1, step: 1, steps: 1, pass: 0, token: 0 };
    let tokens = &example.data.train;
    let step = Step { tokens, picks: &picks, recipe: &recipe, precision: Kind::Float, dropout: "dropout", at };
    step.gradient(&mut subject, &method);
    let gradient = subject.arena.gradient.copy();
    // Along the gradient the loss changes by its squared length: dropout is a function of the moment, so the loss is one
    // of θ.
    let centre = subject.arena.theta.copy();
    let mut ahead = |length: f64| {
        no_grad(|| subject.arena.theta.copy_(&(&centre + &gradient * length)));
        step.gradient(&mut subject, &method)
    };
    let length = 1e-3;
    let slope = (ahead(length) - ahead(-length)) / (2.0 * length);
    let square = gradient.square().sum(Kind::Double).double_value(&[]);
    assert!((slope / square - 1.0).abs() < 0.02, "{slope} instead of {square}");
}

#[test]
fn bf16_rounds_and_stays_near_fp32_by_every_method() {
    let example = Example::classes();
    for (what, run) in all() {
        let fp32 = course(&example, run.clone(), |recipe| recipe.dropout = Some(0.0));
        let bf16 = course(&example, run, |recipe| (recipe.dropout, recipe.precision) = (Some(0.0), Precision::Bf16));
        let (first, expected) = (bf16.steps[0][0], fp32.steps[0][0]);
        assert!(first != expected && (first / expected - 1.0).abs() < 0.02, "{what}: {first} beside {expected}");
        let apart = (bf16.steps.last().expect("steps")[0] / fp32.steps.last().expect("steps")[0] - 1.0).abs();
        assert!(apart < 0.1, "{what}: the last losses are {apart} apart");
    }
}

/// Weights of bf16 could not take such steps: they are smaller than half the distance to its next number.
#[test]
fn weights_move_by_less_than_bf16_can_tell() {
    let example = Example::classes();
    let small = |lr: f64| {
        move |recipe: &mut Recipe| {
            (recipe.precision, recipe.lr, recipe.weight_decay) = (Precision::Bf16, lr, 0.0);
            recipe.max_steps = Some(3);
        }
    };
    let still = course(&example, lively("vanilla"), small(1e-30)).theta;
    let moved = course(&example, lively("vanilla"), small(1e-6)).theta;
    let rounded = |x: &Tensor| x.to_kind(Kind::BFloat16);
    let share = |marks: Tensor| marks.to_kind(Kind::Double).mean(Kind::Double).double_value(&[]);
    assert!(share(moved.ne_tensor(&still)) > 0.9, "θ moves");
    assert!(share(rounded(&moved).eq_tensor(&rounded(&still))) > 0.9, "but not as far as to the next number of bf16");
}
