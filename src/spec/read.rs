//! The sections of a sweep file, one after the other.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::de::DeValue;

use super::axis::{self, Axis};
use super::fault::{Fault, nearest, suggestion};
use super::filter::{Filter, distinct, list, same};
use super::number::{Number, Value};
use super::recipe::{LOG_EVERY, RECIPE};
use super::table::{self, Collector, Table, checked};
use super::{
    COORDINATES, Clause, Known, Mode, ModelFault, OwnTask, RESERVED, Select, Stages, Stop, Sweep, mode, names_a_folder,
    priority, run,
};

/// Reads the whole file; what is wrong with it goes to `faults`.
pub(super) fn read(file: &str, text: &str, root: Table, known: &Known, faults: &Collector) -> Sweep {
    let run = root.table("run").map(run::read).unwrap_or_default();
    // A task or mode whose own table is at fault is known nevertheless: its grid entry is no second fault.
    let own_names = root.keys_of("task");
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
    let tune = root.table("tune").map(|table| read_tune(&table, &numbers, faults)).unwrap_or_default();
    for axis in tune.iter().filter(|axis| grid.iter().any(|g| g.name == axis.name)) {
        let title = format!("{} is an axis of [grid] and of [tune]", axis.name);
        let help = "an axis of [grid] is compared, an axis of [tune] is chosen on dev: keep one of them";
        faults.add(Fault::new(axis.span.clone(), title, "the second one").help(help));
    }

    let task_names: Vec<&str> = known.tasks.iter().copied().chain(own_names.iter().map(String::as_str)).collect();
    check_names(&grid, "task", faults, |name, span| {
        let help = suggestion(name, task_names.iter().copied());
        let fault = Fault::new(span, format!("unknown task \"{name}\""), "not known").help(help);
        (!task_names.contains(&name)).then_some(fault)
    });
    check_names(&grid, "model", faults, |name, span| {
        if name.is_empty() {
            let help = "write the name of a folder under models/, or a path";
            return Some(Fault::new(span, "model is empty", "no name").help(help));
        }
        match (known.model)(name, &run) {
            Ok(()) => None,
            Err(ModelFault::Unknown(why)) => {
                Some(Fault::new(span, format!("unknown model \"{name}\""), "not known").help(why))
            }
            Err(ModelFault::Absent(why)) => {
                Some(Fault::new(span, format!("model \"{name}\" is not on this machine"), "not here").help(why))
            }
            Err(ModelFault::Unusable(why) | ModelFault::Damaged(why)) => {
                Some(Fault::new(span, format!("model \"{name}\" cannot be used"), "this model").help(why))
            }
        }
    });
    let modes = mode::read(&grid, &root, known, faults);
    let is_zipped = |own: &&Axis| zip.iter().flatten().any(|n| own.name.rsplit('.').next() == Some(n));
    for own in modes.iter().flat_map(|mode| &mode.own).filter(is_zipped) {
        let title = format!("{} is zipped in [grid]; a mode cannot have values of its own for it", own.name);
        let help = format!("take {} out of zip, or out of the mode's table", own.name);
        faults.add(Fault::new(own.span.clone(), title, "overrides a zipped axis").help(help));
    }
    for axis in grid.iter().chain(&tune) {
        let taken = RECIPE.iter().any(|n| n.name == axis.name)
            || COORDINATES.contains(&axis.name.as_str())
            || modes.iter().any(|mode| mode.has(&axis.name));
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
    let dotted: BTreeSet<String> = modes.iter().filter(|mode| mode.parts.len() > 1).flat_map(Mode::dotted).collect();
    let coordinates: Vec<(&str, Vec<Value>)> = COORDINATES
        .into_iter()
        .chain(numbers.iter().map(|n| n.name))
        .chain(dotted.iter().map(String::as_str))
        .map(|name| (name, values_of(name, &grid, &tune, &modes)))
        .collect();
    let clauses = |key: &str| -> Vec<Clause> {
        root.list_of_tables(key)
            .into_iter()
            .map(|(span, table)| read_clause(span, &table, &coordinates, faults))
            .collect()
    };
    let (only, exclude) = (clauses("only"), clauses("exclude"));
    let priority = root.list_of_tables("priority").into_iter().filter_map(|(span, table)| {
        let level = priority::level(&span, &table)?;
        Some((level, read_clause(span, &table, &coordinates, faults)))
    });
    let priority = priority.collect();

    let name = root.text("name").unwrap_or_else(|| stem(file));
    if !names_a_folder(&name) {
        let span = root.get("name").map_or(0..0, |entry| entry.span());
        let help = format!("letters, digits, - _ . and not one of {}", RESERVED.join(", "));
        faults.add(
            Fault::new(span, format!("\"{name}\" cannot name a folder of results"), "used as a folder's name")
                .help(help),
        );
    }
    let question = root.text("question");
    let select = Select::read(&root);
    let paper = root.placed_texts("paper").and_then(|texts| {
        let (name, span) = texts.into_iter().next()?;
        if known.papers.contains(&name.as_str()) {
            return Some(name);
        }
        let help = suggestion(&name, known.papers.iter().copied());
        faults.add(Fault::new(span, format!("unknown published table \"{name}\""), "not known").help(help));
        None
    });
    let stages = Stages::read(&root, &task_names, known);
    let stop = Stop::read(&root, &grid, &tune);
    root.finish();
    Sweep {
        file: file.to_owned(),
        text: text.to_owned(),
        name,
        question,
        select,
        paper,
        grid,
        tune,
        zip,
        modes,
        stages,
        stop,
        train,
        log_every,
        only,
        exclude,
        priority,
        tasks,
        run,
    }
}

fn stem(file: &str) -> String {
    std::path::Path::new(file).file_stem().map_or_else(|| "sweep".to_owned(), |s| s.to_string_lossy().into_owned())
}

fn read_grid(table: &Table, numbers: &[&Number], faults: &Collector) -> (Vec<Axis>, Vec<Vec<String>>) {
    let zip_entry = table.get("zip");
    let [task, model, mode, seed] = COORDINATES;
    let grid = axis::read(table, &[task, model, mode, seed, "zip"], numbers, faults);
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

/// Axes of which the best value is chosen on dev.
fn read_tune(table: &Table, numbers: &[&Number], faults: &Collector) -> Vec<Axis> {
    for name in COORDINATES {
        let Some(entry) = table.get(name) else { continue };
        let help = match name {
            "seed" => {
                "seeds are what tables average over, and a chosen seed is no result: move it to [grid]".to_owned()
            }
            _ => format!("{name}s are compared, settings are chosen: move it to [grid]"),
        };
        faults.add(Fault::new(entry.span(), format!("{name} cannot be in [tune]"), "nothing to choose").help(help));
    }
    axis::read(table, &[], numbers, faults)
}

pub(super) fn check_names(
    grid: &[Axis],
    axis: &str,
    faults: &Collector,
    mut wrong: impl FnMut(&str, Range<usize>) -> Option<Fault>,
) {
    for axis in grid.iter().filter(|a| a.name == axis) {
        for (value, span) in axis.values.iter().zip(&axis.spans) {
            wrong(&value.to_string(), span.clone()).into_iter().for_each(|fault| faults.add(fault));
        }
    }
}

/// The values that runs can have under a name; none if it is no axis, or one that only the expanded grid can tell: a
/// setting of [train] that some modes have a value of their own for, a number that methods of a combination share.
fn values_of(name: &str, grid: &[Axis], tune: &[Axis], modes: &[Mode]) -> Vec<Value> {
    let is_own = |own: &Axis| own.name == name || own.name.rsplit('.').next() == Some(name);
    let is_given = |is_own: &dyn Fn(&Axis) -> bool| modes.iter().flat_map(|mode| &mode.own).any(is_own);
    let is_setting = RECIPE.iter().any(|n| n.name == name);
    if name.contains('.') || is_given(&|own| own.name != name && is_own(own)) || (is_setting && is_given(&is_own)) {
        return Vec::new();
    }
    let outer = grid.iter().chain(tune).find(|axis| axis.name == name);
    let own = |mode: &Mode| mode.own.iter().find(|axis| axis.name == name).map(|axis| axis.values.clone());
    if outer.is_none() && modes.iter().all(|mode| own(mode).is_none()) {
        return Vec::new();
    }
    // A mode that takes the number and is given no value has the standard one.
    let standard = |mode: &Mode| mode.numbers().into_iter().find(|n| n.name == name).and_then(|n| n.standard.value());
    let of_modes = modes.iter().flat_map(|mode| match (own(mode), outer) {
        (Some(values), _) => values,
        (None, Some(_)) => Vec::new(),
        (None, None) => standard(mode).into_iter().collect(),
    });
    distinct(outer.iter().flat_map(|axis| axis.values.clone()).chain(of_modes))
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

fn read_clause(span: Range<usize>, table: &Table, coordinates: &[(&str, Vec<Value>)], faults: &Collector) -> Clause {
    let mut conditions = Vec::new();
    for (name, key_span, entry) in table.rest() {
        let Some((_, there)) = coordinates.iter().find(|(known, _)| *known == name) else {
            let title = format!("unknown key \"{name}\" in {}", table.name);
            let help = suggestion(&name, coordinates.iter().map(|(known, _)| *known));
            faults.add(Fault::new(key_span, title, "no axis or setting").help(help));
            continue;
        };
        let items = match entry.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            _ => vec![entry],
        };
        let values: Vec<Value> = items.iter().filter_map(|item| table::value(item.get_ref())).collect();
        if values.len() < items.len() || values.is_empty() {
            let title = format!("{name} in {} must be a value or a list of values", table.name);
            faults.add(Fault::new(entry.span(), title, format!("this is {}", table::kind(entry.get_ref()))));
        }
        for item in items {
            let Some(value) = table::value(item.get_ref()) else { continue };
            if !there.is_empty() && !there.iter().any(|other| same(&value, other)) {
                let title = format!("{name} is never {value} in this sweep");
                let help = format!("{}{name} is one of {}", meant(&value, there), list(there));
                faults.add(Fault::new(item.span(), title, "no value of this axis").help(help));
            }
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

/// The value of an axis that another one is nearest to, as advice.
fn meant(value: &Value, there: &[Value]) -> String {
    let distance = |other: &Value| Some((value.real()? - other.real()?).abs());
    let near = there.iter().filter_map(|other| Some((distance(other)?, other))).min_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((_, near)) = near {
        return format!("the nearest is {near}; ");
    }
    let words: Vec<String> = there.iter().map(Value::to_string).collect();
    nearest(&value.to_string(), words.iter().map(String::as_str))
        .map_or_else(String::new, |near| format!("did you mean \"{near}\"? "))
}

fn own_task(name: String, span: Range<usize>, table: Table, known: &Known, faults: &Collector) -> Option<OwnTask> {
    if known.tasks.contains(&name.as_str()) {
        let title = format!("[task.{name}] has the name of a built-in task");
        faults.add(Fault::new(span, title, "already taken").help("choose another name"));
        return None;
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
