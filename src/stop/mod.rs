//! Early decisions: which runs of a sweep are trained, how far, and which are not needed.
//!
//! A rule is a pure function of what is known of the runs to the fate of each. It keeps no state: after a crash, or in
//! another process, the same records give the same fates, in whatever order they came.

mod asha;
mod decided;
#[cfg(test)]
mod example;
mod known;
mod plan;

use std::collections::HashMap;

pub use decided::{Look, Standing};
pub use known::{Ended, Known, known};
pub use plan::steps;

use crate::plan::{Run, RunId};
use crate::record::store::{Select, Stop};

/// The mode that others are compared with.
pub const REFERENCE: &str = "vanilla";

/// What becomes of a run, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It was trained to its end, or failed.
    Ended,
    /// To be trained up to this step, or to its end; the rung that this leads to, for the order of work.
    Train { until: Option<u32>, rung: u32 },
    /// Depends on runs under way.
    Waits,
    /// Its setting is behind at this step and cannot come to the front any more.
    Stopped { step: u32 },
    /// Every comparison that it is part of is decided.
    Spared,
}

/// What a rule needs to know of a sweep.
#[derive(Debug, Clone, Copy)]
pub struct Sweep<'a> {
    pub stop: &'a Stop,
    pub select: Select,
    /// Names of the axes of `[tune]`.
    pub tune: &'a [String],
    /// Training examples of each task; only `asha` asks, for tasks whose runs do not say it themselves.
    pub examples: &'a std::collections::BTreeMap<String, u32>,
    pub runs: &'a [(RunId, Run)],
}

/// A rule over the runs of one sweep.
#[derive(Debug)]
pub struct Rule {
    groups: Groups,
    group_of: HashMap<RunId, usize>,
}

/// Runs that share their decisions.
#[derive(Debug)]
enum Groups {
    Asha(asha::Race, Vec<Vec<asha::Setting>>),
    Decided(decided::Test, Vec<decided::Block>),
}

impl Rule {
    pub fn new(sweep: &Sweep) -> Rule {
        match sweep.stop {
            Stop::Asha(asha) => {
                let (race, cells) = asha::cells(asha, sweep);
                let ids = |cell: &Vec<asha::Setting>| cell.iter().flat_map(|s| s.runs.clone()).collect();
                let group_of = numbered(cells.iter().map(ids));
                Rule { groups: Groups::Asha(race, cells), group_of }
            }
            Stop::Decided(decided) => {
                let (test, blocks) = decided::blocks(decided, sweep);
                let group_of = numbered(blocks.iter().map(decided::Block::ids));
                Rule { groups: Groups::Decided(test, blocks), group_of }
            }
        }
    }

    /// The fates of all runs.
    pub fn fates(&self, known: &HashMap<RunId, Known>) -> HashMap<RunId, Fate> {
        let count = match &self.groups {
            Groups::Asha(_, cells) => cells.len(),
            Groups::Decided(_, blocks) => blocks.len(),
        };
        (0..count).flat_map(|group| self.of_group(group, known)).collect()
    }

    /// The fates of the runs that share their decisions with this one.
    pub fn fates_beside(&self, id: &RunId, known: &HashMap<RunId, Known>) -> Vec<(RunId, Fate)> {
        self.group_of.get(id).map_or_else(Vec::new, |group| self.of_group(*group, known))
    }

    fn of_group(&self, group: usize, known: &HashMap<RunId, Known>) -> Vec<(RunId, Fate)> {
        match &self.groups {
            Groups::Asha(race, cells) => race.fates(&cells[group], known),
            Groups::Decided(test, blocks) => test.fates(&blocks[group], known),
        }
    }

    /// How each comparison with [`REFERENCE`] stands; none under `asha`.
    pub fn standings(&self, known: &HashMap<RunId, Known>) -> Vec<Standing> {
        match &self.groups {
            Groups::Asha(..) => Vec::new(),
            Groups::Decided(test, blocks) => blocks.iter().flat_map(|block| test.standings(block, known)).collect(),
        }
    }
}

fn numbered(groups: impl Iterator<Item = Vec<RunId>>) -> HashMap<RunId, usize> {
    groups.enumerate().flat_map(|(group, ids)| ids.into_iter().map(move |id| (id, group))).collect()
}
