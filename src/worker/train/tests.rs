//! What must hold of a run whatever its method: nothing moves that should not, a run put aside goes on bit for bit, and
//! a run leaves nothing behind for the next one.

use tch::{Kind, Tensor, no_grad};

use super::example::{Example, run};
use super::schedule::Schedule;
use super::*;
use crate::arena::{Stretch, gather};
use crate::method::{Combination, METHODS, Moment, Part, Role};
use crate::record::mask::Mask;

mod fused;
mod passes;
mod taken_up;

/// Asks for a pause when so many steps are done.
struct Quiet {
    pause_after: Option<u32>,
    asked: u32,
}

impl Listener for Quiet {
    fn phase(&mut self, name: &'static str) {
        if name == "train" {
            self.asked = 0;
        }
    }

    fn step(&mut self, _: u32, _: u32, _: f64, _: f64) {}

    fn pause(&mut self) -> bool {
        self.asked += 1;
        self.pause_after == Some(self.asked)
    }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a folder"))
    }

    fn places(&self) -> Places {
        let within = |name: &str| self.0.path().join(name);
        Places {
            folder: within("run"),
            cache: within("cache"),
            masks: within("masks"),
            log_every: 1,
            scores_at_end: false,
            id: "x".into(),
            until: None,
        }
    }

    /// Every step's loss and norm, as written.
    fn steps(&self) -> Vec<String> {
        let csv = std::fs::read_to_string(self.places().folder.join("steps.csv")).expect("steps.csv");
        csv.lines().map(|line| line.rsplit_once(',').expect("columns").0.to_owned()).collect()
    }
}

fn train_on(example: &Example, subject: &mut Subject, run: &Run, folder: &Folder, pause_after: Option<u32>) -> Ending {
    let mut listener = Quiet { pause_after, asked: 0 };
    train(run, &example.task, subject, &example.data, &folder.places(), &mut listener).expect("an ending")
}

fn outcome(ending: Ending) -> Outcome {
    match ending {
        Ending::Done(outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

/// Numbers with which a method acts on the tiny model in twenty steps.
fn lively(mode: &str) -> Run {
    let numbers = [
        ("top_layers", 1.into()),
        ("reinit_layers", 1.into()),
        ("keep", 0.2.into()),
        ("t0", 10.into()),
        ("gamma", 20.into()),
        ("mix", 0.5.into()),
        ("hype_sigma", 0.05.into()),
        ("r3f_eps", 0.05.into()),
        ("dps_ratio", 0.2.into()),
    ];
    let parts: Vec<&str> = mode.split('+').collect();
    let takes =
        |name: &str| METHODS.iter().any(|m| parts.contains(&m.name) && m.numbers.iter().any(|n| n.name == name));
    let own: Vec<(&str, serde_json::Value)> = numbers.into_iter().filter(|(name, _)| takes(name)).collect();
    run(mode, &own)
}

/// Every method, and some combinations that carry more from step to step.
fn modes() -> Vec<&'static str> {
    METHODS
        .iter()
        .map(|method| method.name)
        .chain(["child-f+sage", "mixout+child-d+recadam", "dps-mix+sage+hype"])
        .collect()
}

fn child_d(p: f64, fidelity: &str) -> Run {
    run("child-d", &[("p", p.into()), ("fidelity", fidelity.into())])
}

/// θ of the encoder outside the child network, before and after training, and how often decay took its share.
#[test]
fn outside_the_child_nothing_moves_in_the_paper_and_decay_alone_in_the_code() {
    let example = Example::classes();
    let noisy = run("child-d+weight-decay+noisytune", &[("pull", 50.0.into()), ("p", 0.3.into())]);
    for (fidelity, run) in [("paper", child_d(0.3, "paper")), ("paper", noisy), ("code", child_d(0.3, "code"))] {
        let folder = Folder::new();
        let mut subject = example.subject(&run);
        let mut begun = run.clone();
        begun.recipe.max_steps = Some(1);
        begun.recipe.warmup = 0.5; // whose first step has rate 0
        train_on(&example, &mut subject, &begun, &Folder::new(), None);
        let begun = subject.arena.theta.copy();
        subject.reset(run.seed, &run.recipe);
        let outcome = outcome(train_on(&example, &mut subject, &run, &folder, None));
        let note = outcome.mask.expect("a mask");
        let mask = Mask::read(&folder.places().masks.join(format!("{}.mask", note.key))).expect("a mask file");
        let encoder = subject.arena.layout.encoder();
        let of = |flat: &Tensor| -> Vec<f32> { Vec::try_from(gather(&encoder, flat)).expect("floats") };
        let (before, after) =
            (of(if fidelity == "code" { &subject.arena.start } else { &begun }), of(&subject.arena.theta));
        let decays = subject.arena.theta.zeros_like();
        for part in encoder.iter().filter(|part| part.decays) {
            let _ = no_grad(|| part.of(&decays).fill_(1.0));
        }
        let decays = of(&decays);
        let schedule = Schedule::new(run.recipe.lr, if fidelity == "code" { 0.0 } else { 0.1 }, outcome.steps);
        let left: f64 = (1..=outcome.steps).map(|step| 1.0 - schedule.rate(step) * run.recipe.weight_decay).product();
        let mut moved = 0;
        for (i, (before, after)) in before.iter().zip(&after).enumerate() {
            if mask.get(i as u64) {
                moved += u64::from(before != after);
            } else if fidelity == "paper" || decays[i] == 0.0 {
                assert_eq!(before, after, "{fidelity}: entry {i}");
            } else {
                let expected = f64::from(*before) * left;
                assert!(
                    (f64::from(*after) - expected).abs() < 1e-6 * expected.abs().max(1e-3),
                    "{fidelity}: entry {i}"
                );
            }
        }
        assert!(left < 0.999 && moved > note.kept * 9 / 10, "{fidelity}: {moved} of {} moved", note.kept);
        if fidelity == "paper" {
            assert_eq!(note.kept, (0.3 * note.of as f64).round() as u64);
        }
    }
}

#[test]
fn the_kept_count_is_exact_at_every_reserve_rate() {
    let (example, folder) = (Example::classes(), Folder::new());
    for mode in ["child-d", "child-lowest", "child-random", "prune"] {
        for p in [1e-6, 0.1, 0.237, 0.5, 0.999, 1.0] {
            let mut run = run(mode, &[("p", p.into())]);
            run.recipe.max_steps = Some(1);
            let outcome = outcome(train_on(&example, &mut example.subject(&run), &run, &folder, None));
            let note = outcome.mask.expect("a mask");
            assert_eq!(note.kept, (p * note.of as f64).round() as u64, "{mode} at {p}");
        }
    }
}

#[test]
fn a_run_that_is_scored_on_its_way_ends_as_if_it_had_not_been() {
    let example = Example::new_head();
    for mode in ["vanilla", "child-f", "recadam"] {
        let run = lively(mode);
        let (calm, broken) = (Folder::new(), Folder::new());
        let mut undisturbed = example.subject(&run);
        let expected = outcome(train_on(&example, &mut undisturbed, &run, &calm, None));
        let part = |until: u32, subject: &mut Subject| {
            let places = Places { until: Some(until), ..broken.places() };
            let mut listener = Quiet { pause_after: None, asked: 0 };
            train(&run, &example.task, subject, &example.data, &places, &mut listener).expect("an ending")
        };
        let at = |until: u32| match part(until, &mut example.subject(&run)) {
            Ending::Reached(rung) => {
                assert_eq!((rung.step, rung.of, &rung.metric), (until, 20, &expected.metric), "{mode}");
                (rung.dev, rung.halves)
            }
            other => panic!("{mode}: {other:?}"),
        };
        let first = at(7);
        // Once more, from its checkpoint; at an earlier step, which a later checkpoint says nothing of; and on.
        assert_eq!(at(7), first, "{mode}");
        let earlier = at(3);
        assert_eq!((at(7), at(11).0.len()), (first, earlier.0.len()), "{mode}");
        let mut resumed = example.subject(&run);
        assert_eq!(outcome(part(20, &mut resumed)), expected, "{mode}");
        assert!(resumed.arena.theta.equal(&undisturbed.arena.theta), "{mode}");
        assert_eq!(broken.steps(), calm.steps(), "{mode}");
    }
}

#[test]
fn a_run_leaves_nothing_behind_for_the_next_one() {
    let example = Example::new_head();
    let plain = lively("vanilla");
    let mut fresh = example.subject(&plain);
    let expected = outcome(train_on(&example, &mut fresh, &plain, &Folder::new(), None));
    for mode in modes() {
        let run = lively(mode);
        let mut subject = example.subject(&run);
        train_on(&example, &mut subject, &run, &Folder::new(), None);
        if subject.arena.layout.parts.iter().any(|part| part.role == Role::Adapter) {
            assert!(!subject.has_adapters(&|_| Vec::new()), "{mode}: its model must be loaded anew");
            continue;
        }
        subject.reset(plain.seed, &plain.recipe);
        let found = outcome(train_on(&example, &mut subject, &plain, &Folder::new(), None));
        assert_eq!(found, expected, "after {mode}");
        assert!(subject.arena.theta.equal(&fresh.arena.theta), "after {mode}");
    }
}

/// What is frozen stays as it was, and what is not moves.
#[test]
fn frozen_parameters_do_not_move() {
    let example = Example::classes();
    for (mode, trained) in [
        (
            "top-k",
            (|part: &Part| !part.name.contains("embeddings") && !part.name.contains("layer.0")) as fn(&Part) -> bool,
        ),
        ("bitfit", |part: &Part| part.is_bias() || part.role == Role::Head),
        ("lora", |part: &Part| matches!(part.role, Role::Head | Role::Adapter)),
    ] {
        let run = lively(mode);
        let mut subject = example.subject(&run);
        let before = subject.arena.theta.copy();
        train_on(&example, &mut subject, &run, &Folder::new(), None);
        for part in &subject.arena.layout.parts {
            let moved = (part.of(&subject.arena.theta) - part.of(&before)).abs().max().double_value(&[]);
            // The key's bias has no gradient but for rounding.
            if !part.name.ends_with("key.bias") {
                assert_eq!(moved > 0.0, trained(part), "{mode}: {} moved by {moved}", part.name);
            }
        }
    }
}

/// Pruned entries are zero from the first step to the last.
#[test]
fn what_is_pruned_stays_zero() {
    let example = Example::classes();
    let (run, folder) = (run("prune", &[("p", 0.5.into())]), Folder::new());
    let mut subject = example.subject(&run);
    let note = outcome(train_on(&example, &mut subject, &run, &folder, None)).mask.expect("a mask");
    let theta = gather(&subject.arena.layout.encoder(), &subject.arena.theta);
    let zeros = theta.eq(0.0).sum(Kind::Int64).int64_value(&[]);
    assert_eq!(zeros as u64, note.of - note.kept);
}

/// Whatever the scores depend on gives another child network, and what they do not depend on the same.
#[test]
fn child_networks_are_kept_under_all_that_they_depend_on_and_nothing_else() {
    let (example, folder) = (Example::new_head(), Folder::new());
    let key = |mut run: Run, change: &dyn Fn(&mut Run)| {
        run.recipe.max_steps = Some(1);
        change(&mut run);
        outcome(train_on(&example, &mut example.subject(&run), &run, &folder, None)).mask.expect("a mask").key
    };
    let same = |_: &mut Run| {};
    let (paper, code) = (|| child_d(0.3, "paper"), || child_d(0.3, "code"));
    let with = |mode: &str, name: &str, value: serde_json::Value| {
        run(mode, &[("p", 0.3.into()), ("fidelity", "code".into()), (name, value)])
    };
    let one = key(paper(), &same);
    for (what, change) in [
        ("lr", (|run| run.recipe.lr = 1e-5) as fn(&mut Run)),
        ("weight_decay", |run| run.recipe.weight_decay = 0.0),
        ("dropout", |run| run.recipe.dropout = Some(0.3)),
        ("batch_size", |run| run.recipe.batch_size = 16),
    ] {
        assert_eq!(key(paper(), &change), one, "{what} has no part in the paper's scores");
    }
    let keys = [
        one.clone(),
        key(child_d(0.2, "paper"), &same),
        key(paper(), &|run| run.seed = 2),
        key(paper(), &|run| run.recipe.train_size = Some(80)),
        key(paper(), &|run| drop(run.method.numbers.insert("fisher_seed".into(), 7.into()))),
        key(run("child-lowest", &[("p", 0.3.into())]), &same),
        key(run("child-random", &[("p", 0.3.into())]), &same),
        key(run("child-random", &[("p", 0.3.into()), ("mask_seed", 7.into())]), &same),
        key(code(), &same),
        key(code(), &|run| run.recipe.dropout = Some(0.3)),
        key(code(), &|run| run.recipe.batch_size = 16),
        key(code(), &|run| run.recipe.max_grad_norm = 0.1),
        key(code(), &|run| run.recipe.shuffle = false),
        // Mixout quiets all dropout but that before the head, HyPe all of it.
        key(with("child-d+mixout", "mix", 0.5.into()), &same),
        key(with("child-d+hype", "hype_sigma", 1e-5.into()), &same),
        // Where the pass starts.
        key(with("child-d+noisytune", "noisytune_lambda", 0.1.into()), &same),
        key(with("child-d+noisytune", "noisytune_lambda", 0.2.into()), &same),
        key(with("child-d+reinit", "reinit_layers", 0.into()), &same),
        key(with("child-d+reinit", "reinit_layers", 1.into()), &same),
        key(run("fish", &[("keep", 0.2.into())]), &same),
        key(run("fish", &[("keep", 0.3.into())]), &same),
        key(run("fish", &[("keep", 0.2.into()), ("fish_samples", 16.into())]), &same),
    ];
    let distinct: std::collections::BTreeSet<&String> = keys.iter().collect();
    assert_eq!(distinct.len(), keys.len(), "{keys:?}");
    assert_eq!(key(with("child-d+r3f", "r3f_eps", 0.1.into()), &same), keys[8], "R3F has no part in the pass");
}

/// A Fisher pass with the head of another seed leaves no trace: the run is the same when the mask lies there already.
#[test]
fn a_run_is_the_same_whether_its_child_network_is_made_or_found() {
    let example = Example::new_head();
    for mode in ["child-d", "child-d+reinit", "child-d+noisytune"] {
        let mut run = lively(mode);
        run.method.numbers.insert("fisher_seed".into(), 7.into());
        let folder = Folder::new();
        let made = outcome(train_on(&example, &mut example.subject(&run), &run, &folder, None));
        let found = outcome(train_on(&example, &mut example.subject(&run), &run, &folder, None));
        assert_eq!(made, found, "{mode}");
    }
}

/// HyPe without noise is vanilla without dropout, unless a rate is written down; of a combination that R-Drop is in, every
/// rate stays.
#[test]
fn dropout_is_zero_where_a_method_wants_it_and_the_recipe_does_not_say_otherwise() {
    let example = Example::new_head();
    let steps = |mode: &str, numbers: &[(&str, serde_json::Value)], dropout: Option<f64>| {
        let (mut run, folder) = (run(mode, numbers), Folder::new());
        run.recipe.dropout = dropout;
        train_on(&example, &mut example.subject(&run), &run, &folder, None);
        folder.steps()
    };
    let silent = [("hype_sigma", 0.0.into()), ("rdrop_alpha", 0.0.into())];
    let (own, zero) = (steps("vanilla", &[], None), steps("vanilla", &[], Some(0.0)));
    assert_ne!(own, zero, "the model has dropout");
    assert_eq!(steps("hype", &silent[..1], None), zero);
    assert_eq!(steps("hype", &silent[..1], Some(0.1)), own, "the model's rates, written down");
    assert_eq!(steps("dps-dense", &[("dps_drop", 0.0.into())], None), zero);
    assert_ne!(steps("r-drop", &silent[1..], None), steps("r-drop", &silent[1..], Some(0.0)));
    assert_eq!(steps("hype+r-drop", &silent, None), steps("r-drop", &silent[1..], None));

    let mut subject = example.subject(&run("mixout", &[]));
    subject.quiet(crate::method::Dropout::HeadOnly);
    assert_eq!(subject.dropout(), [0.0, 0.0, 0.1], "before the head, where mixout does not stand in");
}

/// A checkpoint of each family, and every method on it: it trains, and something has moved.
#[test]
fn every_method_trains_every_family() {
    let families =
        ["roberta", "electra", "distilbert", "albert", "xlnet", "deberta-v3", "deberta-v2", "modernbert-mean"];
    for family in families {
        let example = Example::family(family);
        for mode in modes() {
            let mut run = lively(mode);
            run.recipe.max_steps = Some(3);
            let (mut subject, folder) = (example.subject(&run), Folder::new());
            let start = subject.arena.theta.copy();
            let outcome = outcome(train_on(&example, &mut subject, &run, &folder, None));
            assert!(!start.equal(&subject.arena.theta), "{family}, {mode}: nothing moved");
            let note = outcome.mask.filter(|_| mode == "child-d");
            assert_eq!(note.is_some(), mode == "child-d");
            if let Some(note) = note {
                let mask = Mask::read(&folder.places().masks.join(format!("{}.mask", note.key))).expect("a mask");
                let encoder = subject.arena.layout.encoder();
                let covered: Vec<_> = mask.segments.iter().map(|segment| segment.name.as_str()).collect();
                assert_eq!(covered, encoder.iter().map(|part| part.name.as_str()).collect::<Vec<_>>(), "{family}");
            }
            let adapted = subject.arena.layout.parts.iter().any(|part| part.role == Role::Adapter);
            assert_eq!(adapted, mode == "lora", "{family}, {mode}");
        }
    }
}
