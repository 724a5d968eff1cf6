//! What a method says of itself, and the words that several of them share.

use serde::Deserialize;

use super::Vector;
use crate::spec::number::{Domain, Number, Standard};

/// What people need to know of a method, and what planning needs to know.
#[derive(Debug)]
pub struct Info {
    pub name: &'static str,
    /// One line: what it does.
    pub summary: &'static str,
    pub equation: &'static str,
    pub paper: &'static str,
    /// Where paper and authors' program differ, and what else was decided; a sentence each.
    pub choices: &'static [&'static str],
    pub numbers: &'static [Number],
    /// The hooks that it overrides, beside those that every method may.
    pub hooks: &'static [Hook],
    /// What only one method of a combination can decide, beside the loss of `Hook::Loss`.
    pub claims: &'static [Claim],
    /// Methods that it cannot be combined with though no claim says so, and why.
    pub against: &'static [(&'static str, &'static str)],
}

impl Info {
    /// Whether θ of the model itself is another when `start` is done.
    pub fn moves_start(&self) -> bool {
        // Adapters change nothing as long as they are zero.
        self.hooks.contains(&Hook::Start) && !self.hooks.contains(&Hook::Adapted)
    }
}

/// A hook that costs something to call, or that contradicts itself in a combination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    Start,
    Turn,
    Weight,
    Adapted,
    Hidden,
    Loss,
    Raw,
    Gradient,
    Step,
    Pull,
    Rate,
}

/// What only one method of a combination can decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Which parameters are trained.
    Trained,
    /// How the parameters are drawn to their pre-trained values.
    Anchor,
    /// Which weights the forward pass uses.
    Weights,
}

/// Which dropout rates a method sets to zero, where the recipe names no rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dropout {
    /// Every rate is the model's own.
    Model,
    /// Zero but for the dropout before the head.
    HeadOnly,
    Zero,
    /// Every rate is the model's own, whatever the other methods of a combination want.
    Needed,
}

/// Two readings of one method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Fidelity {
    Paper,
    Code,
}

/// The shape of a noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Noise {
    Normal,
    Uniform,
}

impl Noise {
    /// N(0, scale²) or U(−scale, scale), in the shape of the activations `like` `[N, H]`, whose first row has position
    /// `row`.
    pub(super) fn like<V: Vector>(self, like: &V, key: u64, row: i64, scale: f64) -> V {
        let offset = row * like.width();
        match self {
            Noise::Normal => like.normal(key, offset).scaled(scale),
            Noise::Uniform => like.uniform(key, offset).scaled(2.0).shifted(-1.0).scaled(scale),
        }
    }
}

pub(super) const fn number(name: &'static str, what: &'static str, domain: Domain, standard: Standard) -> Number {
    Number { name, what, domain, standard }
}

/// From zero on, without end.
pub(super) const NOT_NEGATIVE: Domain = Domain::RealBelow { from: 0.0, below: f64::MAX };

pub(super) const P: Number = number(
    "p",
    "reserve rate: the share of parameters that is updated",
    Domain::Real { above: 0.0, up_to: 1.0 },
    Standard::Real(0.3),
);

pub(super) const FIDELITY: Number = number(
    "fidelity",
    "\"paper\": the equations; \"code\": the authors' program, its departures included",
    Domain::Word(&["paper", "code"]),
    Standard::Word("paper"),
);

pub(super) const FISHER_SEED: Number = number(
    "fisher_seed",
    "seed of the head in the Fisher pass; set, seeds with the same training examples share one child network",
    Domain::Whole { from: 0, to: i64::MAX },
    Standard::Absent("the run's seed"),
);
