//! HyPe: noise on the input of every layer while training.
//!
//! Yuan et al., HyPe: Better Pre-trained Language Model Fine-tuning with Hidden Representation Perturbation, ACL 2023,
//! <https://arxiv.org/abs/2212.08853>:
//!
//! hₗ ← hₗ + z,  z ~ N(0, σ²) or U(−σ, σ) for the input of every layer, in training alone.

use serde::Deserialize;

use super::{Dropout, Hook, Info, Method, Moment, NOT_NEGATIVE, Noise, Vector, number, stream};
use crate::spec::number::{Domain, Standard};

pub const INFO: Info = Info {
    name: "hype",
    summary: "HyPe: noise on the input of every layer of the encoder while training",
    equation: "hₗ ← hₗ + z,  z ~ N(0, σ²) or U(−σ, σ) anew for every layer and step",
    paper: "Yuan et al., HyPe, ACL 2023, arXiv 2212.08853",
    choices: &[
        "dropout is set to zero, as the paper trains; a [train] dropout that is written down wins (with dropout on, the \
         paper's gain falls from 80.75 to 79.92)",
        "hype_noise = \"uniform\" is U(−σ, σ), as in the paper; the authors' program draws from U(0, σ)",
        "no noise in evaluation, nor in a Fisher pass",
    ],
    numbers: &[
        number("hype_noise", "shape of the noise", Domain::Word(&["normal", "uniform"]), Standard::Word("normal")),
        number("hype_sigma", "σ, size of the noise", NOT_NEGATIVE, Standard::Real(1e-5)),
    ],
    hooks: &[Hook::Hidden],
    claims: &[],
    against: &[],
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    hype_noise: Noise,
    hype_sigma: f64,
}

pub struct Hype {
    numbers: Numbers,
}

impl Hype {
    pub fn new(numbers: Numbers) -> Hype {
        Hype { numbers }
    }
}

impl<V: Vector> Method<V> for Hype {
    fn dropout(&self, _: u32) -> Dropout {
        Dropout::Zero
    }

    fn hidden(&self, layer: usize, input: V, at: Moment) -> V {
        let place = u64::from(at.step) << 24 | u64::from(at.pass) << 16 | layer as u64;
        let key = stream(at.seed, "hype", place);
        input.plus(&self.numbers.hype_noise.like(&input.detached(), key, at.token, self.numbers.hype_sigma))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::List;
    use crate::method::testing::Bench;

    #[test]
    fn every_layer_and_step_has_noise_of_its_own_and_of_the_size_asked_for() {
        for (noise, variance) in [("normal", 0.01), ("uniform", 0.01 / 3.0)] {
            let bench = Bench::of("hype", &[("hype_noise", noise.into()), ("hype_sigma", 0.1.into())], &[0.0]);
            let input = List::flat(&vec![2.0; 1 << 18]);
            let z = |layer: usize, at: Moment| bench.method.hidden(layer, input.clone(), at).shifted(-2.0).numbers;
            let (one, other) = (z(0, bench.moment), z(1, bench.moment));
            let n = one.len() as f64;
            assert!((one.iter().sum::<f64>() / n).abs() < 1e-3, "{noise}");
            assert!((one.iter().map(|z| z * z).sum::<f64>() / n / variance - 1.0).abs() < 0.02, "{noise}");
            let together = one.iter().zip(&other).map(|(a, b)| a * b).sum::<f64>() / n / variance;
            assert!(together.abs() < 0.02, "{noise}: layers are correlated by {together}");
            assert_ne!(z(0, Moment { step: 2, ..bench.moment }), one);
            assert_ne!(z(0, Moment { pass: 1, ..bench.moment }), one);
            // Rows of four: those of a micro-batch have the noise that they have in the whole batch.
            let rows = |from: i64, count: usize| {
                let input = List::matrix(4, &vec![2.0; 4 * count]);
                bench.method.hidden(0, input, Moment { token: from, ..bench.moment }).numbers
            };
            assert_eq!(rows(0, 7), [rows(0, 3), rows(3, 4)].concat());
        }
    }
}
