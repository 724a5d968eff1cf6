//! L2-SP: a penalty on the distance from the starting point.
//!
//! Li, Grandvalet and Davoine, Explicit Inductive Bias for Transfer Learning, ICML 2018,
//! <https://arxiv.org/abs/1802.01483>:
//!
//! L + (α/2)‖θ_S − θ⁰‖² + (β/2)‖θ_new‖²,  hence  g ← g + α(θ − θ⁰) where there is a pre-trained value, else g + βθ.

use anyhow::Result;
use serde::Deserialize;

use super::{Block, Claim, Hook, Info, Method, NOT_NEGATIVE, Study, Vector, number};
use crate::spec::number::Standard;

pub const INFO: Info = Info {
    name: "l2-sp",
    summary: "L2-SP: a penalty in the loss on the distance from the pre-trained weights",
    equation: "g ← g + α(θ − θ⁰) for pre-trained weights,  g ← g + βθ for new ones",
    paper: "Li et al., Explicit Inductive Bias for Transfer Learning with Convolutional Networks, ICML 2018, arXiv 1802.01483",
    choices: &[
        "its gradient joins that of the loss before the norm is taken, and goes through Adam; weight-decay is the \
         decoupled form",
        "it takes the place of the recipe's weight_decay, and like it spares biases and layer norms",
        "the loss in records and logs is that of the task, without the penalty",
    ],
    numbers: &[
        number("sp_alpha", "α, penalty on the distance of pre-trained weights", NOT_NEGATIVE, Standard::Real(0.1)),
        number("sp_beta", "β, penalty on the size of new weights", NOT_NEGATIVE, Standard::Real(0.01)),
    ],
    hooks: &[Hook::Raw],
    claims: &[Claim::Anchor],
    against: &[],
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    sp_alpha: f64,
    sp_beta: f64,
}

pub struct L2Sp {
    numbers: Numbers,
}

impl L2Sp {
    pub fn new(numbers: Numbers) -> L2Sp {
        L2Sp { numbers }
    }
}

impl<V: Vector> Method<V> for L2Sp {
    fn prepare(&mut self, study: &mut dyn Study<V>) -> Result<()> {
        for part in &study.parts() {
            study.scale_decay(part, 0.0);
        }
        Ok(())
    }

    fn raw(&mut self, block: &Block<V>, gradient: V) -> V {
        let Numbers { sp_alpha, sp_beta } = self.numbers;
        match (block.part.decays, block.part.pretrained) {
            (false, _) => gradient,
            (true, true) => gradient.plus(&block.theta.minus(&block.start).scaled(sp_alpha)),
            (true, false) => gradient.plus(&block.theta.scaled(sp_beta)),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::method::testing::{Bench, assert_close};

    /// θ = 0.5, θ⁰ = 0.3, g = 1, α = 0.1, β = 0.01: 1.02, and 1.005 for a new weight.
    #[test]
    fn the_penalty_joins_the_gradient() {
        let mut bench = Bench::of("l2-sp", &[], &[0.5]);
        bench.start = vec![0.3];
        bench.prepare();
        assert_eq!(bench.decay, [0.0]);
        assert_close(&bench.raw(&[1.0]), &[1.02]);
        bench.part.pretrained = false;
        assert_close(&bench.raw(&[1.0]), &[1.005]);
        bench.part.decays = false;
        assert_close(&bench.raw(&[1.0]), &[1.0]);
    }
}
