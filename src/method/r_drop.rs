//! R-Drop: two passes with different dropout must predict the same.
//!
//! Wu et al., R-Drop, NeurIPS 2021, <https://arxiv.org/abs/2106.14448>, halved so that the first term is a
//! mean:
//!
//! L = ½(CE₁ + CE₂) + α·½·mean[KL(p₁‖p₂) + KL(p₂‖p₁)].

use serde::Deserialize;

use super::{Dropout, FIDELITY, Fidelity, Hook, Info, Method, Moment, NOT_NEGATIVE, Passes, Vector, number};
use crate::spec::number::Standard;

pub const INFO: Info = Info {
    name: "r-drop",
    summary: "R-Drop: two passes with dropout of their own must predict the same",
    equation: "L = ½(CE₁ + CE₂) + α·½·mean[KL(p₁‖p₂) + KL(p₂‖p₁)]",
    paper: "Wu et al., R-Drop: Regularized Dropout for Neural Networks, NeurIPS 2021, arXiv 2106.14448",
    choices: &[
        "fidelity = \"paper\": the divergence is averaged over the batch like the loss",
        "fidelity = \"code\": the divergence is summed over the batch while the losses are averaged, as in the authors' \
         README and program, which makes α grow with the batch",
        "for a regression it is the squared difference of the two outputs",
        "it needs the model's dropout, and keeps it in a combination that would set it to zero; with a [train] dropout of 0 \
         the two passes agree and it is vanilla at twice the price",
        "the loss in records and logs is the whole of L",
    ],
    numbers: &[number("rdrop_alpha", "α, weight of the divergence", NOT_NEGATIVE, Standard::Real(1.0)), FIDELITY],
    hooks: &[Hook::Loss],
    claims: &[],
    against: &[],
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    rdrop_alpha: f64,
    fidelity: Fidelity,
}

pub struct RDrop {
    numbers: Numbers,
}

impl RDrop {
    pub fn new(numbers: Numbers) -> RDrop {
        RDrop { numbers }
    }
}

impl<V: Vector> Method<V> for RDrop {
    fn dropout(&self, _: u32) -> Dropout {
        Dropout::Needed
    }

    fn loss(&self, passes: &mut dyn Passes<V>, _: Moment) -> V {
        let (one, other) = (passes.pass(), passes.pass());
        let apart = match self.numbers.fidelity {
            Fidelity::Paper => passes.divergence(&one, &other).over(passes.examples()),
            Fidelity::Code => passes.divergence(&one, &other),
        };
        let mean = passes.loss(&one).plus(&passes.loss(&other)).scaled(0.5);
        mean.plus(&apart.scaled(self.numbers.rdrop_alpha * 0.5))
    }
}

#[cfg(test)]
mod tests {
    use crate::method::Method;
    use crate::method::testing::{Bench, Two};

    /// The logits of R3F's example; "code" is the number of the authors' README, "paper" the same with the mean.
    #[test]
    fn the_loss_is_that_of_the_equation() {
        let half_of_the_losses = 0.624_583_086_9;
        for (fidelity, expected) in
            [("code", 0.664_182_987_4), ("paper", half_of_the_losses + (0.664_182_987_4 - half_of_the_losses) / 2.0)]
        {
            let bench = Bench::of("r-drop", &[("fidelity", fidelity.into())], &[0.0]);
            let mut two = Two::classes(&[&[1.0, 0.0, 0.2, -0.4], &[0.8, 0.1, 0.0, -0.1]], &[0, 1]);
            let loss = bench.method.loss(&mut two, bench.moment).numbers[0];
            assert!((loss - expected).abs() < 1e-9, "{fidelity}: {loss} instead of {expected}");
        }
    }
}
