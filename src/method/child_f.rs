//! Child-Tuning-F: a new random child network in every step.
//!
//! Xu et al., Raise a Child in Large Language Model, EMNLP 2021, <https://arxiv.org/abs/2109.05687>, section 2.2:
//!
//! g ← g ⊙ M / p,  M ~ Bernoulli(p) anew in each step, for every parameter with a gradient.
//!
//! The mask acts on the clipped gradient, before Adam's moments: an entry outside it still moves by its momentum.
//! Paper and authors' program agree but for the warm-up: the program asks for 10 % and, through the trainer it is
//! built on, trains without; `fidelity = "code"` does the same.

use serde::Deserialize;

use super::{Block, FIDELITY, Fidelity, Info, Method, Moment, P, Vector, stream};

pub const INFO: Info = Info {
    name: "child-f",
    summary: "Child-Tuning-F: gradients masked by a new Bernoulli(p) draw in each step",
    equation: "g ← g ⊙ M / p,  M ~ Bernoulli(p) anew in each step",
    paper: "Xu et al., Raise a Child in Large Language Model, EMNLP 2021, arXiv 2109.05687",
    choices: &[
        "every parameter with a gradient is masked, embeddings and head included",
        "the mask acts on the clipped gradient before Adam's moments, so a masked entry still moves by its momentum",
        "fidelity = \"code\" trains without warm-up, as the authors' trainer does whatever it is asked",
    ],
    numbers: &[P, FIDELITY],
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    p: f64,
    fidelity: Fidelity,
}

pub struct ChildF {
    numbers: Numbers,
}

impl ChildF {
    pub fn new(numbers: Numbers) -> ChildF {
        ChildF { numbers }
    }
}

impl<V: Vector> Method<V> for ChildF {
    fn warmup(&self, asked: f64) -> f64 {
        match self.numbers.fidelity {
            Fidelity::Paper => asked,
            Fidelity::Code => 0.0,
        }
    }

    fn gradient(&self, block: Block, gradient: V, at: Moment) -> V {
        let p = self.numbers.p;
        let key = stream(at.seed, "child-f", u64::from(at.step));
        gradient.times(&gradient.bernoulli(key, p, block.offset)).over(p)
    }
}
