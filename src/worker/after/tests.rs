//! Stages on the tiny model: what they find, that they leave θ alone, and that no training is done twice.

use tch::Tensor;

use super::*;
use crate::plan::{After, Eval, Input, Measure, Probe, SharpnessSettings, VarianceSettings};
use crate::record::{Elsewhere, Way};
use crate::train::example::{Example, run};

/// Remembers the phases, and asks for a pause when asked so many times.
#[derive(Default)]
struct Ear {
    phases: Vec<&'static str>,
    asked: u32,
    pause_at: Option<u32>,
}

impl Listener for Ear {
    fn phase(&mut self, name: &'static str) {
        self.phases.push(name);
    }

    fn step(&mut self, _: u32, _: u32, _: f64, _: f64) {}

    fn pause(&mut self) -> bool {
        self.asked += 1;
        self.pause_at == Some(self.asked)
    }
}

/// A run of the tiny model with one more task of its own kind.
struct Bench {
    example: Example,
    others: Vec<(Task, Arc<Loaded>)>,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        let example = Example::classes();
        let other = Task { name: "twins".into(), ..example.task.clone() };
        let others = vec![(other, Arc::new(example.data.clone()))];
        Bench { example, others, folder: tempfile::tempdir().expect("a folder") }
    }

    fn complete(&self, run: &Run, keep: bool, ear: &mut Ear) -> (Ending, Tensor) {
        let places = Places {
            folder: self.folder.path().join("run"),
            cache: self.folder.path().join("cache"),
            masks: self.folder.path().join("masks"),
            log_every: 0,
            scores_at_end: false,
            id: run.id().0,
            until: None,
        };
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/tiny-bert");
        let stages = Stages { model: &model, others: &self.others, keep, micro_batch: None };
        let mut subject = self.example.subject(run);
        let (task, data) = (&self.example.task, &self.example.data);
        let ending = complete(run, task, &mut subject, data, &places, &stages, ear).expect("an ending");
        (ending, subject.arena.theta.copy())
    }

    fn outcome(&self, run: &Run) -> Outcome {
        match self.complete(run, true, &mut Ear::default()).0 {
            Ending::Done(outcome) => outcome,
            other => panic!("{other:?}"),
        }
    }
}

fn twins() -> Input {
    Input { name: "twins".into(), hash: "twins".into() }
}

fn with(mode: &str, after: After) -> Run {
    let mut run = run(mode, &[]);
    run.recipe.max_steps = Some(8);
    Run { after, ..run }
}

fn eval(classes: Vec<Option<u32>>) -> After {
    let eval = Eval { task: twins(), metric: "accuracy".into(), classes };
    After { eval: vec![eval], ..After::default() }
}

fn probe() -> Probe {
    Probe { tasks: vec![twins()], lr: 1e-2, epochs: 4, batch_size: 16, train_size: None }
}

fn accuracy(elsewhere: &Elsewhere) -> f64 {
    elsewhere.dev["accuracy"].expect("a score")
}

#[test]
fn classes_are_mapped_and_a_class_without_a_counterpart_is_wrong() {
    let bench = Bench::new();
    let outcome = bench.outcome(&with("vanilla", eval(vec![Some(0), Some(1)])));
    let own = outcome.dev["accuracy"].expect("a score");
    assert_eq!(accuracy(&outcome.elsewhere[0]), own);
    assert!(own > 0.0 && own < 1.0, "{own}");
    let swapped = bench.outcome(&with("vanilla", eval(vec![Some(1), Some(0)])));
    assert!((accuracy(&swapped.elsewhere[0]) - (1.0 - own)).abs() < 1e-12);
    let halves = [vec![Some(0), None], vec![None, Some(1)]].map(|classes| {
        let outcome = bench.outcome(&with("vanilla", eval(classes)));
        accuracy(&outcome.elsewhere[0])
    });
    assert!((halves[0] + halves[1] - own).abs() < 1e-12, "{halves:?} {own}");
}

#[test]
fn halves_are_the_even_and_the_odd_places_of_the_dev_set() {
    let bench = Bench::new();
    let outcome = bench.outcome(&with("vanilla", After::default()));
    let [even, odd] = outcome.halves.expect("halves").map(|half| half["accuracy"].expect("a score"));
    let n = f64::from(outcome.dev_examples);
    let mean = ((n / 2.0).ceil() * even + (n / 2.0).floor() * odd) / n;
    assert!((mean - outcome.dev["accuracy"].expect("a score")).abs() < 1e-12);
}

#[test]
fn stages_share_one_training_and_leave_theta_alone() {
    let bench = Bench::new();
    let plain = with("child-f", After::default());
    let (first, theta) = bench.complete(&plain, true, &mut Ear::default());
    let Ending::Done(first) = first else { panic!() };
    assert!(first.distance.iter().all(|layer| layer.moved > 0.0 && layer.from > 0.0));
    let all = After {
        probe: Some(probe()),
        measure: Some(Measure {
            sharpness: Some(SharpnessSettings { examples: 16, iterations: 2, rho: 0.05, sigma: 0.01, directions: 2 }),
            variance: Some(VarianceSettings { p: vec![0.5], batches: 2 }),
        }),
        transfer: vec![twins()],
        ..eval(vec![Some(0), Some(1)])
    };
    let staged = Run { after: all, ..plain.clone() };
    assert_eq!(staged.training_id(), plain.training_id());
    assert_ne!(staged.id(), plain.id());
    let mut ear = Ear::default();
    let (second, after) = bench.complete(&staged, true, &mut ear);
    let Ending::Done(second) = second else { panic!() };
    // The only training is that of the transfer, whose own phases follow its name.
    let before: Vec<_> = ear.phases.iter().copied().take_while(|phase| *phase != "transfer").collect();
    assert_eq!(before, ["evaluate", "probe", "measure"]);
    assert_eq!((&second.dev, &second.epochs, &second.distance), (&first.dev, &first.epochs, &first.distance));
    assert_eq!(after, theta);
    assert_eq!(second.elsewhere.iter().map(|e| e.way).collect::<Vec<_>>(), [Way::Eval, Way::Probe, Way::Transfer]);
    let transfer = &second.elsewhere[2];
    assert!(transfer.source_after.is_some() && transfer.train_examples == first.train_examples);
}

#[test]
fn theta_is_kept_only_where_asked_for_and_a_damaged_one_is_made_anew() {
    let bench = Bench::new();
    let run = with("vanilla", eval(vec![Some(0), Some(1)]));
    let folder = bench.folder.path().join("cache/trained").join(run.training_id().0);
    let (first, theta) = bench.complete(&run, false, &mut Ear::default());
    assert!(!folder.exists());
    let _ = bench.complete(&run, true, &mut Ear::default());
    let path = folder.join("theta.safetensors");
    let whole = std::fs::read(&path).expect("kept");
    std::fs::write(&path, &whole[..whole.len() / 2]).expect("cut");
    let mut ear = Ear::default();
    let (again, anew) = bench.complete(&run, true, &mut ear);
    assert!(ear.phases.contains(&"train"));
    let (Ending::Done(first), Ending::Done(again)) = (first, again) else { panic!() };
    assert_eq!((first, theta), (again, anew));
    assert_eq!(std::fs::read(&path).expect("kept"), whole);
}

#[test]
fn a_run_that_is_put_aside_between_stages_does_not_train_again() {
    let bench = Bench::new();
    let after = After { probe: Some(probe()), ..eval(vec![Some(0), Some(1)]) };
    let run = with("vanilla", after);
    let (whole, _) = bench.complete(&run, false, &mut Ear::default());
    // Seven times between steps (not after the last one), then after the evaluation.
    let (paused, _) = bench.complete(&run, false, &mut Ear { pause_at: Some(8), ..Ear::default() });
    assert!(matches!(paused, Ending::Paused { step: 8 }), "{paused:?}");
    let mut ear = Ear::default();
    let (resumed, _) = bench.complete(&run, false, &mut ear);
    assert!(!ear.phases.contains(&"train"), "{:?}", ear.phases);
    let (Ending::Done(whole), Ending::Done(resumed)) = (whole, resumed) else { panic!() };
    assert_eq!(whole, resumed);
}

#[test]
fn a_probe_learns_what_the_encoder_knows() {
    let bench = Bench::new();
    let outcome = |epochs: u32| {
        let after = After { probe: Some(Probe { epochs, ..probe() }), ..After::default() };
        let mut run = with("vanilla", after);
        run.recipe.dropout = Some(0.0);
        accuracy(&bench.outcome(&run).elsewhere[0])
    };
    let (short, long) = (outcome(1), outcome(60));
    // Of 64 examples of two classes; which of the two is ahead is a matter of a few.
    assert!(short > 0.55 && long > 0.55, "{short} {long}");
}

/// Exact second derivatives in double precision: tests/reference/sharpness.py.
#[test]
fn sharpness_is_that_of_pytorch() {
    let text = include_str!("../../../tests/reference/sharpness.json");
    let expected: serde_json::Value = serde_json::from_str(text).expect("JSON");
    let number = |name: &str| expected[name].as_f64().expect("a number");
    let settings =
        SharpnessSettings { examples: 10_000, iterations: 200, rho: number("rho"), sigma: 1e-3, directions: 2 };
    let measure = Measure { sharpness: Some(settings), variance: None };
    let bench = Bench::new();
    let mut run = with("vanilla", After { measure: Some(measure), ..After::default() });
    // Where training begins: a rate of nothing moves nothing.
    run.recipe.lr = f64::MIN_POSITIVE;
    run.recipe.weight_decay = 0.0;
    let sharpness = bench.outcome(&run).sharpness.expect("sharpness");
    let near = |found: f64, name: &str, tolerance: f64| {
        let expected = number(name);
        assert!((found - expected).abs() < tolerance * expected.abs(), "{name}: {found}, not {expected}");
    };
    assert_eq!(sharpness.examples, 160);
    near(sharpness.loss, "loss", 1e-6);
    near(sharpness.rise_ascent, "rise_ascent", 1e-3);
    near(sharpness.eigenvalue, "eigenvalue", 0.03);
}

#[test]
fn the_variance_of_a_masked_update_is_that_of_theorem_1() {
    let settings = VarianceSettings { p: vec![0.1, 0.5, 1.0], batches: 128 };
    let measure = Measure { sharpness: None, variance: Some(settings) };
    let bench = Bench::new();
    let run = with("vanilla", After { measure: Some(measure), ..After::default() });
    let found = bench.outcome(&run).variance;
    let places: Vec<_> = found.iter().map(|v| (&*v.at, v.p)).collect();
    assert_eq!(places, ["start", "end"].map(|at| [(at, 0.1), (at, 0.5), (at, 1.0)]).concat());
    for three in found.chunks(3) {
        assert!((three[2].measured / three[2].closed - 1.0).abs() < 1e-6, "{three:?}");
        for variance in three {
            assert!((variance.measured / variance.closed - 1.0).abs() < 0.1, "{variance:?}");
        }
        assert!(three[0].measured > three[1].measured && three[1].measured > three[2].measured, "{three:?}");
    }
}
