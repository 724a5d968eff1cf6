//! A running sweep seen and steered from other terminals: what is said is true whatever happened to the coordinator.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::sandbox::{Sandbox, tiny_sweep};

/// Long runs, so that there is something to look at.
fn long(seeds: u32) -> Sandbox {
    let grid = format!("mode = [\"vanilla\"]\nseed = {{ from = 1, to = {seeds} }}");
    Sandbox::with_fake_trainer(&tiny_sweep(&grid, "max_steps = 100000"))
}

/// A coordinator that goes with its test.
struct Coordinator(Child);

impl Drop for Coordinator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(sandbox: &Sandbox, more: &[&str]) -> Coordinator {
    let arguments = [&["run", "sweep.toml", "--slots-per-device", "1"], more].concat();
    let mut command = sandbox.command(&arguments);
    Coordinator(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts"))
}

/// Looks until something is there; what takes longer than this is broken.
#[track_caller]
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "waited for {what} in vain");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn status(sandbox: &Sandbox) -> Value {
    let said = sandbox.expect(0, &["status", "tiny", "--json"]);
    serde_json::from_str(&said.out).expect("JSON")
}

/// The id of the run that is in training, once one is.
fn running(sandbox: &Sandbox) -> String {
    wait_for("a run that trains", || {
        if !sandbox.path("results/tiny/live.json").is_file() {
            return None;
        }
        let status = status(sandbox);
        let coordinator = &status["coordinators"][0];
        let slots = coordinator["slots"].as_array().filter(|_| coordinator["state"] == "running")?.clone();
        let run = slots.into_iter().find(|slot| slot["run"]["step"].as_u64() > Some(0))?;
        Some(run["run"]["id"].as_str()?.to_owned())
    })
}

fn other(sandbox: &Sandbox, than: &str) -> String {
    let manifest = std::fs::read_to_string(sandbox.path("results/tiny/manifest.json")).expect("a manifest");
    let manifest: Value = serde_json::from_str(&manifest).expect("JSON");
    let ids = manifest["runs"].as_array().expect("runs").iter().filter_map(|run| run[0].as_str());
    ids.rev().find(|id| *id != than).expect("another run").to_owned()
}

#[test]
fn a_sweep_is_seen_and_steered_from_another_terminal() {
    let sandbox = long(3);
    let mut coordinator = start(&sandbox, &[]);
    let first = running(&sandbox);
    let waiting = other(&sandbox, &first);

    let said = sandbox.expect(0, &["status"]).out;
    assert!(said.contains(&format!("1 running (process {} on ", coordinator.0.id())), "{said}");
    let said = sandbox.expect(0, &["status", "sweep.toml"]).out;
    assert!(said.contains("3 runs: 1 running, 2 waiting") && said.contains(&first[..10]), "{said}");

    let said = sandbox.expect(0, &["explain", &waiting[..12]]).out;
    assert!(said.contains("1 run starts before it; 1 of 1 slots are busy"), "{said}");
    assert!(said.contains("yes: it has no record") && said.contains(" recipe.lr"), "{said}");
    let said = sandbox.expect(0, &["explain", &first, "sweep.toml"]).out;
    assert!(said.contains("tiny: it runs since ") && said.contains("attempt 1 started in slot 0"), "{said}");
    assert!(said.contains("yes: it is new"), "{said}");

    let said = sandbox.expect(0, &["cancel", &waiting]).out;
    assert!(said.contains("it had not started; its record says that it was cancelled"), "{said}");
    let said = sandbox.expect(0, &["cancel", &first[..8]]).out;
    assert!(said.contains("it was stopped; its record says that it was cancelled"), "{said}");
    let said = sandbox.expect(1, &["cancel", &first]).err;
    assert!(said.contains("it neither runs nor waits here"), "{said}");
    let cancelled = |record: &Value| record["end"]["failed"] == "cancelled";
    wait_for("two records", || {
        (sandbox.records().iter().filter(|record| cancelled(record)).count() == 2).then_some(())
    });

    let last = running(&sandbox);
    let mut following = sandbox.command(&["logs", "-f", &last]).stderr(Stdio::piped()).spawn().expect("a start");
    let said = sandbox.expect(0, &["cancel", "--all"]).out;
    assert!(said.contains("sweep tiny: it starts no more runs"), "{said}");
    assert_eq!(coordinator.0.wait().expect("an end").code(), Some(3));
    following.wait().expect("it ends when nobody works on the run");
    let status = status(&sandbox);
    assert_eq!((status["failed"].as_u64(), status["left"].as_u64()), (Some(2), Some(1)));
    assert_eq!(status["coordinators"][0]["state"], "ended");
    assert_eq!(status["running"], Value::Null);
    let said = sandbox.expect(1, &["cancel", &last]).err;
    assert!(said.contains("nobody works on run") && said.contains("nothing to cancel"), "{said}");
    assert_eq!(std::fs::read_dir(sandbox.path("results/tiny/control")).expect("a folder").count(), 0);
    // What was cancelled stays so, until it is asked for.
    let said = sandbox.expect(0, &["explain", &first, "sweep.toml"]).out;
    assert!(said.contains("no: it failed before (cancelled)") && said.contains("--cause cancelled"), "{said}");
}

#[test]
fn a_coordinator_that_was_killed_is_never_said_to_run() {
    let sandbox = long(2);
    let mut coordinator = start(&sandbox, &[]);
    let id = running(&sandbox);
    coordinator.0.kill().expect("SIGKILL");
    coordinator.0.wait().expect("an end");
    let said = sandbox.expect(0, &["status"]).out;
    assert!(said.contains("died at ") && !said.contains("running"), "{said}");
    let said = sandbox.expect(0, &["status", "tiny"]).out;
    assert!(said.contains("2 runs: 2 left") && said.contains("`sweep run` goes on"), "{said}");
    let said = sandbox.expect(0, &["explain", &id]).out;
    assert!(said.contains("it has no record, and nobody works on it"), "{said}");
    let said = sandbox.expect(0, &["logs", "-f", &id]);
    assert!(said.err.contains("nobody works on it now"), "{}", said.err);
    let said = sandbox.expect(1, &["cancel", "--all"]).err;
    assert!(said.contains("nobody works on any sweep"), "{said}");

    // A request that a dead coordinator never heard is not carried out by the next one.
    let control = sandbox.path("results/tiny/control");
    std::fs::create_dir_all(&control).expect("a folder");
    std::fs::write(control.join("some_host-1-x-1-0.json"), b"\"stop\"").expect("a file");
    let mut coordinator = start(&sandbox, &[]);
    running(&sandbox);
    assert!(!control.join("some_host-1-x-1-0.json").exists());
    coordinator.0.kill().expect("SIGKILL");
    coordinator.0.wait().expect("an end");
}

#[test]
fn two_coordinators_share_a_sweep_and_a_third_is_refused() {
    let text = tiny_sweep("mode = [\"vanilla\"]\nseed = { from = 1, to = 8 }", "max_steps = 500");
    let sandbox = Sandbox::with_fake_trainer(&text);
    let said = sandbox.expect(0, &["run", "sweep.toml", "--shard", "1/2", "--dry-run"]).out;
    assert!(said.contains("share 1/2: ") && said.contains(" of 8 runs fall to it"), "{said}");
    let mut first = start(&sandbox, &["--shard", "1/2"]);
    let mut second = start(&sandbox, &["--shard", "2/2"]);
    let seen = wait_for("both", || {
        let said = sandbox.sweep(&["status"]).out;
        (said.contains("share 1/2: ") && said.contains("share 2/2: ")).then_some(said)
    });
    assert!(seen.contains(&format!("process {} on", first.0.id())), "{seen}");
    let said = sandbox.expect(1, &["run", "sweep.toml"]).err;
    assert!(said.contains("sweep `tiny` is already running on these results (process "), "{said}");
    let said = sandbox.expect(1, &["run", "sweep.toml", "--shard", "1/3"]).err;
    assert!(said.contains("and 1/3 does not go with it"), "{said}");
    let said = sandbox.expect(1, &["run", "sweep.toml", "--shard", "3/2"]).err;
    assert!(said.contains("\"3/2\" is no share"), "{said}");
    for child in [&mut first, &mut second] {
        assert_eq!(child.0.wait().expect("an end").code(), Some(0));
    }
    let started: Vec<usize> = ["events-1-of-2.jsonl", "events-2-of-2.jsonl"]
        .iter()
        .map(|log| std::fs::read_to_string(sandbox.path(&format!("results/tiny/{log}"))).expect("a log"))
        .map(|log| log.matches("\"started\"").count())
        .collect();
    assert_eq!(started.iter().sum::<usize>(), 8, "each run was done once: {started:?}");
    assert!(started.iter().all(|count| *count > 0));
    let frame = std::fs::read_to_string(sandbox.path("results/tiny/runs.csv")).expect("a frame");
    assert_eq!(frame.lines().count(), 9, "the last to end saw all records");
    let said = sandbox.expect(0, &["run", "sweep.toml"]).out;
    assert!(said.contains("0 done now, 8 done before"), "{said}");
}

#[test]
fn a_command_hears_how_a_sweep_ended() {
    let text = tiny_sweep("mode = [\"vanilla\"]\nseed = [1, 2]", "epochs = 1\nlr = 1e-3");
    let sandbox =
        Sandbox::with(&format!("{text}\n[run]\nnotify = \"cat > news; echo $SWEEP_STATUS > status; exit 5\""));
    let said = sandbox.expect(0, &["run", "sweep.toml"]);
    assert!(said.err.contains("warning: the command of [run] notify ended with exit status: 5"), "{}", said.err);
    let read = |name: &str| std::fs::read_to_string(sandbox.path(name)).expect(name);
    let news: Value = serde_json::from_str(&read("news")).expect("JSON");
    assert_eq!((news["sweep"].as_str(), news["status"].as_str()), (Some("tiny"), Some("finished")));
    assert_eq!(
        (news["done"].as_u64(), news["left"].as_u64(), read("status").as_str()),
        (Some(2), Some(0), "finished\n")
    );
}

#[test]
fn logs_of_runs_are_printed() {
    let sandbox = Sandbox::with(&tiny_sweep("mode = [\"vanilla\"]\nseed = [1]", "epochs = 1\nlr = 1e-3"));
    sandbox.expect(0, &["run", "sweep.toml"]);
    let id = sandbox.records()[0]["id"].as_str().expect("an id").to_owned();
    let log = sandbox.path(&format!("results/runs/{id}/log.txt"));
    let _ = std::fs::remove_file(&log);
    let said = sandbox.expect(0, &["logs", &id[..6]]);
    assert!(said.err.contains("it wrote no log; "), "{}", said.err);
    std::fs::write(&log, "one\ntwo\nthree\n").expect("a log");
    assert_eq!(sandbox.expect(0, &["logs", &id]).out, "one\ntwo\nthree\n");
    assert_eq!(sandbox.expect(0, &["logs", &id, "-n", "2"]).out, "two\nthree\n");
    let said = sandbox.expect(0, &["logs", &id, "-f", "-n", "1"]);
    assert!(said.out == "three\n" && said.err.contains(": accuracy "), "{}{}", said.out, said.err);
    let said = sandbox.expect(1, &["logs", "zz"]).err;
    assert!(said.contains("has an id that begins with \"zz\""), "{said}");
    let said = sandbox.expect(1, &["watch"]).err;
    assert!(said.contains("`sweep status SWEEP` says the same in lines"), "{said}");
}
