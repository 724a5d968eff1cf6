//! R3F: predictions should not change when the embeddings are disturbed a little.
//!
//! Aghajanyan et al., Better Fine-Tuning by Reducing Representational Collapse, ICLR 2021,
//! <https://arxiv.org/abs/2008.03156>, and the authors' program (fairseq, examples/rxf):
//!
//! L = CE(f(x)) + λ·(1/B) Σ [KL(p‖q) + KL(q‖p)],  p from f(x), q from f(x + z),  z ~ U(−ε, ε) or N(0, ε²).

use serde::Deserialize;

use super::{Hook, Info, Method, Moment, NOT_NEGATIVE, Noise, Passes, Vector, number, stream};
use crate::spec::number::{Domain, Standard};

pub const INFO: Info = Info {
    name: "r3f",
    summary: "R3F: a second pass with noise on the word embeddings must predict the same",
    equation: "L = CE(f(x)) + λ·mean[KL(p‖q) + KL(q‖p)],  q from f(x + z),  z ~ U(−ε, ε) or N(0, ε²)",
    paper: "Aghajanyan et al., Better Fine-Tuning by Reducing Representational Collapse, ICLR 2021, arXiv 2008.03156",
    choices: &[
        "the noise is added to a detached copy of the word embeddings, as in the authors' program: the noised pass gives \
         them no gradient",
        "both predictions receive the gradient of the divergence; dropout differs between the passes",
        "the divergence is averaged over the batch like the loss; the authors sum both",
        "for a regression it is the mean squared difference of the two outputs",
        "the loss in records and logs is the whole of L",
    ],
    numbers: &[
        number("r3f_lambda", "λ, weight of the divergence", NOT_NEGATIVE, Standard::Real(1.0)),
        number("r3f_eps", "ε, size of the noise", NOT_NEGATIVE, Standard::Real(1e-5)),
        number("r3f_noise", "shape of the noise", Domain::Word(&["uniform", "normal"]), Standard::Word("uniform")),
    ],
    hooks: &[Hook::Loss],
    claims: &[],
    against: &[],
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    r3f_lambda: f64,
    r3f_eps: f64,
    r3f_noise: Noise,
}

pub struct R3f {
    numbers: Numbers,
}

impl R3f {
    pub fn new(numbers: Numbers) -> R3f {
        R3f { numbers }
    }
}

impl<V: Vector> Method<V> for R3f {
    fn loss(&self, passes: &mut dyn Passes<V>, at: Moment) -> V {
        let Numbers { r3f_lambda, r3f_eps, r3f_noise } = self.numbers;
        let key = stream(at.seed, "r3f", u64::from(at.step));
        let clean = passes.pass();
        let noised = passes.pass_with(&|words| {
            let words = words.detached();
            words.plus(&r3f_noise.like(&words, key, at.token, r3f_eps))
        });
        let apart = passes.divergence(&clean, &noised).over(passes.examples());
        passes.loss(&clean).plus(&apart.scaled(r3f_lambda))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::testing::{Bench, Two};

    /// Logits [[1, 0], [.2, −.4]] and [[.8, .1], [0, −.1]], labels (0, 1), λ = 1; the number is that of the authors'
    /// equations in their mean form.
    #[test]
    fn the_loss_is_that_of_the_equation() {
        let bench = Bench::of("r3f", &[], &[0.0]);
        let mut two = Two::classes(&[&[1.0, 0.0, 0.2, -0.4], &[0.8, 0.1, 0.0, -0.1]], &[0, 1]);
        let loss = bench.method.loss(&mut two, bench.moment).numbers[0];
        assert!((loss - 0.714_974_719_7).abs() < 1e-9, "{loss}");
        let double =
            Bench::of("r3f", &[("r3f_lambda", 2.0.into())], &[0.0]).method.loss(&mut two.again(), bench.moment);
        assert!((double.numbers[0] - 0.675_374_819_0 - 2.0 * (loss - 0.675_374_819_0)).abs() < 1e-9);
    }

    /// z over many entries beside the closed form, and that it lies on the words and nowhere else.
    #[test]
    fn the_noise_has_the_size_that_is_asked_for() {
        for (noise, variance) in [("uniform", 1e-4 / 3.0), ("normal", 1e-4)] {
            let bench = Bench::of("r3f", &[("r3f_eps", 1e-2.into()), ("r3f_noise", noise.into())], &[0.0]);
            let mut two = Two::classes(&[&[1.0, 0.0], &[1.0, 0.0]], &[0]);
            two.words = vec![5.0; 1 << 18];
            bench.method.loss(&mut two, bench.moment);
            let z: Vec<f64> = two.seen.iter().map(|word| word - 5.0).collect();
            let mean = z.iter().sum::<f64>() / z.len() as f64;
            let spread = z.iter().map(|z| z * z).sum::<f64>() / z.len() as f64;
            assert!(mean.abs() < 1e-4, "{noise}: mean {mean}");
            assert!((spread / variance - 1.0).abs() < 0.02, "{noise}: variance {spread}");
        }
    }
}
