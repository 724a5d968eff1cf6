//! BitFit: only the biases and the new head are trained.
//!
//! Ben Zaken, Ravfogel and Goldberg, BitFit, ACL 2022, <https://arxiv.org/abs/2106.10199>.

use anyhow::Result;
use serde::Deserialize;

use super::{Claim, Info, Method, Role, Study, Vector};

const WEIGHTS: &str = "bitfit never changes a weight, and that is all it acts on";

pub const INFO: Info = Info {
    name: "bitfit",
    summary: "BitFit: only the biases and the head are trained",
    equation: "g = 0 for everything but biases and the head",
    paper: "Ben Zaken et al., BitFit, ACL 2022, arXiv 2106.10199",
    choices: &[
        "the biases of layer norms and of the pooler are biases, as the authors' program selects them by name",
        "frozen parameters have no gradient at all: they do not count in the norm that clips, and do not decay",
        "it wants a far larger learning rate than full fine-tuning: 4e-4 to 1e-3 in the paper",
    ],
    numbers: &[],
    hooks: &[],
    claims: &[Claim::Trained],
    against: &[
        ("weight-decay", WEIGHTS),
        ("l2-sp", WEIGHTS),
        ("dps-mix", WEIGHTS),
        ("sage", WEIGHTS),
        ("reinit", "bitfit would leave the weights that reinit drew at random as they are"),
    ],
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {}

pub struct BitFit;

impl BitFit {
    pub fn new(_: Numbers) -> BitFit {
        BitFit
    }
}

impl<V: Vector> Method<V> for BitFit {
    fn prepare(&mut self, study: &mut dyn Study<V>) -> Result<()> {
        study.train_only(&|part| part.is_bias() || part.role == Role::Head);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::method::testing::Bench;

    #[test]
    fn weights_are_frozen() {
        let mut bench = Bench::of("bitfit", &[], &[0.0]);
        bench.model_of(2);
        bench.name_biases();
        bench.prepare();
        assert_eq!(bench.trained.join(" "), "layer 1 bias pooler bias classifier classifier bias");
    }
}
