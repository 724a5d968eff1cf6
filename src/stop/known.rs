//! What is known of runs: from their records, and from the event log where a run is on its way.

use std::collections::{BTreeMap, HashMap};

use super::Sweep;
use crate::plan::RunId;
use crate::record::log::{Event, What};
use crate::record::store::{Select, Stop};
use crate::record::{End, Record, Rung, Scores};

/// What is known of one run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    /// The score at each step where it was put aside to be compared; `None` where the metric is undefined.
    pub rungs: BTreeMap<u32, Option<f64>>,
    pub end: Option<Ended>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ended {
    /// With the score that decides; `None` where the metric is undefined.
    Scored(Option<f64>),
    Failed,
}

/// What is known of the runs of a sweep. Of runs that a rule stopped only how far they came: the rule decides anew.
pub fn known<'a>(
    records: impl IntoIterator<Item = &'a Record>,
    events: &[Event],
    sweep: &Sweep,
) -> HashMap<RunId, Known> {
    let mut known: HashMap<RunId, Known> = HashMap::new();
    for event in events {
        if let What::Reached { id, rung } = &event.what {
            known.entry(id.clone()).or_default().reach(sweep, rung);
        }
    }
    for record in records {
        known.entry(record.id.clone()).or_default().end_as(sweep, &record.end);
    }
    known
}

impl Known {
    /// Learns of the scores at a step.
    pub fn reach(&mut self, sweep: &Sweep, rung: &Rung) {
        self.rungs.insert(rung.step, sweep.score(&rung.metric, &rung.dev, rung.halves.as_ref()));
    }

    /// Learns that it will never have a score.
    pub fn fail(&mut self) {
        self.end = Some(Ended::Failed);
    }

    /// Learns how it ended.
    pub fn end_as(&mut self, sweep: &Sweep, end: &End) {
        match end {
            End::Done(o) => self.end = Some(Ended::Scored(sweep.score(&o.metric, &o.dev, o.halves.as_ref()))),
            End::Failed(_) => self.end = Some(Ended::Failed),
            End::Stopped(stopped) => self.reach(sweep, &stopped.at),
        }
    }
}

impl Sweep<'_> {
    /// The headline score that the rule goes by: settings are chosen where the sweep chooses them, and compared where it
    /// reports.
    fn score(&self, metric: &str, dev: &Scores, halves: Option<&[Scores; 2]>) -> Option<f64> {
        let scores = match (self.select, self.stop, halves) {
            (Select::Half, Stop::Asha(_), Some([even, _])) => even,
            (Select::Half, Stop::Decided(_), Some([_, odd])) => odd,
            _ => dev,
        };
        scores.get(metric).copied().flatten()
    }
}
