//! FISH mask: a small fixed set of parameters, chosen by Fisher information over the whole model.
//!
//! Sung, Nair and Raffel, Training Neural Networks with Fixed Sparse Masks, NeurIPS 2021,
//! <https://arxiv.org/abs/2111.09839>:
//!
//! F = (1/N) Σⱼ (∂ log p(yⱼ | xⱼ; θ) / ∂θ)² over N examples,  M = the top k of F,  g ← g ⊙ M.

use anyhow::Result;
use serde::Deserialize;

use super::child::Child;
use super::{Block, Claim, Fidelity, Hook, Info, Method, Size, Study, Vector, number};
use crate::spec::number::{Domain, Standard};

pub const INFO: Info = Info {
    name: "fish",
    summary: "FISH mask: a small share of the whole model, chosen by the Fisher information of a few examples",
    equation: "F = Σ over N examples of (∂ log p(y|x;θ)/∂θ)²,  M = top int(keep·P) of F,  g ← g ⊙ M",
    paper: "Sung et al., Training Neural Networks with Fixed Sparse Masks, NeurIPS 2021, arXiv 2111.09839",
    choices: &[
        "the empirical Fisher information (the data's own labels), one example at a time, dropout off, as the authors run \
         it by default",
        "the head is always trained and counted: int(keep·P) less the head's entries are chosen among all others, \
         embeddings included; ties to the lower index",
        "what is not chosen does not move, by decay either",
        "the N examples are the first of the seed's order",
        "it wants a larger learning rate than full fine-tuning and more epochs: 5e-5 and 7 in the paper",
    ],
    numbers: &[
        number(
            "keep",
            "share of all parameters that is trained, the head counted",
            Domain::Real { above: 0.0, up_to: 1.0 },
            Standard::Real(0.005),
        ),
        number(
            "fish_samples",
            "N, training examples in the Fisher pass",
            Domain::Whole { from: 1, to: u32::MAX as i64 },
            Standard::Whole(1024),
        ),
    ],
    hooks: &[Hook::Gradient],
    claims: &[Claim::Trained],
    against: &[("reinit", "fish would leave nearly all weights that reinit drew at random as they are")],
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    keep: f64,
    fish_samples: u32,
}

pub struct Fish<V> {
    numbers: Numbers,
    chosen: Child<V>,
}

impl<V: Vector> Fish<V> {
    pub fn new(numbers: Numbers) -> Fish<V> {
        Fish { numbers, chosen: Child::unknown() }
    }
}

impl<V: Vector> Method<V> for Fish<V> {
    fn check(&self, &Size { parameters, head, .. }: &Size) -> Result<(), String> {
        let all = (self.numbers.keep * parameters as f64) as i64;
        if all > head {
            return Ok(());
        }
        let least = (head + 1) as f64 / parameters as f64;
        Err(format!(
            "keep = {} is {all} of {parameters} parameters, and the head alone has {head}: set keep above {least:.1e}",
            self.numbers.keep
        ))
    }

    fn prepare(&mut self, study: &mut dyn Study<V>) -> Result<()> {
        let mask = study.fish(self.numbers.fish_samples, self.numbers.keep)?;
        self.chosen.fix(mask, Fidelity::Paper, study);
        Ok(())
    }

    fn gradient(&mut self, block: &Block<V>, gradient: V) -> V {
        self.chosen.masked(block, gradient)
    }
}

#[cfg(test)]
mod tests {
    use crate::method::testing::Bench;

    #[test]
    fn what_is_not_chosen_is_held() {
        let mut bench = Bench::of("fish", &[("keep", 0.5.into()), ("fish_samples", 8.into())], &[1.0; 3]);
        bench.mask = vec![0.0, 1.0, 0.0];
        bench.prepare();
        assert_eq!(bench.asked, ["fish 8 0.5"]);
        assert_eq!(bench.gradient(&[2.0; 3]), [0.0, 2.0, 0.0]);
        assert_eq!(bench.held, Some(vec![0.0, 1.0, 0.0]));
    }
}
