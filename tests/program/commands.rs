//! What a person does with the program: plan, run, add to the grid, look, report.

use super::sandbox::{Sandbox, tiny_sweep};

const GRID: &str = "mode = [\"vanilla\", \"child-f\", \"child-d\"]\np = [0.3]\nseed = [1, 2]";

#[test]
fn a_sweep_is_planned_run_extended_and_reported() {
    let sandbox = Sandbox::with(&tiny_sweep(GRID, "epochs = 1\nlr = 1e-3"));
    let plan = sandbox.expect(0, &["plan", "sweep.toml"]).out;
    assert!(plan.contains("6 runs: 6 new, 0 done, 0 failed before, 0 stale") && plan.contains("unknown"), "{plan}");
    let dry = sandbox.expect(0, &["run", "sweep.toml", "--dry-run"]).out;
    assert!(dry.contains("6 runs would be trained on cpu"), "{dry}");
    assert!(!sandbox.path("results").exists());

    let first = sandbox.expect(0, &["run", "sweep.toml", "--only", "seed=1 and mode=vanilla|child-d"]).out;
    assert!(first.contains("2 done now"), "{first}");
    sandbox.expect(0, &["run", "sweep.toml", "--limit", "1"]);
    let rest = sandbox.expect(0, &["run", "sweep.toml"]).out;
    assert!(rest.contains("3 done now, 3 done before, 0 failed, 0 left"), "{rest}");
    assert_eq!(sandbox.records().len(), 6);

    // A longer axis runs only what is new, under another name too.
    let longer =
        tiny_sweep(&GRID.replace("[1, 2]", "[1, 2, 3]"), "epochs = 1\nlr = 1e-3").replace("\"tiny\"", "\"longer\"");
    std::fs::write(sandbox.path("longer.toml"), longer).expect("a sweep file");
    let plan = sandbox.expect(0, &["plan", "longer.toml"]).out;
    assert!(plan.contains("9 runs: 3 new, 6 done") && !plan.contains("unknown"), "{plan}");
    assert!(sandbox.expect(0, &["run", "longer.toml"]).out.contains("3 done now, 6 done before"));

    let status: serde_json::Value = serde_json::from_str(&sandbox.expect(0, &["status", "--json"]).out).expect("JSON");
    let longer = status.as_array().expect("a list").iter().find(|s| s["sweep"] == "longer").expect("the sweep");
    assert_eq!(
        (&longer["runs"], &longer["done"], &longer["running"]),
        (&9.into(), &9.into(), &serde_json::Value::Null)
    );

    sandbox.expect(0, &["report", "longer.toml"]);
    for file in ["index.html", "tables/main.md", "tables/main.tex", "tables/main.csv"] {
        assert!(sandbox.path("reports/longer").join(file).is_file(), "{file}");
    }
    for file in ["runs.csv", "runs.parquet", "events.jsonl", "manifest.json"] {
        assert!(sandbox.path("results/longer").join(file).is_file(), "{file}");
    }
    let csv = std::fs::read_to_string(sandbox.path("results/longer/runs.csv")).expect("runs.csv");
    assert_eq!(csv.lines().count(), 10);
}

/// A report needs records and nothing else: no data, no model, no masks; and it is the same, byte for byte.
#[test]
fn a_report_is_made_again_from_records_alone() {
    let sandbox = Sandbox::with(&tiny_sweep(GRID, "epochs = 1\nlr = 1e-3"));
    sandbox.expect(0, &["run", "sweep.toml"]);
    sandbox.expect(0, &["report", "sweep.toml"]);
    let before = std::fs::read(sandbox.path("reports/tiny/index.html")).expect("a page");
    for bulky in ["results/masks", "results/cache", "reports"] {
        std::fs::remove_dir_all(sandbox.path(bulky)).expect(bulky);
    }
    let text =
        std::fs::read_to_string(sandbox.path("sweep.toml")).expect("a sweep file").replace("tests/parity", "nowhere");
    std::fs::write(sandbox.path("sweep.toml"), text).expect("a sweep file");
    sandbox.expect(0, &["report", "sweep.toml"]);
    assert!(before == std::fs::read(sandbox.path("reports/tiny/index.html")).expect("a page"), "the pages differ");
}

#[test]
fn runs_that_differ_in_p_share_one_fisher_pass() {
    let grid = "mode = [\"child-d\"]\np = [0.1, 0.3, 0.5]\nlr = [1e-3, 2e-3]\nseed = [1, 2]";
    let sandbox = Sandbox::with(&tiny_sweep(grid, "epochs = 1").replace("tiny-bert\"", "tiny-bert-regression\""));
    sandbox.expect(0, &["run", "sweep.toml"]);
    let count = |folder: &str, ending: &str| {
        let files = std::fs::read_dir(sandbox.path(folder)).expect(folder);
        files.flatten().filter(|f| f.file_name().to_string_lossy().ends_with(ending)).count()
    };
    // The head is fresh, so each seed has its own Fisher scores; the learning rate has no part in a mask.
    assert_eq!((count("results/cache/fisher", ".f32"), count("results/masks", ".mask")), (2, 6));

    let shared = grid.to_owned() + "\n[mode.child-d]\nfisher_seed = 7";
    let sandbox = Sandbox::with(&tiny_sweep(&shared, "epochs = 1").replace("tiny-bert\"", "tiny-bert-regression\""));
    sandbox.expect(0, &["run", "sweep.toml"]);
    assert_eq!(std::fs::read_dir(sandbox.path("results/masks")).expect("masks").count(), 3);
}

#[test]
fn scores_may_wait_for_the_last_step() {
    let text = tiny_sweep("mode = [\"vanilla\"]", "epochs = 2\ntrain_size = 24");
    let (each, end) = (Sandbox::with(&text), Sandbox::with(&(text.clone() + "\n[run]\nscores = \"end\"\n")));
    let done = |sandbox: &Sandbox| {
        sandbox.expect(0, &["run", "sweep.toml"]);
        sandbox.expect(0, &["report", "sweep.toml"]);
        sandbox.expect(0, &["query", "SELECT * FROM evals"]);
        sandbox.records()[0]["end"]["done"].clone()
    };
    let (each, end) = (done(&each), done(&end));
    assert_eq!((&end["dev"], &end["epochs"][1]), (&each["dev"], &each["epochs"][1]));
    assert_eq!(end["epochs"][0]["loss"], each["epochs"][0]["loss"]);
    assert_eq!(end["epochs"][0]["dev"], serde_json::json!({}));
}

#[test]
fn a_loss_that_is_not_finite_ends_the_run_as_diverged_and_is_not_tried_again() {
    let sandbox =
        Sandbox::with(&tiny_sweep("mode = [\"vanilla\"]", "epochs = 3\nlr = 1.0\nweight_decay = 1e30\nwarmup = 0.0"));
    let said = sandbox.expect(2, &["run", "sweep.toml"]);
    assert!(said.err.contains("not finite at step"), "{}", said.err);
    assert!(sandbox.records()[0]["end"]["failed"]["diverged"]["step"].as_u64().is_some());
    assert!(sandbox.expect(2, &["run", "sweep.toml"]).out.contains("0 done now"));
    assert!(sandbox.expect(0, &["plan", "sweep.toml", "--list"]).out.contains("failed before: diverged"));
}

#[test]
fn changed_data_makes_runs_stale() {
    let parity = super::sandbox::project().join("tests/parity");
    let text = tiny_sweep("mode = [\"vanilla\"]", "epochs = 1")
        .replace(&format!("{}/train.tsv", parity.display()), "train.tsv");
    let sandbox = Sandbox::with(&text);
    let rows = std::fs::read_to_string(parity.join("train.tsv")).expect("rows");
    std::fs::write(sandbox.path("train.tsv"), &rows).expect("data");
    sandbox.expect(0, &["run", "sweep.toml"]);
    std::fs::write(sandbox.path("train.tsv"), rows + "one more\tone more\tyes\t5.0\n").expect("data");
    let plan = sandbox.expect(0, &["plan", "sweep.toml"]).out;
    assert!(plan.contains("0 new, 0 done, 0 failed before, 1 stale"), "{plan}");
}

#[test]
fn what_is_missing_is_said_with_the_command_that_mends_it() {
    let sandbox = Sandbox::new();
    let doctor = sandbox.sweep(&["doctor"]);
    assert!(doctor.out.contains("libtorch 2.11.0") && doctor.out.contains("mend it: make setup"), "{}", doctor.out);
    let err = sandbox.expect(1, &["run", "nowhere.toml"]).err;
    assert!(err.contains("cannot read the sweep file nowhere.toml"), "{err}");
    let err = sandbox.expect(1, &["report", "never-run"]).err;
    assert!(err.contains("no run of sweep \"never-run\" is recorded"), "{err}");
    let text = tiny_sweep("mode = [\"vanilla\"]", "");
    std::fs::write(sandbox.path("sweep.toml"), text).expect("a sweep file");
    let err = sandbox.expect(1, &["run", "sweep.toml", "--devices", "cuda:7"]).err;
    assert!(err.contains("no device \"cuda:7\" on this machine; it has cpu"), "{err}");
    let err = sandbox.expect(1, &["run", "sweep.toml", "--only", "sed=1"]).err;
    assert!(err.contains("did you mean \"seed\"?"), "{err}");
}
