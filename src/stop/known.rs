//! What is known of runs: from their records, and from the event log where a run is on its way.

use std::collections::BTreeMap;

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
