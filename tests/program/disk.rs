//! What a sweep takes on disk: told before, refused where it cannot fit, waited for where it runs out, and cleaned up.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::sandbox::{Sandbox, tiny_sweep};

fn sweep(grid: &str, train: &str, run: &str) -> Sandbox {
    Sandbox::with(&(tiny_sweep(grid, train) + "[run]\n" + run + "\n"))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn the_plan_says_what_a_sweep_will_take_and_one_that_cannot_fit_is_refused() {
    let grid = "mode = [\"vanilla\"]\nseed = [1, 2]";
    let sandbox = sweep(grid, "epochs = 1", "keep = \"last\"");
    for command in [&["plan", "sweep.toml"][..], &["run", "sweep.toml", "--dry-run"]] {
        let said = sandbox.expect(0, command).out;
        let line = said.lines().find(|line| line.starts_with("disk: about")).unwrap_or_else(|| panic!("{said}"));
        assert!(line.contains("checkpoints") && line.contains("models") && line.ends_with("free"), "{line}");
    }
    let greedy = sweep(grid, "epochs = 1", "min_free = \"900000 TB\"");
    let said = greedy.expect(1, &["run", "sweep.toml"]);
    assert!(said.err.contains("that cannot fit") && said.err.contains("min_free"), "{}", said.err);
    assert!(!greedy.path("results/tiny/events.jsonl").exists(), "nothing was started");
    sandbox.expect(0, &["run", "sweep.toml"]);
    assert!(!sandbox.expect(0, &["plan", "sweep.toml"]).out.contains("disk:"), "nothing is to do");
}

/// Of each cell the models of the best seeds stay, whatever the order in which runs end, and after a kill too.
#[test]
fn the_best_models_of_each_cell_stay() {
    let grid = "mode = [\"vanilla\", \"child-f\"]\np = [0.3]\nseed = { from = 1, to = 5 }";
    let sandbox = sweep(grid, "epochs = 1\ntrain_size = 40\nlr = 1e-3", "keep = { best = 2 }");
    sandbox.expect(0, &["run", "sweep.toml", "--slots-per-device", "2"]);
    let mut cells: BTreeMap<String, Vec<(f64, i64, String)>> = BTreeMap::new();
    for record in sandbox.records() {
        let outcome = &record["end"]["done"];
        let score = outcome["dev"][outcome["metric"].as_str().expect("a metric")].as_f64().expect("a score");
        let (mode, seed) = (record["run"]["mode"].to_string(), record["run"]["seed"].as_i64().expect("a seed"));
        let id = record["id"].as_str().expect("an id").to_owned();
        cells.entry(mode).or_default().push((-score, seed, id));
    }
    let mut best: Vec<String> = Vec::new();
    for cell in cells.values_mut() {
        cell.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        best.extend(cell.iter().take(2).map(|(.., id)| id.clone()));
    }
    best.sort();
    let trained = sandbox.path("results/cache/trained");
    assert_eq!((cells.len(), names(&trained)), (2, best.clone()));

    // A call that was killed left a model too many, a draft, and the checkpoint of a run whose record was just written.
    let worst = cells.values().next().expect("a cell").last().expect("a run").2.clone();
    copy(&trained.join(&best[0]), &trained.join(&worst));
    fs::create_dir_all(trained.join(format!("{worst}.4999999.tmp"))).expect("a draft");
    let checkpoint = sandbox.path(&format!("results/cache/checkpoints/{worst}/3"));
    fs::create_dir_all(&checkpoint).expect("a checkpoint");
    fs::create_dir_all(sandbox.path("results/cache/checkpoints/0123456789abcdef0123/3")).expect("of no sweep");
    let said = sandbox.sweep(&["doctor"]).out;
    assert!(said.contains("1 half written, 1 of a run that is over, 1 of no sweep"), "{said}");
    let lost = sandbox.path(&format!("results/runs/{}", best[0]));
    fs::remove_dir_all(lost).expect("a run to do");
    sandbox.expect(0, &["run", "sweep.toml"]);
    assert_eq!(names(&trained), best);
    assert_eq!(names(&sandbox.path("results/cache/checkpoints")), ["0123456789abcdef0123"], "another's stays");
    let said = sandbox.sweep(&["doctor", "--clean"]).out;
    assert!(said.contains("removed 1 checkpoints and models that no run needs"), "{said}");
    assert!(names(&sandbox.path("results/cache/checkpoints")).is_empty());
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for name in names(from) {
        fs::copy(from.join(&name), to.join(&name)).expect("a copy");
    }
}

/// A small disk of its own, where this user may mount one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(place: PathBuf, megabytes: u32) -> Option<SmallDisk> {
        fs::create_dir_all(&place).expect("a folder");
        let size = format!("size={megabytes}m");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&place).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then_some(SmallDisk(place))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_sweep_waits_while_its_disk_is_nearly_full_and_goes_on_when_it_is_not() {
    let (grid, train) =
        ("mode = [\"vanilla\", \"child-f\"]\np = [0.3]\nseed = [1, 2]", "epochs = 10\ntrain_size = 80\nlr = 1e-3");
    let calm = sweep(grid, train, "");
    calm.expect(0, &["run", "sweep.toml", "--slots-per-device", "2"]);
    let sandbox = sweep(grid, train, "min_free = \"20 MB\"\ncheckpoint_every = \"200ms\"");
    let Some(disk) = SmallDisk::mount(sandbox.path("results"), 64) else {
        let _ = writeln!(std::io::stderr(), "skipped: this user cannot mount a tmpfs");
        return;
    };
    let mut coordinator = sandbox
        .command(&["run", "sweep.toml", "--slots-per-device", "2"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a start");
    let log = || fs::read_to_string(sandbox.path("results/tiny/events.jsonl")).unwrap_or_default();
    let wait = |what: &str| {
        let since = Instant::now();
        while !log().contains(what) {
            assert!(since.elapsed() < Duration::from_secs(60), "waited in vain for {what}:\n{}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    wait("\"started\"");
    // Another program takes the space.
    let filler = disk.0.join("filler");
    fs::write(&filler, vec![1; 50 << 20]).expect("room");
    wait("\"held\"");
    std::thread::sleep(Duration::from_millis(1500));
    assert!(coordinator.try_wait().expect("a state").is_none(), "it waits");
    fs::remove_file(filler).expect("room again");
    wait("\"released\"");
    let output = coordinator.wait_with_output().expect("an end");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("min_free is 20.0 MB"), "{said}");
    let ends = |sandbox: &Sandbox| -> Vec<String> { sandbox.records().iter().map(|r| r["end"].to_string()).collect() };
    assert_eq!(ends(&sandbox), ends(&calm));
}
