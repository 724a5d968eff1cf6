//! Axes: a list, a range or one value under a name.

use std::collections::HashSet;
use std::ops::Range;

use toml::de::DeValue;

use super::fault::{Fault, suggestion};
use super::number::{Domain, Number, Value};
use super::recipe::SEED;
use super::table::{Collector, Entry, Table, checked, kind, value};

/// An axis of the grid, at least one value long, without duplicates.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    pub name: String,
    /// Its key in the file.
    pub span: Range<usize>,
    pub values: Vec<Value>,
    /// The places of the values; those of a range all lie at the range.
    pub spans: Vec<Range<usize>>,
}

/// A range longer than this is a slip of the pen.
const LONGEST: f64 = 100_000.0;

/// An axis for every key of a table that nobody has asked for; `keys` are those that the table may have besides
/// numbers.
pub fn read(table: &Table, keys: &[&str], numbers: &[&Number], faults: &Collector) -> Vec<Axis> {
    let mut axes = Vec::new();
    for (name, span, entry) in table.rest() {
        let number = match name.as_str() {
            "task" | "model" | "mode" => None,
            "seed" => Some(&SEED),
            _ => match numbers.iter().find(|n| n.name == name) {
                Some(number) => Some(*number),
                None => {
                    let known: Vec<&str> = keys.iter().copied().chain(numbers.iter().map(|n| n.name)).collect();
                    let title = format!("unknown key \"{name}\" in {}", table.name);
                    faults.add(Fault::new(span, title, "no such axis").help(suggestion(&name, known)));
                    continue;
                }
            },
        };
        axes.extend(read_axis(name, span, entry, number, faults));
    }
    axes
}

/// The axes of a mode's own table; `prefix` stands before their names.
pub fn read_own(table: &Table, prefix: &str, numbers: &[&Number], faults: &Collector) -> Vec<Axis> {
    let read = |number: &&Number| {
        let entry = table.get(number.name)?;
        read_axis(format!("{prefix}{}", number.name), entry.span(), entry, Some(number), faults)
    };
    numbers.iter().filter_map(read).collect()
}

fn read_axis(
    name: String,
    span: Range<usize>,
    entry: &Entry,
    number: Option<&Number>,
    faults: &Collector,
) -> Option<Axis> {
    let (values, spans): (Vec<Value>, Vec<Range<usize>>) = match entry.get_ref() {
        DeValue::Array(items) => {
            let read = |item: &Entry| Some((one(&name, item, number, faults)?, item.span()));
            let found: Vec<_> = items.iter().map(read).collect();
            if found.is_empty() {
                let fault = Fault::new(entry.span(), format!("the axis {name} is empty"), "no values");
                faults.add(fault.help("give at least one value, or remove the axis"));
            }
            if found.iter().any(Option::is_none) {
                return None;
            }
            found.into_iter().flatten().unzip()
        }
        DeValue::Table(_) => {
            let values = range(&name, entry, number, faults)?;
            let spans = vec![entry.span(); values.len()];
            (values, spans)
        }
        _ => (vec![one(&name, entry, number, faults)?], vec![entry.span()]),
    };
    let mut seen = HashSet::new();
    for (value, span) in values.iter().zip(&spans) {
        if !seen.insert(value.to_string()) {
            let fault = Fault::new(span.clone(), format!("{name} has {value} twice"), "again here");
            faults.add(fault.help("each value of an axis stands once"));
        }
    }
    (!values.is_empty()).then_some(Axis { name, span, values, spans })
}

fn one(name: &str, item: &Entry, number: Option<&Number>, faults: &Collector) -> Option<Value> {
    match number {
        Some(number) => checked(number, item, faults),
        None => match value(item.get_ref()) {
            Some(Value::Word(word)) => Some(Value::Word(word)),
            _ => {
                let title = format!("{name} must be a name or a list of names");
                faults.add(Fault::new(item.span(), title, format!("this is {}", kind(item.get_ref()))));
                None
            }
        },
    }
}

/// `{ from = 1, to = 10, step = 1 }`, both ends included.
fn range(name: &str, entry: &Entry, number: Option<&Number>, faults: &Collector) -> Option<Vec<Value>> {
    let DeValue::Table(inner) = entry.get_ref() else { return None };
    let table = Table::new(format!("the range of {name}"), inner, faults);
    let bound = |key: &str| match (table.get(key), number) {
        (Some(bound), Some(_)) => match value(bound.get_ref()) {
            Some(found @ (Value::Real(_) | Value::Whole(_))) => Some(found),
            _ => {
                let title = format!("{key} in the range of {name} must be a number");
                faults.add(Fault::new(bound.span(), title, format!("this is {}", kind(bound.get_ref()))));
                None
            }
        },
        _ => None,
    };
    let (from, to, step) = (bound("from"), bound("to"), bound("step"));
    let stepped = table.get("step").is_some();
    table.finish();
    let Some(number) = number else {
        faults.add(
            Fault::new(entry.span(), format!("{name} must be a list of names"), "a range")
                .help("ranges are for numbers"),
        );
        return None;
    };
    let (Some(from), Some(to)) = (from, to) else {
        let help = format!("write {name} = {{ from = 1, to = 10 }}, with step = … for steps other than 1");
        faults.add(
            Fault::new(entry.span(), format!("the range of {name} needs from and to"), "a number is missing")
                .help(help),
        );
        return None;
    };
    if stepped && step.is_none() {
        return None;
    }
    let step = match (step, number.domain) {
        (Some(step), _) => step,
        // Steps of 1 are a slip of the pen where values lie between 0 and 1.
        (None, Domain::Real { .. } | Domain::RealBelow { .. }) => {
            let fault = Fault::new(entry.span(), format!("the range of {name} needs a step"), "no step");
            faults.add(
                fault.help(format!("write {name} = {{ from = {from}, to = {to}, step = … }}, or list the values")),
            );
            return None;
        }
        (None, _) => Value::Whole(1),
    };
    let (a, b, s) = (from.real()?, to.real()?, step.real()?);
    if ![a, b, s].iter().all(|x| x.is_finite()) {
        let fault = Fault::new(entry.span(), format!("the range of {name} never ends"), "not a finite number");
        faults.add(fault.help("from, to and step are numbers such as 1 or 0.5"));
        return None;
    }
    // Beyond 2^53 only whole arithmetic is exact.
    let exact = match (whole(&from), whole(&to), whole(&step)) {
        (Some(a), Some(b), Some(s)) => Some((a, b, s)),
        _ => None,
    };
    let (rises, last) = match exact {
        Some((a, b, s)) => (s > 0 && b >= a, ((b - a) / s.max(1)) as f64),
        // A little more, so that 0.1 to 0.9 by 0.2 ends at 0.9.
        None => (s > 0.0 && b >= a, ((b - a) / s + 1e-9).floor()),
    };
    if !rises {
        let label = if s <= 0.0 { "step must be above 0".to_owned() } else { format!("from {from} down to {to}") };
        let help = "a range goes upwards, both ends included";
        faults.add(Fault::new(entry.span(), format!("the range of {name} is reversed"), label).help(help));
        return None;
    }
    if last >= LONGEST {
        let count = last + 1.0;
        let said = if count < 1e15 { count.to_string() } else { format!("{count:.0e}") };
        let title = format!("the range of {name} has {said} values");
        faults.add(Fault::new(entry.span(), title, format!("at most {LONGEST}")).help("take a wider step"));
        return None;
    }
    let values = (0..=last as i64).map(|i| {
        let x = match exact {
            Some((a, _, s)) => Value::Whole((a + i128::from(i) * s) as i64),
            None => Value::Real(decimal(a + i as f64 * s)),
        };
        let accepted = number.domain.accept(&x);
        if accepted.is_none() {
            let title = format!("{name} must be {}", number.domain);
            faults.add(Fault::new(entry.span(), title, format!("the range reaches {x}")));
        }
        accepted
    });
    values.collect()
}

/// The whole number behind `3` and `3.0`.
fn whole(value: &Value) -> Option<i128> {
    match (Domain::Whole { from: i64::MIN, to: i64::MAX }).accept(value) {
        Some(Value::Whole(n)) => Some(n.into()),
        _ => None,
    }
}

/// The number that a person would have written: 0.3 for 0.1 + 2 · 0.1.
fn decimal(x: f64) -> f64 {
    format!("{x:.13e}").parse().unwrap_or(x)
}

/// `zip = [["task", "epochs"]]`: axes of one length that advance together.
pub fn read_zip(entry: &Entry, grid: &[Axis], faults: &Collector) -> Vec<Vec<String>> {
    let wrong = |span: Range<usize>, label: String| {
        let help =
            "write zip = [[\"task\", \"epochs\"]]: lists of two or more axes of [grid], each in one list at most";
        faults.add(Fault::new(span, "zip must be a list of lists of axis names", label).help(help));
    };
    let DeValue::Array(groups) = entry.get_ref() else {
        wrong(entry.span(), format!("this is {}", kind(entry.get_ref())));
        return Vec::new();
    };
    let mut zips: Vec<Vec<String>> = Vec::new();
    for group in groups.iter() {
        let DeValue::Array(items) = group.get_ref() else {
            wrong(group.span(), format!("this is {}", kind(group.get_ref())));
            continue;
        };
        let mut names: Vec<String> = Vec::new();
        for item in items.iter() {
            match item.get_ref() {
                DeValue::String(name) if name == "mode" => {
                    let help = "give a mode values of its own: a table [mode.<name>] wins over [grid]";
                    faults.add(Fault::new(item.span(), "mode cannot be zipped", "not with other axes").help(help));
                }
                DeValue::String(name) if !grid.iter().any(|axis| axis.name == *name.as_ref()) => {
                    let help = suggestion(name, grid.iter().map(|a| a.name.as_str()));
                    faults.add(
                        Fault::new(item.span(), format!("zip names no axis \"{name}\""), "not in [grid]").help(help),
                    );
                }
                DeValue::String(name) if zips.iter().chain([&names]).flatten().any(|n| *n == *name.as_ref()) => {
                    wrong(item.span(), format!("{name} is zipped already"));
                }
                DeValue::String(name) => names.push(name.to_string()),
                other => wrong(item.span(), format!("this is {}", kind(other))),
            }
        }
        if items.len() < 2 {
            wrong(group.span(), "fewer than two axes".to_owned());
        }
        let lengths: Vec<(String, usize)> =
            grid.iter().filter(|a| names.contains(&a.name)).map(|a| (a.name.clone(), a.values.len())).collect();
        if lengths.iter().any(|(_, n)| *n != lengths[0].1) {
            let said: Vec<String> = lengths.iter().map(|(name, n)| format!("{name} has {n}")).collect();
            let fault = Fault::new(group.span(), "zipped axes must have one length", said.join(", "));
            faults.add(fault.help("give each the same number of values"));
        } else if names.len() > 1 {
            zips.push(names);
        }
    }
    zips
}
