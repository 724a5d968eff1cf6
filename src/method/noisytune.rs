//! NoisyTune: the pre-trained weights are disturbed a little before fine-tuning.
//!
//! Wu et al., NoisyTune, ACL 2022, <https://arxiv.org/abs/2202.12024>:
//!
//! W ← W + U(−λ/2, λ/2)·std(W),  tensor by tensor.

use anyhow::Result;
use serde::Deserialize;

use super::{Hook, Info, Method, NOT_NEGATIVE, Study, Vector, number, stream};
use crate::spec::number::Standard;

pub const INFO: Info = Info {
    name: "noisytune",
    summary: "NoisyTune: uniform noise in proportion to each tensor's spread, once before fine-tuning",
    equation: "W ← W + U(−λ/2, λ/2)·std(W) for each pre-trained tensor, before the first step",
    paper: "Wu et al., NoisyTune, ACL 2022, arXiv 2202.12024",
    choices: &[
        "every tensor with a pre-trained value is disturbed, biases and layer norms too; the new head is not",
        "std is that of the sample (divided by n − 1), as PyTorch's",
        "θ⁰ of a method that pulls or mixes stays the checkpoint's value; a Fisher pass sees the disturbed weights",
    ],
    numbers: &[number(
        "noisytune_lambda",
        "λ, width of the noise in standard deviations",
        NOT_NEGATIVE,
        Standard::Real(0.15),
    )],
    hooks: &[Hook::Start],
    claims: &[],
    against: &[],
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    noisytune_lambda: f64,
}

pub struct NoisyTune {
    numbers: Numbers,
}

impl NoisyTune {
    pub fn new(numbers: Numbers) -> NoisyTune {
        NoisyTune { numbers }
    }
}

impl<V: Vector> Method<V> for NoisyTune {
    fn start(&mut self, study: &mut dyn Study<V>) -> Result<()> {
        let key = stream(study.seed(), "noisytune", 0);
        for part in study.parts().iter().filter(|part| part.pretrained) {
            let weight = study.theta_of(part);
            let noise =
                weight.uniform(key, part.offset).shifted(-0.5).scaled(self.numbers.noisytune_lambda * weight.std());
            study.set_theta(part, &weight.plus(&noise));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::method::testing::Bench;

    /// W alternates between 1 and 3, so that std = 1 (nearly); the noise is uniform on (−0.1, 0.1) for λ = 0.2.
    #[test]
    fn the_noise_is_uniform_and_in_proportion() {
        let n = 1 << 18;
        let weights: Vec<f64> = (0..n).map(|i| if i % 2 == 0 { 1.0 } else { 3.0 }).collect();
        let mut bench = Bench::of("noisytune", &[("noisytune_lambda", 0.2.into())], &weights);
        bench.prepare();
        let noise: Vec<f64> = bench.theta.iter().zip(&weights).map(|(after, before)| after - before).collect();
        let largest = noise.iter().fold(0.0f64, |most, z| most.max(z.abs()));
        let mean = noise.iter().sum::<f64>() / n as f64;
        let variance = noise.iter().map(|z| z * z).sum::<f64>() / n as f64;
        assert!(largest > 0.0999 && largest <= 0.1001, "{largest}");
        assert!(mean.abs() < 0.001, "{mean}");
        assert!((variance / (0.04 / 12.0) - 1.0).abs() < 0.02, "{variance}");

        let mut head = Bench::of("noisytune", &[], &weights[..8]);
        head.part.pretrained = false;
        head.prepare();
        assert_eq!(head.theta, weights[..8]);
    }
}
