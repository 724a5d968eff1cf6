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

use super::{Block, FIDELITY, Fidelity, Hook, Info, Method, P, Vector, child, stream};

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
    hooks: &[Hook::Gradient],
    claims: &[],
    against: &[],
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
        child::warmup(self.numbers.fidelity, asked)
    }

    fn gradient(&mut self, block: &Block<V>, gradient: V) -> V {
        let p = self.numbers.p;
        let key = stream(block.moment.seed, "child-f", u64::from(block.moment.step));
        gradient.times(&gradient.bernoulli(key, p, block.offset)).over(p)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::List;
    use crate::method::testing::{Bench, assert_close};

    /// g = 0.3 and p = 0.5: an entry inside the mask is 0.6, one outside 0.
    #[test]
    fn an_entry_is_scaled_or_gone() {
        let mut bench = Bench::of("child-f", &[("p", 0.5.into())], &[0.0; 64]);
        let seen = bench.gradient(&[0.3; 64]);
        let mask = List::flat(&[0.0; 64]).bernoulli(stream(bench.moment.seed, "child-f", 1), 0.5, 0);
        let expected: Vec<f64> = mask.numbers.iter().map(|m| m * 0.6).collect();
        assert_close(&seen, &expected);
        assert!(mask.numbers.contains(&0.0) && mask.numbers.contains(&1.0));
        bench.moment.step = 2;
        assert_ne!(bench.gradient(&[0.3; 64]), seen, "a new child network in every step");
    }

    /// Theorem 1: for plain SGD with batch gradients N(μ, σ²/B) the update Δw = −(η/p)·M⊙g has mean −ημ and variance
    /// η²(σ²/B)/p + η²μ²(1−p)/p. Here η = 0.1, μ = 1, σ²/B = 0.25.
    #[test]
    fn mean_and_variance_of_the_update_are_those_of_theorem_1() {
        const N: usize = 1 << 21;
        for (p, variance) in [(1.0, 0.0025), (0.8, 0.005625), (0.5, 0.015), (0.3, 0.095 / 3.0), (0.2, 0.0525)] {
            let mut bench = Bench::of("child-f", &[("p", p.into())], &[0.0; N]);
            let batch = List::flat(&[0.0; N]).normal(stream(7, "gradients", 0), 0).scaled(0.5).shifted(1.0);
            let update: Vec<f64> = bench.gradient(&batch.numbers).iter().map(|g| -0.1 * g).collect();
            let mean = update.iter().sum::<f64>() / N as f64;
            let spread = update.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / N as f64;
            assert!((mean / -0.1 - 1.0).abs() < 0.01, "p {p}: mean {mean}");
            assert!((spread / variance - 1.0).abs() < 0.01, "p {p}: variance {spread} instead of {variance}");
        }
    }
}
