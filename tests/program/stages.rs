//! What follows training, profiles, and the sweep files of the study.

use super::sandbox::{Sandbox, project, tiny_sweep};

const GRID: &str = "mode = [\"vanilla\", \"child-d\"]\np = [0.3]\nseed = [1]";

/// The tiny sweep with a second task over the same files, its classes called otherwise.
fn with_twins(stages: &str) -> String {
    let text = tiny_sweep(GRID, "epochs = 1\nlr = 1e-3");
    let own = text.split("[task.pairs]").nth(1).and_then(|rest| rest.split("[train]").next()).expect("a task");
    format!("{text}\n[task.twins]{own}\n{stages}")
}

const STAGES: &str = r#"
[eval]
tasks = ["twins", "pairs"]
[eval.labels.twins]
no = "yes"
yes = "no"
[probe]
tasks = ["twins"]
train_size = 40
[transfer]
tasks = ["twins"]
[measure]
sharpness = true
variance = [0.5, 1.0]
examples = 16
iterations = 2
directions = 1
batches = 2
"#;

#[test]
fn stages_are_recorded_and_a_new_one_trains_nothing_again() {
    let sandbox = Sandbox::with(&with_twins(STAGES));
    sandbox.expect(0, &["run", "sweep.toml"]);
    let records = sandbox.records();
    assert_eq!(records.len(), 2);
    for record in &records {
        let done = &record["end"]["done"];
        let ways: Vec<_> = done["elsewhere"].as_array().expect("other tasks").iter().map(|e| &e["way"]).collect();
        // A task is no other task of its own: pairs is left out.
        assert_eq!(ways, ["eval", "probe", "transfer"]);
        assert_eq!(done["elsewhere"][1]["train_examples"], 40);
        let (own, swapped) = (done["dev"]["accuracy"].as_f64(), done["elsewhere"][0]["dev"]["accuracy"].as_f64());
        assert!((own.expect("a score") + swapped.expect("a score") - 1.0).abs() < 1e-12);
        assert!(done["sharpness"]["eigenvalue"].is_f64() && done["variance"].as_array().map(Vec::len) == Some(4));
        assert!(record["made"]["seconds"]["train"].is_f64());
    }

    // One more measurement is another run; its training is the one that was.
    std::fs::write(sandbox.path("sweep.toml"), with_twins(&STAGES.replace("[0.5, 1.0]", "[0.25, 0.5, 1.0]")))
        .expect("a sweep file");
    let plan = sandbox.expect(0, &["plan", "sweep.toml"]).out;
    assert!(plan.contains("2 runs: 2 new"), "{plan}");
    let log = sandbox.expect(0, &["run", "sweep.toml"]);
    assert!(log.out.contains("2 done now"), "{}", log.out);
    let all = sandbox.records();
    assert_eq!(all.len(), 4);
    let fresh: Vec<_> = all.iter().filter(|record| !records.contains(record)).collect();
    for record in fresh {
        let twin = records.iter().find(|r| r["run"]["mode"] == record["run"]["mode"]).expect("the earlier one");
        assert_eq!(record["end"]["done"]["epochs"], twin["end"]["done"]["epochs"]);
        // What there is of training is that of the transfer, within the stages.
        assert!(record["made"]["seconds"]["probe"].is_f64());
    }
}

#[test]
fn faults_of_stages_are_told_with_their_places() {
    let wrong = STAGES
        .replace("tasks = [\"twins\", \"pairs\"]", "tasks = [\"twinz\"]")
        .replace("batches = 2", "batches = 3")
        .replace("[probe]\ntasks = [\"twins\"]", "[probe]\nlr = 2.0");
    let said = Sandbox::with(&with_twins(&wrong)).expect(1, &["plan", "sweep.toml"]).err;
    for part in [
        "unknown task \"twinz\"",
        "did you mean \"twins\"",
        "batches must be an even number",
        "[probe] names no tasks",
        "lr must be",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let no_class = STAGES.replace("yes = \"no\"", "maybe = \"no\"");
    let said = Sandbox::with(&with_twins(&no_class)).expect(1, &["plan", "sweep.toml"]).err;
    assert!(said.contains("\"maybe\" is no class of pairs; these are: no, yes"), "{said}");
}

#[test]
fn a_profile_stands_in_for_parts_of_the_file() {
    let text = tiny_sweep("mode = [\"vanilla\", \"child-d\"]\np = [0.3]\nseed = [1, 2, 3]", "epochs = 3")
        + "[profile.small.grid]\nmode = [\"child-d\"]\nseed = [1]\n[profile.small.train]\nepochs = 1\n";
    let sandbox = Sandbox::with(&text);
    assert!(sandbox.expect(0, &["plan", "sweep.toml"]).out.contains("6 runs"));
    assert!(sandbox.expect(0, &["run", "sweep.toml", "--profile", "small"]).out.contains("1 done now"));
    let record = &sandbox.records()[0];
    assert_eq!((&record["run"]["recipe"]["epochs"], &record["run"]["recipe"]["batch_size"]), (&1.into(), &8.into()));
    assert!(sandbox.path("results/tiny-small/manifest.json").is_file());
    sandbox.expect(0, &["report", "sweep.toml", "--profile", "small"]);
    assert!(sandbox.path("reports/tiny-small/index.html").is_file());
    let said = sandbox.expect(1, &["plan", "sweep.toml", "--profile", "smal"]).err;
    assert!(said.contains("no profile \"smal\"") && said.contains("did you mean \"small\""), "{said}");
}

#[test]
#[expect(clippy::print_stderr, reason = "who runs the tests should see what this one left out")]
fn every_sweep_file_plans_whole_and_small() {
    let sandbox = Sandbox::new();
    let has_demo = project().join("models/all-MiniLM-L6-v2/config.json").is_file() && project().join("data").is_dir();
    if !has_demo {
        eprintln!("skipped in part: the demo's model and data are not there; `make setup` fetches them");
    }
    let (models, data) = (project().join("models"), project().join("data"));
    let here = ["--models", models.to_str().expect("UTF-8"), "--data", data.to_str().expect("UTF-8")];
    let mut count = 0;
    for entry in std::fs::read_dir(project().join("sweeps")).expect("sweeps").flatten() {
        let path = entry.path();
        let file = path.to_str().expect("UTF-8");
        let text = std::fs::read_to_string(&path).expect("a sweep file");
        assert!(text.contains("question ="), "{file} asks nothing");
        let whole = sandbox.expect(0, &[&["plan", file, "--without-inputs"], &here[..]].concat()).out;
        assert!(whole.contains(" runs: "), "{whole}");
        if has_demo && text.contains("[profile.small") {
            let small = sandbox.expect(0, &[&["plan", file, "--profile", "small"], &here[..]].concat()).out;
            assert!(small.contains(" runs: ") && !small.contains("not here"), "{small}");
        }
        count += 1;
    }
    assert!(count >= 14, "{count} sweep files");
}
