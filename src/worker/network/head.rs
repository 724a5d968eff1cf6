//! From the last hidden states to logits.

use tch::{Kind, Tensor};

use super::body::Step;
use super::input::Input;
use super::layers::{LayerNorm, Leaves, Linear, activate, dropout};
use crate::arena::Parameters;
use crate::method::Role;
use crate::model::{Config, Dense, Head, Summary};

pub struct HeadLayers {
    summary: Summary,
    dense: Option<(Dense, Linear, Option<LayerNorm>)>,
    projection: Linear,
}

impl HeadLayers {
    pub fn over(parameters: &dyn Parameters, config: &Config) -> HeadLayers {
        let leaves = Leaves(parameters);
        let Head { summary, dense, projection } = &config.head;
        let dense = dense.as_ref().map(|dense| {
            let norm = dense.norm.map(|(name, _)| leaves.norm(name, config.layer_norm_eps));
            (dense.clone(), leaves.linear(dense.name), norm)
        });
        HeadLayers { summary: *summary, dense, projection: leaves.linear(projection) }
    }

    /// The tokens that the head reads, one of each example, `[B]`; `None` where it reads all.
    pub fn rows<'a>(&self, input: &'a Input) -> Option<&'a Tensor> {
        match self.summary {
            Summary::First => Some(&input.firsts),
            Summary::Last => Some(&input.lasts),
            Summary::Mean => None,
        }
    }

    /// What of the last layer's output stands for each example, `[B, H]`: through the dense layer where pre-training
    /// made one, before its dropout.
    pub fn pooled(&self, x: &Tensor, step: &mut Step) -> Tensor {
        let summary = self.summarise(x, step);
        if self.has_pooler() { self.dense(&summary, step) } else { summary }
    }

    /// What the last layer gave → logits `[B, labels]`.
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
            // [B, H] already.
            Summary::First | Summary::Last => x.shallow_clone(),
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
