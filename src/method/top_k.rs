//! Top-K tuning: only the top K layers of the encoder, pooler and head are trained.
//!
//! Houlsby et al., Parameter-Efficient Transfer Learning for NLP, ICML 2019, <https://arxiv.org/abs/1902.00751>
//! (their baseline), as in Xu et al., EMNLP 2021.

use anyhow::Result;
use serde::Deserialize;

use super::{Claim, Info, Method, Part, Role, Size, Study, Vector, number};
use crate::spec::number::{Domain, Standard};

pub const INFO: Info = Info {
    name: "top-k",
    summary: "only the top K layers of the encoder, pooler and head are trained",
    equation: "g = 0 for the embeddings and all layers but the last K",
    paper: "Houlsby et al., Parameter-Efficient Transfer Learning for NLP, ICML 2019, arXiv 1902.00751",
    choices: &[
        "frozen parameters have no gradient at all: they do not count in the norm that clips, and do not decay",
        "K = 0 trains pooler and head; the grid of Xu et al. is 0, 3, 6, 12",
    ],
    numbers: &[number(
        "top_layers",
        "K, layers of the encoder that are trained, counted from the top",
        Domain::Whole { from: 0, to: 1000 },
        Standard::Whole(3),
    )],
    hooks: &[],
    claims: &[Claim::Trained],
    against: &[],
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    top_layers: usize,
}

pub struct TopK {
    numbers: Numbers,
}

impl TopK {
    pub fn new(numbers: Numbers) -> TopK {
        TopK { numbers }
    }
}

/// Layers of the encoder that these parts belong to.
pub fn layers(parts: &[Part]) -> usize {
    parts.iter().filter_map(Part::layer).max().map_or(0, |last| last + 1)
}

impl<V: Vector> Method<V> for TopK {
    fn check(&self, &Size { layers, .. }: &Size) -> Result<(), String> {
        let k = self.numbers.top_layers;
        if k <= layers { Ok(()) } else { Err(format!("top_layers is {k}, and the model has {layers} layers")) }
    }

    fn prepare(&mut self, study: &mut dyn Study<V>) -> Result<()> {
        let first = layers(&study.parts()).saturating_sub(self.numbers.top_layers);
        study.train_only(&|part| match part.role {
            Role::Embeddings => false,
            Role::Encoder => part.layer().is_some_and(|layer| layer >= first),
            Role::Pooler | Role::Head | Role::Adapter => true,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::method::testing::Bench;
    use crate::method::{Method, Size};

    #[test]
    fn the_layers_below_are_frozen() {
        let trained = |k: i64| {
            let mut bench = Bench::of("top-k", &[("top_layers", k.into())], &[0.0]);
            bench.model_of(3);
            bench.prepare();
            bench.trained.join(" ")
        };
        assert_eq!(trained(0), "pooler classifier");
        assert_eq!(trained(1), "layer 2 pooler classifier");
        assert_eq!(trained(3), "layer 0 layer 1 layer 2 pooler classifier");
        let bench = Bench::of("top-k", &[("top_layers", 4.into())], &[0.0]);
        let model = Size { layers: 3, hidden: 8, parameters: 100, head: 9 };
        assert_eq!(bench.method.check(&model), Err("top_layers is 4, and the model has 3 layers".to_owned()));
    }
}
