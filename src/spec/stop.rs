//! `[stop]`: what ends work before the whole grid is trained, and what that takes.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::axis::Axis;
use super::fault::{Fault, suggestion};
use super::number::{Domain, Number, Standard, Value};
use super::stages::Numbers;
use super::table::{Collector, Table};

/// An early decision; part of a sweep's manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "kebab-case")]
pub enum Stop {
    Asha(Asha),
    Decided(Decided),
}

/// Asynchronous successive halving: settings of `[tune]` that are behind at an early step are not trained to the end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asha {
    /// One of so many settings goes on from each rung.
    pub eta: u32,
    /// Rungs before the end of training, at least 1: the last lies at 1/eta of the steps, the one before at 1/eta², ….
    pub rungs: u32,
}

/// More seeds only as long as a comparison with vanilla is open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decided {
    /// The chance, in (0, 1), that any comparison of the sweep is called different where it is not.
    pub alpha: f64,
    /// Seeds before the first look, at least 2, and between two looks.
    pub first: u32,
    pub every: u32,
    pub spending: Spending,
}

/// How that chance is spent over the looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spending {
    /// Next to nothing at first.
    #[serde(rename = "obrien-fleming")]
    OBrienFleming,
    /// About the same at each look.
    Pocock,
}

const ASHA: &[Number] = &[
    number(
        "eta",
        "one of so many settings goes on from each rung",
        Domain::Whole { from: 2, to: 100 },
        Standard::Whole(3),
    ),
    number("rungs", "decisions before the end of training", Domain::Whole { from: 1, to: 20 }, Standard::Whole(2)),
    number(
        "min_share",
        "least share of the training steps before the first decision, instead of rungs",
        Domain::Real { above: 0.0, up_to: 0.5 },
        Standard::Absent("by rungs"),
    ),
];

const DECIDED: &[Number] = &[
    number(
        "alpha",
        "chance that any comparison of the sweep is called different where it is not",
        Domain::Real { above: 0.0, up_to: 0.5 },
        Standard::Real(0.05),
    ),
    number("first", "seeds before the first look", Domain::Whole { from: 2, to: 100_000 }, Standard::Whole(5)),
    number("every", "seeds between two looks", Domain::Whole { from: 1, to: 100_000 }, Standard::Whole(5)),
    number(
        "spending",
        "how the chance of a false call is spent over the looks",
        Domain::Word(&["obrien-fleming", "pocock"]),
        Standard::Word("obrien-fleming"),
    ),
];

const fn number(name: &'static str, what: &'static str, domain: Domain, standard: Standard) -> Number {
    Number { name, what, domain, standard }
}

impl Stop {
    /// Its name in a sweep file.
    pub fn name(&self) -> &'static str {
        match self {
            Stop::Asha(_) => "asha",
            Stop::Decided(_) => "decided",
        }
    }

    /// Whether runs compete, so that those that a call leaves out take no part.
    pub fn is_a_race(&self) -> bool {
        matches!(self, Stop::Asha(_))
    }

    /// Reads `[stop]`; what it cannot work on is a fault: `asha` needs `[tune]`, `decided` a baseline, seeds, and no
    /// `[tune]`.
    pub(super) fn read(root: &Table, grid: &[Axis], tune: &[Axis]) -> Option<Stop> {
        let table = root.table("stop")?;
        let faults = table.faults();
        let at = || root.get("stop").map_or(0..0, |entry| entry.span());
        let Some(entry) = table.get("rule") else {
            let help = "write rule = \"asha\" (settings of [tune] that are behind stop early), or rule = \"decided\" \
                        (no more seeds than a comparison with vanilla needs)";
            faults.add(Fault::new(at(), "[stop] has no rule", "this section").help(help));
            // Whatever else it says belongs to a rule that is not known.
            table.all();
            return None;
        };
        let place = entry.span();
        let stop = match table.text("rule")?.as_str() {
            "asha" => Stop::Asha(read_asha(&table)),
            "decided" => Stop::Decided(read_decided(&table)),
            other => {
                let help = suggestion(other, ["asha", "decided"]);
                faults.add(Fault::new(place, format!("unknown rule \"{other}\" in [stop]"), "not known").help(help));
                table.all();
                return None;
            }
        };
        table.finish();
        match &stop {
            Stop::Asha(_) if !tune.iter().any(|axis| axis.values.len() > 1) => {
                let help =
                    "asha chooses among the settings of [tune]: give an axis there several values, or remove [stop]";
                faults.add(Fault::new(place, "rule = \"asha\" has nothing to choose", "no axis of [tune]").help(help));
            }
            Stop::Decided(_) if !tune.is_empty() => {
                let help = "which setting is compared would change from look to look: choose the settings in a sweep of \
                            their own (rule = \"asha\"), then compare with fixed ones";
                let title = format!("rule = \"decided\" cannot go with [tune] ({})", tune[0].name);
                faults.add(Fault::new(tune[0].span.clone(), title, "chosen on dev").help(help));
            }
            Stop::Decided(decided) => check_decided(decided, grid, place, faults),
            Stop::Asha(_) => {}
        }
        Some(stop)
    }
}

fn read_asha(table: &Table) -> Asha {
    let numbers = Numbers::read(table, ASHA);
    let eta = numbers.count("eta");
    let Some(share) = numbers.get("min_share").and_then(Value::real) else {
        return Asha { eta, rungs: numbers.count("rungs") };
    };
    if let Some(entry) = table.get("rungs") {
        let title = "rungs and min_share in [stop] say the same";
        table.faults().add(Fault::new(entry.span(), title, "the second one").help("keep one of them"));
    }
    // A third is no exact number, and meant to be one rung.
    let rungs = (-share.ln() / f64::from(eta).ln() + 1e-9) as u32;
    if let (0, Some(entry)) = (rungs, table.get("min_share")) {
        let help = format!(
            "the last rung lies at 1/eta of the steps: with eta = {eta}, min_share is at most {:.3}",
            1.0 / f64::from(eta)
        );
        table.faults().add(Fault::new(entry.span(), "min_share leaves no rung", "too large").help(help));
    }
    Asha { eta, rungs: rungs.clamp(1, 20) }
}

fn read_decided(table: &Table) -> Decided {
    let numbers = Numbers::read(table, DECIDED);
    let is_pocock = numbers.get("spending") == Some(&Value::Word("pocock".to_owned()));
    Decided {
        alpha: numbers.real("alpha"),
        first: numbers.count("first"),
        every: numbers.count("every"),
        spending: if is_pocock { Spending::Pocock } else { Spending::OBrienFleming },
    }
}

fn check_decided(decided: &Decided, grid: &[Axis], place: Range<usize>, faults: &Collector) {
    let axis = |name: &str| grid.iter().find(|axis| axis.name == name);
    if let Some(mode) = axis("mode")
        && !mode.values.iter().any(|mode| mode.to_string() == "vanilla")
    {
        let help = "rule = \"decided\" compares every mode with vanilla: add it to mode";
        faults.add(Fault::new(mode.span.clone(), "[stop] has nothing to compare with", "no vanilla").help(help));
    }
    let (seeds, at) = axis("seed").map_or((1, place), |axis| (axis.values.len(), axis.span.clone()));
    if seeds <= decided.first as usize {
        let title =
            format!("[stop] can spare no seed: the first look is after {} and there are {seeds}", decided.first);
        let help = "give more seeds than that: they are the most that a comparison gets, and most need fewer";
        faults.add(Fault::new(at, title, "all of them are needed").help(help));
    }
}
