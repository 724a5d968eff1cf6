//! Training equals PyTorch and transformers, step by step. The program that made the numbers: tests/parity/make.py.

use super::sandbox::{Sandbox, project, tiny_sweep};

/// Loss and gradient norm of each step, as the program under test wrote them.
fn steps(mode: &str, table: &str, regression: bool) -> (Vec<f64>, Vec<f64>, serde_json::Value) {
    let grid = format!("mode = [\"{mode}\"]\nseed = [1]\n{table}");
    let train = "epochs = 3\nmax_steps = 50\nlr = 2e-3\nwarmup = 0.1\nweight_decay = 0.1\ndropout = 0.0\nshuffle = false\nlog_every = 1";
    let mut text = tiny_sweep(&grid, train);
    if regression {
        text = text.replace("tiny-bert", "tiny-bert-regression").replace(
            "label = \"label\"\nlabels = [\"no\", \"yes\"]\nmetric = \"accuracy\"",
            "label = \"value\"\nmetric = \"pearson\"",
        );
    }
    let sandbox = Sandbox::with(&text);
    sandbox.expect(0, &["run", "sweep.toml", "--devices", "cpu", "--slots-per-device", "1"]);
    let record = sandbox.records().pop().expect("a record");
    let id = record["id"].as_str().expect("an id");
    let csv = std::fs::read_to_string(sandbox.path(&format!("results/runs/{id}/steps.csv"))).expect("steps.csv");
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("step,loss,learning_rate,gradient_norm,examples,seconds"));
    let column = |n: usize| -> Vec<f64> {
        csv.lines().skip(1).map(|line| line.split(',').nth(n).and_then(|x| x.parse().ok()).expect("a number")).collect()
    };
    (column(1), column(3), record)
}

fn expected(run: &str) -> serde_json::Value {
    let text = std::fs::read_to_string(project().join("tests/parity/expected.json")).expect("expected.json");
    let all: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    all[run].clone()
}

#[track_caller]
fn assert_close(found: &[f64], expected: &serde_json::Value, what: &str) {
    let expected: Vec<f64> =
        expected.as_array().expect("a list").iter().filter_map(serde_json::Value::as_f64).collect();
    assert_eq!(found.len(), expected.len(), "{what}");
    for (step, (a, b)) in found.iter().zip(&expected).enumerate() {
        assert!((a - b).abs() <= 1e-4 * b.abs(), "{what} at step {}: {a} instead of {b}", step + 1);
    }
}

#[test]
fn fifty_steps_of_vanilla_are_those_of_pytorch() {
    let (losses, norms, _) = steps("vanilla", "", false);
    let expected = expected("vanilla");
    assert_close(&losses, &expected["losses"], "loss");
    assert_close(&norms, &expected["norms"], "gradient norm");
}

#[test]
fn fifty_steps_of_a_regression_are_those_of_pytorch() {
    let (losses, _, _) = steps("vanilla", "", true);
    assert_close(&losses, &expected("regression")["losses"], "loss");
}

#[test]
fn fifty_steps_of_child_d_as_in_the_paper_are_those_of_pytorch() {
    let (losses, norms, record) = steps("child-d", "p = [0.3]", false);
    let expected = expected("child-d paper");
    assert_close(&losses, &expected["losses"], "loss");
    assert_close(&norms, &expected["norms"], "gradient norm");
    let mask = &record["end"]["done"]["mask"];
    assert_eq!((&mask["kept"], &mask["of"]), (&expected["kept"], &expected["of"]));
}

#[test]
fn fifty_steps_of_child_d_as_the_authors_program_are_those_of_pytorch() {
    let (losses, norms, record) = steps("child-d", "p = [0.3]\n[mode.child-d]\nfidelity = \"code\"", false);
    let expected = expected("child-d code");
    assert_close(&losses, &expected["losses"], "loss");
    assert_close(&norms, &expected["norms"], "gradient norm");
    assert_eq!(record["end"]["done"]["mask"]["kept"], expected["kept"]);
}

/// The head, the data order and dropout of a seed are the same for every method, even after a Fisher pass.
#[test]
fn child_networks_of_everything_equal_vanilla_bit_for_bit() {
    let train = "epochs = 2\nlr = 1e-3\nlog_every = 1";
    let grid = "mode = [\"vanilla\", \"child-f\", \"child-d\"]\np = [1.0]\nseed = [5]";
    let sandbox = Sandbox::with(&tiny_sweep(grid, train).replace("tiny-bert\"", "tiny-bert-regression\""));
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
    assert_eq!(losses.len(), 3);
    assert!(losses[0].len() > 20);
    assert_eq!(losses[0], losses[1]);
    assert_eq!(losses[0], losses[2]);
}
