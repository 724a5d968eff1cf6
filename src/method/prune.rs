//! The child network of Child-Tuning-D alone: all other weights of the encoder are set to zero and stay there.
//!
//! Xu et al., Raise a Child in Large Language Model, EMNLP 2021, <https://arxiv.org/abs/2109.05687>, its ablation:
//!
//! M = the top p of F over the encoder,  θ ← θ ⊙ M before the first step,  g ← g ⊙ M.

use anyhow::Result;

use super::child::{self, Child, Numbers};
use super::{Block, Claim, FIDELITY, FISHER_SEED, Hook, Info, Method, P, Role, Study, Vector};

const ZERO: &str = "prune sets weights to zero that it draws to their pre-trained values";

pub const INFO: Info = Info {
    name: "prune",
    summary: "ablation of child-d: the child network alone, all other weights of the encoder set to zero",
    equation: "M = top p of F over the encoder,  θ ← θ ⊙ M at the start,  g ← g ⊙ M",
    paper: "Xu et al., Raise a Child in Large Language Model, EMNLP 2021, arXiv 2109.05687, ablation",
    choices: &[
        "biases and layer norms of the encoder are pruned like any other entry",
        "with p = 1 nothing is pruned and it is vanilla",
    ],
    numbers: &[P, FIDELITY, FISHER_SEED],
    hooks: &[Hook::Gradient],
    claims: &[Claim::Trained],
    against: &[("weight-decay", ZERO), ("recadam", ZERO), ("l2-sp", ZERO), ("mixout", ZERO), ("dps-mix", ZERO)],
};

pub struct Prune<V> {
    numbers: Numbers,
    child: Child<V>,
}

impl<V: Vector> Prune<V> {
    pub fn new(numbers: Numbers) -> Prune<V> {
        Prune { numbers, child: Child::unknown() }
    }
}

impl<V: Vector> Method<V> for Prune<V> {
    fn warmup(&self, asked: f64) -> f64 {
        child::warmup(self.numbers.fidelity, asked)
    }

    fn prepare(&mut self, study: &mut dyn Study<V>) -> Result<()> {
        self.child.fix_by_fisher(self.numbers, true, study)?;
        let Some(mask) = self.child.mask() else { return Ok(()) };
        let theta = study.theta();
        for part in study.parts().iter().filter(|part| part.role == Role::Encoder) {
            let stretch = |whole: &V| whole.stretch(part.offset, part.len);
            study.set_theta(part, &stretch(&theta).times(&stretch(mask)));
        }
        Ok(())
    }

    fn gradient(&mut self, block: &Block<V>, gradient: V) -> V {
        self.child.masked(block, gradient)
    }
}

#[cfg(test)]
mod tests {
    use crate::method::testing::Bench;

    #[test]
    fn what_is_outside_the_child_is_zero_and_has_no_gradient() {
        let mut bench = Bench::of("prune", &[("p", 0.5.into())], &[1.0, -2.0, 3.0, 4.0]);
        bench.mask = vec![1.0, 0.0, 0.0, 1.0];
        bench.prepare();
        assert_eq!(bench.theta, [1.0, 0.0, 0.0, 4.0]);
        assert_eq!(bench.gradient(&[5.0; 4]), [5.0, 0.0, 0.0, 5.0]);
        assert_eq!(bench.asked, ["PerExample Share(0.5)"]);
    }
}
