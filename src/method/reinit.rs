//! Re-initialisation: the top layers start afresh.
//!
//! Zhang et al., Revisiting Few-sample BERT Fine-tuning, ICLR 2021, <https://arxiv.org/abs/2006.05987>:
//! the top L layers and the pooler are drawn from N(0, 0.02²), biases 0, layer norms 1.

use anyhow::Result;
use serde::Deserialize;

use super::{Hook, Info, Method, Role, Size, Study, Vector, number, top_k};
use crate::spec::number::{Domain, Standard};

pub const INFO: Info = Info {
    name: "reinit",
    summary: "the top L layers of the encoder and the pooler are drawn anew before fine-tuning",
    equation: "θ ~ N(0, σ²), biases 0, layer norms (1, 0), for the last L layers and the pooler, before the first step",
    paper: "Zhang et al., Revisiting Few-sample BERT Fine-tuning, ICLR 2021, arXiv 2006.05987",
    choices: &[
        "σ is the model's initializer_range, 0.02 for BERT",
        "what was drawn anew no longer has a pre-trained value: nothing pulls or mixes it back",
        "a child network holds what it does not choose as it was drawn; bitfit, lora and fish, which would leave nearly all \
         of it so, are refused",
        "the paper tries L = 1 to 6 of 24 layers and reports 5",
    ],
    numbers: &[number(
        "reinit_layers",
        "L, layers drawn anew, counted from the top; 0 draws the pooler alone",
        Domain::Whole { from: 0, to: 1000 },
        Standard::Whole(2),
    )],
    hooks: &[Hook::Start],
    claims: &[],
    against: &[],
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    reinit_layers: usize,
}

pub struct Reinit {
    numbers: Numbers,
}

impl Reinit {
    pub fn new(numbers: Numbers) -> Reinit {
        Reinit { numbers }
    }
}

impl<V: Vector> Method<V> for Reinit {
    fn check(&self, &Size { layers, .. }: &Size) -> Result<(), String> {
        let l = self.numbers.reinit_layers;
        if l <= layers { Ok(()) } else { Err(format!("reinit_layers is {l}, and the model has {layers} layers")) }
    }

    fn start(&mut self, study: &mut dyn Study<V>) -> Result<()> {
        let parts = study.parts();
        let first = top_k::layers(&parts).saturating_sub(self.numbers.reinit_layers);
        let is_drawn = |layer: Option<usize>| layer.is_some_and(|layer| layer >= first);
        for part in parts.iter().filter(|part| part.role == Role::Pooler || is_drawn(part.layer())) {
            study.draw_anew(part);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::method::testing::Bench;
    use crate::method::{Method, Size};

    #[test]
    fn the_top_layers_and_the_pooler_are_drawn() {
        for (layers, drawn) in [(0, "pooler"), (1, "layer 2 pooler"), (3, "layer 0 layer 1 layer 2 pooler")] {
            let mut bench = Bench::of("reinit", &[("reinit_layers", layers.into())], &[0.0]);
            bench.model_of(3);
            bench.prepare();
            assert_eq!(bench.drawn.join(" "), drawn);
        }
        let bench = Bench::of("reinit", &[("reinit_layers", 7.into())], &[0.0]);
        let model = Size { layers: 6, hidden: 8, parameters: 100, head: 9 };
        assert!(bench.method.check(&model).is_err_and(|why| why.contains("6 layers")));
    }
}
