use super::*;
use crate::spec::number::{Domain, Number, Standard};
use crate::spec::{Known, KnownMode, ModelFault, RunTable};

const P: Number =
    Number { name: "p", what: "", domain: Domain::Real { above: 0.0, up_to: 1.0 }, standard: Standard::Real(0.3) };

fn find_model(name: &str, _: &RunTable) -> Result<(), ModelFault> {
    match name {
        "m" => Ok(()),
        "torn" => Err(ModelFault::Unusable("it has no weights".into())),
        _ => Err(ModelFault::Unknown("no such folder".into())),
    }
}

fn known() -> Known<'static> {
    Known {
        tasks: vec!["rte", "cola"],
        modes: vec![KnownMode { name: "vanilla", numbers: &[] }, KnownMode { name: "child-d", numbers: &[P] }],
        refusal: &|_| None,
        papers: vec![],
        metrics: vec![],
        model: &find_model,
    }
}

fn try_plan(text: &str) -> Result<Vec<Run>, Faults> {
    let sweep = Sweep::parse("test.toml", text, &known())?;
    expand(&sweep, &|name| format!("{name} data"), &|name| format!("{name} weights"))
}

fn plan(text: &str) -> Vec<Run> {
    try_plan(text).unwrap_or_else(|faults| panic!("{faults}"))
}

/// Titles, labels and advice of a file's faults.
fn faults(text: &str) -> Vec<String> {
    let faults = try_plan(text).expect_err(text).faults;
    faults.into_iter().map(|f| format!("{}: {}. {}", f.title, f.label, f.help.unwrap_or_default())).collect()
}

const GRID: &str = "[grid]\ntask = [\"rte\", \"cola\"]\nmodel = \"m\"\nmode = [\"vanilla\", \"child-d\"]\n";

fn labels(text: &str) -> Vec<String> {
    plan(text).iter().map(Run::label).collect()
}

#[test]
fn p_multiplies_only_the_modes_that_have_it_and_seeds_vary_slowest() {
    let text =
        "[grid]\ntask = \"rte\"\nmodel = \"m\"\nmode = [\"vanilla\", \"child-d\"]\np = [0.1, 0.2]\nseed = [4, 5]";
    assert_eq!(
        labels(text),
        [
            "rte · m · vanilla · seed 4",
            "rte · m · child-d p=0.1 · seed 4",
            "rte · m · child-d p=0.2 · seed 4",
            "rte · m · vanilla · seed 5",
            "rte · m · child-d p=0.1 · seed 5",
            "rte · m · child-d p=0.2 · seed 5",
        ]
    );
}

#[test]
fn a_modes_own_values_win_and_an_alias_has_its_own_name() {
    let text = "[grid]\ntask = \"rte\"\nmodel = \"m\"\nmode = [\"child-d\", \"tiny\"]\np = [0.1, 0.2]\n\
                [mode.tiny]\nbase = \"child-d\"\np = 0.05";
    let runs = plan(text);
    assert_eq!(
        runs.iter().map(|r| (r.mode.as_str(), r.p())).collect::<Vec<_>>(),
        [("child-d", Some(0.1)), ("child-d", Some(0.2)), ("tiny", Some(0.05))]
    );
    assert_eq!(runs[2].method.name, "child-d");
}

#[test]
fn zipped_axes_advance_together_and_ranges_include_both_ends() {
    let text = "[grid]\ntask = [\"rte\", \"cola\"]\nepochs = [1, 5]\nmodel = \"m\"\nmode = \"vanilla\"\n\
                seed = { from = 1, to = 2 }\nzip = [[\"task\", \"epochs\"]]";
    let cells: Vec<_> = plan(text).iter().map(|r| (r.task.name.clone(), r.recipe.epochs, r.seed)).collect();
    let cell = |task: &str, epochs, seed| (task.to_owned(), epochs, seed);
    assert_eq!(cells, [cell("rte", 1, 1), cell("cola", 5, 1), cell("rte", 1, 2), cell("cola", 5, 2)]);
}

#[test]
fn filters_take_away_what_they_name() {
    let grid = "[grid]\ntask = [\"rte\", \"cola\"]\nmodel = \"m\"\nmode = [\"vanilla\", \"child-d\"]\np = [0.1, 0.2]\nseed = [1, 2]";
    let without = plan(&format!("{grid}\n[[exclude]]\ntask = \"cola\"\nmode = \"child-d\""));
    assert_eq!((plan(grid).len(), without.len()), (12, 8));
    let only = plan(&format!("{grid}\n[[only]]\ntask = \"cola\"\np = 0.1\n[[only]]\nseed = 2"));
    assert_eq!(only.len(), 1 + 6);
}

/// One fault with all these words in it, and no second one.
#[track_caller]
fn one_fault(text: &str, said: &[&str]) {
    let faults = faults(text);
    assert_eq!(faults.len(), 1, "{text}\n{faults:#?}");
    assert!(said.iter().all(|said| faults[0].contains(said)), "{said:?} in {faults:#?}");
}

#[test]
fn a_zip_that_cannot_advance_together_is_refused() {
    let zip = |names: &str, rest: &str| format!("{GRID}p = [0.1, 0.2]\nzip = [[{names}]]\n{rest}");
    let zipped = plan(&zip("\"task\", \"p\"", ""));
    assert_eq!(zipped.iter().map(Run::p).collect::<Vec<_>>(), [None, None, Some(0.1), Some(0.2)]);
    for own in ["0.3", "[0.3, 0.4, 0.5]"] {
        let text = zip("\"task\", \"p\"", &format!("[mode.child-d]\np = {own}"));
        one_fault(&text, &["p is zipped", "overrides a zipped axis", "take p out of zip"]);
    }
    one_fault(&zip("\"mode\", \"p\"", ""), &["mode cannot be zipped", "[mode.<name>]"]);
    one_fault(&zip("\"p\"", ""), &["fewer than two axes"]);
    one_fault(&zip("", ""), &["fewer than two axes"]);
}

#[test]
fn ranges_are_exact_and_end() {
    let seeds = |range: &str| {
        plan(&format!("{GRID}seed = {range}\n[[only]]\ntask = \"rte\"\nmode = \"vanilla\""))
            .iter()
            .map(|run| run.seed)
            .collect::<Vec<_>>()
    };
    let big = 9_007_199_254_740_993;
    assert_eq!(seeds("{ from = 9007199254740993, to = 9007199254740996 }"), (big..big + 4).collect::<Vec<_>>());
    assert_eq!(seeds("{ from = 1.0, to = 6, step = 2 }"), [1, 3, 5]);
    let rates = plan(&format!(
        "{GRID}p = {{ from = 0.1, to = 0.9, step = 0.2 }}\n[[only]]\ntask = \"rte\"\nmode = \"child-d\""
    ));
    assert_eq!(rates.iter().filter_map(Run::p).collect::<Vec<_>>(), [0.1, 0.3, 0.5, 0.7, 0.9]);
    let range = |range: &str, said: &[&str]| one_fault(&format!("{GRID}{range}"), said);
    range("seed = { from = 1, to = inf }", &["the range of seed never ends"]);
    range("seed = { from = nan, to = 2 }", &["the range of seed never ends"]);
    range("seed = { from = 1, to = 2, step = 1e-300 }", &["has 1e300 values", "at most 100000"]);
    range("seed = { from = 1, to = 1000000 }", &["has 1000000 values"]);
    range("seed = { from = 9007199254740993, to = 9007199254740992 }", &["reversed"]);
    range("p = { from = 0.1, to = 0.9 }", &["the range of p needs a step"]);
    range("p = { from = 0.5, to = 2, step = 0.5 }", &["p must be", "the range reaches 1.5"]);
    range("seed = 99999999999999999999", &["outside that range"]);
}

#[test]
fn a_whole_number_may_be_written_as_a_float() {
    let runs = plan(&format!("{GRID}[train]\ndev_size = 1e3\nwarmup = -0.0"));
    assert_eq!(runs[0].recipe.dev_size, Some(1000));
    assert!(runs[0].recipe.warmup.is_sign_positive());
    one_fault(&format!("{GRID}[train]\ndev_size = 1.5"), &["whole number", "this is a number"]);
}

#[test]
fn a_grid_too_large_is_refused_before_it_is_multiplied() {
    let grid = format!("{GRID}seed = {{ from = 1, to = 100000 }}\n");
    let text = format!("{grid}train_size = {{ from = 1, to = 100000 }}");
    one_fault(&text, &["the grid has 40000000000 runs", "at most 1000000"]);
    // Zipped axes are counted once, and a number only for the modes that have it.
    let zip = "task = [\"rte\", \"cola\"]\nepochs = [1, 2]\nzip = [[\"task\", \"epochs\"]]";
    let text = format!("{}\np = {{ from = 0.1, to = 1, step = 0.1 }}", grid.replace("task = [\"rte\", \"cola\"]", zip));
    one_fault(&text, &["the grid has 2200000 runs"]);
}

#[test]
fn tune_takes_settings_only() {
    for (name, said) in [
        ("task = \"rte\"", "tasks are compared"),
        ("model = \"m\"", "models are compared"),
        ("mode = \"vanilla\"", "modes are compared"),
        ("seed = [1, 2]", "tables average over"),
    ] {
        one_fault(&format!("{GRID}[tune]\n{name}"), &["cannot be in [tune]", said]);
    }
    assert_eq!(plan(&format!("{GRID}[tune]\nlr = [1e-5, 2e-5]")).len(), 8);
}

#[test]
fn filters_name_values_that_there_are() {
    let text = format!("{GRID}p = [0.1, 0.2]\n[mode.tiny]\nbase = \"child-d\"\np = 0.05\n")
        .replace("\"child-d\"]", "\"child-d\", \"tiny\"]");
    let clause = |clause: &str| format!("{text}[[exclude]]\n{clause}");
    one_fault(&clause("mode = [\"vanila\", \"tiny\"]"), &["mode is never vanila", "did you mean \"vanilla\"?"]);
    one_fault(&clause("p = 0.19"), &["p is never 0.19", "the nearest is 0.2; p is one of 0.05, 0.1, 0.2"]);
    assert_eq!(plan(&clause("p = 0.05")).len(), 6);
    // A mode that is given no p has the standard one.
    let standard = text.replace("p = [0.1, 0.2]\n", "");
    assert_eq!(plan(&format!("{standard}[[exclude]]\np = 0.3")).len(), 4);
    // Settings that are no axis have their value of [train], or their standard.
    assert_eq!(plan(&format!("{text}[[exclude]]\nepochs = 3\ntask = \"rte\"")).len(), 4);
    one_fault(&format!("{text}[train]\nepochs = 2\n[[exclude]]\nepochs = 3"), &["excludes nothing"]);
}

#[test]
fn an_exclude_must_take_away_something_that_only_left() {
    let text = format!("{GRID}[[only]]\ntask = \"rte\"\n[[exclude]]\ntask = \"cola\"\n");
    one_fault(&text, &["excludes nothing", "that [[only]] left"]);
    assert_eq!(plan(&format!("{GRID}[[exclude]]\ntask = \"cola\"")).len(), 2);
}

#[test]
fn devices_are_those_that_can_be() {
    for bad in ["[]", "\"gpu\"", "[\"cpu\", \"cuda\"]", "[\"cuda:x\"]", "[\"auto\", \"cpu\"]"] {
        one_fault(&format!("{GRID}[run]\ndevices = {bad}"), &["device", "\"cuda:0\""]);
    }
    for good in ["\"auto\"", "\"cpu\"", "[\"cpu\", \"cuda:11\"]", "[\"auto\"]"] {
        plan(&format!("{GRID}[run]\ndevices = {good}"));
    }
}

#[test]
fn one_mistake_is_one_fault() {
    let own = GRID.replace("\"cola\"", "\"mine\"");
    let task = "train = \"t.tsv\"\ndev = \"d.tsv\"\ntext = \"s\"\nmetric = []";
    one_fault(&format!("{own}[task.mine]\n{task}"), &["[task.mine] has no label"]);
    one_fault(&format!("{own}[task.mine]\n{task}\nlabel = 3"), &["label in [task.mine] must be a text"]);
    one_fault(&format!("{GRID}[task.rte]\nlabel = 3"), &["the name of a built-in task"]);
    one_fault(&format!("task = 2\n{GRID}"), &["a table, written [task.<name>]"]);
    one_fault(&format!("mode = 1\n{GRID}"), &["a table, written [mode.<name>]"]);
    let aliased = GRID.replace("\"vanilla\"", "\"tiny\"");
    one_fault(&format!("{aliased}[mode.tiny]\nbase = \"child-x\""), &["unknown mode \"child-x\""]);
}

#[test]
fn a_sweep_comes_with_its_faults() {
    let (sweep, faults) = Sweep::read("test.toml", &format!("{GRID}seed = [1, 1]\n[train]\nepoch = 3"), None, &known());
    let tasks = sweep.expect("the file is TOML").axis("task").map(|axis| axis.values.len());
    assert_eq!((tasks, faults.len()), (Some(2), 2));
    let (sweep, faults) = Sweep::read("test.toml", "[grid", None, &known());
    assert!(sweep.is_none() && !faults.is_empty());
}

#[test]
fn a_model_is_unknown_unusable_or_unnamed() {
    let model = |name: &str| GRID.replace("\"m\"", &format!("\"{name}\""));
    one_fault(&model("none"), &["unknown model \"none\"", "no such folder"]);
    one_fault(&model("torn"), &["model \"torn\" cannot be used", "it has no weights"]);
    one_fault(&model(""), &["model is empty"]);
}

#[test]
fn standards_as_declared_are_those_of_a_recipe() {
    let mut recipe = Recipe { epochs: 0, batch_size: 0, max_length: 0, lr: 0.0, warmup: 0.9, ..Recipe::default() };
    recipe =
        Recipe { weight_decay: 9.0, beta1: 0.0, beta2: 0.0, eps: 1.0, max_grad_norm: 9.0, shuffle: false, ..recipe };
    recipe = Recipe { precision: Precision::Bf16, gradient_checkpointing: true, ..recipe };
    for number in RECIPE {
        number.standard.value().into_iter().for_each(|value| set(&mut recipe, number.name, &value));
    }
    assert_eq!(recipe, Recipe::default());
}

#[test]
fn an_id_is_made_of_what_determines_the_result() {
    let text = "[grid]\ntask = \"rte\"\nmodel = \"m\"\nmode = \"child-d\"\np = 0.1\n[train]\nlr = 1e-4";
    let run = plan(text).remove(0);
    let changed = |change: fn(&mut Run)| {
        let mut other = run.clone();
        change(&mut other);
        (other.id() == run.id(), other.settings_key() == run.settings_key())
    };
    assert_eq!(changed(|r| r.mode = "another name".into()), (true, true));
    assert_eq!(changed(|r| r.seed = 9), (false, false));
    assert_eq!(changed(|r| r.recipe.lr = 2e-4), (false, false));
    assert_eq!(changed(|r| r.task.hash = "new data".into()), (false, true));
    assert_eq!(changed(|r| r.model.hash = "new weights".into()), (false, true));
    // One model under two names is one run.
    assert_eq!(changed(|r| r.model.name = "elsewhere/m".into()), (true, false));
}

#[test]
fn a_run_read_back_has_the_same_id() {
    for run in plan(
        "[grid]\ntask = \"rte\"\nmodel = \"m\"\nmode = \"child-d\"\np = [0.1, 0.30000000000000004]\nlr = [1e-5, 3e-5]",
    ) {
        let text = serde_json::to_string(&run).expect("JSON");
        assert_eq!(serde_json::from_str::<Run>(&text).expect("a run").id(), run.id());
    }
}
