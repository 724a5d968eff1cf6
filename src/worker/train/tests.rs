//! What must hold of a run whatever its method: nothing moves that should not, a run put aside goes on bit for bit, and
//! a run leaves nothing behind for the next one.

use tch::{Kind, Tensor, no_grad};

use super::example::{Example, run};
use super::*;
use crate::arena::{Stretch, gather};
use crate::method::{METHODS, Part, Role};
use crate::record::mask::Mask;

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
        Places { folder: within("run"), cache: within("cache"), masks: within("masks"), log_every: 1, id: "x".into() }
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
    for fidelity in ["paper", "code"] {
        let (run, folder) = (child_d(0.3, fidelity), Folder::new());
        let mut subject = example.subject(&run);
        let outcome = outcome(train_on(&example, &mut subject, &run, &folder, None));
        let note = outcome.mask.expect("a mask");
        let mask = Mask::read(&folder.places().masks.join(format!("{}.mask", note.key))).expect("a mask file");
        let encoder = subject.arena.layout.encoder();
        let of = |flat: &Tensor| -> Vec<f32> { Vec::try_from(gather(&encoder, flat)).expect("floats") };
        let (before, after) = (of(&subject.arena.start), of(&subject.arena.theta));
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
fn a_run_put_aside_goes_on_bit_for_bit_by_every_method() {
    let example = Example::values();
    for mode in modes() {
        let run = lively(mode);
        let (calm, broken) = (Folder::new(), Folder::new());
        let mut undisturbed = example.subject(&run);
        let expected = outcome(train_on(&example, &mut undisturbed, &run, &calm, None));
        assert_eq!(expected.steps, 20);
        for pause_after in [3, 8] {
            let paused = train_on(&example, &mut example.subject(&run), &run, &broken, Some(pause_after));
            assert!(matches!(paused, Ending::Paused { .. }), "{mode}: {paused:?}");
        }
        // In another process nothing is warm.
        let mut resumed = example.subject(&run);
        let found = outcome(train_on(&example, &mut resumed, &run, &broken, None));
        assert_eq!(found, expected, "{mode}");
        assert!(resumed.arena.theta.equal(&undisturbed.arena.theta), "{mode}");
        assert_eq!(broken.steps(), calm.steps(), "{mode}");
    }
}

#[test]
fn a_run_leaves_nothing_behind_for_the_next_one() {
    let example = Example::values();
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
        subject.reset(plain.seed, plain.recipe.dropout);
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
