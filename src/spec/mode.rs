//! The modes of a grid: which methods a name means, and what its own table `[mode.<name>]` sets.

use std::ops::Range;

use super::axis::{self, Axis};
use super::fault::{Fault, suggestion};
use super::number::{Number, Value};
use super::read::check_names;
use super::recipe::RECIPE;
use super::table::{Collector, Table};
use super::{Known, KnownMode, Mode};

/// The modes of the grid, each with its own table where it has one.
pub(super) fn read(grid: &[Axis], root: &Table, known: &Known, faults: &Collector) -> Vec<Mode> {
    let own_names = root.keys_of("mode");
    let in_grid: Vec<String> =
        grid.iter().filter(|a| a.name == "mode").flat_map(|a| a.values.iter().map(Value::to_string)).collect();
    let mut described: Vec<Mode> = Vec::new();
    for (name, span, table) in root.named_tables("mode") {
        match read_mode(&name, &span, &table, known, faults) {
            Ok(mode) => {
                if let Some(twin) = described.iter().find(|other| is_same(&other.name, &name, known)) {
                    let title = format!("[mode.{}] and [mode.{name}] are tables of one mode", twin.name);
                    let fault = Fault::new(span.clone(), title, "the second one");
                    faults.add(fault.help("the order of the methods says nothing: keep one table"));
                }
                described.push(mode);
                table.finish();
            }
            Err(fault) => faults.add(fault),
        }
        if !in_grid.iter().any(|other| is_same(&name, other, known)) {
            let help = "add it to mode in [grid], or remove the table";
            faults.add(
                Fault::new(span, format!("[mode.{name}] belongs to no mode of the grid"), "never used").help(help),
            );
        }
    }
    let mut modes: Vec<Mode> = Vec::new();
    check_names(grid, "mode", faults, |name, span| {
        if let Some(mode) = described.iter().find(|mode| is_same(&mode.name, name, known)) {
            modes.push(Mode { name: name.to_owned(), ..mode.clone() });
            return None;
        }
        if own_names.iter().any(|own| is_same(own, name, known)) {
            return None;
        }
        match methods_of(name, &span, known, &own_names) {
            Ok(parts) => modes.push(Mode { name: name.to_owned(), parts, own: Vec::new() }),
            Err(fault) => return Some(fault),
        }
        None
    });
    modes
}

/// The order of a combination's methods says nothing: `r3f+child-d` is `child-d+r3f`.
fn is_same(name: &str, other: &str, known: &Known) -> bool {
    name == other || places(name, known).is_some_and(|own| places(other, known) == Some(own))
}

/// A mode's own table: `[mode.child-d]`, `[mode."child-d+r3f"]`, or an alias with its `base`.
fn read_mode(name: &str, span: &Range<usize>, table: &Table, known: &Known, faults: &Collector) -> Result<Mode, Fault> {
    let base = table.text("base").unwrap_or_else(|| name.to_owned());
    let at = table.get("base").map_or(span.clone(), |entry| entry.span());
    let parts = methods_of(&base, &at, known, &[])?;
    if places(name, known).is_some() && !is_same(name, &base, known) {
        let fault = Fault::new(at, format!("[mode.{name}] has the name of a method and another base"), "not its own");
        return Err(fault.help("choose a name of your own for a setting, or leave base out"));
    }
    let mut mode = Mode { name: name.to_owned(), parts, own: Vec::new() };
    // A method may want settings of its own too: adapters another learning rate, small masks more epochs.
    let numbers: Vec<&Number> = mode.numbers().into_iter().chain(RECIPE).collect();
    mode.own = axis::read_own(table, "", &numbers, faults);
    if mode.parts.len() < 2 {
        return Ok(mode);
    }
    for part in &mode.parts {
        let Some(mut table) = table.table(part.name) else { continue };
        table.name = format!("[mode.{name}.{}]", part.name);
        let numbers: Vec<&Number> = part.numbers.iter().collect();
        mode.own.extend(axis::read_own(&table, &format!("{}.", part.name), &numbers, faults));
        table.finish();
    }
    for plain in mode.own.iter().filter(|own| mode.gives_each(&own.name)) {
        let title = format!("{} in [mode.{name}] has no say", plain.name);
        let fault = Fault::new(plain.span.clone(), title, "each of its methods is given one of its own");
        faults.add(fault.help("keep this one, or those of the methods"));
    }
    Ok(mode)
}

/// Where the methods that a name joins by `+` stand among the known ones, in their order; `None` if one is not known.
fn places(name: &str, known: &Known) -> Option<Vec<usize>> {
    let place = |name: &str| known.modes.iter().position(|m| m.name == name.trim());
    let mut places = name.split('+').map(place).collect::<Option<Vec<usize>>>()?;
    places.sort_unstable();
    Some(places)
}

/// The methods that `child-d+r3f` names, in the order of the known ones; `more` are further names that might be meant.
fn methods_of(name: &str, span: &Range<usize>, known: &Known, more: &[String]) -> Result<Vec<KnownMode>, Fault> {
    let names: Vec<&str> = name.split('+').map(str::trim).collect();
    let Some(places) = places(name, known) else {
        let is_unknown = |name: &&&str| !known.modes.iter().any(|m| m.name == **name);
        let unknown = names.iter().find(is_unknown).copied().unwrap_or(name);
        let all = known.modes.iter().map(|m| m.name).chain(more.iter().map(String::as_str));
        let fault = Fault::new(span.clone(), format!("unknown mode \"{unknown}\""), "no method has this name");
        return Err(fault.help(suggestion(unknown, all)));
    };
    if let Some(why) = (known.refusal)(&names) {
        let fault = Fault::new(span.clone(), format!("\"{name}\" cannot be trained"), "contradicts itself");
        return Err(fault.help(why));
    }
    Ok(places.into_iter().map(|place| known.modes[place]).collect())
}
