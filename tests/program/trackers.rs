//! A sweep's records for other trackers: event files, JSON lines, MLflow's file store.
//!
//! Event files are read here, checksums and all; where SWEEP_PYTHON names a Python with tensorboard and mlflow, these
//! read all that was written (tests/parity/trackers.py).

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::sandbox::{Sandbox, copy_folder, files_below, project, tiny_sweep};

/// The results of an earlier version: ten runs done or diverged, five with odd ends, one of three that crashed.
fn recorded() -> Sandbox {
    let sandbox = Sandbox::new();
    copy_folder(&project().join("tests/fixtures/results-1"), &sandbox.path("results"));
    sandbox
}

/// One value of an event file.
#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Scalar(f32),
    /// Name of the plugin, content of its metadata, strings of the tensor.
    Plugin(String, Vec<u8>, Vec<String>),
    Session,
    Version(String),
}

#[derive(Debug)]
struct Event {
    time: f64,
    step: u64,
    tag: String,
    seen: Seen,
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a protobuf message.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let length = bytes.iter().position(|byte| byte & 0x80 == 0).expect("the end of a varint") + 1;
        let (own, rest) = bytes.split_at(length);
        *bytes = rest;
        own.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f))
    }
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let head = varint(&mut bytes);
        let mut take = |n: usize| {
            let (own, rest) = bytes.split_at(n);
            bytes = rest;
            own
        };
        let field = match head & 7 {
            0 => Field::Number(varint(&mut bytes)),
            1 => Field::Number(u64::from_le_bytes(take(8).try_into().expect("8 bytes"))),
            5 => Field::Number(u64::from(u32::from_le_bytes(take(4).try_into().expect("4 bytes")))),
            2 => {
                let length = varint(&mut bytes) as usize;
                let (own, rest) = bytes.split_at(length);
                bytes = rest;
                Field::Bytes(own)
            }
            kind => panic!("a field of kind {kind}"),
        };
        found.push((head >> 3, field));
    }
    found
}

fn number(fields: &[(u64, Field)], of: u64) -> Option<u64> {
    fields.iter().find_map(|(name, field)| match field {
        Field::Number(value) if *name == of => Some(*value),
        _ => None,
    })
}

fn bytes<'a>(fields: &[(u64, Field<'a>)], of: u64) -> Option<&'a [u8]> {
    fields.iter().find_map(|(name, field)| match field {
        Field::Bytes(value) if *name == of => Some(*value),
        _ => None,
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// The events of a file, every length and checksum held against its bytes.
fn read_events(path: &Path) -> Vec<Event> {
    let file = std::fs::read(path).expect("an event file");
    let masked = |bytes: &[u8]| crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes();
    let mut rest = &file[..];
    let mut events = Vec::new();
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().expect("a length")) as usize;
        assert_eq!(masked(&rest[..8]), rest[8..12], "{}: checksum of a length", path.display());
        let (event, behind) = rest[12..].split_at(length);
        assert_eq!(masked(event), behind[..4], "{}: checksum of an event", path.display());
        rest = &behind[4..];
        let event = fields(event);
        let time = f64::from_bits(number(&event, 1).expect("a time"));
        let step = number(&event, 2).unwrap_or(0);
        let (tag, seen) = if let Some(version) = bytes(&event, 3) {
            (String::new(), Seen::Version(text(version)))
        } else if let Some(session) = bytes(&event, 7) {
            assert_eq!(number(&fields(session), 1), Some(1), "a start");
            (String::new(), Seen::Session)
        } else {
            let value = fields(bytes(&fields(bytes(&event, 5).expect("a summary")), 1).expect("a value"));
            let tag = text(bytes(&value, 1).expect("a tag"));
            match (number(&value, 2), bytes(&value, 9)) {
                (Some(scalar), _) => (tag, Seen::Scalar(f32::from_bits(scalar as u32))),
                (None, Some(metadata)) => {
                    let plugin = fields(bytes(&fields(metadata), 1).expect("plugin data"));
                    let tensor = fields(bytes(&value, 8).expect("a tensor"));
                    let strings = tensor.iter().filter_map(|(name, field)| match field {
                        Field::Bytes(string) if *name == 8 => Some(text(string)),
                        _ => None,
                    });
                    let name = text(bytes(&plugin, 1).expect("a name"));
                    let content = bytes(&plugin, 2).unwrap_or_default().to_vec();
                    (tag, Seen::Plugin(name, content, strings.collect()))
                }
                _ => panic!("{tag} is neither a scalar nor a plugin's"),
            }
        };
        events.push(Event { time, step, tag, seen });
    }
    assert_eq!(events[0].seen, Seen::Version("brain.Event:2".to_owned()), "{}", path.display());
    events
}

/// The scalars of a file: tag to (step, value).
fn scalars(events: &[Event]) -> BTreeMap<String, Vec<(u64, f32)>> {
    let mut found: BTreeMap<String, Vec<(u64, f32)>> = BTreeMap::new();
    for event in events {
        if let Seen::Scalar(value) = event.seen {
            found.entry(event.tag.clone()).or_default().push((event.step, value));
        }
    }
    found
}

fn event_files(folder: &Path) -> BTreeMap<String, PathBuf> {
    let name =
        |path: &PathBuf| path.parent().and_then(|p| p.strip_prefix(folder).ok()).map(|p| p.display().to_string());
    files_below(folder).into_iter().filter_map(|path| Some((name(&path)?, path))).collect()
}

fn record_of(sandbox: &Sandbox, mode: &str, lr: f64, seed: u64) -> Value {
    let is = |r: &Value| r["run"]["mode"] == mode && r["run"]["recipe"]["lr"] == lr && r["run"]["seed"] == seed;
    sandbox.records().into_iter().find(is).expect("a record")
}

#[test]
fn event_files_hold_what_was_recorded() {
    let sandbox = recorded();
    let said = sandbox.expect(0, &["export", "micro", "--tensorboard", "tb"]).out;
    assert_eq!(said, "micro: 10 runs to tb, 2 without a result\n");
    let folder = sandbox.path("tb");
    let files = event_files(&folder);
    assert_eq!(files.len(), 11, "{files:?}");

    let record = record_of(&sandbox, "child-d", 0.03, 2);
    let events = read_events(&files["pairs/child-d p=0.3 lr=0.03/seed-2"]);
    let seen = scalars(&events);
    let done = &record["end"]["done"];
    let as_float = |value: &Value| value.as_f64().expect("a number") as f32;
    for epoch in done["epochs"].as_array().expect("epochs") {
        let step = epoch["step"].as_u64().expect("a step");
        assert!(seen["dev/accuracy"].contains(&(step, as_float(&epoch["dev"]["accuracy"]))), "{seen:?}");
        assert!(seen["train/epoch_loss"].contains(&(step, as_float(&epoch["loss"]))), "{seen:?}");
    }
    assert_eq!(seen["score"], [(10, as_float(&done["dev"]["accuracy"]))]);
    assert_eq!(seen["probe/twins/f1"], [(10, as_float(&done["elsewhere"][1]["dev"]["f1"]))]);
    let csv = sandbox.path("results/runs").join(record["id"].as_str().expect("an id")).join("steps.csv");
    let csv = std::fs::read_to_string(csv).expect("steps");
    let column = |n: usize| -> Vec<(u64, f32)> {
        let rows = csv.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
        rows.map(|row| (row[0].parse().expect("a step"), row[n].parse::<f64>().expect("a number") as f32)).collect()
    };
    assert_eq!(column(1).len(), 10);
    for (n, tag) in [(1, "train/loss"), (2, "train/learning_rate"), (3, "train/gradient_norm")] {
        assert_eq!(seen[tag], column(n), "{tag}");
    }
    let began = record["made"]["started"].as_str().expect("a time").parse::<jiff::Timestamp>().expect("RFC 3339");
    let took: f64 = record["made"]["seconds"].as_object().expect("phases").values().filter_map(Value::as_f64).sum();
    let since: Vec<f64> = events.iter().map(|event| event.time - began.as_second() as f64).collect();
    assert!(since.iter().all(|since| (0.0..took + 1.0).contains(since)), "{took}: {since:?}");

    let tags = |events: &[Event]| -> Vec<String> {
        events.iter().filter(|e| matches!(e.seen, Seen::Plugin(..))).map(|e| e.tag.clone()).collect()
    };
    let whole = ["_hparams_/session_start_info", "run/settings", "_hparams_/session_end_info"];
    assert_eq!(tags(&events), whole);
    let wild = read_events(&files["pairs/wild/seed-1"]);
    assert_eq!(tags(&wild), [&whole[..], &["run/end"]].concat());
    let words = wild.iter().find_map(|event| match &event.seen {
        Seen::Plugin(_, _, words) if event.tag == "run/end" => Some(words.concat()),
        _ => None,
    });
    assert!(words.expect("words").contains("was not finite at step 2"));
    assert_eq!(tags(&read_events(&files[""])), ["_hparams_/experiment"]);
}

#[test]
fn a_second_export_changes_nothing_but_what_changed() {
    let sandbox = recorded();
    let folder = sandbox.path("tb");
    sandbox.expect(0, &["export", "micro", "--tensorboard", "tb"]);
    std::fs::write(folder.join("pairs/notes.txt"), "mine").expect("a file");
    let content = |folder: &Path| -> BTreeMap<PathBuf, Vec<u8>> {
        files_below(folder).into_iter().map(|path| (path.clone(), std::fs::read(path).expect("a file"))).collect()
    };
    let first = content(&folder);
    sandbox.expect(0, &["export", "micro", "--tensorboard", "tb"]);
    assert_eq!(content(&folder), first);

    // A run that is no more takes its folder along; nobody else's files go.
    for seed in [1, 2] {
        let wild = record_of(&sandbox, "wild", 0.01, seed);
        std::fs::remove_dir_all(sandbox.path("results/runs").join(wild["id"].as_str().expect("an id"))).expect("gone");
    }
    let said = sandbox.expect(0, &["export", "micro", "--tensorboard", "tb"]).out;
    assert_eq!(said, "micro: 8 runs to tb; 2 runs of the plan without a record yet\n");
    assert!(!folder.join("pairs/wild").exists() && folder.join("pairs/notes.txt").is_file());
    let rest = content(&folder);
    assert!(rest.len() == first.len() - 2 && rest.iter().all(|(path, bytes)| first[path] == *bytes));

    let refused = sandbox.expect(1, &["export", "odd", "--tensorboard", "tb"]).err;
    assert!(refused.contains("tb holds sweep micro") && refused.contains("a folder of its own for odd"), "{refused}");
}

#[test]
fn a_line_of_json_holds_a_whole_run() {
    let sandbox = recorded();
    let lines = |arguments: &[&str]| -> Vec<Value> {
        let said = sandbox.expect(0, arguments).out;
        said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let micro = lines(&["export", "micro", "--jsonl", "-", "--steps"]);
    assert_eq!(micro.len(), 10);
    let records: BTreeMap<String, Value> = sandbox
        .records()
        .into_iter()
        .map(|record| (record["id"].as_str().expect("an id").to_owned(), record))
        .collect();
    for line in &micro {
        assert_eq!((&line["format"], &line["sweep"]), (&json!(1), &json!("micro")));
        assert_eq!(line["record"], records[line["id"].as_str().expect("an id")]);
        // What it holds is a record again, for this program too.
        let record: sweep::record::Record = serde_json::from_value(line["record"].clone()).expect("a record");
        assert_eq!(line["score"], json!(record.score()));
        assert_eq!(line["settings"]["lr"], line["record"]["run"]["recipe"]["lr"]);
    }
    let steps: Vec<usize> = micro.iter().filter_map(|line| Some(line["steps"].as_array()?.len())).collect();
    assert_eq!(steps.iter().sum::<usize>(), 8 * 10 + 2);

    let odd = lines(&["export", "odd", "--jsonl", "-"]);
    let told: Vec<(&str, &Value)> = odd.iter().map(|l| (l["status"].as_str().expect("a word"), &l["score"])).collect();
    let none = &Value::Null;
    let causes = ["out of memory", "refused", "diverged", "crashed", "done"];
    assert_eq!(told, causes.map(|cause| (cause, none)), "an undefined score is no number");
    assert!(odd[3]["reason"].as_str().is_some_and(|why| why.contains("on fire")) && odd[0]["steps"].is_null());

    // Into a file, in place of the one that was there; a sweep of which nothing has ended has no line.
    std::fs::write(sandbox.path("out.jsonl"), "older").expect("a file");
    assert_eq!(
        sandbox.expect(0, &["export", "odd", "--jsonl", "out.jsonl"]).out,
        "odd: 5 runs to out.jsonl, 4 without a result\n"
    );
    let written = std::fs::read_to_string(sandbox.path("out.jsonl")).expect("lines");
    assert_eq!(written.lines().count(), 5);
    std::fs::remove_dir_all(sandbox.path("results/runs")).expect("gone");
    let said =
        sandbox.expect(0, &["export", "odd", "--jsonl", "new/out.jsonl", "--tensorboard", "tb", "--mlflow", "ml"]);
    assert_eq!(said.out.matches("odd: 0 runs to ").count(), 3, "{}", said.out);
    assert_eq!(std::fs::read(sandbox.path("new/out.jsonl")).expect("a file"), b"");
}

#[test]
fn a_file_store_of_mlflow_has_a_run_a_run_and_keeps_what_others_wrote() {
    let sandbox = recorded();
    sandbox.expect(0, &["export", "micro", "--mlflow", "ml"]);
    sandbox.expect(0, &["export", "odd", "--mlflow", "ml"]);
    let runs = |sweep: &str| -> Vec<PathBuf> {
        let folders = std::fs::read_dir(sandbox.path("ml")).expect("experiments").flatten().map(|entry| entry.path());
        let named = |folder: &PathBuf| {
            std::fs::read_to_string(folder.join("meta.yaml")).is_ok_and(|m| m.contains(&format!("name: \"{sweep}\"\n")))
        };
        let experiments: Vec<PathBuf> = folders.filter(named).collect();
        assert_eq!(experiments.len(), 1, "{experiments:?}");
        let mut runs: Vec<PathBuf> =
            std::fs::read_dir(&experiments[0]).expect("runs").flatten().map(|entry| entry.path()).collect();
        runs.retain(|path| path.is_dir());
        runs.sort();
        runs
    };
    let (micro, odd) = (runs("micro"), runs("odd"));
    assert_eq!((micro.len(), odd.len()), (10, 5));
    let record = record_of(&sandbox, "vanilla", 0.01, 1);
    let read = |run: &Path, name: &str| std::fs::read_to_string(run.join(name)).unwrap_or_default();
    let is = |run: &&PathBuf| read(run, "tags/sweep.id") == record["id"].as_str().expect("an id");
    let run = micro.iter().find(is).expect("the run").clone();
    assert_eq!(
        [read(&run, "params/mode"), read(&run, "params/lr"), read(&run, "params/seed")],
        ["vanilla", "0.01", "1"]
    );
    let epochs = record["end"]["done"]["epochs"].as_array().expect("epochs");
    let dev = read(&run, "metrics/dev/accuracy");
    for (line, epoch) in dev.lines().zip(epochs) {
        let (value, step) = line.split_once(' ').and_then(|(_, rest)| rest.split_once(' ')).expect("three fields");
        assert_eq!((value.parse().ok(), step), (epoch["dev"]["accuracy"].as_f64(), &*epoch["step"].to_string()));
    }
    assert_eq!((dev.lines().count(), read(&run, "metrics/train/loss").lines().count()), (2, 10));
    assert!(read(&run, "meta.yaml").contains("status: 3\n"));
    let failed = |runs: &[PathBuf]| runs.iter().filter(|run| read(run, "meta.yaml").contains("status: 4\n")).count();
    assert_eq!((failed(&micro), failed(&odd)), (2, 4));

    // What is as it was stays untouched; what changed is written anew, and others' tags stay.
    std::fs::write(run.join("tags/reviewed"), "by me").expect("a tag");
    std::fs::write(run.join("params/lr"), "changed").expect("a param");
    sandbox.expect(0, &["export", "micro", "--mlflow", "ml"]);
    assert_eq!((runs("micro"), read(&run, "params/lr").as_str()), (micro.clone(), "changed"));
    let path = sandbox.path("results/runs").join(record["id"].as_str().expect("an id")).join("record.json");
    let changed = std::fs::read_to_string(&path).expect("a record").replace("\"attempt\": 1", "\"attempt\": 2");
    std::fs::write(&path, changed).expect("a record");
    sandbox.expect(0, &["export", "micro", "--mlflow", "ml"]);
    assert_eq!(runs("micro"), micro);
    assert_eq!(
        [read(&run, "params/lr"), read(&run, "tags/reviewed"), read(&run, "tags/sweep.attempt")],
        ["0.01", "by me", "2"]
    );

    // An experiment that MLflow made under the sweep's name is the sweep's.
    let made = sandbox.path("other/7");
    std::fs::create_dir_all(&made).expect("a folder");
    std::fs::write(made.join("meta.yaml"), "experiment_id: '7'\nlifecycle_stage: active\nname: micro\n").expect("meta");
    sandbox.expect(0, &["export", "micro", "--mlflow", "other"]);
    assert_eq!(std::fs::read_dir(sandbox.path("other")).expect("experiments").count(), 1);
    assert!(files_below(&made).iter().any(|path| path.ends_with("params/lr")));
}

#[test]
fn both_forms_of_export_are_told_apart() {
    let sandbox = recorded();
    std::fs::write(sandbox.path("a-file"), "").expect("a file");
    let run = record_of(&sandbox, "wild", 0.01, 1)["id"].as_str().expect("an id").to_owned();
    for (arguments, said) in [
        (&["micro"][..], "micro is a sweep: say what to make of its records by --tensorboard DIR"),
        (&["micro", "out"], "micro is a sweep"),
        (&[&run], "name the folder for the model of run"),
        (&[&run[..8], "--jsonl", "-"], "is a run, and what is exported so is a sweep"),
        (&["mikro", "--mlflow", "ml"], "did you mean \"micro\""),
        (&["mikro", "out"], "no run in results has an id that begins with \"mikro\""),
        (&["micro", "out", "--jsonl", "-"], "'[DIR]' cannot be used with"),
        (&["micro", "--jsonl", "-", "--train"], "cannot be used with '--train'"),
        (&["micro", "--tensorboard", "a-file"], "a-file is a file; name a folder"),
        (&["micro", "--mlflow", "a-file"], "a-file is a file; name a folder"),
        (&["micro", "--jsonl", "results"], "results is a folder; name a file"),
        (&["micro", "--tensorboard", "/proc/tb"], "cannot write /proc/tb"),
        (&["micro", "--jsonl", "/proc/out.jsonl"], "cannot write /proc/out.jsonl"),
    ] {
        let err = sandbox.expect(1, &[&["export"], arguments].concat()).err;
        assert!(err.contains(said) && !err.contains("panicked"), "{arguments:?}: expected \"{said}\" in\n{err}");
    }

    // A worker that died left half a line: the run goes without its steps, and that is said.
    let id = record_of(&sandbox, "vanilla", 0.01, 1)["id"].as_str().expect("an id").to_owned();
    std::fs::write(sandbox.path("results/runs").join(&id).join("steps.csv"), "step,loss\n1,0.").expect("steps");
    let said = sandbox.expect(0, &["export", "micro", "--tensorboard", "tb"]);
    assert!(said.err.contains(&format!("without its steps: results/runs/{id}/steps.csv is damaged")), "{}", said.err);
    assert!(said.out.contains("10 runs"), "{}", said.out);
}

/// While runs train, and after one was put aside and went on.
#[test]
fn event_files_grow_with_the_runs() {
    let grid = "mode = [\"vanilla\", \"wild\"]\nseed = [1, 2]\n[mode.wild]\nbase = \"vanilla\"\nweight_decay = 1e30";
    let train = "epochs = 3\nlr = 1e-2\nwarmup = 0.0\nlog_every = 1\n[run]\ntensorboard = true";
    let sandbox = Sandbox::with(&tiny_sweep(grid, train));
    let said = sandbox.expect(2, &["run", "sweep.toml", "--devices", "cpu"]);
    assert!(!said.err.contains("warning"), "{}", said.err);
    let files = event_files(&sandbox.path("results/tiny/tensorboard"));
    let places: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(places, ["", "pairs/vanilla/seed-1", "pairs/vanilla/seed-2", "pairs/wild/seed-1", "pairs/wild/seed-2"]);
    let record = record_of(&sandbox, "vanilla", 0.01, 2);
    let events = read_events(&files["pairs/vanilla/seed-2"]);
    let seen = scalars(&events);
    let steps = record["end"]["done"]["steps"].as_u64().expect("steps");
    // At most a few losses a second are told; whatever else was logged comes when the run is over.
    assert!(!seen["train/loss"].is_empty() && seen["train/loss"].iter().all(|(step, _)| (1..=steps).contains(step)));
    assert_eq!((seen["train/learning_rate"].len() as u64, seen["dev/accuracy"].len()), (steps, 3));
    let score = record["end"]["done"]["dev"]["accuracy"].as_f64().expect("a score") as f32;
    assert_eq!(seen["score"], [(steps, score)]);
    let order: Vec<&str> =
        events.iter().map(|event| event.tag.as_str()).filter(|tag| tag.starts_with("_hparams_")).collect();
    assert_eq!(order, ["_hparams_/session_start_info", "_hparams_/session_end_info"]);
    let session = events.iter().position(|event| event.seen == Seen::Session).expect("a session");
    let first = events.iter().position(|event| event.tag == "train/loss").expect("a loss");
    assert!(session < first);
    assert!(read_events(&files["pairs/wild/seed-1"]).iter().any(|event| event.tag == "run/end"));

    // The records say the same when they are exported over it.
    sandbox.expect(0, &["export", "tiny", "--tensorboard", "results/tiny/tensorboard"]);
    let exported = event_files(&sandbox.path("results/tiny/tensorboard"));
    assert_eq!(exported.keys().collect::<Vec<_>>(), files.keys().collect::<Vec<_>>());
    let again = scalars(&read_events(&exported["pairs/vanilla/seed-2"]));
    for tag in ["dev/accuracy", "score", "train/learning_rate", "train/gradient_norm", "train/epoch_loss"] {
        assert_eq!(again[tag], seen[tag], "{tag}");
    }
}

#[test]
fn a_picture_that_cannot_be_drawn_costs_no_run() {
    let sandbox =
        Sandbox::with(&tiny_sweep("mode = [\"vanilla\"]\nseed = [1, 2]", "epochs = 1\n[run]\ntensorboard = true"));
    std::fs::create_dir_all(sandbox.path("results/tiny")).expect("a folder");
    std::fs::write(sandbox.path("results/tiny/tensorboard"), "in the way").expect("a file");
    let said = sandbox.expect(0, &["run", "sweep.toml", "--devices", "cpu"]);
    assert!(said.out.contains("2 done now"), "{}", said.out);
    assert_eq!(said.err.matches("TensorBoard's files in").count(), 1, "{}", said.err);
    assert!(said.err.contains("The sweep goes on"), "{}", said.err);
}

/// TensorBoard and MLflow themselves read what was written.
#[test]
fn the_trackers_show_it() {
    let sandbox = recorded();
    for sweep in ["micro", "odd"] {
        sandbox.expect(0, &["export", sweep, "--tensorboard", &format!("tb-{sweep}"), "--mlflow", "ml"]);
    }
    sandbox.expect(0, &["export", "micro", "--mlflow", "ml"]);
    let Ok(python) = std::env::var("SWEEP_PYTHON") else {
        let _ = writeln!(std::io::stderr(), "skipped: SWEEP_PYTHON names no Python with tensorboard and mlflow");
        return;
    };
    let mut command = Command::new(python);
    command.arg(project().join("tests/parity/trackers.py")).arg(sandbox.folder.path());
    let output = command.env("MLFLOW_ALLOW_FILE_STORE", "true").output().expect("Python starts");
    let err = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(77) {
        let _ = writeln!(std::io::stderr(), "skipped: {}", err.trim());
        return;
    }
    assert!(output.status.success(), "{}{err}", String::from_utf8_lossy(&output.stdout));
    let read: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let modes = |rows: &Value| -> BTreeSet<String> {
        rows.as_array().expect("rows").iter().map(|row| row["mode"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let all = ["child-d", "vanilla", "wild"].map(str::to_owned).into();
    assert_eq!(
        (modes(&read["hparams"]), modes(&read["mlflow"]["micro"])),
        (all, ["child-d", "vanilla", "wild"].map(str::to_owned).into())
    );
    for record in sandbox.records().iter().filter(|record| record["end"]["done"]["metric"] == "accuracy") {
        let score = record["end"]["done"]["dev"]["accuracy"].as_f64().expect("a score");
        let of = |rows: &Value, id: &str| {
            let rows = rows.as_array().expect("rows");
            rows.iter().find(|row| row["id"] == id).expect("a row").clone()
        };
        let id = record["id"].as_str().expect("an id");
        let row = of(&read["mlflow"]["micro"], id);
        assert_eq!((&row["status"], row["score"].as_f64()), (&json!("FINISHED"), Some(score)));
        assert_eq!(row["history"].as_array().map(Vec::len), Some(10), "{row}");
        let row = of(&read["hparams"], id);
        assert!((row["score"].as_f64().expect("a score") - score).abs() < 1e-6 && row["status"] == 1, "{row}");
        assert_eq!(of(&read["scalars"], id)["steps"], json!((1..=10).collect::<Vec<_>>()));
    }
    let status: Vec<&Value> =
        read["mlflow"]["odd"].as_array().expect("rows").iter().map(|row| &row["status"]).collect();
    assert_eq!(status.iter().filter(|status| **status == "FAILED").count(), 4, "{status:?}");
}
