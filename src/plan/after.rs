//! What a run does when its training is over: part of what determines its record, and not of what determines θ.

use serde::{Deserialize, Serialize};

use super::run::Input;

/// Stages in the order in which they are done. A task that the run was trained on is left out of its own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct After {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub eval: Vec<Eval>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Probe>,
    /// Tasks that the trained encoder is fine-tuned on further.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transfer: Vec<Input>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measure: Option<Measure>,
}

/// Another task that the trained model is scored on as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Eval {
    /// Its hash is that of the dev sets alone.
    pub task: Input,
    /// The metric that counts.
    pub metric: String,
    /// Class of the task for each class that the model predicts; `None` is always wrong. Empty for a regression.
    pub classes: Vec<Option<u32>>,
}

/// A linear head on the frozen encoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    pub tasks: Vec<Input>,
    pub lr: f64,
    pub epochs: u32,
    pub batch_size: u32,
    pub train_size: Option<u32>,
}

/// The loss and its gradients where training began and ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measure {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sharpness: Option<SharpnessSettings>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variance: Option<VarianceSettings>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharpnessSettings {
    /// Training examples that the loss is measured over.
    pub examples: u32,
    /// Most steps of the power iteration.
    pub iterations: u32,
    /// Length of the step along the gradient.
    pub rho: f64,
    /// Standard deviation of a random step, an entry.
    pub sigma: f64,
    /// Random steps.
    pub directions: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VarianceSettings {
    /// Reserve rates.
    pub p: Vec<f64>,
    /// An even number.
    pub batches: u32,
}

impl After {
    pub fn is_empty(&self) -> bool {
        *self == After::default()
    }

    /// Every other task that is needed.
    pub fn tasks(&self) -> impl Iterator<Item = &str> {
        let scored = self.eval.iter().map(|eval| &eval.task);
        let probed = self.probe.iter().flat_map(|probe| &probe.tasks);
        scored.chain(probed).chain(&self.transfer).map(|task| &*task.name)
    }
}
