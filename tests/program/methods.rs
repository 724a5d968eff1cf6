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
fn a_mode_may_have_settings_of_training_of_its_own() {
    let grid = "mode = [\"vanilla\", \"lora\", \"sage\"]\nlr = [1e-4, 2e-4]\n\
                [mode.lora]\nlr = { from = 1e-3, to = 3e-3, step = 1e-3 }\nepochs = 20\n\
                [mode.sage]\nwarmup = 0.0\n[tune]\nweight_decay = [0.0, 0.1]";
    let sandbox = Sandbox::with(&tiny_sweep(grid, "epochs = 2"));
    let plan = |file: &str| -> Vec<serde_json::Value> {
        let said = sandbox.expect(0, &["plan", file, "--list", "--json"]).out;
        let plan: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        let runs = plan.as_array().or(plan["runs"].as_array()).expect("a list").clone();
        runs.into_iter().map(|line| line["run"].clone()).collect()
    };
    let of = |mode: &str, name: &str| -> Vec<f64> {
        let runs = plan("sweep.toml").into_iter().filter(|run| run["mode"] == mode);
        runs.map(|run| run["recipe"][name].as_f64().expect("a number")).collect()
    };
    assert_eq!(of("vanilla", "lr"), [1e-4, 1e-4, 2e-4, 2e-4]);
    assert_eq!(of("lora", "lr"), [1e-3, 2e-3, 3e-3, 1e-3, 2e-3, 3e-3]);
    assert_eq!((of("lora", "epochs")[0], of("vanilla", "epochs")[0]), (20.0, 2.0));
    assert_eq!((of("sage", "warmup")[0], of("lora", "warmup")[0], of("sage", "lr").len()), (0.0, 0.1, 4));

    // A filter may name what [train] gives the others.
    let text = tiny_sweep(grid, "epochs = 2").replace("[task.pairs]", "[[exclude]]\nepochs = 2\n[task.pairs]");
    std::fs::write(sandbox.path("few.toml"), text).expect("a sweep file");
    assert!(plan("few.toml").iter().all(|run| run["mode"] == "lora"));
    let zipped = grid.replace("lr = [1e-4, 2e-4]\n", "lr = [1e-4, 2e-4]\nseed = [1, 2]\nzip = [[\"lr\", \"seed\"]]\n");
    std::fs::write(sandbox.path("zipped.toml"), tiny_sweep(&zipped, "")).expect("a sweep file");
    assert!(sandbox.expect(1, &["plan", "zipped.toml"]).err.contains("overrides a zipped axis"));

    // What it is compared with was trained otherwise, and the table says so.
    let text =
        tiny_sweep("mode = [\"vanilla\", \"lora\"]\n[mode.lora]\nlr = 1e-2\nepochs = 2", "epochs = 1\nlr = 1e-3");
    std::fs::write(sandbox.path("sweep.toml"), text).expect("a sweep file");
    sandbox.expect(0, &["run", "sweep.toml"]);
    sandbox.expect(0, &["report", "sweep.toml"]);
    let table = std::fs::read_to_string(sandbox.path("reports/tiny/tables/main.md")).expect("a table");
    assert!(table.contains("lora (epochs=2 lr=0.01)"), "{table}");
}

#[test]
fn a_number_that_two_methods_share_is_tuned_as_one() {
    let grid = "mode = [\"vanilla\", \"child-f+child-d\"]\n[tune]\np = [0.3, 0.6]\nfidelity = [\"paper\", \"code\"]";
    let sandbox = Sandbox::with(&tiny_sweep(grid, "max_steps = 3\nlr = 1e-3"));
    sandbox.expect(0, &["run", "sweep.toml"]);
    sandbox.expect(0, &["report", "sweep.toml"]);
    let table = std::fs::read_to_string(sandbox.path("reports/tiny/tables/main.md")).expect("a table");
    let rows = table.lines().filter(|line| line.starts_with("| child-f+child-d")).count();
    assert_eq!(rows, 2, "one of scores and one of differences in\n{table}");
    assert!(table.contains("per task for child-f+child-d"), "{table}");
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
    let excluded = tiny_sweep(&grid, "").replace("[task.pairs]", "[[exclude]]\n\"child-f.p\" = 0.2\n[task.pairs]");
    std::fs::write(sandbox.path("sweep.toml"), excluded).expect("a sweep file");
    assert_eq!(count("seed=1"), 3);
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

#[test]
fn the_list_of_methods_tells_numbers_ranges_papers_and_choices() {
    let sandbox = Sandbox::new();
    let list = sandbox.expect(0, &["methods"]).out;
    for method in METHODS {
        assert!(list.contains(method.summary) && list.contains(method.paper), "{}", method.name);
        for number in method.numbers {
            let line = format!("{} = ", number.name);
            assert!(
                list.contains(&line) && list.contains(&number.domain.to_string()),
                "{} {}",
                method.name,
                number.name
            );
        }
        let shown = sandbox.expect(0, &["methods", method.name]).out;
        assert!(shown.contains(method.equation) && method.choices.iter().all(|choice| shown.contains(choice)));
        assert!(!method.paper.is_empty() && !method.choices.is_empty(), "{}", method.name);
    }
    let both = sandbox.expect(0, &["methods", "r3f+child-d"]).out;
    assert!(both.starts_with("child-d+r3f: all of them at once"), "{both}");
    assert!(sandbox.expect(1, &["methods", "child-d+top-k"]).err.contains("both fix which parameters are trained"));
    assert!(sandbox.expect(1, &["methods", "recadm"]).err.contains("did you mean \"recadam\"?"));
}
