//! The sections of a sweep file, one after the other.

use std::ops::Range;

use toml::de::DeValue;

use super::axis::{self, Axis};
use super::fault::{Fault, suggestion};
use super::filter::Filter;
use super::number::{Number, Value};
use super::recipe::{LOG_EVERY, RECIPE};
use super::table::{self, Collector, Table, checked};
use super::{Clause, Known, Mode, OwnTask, RunTable, Sweep};

/// Reads the whole file; what is wrong with it goes to `faults`.
pub(super) fn read(file: &str, text: &str, root: Table, known: &Known, faults: &Collector) -> Sweep {
    let run = root.table("run").map(read_run).unwrap_or_default();
    let tasks: Vec<OwnTask> = root
        .named_tables("task")
        .into_iter()
        .filter_map(|(name, span, table)| own_task(name, span, table, known, faults))
        .collect();
    let mut numbers: Vec<&Number> = RECIPE.iter().collect();
    for number in known.modes.iter().flat_map(|mode| mode.numbers) {
        if !numbers.iter().any(|n| n.name == number.name) {
            numbers.push(number);
        }
    }

    let (grid, zip) = match root.table("grid") {
        Some(table) => read_grid(&table, &numbers, faults),
        None => {
            if root.get("grid").is_none() {
                let help = "write [grid] with task, model, mode and seed, for example task = [\"rte\"]";
                faults.add(Fault::new(text.len()..text.len(), "the file has no [grid]", "here").help(help));
            }
            Default::default()
        }
    };
    let tune = root.table("tune").map(|table| axis::read(&table, &numbers, faults, &[])).unwrap_or_default();
    for axis in tune.iter().filter(|axis| grid.iter().any(|g| g.name == axis.name)) {
        let title = format!("{} is an axis of [grid] and of [tune]", axis.name);
        let help = "an axis of [grid] is compared, an axis of [tune] is chosen on dev: keep one of them";
        faults.add(Fault::new(axis.span.clone(), title, "the second one").help(help));
    }

    let task_names: Vec<&str> = known.tasks.iter().copied().chain(tasks.iter().map(|t| t.name.as_str())).collect();
    check_names(&grid, "task", faults, |name| {
        (!task_names.contains(&name))
            .then(|| (format!("unknown task \"{name}\""), suggestion(name, task_names.iter().copied())))
    });
    check_names(&grid, "model", faults, |name| {
        let why = (known.model)(name, &run).err()?;
        Some((format!("unknown model \"{name}\""), why))
    });
    let tables = root.named_tables("mode");
    let modes = read_modes(&grid, tables, known, faults);
    for axis in grid.iter().chain(&tune) {
        let taken = RECIPE.iter().any(|n| n.name == axis.name)
            || ["task", "model", "mode", "seed"].contains(&axis.name.as_str())
            || modes.iter().any(|mode| mode.numbers.iter().any(|n| n.name == axis.name));
        if !taken && !modes.is_empty() {
            let title = format!("no mode of this grid takes {}", axis.name);
            let names: Vec<&str> =
                known.modes.iter().filter(|m| m.numbers.iter().any(|n| n.name == axis.name)).map(|m| m.name).collect();
            faults.add(
                Fault::new(axis.span.clone(), title, "multiplies nothing")
                    .help(format!("modes that take it: {}", names.join(", "))),
            );
        }
    }

    let (train, log_every) =
        root.table("train").map(|table| read_train(table, &grid, &tune, faults)).unwrap_or_default();
    let coordinates: Vec<&str> =
        ["task", "model", "mode", "seed"].into_iter().chain(numbers.iter().map(|n| n.name)).collect();
    let clauses = |key: &str| -> Vec<Clause> {
        root.list_of_tables(key)
            .into_iter()
            .map(|(span, table)| read_clause(span, &table, &coordinates, faults))
            .collect()
    };
    let (only, exclude) = (clauses("only"), clauses("exclude"));

    let name = root.text("name").unwrap_or_else(|| stem(file));
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        || name.is_empty()
        || name.starts_with('.')
        || RESERVED.contains(&name.as_str())
    {
        let span = root.get("name").map_or(0..0, |entry| entry.span());
        let help = format!("letters, digits, - _ . and not one of {}", RESERVED.join(", "));
        faults.add(
            Fault::new(span, format!("\"{name}\" cannot name a folder of results"), "used as a folder's name")
                .help(help),
        );
    }
    let question = root.text("question");
    root.finish();
    Sweep {
        file: file.to_owned(),
        text: text.to_owned(),
        name,
        question,
        grid,
        tune,
        zip,
        modes,
        train,
        log_every,
        only,
        exclude,
        tasks,
        run,
    }
}

/// Folders of `results/` that are no sweep.
const RESERVED: &[&str] = &["runs", "cache", "masks"];

fn stem(file: &str) -> String {
    std::path::Path::new(file).file_stem().map_or_else(|| "sweep".to_owned(), |s| s.to_string_lossy().into_owned())
}

fn read_grid(table: &Table, numbers: &[&Number], faults: &Collector) -> (Vec<Axis>, Vec<Vec<String>>) {
    let zip_entry = table.get("zip");
    let grid = axis::read(table, numbers, faults, &["zip"]);
    for required in ["task", "model", "mode"] {
        if !grid.iter().any(|axis| axis.name == required) && table.get(required).is_none() {
            let at = table.all().last().map_or(0..0, |(_, _, entry)| entry.span());
            let title = format!("[grid] has no {required}");
            faults.add(Fault::new(at, title, "the grid ends here").help(format!("add {required} = [\"…\"]")));
        }
    }
    let mut zip = Vec::new();
    if let Some(entry) = zip_entry {
        zip = axis::read_zip(entry, &grid, faults);
    }
    (grid, zip)
}

fn read_modes(
    grid: &[Axis],
    tables: Vec<(String, Range<usize>, Table)>,
    known: &Known,
    faults: &Collector,
) -> Vec<Mode> {
    let names: Vec<&str> = known.modes.iter().map(|m| m.name).collect();
    let mut described: Vec<Mode> = Vec::new();
    for (name, span, table) in tables {
        let base = table.text("base").unwrap_or_else(|| name.clone());
        let Some(method) = known.modes.iter().find(|m| m.name == base) else {
            let help = suggestion(&base, names.iter().copied());
            faults.add(Fault::new(span, format!("unknown mode \"{base}\""), "no method has this name").help(help));
            continue;
        };
        let numbers: Vec<&Number> = method.numbers.iter().collect();
        let own = axis::read_own(&table, &numbers, faults);
        table.finish();
        let used = grid.iter().any(|a| a.name == "mode" && a.values.contains(&Value::Word(name.clone())));
        if !used {
            let help = "add it to mode in [grid], or remove the table";
            faults.add(
                Fault::new(span, format!("[mode.{name}] belongs to no mode of the grid"), "never used").help(help),
            );
        }
        described.push(Mode { name, base, numbers: method.numbers, own });
    }
    let mut modes = Vec::new();
    check_names(grid, "mode", faults, |name| {
        if let Some(mode) = described.iter().find(|m| m.name == name) {
            modes.push(mode.clone());
            return None;
        }
        if let Some(method) = known.modes.iter().find(|m| m.name == name) {
            modes.push(Mode { name: name.to_owned(), base: name.to_owned(), numbers: method.numbers, own: Vec::new() });
            return None;
        }
        let all = names.iter().copied().chain(described.iter().map(|m| m.name.as_str()));
        Some((format!("unknown mode \"{name}\""), suggestion(name, all.collect::<Vec<_>>())))
    });
    modes
}

fn check_names(grid: &[Axis], axis: &str, faults: &Collector, mut wrong: impl FnMut(&str) -> Option<(String, String)>) {
    for axis in grid.iter().filter(|a| a.name == axis) {
        for (value, span) in axis.values.iter().zip(&axis.spans) {
            if let Some((title, help)) = wrong(&value.to_string()) {
                faults.add(Fault::new(span.clone(), title, "not known").help(help));
            }
        }
    }
}

fn read_train(table: Table, grid: &[Axis], tune: &[Axis], faults: &Collector) -> (Vec<(String, Value)>, u32) {
    let mut train = Vec::new();
    for number in RECIPE {
        let Some(entry) = table.get(number.name) else { continue };
        if grid.iter().chain(tune).any(|axis| axis.name == number.name) {
            let title = format!("{} is set in [train] and is an axis", number.name);
            faults.add(Fault::new(entry.span(), title, "the axis sets it too").help("keep one of them"));
        }
        if matches!(entry.get_ref(), DeValue::Array(_)) {
            let help = format!("several values of {} make an axis: move it to [grid] or [tune]", number.name);
            faults.add(
                Fault::new(entry.span(), format!("{} in [train] must be one value", number.name), "a list").help(help),
            );
        } else if let Some(value) = checked(number, entry, faults) {
            train.push((number.name.to_owned(), value));
        }
    }
    let log_every = match table.get("log_every").and_then(|entry| checked(&LOG_EVERY, entry, faults)) {
        Some(Value::Whole(n)) => n as u32,
        _ => 0,
    };
    table.finish();
    (train, log_every)
}

fn read_clause(span: Range<usize>, table: &Table, coordinates: &[&str], faults: &Collector) -> Clause {
    let mut conditions = Vec::new();
    for (name, key_span, entry) in table.all() {
        if !coordinates.contains(&name.as_str()) {
            let title = format!("unknown key \"{name}\" in {}", table.name);
            faults.add(
                Fault::new(key_span, title, "no axis or setting").help(suggestion(&name, coordinates.iter().copied())),
            );
            continue;
        }
        let items = match entry.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            _ => vec![entry],
        };
        let values: Vec<Value> = items.iter().filter_map(|item| table::value(item.get_ref())).collect();
        if values.len() < items.len() || values.is_empty() {
            let title = format!("{name} in {} must be a value or a list of values", table.name);
            faults.add(Fault::new(entry.span(), title, format!("this is {}", table::kind(entry.get_ref()))));
        }
        conditions.push((name, values));
    }
    if conditions.is_empty() {
        faults.add(
            Fault::new(span.clone(), format!("{} is empty", table.name), "says nothing")
                .help("name an axis and its values"),
        );
    }
    Clause { span, filter: Filter::of(conditions) }
}

fn read_run(table: Table) -> RunTable {
    let run = RunTable {
        devices: table.texts("devices").filter(|devices| devices.as_slice() != ["auto"]),
        slots_per_device: axis::slots(&table),
        data: table.texts("data").unwrap_or_default(),
        models: table.texts("models").unwrap_or_default(),
        results: table.text("results"),
        reports: table.text("reports"),
    };
    table.finish();
    run
}

fn own_task(name: String, span: Range<usize>, table: Table, known: &Known, faults: &Collector) -> Option<OwnTask> {
    if known.tasks.contains(&name.as_str()) {
        let title = format!("[task.{name}] has the name of a built-in task");
        faults.add(Fault::new(span.clone(), title, "already taken").help("choose another name"));
    }
    let (train, dev) = (table.text("train"), table.text("dev"));
    let (text, label) = (table.texts("text"), table.text("label"));
    let (labels, format) = (table.texts("labels"), table.text("format"));
    let metric = table.texts("metric");
    for required in ["train", "dev", "text", "label", "metric"] {
        if table.get(required).is_none() {
            let title = format!("[task.{name}] has no {required}");
            let help = "a task has train and dev files, text (one or two columns), label and metric";
            faults.add(Fault::new(span.clone(), title, "this task").help(help));
        }
    }
    if let Some(entry) = table.get("metric") {
        for unknown in metric.iter().flatten().filter(|m| !known.metrics.contains(&m.as_str())) {
            let help = suggestion(unknown, known.metrics.iter().copied());
            faults.add(Fault::new(entry.span(), format!("unknown metric \"{unknown}\""), "not known").help(help));
        }
    }
    if let (Some(columns), Some(entry)) = (&text, table.get("text"))
        && !(1..=2).contains(&columns.len())
    {
        let title = format!("text in [task.{name}] must name one or two columns");
        faults.add(Fault::new(entry.span(), title, format!("{} columns", columns.len())));
    }
    table.finish();
    Some(OwnTask { name, train: train?, dev: dev?, text: text?, label: label?, labels, metric: metric?, format })
}
