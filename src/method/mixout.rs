//! Mixout: at each step a random part of the weights is replaced by the pre-trained ones.
//!
//! Lee, Cho and Kang, Mixout, ICLR 2020, <https://arxiv.org/abs/1909.11299>:
//!
//! W′ = ((1 − N) ⊙ W⁰ + N ⊙ W − p·W⁰) / (1 − p),  N ~ Bernoulli(1 − p),  so that E W′ = W.
//!
//! The derivative is the true one, N/(1 − p); the authors' program leaves out 1/(1 − p), which Adam forgives but the
//! norm that clips does not.

use serde::Deserialize;

use super::{Claim, Dropout, Hook, Info, Leaves, Method, Moment, Part, Vector, number, stream};
use crate::spec::number::{Domain, Standard};

pub const INFO: Info = Info {
    name: "mixout",
    summary: "Mixout: in each step a random share of the weights is replaced by the pre-trained ones",
    equation: "W′ = ((1−N)⊙W⁰ + N⊙W − p·W⁰)/(1−p),  N ~ Bernoulli(1−p) anew in each step",
    paper: "Lee et al., Mixout, ICLR 2020, arXiv 1909.11299",
    choices: &[
        "it stands in at every linear layer of the encoder and the pooler, where the model's dropout is set to zero; the \
         new head, which has no pre-trained value, keeps its weights and the dropout before it",
        "grain = \"column\" draws once for each input, shared by all outputs, as the authors' program; \"weight\" draws for \
         each weight, as the equation",
        "the derivative is N/(1−p); the authors' program leaves out 1/(1−p)",
        "biases, layer norms and embeddings are not mixed; evaluation uses W",
        "a [train] dropout that is written down wins",
    ],
    numbers: &[
        number(
            "mix",
            "probability that a weight is replaced, p in the paper",
            Domain::RealBelow { from: 0.0, below: 1.0 },
            Standard::Real(0.9),
        ),
        number(
            "grain",
            "what is drawn for: each input of a layer, or each weight",
            Domain::Word(&["column", "weight"]),
            Standard::Word("column"),
        ),
    ],
    hooks: &[Hook::Weight],
    claims: &[Claim::Weights],
    against: &[("bitfit", "bitfit never changes a weight, so that there is nothing to mix")],
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    mix: f64,
    grain: Grain,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Grain {
    Column,
    Weight,
}

pub struct Mixout {
    numbers: Numbers,
}

impl Mixout {
    pub fn new(numbers: Numbers) -> Mixout {
        Mixout { numbers }
    }
}

/// ((1−N)⊙T + N⊙W − p·T)/(1−p), in the shape of `weight`.
pub fn mixed<V: Vector>(weight: &V, target: &V, kept: &V, p: f64) -> V {
    // Of T is left T − N⊙T − p·T.
    target.scaled(1.0 - p).plus(&weight.minus(target).times(kept)).over(1.0 - p)
}

impl<V: Vector> Method<V> for Mixout {
    fn dropout(&self, _: u32) -> Dropout {
        Dropout::HeadOnly
    }

    fn weight(&self, part: &Part, weight: &V, leaves: &dyn Leaves<V>, at: Moment) -> Option<V> {
        let Numbers { mix, grain } = self.numbers;
        if mix == 0.0 || !part.pretrained || !part.is_linear_weight() {
            return None;
        }
        // Every pass of a step has a draw of its own.
        let key = stream(at.seed, "mixout", u64::from(at.step) << 8 | u64::from(at.pass));
        let like = if grain == Grain::Column { weight.row() } else { weight.detached() };
        let kept = like.detached().bernoulli(key, 1.0 - mix, part.offset);
        Some(mixed(weight, &leaves.start(part), &kept, mix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::List;
    use crate::method::testing::{Bench, assert_close};

    /// W = [[1, 2], [3, 4]], W⁰ = [[0, 1], [1, 1]], p = 0.5, N = (1, 0) for the columns.
    #[test]
    fn a_column_is_mixed_as_worked_by_hand() {
        let (weight, target) = (List::matrix(2, &[1.0, 2.0, 3.0, 4.0]), List::matrix(2, &[0.0, 1.0, 1.0, 1.0]));
        assert_close(&mixed(&weight, &target, &List::flat(&[1.0, 0.0]), 0.5).numbers, &[2.0, 1.0, 5.0, 1.0]);
        // The derivative with respect to a kept weight: W moved by 1 moves W′ by N/(1 − p).
        let moved = mixed(&weight.shifted(1.0), &target, &List::flat(&[1.0, 0.0]), 0.5);
        assert_close(&moved.numbers, &[4.0, 1.0, 7.0, 1.0]);
    }

    /// Mean W and variance p/(1 − p)·(W − W⁰)² over many draws, by column and by weight.
    #[test]
    fn mean_and_variance_over_many_draws_are_those_of_the_equation() {
        for grain in ["column", "weight"] {
            let mut bench = Bench::of("mixout", &[("mix", 0.7.into()), ("grain", grain.into())], &[1.0, 2.0, 3.0, 4.0]);
            bench.start = vec![0.0, 1.5, 1.0, 1.0];
            bench.part.shape = vec![2, 2];
            let draws: Vec<Vec<f64>> = (1..=40_000)
                .map(|step| {
                    bench.moment.step = step;
                    bench.weight(2).expect("a mixed weight")
                })
                .collect();
            let n = draws.len() as f64;
            for (i, (w, start)) in [1.0, 2.0, 3.0, 4.0].into_iter().zip(bench.start.clone()).enumerate() {
                let mean = draws.iter().map(|d| d[i]).sum::<f64>() / n;
                let variance = draws.iter().map(|d| (d[i] - mean).powi(2)).sum::<f64>() / n;
                let expected: f64 = 0.7 / 0.3 * (w - start) * (w - start);
                assert!((mean - w).abs() < 5.0 * (expected / n).sqrt(), "{grain} {i}: mean {mean}");
                assert!((variance / expected - 1.0).abs() < 0.03, "{grain} {i}: variance {variance}");
            }
            // Both rows of a column are kept together where the grain is a column.
            let together = draws.iter().filter(|d| (d[0] == draws[0][0]) == (d[2] == draws[0][2])).count();
            assert_eq!(together == draws.len(), grain == "column");
        }
    }
}
