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

use super::child::{self, Child, Numbers};
use super::{Block, Claim, FIDELITY, FISHER_SEED, Hook, Info, Method, P, Study, Vector};

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
    numbers: &[P, FIDELITY, FISHER_SEED],
    hooks: &[Hook::Gradient],
    claims: &[Claim::Trained],
    against: &[],
};

pub struct ChildD<V> {
    numbers: Numbers,
    child: Child<V>,
}

impl<V: Vector> ChildD<V> {
    pub fn new(numbers: Numbers) -> ChildD<V> {
        ChildD { numbers, child: Child::unknown() }
    }
}

impl<V: Vector> Method<V> for ChildD<V> {
    fn warmup(&self, asked: f64) -> f64 {
        child::warmup(self.numbers.fidelity, asked)
    }

    fn prepare(&mut self, study: &mut dyn Study<V>) -> Result<()> {
        self.child.fix_by_fisher(self.numbers, true, study)
    }

    fn gradient(&mut self, block: &Block<V>, gradient: V) -> V {
        self.child.masked(block, gradient)
    }
}

#[cfg(test)]
mod tests {
    use crate::method::Method;
    use crate::method::testing::{Bench, assert_close};

    /// The numbers are those of the equations worked by hand: g = (0.3, −0.4), M = (1, 0).
    #[test]
    fn only_the_child_sees_its_gradient_and_it_is_not_scaled() {
        for fidelity in ["paper", "code"] {
            let mut bench = Bench::of("child-d", &[("p", 0.5.into()), ("fidelity", fidelity.into())], &[1.0, -2.0]);
            bench.mask = vec![1.0, 0.0];
            bench.prepare();
            assert_close(&bench.gradient(&[0.3, -0.4]), &[0.3, 0.0]);
            // Held where the paper holds it; in the authors' program it still decays.
            let held = if fidelity == "paper" { Some(vec![1.0, 0.0]) } else { None };
            assert_eq!(bench.held, held, "{fidelity}");
            assert_eq!(bench.method.warmup(0.1), if fidelity == "paper" { 0.1 } else { 0.0 });
        }
    }
}
