//! What one run leaves: a record, whichever way it ended, and where records lie.

pub mod analysis;
pub mod control;
pub mod live;
pub mod lock;
pub mod log;
pub mod mask;
pub mod parts;
pub mod process;
pub mod shard;
pub mod store;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use analysis::{Distance, Elsewhere, Sharpness, UpdateVariance, Way};

use crate::plan::{Run, RunId};

/// Version of the record file. A reader must go on reading every older version.
pub const FORMAT: u32 = 1;

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

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Epoch {
    /// Counted from 1.
    pub epoch: u32,
    /// Steps done at its end.
    pub step: u32,
    /// Mean training loss over its steps.
    pub loss: f64,
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

/// Why a run ended without a score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// The loss or the gradient became NaN or infinite at this step.
    Diverged { step: u32 },
    /// The device had no memory left.
    OutOfMemory { message: String },
    /// Data, model or settings that cannot be trained on.
    Refused { message: String },
    /// The worker process died; the last lines of its log.
    Crashed { tail: String },
}

impl Failure {
    /// One word for tables and `sweep status`.
    pub fn cause(&self) -> &'static str {
        match self {
            Failure::Diverged { .. } => "diverged",
            Failure::OutOfMemory { .. } => "out of memory",
            Failure::Refused { .. } => "refused",
            Failure::Crashed { .. } => "crashed",
        }
    }

    /// One sentence for people.
    pub fn sentence(&self) -> String {
        match self {
            Failure::Diverged { step } => format!("the loss or its gradient was not finite at step {step}"),
            Failure::OutOfMemory { message } => format!("no memory left on the device: {message}"),
            Failure::Refused { message } => message.clone(),
            Failure::Crashed { tail } if tail.is_empty() => "the worker process died without a word".to_owned(),
            Failure::Crashed { tail } => format!("the worker process died; its last words: {tail}"),
        }
    }
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
    /// 1 for the first attempt.
    pub attempt: u32,
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
            End::Failed(_) => None,
        }
    }

    pub fn failure(&self) -> Option<&Failure> {
        match &self.end {
            End::Done(_) => None,
            End::Failed(failure) => Some(failure),
        }
    }

    /// The headline dev score, where the run has one.
    pub fn score(&self) -> Option<f64> {
        let outcome = self.outcome()?;
        outcome.dev.get(&outcome.metric).copied().flatten()
    }
}
