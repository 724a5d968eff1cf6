//! The grid multiplied out: one point a run, in the order of work.

use std::collections::BTreeMap;

use super::run::{Choice, Input, Recipe, Run};
use crate::spec::number::Value;
use crate::spec::{Axis, Fault, Faults, Mode, Point, Sweep};

/// Every run of a sweep. Seeds vary slowest, so that each cell has its first answer before any has its second.
///
/// `task` and `model` give the content hash behind a name.
///
/// # Errors
/// A filter that takes nothing away, a grid without runs.
pub fn expand(
    sweep: &Sweep,
    task: &dyn Fn(&str) -> String,
    model: &dyn Fn(&str) -> String,
) -> Result<Vec<Run>, Faults> {
    let points = points(sweep)?;
    let mut hashes: BTreeMap<(bool, String), Input> = BTreeMap::new();
    let mut input = |is_task: bool, name: String| -> Input {
        let make = || Input { hash: if is_task { task(&name) } else { model(&name) }, name: name.clone() };
        hashes.entry((is_task, name.clone())).or_insert_with(make).clone()
    };
    let runs = points.into_iter().map(|(mode, point)| {
        let word = |name: &str| point.get(name).map(Value::to_string).unwrap_or_default();
        let mut recipe = Recipe::default();
        for (name, value) in &point {
            set(&mut recipe, name, value);
        }
        let numbers =
            mode.numbers.iter().filter_map(|n| Some((n.name.to_owned(), point.get(n.name)?.json()))).collect();
        let seed = match point.get("seed") {
            Some(Value::Whole(seed)) => *seed as u64,
            _ => 1,
        };
        Run {
            task: input(true, word("task")),
            model: input(false, word("model")),
            mode: mode.name.clone(),
            method: Choice { name: mode.base.clone(), numbers },
            recipe,
            seed,
        }
    });
    Ok(runs.collect())
}

fn points(sweep: &Sweep) -> Result<Vec<(&Mode, Point)>, Faults> {
    let mut points = Vec::new();
    let outer: Vec<&Axis> = sweep.grid.iter().chain(&sweep.tune).collect();
    for mode in &sweep.modes {
        // A mode's own values win over the grid's; a number that a mode does not have does not multiply it.
        let mut axes: Vec<&Axis> = outer
            .iter()
            .copied()
            .filter(|axis| axis.name != "mode" && !mode.own.iter().any(|own| own.name == axis.name))
            .filter(|axis| is_setting(&axis.name) || mode.numbers.iter().any(|n| n.name == axis.name))
            .collect();
        axes.extend(&mode.own);
        let mut base = Point::from([("mode".to_owned(), Value::Word(mode.name.clone()))]);
        base.extend(mode.numbers.iter().filter_map(|n| Some((n.name.to_owned(), n.standard.value()?))));
        base.extend(sweep.train.iter().cloned());
        base.insert("seed".to_owned(), Value::Whole(1));
        points.extend(multiply(&axes, &sweep.zip, base).into_iter().map(|point| (mode, point)));
    }
    let faults = filter(sweep, &mut points);
    if !faults.is_empty() {
        return Err(sweep.faults(faults));
    }
    // Stable, so that within a seed the file's order of modes and axes stays.
    points.sort_by_key(|(_, point)| match point.get("seed") {
        Some(Value::Whole(seed)) => *seed,
        _ => 1,
    });
    Ok(points)
}

fn is_setting(name: &str) -> bool {
    ["task", "model", "seed"].contains(&name) || crate::spec::recipe::RECIPE.iter().any(|n| n.name == name)
}

/// The product of the axes over a base point; zipped axes advance together.
fn multiply(axes: &[&Axis], zips: &[Vec<String>], base: Point) -> Vec<Point> {
    let mut points = vec![base];
    let mut done: Vec<&str> = Vec::new();
    for axis in axes {
        if done.contains(&axis.name.as_str()) {
            continue;
        }
        let group: Vec<&&Axis> = match zips.iter().find(|zip| zip.contains(&axis.name)) {
            Some(zip) => axes.iter().filter(|a| zip.contains(&a.name)).collect(),
            None => vec![axis],
        };
        done.extend(group.iter().map(|a| a.name.as_str()));
        let extend = |point: Point| {
            let group = &group;
            (0..axis.values.len()).map(move |i| {
                let mut point = point.clone();
                point.extend(group.iter().map(|a| (a.name.clone(), a.values[i].clone())));
                point
            })
        };
        points = points.into_iter().flat_map(extend).collect();
    }
    points
}

/// Applies `[[only]]` (any of them) and `[[exclude]]`; faults for those that do nothing.
fn filter(sweep: &Sweep, points: &mut Vec<(&Mode, Point)>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (clauses, name) in [(&sweep.only, "[[only]]"), (&sweep.exclude, "[[exclude]]")] {
        for clause in clauses {
            if !points.iter().any(|(_, point)| clause.filter.takes(point)) {
                let does = if name == "[[only]]" { "keeps" } else { "excludes" };
                let fault = Fault::new(
                    clause.span.clone(),
                    format!("this {name} {does} nothing"),
                    "no run of the grid is meant",
                );
                faults.push(fault.help("all its conditions must hold for a run; values are those of the grid"));
            }
        }
    }
    points.retain(|(_, point)| {
        (sweep.only.is_empty() || sweep.only.iter().any(|clause| clause.filter.takes(point)))
            && !sweep.exclude.iter().any(|clause| clause.filter.takes(point))
    });
    if points.is_empty() && faults.is_empty() {
        let at = sweep.exclude.first().or(sweep.only.first()).map_or(0..0, |clause| clause.span.clone());
        let fault = Fault::new(at, "the grid expands to no run at all", "nothing is left after the filters");
        faults.push(fault.help("loosen [[only]] or [[exclude]]"));
    }
    faults
}

/// Writes a recipe's setting; other names are left alone.
fn set(recipe: &mut Recipe, name: &str, value: &Value) {
    let whole = |value: &Value| if let Value::Whole(n) = value { *n as u32 } else { 0 };
    let real = |value: &Value| value.real().unwrap_or(f64::NAN);
    match name {
        "epochs" => recipe.epochs = whole(value),
        "max_steps" => recipe.max_steps = Some(whole(value)),
        "train_size" => recipe.train_size = Some(whole(value)),
        "dev_size" => recipe.dev_size = Some(whole(value)),
        "batch_size" => recipe.batch_size = whole(value),
        "max_length" => recipe.max_length = whole(value),
        "lr" => recipe.lr = real(value),
        "warmup" => recipe.warmup = real(value),
        "weight_decay" => recipe.weight_decay = real(value),
        "beta1" => recipe.beta1 = real(value),
        "beta2" => recipe.beta2 = real(value),
        "eps" => recipe.eps = real(value),
        "max_grad_norm" => recipe.max_grad_norm = real(value),
        "dropout" => recipe.dropout = Some(real(value)),
        "shuffle" => recipe.shuffle = *value == Value::Flag(true),
        _ => {}
    }
}

/// A run's coordinates, for filters: what `--only` compares with.
pub fn point(run: &Run) -> Point {
    let mut point = Point::from([
        ("task".to_owned(), Value::Word(run.task.name.clone())),
        ("model".to_owned(), Value::Word(run.model.name.clone())),
        ("mode".to_owned(), Value::Word(run.mode.clone())),
        ("seed".to_owned(), Value::Whole(run.seed as i64)),
    ]);
    let from = |json: &serde_json::Value| match json {
        serde_json::Value::Bool(flag) => Some(Value::Flag(*flag)),
        serde_json::Value::String(word) => Some(Value::Word(word.clone())),
        serde_json::Value::Number(n) => n.as_i64().map(Value::Whole).or(n.as_f64().map(Value::Real)),
        _ => None,
    };
    point.extend(run.method.numbers.iter().filter_map(|(name, value)| Some((name.clone(), from(value)?))));
    if let Ok(serde_json::Value::Object(recipe)) = serde_json::to_value(&run.recipe) {
        point.extend(recipe.iter().filter_map(|(name, value)| Some((name.clone(), from(value)?))));
    }
    point
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::number::{Domain, Number, Standard};
    use crate::spec::{Known, KnownMode};

    const P: Number =
        Number { name: "p", what: "", domain: Domain::Real { above: 0.0, up_to: 1.0 }, standard: Standard::Real(0.3) };

    fn plan(text: &str) -> Vec<Run> {
        let known = Known {
            tasks: vec!["rte", "cola"],
            modes: vec![KnownMode { name: "vanilla", numbers: &[] }, KnownMode { name: "child-d", numbers: &[P] }],
            metrics: vec![],
            model: &|_, _| Ok(()),
        };
        let sweep = Sweep::parse("test.toml", text, &known).unwrap_or_else(|faults| panic!("{faults}"));
        expand(&sweep, &|name| format!("{name} data"), &|name| format!("{name} weights"))
            .unwrap_or_else(|faults| panic!("{faults}"))
    }

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
}
