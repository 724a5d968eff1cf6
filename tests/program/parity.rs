//! Training equals PyTorch and transformers, step by step. The programs that made the numbers: tests/parity/make.py, and
//! tests/parity/methods.py for all methods but vanilla and child-d.

use super::sandbox::{Sandbox, as_regression, project, tiny_sweep};

/// 50 steps as the program under test made them.
struct Trained {
    losses: Vec<f64>,
    rates: Vec<f64>,
    norms: Vec<f64>,
    record: serde_json::Value,
    /// Kept entries of each tensor of the mask, where there is one.
    kept: Vec<u64>,
}

fn train(mode: &str, table: &str, regression: bool) -> Trained {
    let grid = format!("mode = [\"{mode}\"]\nseed = [1]\n{table}");
    let train = "epochs = 3\nmax_steps = 50\nlr = 2e-3\nwarmup = 0.1\nweight_decay = 0.1\ndropout = 0.0\n\
                 shuffle = false\nlog_every = 1";
    let mut text = tiny_sweep(&grid, train);
    if regression {
        text = as_regression(text);
    }
    let sandbox = Sandbox::with(&text);
    sandbox.expect(0, &["run", "sweep.toml", "--devices", "cpu", "--slots-per-device", "2"]);
    let record = sandbox.records().pop().expect("a record");
    let id = record["id"].as_str().expect("an id");
    let csv = std::fs::read_to_string(sandbox.path(&format!("results/runs/{id}/steps.csv"))).expect("steps.csv");
    assert_eq!(csv.lines().next(), Some("step,loss,learning_rate,gradient_norm,examples,seconds"));
    let column = |n: usize| -> Vec<f64> {
        csv.lines().skip(1).map(|line| line.split(',').nth(n).and_then(|x| x.parse().ok()).expect("a number")).collect()
    };
    assert_eq!(column(4).last(), Some(&400.0), "examples");
    let mask = record["end"]["done"]["mask"]["key"].as_str().map(|key| {
        sweep::record::mask::Mask::read(&sandbox.path(&format!("results/masks/{key}.mask"))).expect("a mask")
    });
    let mut kept = Vec::new();
    if let Some(mask) = mask {
        let mut from = 0;
        for segment in &mask.segments {
            kept.push((from..from + segment.len).filter(|&i| mask.get(i)).count() as u64);
            from += segment.len;
        }
    }
    Trained { losses: column(1), rates: column(2), norms: column(3), record, kept }
}

/// Everything that the PyTorch program wrote down about a run.
#[track_caller]
fn assert_equal(found: &Trained, run: &str) {
    let text = std::fs::read_to_string(project().join("tests/parity/expected.json")).expect("expected.json");
    let all: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let expected = &all[run];
    assert_close(&found.losses, &expected["losses"], "loss");
    assert_close(&found.norms, &expected["norms"], "gradient norm");
    assert_close(&found.rates, &expected["rates"], "learning rate");
    let kept: Vec<u64> = serde_json::from_value(expected["kept"].clone()).expect("counts");
    assert_eq!(found.kept, kept, "kept entries of each tensor");
    let done = &found.record["end"]["done"];
    let score = done["dev"][done["metric"].as_str().expect("a metric")].as_f64().expect("a score");
    let expected = expected["score"].as_f64().expect("a score");
    assert!((score - expected).abs() < 1e-4, "dev score {score} instead of {expected}");
}

#[track_caller]
fn assert_close(found: &[f64], expected: &serde_json::Value, what: &str) {
    let expected: Vec<f64> = serde_json::from_value(expected.clone()).expect("a list");
    assert_eq!(found.len(), expected.len(), "{what}");
    for (step, (a, b)) in found.iter().zip(&expected).enumerate() {
        assert!((a - b).abs() <= 1e-4 * b.abs(), "{what} at step {}: {a} instead of {b}", step + 1);
    }
}

#[test]
fn fifty_steps_of_vanilla_are_those_of_pytorch() {
    assert_equal(&train("vanilla", "", false), "vanilla");
}

#[test]
fn fifty_steps_of_a_regression_are_those_of_pytorch() {
    assert_equal(&train("vanilla", "", true), "regression");
}

#[test]
fn fifty_steps_of_child_d_as_in_the_paper_are_those_of_pytorch() {
    assert_equal(&train("child-d", "p = [0.3]", false), "child-d paper");
}

#[test]
fn fifty_steps_of_child_d_as_the_authors_program_are_those_of_pytorch() {
    assert_equal(&train("child-d", "p = [0.3]\n[mode.child-d]\nfidelity = \"code\"", false), "child-d code");
}

/// Losses in bf16 beside those under PyTorch's autocast (tests/parity/precision.py). Both round the factors of every
/// product, but sum products in another order, so they agree as far as bf16 does.
#[test]
fn fifty_steps_in_bf16_are_those_of_pytorch_under_autocast() {
    let text = std::fs::read_to_string(project().join("tests/parity/precision.json")).expect("precision.json");
    let expected: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let text = std::fs::read_to_string(project().join("tests/parity/expected.json")).expect("expected.json");
    let exact: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for (run, regression) in [("vanilla", false), ("regression", true)] {
        let found = train("vanilla", "precision = \"bf16\"", regression);
        let losses =
            |of: &serde_json::Value| -> Vec<f64> { serde_json::from_value(of[run]["losses"].clone()).expect("a list") };
        for (step, (found, expected)) in found.losses.iter().zip(losses(&expected)).enumerate() {
            assert!((found / expected - 1.0).abs() < 0.03, "{run}, step {}: {found} for {expected}", step + 1);
        }
        assert!((found.losses[0] / losses(&exact)[0] - 1.0).abs() > 1e-6, "{run}: nothing is rounded");
        assert_eq!(found.record["run"]["recipe"]["precision"], "bf16");
    }
}

/// The runs of tests/parity/methods.py: their names there, the methods, and their numbers.
const METHODS: &[(&str, &str, &str)] = &[
    ("vanilla", "vanilla", ""),
    ("child-f", "child-f", "p = 0.3"),
    ("child-random", "child-random", "p = 0.3"),
    ("child-lowest", "child-lowest", "p = 0.3"),
    ("prune", "prune", "p = 0.3"),
    ("weight-decay", "weight-decay", "pull = 2.0"),
    ("top-k", "top-k", "top_layers = 1"),
    ("mixout column", "mixout", "mix = 0.5"),
    ("mixout weight", "mixout", "mix = 0.5\ngrain = \"weight\""),
    ("recadam sigmoid", "recadam", "t0 = 10\ngamma = 20"),
    ("recadam constant", "recadam", "anneal = \"constant\"\nanneal_w = 0.5\ngamma = 20"),
    ("top-k none", "top-k", "top_layers = 0"),
    ("recadam linear", "recadam", "anneal = \"linear\"\nt0_ratio = 0.5\ngamma = 20"),
    ("r3f uniform", "r3f", "r3f_eps = 0.05"),
    ("r3f normal", "r3f", "r3f_eps = 0.05\nr3f_noise = \"normal\""),
    ("r-drop+hype paper", "hype+r-drop", "hype_sigma = 0.05"),
    ("r-drop+hype code", "r-drop+hype", "hype_sigma = 0.05\nfidelity = \"code\""),
    ("noisytune", "noisytune", "noisytune_lambda = 0.5"),
    ("hype normal", "hype", "hype_sigma = 0.05"),
    ("hype uniform", "hype", "hype_sigma = 0.05\nhype_noise = \"uniform\""),
    ("dps-dense", "dps-dense", "dps_ratio = 0.2"),
    ("dps-mix", "dps-mix", "dps_ratio = 0.2"),
    ("l2-sp", "l2-sp", "sp_alpha = 0.5\nsp_beta = 0.05"),
    ("bitfit", "bitfit", ""),
    ("lora", "lora", "rank = 4\nlora_alpha = 8"),
    ("fish", "fish", "keep = 0.3"),
    ("llrd", "llrd", "layer_decay = 0.7"),
    ("reinit", "reinit", "reinit_layers = 1"),
    ("sage", "sage", ""),
    ("child-d+r3f", "child-d+r3f", "p = 0.3\nr3f_eps = 0.05"),
    ("child-f+weight-decay", "child-f+weight-decay", "p = 0.3\npull = 2.0"),
    ("mixout+child-d", "mixout+child-d", "p = 0.3\nmix = 0.5"),
];

/// Trains 30 steps of these runs in one sweep, each under its name as an alias, and compares every step.
fn thirty_steps(runs: &[(&str, &str, &str)], suffix: &str, change: impl FnOnce(String) -> String) {
    let names: Vec<String> = runs.iter().map(|(name, ..)| format!("\"as {name}\"")).collect();
    let tables: String = runs
        .iter()
        .map(|(name, base, numbers)| format!("[mode.\"as {name}\"]\nbase = \"{base}\"\n{numbers}\n"))
        .collect();
    let train = "epochs = 3\nmax_steps = 30\nlr = 2e-3\nwarmup = 0.1\nweight_decay = 0.1\ndropout = 0.0\n\
                 shuffle = false\nlog_every = 1";
    let grid = format!("mode = [{}]\n{tables}", names.join(", "));
    let sandbox = Sandbox::with(&change(tiny_sweep(&grid, train)));
    sandbox.expect(0, &["run", "sweep.toml", "--devices", "cpu", "--slots-per-device", "2"]);
    let text = std::fs::read_to_string(project().join("tests/parity/methods.json")).expect("methods.json");
    let expected: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let records = sandbox.records();
    assert_eq!(records.len(), runs.len());
    for (name, ..) in runs {
        let is_named = |record: &&serde_json::Value| record["run"]["mode"] == format!("as {name}");
        let record = records.iter().find(is_named).expect("a record");
        let id = record["id"].as_str().expect("an id");
        let csv = std::fs::read_to_string(sandbox.path(&format!("results/runs/{id}/steps.csv"))).expect("steps.csv");
        let column = |n: usize| -> Vec<f64> {
            let lines = csv.lines().skip(1);
            lines.map(|line| line.split(',').nth(n).and_then(|x| x.parse().ok()).expect("a number")).collect()
        };
        let expected = &expected[format!("{name}{suffix}")];
        assert_close(&column(1), &expected["losses"], &format!("{name}: loss"));
        assert_close(&column(3), &expected["norms"], &format!("{name}: gradient norm"));
    }
}

#[test]
fn thirty_steps_of_every_method_are_those_of_pytorch() {
    thirty_steps(METHODS, "", |text| text);
    let named = |name: &str| METHODS.iter().any(|(_, base, _)| base.split('+').any(|part| part == name));
    for method in sweep::method::METHODS {
        assert!(named(method.name), "{} has no PyTorch program", method.name);
    }
}

/// The checkpoint of the classes has no head for values: what is new is drawn, and is neither anchored nor disturbed.
#[test]
fn thirty_steps_with_a_new_head_are_those_of_pytorch() {
    let heads = ["vanilla", "weight-decay", "recadam sigmoid", "l2-sp", "noisytune", "mixout column"];
    let runs: Vec<_> = METHODS.iter().copied().filter(|(name, ..)| heads.contains(name)).collect();
    assert_eq!(runs.len(), heads.len());
    thirty_steps(&runs, " new head", |text| as_regression(text).replace("tiny-bert-regression", "tiny-bert"));
}

#[test]
fn thirty_steps_of_a_regression_by_divergence_are_those_of_pytorch() {
    let runs: Vec<_> =
        METHODS.iter().copied().filter(|(name, ..)| ["r3f uniform", "r-drop+hype paper"].contains(name)).collect();
    thirty_steps(&runs, " regression", as_regression);
}

/// Numbers with which methods do nothing.
const NOTHING: &str = "noisytune_lambda = 0.0\nr3f_lambda = 0.0\nmix = 0.0\nhype_sigma = 0.0\ndps_drop = 0.0\n\
                       anneal = \"constant\"\nlayer_decay = 1.0";

/// The head, the data order and dropout of a seed are the same for every method, even after a Fisher pass, a draw or a
/// second forward pass.
#[test]
fn child_networks_of_everything_equal_vanilla_bit_for_bit() {
    let train = "epochs = 2\nlr = 1e-3\nlog_every = 1\ndropout = 0.1";
    let modes = [
        "vanilla",
        "child-f",
        "child-d",
        "child-random",
        "child-lowest",
        "prune",
        "child-f+child-d",
        "noisytune",
        "r3f",
        "mixout",
        "hype",
        "dps-dense",
        "dps-mix",
        "recadam",
        "llrd",
    ];
    let grid = format!("mode = {modes:?}\np = 1.0\nseed = 5\n{NOTHING}");
    let sandbox = Sandbox::with(&tiny_sweep(&grid, train));
    sandbox.expect(0, &["run", "sweep.toml"]);
    let losses: Vec<Vec<String>> = sandbox
        .records()
        .iter()
        .map(|record| {
            let id = record["id"].as_str().expect("an id");
            let csv =
                std::fs::read_to_string(sandbox.path(&format!("results/runs/{id}/steps.csv"))).expect("steps.csv");
            csv.lines().map(|line| line.split(',').take(4).collect::<Vec<_>>().join(",")).collect()
        })
        .collect();
    assert_eq!(losses.len(), modes.len());
    assert!(losses[0].len() > 20);
    for (record, losses_of) in sandbox.records().iter().zip(&losses) {
        assert_eq!(losses_of, &losses[0], "{}", record["run"]["mode"]);
    }
}
