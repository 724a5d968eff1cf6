//! A random child network, the same for the whole run: the ablation of Child-Tuning-D that keeps its size and drops
//! its choice.
//!
//! Xu et al., Raise a Child in Large Language Model, EMNLP 2021, <https://arxiv.org/abs/2109.05687>, its ablation:
//!
//! M = round(p·E) entries of the encoder drawn uniformly,  g ← g ⊙ M.

use anyhow::Result;
use serde::Deserialize;

use super::child::{self, Child};
use super::{Block, Claim, FIDELITY, Fidelity, Hook, Info, Method, P, Study, Vector, number};
use crate::spec::number::{Domain, Standard};

pub const INFO: Info = Info {
    name: "child-random",
    summary: "ablation of child-d: a child network drawn at random, fixed for the whole run",
    equation: "M = round(p·E) entries of the encoder drawn uniformly,  g ← g ⊙ M",
    paper: "Xu et al., Raise a Child in Large Language Model, EMNLP 2021, arXiv 2109.05687, ablation",
    choices: &[
        "as child-d but for the choice: embeddings, pooler and head are always trained, no factor 1/p",
        "exactly round(p·E) entries in both fidelities; \"code\" lets the rest of the encoder decay and trains without \
         warm-up",
    ],
    numbers: &[
        P,
        FIDELITY,
        number(
            "mask_seed",
            "seed of the draw; set, all seeds share one child network",
            Domain::Whole { from: 0, to: i64::MAX },
            Standard::Absent("the run's seed"),
        ),
    ],
    hooks: &[Hook::Gradient],
    claims: &[Claim::Trained],
    against: &[],
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    p: f64,
    fidelity: Fidelity,
    mask_seed: Option<u64>,
}

pub struct ChildRandom<V> {
    numbers: Numbers,
    child: Child<V>,
}

impl<V: Vector> ChildRandom<V> {
    pub fn new(numbers: Numbers) -> ChildRandom<V> {
        ChildRandom { numbers, child: Child::unknown() }
    }
}

impl<V: Vector> Method<V> for ChildRandom<V> {
    fn warmup(&self, asked: f64) -> f64 {
        child::warmup(self.numbers.fidelity, asked)
    }

    fn prepare(&mut self, study: &mut dyn Study<V>) -> Result<()> {
        let mask = study.random_child(self.numbers.mask_seed, self.numbers.p)?;
        self.child.fix(mask, self.numbers.fidelity, study);
        Ok(())
    }

    fn gradient(&mut self, block: &Block<V>, gradient: V) -> V {
        self.child.masked(block, gradient)
    }
}

#[cfg(test)]
mod tests {
    use crate::method::testing::{Bench, assert_close};

    #[test]
    fn the_drawn_child_alone_is_trained() {
        let mut bench = Bench::of("child-random", &[("p", 0.5.into())], &[1.0, -2.0, 3.0]);
        bench.mask = vec![0.0, 1.0, 1.0];
        bench.prepare();
        assert_eq!(bench.asked, ["random None 0.5"]);
        assert_close(&bench.gradient(&[0.3, -0.4, 0.5]), &[0.0, -0.4, 0.5]);
        assert_eq!(bench.held, Some(vec![0.0, 1.0, 1.0]));
    }
}
