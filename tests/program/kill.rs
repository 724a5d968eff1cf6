//! SIGKILL at any moment, to coordinator or worker: the same command again ends with the numbers of an undisturbed
//! sweep, and no process is left behind.

use std::process::{Command, Stdio};
use std::time::Duration;

use super::sandbox::{Sandbox, tiny_sweep};

/// What a run measured, without what differs from call to call.
fn scores(sandbox: &Sandbox) -> Vec<(String, String)> {
    let records = sandbox.records();
    records.iter().map(|r| (r["id"].to_string(), r["end"].to_string())).collect()
}

fn workers_of(sandbox: &Sandbox) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let here = std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == sandbox.folder.path());
        let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if here && name.trim() == "sweep-worker" {
            found.push(pid);
        }
    }
    found
}

fn kill(pid: u32, signal: &str) {
    let _ = Command::new("kill").args([signal, &pid.to_string()]).status();
}

/// Moments between `from` and `to` milliseconds that differ from call to call; a failure prints them.
fn moments(n: usize, from: u64, to: u64) -> Vec<Duration> {
    let mut state = std::process::id() as u64 ^ 0x9E37_79B9_7F4A_7C15;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        from + (state >> 33) % (to - from)
    };
    (0..n).map(|_| Duration::from_millis(next())).collect()
}

#[test]
fn twenty_kills_change_no_number() {
    let grid = "mode = [\"vanilla\", \"child-f+sage\", \"child-d+r3f\"]\np = [0.3]\nseed = { from = 1, to = 10 }";
    let text = tiny_sweep(grid, "epochs = 3\nlr = 1e-3\ndropout = 0.1\nlog_every = 1");
    let calm = Sandbox::with(&text);
    calm.expect(0, &["run", "sweep.toml", "--slots-per-device", "2"]);
    let undisturbed = scores(&calm);
    assert_eq!(undisturbed.len(), 30);

    let stormy = Sandbox::with(&text);
    let moments = moments(20, 300, 1600);
    let mut met_work = 0;
    for (turn, moment) in moments.iter().enumerate() {
        let mut coordinator = stormy
            .command(&["run", "sweep.toml", "--slots-per-device", "2"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        std::thread::sleep(*moment);
        let workers = workers_of(&stormy);
        if turn % 2 == 1 {
            // A worker first: its run fails and it is replaced, until the coordinator goes too.
            workers.iter().take(1).for_each(|&pid| kill(pid, "-9"));
            std::thread::sleep(Duration::from_millis(100));
        }
        met_work += u32::from(!workers.is_empty() && coordinator.try_wait().expect("a state").is_none());
        coordinator.kill().expect("SIGKILL");
        coordinator.wait().expect("an end");
    }
    assert!(met_work >= 10, "only {met_work} kills met work under way; moments {moments:?}");
    stormy.expect(0, &["run", "sweep.toml", "--slots-per-device", "2"]);
    assert_eq!(scores(&stormy), undisturbed, "moments {moments:?}");
    std::thread::sleep(Duration::from_millis(300));
    assert!(workers_of(&stormy).is_empty(), "a worker outlived its coordinator");
}

#[test]
fn a_run_put_aside_goes_on_bit_for_bit() {
    let grid = "mode = [\"child-f\", \"child-d\", \"dps-mix+sage\"]\np = [0.3]\nseed = [1]";
    let text = tiny_sweep(grid, "epochs = 40\nlr = 1e-3\nlog_every = 1");
    let calm = Sandbox::with(&text);
    calm.expect(0, &["run", "sweep.toml"]);

    let paused = Sandbox::with(&text);
    let mut stopped = 0;
    for turn in 1..=3 {
        let mut coordinator = paused
            .command(&["run", "sweep.toml"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a start");
        // Not before a worker is at it; then a little longer each time, so that steps are behind it.
        let waited = std::time::Instant::now();
        while workers_of(&paused).is_empty() && waited.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_millis(600 + 250 * turn));
        kill(coordinator.id(), "-INT");
        let code = coordinator.wait().expect("an end").code();
        stopped += u32::from(code == Some(3));
        assert!(matches!(code, Some(0 | 3)), "exit code {code:?}");
    }
    assert!(stopped > 0, "no run was ever interrupted: the test proves nothing");
    paused.expect(0, &["run", "sweep.toml"]);
    assert_eq!(scores(&paused), scores(&calm));
    assert_eq!(losses(&paused), losses(&calm));
    assert!(checkpoints(&paused).is_empty());
}

/// Every line of every steps.csv, without the clock.
fn losses(sandbox: &Sandbox) -> Vec<String> {
    let ids: Vec<String> = sandbox.records().iter().filter_map(|r| Some(r["id"].as_str()?.to_owned())).collect();
    let read =
        |id: &String| std::fs::read_to_string(sandbox.path(&format!("results/runs/{id}/steps.csv"))).expect("steps");
    let text: String = ids.iter().map(read).collect();
    text.lines().map(|line| line.split(',').take(5).collect::<Vec<_>>().join(",")).collect()
}

/// Folders of checkpoints, `<run>/<step>`.
fn checkpoints(sandbox: &Sandbox) -> Vec<std::path::PathBuf> {
    let within = |folder: std::path::PathBuf| folder.read_dir().into_iter().flatten().flatten().map(|e| e.path());
    within(sandbox.path("results/cache/checkpoints")).flat_map(within).collect()
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = std::time::Instant::now();
    while !is_so() {
        assert!(since.elapsed() < Duration::from_secs(60), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Long enough that kills meet them in the middle, and written down often.
fn long_runs() -> String {
    let grid = "mode = [\"child-f\", \"dps-mix+sage\"]\np = [0.3]\nseed = [1]";
    tiny_sweep(grid, "epochs = 60\nlr = 1e-3\nlog_every = 1") + "[run]\ncheckpoint_every = \"100ms\"\n"
}

#[test]
fn a_killed_run_goes_on_from_its_last_checkpoint_bit_for_bit() {
    let calm = Sandbox::with(&long_runs());
    calm.expect(0, &["run", "sweep.toml", "--slots-per-device", "1"]);
    let killed = Sandbox::with(&long_runs());
    for _ in 0..3 {
        let before = checkpoints(&killed);
        let mut coordinator = killed
            .command(&["run", "sweep.toml", "--slots-per-device", "1"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a start");
        wait_until("a new checkpoint", || checkpoints(&killed).iter().any(|folder| !before.contains(folder)));
        // Some steps beyond it, which are lost.
        std::thread::sleep(Duration::from_millis(60));
        coordinator.kill().expect("SIGKILL");
        coordinator.wait().expect("an end");
    }
    killed.expect(0, &["run", "sweep.toml", "--slots-per-device", "1"]);
    assert_eq!(scores(&killed), scores(&calm));
    assert_eq!(losses(&killed), losses(&calm));
    let resumed: u64 = killed.records().iter().map(|r| r["made"]["resumed"].as_u64().unwrap_or(0)).sum();
    assert!(resumed >= 2, "taken up {resumed} times");
    assert!(calm.records().iter().all(|r| r["made"].get("resumed").is_none()));
    assert!(checkpoints(&killed).is_empty() && checkpoints(&calm).is_empty());
}

/// Slurm, or whoever looks after the machine, asks a worker itself to end.
#[test]
fn a_worker_that_is_asked_to_end_leaves_a_checkpoint_and_its_run_goes_on_in_another() {
    let calm = Sandbox::with(&long_runs());
    calm.expect(0, &["run", "sweep.toml", "--slots-per-device", "1"]);
    let sandbox = Sandbox::with(&long_runs());
    let coordinator = sandbox
        .command(&["run", "sweep.toml", "--slots-per-device", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a start");
    wait_until("a checkpoint", || !checkpoints(&sandbox).is_empty());
    let asked = workers_of(&sandbox);
    asked.iter().for_each(|&pid| kill(pid, "-TERM"));
    let output = coordinator.wait_with_output().expect("an end");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(scores(&sandbox), scores(&calm));
    assert_eq!(losses(&sandbox), losses(&calm));
    let resumed: u64 = sandbox.records().iter().map(|r| r["made"]["resumed"].as_u64().unwrap_or(0)).sum();
    assert_eq!((asked.len(), resumed), (1, 1));
    let log = std::fs::read_to_string(sandbox.path("results/tiny/events.jsonl")).expect("a log");
    assert!(log.contains("\"paused\""), "{log}");
}
