//! What one run leaves: a record, whichever way it ended, and where records lie.

pub mod analysis;
pub mod attempt;
pub mod bulk;
pub mod control;
mod failure;
pub mod live;
pub mod lock;
pub mod log;
pub mod mask;
mod pack;
pub mod parts;
pub mod process;
mod rows;
pub mod shard;
pub mod store;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use analysis::{Distance, Elsewhere, Sharpness, UpdateVariance, Way};
pub use failure::{Class, Failure};

use crate::plan::{Run, RunId};

/// Version of the record file. A reader must go on reading every older version.
///
/// 2: more classes of failure; runs that a rule stopped; micro-batches that memory made smaller.
pub const FORMAT: u32 = 2;

/// Metric name to value in [-1, 1] or [0, 1]; `None` where the metric is undefined (constant predictions, one class).
pub type Scores = BTreeMap<String, Option<f64>>;

/// The terminal record of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    pub format: u32,
    pub id: RunId,
    pub run: Run,
    pub end: End,
    pub made: Provenance,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(clippy::large_enum_variant, reason = "nearly all runs are done, so a box would save nothing")]
pub enum End {
    Done(Outcome),
    Failed(Failure),
    /// A rule of `[stop]` ended it before its last step: neither a result of the full run nor a failure.
    Stopped(Stopped),
}

/// How far a run had come when a rule stopped it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stopped {
    /// `asha`.
    pub rule: String,
    #[serde(flatten)]
    pub at: Rung,
}

/// A step at which a rule decides about a run, and its scores there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rung {
    /// Steps trained, of those that the whole run has.
    pub step: u32,
    pub of: u32,
    /// The headline metric, a key of `dev`.
    pub metric: String,
    /// Scores after `step` steps.
    pub dev: Scores,
    /// The same over the even and over the odd places of the dev set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halves: Option<[Scores; 2]>,
}

/// What a run that reached its last step measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// The metric that tables show, a key of `dev`.
    pub metric: String,
    /// Scores of the last checkpoint on the dev set.
    pub dev: Scores,
    /// Scores after every epoch, the last included.
    pub epochs: Vec<Epoch>,
    /// Dev predictions are all one class or one constant.
    pub collapsed: bool,
    pub steps: u32,
    /// Examples in the training set as used, and in the dev set.
    pub train_examples: u32,
    pub dev_examples: u32,
    /// The child network, where the method fixes one.
    pub mask: Option<MaskNote>,
    /// The same scores over the even and over the odd places of the dev set, so that what is chosen on one half can be
    /// reported on the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halves: Option<[Scores; 2]>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elsewhere: Vec<Elsewhere>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub distance: Vec<Distance>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sharpness: Option<Sharpness>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variance: Vec<UpdateVariance>,
}

impl Rung {
    /// The headline dev score, where it is defined.
    pub fn score(&self) -> Option<f64> {
        self.dev.get(&self.metric).copied().flatten()
    }
}

impl Outcome {
    /// The headline dev score, where it is defined.
    pub fn score(&self) -> Option<f64> {
        self.dev.get(&self.metric).copied().flatten()
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Epoch {
    /// Counted from 1.
    pub epoch: u32,
    /// Steps done at its end.
    pub step: u32,
    /// Mean training loss over its steps.
    pub loss: f64,
    /// Empty where the run was scored after its last step alone.
    pub dev: Scores,
}

/// Which mask a run used: the file is `results/masks/<key>.mask`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskNote {
    pub key: String,
    /// Entries that are trained, of the entries that the mask covers (the encoder).
    pub kept: u64,
    pub of: u64,
}

/// Where, when and by what a record was made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Git commit of the program's source, with `+` behind it when the tree had changes; empty if unknown.
    pub commit: String,
    pub version: String,
    pub libtorch: String,
    /// `cpu` or `cuda:0`, and what the hardware calls itself.
    pub device: String,
    pub device_name: String,
    pub threads: u32,
    /// RFC 3339, UTC.
    pub started: String,
    /// Wall seconds per phase: `load`, `prepare`, `train`, `evaluate`.
    pub seconds: BTreeMap<String, f64>,
    /// Peak resident memory of the worker process during the run, MiB.
    pub peak_memory_mib: f64,
    /// Most memory that the worker process took of its GPU, MiB; absent on a CPU and where it could not be measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_device_memory_mib: Option<f64>,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// Examples of one forward and backward pass, where memory was too small for those of the recipe. A step still sums
    /// up the recipe's batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micro_batch: Option<u32>,
    /// How often the run went on from a checkpoint; `seconds` are those of all its parts.
    #[serde(default, skip_serializing_if = "is_never")]
    pub resumed: u32,
    /// The runs that were trained side by side in one program, this one among them; empty where it was trained alone.
    /// `seconds` are then its even share of what they took, and memory is that of the whole program.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group: Vec<RunId>,
    /// The job of a cluster that trained it, and its node: `12_3 on n1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
}

/// What a record need not say.
fn is_never(count: &u32) -> bool {
    *count == 0
}

impl Provenance {
    pub fn total_seconds(&self) -> f64 {
        self.seconds.values().sum()
    }
}

impl Record {
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.end {
            End::Done(outcome) => Some(outcome),
            End::Failed(_) | End::Stopped(_) => None,
        }
    }

    pub fn failure(&self) -> Option<&Failure> {
        match &self.end {
            End::Done(_) | End::Stopped(_) => None,
            End::Failed(failure) => Some(failure),
        }
    }

    /// How far it came, where a rule stopped it.
    pub fn stopped(&self) -> Option<&Stopped> {
        match &self.end {
            End::Stopped(stopped) => Some(stopped),
            End::Done(_) | End::Failed(_) => None,
        }
    }

    /// The headline dev score, where the run has one.
    pub fn score(&self) -> Option<f64> {
        self.outcome()?.score()
    }
}
