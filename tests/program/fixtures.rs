//! Results of every version of the files on disk, each made by the program of its time (tests/fixtures/make.py): all of
//! them are read, for ever, and say what they said then.

use std::path::PathBuf;

use serde_json::Value;

use super::sandbox::{Sandbox, copy_folder, files_below, project};

fn fixtures() -> PathBuf {
    project().join("tests/fixtures")
}

/// The versions that there are: `results-1`, …
fn versions() -> Vec<String> {
    let entries = std::fs::read_dir(fixtures()).expect("fixtures").flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut versions: Vec<String> =
        names.filter(|name| name.starts_with("results-") && fixtures().join(name).is_dir()).collect();
    versions.sort();
    let newest = format!("results-{}", sweep::record::FORMAT);
    assert!(versions.contains(&newest), "no {newest}: make it by tests/fixtures/make.py before anything is released");
    versions
}

/// The results of a version together with the sweep files, data and model that they were made from.
fn lab(version: &str) -> (Sandbox, Value) {
    let sandbox = Sandbox::new();
    copy_folder(&fixtures().join("lab"), sandbox.folder.path());
    copy_folder(&fixtures().join(version), &sandbox.path("results"));
    // A kept model notes where the pre-trained one lay.
    for file in files_below(&sandbox.path("results/cache/trained")).iter().filter(|file| file.ends_with("note.json")) {
        let text = std::fs::read_to_string(file).expect("a note");
        let here = text.replace("\"/lab/", &format!("\"{}/", sandbox.folder.path().display()));
        std::fs::write(file, here).expect("a note");
    }
    let said = std::fs::read(fixtures().join(format!("{version}.json"))).expect("what was said");
    (sandbox, serde_json::from_slice(&said).expect("JSON"))
}

fn object(value: &Value) -> impl Iterator<Item = (&String, &str)> {
    let entries = value.as_object().expect("an object").iter();
    entries.map(|(name, value)| (name, value.as_str().expect("a text")))
}

#[test]
fn every_version_says_what_it_said_then() {
    for version in versions() {
        let (sandbox, said) = lab(&version);
        let status: Value = serde_json::from_str(&sandbox.expect(0, &["status", "--json"]).out).expect("JSON");
        let (now, then) = (status.as_array().expect("sweeps"), said["status"].as_array().expect("sweeps"));
        assert_eq!(now.len(), then.len());
        for (now, then) in now.iter().zip(then) {
            for (key, value) in then.as_object().expect("a sweep") {
                assert_eq!(&now[key], value, "{version}: {key} of {}", then["sweep"]);
            }
        }
        for (sweep, line) in object(&said["plan"]) {
            let plan = sandbox.expect(0, &["plan", &format!("{sweep}.toml")]).out;
            assert!(plan.contains(line), "{version}: expected \"{line}\" in\n{plan}");
        }
        let mut answers = 0;
        for (query, answer) in object(&said["query"]) {
            assert_eq!(sandbox.expect(0, &["query", query, "--format", "csv"]).out, answer, "{version}: {query}");
            answers += answer.lines().count();
        }
        assert!(answers > 100, "{version}: only {answers} lines");
    }
}

/// What version 2 brought: a run that a rule stopped, one that a rule of memory eased, one that the user did not want.
#[test]
fn ends_of_version_2_are_read() {
    for version in versions().iter().filter(|version| *version != "results-1") {
        let store = sweep::record::store::Store::new(fixtures().join(version));
        let records = store.read_all().expect("records");
        let stopped: Vec<_> = records.iter().filter_map(|record| record.stopped()).collect();
        assert_eq!(
            stopped.iter().map(|s| (&*s.rule, s.at.step, s.at.of)).collect::<Vec<_>>(),
            [("asha", 5, 10)],
            "{version}"
        );
        let eased: Vec<_> = records.iter().filter_map(|record| record.made.micro_batch).collect();
        assert_eq!(eased, [2], "{version}");
        let causes = |cause: &str| records.iter().filter(|r| r.failure().is_some_and(|f| f.cause() == cause)).count();
        assert_eq!(["cancelled", "timed out", "crashed"].map(causes), [1, 1, 2], "{version}");
    }
}

#[test]
fn tables_reports_and_exports_are_made_of_every_version() {
    for version in versions() {
        let (sandbox, said) = lab(&version);
        for table in ["main", "settings", "comparisons"] {
            let text = sandbox.expect(0, &["table", "micro", table]).out;
            assert!(text.contains("child-d"), "{version}: {text}");
        }
        sandbox.expect(0, &["report", "micro.toml"]);
        let page = std::fs::read_to_string(sandbox.path("reports/micro/index.html")).expect("a page");
        assert!(page.contains("was not finite at step 2"), "{version}: the report tells no failure");
        for sweep in said["status"].as_array().expect("sweeps") {
            let (name, left) = (sweep["sweep"].as_str().expect("a name"), sweep["left"].as_u64());
            let lines = sandbox.expect(0, &["export", name, "--jsonl", "-", "--steps"]).out;
            let ended = sweep["runs"].as_u64().zip(left).map(|(runs, left)| runs - left);
            assert_eq!(Some(lines.lines().count() as u64), ended, "{version}: {name}");
        }
    }
}

/// Of one run of the sweep `micro` the trained model lies there; it is taken up.
#[test]
fn a_kept_model_of_every_version_predicts() {
    for version in versions() {
        let (sandbox, _) = lab(&version);
        let ids = sandbox.expect(0, &["query", "SELECT id FROM runs WHERE sweep = 'micro' AND status = 'done'"]).out;
        let predicts = |id: &&str| {
            let said = sandbox.sweep(&["predict", id, "ben sees fish", "ben sees fish"]);
            assert!(said.code == 0 || said.err.contains("was not kept"), "{version}: {}", said.err);
            said.code == 0
        };
        assert_eq!(ids.lines().skip(1).filter(predicts).count(), 1, "{version}");
    }
}

/// A run that was put aside goes on from its checkpoint, at the place of the schedule and of the data where an undisturbed
/// one would be, and learns as well; dropout may be drawn otherwise than then.
#[test]
fn a_checkpoint_of_every_version_is_gone_on_from() {
    let undisturbed = Sandbox::new();
    copy_folder(&fixtures().join("lab"), undisturbed.folder.path());
    let go_on = ["run", "slow.toml", "--only", "seed=2", "--slots-per-device", "2"];
    undisturbed.expect(0, &go_on);
    let steps = |sandbox: &Sandbox, id: &str| -> Vec<String> {
        let text = std::fs::read_to_string(sandbox.path(&format!("results/runs/{id}/steps.csv"))).expect("steps");
        text.lines().map(str::to_owned).collect()
    };
    // Step, rate and examples; and the loss.
    let column = |line: &String, at: usize| line.split(',').nth(at).unwrap_or_default().to_owned();
    let place = |line: &String| [0, 2, 4].map(|at| column(line, at));
    let mean = |lines: &[String]| {
        let losses: Vec<f64> = lines.iter().map(|line| column(line, 1).parse().expect("a loss")).collect();
        losses.iter().sum::<f64>() / losses.len() as f64
    };
    for version in versions() {
        let (sandbox, _) = lab(&version);
        let mut checkpoints = sandbox.path("results/cache/checkpoints").read_dir().expect("checkpoints").flatten();
        let id = checkpoints.next().expect("a checkpoint").file_name().into_string().expect("an id");
        let before = steps(&sandbox, &id);
        assert!(before.len() > 1, "{version}: it was put aside before its first logged step");
        sandbox.expect(0, &go_on);
        // The seconds of the steps before the checkpoint are those of then.
        let (after, whole) = (steps(&sandbox, &id), steps(&undisturbed, &id));
        assert_eq!(after[..before.len()], before, "{version}: it began anew");
        assert_eq!(after.len(), whole.len(), "{version}");
        assert!(after.iter().map(place).eq(whole.iter().map(place)), "{version}: {after:?} and {whole:?}");
        let apart = mean(&after[before.len()..]) - mean(&whole[before.len()..]);
        assert!(apart.abs() < 0.05, "{version}: {after:?} and {whole:?}");
    }
}

#[test]
fn damage_and_newer_versions_are_told_by_file() {
    for version in versions() {
        let (sandbox, _) = lab(&version);
        let manifest = sandbox.path("results/micro/manifest.json");
        let runs: Value = serde_json::from_slice(&std::fs::read(&manifest).expect("a manifest")).expect("JSON");
        let record = sandbox.path("results/runs").join(runs["runs"][0][0].as_str().expect("an id")).join("record.json");
        for (file, name) in [(&record, "record.json"), (&manifest, "manifest.json")] {
            let whole = std::fs::read_to_string(file).expect("a file");
            let newer = whole.replacen(&format!("\"format\": {}", format_of(&whole)), "\"format\": 99, \"new\": 1", 1);
            assert_ne!(newer, whole);
            for (text, said) in [
                (&whole[..whole.len() / 2], "is damaged"),
                ("", "is damaged"),
                (&newer, "was written by a newer version of sweep (format 99"),
            ] {
                std::fs::write(file, text).expect("a file");
                for question in [&["query", "SELECT count(*) FROM runs"][..], &["export", "micro", "--jsonl", "-"]] {
                    let asked = sandbox.sweep(question);
                    let told = asked.code != 0 && asked.err.contains(name) && asked.err.contains(said);
                    assert!(told, "{version}: {question:?}: {}", asked.err);
                }
            }
            std::fs::write(file, &whole).expect("a file");
        }
        sandbox.expect(0, &["query", "SELECT count(*) FROM runs"]);
    }
}

fn format_of(text: &str) -> u64 {
    let value: Value = serde_json::from_str(text).expect("JSON");
    value["format"].as_u64().expect("a version")
}
