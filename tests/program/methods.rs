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
