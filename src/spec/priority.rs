//! `[[priority]]`: which runs go before others.

use std::ops::Range;

use super::fault::Fault;
use super::number::{Domain, Number, Standard, Value};
use super::table::{Table, checked};

const LEVEL: Number = Number {
    name: "level",
    what: "runs of a higher level go first; all others have 0",
    domain: Domain::Whole { from: -100, to: 100 },
    standard: Standard::Absent("0"),
};

/// The level of one `[[priority]]`; its other keys are conditions.
pub(super) fn level(span: &Range<usize>, table: &Table) -> Option<i32> {
    let Some(entry) = table.get(LEVEL.name) else {
        let fault = Fault::new(span.clone(), "[[priority]] has no level", "this one");
        table.faults().add(fault.help("write level = 1 to bring these runs forward, level = -1 to put them behind"));
        return None;
    };
    match checked(&LEVEL, entry, table.faults())? {
        Value::Whole(level) => Some(level as i32),
        _ => None,
    }
}
