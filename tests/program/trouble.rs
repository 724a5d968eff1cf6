//! A machine in trouble: what a sweep says, and that it loses nothing.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::sandbox::{Sandbox, tiny_sweep};

fn four_runs() -> Sandbox {
    Sandbox::with_fake_trainer(&tiny_sweep("mode = [\"vanilla\"]\nseed = [1, 2, 3, 4]", "max_steps = 4"))
}

fn is_root() -> bool {
    // SAFETY: a plain system call.
    unsafe { libc::geteuid() == 0 }
}

/// The words of a log line by line, each with the checksum that it needs.
fn with_checksums(lines: &[&str]) -> String {
    lines.iter().map(|json| format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()))).collect()
}

#[test]
fn with_few_open_files_a_sweep_goes_through() {
    let sandbox = four_runs();
    let program = sandbox.path("bin/sweep");
    let line = format!("ulimit -n 64; exec {} run sweep.toml --slots-per-device 3", program.display());
    let mut command = Command::new("sh");
    command.args(["-c", &line]).current_dir(sandbox.folder.path()).env("HF_HUB_OFFLINE", "1");
    let output = command.output().expect("a shell");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(sandbox.records().len(), 4);
}

#[test]
fn a_folder_that_cannot_be_written_is_told_before_anything_starts() {
    let sandbox = four_runs();
    let said = sandbox.expect(1, &["run", "sweep.toml", "--results", "/proc/results"]);
    assert!(said.err.contains("cannot write /proc/results"), "{}", said.err);
    std::fs::write(sandbox.path("results"), "a file").expect("a file");
    let said = sandbox.expect(1, &["run", "sweep.toml"]);
    assert!(said.err.contains("a file lies where a folder should be"), "{}", said.err);
    std::fs::remove_file(sandbox.path("results")).expect("it goes");
    if is_root() {
        // Nothing is forbidden to root by permissions.
        return;
    }
    std::fs::create_dir(sandbox.path("results")).expect("a folder");
    let forbid = |mode| std::fs::set_permissions(sandbox.path("results"), std::fs::Permissions::from_mode(mode));
    forbid(0o555).expect("permissions");
    let said = sandbox.expect(1, &["run", "sweep.toml"]);
    forbid(0o755).expect("permissions");
    assert!(said.err.contains("no permission"), "{}", said.err);
}

#[test]
fn a_clock_that_was_set_back_changes_nothing() {
    let sandbox = four_runs();
    std::fs::create_dir_all(sandbox.path("results/tiny")).expect("a folder");
    // What a coordinator of the year 2099 left: a run that it started and never ended.
    let began = r#"{"time":"2099-01-01T00:00:00.000Z","what":{"began":{"sweep":"tiny","runs":4,"commit":"","version":"0.1.0","pid":1}}}"#;
    let started =
        r#"{"time":"2099-01-01T00:00:01.000Z","what":{"started":{"id":"00000000000000000000","slot":0,"attempt":1}}}"#;
    std::fs::write(sandbox.path("results/tiny/events.jsonl"), with_checksums(&[began, started])).expect("a log");
    sandbox.expect(0, &["run", "sweep.toml"]);
    assert_eq!(sandbox.records().len(), 4);
    let said = sandbox.expect(0, &["status"]);
    assert!(said.out.contains("tiny") && !said.out.contains("2099"), "{}", said.out);
}

#[test]
fn a_lock_left_by_a_reboot_is_no_lock() {
    let sandbox = four_runs();
    std::fs::create_dir(sandbox.path("results")).expect("a folder");
    // The process of this number is alive, and is another one than before the reboot.
    let pid = std::process::id();
    let text = format!(r#"{{"pid":{pid},"host":"elsewhere","sweep":"tiny","started":"2020-01-01T00:00:00Z"}}"#);
    std::fs::write(sandbox.path("results/.lock"), text).expect("a lock");
    sandbox.expect(0, &["run", "sweep.toml"]);
    assert_eq!(sandbox.records().len(), 4);
}

#[test]
fn the_log_may_be_cut_or_zeroed_anywhere_and_the_sweep_goes_on() {
    let sandbox = four_runs();
    sandbox.expect(0, &["run", "sweep.toml", "--limit", "3"]);
    let path = sandbox.path("results/tiny/events.jsonl");
    let whole = std::fs::read(&path).expect("a log");
    let ends: Vec<usize> = (0..whole.len()).filter(|&i| whole[i] == b'\n').map(|i| i + 1).collect();
    let last_two = ends[ends.len() - 3];
    let mut damaged: Vec<Vec<u8>> = (last_two..whole.len()).map(|cut| whole[..cut].to_vec()).collect();
    let mut zeros = whole.clone();
    zeros[ends[2] + 5..ends[4] + 5].fill(0);
    damaged.push(zeros);
    let before = sandbox.records();
    for bytes in damaged {
        std::fs::write(&path, bytes).expect("a log");
        sandbox.expect(0, &["status"]);
        sandbox.expect(0, &["run", "sweep.toml", "--limit", "0"]);
        assert_eq!(sandbox.records(), before);
    }
    let said = sandbox.expect(0, &["run", "sweep.toml"]);
    assert!(said.err.contains("the event log of `tiny` is damaged"), "{}", said.err);
    assert_eq!(sandbox.records().len(), 4);
}

#[test]
fn two_coordinators_at_once_are_one() {
    let sandbox = Sandbox::with_fake_trainer(&tiny_sweep("mode = [\"vanilla\"]\nseed = [1, 2]", "max_steps = 300"));
    let start =
        || sandbox.command(&["run", "sweep.toml"]).stderr(std::process::Stdio::piped()).spawn().expect("a start");
    let children: Vec<_> = (0..4).map(|_| start()).collect();
    let outputs: Vec<_> = children.into_iter().map(|child| child.wait_with_output().expect("an end")).collect();
    let codes: Vec<_> = outputs.iter().map(|output| output.status.code()).collect();
    assert!(codes.contains(&Some(0)), "{codes:?}");
    for output in outputs.iter().filter(|output| output.status.code() != Some(0)) {
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("already running on these results (process") || said.contains("just starting"), "{said}");
    }
    let times = |record: &serde_json::Value| {
        let path = format!("results/runs/{}/trained", record["id"].as_str().expect("an id"));
        std::fs::read_to_string(sandbox.path(&path)).expect("a note").lines().count()
    };
    assert_eq!(sandbox.records().iter().map(times).collect::<Vec<_>>(), [1, 1], "each run once");
}

#[test]
fn failed_runs_are_left_until_they_are_asked_for() {
    let grid = "mode = [\"vanilla\", \"crash\"]\nseed = [1]";
    let text =
        tiny_sweep(grid, "max_steps = 4").replace("[train]", "[mode.crash]\nbase = \"vanilla\"\nlr = 1e-3\n[train]");
    let sandbox = Sandbox::with_fake_trainer(&text);
    let said = sandbox.expect(2, &["run", "sweep.toml"]);
    assert!(said.err.contains("retry") && said.err.contains("again in a new process"), "{}", said.err);
    let attempt = |sandbox: &Sandbox| {
        let records = sandbox.records();
        let crashed = records.iter().find(|record| record["run"]["mode"] == "crash").expect("a record");
        assert!(crashed["end"]["failed"]["crashed"].is_object(), "{crashed}");
        crashed["made"]["attempt"].as_u64()
    };
    assert_eq!(attempt(&sandbox), Some(2));
    let said = sandbox.expect(2, &["run", "sweep.toml"]);
    assert!(said.out.contains("0 done now, 1 done before, 1 failed") && said.out.contains("rerun"), "{}", said.out);
    assert_eq!(attempt(&sandbox), Some(2));
    let said = sandbox.expect(0, &["rerun", "sweep.toml", "--cause", "oom"]);
    assert!(said.out.contains("no run failed like that"), "{}", said.out);
    sandbox.expect(2, &["rerun", "sweep.toml", "--cause", "crashed,oom"]);
    assert_eq!(attempt(&sandbox), Some(4));
    let said = sandbox.expect(1, &["rerun", "sweep.toml", "--cause", "melted"]);
    assert!(said.err.contains("no cause \"melted\""), "{}", said.err);
    sandbox.expect(1, &["rerun", "sweep.toml"]);
}
