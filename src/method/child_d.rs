//! Child-Tuning-D: one child network, chosen by Fisher information, for the whole run.
//!
//! Xu et al., Raise a Child in Large Language Model, EMNLP 2021, <https://arxiv.org/abs/2109.05687>, section 2.3:
//!
//! F = (1/|D|) Σⱼ (∂ log p(yⱼ | xⱼ; θ) / ∂θ)²,  M = the top p of F over the encoder,  g ← g ⊙ M.
//!
//! Where paper and authors' program differ:
//!
//! | | `fidelity = "paper"` | `fidelity = "code"` |
//! |---|---|---|
//! | F | mean of squared per-example gradients | mean of squared batch gradients, each tensor clipped to the norm limit |
//! | dropout in the Fisher pass | off | on |
//! | kept | exactly round(p·E), ties to the lower index | all that reach the percentile |
//! | the rest of the encoder | stays at its pre-trained value | still decays |
//! | warm-up | as the recipe says | none |
//!
//! In both, embeddings, pooler and head are always trained, there is no factor 1/p, and the mask acts on the clipped
//! gradient before Adam's moments.

use anyhow::Result;
use serde::Deserialize;

use super::{Block, FIDELITY, Fidelity, Fisher, Info, Method, Moment, P, Pick, Study, Vector};
use crate::spec::number::{Domain, Number, Standard};

pub const INFO: Info = Info {
    name: "child-d",
    summary: "Child-Tuning-D: only the top p of the encoder by Fisher information is updated",
    equation: "F = mean over examples of (∂ log p(y|x;θ)/∂θ)²,  M = top p of F over the encoder,  g ← g ⊙ M",
    paper: "Xu et al., Raise a Child in Large Language Model, EMNLP 2021, arXiv 2109.05687",
    choices: &[
        "embeddings, pooler and head are always trained; there is no factor 1/p",
        "the mask acts on the clipped gradient before Adam's moments",
        "fidelity = \"paper\": F is the mean of squared per-example gradients, dropout off; exactly round(p·E) entries are \
         kept, ties to the lower index; the rest of the encoder stays at its pre-trained value",
        "fidelity = \"code\": F is the mean of squared batch gradients, each tensor clipped to the norm limit, dropout on; \
         all entries that reach the percentile are kept; the rest of the encoder still decays; no warm-up",
    ],
    numbers: &[
        P,
        FIDELITY,
        Number {
            name: "fisher_seed",
            what: "seed of the head in the Fisher pass; set, seeds with the same training examples share one child network",
            domain: Domain::Whole { from: 0, to: i64::MAX },
            standard: Standard::Absent("the run's seed"),
        },
    ],
};

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    p: f64,
    fidelity: Fidelity,
    fisher_seed: Option<u64>,
}

pub struct ChildD<V> {
    numbers: Numbers,
    /// M over the arena, `[P]`: ones outside the encoder.
    mask: Option<V>,
}

impl<V> ChildD<V> {
    pub fn new(numbers: Numbers) -> ChildD<V> {
        ChildD { numbers, mask: None }
    }
}

impl<V: Vector> Method<V> for ChildD<V> {
    fn warmup(&self, asked: f64) -> f64 {
        match self.numbers.fidelity {
            Fidelity::Paper => asked,
            Fidelity::Code => 0.0,
        }
    }

    fn prepare(&mut self, study: &mut dyn Study<V>) -> Result<()> {
        let Numbers { p, fidelity, fisher_seed } = self.numbers;
        let (fisher, pick) = match fidelity {
            Fidelity::Paper => (Fisher::PerExample, Pick::Share(p)),
            Fidelity::Code => (Fisher::PerBatch, Pick::Percentile(p)),
        };
        let mask = study.child(fisher, fisher_seed, pick)?;
        if fidelity == Fidelity::Paper {
            study.decay_within(&mask);
        }
        self.mask = Some(mask);
        Ok(())
    }

    fn gradient(&self, block: Block, gradient: V, _: Moment) -> V {
        match &self.mask {
            Some(mask) => gradient.times(&block.of(mask)),
            None => gradient,
        }
    }
}
