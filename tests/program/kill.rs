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

#[test]
fn twenty_kills_change_no_number() {
    let grid = "mode = [\"vanilla\", \"child-f\", \"child-d\"]\np = [0.3]\nseed = [1, 2]";
    let text = tiny_sweep(grid, "epochs = 2\nlr = 1e-3\ndropout = 0.1\nlog_every = 1");
    let calm = Sandbox::with(&text);
    calm.expect(0, &["run", "sweep.toml", "--slots-per-device", "2"]);
    let undisturbed = scores(&calm);
    assert_eq!(undisturbed.len(), 6);

    let stormy = Sandbox::with(&text);
    // Fixed moments from just after the start to after the first runs, alternating between the two kinds of process.
    for kill in 0..20u64 {
        let mut coordinator = stormy
            .command(&["run", "sweep.toml", "--slots-per-device", "2"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        std::thread::sleep(Duration::from_millis(40 + 97 * kill % 1500));
        if kill % 2 == 0 {
            coordinator.kill().expect("SIGKILL");
            coordinator.wait().expect("an end");
        } else {
            for pid in workers_of(&stormy) {
                let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
            }
            coordinator.wait().expect("an end");
        }
    }
    stormy.expect(0, &["run", "sweep.toml", "--slots-per-device", "2"]);
    assert_eq!(scores(&stormy), undisturbed);
    std::thread::sleep(Duration::from_millis(300));
    assert!(workers_of(&stormy).is_empty(), "a worker outlived its coordinator");
}

#[test]
fn a_run_put_aside_goes_on_bit_for_bit() {
    let text =
        tiny_sweep("mode = [\"child-f\", \"child-d\"]\np = [0.3]\nseed = [1]", "epochs = 12\nlr = 1e-3\nlog_every = 1");
    let calm = Sandbox::with(&text);
    calm.expect(0, &["run", "sweep.toml"]);

    let paused = Sandbox::with(&text);
    let mut stopped = 0;
    for wait in [700, 900, 1100, 1300, 1500] {
        let mut coordinator = paused
            .command(&["run", "sweep.toml"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a start");
        std::thread::sleep(Duration::from_millis(wait));
        let _ = Command::new("kill").args(["-INT", &coordinator.id().to_string()]).status();
        let code = coordinator.wait().expect("an end").code();
        stopped += u32::from(code == Some(3));
        assert!(matches!(code, Some(0 | 3)), "exit code {code:?}");
    }
    assert!(stopped > 0, "no run was ever interrupted: the test proves nothing");
    paused.expect(0, &["run", "sweep.toml"]);
    assert_eq!(scores(&paused), scores(&calm));
    let losses = |sandbox: &Sandbox| -> Vec<String> {
        let ids: Vec<String> = sandbox.records().iter().filter_map(|r| Some(r["id"].as_str()?.to_owned())).collect();
        let read = |id: &String| {
            std::fs::read_to_string(sandbox.path(&format!("results/runs/{id}/steps.csv"))).expect("steps")
        };
        let text: String = ids.iter().map(read).collect();
        text.lines().map(|line| line.split(',').take(5).collect::<Vec<_>>().join(",")).collect()
    };
    assert_eq!(losses(&paused), losses(&calm));
    assert!(!paused.path("results/cache/checkpoints").read_dir().is_ok_and(|mut d| d.next().is_some()));
}
