//! A child network that is fixed for the whole run: what Child-Tuning-D and its ablations share.

use anyhow::Result;
use serde::Deserialize;

use super::{Block, Fidelity, Fisher, Pick, Study, Vector};

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    pub p: f64,
    pub fidelity: Fidelity,
    pub fisher_seed: Option<u64>,
}

/// The mask over the arena, `[P]`: ones outside the encoder. `None` before the run is prepared.
pub struct Child<V>(Option<V>);

impl<V: Vector> Child<V> {
    pub fn unknown() -> Child<V> {
        Child(None)
    }

    /// Fixes the p of the encoder with the largest Fisher information, or with the lowest.
    pub fn fix_by_fisher(&mut self, numbers: Numbers, largest: bool, study: &mut dyn Study<V>) -> Result<()> {
        let Numbers { p, fidelity, fisher_seed } = numbers;
        let (fisher, pick) = match (fidelity, largest) {
            (Fidelity::Paper, true) => (Fisher::PerExample, Pick::Share(p)),
            (Fidelity::Paper, false) => (Fisher::PerExample, Pick::LowestShare(p)),
            (Fidelity::Code, true) => (Fisher::PerBatch, Pick::Percentile(p)),
            (Fidelity::Code, false) => (Fisher::PerBatch, Pick::LowestPercentile(p)),
        };
        let mask = study.child(fisher, fisher_seed, pick)?;
        self.fix(mask, fidelity, study);
        Ok(())
    }

    /// The mask, once it is fixed.
    pub fn mask(&self) -> Option<&V> {
        self.0.as_ref()
    }

    /// Fixes the child network; as in the paper, the rest of the encoder then stays where it is.
    pub fn fix(&mut self, mask: V, fidelity: Fidelity, study: &mut dyn Study<V>) {
        if fidelity == Fidelity::Paper {
            study.hold(&mask);
        }
        self.0 = Some(mask);
    }

    /// g ⊙ M
    pub fn masked(&self, block: &Block<V>, gradient: V) -> V {
        match &self.0 {
            Some(mask) => gradient.times(&block.of(mask)),
            None => gradient,
        }
    }
}

/// The authors' trainer ignores the warm-up that it is asked for.
pub fn warmup(fidelity: Fidelity, asked: f64) -> f64 {
    match fidelity {
        Fidelity::Paper => asked,
        Fidelity::Code => 0.0,
    }
}
