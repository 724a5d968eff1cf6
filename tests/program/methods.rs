//! Every method and every pair of methods, through the program.

use std::collections::BTreeSet;

use sweep::method::{METHODS, refusal};

use super::sandbox::{Sandbox, as_regression, tiny_sweep};

/// Numbers that suit a model of two layers and a run of three steps.
const NUMBERS: &str = "top_layers = 1\nreinit_layers = 1\nkeep = 0.1\nt0 = 2\nmix = 0.5\nhype_sigma = 1e-3";

fn quoted(names: &BTreeSet<String>) -> String {
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

fn singles() -> BTreeSet<String> {
    METHODS.iter().map(|method| method.name.to_owned()).collect()
}

/// Trains three steps of each mode and expects a finite loss and a score of all.
fn all_train(modes: &BTreeSet<String>, change: impl FnOnce(String) -> String) {
    let grid = format!("mode = [{}]\n{NUMBERS}", quoted(modes));
    let sandbox = Sandbox::with(&change(tiny_sweep(&grid, "max_steps = 3\nlr = 1e-3\nwarmup = 0.0")));
    sandbox.expect(0, &["run", "sweep.toml", "--slots-per-device", "2"]);
    let records = sandbox.records();
    assert_eq!(records.len(), modes.len());
    for record in records {
        let done = &record["end"]["done"];
        let loss = done["epochs"][0]["loss"].as_f64().expect("a loss");
        assert!(loss.is_finite() && done["steps"] == 3, "{record}");
    }
}

#[test]
fn every_pair_trains_or_is_refused_with_a_sentence() {
    let names: Vec<&str> = METHODS.iter().map(|method| method.name).collect();
    let mut trained = singles();
    let mut refused = Vec::new();
    for (i, a) in names.iter().enumerate() {
        for b in &names[i + 1..] {
            match refusal(&[a, b]) {
                None => drop(trained.insert(format!("{a}+{b}"))),
                Some(why) => refused.push((format!("{a}+{b}"), why)),
            }
        }
    }
    assert_eq!(trained.len() + refused.len(), names.len() * (names.len() + 1) / 2);
    assert!(trained.len() > 150 && refused.len() > 60, "{} trained, {} refused", trained.len(), refused.len());
    for (pair, why) in &refused {
        assert!(why.contains(' ') && pair.split('+').all(|name| why.contains(name)), "{pair}: {why}");
    }
    all_train(&trained, |text| text);

    // Each refusal is a fault of the file, in its place.
    let modes: BTreeSet<String> = refused.iter().map(|(pair, _)| pair.clone()).collect();
    let sandbox = Sandbox::with(&tiny_sweep(&format!("mode = [{}]", quoted(&modes)), ""));
    let err = sandbox.expect(1, &["plan", "sweep.toml"]).err;
    assert!(err.contains(&format!("{} faults", refused.len())), "{err}");
    for (pair, why) in &refused {
        assert!(err.contains(&format!("\"{pair}\" cannot be trained")) && err.contains(why), "{pair} in\n{err}");
    }
}

/// A regression has losses and divergences of its own.
#[test]
fn every_method_trains_a_regression() {
    all_train(&singles(), as_regression);
}

/// The ids and numbers that a sweep plans, by mode: what each method of a combination is given.
fn planned(modes: &str) -> Vec<(String, serde_json::Value)> {
    let sandbox = Sandbox::with(&tiny_sweep(modes, ""));
    let said = sandbox.expect(0, &["plan", "sweep.toml", "--list", "--json"]).out;
    let plan: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    let runs = plan.as_array().or(plan["runs"].as_array()).expect("a list").clone();
    runs.iter()
        .map(|line| (line["run"]["mode"].as_str().expect("a mode").into(), line["run"]["method"].clone()))
        .collect()
}

#[test]
fn combinations_aliases_and_numbers_of_one_of_them_are_planned() {
    let grid = "mode = [\"r3f+child-d\", \"both\", \"mine\", \"child-f\"]\np = [0.2, 0.4]\n\
                [mode.\"child-d+r3f\"]\nr3f_lambda = [0.5, 1.0]\n\
                [mode.both]\nbase = \"child-d+child-f\"\nchild-d.p = 0.1\nchild-f = { fidelity = \"code\" }\n\
                [mode.mine]\nbase = \"mixout+child-d\"\np = 0.7\nmix = 0.3";
    let runs = planned(grid);
    let of = |mode: &str| -> Vec<&serde_json::Value> {
        runs.iter().filter(|(name, _)| name == mode).map(|(_, method)| method).collect()
    };
    // The table of child-d+r3f is that of r3f+child-d.
    let joined = of("r3f+child-d");
    assert_eq!(joined.len(), 4);
    assert!(joined.iter().all(|method| method["name"] == "child-d+r3f"));
    assert_eq!(joined[1]["numbers"]["r3f_lambda"], 1.0);
    // p of the grid is child-f's alone where child-d has its own.
    let both = of("both");
    assert_eq!(both.len(), 2);
    assert_eq!(both[0]["name"], "child-f+child-d");
    let numbers = |name: &str| -> Vec<&serde_json::Value> { both.iter().map(|m| &m["numbers"][name]).collect() };
    assert_eq!(numbers("child-f.p"), [0.2, 0.4]);
    assert_eq!(numbers("child-d.p"), [0.1, 0.1]);
    assert_eq!((numbers("child-f.fidelity")[0], numbers("child-d.fidelity")[0]), (&"code".into(), &"paper".into()));
    assert!(both[0]["numbers"].get("p").is_none());
    let mine = of("mine");
    assert_eq!(mine.len(), 1);
    assert_eq!((&mine[0]["numbers"]["p"], &mine[0]["numbers"]["mix"]), (&0.7.into(), &0.3.into()));
    assert_eq!(of("child-f").len(), 2);
}

#[test]
fn filters_see_the_numbers_of_a_combination() {
    let grid = "mode = [\"child-f+child-d\", \"apart\"]\np = [0.2, 0.3]\n\
                [mode.apart]\nbase = \"child-f+child-d\"\nchild-f.p = 0.3\nchild-d.p = [0.1, 0.3]";
    let sandbox = Sandbox::with(&tiny_sweep(grid, ""));
    let count = |only: &str| {
        let out = sandbox.expect(0, &["plan", "sweep.toml", "--only", only]).out;
        out.split(" runs: ").next().and_then(|head| head.rsplit(['\n', ' ']).next()?.parse::<u32>().ok()).expect(&out)
    };
    assert!(sandbox.expect(1, &["plan", "sweep.toml"]).err.contains("ask for the same run"), "p = 0.3 of both");
    let grid = grid.replace("[0.1, 0.3]", "[0.1, 0.2]");
    std::fs::write(sandbox.path("sweep.toml"), tiny_sweep(&grid, "")).expect("a sweep file");
    assert_eq!(count("p=0.3"), 1, "where both agree");
    assert_eq!(count("child-f.p=0.3"), 3);
    assert_eq!(count("child-d.p<0.2"), 1);
    let excluded = tiny_sweep(&grid, "").replace("[task.pairs]", "[[exclude]]\np = 0.3\n[task.pairs]");
    std::fs::write(sandbox.path("sweep.toml"), excluded).expect("a sweep file");
    assert_eq!(count("seed=1"), 3, "an exclude sees what is trained, not a standard that is not used");
}

/// Head, data order and dropout of a seed are the same for every method whose first pass is the plain one.
#[test]
fn the_first_pass_is_the_same_for_every_method_of_a_seed() {
    let changed = ["prune", "mixout", "noisytune", "hype", "dps-dense", "dps-mix", "reinit", "r3f", "r-drop"];
    let modes: BTreeSet<String> = singles().into_iter().filter(|name| !changed.contains(&name.as_str())).collect();
    let grid = format!("mode = [{}]\ntop_layers = 1\nkeep = 0.1\nseed = [3, 4]", quoted(&modes));
    let text = as_regression(tiny_sweep(&grid, "max_steps = 1\ndropout = 0.2\nlog_every = 1"));
    // The checkpoint of the classes has no head for values: it is drawn.
    let sandbox = Sandbox::with(&text.replace("tiny-bert-regression", "tiny-bert"));
    sandbox.expect(0, &["run", "sweep.toml"]);
    let mut losses: BTreeSet<(u64, String)> = BTreeSet::new();
    let records = sandbox.records();
    assert_eq!(records.len(), 2 * modes.len());
    for record in records {
        let id = record["id"].as_str().expect("an id");
        let csv = std::fs::read_to_string(sandbox.path(&format!("results/runs/{id}/steps.csv"))).expect("steps.csv");
        let loss = csv.lines().nth(1).and_then(|line| line.split(',').nth(1)).expect("a loss");
        losses.insert((record["run"]["seed"].as_u64().expect("a seed"), loss.to_owned()));
    }
    assert_eq!(losses.len(), 2, "one loss a seed: {losses:?}");
}

/// Runs that predict one class and runs that diverge are told apart in records and counted in tables, never dropped.
#[test]
fn collapsed_and_diverged_runs_are_recorded_and_counted() {
    // Of an encoder that is pruned to nothing only biases are left: every pair looks alike.
    let grid = "mode = [\"vanilla\", \"gone\", \"wild\"]\nseed = [1, 2]\n\
                [mode.gone]\nbase = \"prune\"\np = 1e-6\n\
                [mode.wild]\nbase = \"recadam\"\ngamma = 1e30\nt0 = 2";
    let sandbox = Sandbox::with(&tiny_sweep(grid, "epochs = 1\nlr = 1e-3\nwarmup = 0.0"));
    let said = sandbox.expect(2, &["run", "sweep.toml"]);
    assert!(said.err.contains("not finite at step"), "{}", said.err);
    for record in sandbox.records() {
        match record["run"]["mode"].as_str() {
            Some("gone") => assert_eq!(record["end"]["done"]["collapsed"], true, "{record}"),
            Some("wild") => assert!(record["end"]["failed"]["diverged"]["step"].as_u64() > Some(0), "{record}"),
            _ => assert!(record["end"]["done"]["dev"].is_object(), "{record}"),
        }
    }
    sandbox.expect(0, &["report", "sweep.toml"]);
    let table = std::fs::read_to_string(sandbox.path("reports/tiny/tables/main.md")).expect("a table");
    for said in ["2 collapsed", "2 diverged"] {
        assert!(table.contains(said), "{said} in\n{table}");
    }
}
