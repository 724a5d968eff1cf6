//! SAGE: parameters that matter little take larger steps, so that none stays idle.
//!
//! Liang et al., No Parameters Left Behind: Sensitivity Guided Adaptive Learning Rate, ICLR 2022,
//! <https://arxiv.org/abs/2202.02664>, and the authors' program cliang1453/SAGE:
//!
//! I = |θ ⊙ g|,  Ī ← β₃Ī + (1 − β₃)I,  Î = Ī/(1 − β₃ᵗ),  θ ← θ − ηΔ ⊙ |I − Î| ⊘ Î.

use anyhow::Result;
use serde::Deserialize;

use super::{Block, Hook, Info, Method, Role, Study, Vector, number};
use crate::spec::number::{Domain, Standard};

pub const INFO: Info = Info {
    name: "sage",
    summary: "SAGE: steps are scaled by how much each parameter's sensitivity departs from its average",
    equation: "I = |θ⊙g|,  Î = bias-corrected average of I by β₃,  θ ← θ − ηΔ ⊙ |I − Î| ⊘ Î",
    paper: "Liang et al., No Parameters Left Behind, ICLR 2022, arXiv 2202.02664",
    choices: &[
        "it acts on the matrices of the encoder; everything else takes Adam's step",
        "with the bias correction the first step of the matrices is exactly zero, as in the authors' program",
        "1e-12 stands beside Î in the denominator, the square of the authors' ε",
        "it wants 2 to 5 times the learning rate of AdamW; β₃ in the paper is 0.6 to 0.9",
    ],
    numbers: &[number(
        "beta3",
        "β₃, decay of the average sensitivity",
        Domain::RealBelow { from: 0.01, below: 1.0 },
        Standard::Real(0.75),
    )],
    hooks: &[Hook::Step],
    claims: &[],
    against: &[],
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    beta3: f64,
}

pub struct Sage<V> {
    numbers: Numbers,
    /// Ī over the arena, `[P]`. `None` before the run is prepared.
    average: Option<V>,
}

impl<V> Sage<V> {
    pub fn new(numbers: Numbers) -> Sage<V> {
        Sage { numbers, average: None }
    }
}

impl<V: Vector> Method<V> for Sage<V> {
    fn prepare(&mut self, study: &mut dyn Study<V>) -> Result<()> {
        self.average = Some(study.zeros(study.entries()));
        Ok(())
    }

    fn step(&mut self, block: &Block<V>, gradient: &V, step: V) -> V {
        let is_matrix = block.part.role == Role::Encoder && block.part.is_linear_weight();
        let Some(average) = self.average.as_mut().filter(|_| is_matrix) else { return step };
        let beta3 = self.numbers.beta3;
        let sensitivity = block.theta.times(gradient).abs();
        let now = block.of(average).scaled(beta3).plus(&sensitivity.scaled(1.0 - beta3));
        average.put(block.offset, &now);
        let expected = now.over(1.0 - beta3.powf(f64::from(block.moment.step)));
        let share = sensitivity.minus(&expected).abs().divided_by(&expected.shifted(1e-12));
        step.times(&share)
    }

    fn state(&mut self) -> Vec<(&'static str, &mut V)> {
        self.average.iter_mut().map(|average| ("sage", average)).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::method::Role;
    use crate::method::testing::{Bench, assert_close};

    /// w = 0.5, g = 0.2 then −0.1, η = 1e-3, β₃ = 0.75: nothing, then 0.3 of Adam's step.
    #[test]
    fn two_steps_are_those_of_the_authors_program() {
        let mut bench = Bench::of("sage", &[], &[0.5]);
        (bench.part.role, bench.part.shape) = (Role::Encoder, vec![1, 1]);
        bench.prepare();
        assert_close(&bench.step(&[0.2], &[1e-3]), &[0.0]);
        // Adam by hand, β = (0.9, 0.999), ε = 1e-6: m = 0.008, v = 0.00004996.
        let adam = 1e-3 * f64::sqrt(0.001_999) / 0.19 * 0.008 / (f64::sqrt(0.000_049_96) + 1e-6);
        bench.moment.step = 2;
        let taken = bench.step(&[-0.1], &[adam]);
        assert!((0.5 - taken[0] - 0.499_920_11).abs() < 1e-8, "{}", 0.5 - taken[0]);
        bench.part.shape = vec![1];
        assert_close(&bench.step(&[0.2], &[0.25]), &[0.25]);
    }
}
