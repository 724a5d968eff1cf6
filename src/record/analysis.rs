//! What a run measured besides its scores on its own dev set: other tasks, the path from the pre-trained point, and the
//! shape of the loss where it ended.

use serde::{Deserialize, Serialize};

use super::Scores;

/// How another task came to be scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// The trained model as it stands, its classes mapped to those of the task.
    Eval,
    /// A fresh linear head on the frozen trained encoder.
    Probe,
    /// The trained encoder fine-tuned further on the task, with a fresh head.
    Transfer,
}

impl Way {
    pub fn word(self) -> &'static str {
        match self {
            Way::Eval => "eval",
            Way::Probe => "probe",
            Way::Transfer => "transfer",
        }
    }
}

/// Scores on a task that the run was not trained on, or on its own again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Elsewhere {
    pub task: String,
    pub way: Way,
    /// The metric that tables show, a key of `dev`.
    pub metric: String,
    pub dev: Scores,
    /// Dev predictions are all one class or one constant.
    pub collapsed: bool,
    /// Examples that the probe or the further training used; 0 for an evaluation.
    pub train_examples: u32,
    pub dev_examples: u32,
    /// After a transfer: the headline score on the run's own task, with its own head over the encoder as it now is.
    /// Less than the run's score is what the transfer made it forget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_after: Option<f64>,
}

/// How far a layer of the encoder lies from the pre-trained point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distance {
    /// `embeddings`, `0` to the last layer, `pooler`.
    pub layer: String,
    /// ‖θ − θ⁰‖₂ over the layer's parameters.
    pub moved: f64,
    /// ‖θ⁰‖₂ over the same.
    pub from: f64,
}

/// The loss around the end point, over a fixed sample of the training set, without dropout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sharpness {
    /// Mean loss at the end point.
    pub loss: f64,
    pub examples: u32,
    /// Largest eigenvalue of the Hessian by absolute value, with its sign.
    pub eigenvalue: f64,
    /// Of the power iteration: the change of the eigenvalue in the last step over its size, and the steps.
    pub residual: f64,
    pub iterations: u32,
    /// L(θ + ρ g/‖g‖) − L(θ).
    pub rho: f64,
    pub rise_ascent: f64,
    /// Mean over random directions of L(θ + z) − L(θ), z normal with this standard deviation an entry; and their
    /// number.
    pub sigma: f64,
    pub rise_random: f64,
    pub directions: u32,
}

/// The variance of an SGD step under a Bernoulli mask: tr Cov(M ⊙ g / p) over batches and masks, in units of η².
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateVariance {
    /// `start` at the pre-trained point with a fresh head, `end` where training ended.
    pub at: String,
    pub p: f64,
    /// Over the draws.
    pub measured: f64,
    /// tr Σ / p + (1 − p)/p ‖μ‖², from the unmasked gradients of the same batches (Theorem 1).
    pub closed: f64,
    pub batches: u32,
}
