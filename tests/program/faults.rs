//! Bad sweep files: every fault is said at once, in its place; nothing is started and nothing written.

use super::sandbox::{Sandbox, tiny_sweep};

/// Faults that a file of one line too many or too few has, and what must be said about each.
#[test]
fn every_fault_is_said_with_place_and_advice() {
    let good = tiny_sweep("mode = [\"vanilla\", \"child-d\"]\np = [0.3]\nseed = [1, 2]", "epochs = 1");
    Sandbox::with(&good).expect(0, &["plan", "sweep.toml"]);
    for (from, to, said) in [
        ("[train]", "[train]\nepoch = 3", "did you mean \"epochs\"?"),
        ("epochs = 1", "epochs = \"one\"", "this is a text"),
        ("task = [\"pairs\"]", "task = [\"pears\"]", "did you mean \"pairs\"?"),
        ("\"vanilla\"", "\"vanila\"", "did you mean \"vanilla\"?"),
        ("tiny-bert", "tiny-brt", "unknown model"),
        ("p = [0.3]", "p = [0.0]", "above 0 and up to 1"),
        ("p = [0.3]", "p = [1.5]", "outside that range"),
        ("p = [0.3]", "p = []", "the axis p is empty"),
        ("p = [0.3]", "p = [0.3, 0.3]", "p has 0.3 twice"),
        ("seed = [1, 2]", "seed = { from = 5, to = 1 }", "the range of seed is reversed"),
        ("seed = [1, 2]", "seed = [1.5]", "seed must be a whole number"),
        ("seed = [1, 2]", "seed = { from = 1 }", "needs from and to"),
        ("seed = [1, 2]", "seeds = [1, 2]", "did you mean \"seed\"?"),
        ("[task.pairs]", "[[exclude]]\nseed = 7\n[task.pairs]", "seed is never 7"),
        ("[task.pairs]", "[[exclude]]\nmode = [\"vanila\", \"child-d\"]\n[task.pairs]", "did you mean \"vanilla\"?"),
        ("[task.pairs]", "[[exclude]]\nlr = 1\n[task.pairs]", "excludes nothing"),
        ("[task.pairs]", "[[only]]\nseed = 1\n[[exclude]]\nseed = 2\n[task.pairs]", "excludes nothing"),
        (
            "[task.pairs]",
            "[[only]]\nseed = [1]\n[[exclude]]\nmode = [\"vanilla\", \"child-d\"]\n[task.pairs]",
            "expands to no run",
        ),
        ("[task.pairs]", "[[exclude]]\nsed = 1\n[task.pairs]", "did you mean \"seed\"?"),
        ("metric = \"accuracy\"", "metric = \"acuracy\"", "did you mean \"accuracy\"?"),
        ("seed = [1, 2]", "seed = [1, 2]\nzip = [[\"seed\", \"p\"]]", "zipped axes must have one length"),
        (
            "p = [0.3]\nseed = [1, 2]",
            "p = [0.3, 0.4]\nseed = [1, 2]\nzip = [[\"seed\", \"p\"]]\n[mode.child-d]\np = [0.1]",
            "overrides a zipped axis",
        ),
        ("seed = [1, 2]", "seed = [1, 2]\nzip = [[\"mode\", \"seed\"]]", "mode cannot be zipped"),
        ("seed = [1, 2]", "seed = [1, 2]\nzip = [[\"seed\"]]", "fewer than two axes"),
        ("seed = [1, 2]", "seed = { from = 1, to = inf }", "the range of seed never ends"),
        ("p = [0.3]", "p = { from = 0.1, to = 0.3 }", "needs a step"),
        ("p = [0.3]", "p = { from = 0.1, to = 0.3, step = 1e-300 }", "at most 100000"),
        (
            "seed = [1, 2]",
            "seed = { from = 1, to = 100000 }\ntrain_size = { from = 1, to = 100000 }",
            "the grid has 20000000000 runs",
        ),
        ("[train]", "[tune]\nseed = [1, 2]\n[train]", "seed cannot be in [tune]"),
        ("[train]", "[run]\ndevices = []\n[train]", "devices is empty"),
        ("[train]", "[run]\ndevices = [\"cuda\"]\n[train]", "\"cuda\" is no device"),
        ("\"vanilla\"", "\"child-d+r4f\"", "unknown mode \"r4f\""),
        ("\"vanilla\"", "\"child-d+top-k\"", "both fix which parameters are trained"),
        ("\"vanilla\", \"child-d\"", "\"r3f+hype\", \"child-d\", \"hype+r3f\"", "ask for the same run"),
        ("\"vanilla\"", "\"top-k\"", "top_layers is 3, and the model has 2 layers"),
        ("p = [0.3]", "p = [0.3]\nkeep = 0.001", "no mode of this grid takes keep"),
        ("\"vanilla\", \"child-d\"]\np = [0.3]", "\"fish\"]\nkeep = 0.001", "the head alone has 98"),
        (
            "\"vanilla\", \"child-d\"]\np = [0.3]",
            "\"r3f+child-d\"]\n[mode.\"child-d+r3f\"]\np = 0.1\n[mode.\"r3f+child-d\"]\np = 0.2",
            "are tables of one mode",
        ),
        ("[train]", "[mode.child-d]\nbase = \"r3f\"\n[train]", "has the name of a method and another base"),
        ("[train]", "[mode.x]\nbase = \"chid-f\"\n[train]", "did you mean \"child-f\"?"),
        ("[train]", "[mode.child-d]\nmix = 0.5\n[train]", "unknown key \"mix\" in [mode.child-d]"),
        (
            "\"vanilla\", \"child-d\"]\np = [0.3]",
            "\"child-f+child-d\"]\n[mode.\"child-f+child-d\"]\np = 0.1\nchild-f.p = 0.2\nchild-d.p = 0.3",
            "each of its methods is given one of its own",
        ),
        (
            "\"vanilla\", \"child-d\"]\np = [0.3]",
            "\"child-f+child-d\"]\n[mode.\"child-f+child-d\"]\nchild-f.mix = 0.2",
            "unknown key \"mix\" in [mode.child-f+child-d.child-f]",
        ),
        ("name = \"tiny\"", "mode = 1\nname = \"tiny\"", "[mode.<name>]"),
        ("name = \"tiny\"", "name = \"runs\"", "cannot name a folder"),
        ("name = \"tiny\"", "name = ", "this is no TOML"),
        ("[grid]", "[gird]", "the file has no [grid]"),
    ] {
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good, "{from} is not in the file");
        let sandbox = Sandbox::with(&text);
        for command in ["plan", "run"] {
            let err = sandbox.expect(1, &[command, "sweep.toml"]).err;
            assert!(err.contains(said), "{to}: expected \"{said}\" in\n{err}");
            assert!(err.contains("sweep.toml:"), "no place in\n{err}");
        }
        assert!(!sandbox.path("results").exists(), "{to}: something was written");
    }
}

#[test]
fn all_faults_come_at_once() {
    let text = tiny_sweep("mode = [\"vanila\"]\np = [2]\nseed = [1, 1]", "epoch = 1");
    let err = Sandbox::with(&text).expect(1, &["run", "sweep.toml"]).err;
    for said in ["unknown mode", "p must be", "seed has 1 twice", "unknown key \"epoch\"", "4 faults"] {
        assert!(err.contains(said), "{said} in\n{err}");
    }
}

#[test]
fn a_model_that_is_there_but_cannot_be_trained_is_not_called_unknown() {
    let sandbox = Sandbox::with(&tiny_sweep("mode = [\"vanilla\"]", ""));
    std::fs::create_dir(sandbox.path("torn")).expect("a folder");
    std::fs::write(sandbox.path("torn/config.json"), "{}").expect("a config");
    let text = std::fs::read_to_string(sandbox.path("sweep.toml")).expect("the sweep file");
    let named = text.lines().map(|line| if line.starts_with("model =") { "model = \"torn\"" } else { line });
    std::fs::write(sandbox.path("sweep.toml"), named.collect::<Vec<_>>().join("\n")).expect("a sweep file");
    let err = sandbox.expect(1, &["run", "sweep.toml"]).err;
    assert!(err.contains("model \"torn\" cannot be used") && !err.contains("unknown"), "{err}");
}

/// The grid of a long sweep is planned while a person waits.
#[test]
fn many_seeds_are_planned_at_once() {
    let sandbox = Sandbox::with(&tiny_sweep("mode = [\"vanilla\"]\nseed = { from = 1, to = 100000 }", ""));
    let out = sandbox.expect(0, &["plan", "sweep.toml"]).out;
    assert!(out.contains("100000 runs"), "{out}");
}

#[test]
fn malformed_data_is_named_by_file_and_line_before_anything_starts() {
    let text = tiny_sweep("mode = [\"vanilla\"]", "");
    let sandbox = Sandbox::new();
    let parity = super::sandbox::project().join("tests/parity");
    for name in ["train.tsv", "dev.tsv"] {
        std::fs::copy(parity.join(name), sandbox.path(name)).expect("a copy");
    }
    let text = text.replace(&format!("{}/train.tsv", parity.display()), "train.tsv");
    std::fs::write(sandbox.path("sweep.toml"), &text).expect("a sweep file");
    let rows = std::fs::read_to_string(sandbox.path("train.tsv")).expect("rows");
    for (bad, said) in [("a\tb\n", "train.tsv:162: columns: 2 found, 4 expected"), ("a\tb\tmaybe\t1\n", "maybe")] {
        std::fs::write(sandbox.path("train.tsv"), format!("{rows}{bad}")).expect("a bad file");
        let err = sandbox.expect(1, &["run", "sweep.toml"]).err;
        assert!(err.contains("train.tsv") && err.contains(said), "{err}");
    }
    std::fs::remove_file(sandbox.path("train.tsv")).expect("removed");
    assert!(sandbox.expect(1, &["run", "sweep.toml"]).err.contains("train.tsv"));
    assert!(!sandbox.path("results").exists());
}
