//! Runs that are trained side by side in one program: what they give, what their records say, and what a run that fails
//! does to its neighbours.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::sandbox::{Said, Sandbox, tiny_sweep};

fn fused(sandbox: &Sandbox, code: i32) -> Said {
    sandbox.expect(code, &["run", "sweep.toml", "--fuse", "4", "--slots-per-device", "1"])
}

fn group(record: &Value) -> Vec<&str> {
    record["made"]["group"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn mode(record: &Value) -> &str {
    record["run"]["mode"].as_str().expect("a mode")
}

/// Mean losses of the epochs.
fn losses(record: &Value) -> Vec<f64> {
    let epochs = record["end"]["done"]["epochs"].as_array().expect("epochs");
    epochs.iter().map(|epoch| epoch["loss"].as_f64().expect("a number")).collect()
}

#[test]
fn without_dropout_a_fused_sweep_is_the_sweep_and_its_records_name_the_groups() {
    let grid = "mode = [\"vanilla\", \"child-f\", \"child-d\", \"r3f\"]\nseed = [1, 2]";
    let text = tiny_sweep(grid, "epochs = 2\nlr = 1e-3\ndropout = 0.0\ntrain_size = 24\ndev_size = 16");
    let (alone, together) = (Sandbox::with(&text), Sandbox::with(&text));
    alone.expect(0, &["run", "sweep.toml", "--slots-per-device", "1"]);
    let said = fused(&together, 0);
    assert!(said.out.contains("8 done now"), "{}", said.out);
    let (alone, records) = (alone.records(), together.records());
    assert_eq!(records.len(), 8);
    for (record, alone) in records.iter().zip(&alone) {
        assert_eq!(record["id"], alone["id"]);
        assert!(group(alone).is_empty());
        let group = group(record);
        if mode(record) == "r3f" {
            assert!(group.is_empty(), "its loss is made of several passes");
        } else {
            assert!(group.len() > 1 && group.contains(&record["id"].as_str().expect("an id")), "{group:?}");
            assert!(group.len() <= 4);
        }
        assert_eq!(record["end"]["done"]["mask"], alone["end"]["done"]["mask"]);
        for (own, alone) in losses(record).iter().zip(losses(alone)) {
            assert!((own - alone).abs() < 1e-3 * alone, "{}: {own} instead of {alone}", mode(record));
        }
    }
    // Nothing is left to do, with or without groups.
    assert!(fused(&together, 0).out.contains("0 done now, 8 done before"));
}

#[test]
fn a_run_that_diverges_fails_alone() {
    let grid = "mode = [\"vanilla\", \"wild\", \"child-f\"]\n[mode.wild]\nbase = \"recadam\"\ngamma = 1e30\nt0 = 2";
    let text = tiny_sweep(grid, "epochs = 2\nwarmup = 0.0\ntrain_size = 24\ndev_size = 16");
    let sandbox = Sandbox::with(&text);
    let said = fused(&sandbox, 2);
    assert!(said.out.contains("2 done now") && said.out.contains("1 failed"), "{}", said.out);
    for record in sandbox.records() {
        assert_eq!(group(&record).len(), 3);
        let is_wild = mode(&record) == "wild";
        assert_eq!(record["end"]["failed"]["diverged"].is_object(), is_wild, "{record}");
        assert_eq!(record["end"]["done"].is_object(), !is_wild);
    }
}

#[test]
fn a_fused_sweep_that_is_stopped_goes_on_as_if_nothing_had_been() {
    let text = tiny_sweep(
        "mode = [\"vanilla\", \"child-f\"]\nseed = [1, 2]",
        "epochs = 15\nlog_every = 1\ntrain_size = 24\ndev_size = 8",
    );
    let (calm, stopped) = (Sandbox::with(&text), Sandbox::with(&text));
    fused(&calm, 0);
    let mut command = stopped.command(&["run", "sweep.toml", "--fuse", "4", "--slots-per-device", "1"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    let has_begun =
        || super::sandbox::files_below(&stopped.path("results")).iter().any(|file| file.ends_with("steps.csv"));
    let deadline = Instant::now() + Duration::from_secs(60);
    while !(stopped.path("results").is_dir() && has_begun()) {
        assert!(Instant::now() < deadline, "no step was made");
        std::thread::sleep(Duration::from_millis(20));
    }
    // SAFETY: a plain system call on a child that is not waited for yet.
    unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGINT) };
    assert_eq!(child.wait().expect("an end").code(), Some(3));
    assert_eq!(stopped.records().len(), 0, "it was stopped too late to show anything");
    fused(&stopped, 0);
    let ends =
        |sandbox: &Sandbox| -> Vec<Value> { sandbox.records().iter().map(|record| record["end"].clone()).collect() };
    assert_eq!(ends(&stopped), ends(&calm));
    for record in stopped.records() {
        assert_eq!((record["made"]["resumed"].as_u64(), group(&record).len()), (Some(1), 4));
    }
}
