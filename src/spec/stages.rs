//! What follows the training of each run: other tasks to be scored on, probes, further training, measurements.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::Known;
use super::fault::{Fault, suggestion};
use super::number::{Domain, Number, Standard, Value};
use super::table::{Table, checked, value};

/// A name with its place in the file.
pub type Placed = (String, Range<usize>);

/// The stages of a sweep; none by default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stages {
    pub eval: Option<Eval>,
    pub probe: Option<Probe>,
    /// Tasks that each trained encoder is fine-tuned on further, by the run's own method and recipe.
    pub transfer: Vec<Placed>,
    pub measure: Option<Measure>,
}

/// `[eval]`: tasks that each trained model is scored on as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Eval {
    pub tasks: Vec<Placed>,
    /// The metric that counts, where a task has it; else the task's own.
    pub metric: Option<String>,
    /// Task to (class that the model predicts, class of the task). Classes that are left out count as wrong.
    pub labels: BTreeMap<String, BTreeMap<String, String>>,
}

/// `[probe]`: tasks that a linear head is trained for on the frozen encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    pub tasks: Vec<Placed>,
    pub lr: f64,
    pub epochs: u32,
    pub batch_size: u32,
    /// Training examples of the probe; `None` is all.
    pub train_size: Option<u32>,
}

/// `[measure]`: the loss and its gradients where training began and ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Measure {
    pub sharpness: bool,
    /// Reserve rates at which the variance of a masked update is measured.
    pub variance: Vec<f64>,
    /// Training examples that the loss is measured over.
    pub examples: u32,
    /// Most steps of the power iteration.
    pub iterations: u32,
    pub rho: f64,
    pub sigma: f64,
    pub directions: u32,
    /// Batches that the variance is measured over.
    pub batches: u32,
}

const COUNT: Domain = Domain::Whole { from: 1, to: u32::MAX as i64 };

const fn number(name: &'static str, what: &'static str, domain: Domain, standard: Standard) -> Number {
    Number { name, what, domain, standard }
}

/// Numbers of `[probe]`.
pub const PROBE: &[Number] = &[
    number("lr", "peak learning rate of the head", Domain::Real { above: 0.0, up_to: 1.0 }, Standard::Real(1e-3)),
    number("epochs", "passes over the probe's training set", COUNT, Standard::Whole(3)),
    number("batch_size", "examples in a step", COUNT, Standard::Whole(16)),
    number("train_size", "training examples used, a nested sample by seed", COUNT, Standard::Absent("all examples")),
];

/// Numbers of `[measure]`.
pub const MEASURE: &[Number] = &[
    number("sharpness", "largest Hessian eigenvalue and rises of the loss", Domain::Flag, Standard::Flag(false)),
    number("examples", "training examples that the loss is measured over", COUNT, Standard::Whole(128)),
    number("iterations", "most steps of the power iteration", COUNT, Standard::Whole(20)),
    number(
        "rho",
        "length of the step along the gradient",
        Domain::Real { above: 0.0, up_to: 1e3 },
        Standard::Real(0.05),
    ),
    number(
        "sigma",
        "standard deviation of a random step, an entry",
        Domain::Real { above: 0.0, up_to: 1.0 },
        Standard::Real(5e-3),
    ),
    number("directions", "random steps", COUNT, Standard::Whole(5)),
    number(
        "batches",
        "batches that the variance of updates is measured over, an even number",
        Domain::Whole { from: 2, to: 1 << 20 },
        Standard::Whole(16),
    ),
];

impl Stages {
    pub(super) fn read(root: &Table, tasks: &[&str], known: &Known) -> Stages {
        let eval = match root.get("eval").map(Spanned::get_ref) {
            // `eval = ["snli", "sick"]` is `[eval]` with tasks alone.
            Some(DeValue::Array(_) | DeValue::String(_)) => {
                Some(Eval { tasks: known_tasks(root, "eval", tasks), metric: None, labels: BTreeMap::new() })
            }
            Some(_) => root.table("eval").map(|table| read_eval(table, tasks, known)),
            None => None,
        };
        let transfer = root.table("transfer").map(|table| {
            let found = required_tasks(&table, tasks);
            table.finish();
            found
        });
        Stages {
            eval,
            probe: root.table("probe").map(|table| read_probe(table, tasks)),
            transfer: transfer.unwrap_or_default(),
            measure: root.table("measure").map(read_measure),
        }
    }

    /// Whether anything follows training.
    pub fn is_empty(&self) -> bool {
        *self == Stages::default()
    }

    /// The tasks of all stages with their places, and whether the stage trains on them.
    pub fn tasks(&self) -> impl Iterator<Item = (&Placed, bool)> {
        let scored = self.eval.iter().flat_map(|eval| &eval.tasks).map(|task| (task, false));
        let probed = self.probe.iter().flat_map(|probe| &probe.tasks).map(|task| (task, true));
        scored.chain(probed).chain(self.transfer.iter().map(|task| (task, true)))
    }
}

fn read_eval(table: Table, tasks: &[&str], known: &Known) -> Eval {
    let found = required_tasks(&table, tasks);
    let metric = table.placed_texts("metric").and_then(|texts| texts.into_iter().next()).and_then(|(name, span)| {
        if known.metrics.contains(&name.as_str()) {
            return Some(name);
        }
        let help = suggestion(&name, known.metrics.iter().copied());
        table.faults().add(Fault::new(span, format!("unknown metric \"{name}\""), "not known").help(help));
        None
    });
    let mut labels = BTreeMap::new();
    for (task, span, map) in table.named_tables("labels") {
        if !found.iter().any(|(name, _)| *name == task) {
            let title = format!("[eval.labels.{task}] belongs to no task of [eval]");
            table.faults().add(Fault::new(span, title, "never used").help("add it to tasks, or remove the table"));
        }
        let pairs = map.all().into_iter().filter_map(|(class, ..)| Some((class.clone(), map.text(&class)?)));
        labels.insert(task, pairs.collect());
    }
    table.finish();
    Eval { tasks: found, metric, labels }
}

fn read_probe(table: Table, tasks: &[&str]) -> Probe {
    let found = required_tasks(&table, tasks);
    let numbers = Numbers::read(&table, PROBE);
    table.finish();
    Probe {
        tasks: found,
        lr: numbers.real("lr"),
        epochs: numbers.count("epochs"),
        batch_size: numbers.count("batch_size"),
        train_size: numbers.get("train_size").map(|_| numbers.count("train_size")),
    }
}

fn read_measure(table: Table) -> Measure {
    let numbers = Numbers::read(&table, MEASURE);
    let rate = number("variance", "reserve rates", Domain::Real { above: 0.0, up_to: 1.0 }, Standard::Absent("none"));
    let entry = table.get("variance");
    let items = match entry.map(Spanned::get_ref) {
        Some(DeValue::Array(items)) => items.iter().collect(),
        _ => entry.into_iter().collect::<Vec<_>>(),
    };
    let variance = items.into_iter().filter_map(|item| checked(&rate, item, table.faults())?.real()).collect();
    let batches = numbers.count("batches");
    if let (1, Some(entry)) = (batches % 2, table.get("batches")) {
        let help = "the variance is measured between two batches at a time";
        table.faults().add(Fault::new(entry.span(), "batches must be an even number", "odd").help(help));
    }
    table.finish();
    Measure {
        sharpness: numbers.get("sharpness") == Some(&Value::Flag(true)),
        variance,
        examples: numbers.count("examples"),
        iterations: numbers.count("iterations"),
        rho: numbers.real("rho"),
        sigma: numbers.real("sigma"),
        directions: numbers.count("directions"),
        batches,
    }
}

/// The numbers of a section, standards filled in.
pub(super) struct Numbers(BTreeMap<&'static str, Value>);

impl Numbers {
    pub(super) fn read(table: &Table, declared: &[Number]) -> Numbers {
        let value = |number: &Number| {
            let written = table.get(number.name).and_then(|entry| checked(number, entry, table.faults()));
            Some((number.name, written.or_else(|| number.standard.value())?))
        };
        Numbers(declared.iter().filter_map(value).collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    pub(super) fn real(&self, name: &str) -> f64 {
        self.get(name).and_then(Value::real).unwrap_or_default()
    }

    pub(super) fn count(&self, name: &str) -> u32 {
        self.real(name) as u32
    }
}

fn required_tasks(table: &Table, tasks: &[&str]) -> Vec<Placed> {
    if table.get("tasks").is_none() {
        let at = table.all().last().map_or(0..0, |(_, _, entry)| entry.span());
        let title = format!("{} names no tasks", table.name);
        table.faults().add(Fault::new(at, title, "the section").help("write tasks = [\"rte\", …]"));
    }
    known_tasks(table, "tasks", tasks)
}

/// The tasks of a list, each once; one that is not known is a fault.
fn known_tasks(table: &Table, key: &str, tasks: &[&str]) -> Vec<Placed> {
    let mut found: Vec<Placed> = Vec::new();
    for (name, span) in table.placed_texts(key).unwrap_or_default() {
        if !tasks.contains(&name.as_str()) {
            let help = suggestion(&name, tasks.iter().copied());
            table.faults().add(Fault::new(span, format!("unknown task \"{name}\""), "not known").help(help));
        } else if found.iter().any(|(other, _)| *other == name) {
            table.faults().add(Fault::new(span, format!("{name} stands twice in {}", table.name), "again here"));
        } else {
            found.push((name, span));
        }
    }
    if let (true, Some(entry)) = (found.is_empty(), table.get(key))
        && matches!(entry.get_ref(), DeValue::Array(items) if items.is_empty())
    {
        table.faults().add(Fault::new(entry.span(), format!("{key} in {} is empty", table.name), "no task"));
    }
    found
}

/// A flag of a section without numbers of its own; nothing where it is not written.
pub(super) fn flag(table: &Table, key: &str) -> Option<bool> {
    let entry = table.get(key)?;
    match value(entry.get_ref()) {
        Some(Value::Flag(flag)) => Some(flag),
        _ => {
            let title = format!("{key} in {} must be true or false", table.name);
            table.faults().add(Fault::new(entry.span(), title, "neither"));
            None
        }
    }
}
