//! Layer-wise learning-rate decay: the lower a layer, the smaller its steps.
//!
//! Howard and Ruder, ULMFiT, ACL 2018, <https://arxiv.org/abs/1801.06146>; for BERT in Zhang et al., Revisiting
//! Few-sample BERT Fine-tuning, ICLR 2021, <https://arxiv.org/abs/2006.05987>:
//!
//! ηₗ = η·dⁿ,  n = 1 for the top layer, one more for each layer below, and one more for the embeddings.

use anyhow::Result;
use serde::Deserialize;

use super::{Hook, Info, Method, Part, Role, Study, Vector, number, top_k};
use crate::spec::number::{Domain, Standard};

pub const INFO: Info = Info {
    name: "llrd",
    summary: "layer-wise learning-rate decay: each layer has d times the rate of the one above it",
    equation: "ηₗ = η·d^(L − l) for layer l of L, counted from 0;  η·d^(L + 1) for the embeddings",
    paper: "Howard and Ruder, ULMFiT, ACL 2018, arXiv 1801.06146; Zhang et al., Revisiting Few-sample BERT Fine-tuning, \
            ICLR 2021, arXiv 2006.05987",
    choices: &[
        "pooler and head have the whole rate",
        "decay towards zero and the pull of another method take the layer's rate too, as parameter groups of an optimizer do",
    ],
    numbers: &[number(
        "layer_decay",
        "d, rate of a layer as a share of that above it",
        Domain::Real { above: 0.0, up_to: 1.0 },
        Standard::Real(0.95),
    )],
    hooks: &[Hook::Rate],
    claims: &[],
    against: &[],
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    layer_decay: f64,
}

pub struct Llrd {
    numbers: Numbers,
    /// L, layers of the encoder.
    layers: usize,
}

impl Llrd {
    pub fn new(numbers: Numbers) -> Llrd {
        Llrd { numbers, layers: 0 }
    }
}

impl<V: Vector> Method<V> for Llrd {
    fn prepare(&mut self, study: &mut dyn Study<V>) -> Result<()> {
        self.layers = top_k::layers(&study.parts());
        Ok(())
    }

    fn rate(&self, part: &Part) -> f64 {
        let steps_down = match (part.role, part.layer()) {
            (Role::Embeddings, _) => self.layers + 1,
            (_, Some(layer)) => self.layers - layer.min(self.layers),
            (_, None) => 0,
        };
        self.numbers.layer_decay.powi(steps_down as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::testing::Bench;

    /// BERT-large at 2e-5 and d = 0.95: top layer 1.9e-5, layer 0 5.84e-6, embeddings 5.55e-6.
    #[test]
    fn rates_of_bert_large_are_those_of_the_paper() {
        let mut bench = Bench::of("llrd", &[], &[0.0]);
        bench.model_of(24);
        bench.prepare();
        let mut rate = |name: &str, role: Role| {
            (bench.part.name, bench.part.role) = (name.to_owned(), role);
            2e-5 * bench.method.rate(&bench.part)
        };
        let found = [
            rate("encoder.layer.23.output.dense.weight", Role::Encoder),
            rate("encoder.layer.0.output.dense.weight", Role::Encoder),
            rate("embeddings.word_embeddings.weight", Role::Embeddings),
            rate("pooler.dense.weight", Role::Pooler),
        ];
        for (found, expected) in found.iter().zip([1.9e-5, 5.84e-6, 5.55e-6, 2e-5]) {
            assert!((found / expected - 1.0).abs() < 1e-3, "{found} instead of {expected}");
        }
    }
}
