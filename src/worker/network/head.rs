//! From the last hidden states to logits.

use tch::{Kind, Tensor};

use super::body::Step;
use super::layers::{LayerNorm, Leaves, Linear, activate, dropout};
use crate::arena::Arena;
use crate::method::Role;
use crate::model::{Config, Dense, Head, Summary};

pub struct HeadLayers {
    summary: Summary,
    dense: Option<(Dense, Linear, Option<LayerNorm>)>,
    projection: Linear,
}

impl HeadLayers {
    pub fn over(arena: &Arena, config: &Config) -> HeadLayers {
        let leaves = Leaves(arena);
        let Head { summary, dense, projection } = &config.head;
        let dense = dense.as_ref().map(|dense| {
            let norm = dense.norm.map(|(name, _)| leaves.norm(name, config.layer_norm_eps));
            (dense.clone(), leaves.linear(dense.name), norm)
        });
        HeadLayers { summary: *summary, dense, projection: leaves.linear(projection) }
    }

    /// What of the hidden states `[N, H]` stands for each example, `[B, H]`: through the dense layer where pre-training
    /// made one, before its dropout.
    pub fn pooled(&self, x: &Tensor, step: &mut Step) -> Tensor {
        let summary = self.summarise(x, step);
        if self.has_pooler() { self.dense(&summary, step) } else { summary }
    }

    /// `[N, H]` → logits `[B, labels]`.
    pub fn forward(&self, x: &Tensor, step: &mut Step) -> Tensor {
        let summary = self.summarise(x, step);
        let pooled = dropout(self.dense(&summary, step), step.rates.head, step.pass);
        self.projection.forward(&pooled, step.pass)
    }

    fn has_pooler(&self) -> bool {
        self.dense.as_ref().is_some_and(|(dense, ..)| dense.role == Role::Pooler)
    }

    fn summarise(&self, x: &Tensor, step: &Step) -> Tensor {
        match self.summary {
            Summary::First => x.index_select(0, &step.input.firsts), // [N, H] → [B, H]
            Summary::Last => x.index_select(0, &step.input.lasts),
            Summary::Mean => {
                let examples = x.split_with_sizes(step.input.lengths.as_slice(), 0);
                let means: Vec<Tensor> = examples.iter().map(|own| own.mean_dim(0, false, Kind::Float)).collect();
                Tensor::stack(&means, 0) // B × [H] → [B, H]
            }
        }
    }

    fn dense(&self, x: &Tensor, step: &mut Step) -> Tensor {
        let Some((shape, layer, norm)) = &self.dense else { return x.shallow_clone() };
        let x = dropout(x.shallow_clone(), step.rates.dense, step.pass);
        let y = activate(shape.activation, &layer.forward(&x, step.pass));
        match norm {
            Some(norm) => norm.forward(&y, step.pass),
            None => y,
        }
    }
}
