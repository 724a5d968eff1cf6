//! The child network of lowest Fisher information: the ablation of Child-Tuning-D that turns its choice round.
//!
//! Xu et al., Raise a Child in Large Language Model, EMNLP 2021, <https://arxiv.org/abs/2109.05687>, its ablation:
//!
//! M = the p of the encoder with the lowest F,  g ← g ⊙ M.

use anyhow::Result;

use super::child::{self, Child, Numbers};
use super::{Block, Claim, FIDELITY, FISHER_SEED, Hook, Info, Method, P, Study, Vector};

pub const INFO: Info = Info {
    name: "child-lowest",
    summary: "ablation of child-d: the p of the encoder with the lowest Fisher information is updated",
    equation: "M = lowest p of F over the encoder,  g ← g ⊙ M",
    paper: "Xu et al., Raise a Child in Large Language Model, EMNLP 2021, arXiv 2109.05687, ablation",
    choices: &["as child-d in everything but the end of the ranking that is kept"],
    numbers: &[P, FIDELITY, FISHER_SEED],
    hooks: &[Hook::Gradient],
    claims: &[Claim::Trained],
    against: &[],
};

pub struct ChildLowest<V> {
    numbers: Numbers,
    child: Child<V>,
}

impl<V: Vector> ChildLowest<V> {
    pub fn new(numbers: Numbers) -> ChildLowest<V> {
        ChildLowest { numbers, child: Child::unknown() }
    }
}

impl<V: Vector> Method<V> for ChildLowest<V> {
    fn warmup(&self, asked: f64) -> f64 {
        child::warmup(self.numbers.fidelity, asked)
    }

    fn prepare(&mut self, study: &mut dyn Study<V>) -> Result<()> {
        self.child.fix_by_fisher(self.numbers, false, study)
    }

    fn gradient(&mut self, block: &Block<V>, gradient: V) -> V {
        self.child.masked(block, gradient)
    }
}

#[cfg(test)]
mod tests {
    use crate::method::testing::Bench;

    #[test]
    fn the_other_end_of_the_ranking_is_asked_for() {
        for (fidelity, asked) in
            [("paper", "PerExample LowestShare(0.25)"), ("code", "PerBatch LowestPercentile(0.25)")]
        {
            let mut bench = Bench::of("child-lowest", &[("p", 0.25.into()), ("fidelity", fidelity.into())], &[1.0; 4]);
            bench.mask = vec![0.0, 0.0, 1.0, 0.0];
            bench.prepare();
            assert_eq!(bench.asked, [asked]);
            assert_eq!(bench.gradient(&[2.0; 4]), [0.0, 0.0, 2.0, 0.0]);
        }
    }
}
