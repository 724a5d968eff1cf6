//! A child network that is fixed for the whole run: what Child-Tuning-D and its ablations share.

use anyhow::Result;
use serde::Deserialize;

use super::{Block, Fidelity, Fisher, Study, Vector};

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    pub p: f64,
    pub fidelity: Fidelity,
    pub fisher_seed: Option<u64>,
}

impl Numbers {
    /// The estimate of the Fisher information that the fidelity asks for.
    pub fn fisher(&self) -> Fisher {
        match self.fidelity {
            Fidelity::Paper => Fisher::PerExample,
            Fidelity::Code => Fisher::PerBatch,
        }
    }
}

/// The mask over the arena, `[P]`: ones outside the encoder. `None` before the run is prepared.
pub struct Child<V>(Option<V>);

impl<V: Vector> Child<V> {
    pub fn unknown() -> Child<V> {
        Child(None)
    }

    /// Fixes the child network; as in the paper, the rest of the encoder then stays where it is.
    pub fn fix(&mut self, mask: V, fidelity: Fidelity, study: &mut dyn Study<V>) -> Result<()> {
        if fidelity == Fidelity::Paper {
            study.hold(&mask);
        }
        self.0 = Some(mask);
        Ok(())
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
