//! Weight decay towards the pre-trained weights instead of towards zero.
//!
//! Daumé III, Frustratingly Easy Domain Adaptation, ACL 2007 (the prior model of Chelba and Acero, EMNLP 2004), as the
//! baseline "Weight Decay" of Xu et al., EMNLP 2021; decoupled as in the program of Zhang et al., Revisiting Few-sample
//! BERT Fine-tuning, ICLR 2021, <https://arxiv.org/abs/2006.05987>:
//!
//! θ ← θ − ηλ·(θ − θ⁰)

use anyhow::Result;
use serde::Deserialize;

use super::{Block, Claim, Hook, Info, Method, NOT_NEGATIVE, Study, Vector, number};
use crate::spec::number::Standard;

pub const INFO: Info = Info {
    name: "weight-decay",
    summary: "decay towards the pre-trained weights instead of zero, the new head excluded",
    equation: "θ ← θ − ηλ·(θ − θ⁰) for weights with a pre-trained value",
    paper: "Daumé III, Frustratingly Easy Domain Adaptation, ACL 2007; Zhang et al., Revisiting Few-sample BERT \
            Fine-tuning, ICLR 2021, arXiv 2006.05987",
    choices: &[
        "it takes the place of the recipe's weight_decay where there is a pre-trained value; the new head keeps the latter",
        "biases and layer norms are spared, as from every decay",
        "the pull acts after the update, as every decay here; the program of Zhang et al. pulls before it, and pulls the \
         new head to its random start",
        "ηλ is what counts: at a learning rate of 2e-5 a pull below 0.1 is hardly felt; the grid of Xu et al. is 10 to 1e-4",
    ],
    numbers: &[number("pull", "λ, strength of the decay towards θ⁰", NOT_NEGATIVE, Standard::Real(1.0))],
    hooks: &[Hook::Pull],
    claims: &[Claim::Anchor],
    against: &[],
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    pull: f64,
}

pub struct WeightDecay {
    numbers: Numbers,
}

impl WeightDecay {
    pub fn new(numbers: Numbers) -> WeightDecay {
        WeightDecay { numbers }
    }
}

impl<V: Vector> Method<V> for WeightDecay {
    fn prepare(&mut self, study: &mut dyn Study<V>) -> Result<()> {
        for part in study.parts().iter().filter(|part| part.pretrained) {
            study.scale_decay(part, 0.0);
        }
        Ok(())
    }

    fn pull(&self, block: &Block<V>) -> Option<V> {
        let strength = block.rate * self.numbers.pull;
        block.part.decays.then(|| block.theta.minus(&block.start).scaled(strength))
    }
}

#[cfg(test)]
mod tests {
    use crate::method::testing::{Bench, assert_close};

    /// w = 0.5, w⁰ = 0.3, η = 0.1, λ = 0.1: 0.002 is taken off.
    #[test]
    fn weights_are_drawn_to_where_they_came_from() {
        let mut bench = Bench::of("weight-decay", &[("pull", 0.1.into())], &[0.5]);
        (bench.start, bench.rate) = (vec![0.3], 0.1);
        bench.prepare();
        assert_close(&bench.pull().expect("a pull"), &[0.002]);
        assert_eq!(bench.decay, [0.0], "no decay towards zero besides");
        bench.part.decays = false;
        assert_eq!(bench.pull(), None, "a bias");
    }
}
