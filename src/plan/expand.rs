//! The grid multiplied out: one point a run, in the order of work.

use std::collections::BTreeMap;

use super::after::After;
use super::run::{Choice, Input, Precision, Recipe, Run};
use crate::spec::number::{Number, Value};
use crate::spec::recipe::RECIPE;
use crate::spec::{Axis, COORDINATES, Clause, Fault, Faults, KnownMode, Mode, Point, Sweep};

/// More runs than this are a slip of the pen.
const MOST: u128 = 1_000_000;

/// Every run of a sweep without faults. Seeds vary slowest, so that each cell has its first answer before any has its
/// second.
///
/// `task` and `model` give the content hash behind a name.
///
/// # Errors
/// A filter that takes nothing away, a grid without runs or with too many.
pub fn expand(
    sweep: &Sweep,
    task: &dyn Fn(&str) -> String,
    model: &dyn Fn(&str) -> String,
) -> Result<Vec<Run>, Faults> {
    let grids: Vec<(&Mode, Vec<Group>)> = sweep.modes.iter().map(|mode| (mode, groups(sweep, mode))).collect();
    let count = grids.iter().map(|(_, groups)| size(groups)).fold(0, u128::saturating_add);
    if count > MOST {
        return Err(sweep.faults(vec![too_many(sweep, count)]));
    }
    let mut inputs: BTreeMap<(bool, String), Input> = BTreeMap::new();
    let mut input = |is_task: bool, point: &Point| -> Input {
        let name = point.get(if is_task { "task" } else { "model" }).map(Value::to_string).unwrap_or_default();
        let make = || Input { hash: if is_task { task(&name) } else { model(&name) }, name: name.clone() };
        inputs.entry((is_task, name.clone())).or_insert_with(make).clone()
    };
    let mut sieve = Sieve::new(sweep);
    let mut runs = Vec::new();
    for (mode, groups) in &grids {
        let mut point = base(sweep, mode);
        for index in 0..size(groups) {
            place(&mut point, groups, index);
            let point = if mode.parts.len() > 1 { &settled(mode, point.clone()) } else { &point };
            if sieve.keeps(point) {
                let (task, model) = (input(true, point), input(false, point));
                runs.push(run(mode, point, task, model));
            }
        }
    }
    let faults = sieve.faults(runs.is_empty());
    if !faults.is_empty() {
        return Err(sweep.faults(faults));
    }
    // Stable, so that within a seed the file's order of modes and axes stays.
    runs.sort_by_key(|run| run.seed);
    Ok(runs)
}

fn run(mode: &Mode, point: &Point, task: Input, model: Input) -> Run {
    let mut recipe = Recipe::default();
    for (name, value) in point {
        set(&mut recipe, name, value);
    }
    // What is no smaller than the batch cuts nothing off it: the run is that of the whole batch.
    recipe.micro_batch = recipe.micro_batch.filter(|&rows| rows < recipe.batch_size);
    let seed = match point.get("seed") {
        Some(Value::Whole(seed)) => *seed as u64,
        _ => 1,
    };
    // What several of its methods have stands in the point for each of them.
    let own = |part: &KnownMode, n: &Number| {
        let key = if mode.owners(n.name).len() > 1 { format!("{}.{}", part.name, n.name) } else { n.name.to_owned() };
        let value = point.get(&key)?.json();
        Some((key, value))
    };
    let numbers = mode.parts.iter().flat_map(|part| part.numbers.iter().filter_map(move |n| own(part, n))).collect();
    let method = Choice { name: mode.base(), numbers };
    Run { task, model, mode: mode.name.clone(), method, recipe, seed, after: After::default() }
}

/// The point of a combination with every number where it belongs: one that several methods have under `child-f.p` and
/// `child-d.p`, and under `p` as well if these agree; any other under its plain name.
fn settled(mode: &Mode, mut point: Point) -> Point {
    for number in mode.numbers() {
        let plain = point.remove(number.name);
        let owned: Vec<(String, Value)> = mode
            .owners(number.name)
            .into_iter()
            .filter_map(|part| {
                let key = format!("{}.{}", part.name, number.name);
                let value = point.remove(&key).or_else(|| plain.clone())?;
                Some((key, value))
            })
            .collect();
        if owned.iter().all(|(_, value)| *value == owned[0].1)
            && let Some((_, value)) = owned.first()
        {
            point.insert(number.name.to_owned(), value.clone());
        }
        if owned.len() > 1 {
            point.extend(owned);
        }
    }
    point
}

/// Axes that advance together: one axis, or those of a zip, all of one length.
type Group<'a> = Vec<&'a Axis>;

/// What multiplies a mode, in the file's order.
fn groups<'a>(sweep: &'a Sweep, mode: &'a Mode) -> Vec<Group<'a>> {
    // A mode's own values win over the grid's; a number that a mode does not have does not multiply it.
    let outer = sweep
        .grid
        .iter()
        .chain(&sweep.tune)
        .filter(|axis| axis.name != "mode" && !is_overridden(mode, &axis.name))
        .filter(|axis| is_setting(&axis.name) || mode.has(&axis.name));
    let mut groups: Vec<Group> = Vec::new();
    for axis in outer.chain(&mode.own) {
        let zip = sweep.zip.iter().find(|zip| zip.contains(&axis.name));
        match groups.iter_mut().find(|group| zip.is_some_and(|zip| zip.contains(&group[0].name))) {
            Some(group) => group.push(axis),
            None => groups.push(vec![axis]),
        }
    }
    groups
}

/// Whether a mode's own table leaves a value of the grid no say.
fn is_overridden(mode: &Mode, name: &str) -> bool {
    mode.own.iter().any(|own| own.name == name) || mode.gives_each(name)
}

fn is_setting(name: &str) -> bool {
    COORDINATES.contains(&name) || RECIPE.iter().any(|n| n.name == name)
}

/// How many points groups of axes make.
fn size(groups: &[Group]) -> u128 {
    groups.iter().map(|group| group[0].values.len() as u128).fold(1, u128::saturating_mul)
}

/// What a mode's runs have where no axis says otherwise.
fn base(sweep: &Sweep, mode: &Mode) -> Point {
    let standards = RECIPE.iter().chain(mode.numbers());
    let mut base: Point = standards.filter_map(|n| Some((n.name.to_owned(), n.standard.value()?))).collect();
    base.extend(sweep.train.iter().cloned());
    base.insert("mode".to_owned(), Value::Word(mode.name.clone()));
    base.insert("seed".to_owned(), Value::Whole(1));
    base
}

/// Moves a point to a place of the product of groups; the last group varies fastest.
fn place(point: &mut Point, groups: &[Group], mut index: u128) {
    for group in groups.iter().rev() {
        let length = group[0].values.len() as u128;
        for axis in group {
            point.insert(axis.name.clone(), axis.values[(index % length) as usize].clone());
        }
        index /= length;
    }
}

fn too_many(sweep: &Sweep, count: u128) -> Fault {
    let axes = sweep.grid.iter().chain(&sweep.tune).chain(sweep.modes.iter().flat_map(|mode| &mode.own));
    let longest = axes.max_by_key(|axis| axis.values.len());
    let label = longest.map_or_else(String::new, |axis| format!("{} values here", axis.values.len()));
    Fault::new(longest.map_or(0..0, |axis| axis.span.clone()), format!("the grid has {count} runs"), label)
        .help(format!("at most {MOST}: shorten its axes, or make several sweeps of it"))
}

/// `[[only]]` (any of them) and `[[exclude]]`, and which of them did something.
struct Sieve<'a> {
    only: Vec<(&'a Clause, bool)>,
    exclude: Vec<(&'a Clause, bool)>,
}

impl<'a> Sieve<'a> {
    fn new(sweep: &'a Sweep) -> Sieve<'a> {
        let idle = |clauses: &'a [Clause]| clauses.iter().map(|clause| (clause, false)).collect();
        Sieve { only: idle(&sweep.only), exclude: idle(&sweep.exclude) }
    }

    /// Whether a point is left; every clause sees it, so that each that does something is known.
    fn keeps(&mut self, point: &Point) -> bool {
        let any = |clauses: &mut [(&Clause, bool)]| {
            let mut any = false;
            for (clause, used) in clauses {
                let takes = clause.filter.takes(point);
                *used |= takes;
                any |= takes;
            }
            any
        };
        // An exclude has to take away something that an only has left.
        (self.only.is_empty() || any(&mut self.only)) && !any(&mut self.exclude)
    }

    /// Faults for the clauses that did nothing, or for all of them together if nothing is left.
    fn faults(&self, none_left: bool) -> Vec<Fault> {
        let idle = |clauses: &[(&Clause, bool)], title: &'static str, label: &'static str| -> Vec<Fault> {
            let help = "all its conditions must hold for a run; settings that are no axis have their value of [train] \
                        or their standard";
            let idle = clauses.iter().filter(|(_, used)| !used);
            idle.map(|(clause, _)| Fault::new(clause.span.clone(), title, label).help(help)).collect()
        };
        let meant =
            if self.only.is_empty() { "no run of the grid is meant" } else { "no run that [[only]] left is meant" };
        let mut faults = idle(&self.only, "this [[only]] keeps nothing", "no run of the grid is meant");
        faults.extend(idle(&self.exclude, "this [[exclude]] excludes nothing", meant));
        if none_left && faults.is_empty() {
            let at = self.exclude.first().or(self.only.first()).map_or(0..0, |(clause, _)| clause.span.clone());
            let fault = Fault::new(at, "the grid expands to no run at all", "nothing is left after the filters");
            faults.push(fault.help("loosen [[only]] or [[exclude]]"));
        }
        faults
    }
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
        "micro_batch" => recipe.micro_batch = Some(whole(value)),
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
        "precision" => {
            let of = |known: &Precision| *value == Value::Word(known.to_string());
            recipe.precision = Precision::ALL.into_iter().find(of).unwrap_or_default();
        }
        "gradient_checkpointing" => recipe.gradient_checkpointing = *value == Value::Flag(true),
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
    // A number that several methods have is the combination's where they agree.
    let plain: BTreeMap<&str, Vec<&serde_json::Value>> =
        run.method.numbers.iter().fold(BTreeMap::new(), |mut plain, (name, value)| {
            plain.entry(name.rsplit('.').next().unwrap_or(name)).or_default().push(value);
            plain
        });
    let agreed = plain.into_iter().filter(|(_, values)| values.iter().all(|value| *value == values[0]));
    point.extend(agreed.filter_map(|(name, values)| Some((name.to_owned(), from(values[0])?))));
    if let Ok(serde_json::Value::Object(recipe)) = serde_json::to_value(&run.recipe) {
        point.extend(recipe.iter().filter_map(|(name, value)| Some((name.clone(), from(value)?))));
    }
    // What a run does not say is at its standard.
    for (number, value) in RECIPE.iter().filter_map(|number| Some((number, number.standard.value()?))) {
        point.entry(number.name.to_owned()).or_insert(value);
    }
    point
}

#[cfg(test)]
mod tests;
