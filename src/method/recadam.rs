//! RecAdam: Adam that lets the pre-trained weights go gradually.
//!
//! Chen et al., Recall and Learn, EMNLP 2020, <https://arxiv.org/abs/2004.12651>, and the authors' program
//! Sanyuan-Chen/RecAdam:
//!
//! θ ← θ − λ(t)·ηΔ,  then θ ← θ − η(w − λ(t))γ·(θ − θ⁰),  λ(t) = w·σ(k(t − t₀)).

use serde::Deserialize;

use super::{Block, Claim, Hook, Info, Method, Moment, NOT_NEGATIVE, Vector, number};
use crate::spec::number::{Domain, Standard};

pub const INFO: Info = Info {
    name: "recadam",
    summary: "RecAdam: the step is faded in while the pull to the pre-trained weights is faded out",
    equation: "θ ← θ − λ(t)·ηΔ − η(w − λ(t))γ·(θ − θ⁰),  λ(t) = w·σ(k(t − t₀))",
    paper: "Chen et al., Recall and Learn: RecAdam, EMNLP 2020, arXiv 2004.12651",
    choices: &[
        "training starts at the pre-trained weights; the authors' program can also start at random ones",
        "every parameter with a pre-trained value is anchored, biases and layer norms too; the new head takes Adam's step",
        "the pull acts on θ after the step and is not divided by √v, as in the authors' program",
        "t₀ counts steps, as the authors' program; t0_ratio, where given, is a share of the run's steps instead: with 250 \
         of 468 steps λ is next to 0 for half the run",
        "while λ is small a step takes ηγ of the way back to θ⁰: 0.1 at a learning rate of 2e-5; from ηγ = 2 on it is \
         unstable (4e-4 with γ = 5000)",
        "the recipe's weight_decay towards zero applies besides, as the authors' program has it (they set it to 0)",
        "anneal = \"linear\" is min(1, t/t₀)·w, \"constant\" is w throughout",
    ],
    numbers: &[
        number("anneal", "how λ rises", Domain::Word(&["sigmoid", "linear", "constant"]), Standard::Word("sigmoid")),
        number("anneal_k", "k, steepness of the sigmoid in 1/steps", NOT_NEGATIVE, Standard::Real(0.5)),
        number(
            "t0",
            "t₀, the step at which λ is half of w, or at which a linear rise ends",
            Domain::Whole { from: 1, to: 1 << 40 },
            Standard::Whole(250),
        ),
        number(
            "t0_ratio",
            "t₀ as a share of the run's steps",
            Domain::Real { above: 0.0, up_to: 1.0 },
            Standard::Absent("none, t0 counts"),
        ),
        number("anneal_w", "w, what λ rises to", Domain::Real { above: 0.0, up_to: 1.0 }, Standard::Real(1.0)),
        number("gamma", "γ, strength of the pull", NOT_NEGATIVE, Standard::Real(5000.0)),
    ],
    hooks: &[Hook::Step, Hook::Pull],
    claims: &[Claim::Anchor],
    against: &[],
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    anneal: Anneal,
    anneal_k: f64,
    t0: f64,
    t0_ratio: Option<f64>,
    anneal_w: f64,
    gamma: f64,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Anneal {
    Sigmoid,
    Linear,
    Constant,
}

pub struct RecAdam {
    numbers: Numbers,
}

impl RecAdam {
    pub fn new(numbers: Numbers) -> RecAdam {
        RecAdam { numbers }
    }

    /// λ(t), in [0, w].
    fn lambda(&self, at: Moment) -> f64 {
        let Numbers { anneal, anneal_k, t0, t0_ratio, anneal_w, .. } = self.numbers;
        let t = f64::from(at.step);
        let t0 = t0_ratio.map_or(t0, |ratio| (ratio * f64::from(at.steps)).max(1.0));
        anneal_w
            * match anneal {
                Anneal::Sigmoid => 1.0 / (1.0 + (-anneal_k * (t - t0)).exp()),
                Anneal::Linear => (t / t0).min(1.0),
                Anneal::Constant => 1.0,
            }
    }
}

impl<V: Vector> Method<V> for RecAdam {
    fn step(&mut self, block: &Block<V>, _: &V, step: V) -> V {
        if block.part.pretrained { step.scaled(self.lambda(block.moment)) } else { step }
    }

    fn pull(&self, block: &Block<V>) -> Option<V> {
        let strength = block.rate * (self.numbers.anneal_w - self.lambda(block.moment)) * self.numbers.gamma;
        Some(block.theta.minus(&block.start).scaled(strength))
    }
}

#[cfg(test)]
mod tests {
    use crate::method::testing::{Bench, assert_close};

    /// λ by hand for k = 0.1, t₀ = 250: the share of a step that is taken.
    #[test]
    fn lambda_is_that_of_the_equation() {
        let share = |numbers: &[(&str, serde_json::Value)], step: u32| {
            let mut bench = Bench::of("recadam", numbers, &[0.0]);
            (bench.moment.step, bench.moment.steps) = (step, 500);
            bench.step(&[0.0], &[1.0])[0]
        };
        let slow = [("anneal_k", 0.1.into()), ("t0", 250.into())];
        for (step, expected) in
            [(200, 0.006_692_85), (240, 0.268_941_42), (250, 0.5), (260, 0.731_058_58), (300, 0.993_307_15)]
        {
            assert!((share(&slow, step) - expected).abs() < 1e-8, "{step}");
        }
        let ratio = [("anneal_k", 0.1.into()), ("t0_ratio", 0.5.into())];
        assert_eq!(share(&ratio, 250), 0.5);
        let linear = [("anneal", "linear".into()), ("t0", 250.into())];
        assert_eq!((share(&linear, 50), share(&linear, 400)), (0.2, 1.0));
        assert_eq!(share(&[("anneal", "constant".into()), ("anneal_w", 0.7.into())], 1), 0.7);
    }

    /// Two steps of w = 0.5, w* = 0.3, η = 2e-5, k = 0.5, t₀ = 2, γ = 5000, gradients 0.2 and −0.1; Adam with
    /// β = (0.9, 0.999), ε = 1e-6 gives the steps worked out here.
    #[test]
    fn two_steps_are_those_of_the_authors_program() {
        let mut bench = Bench::of("recadam", &[("anneal_k", 0.5.into()), ("t0", 2.into())], &[0.5]);
        (bench.start, bench.rate) = (vec![0.3], 2e-5);
        let (mut m, mut v) = (0.0, 0.0);
        for (step, g, expected) in [(1, 0.2, 0.487_543_733_69), (2, -0.1, 0.478_164_017_16)] {
            bench.moment.step = step;
            m = 0.9 * m + 0.1 * g;
            v = 0.999 * v + 0.001 * g * g;
            let t = f64::from(step);
            let scaled = 2e-5 * (1.0 - 0.999f64.powf(t)).sqrt() / (1.0 - 0.9f64.powf(t));
            let taken = bench.step(&[g], &[scaled * m / (f64::sqrt(v) + 1e-6)]);
            bench.theta[0] -= taken[0];
            bench.theta[0] -= bench.pull().expect("a pull")[0];
            assert!((bench.theta[0] - expected).abs() < 1e-9, "step {step}: {}", bench.theta[0]);
        }
        bench.part.pretrained = false;
        assert_close(&bench.step(&[0.1], &[0.25]), &[0.25]);
    }
}
