//! SIGKILL at every durable step of the coordinator, and a thousand times at random: the same command again, and nothing
//! is lost, nothing that has a record is run again, and the report is that of an undisturbed sweep.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::sandbox::{Sandbox, tiny_sweep};

/// As named by `src/failpoint.rs`.
const POINTS: [&str; 12] = [
    "lock", "locked", "lease", "leased", "append", "written", "synced", "replace", "rename", "renamed", "spawn",
    "spawned",
];

fn sweep(seeds: u32, steps: u32) -> String {
    let grid = format!("mode = [\"vanilla\"]\nseed = {{ from = 1, to = {seeds} }}");
    tiny_sweep(&grid, &format!("max_steps = {steps}"))
}

/// How often each run that has a record was trained to its end.
fn trained(sandbox: &Sandbox) -> BTreeMap<String, usize> {
    let ids = sandbox.records().into_iter().filter_map(|record| Some(record["id"].as_str()?.to_owned()));
    let times = |id: String| {
        let text = std::fs::read_to_string(sandbox.path(&format!("results/runs/{id}/trained"))).unwrap_or_default();
        (id, text.lines().count())
    };
    ids.map(times).collect()
}

/// What a run measured, by id.
fn ends(sandbox: &Sandbox) -> Vec<(String, String)> {
    sandbox.records().iter().map(|record| (record["id"].to_string(), record["end"].to_string())).collect()
}

/// Every file of the report, without the words of workers, which name their processes.
pub fn report(sandbox: &Sandbox) -> BTreeMap<String, Vec<u8>> {
    for record in sandbox.records() {
        let id = record["id"].as_str().expect("an id");
        let _ = std::fs::remove_file(sandbox.path(&format!("results/runs/{id}/log.txt")));
    }
    sandbox.expect(0, &["report", "sweep.toml", "--out", "report"]);
    let mut files = BTreeMap::new();
    collect(&sandbox.path("report"), "", &mut files);
    files
}

fn collect(folder: &Path, within: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let name = format!("{within}/{}", entry.file_name().to_string_lossy());
        match entry.path().is_dir() {
            true => collect(&entry.path(), &name, files),
            false => drop(files.insert(name, std::fs::read(entry.path()).expect("a file"))),
        }
    }
}

#[test]
fn killed_at_every_durable_step_a_sweep_goes_on_as_if_nothing_had_been() {
    let text = sweep(2, 2);
    let calm = Sandbox::with_fake_trainer(&text);
    calm.expect(0, &["run", "sweep.toml", "--slots-per-device", "1"]);
    let (expected, expected_report) = (ends(&calm), report(&calm));
    assert_eq!(expected.len(), 2);
    assert!(expected_report.len() > 5, "{:?}", expected_report.keys());

    let mut kills = 0;
    for point in POINTS {
        for passing in 1.. {
            assert!(passing < 100, "{point} is passed too often");
            let sandbox = Sandbox::with_fake_trainer(&text);
            let mut command = sandbox.command(&["run", "sweep.toml", "--slots-per-device", "1"]);
            let output = command.env("SWEEP_KILL_AT", format!("{point}:{passing}")).output().expect("it starts");
            if output.status.signal() != Some(libc::SIGKILL) {
                assert!(passing > 1, "{point} is never passed");
                assert_eq!(output.status.code(), Some(0), "{point}:{passing}");
                break;
            }
            kills += 1;
            let before = trained(&sandbox);
            sandbox.expect(0, &["run", "sweep.toml", "--slots-per-device", "1"]);
            let place = format!("killed at {point}:{passing}");
            assert_eq!(ends(&sandbox), expected, "{place}");
            let after = trained(&sandbox);
            assert!(before.iter().all(|(id, times)| after[id] == *times), "{place}: a run with a record was run again");
            // The report is a function of records and manifest, so one kill of each point is enough to show it.
            if passing == 1 {
                assert!(report(&sandbox) == expected_report, "{place}: the report differs");
            }
            sandbox.expect(0, &["status"]);
        }
    }
    assert!(kills > 30, "only {kills} kills");
}

/// Positive numbers below `n` that look like chance; the same in every call, so that a failure can be seen again.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// The workers of a coordinator.
fn children(of: &Child) -> Vec<i32> {
    let path = format!("/proc/{0}/task/{0}/children", of.id());
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.trim_start().starts_with('Z'))
}

#[test]
fn a_thousand_kills_lose_nothing_and_go_only_forward() {
    // Retries of killed runs must not fail the sweep: a run killed twice in one call has a record that says so, and
    // the next call does it again.
    let runs = 600;
    let text = sweep(runs, 5);
    let sandbox = Sandbox::with_fake_trainer(&text);
    let arguments = ["run", "sweep.toml", "--slots-per-device", "2"];
    let mut chance = Chance(20_261_126);
    let (mut of_coordinators, mut of_workers) = (0, 0);
    let mut done: BTreeMap<String, usize> = BTreeMap::new();
    let done_now = |sandbox: &Sandbox| -> BTreeMap<String, usize> {
        let is_done = |record: &serde_json::Value| record["end"].get("done").is_some();
        let ids: Vec<String> =
            sandbox.records().iter().filter(|r| is_done(r)).map(|r| r["id"].as_str().expect("an id").into()).collect();
        let trained = trained(sandbox);
        ids.into_iter().map(|id| (id.clone(), trained[&id])).collect()
    };
    while of_coordinators + of_workers < 1000 {
        let quiet = |mut command: std::process::Command| command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut coordinator = quiet(sandbox.command(&arguments)).expect("it starts");
        let life = Duration::from_millis(60 + chance.below(240));
        let began = Instant::now();
        let mut seen = Vec::new();
        while began.elapsed() < life && coordinator.try_wait().expect("a state").is_none() {
            std::thread::sleep(Duration::from_millis(5 + chance.below(20)));
            let workers = children(&coordinator);
            seen.extend(workers.iter().copied());
            if let Some(&victim) = workers.get(chance.below(3) as usize) {
                // SAFETY: a plain system call, on a child of our child.
                of_workers += i32::from(unsafe { libc::kill(victim, libc::SIGKILL) } == 0);
            }
        }
        of_coordinators += i32::from(coordinator.try_wait().expect("a state").is_none());
        coordinator.kill().expect("SIGKILL");
        coordinator.wait().expect("an end");
        if of_coordinators % 10 == 0 {
            let now = done_now(&sandbox);
            let kept = |(id, times): (&String, &usize)| now.get(id) == Some(times);
            assert!(done.iter().all(kept), "a result was lost or made again");
            done = now;
            let waited = Instant::now();
            while seen.iter().any(|&pid| is_alive(pid)) {
                assert!(waited.elapsed() < Duration::from_secs(10), "a worker outlived its coordinator");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
    assert!(of_coordinators > 50 && of_workers > 50, "{of_coordinators} coordinators, {of_workers} workers");
    sandbox.expect(0, &arguments);
    let records = sandbox.records();
    assert_eq!(records.len(), runs as usize);
    for record in records {
        let seed = record["run"]["seed"].as_f64().expect("a seed");
        assert_eq!(record["end"]["done"]["dev"]["accuracy"].as_f64(), Some(seed / 1000.0), "{record}");
    }
    let last = done_now(&sandbox);
    assert!(done.iter().all(|(id, times)| last[id] == *times), "a result was made again");
}
