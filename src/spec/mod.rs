//! The sweep file as written, checked: all its faults are reported at once, with place, nearest name and what is
//! allowed. No I/O here: what exists on this machine is told by `Known`.

mod axis;
pub mod cluster;
pub mod fault;
pub mod filter;
mod mode;
pub mod number;
mod priority;
mod profile;
mod read;
pub mod recipe;
mod run;
mod select;
pub mod stages;
pub mod stop;
mod table;

use std::ops::Range;

use toml::de::DeTable;

pub use axis::Axis;
pub use fault::{Fault, Faults};
pub use filter::{Filter, Point};
use number::{Number, Value};
pub use profile::name as profile_name;
pub use run::{FUSE, Keep, MaxFail, Order, RunTable, Slots, duration};
pub use select::Select;
pub use stages::Stages;
pub use stop::Stop;

use table::{Collector, Table};

/// A method as the checker needs to know it.
#[derive(Debug, Clone, Copy)]
pub struct KnownMode {
    pub name: &'static str,
    pub numbers: &'static [Number],
}

impl KnownMode {
    pub fn has(&self, name: &str) -> bool {
        self.numbers.iter().any(|n| n.name == name)
    }
}

/// The names that a sweep file may use.
pub struct Known<'a> {
    pub tasks: Vec<&'static str>,
    /// In the order in which those of a combination are named.
    pub modes: Vec<KnownMode>,
    /// Why these methods cannot be combined, if they cannot.
    pub refusal: &'a dyn Fn(&[&str]) -> Option<String>,
    /// The published tables that a report can show beside its own.
    pub papers: Vec<&'static str>,
    /// Metric names for the user's own tasks.
    pub metrics: Vec<&'static str>,
    /// Whether a model can be found and used; if not, why.
    pub model: &'a dyn Fn(&str, &RunTable) -> Result<(), ModelFault>,
}

/// Why a model of the grid cannot be trained, in words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelFault {
    /// No model has this name.
    Unknown(String),
    /// The hub may have it, but it is not on this machine.
    Absent(String),
    /// It is there, but it is no model that this program can train.
    Unusable(String),
    /// It came from the hub and is not what came any more: it can be fetched again.
    Damaged(String),
}

/// What every run has besides its settings; the names of axes of `[grid]` alone.
pub const COORDINATES: [&str; 4] = ["task", "model", "mode", "seed"];

/// A sweep file, checked.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// The file and its text, for faults that only the expanded grid shows.
    pub file: String,
    pub text: String,
    pub name: String,
    pub question: Option<String>,
    pub select: Select,
    /// The published table that the sweep asks about.
    pub paper: Option<String>,
    /// Axes of `[grid]`, in the file's order.
    pub grid: Vec<Axis>,
    /// Axes of `[tune]`: the best on dev is chosen for each cell.
    pub tune: Vec<Axis>,
    /// Groups of axes that advance together.
    pub zip: Vec<Vec<String>>,
    pub modes: Vec<Mode>,
    /// What follows the training of each run.
    pub stages: Stages,
    /// What ends work before the whole grid is trained.
    pub stop: Option<Stop>,
    /// Settings of `[train]`.
    pub train: Vec<(String, Value)>,
    pub log_every: u32,
    pub only: Vec<Clause>,
    pub exclude: Vec<Clause>,
    pub tasks: Vec<OwnTask>,
    pub run: RunTable,
    /// `[[priority]]`: levels, and which runs have them; the first that takes a run counts.
    pub priority: Vec<(i32, Clause)>,
}

/// A mode of the grid: a method or several, and the values of its own table.
#[derive(Debug, Clone)]
pub struct Mode {
    pub name: String,
    /// The methods behind it, in the order of the known ones.
    pub parts: Vec<KnownMode>,
    /// Axes of its own; one that is for one of several methods alone is called `child-f.p`.
    pub own: Vec<Axis>,
}

impl Mode {
    /// The methods' names joined by `+`; differs from the mode's name for an alias.
    pub fn base(&self) -> String {
        self.parts.iter().map(|part| part.name).collect::<Vec<_>>().join("+")
    }

    /// Every number that some method of it has, once.
    pub fn numbers(&self) -> Vec<&'static Number> {
        let mut numbers: Vec<&Number> = Vec::new();
        for number in self.parts.iter().flat_map(|part| part.numbers) {
            if !numbers.iter().any(|n| n.name == number.name) {
                numbers.push(number);
            }
        }
        numbers
    }

    /// Every number as one of its methods has it: `child-f.p`.
    pub fn dotted(&self) -> Vec<String> {
        self.parts.iter().flat_map(|part| part.numbers.iter().map(|n| format!("{}.{}", part.name, n.name))).collect()
    }

    pub fn has(&self, name: &str) -> bool {
        !self.owners(name).is_empty()
    }

    /// Its methods that have a number of this name.
    pub fn owners(&self, name: &str) -> Vec<&KnownMode> {
        self.parts.iter().filter(|part| part.has(name)).collect()
    }

    /// Whether each of its methods that have a number is given one of its own, as `child-f.p`.
    pub fn gives_each(&self, name: &str) -> bool {
        let is_given = |part: &KnownMode| self.own.iter().any(|own| own.name == format!("{}.{name}", part.name));
        let owners = self.owners(name);
        !owners.is_empty() && owners.into_iter().all(is_given)
    }
}

/// An `[[only]]` or `[[exclude]]` table.
#[derive(Debug, Clone)]
pub struct Clause {
    pub span: Range<usize>,
    pub filter: Filter,
}

/// A `[task.<name>]` table: the user's own data.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnTask {
    pub name: String,
    pub train: String,
    pub dev: String,
    pub text: Vec<String>,
    pub label: String,
    pub labels: Option<Vec<String>>,
    pub metric: Vec<String>,
    pub format: Option<String>,
}

impl Sweep {
    /// Reads and checks a sweep file.
    ///
    /// # Errors
    /// Every fault of the file, each with its place.
    pub fn parse(file: &str, text: &str, known: &Known) -> Result<Sweep, Faults> {
        match Sweep::read(file, text, None, known) {
            (Some(sweep), faults) if faults.is_empty() => Ok(sweep),
            (_, faults) => Err(Faults::new(file, text, faults)),
        }
    }

    /// Reads a sweep file and hands out its faults together with what could be read, so that faults that only the
    /// caller can see are told at the same time. With faults, what is at fault is left out of the sweep, and it must
    /// not be expanded. There is no sweep only if the file is no TOML. With a profile, what `[profile.<name>]` says
    /// stands in for what the file says at the same place, and the sweep is called `<sweep>-<profile>`.
    pub fn read(file: &str, text: &str, profile: Option<&str>, known: &Known) -> (Option<Sweep>, Vec<Fault>) {
        let (root, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            let fault =
                |e: toml::de::Error| Fault::new(e.span().unwrap_or(0..0), "this is no TOML", e.message().to_owned());
            return (None, errors.into_iter().map(fault).collect());
        }
        let faults = Collector::default();
        let mut root = root.into_inner();
        profile::apply(&mut root, profile, &faults);
        let mut sweep = read::read(file, text, Table::new("the sweep file", &root, &faults), known, &faults);
        if let Some(profile) = profile {
            sweep.name = profile::name(&sweep.name, profile);
        }
        (Some(sweep), faults.into_faults())
    }

    /// Faults that only the expanded grid shows.
    pub fn faults(&self, faults: Vec<Fault>) -> Faults {
        Faults::new(&self.file, &self.text, faults)
    }

    pub fn axis(&self, name: &str) -> Option<&Axis> {
        self.grid.iter().chain(&self.tune).find(|axis| axis.name == name)
    }
}

/// Folders of `results/` that are no sweep.
const RESERVED: &[&str] = &["runs", "cache", "masks", "cluster"];

/// Whether a sweep may have this name: it becomes a folder of results and one of reports.
pub fn names_a_folder(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !name.is_empty() && name.chars().all(plain) && !name.starts_with('.') && !RESERVED.contains(&name)
}
