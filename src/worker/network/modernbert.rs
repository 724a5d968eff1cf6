//! ModernBERT's layers.

use tch::{Kind, Tensor};

use super::attention::{attend, split};
use super::body::{Body, Shared, Step};
use super::input::Input;
use super::layers::{LayerNorm, Leaves, Linear, Table, activate, dropout, embed};
use super::pass::Pass;
use crate::arena::Parameters;
use crate::model::{Attention, Config, ModernBert, Rates};

struct Block {
    /// Index among the kinds of attention.
    kind: usize,
    /// None in the first layer, which the embeddings' norm serves.
    attention_norm: Option<LayerNorm>,
    query_key_value: Linear,
    attention: Linear,
    inner_norm: LayerNorm,
    inner: Linear,
    outer: Linear,
}

pub struct ModernBertBody {
    shape: ModernBert,
    heads: i64,
    head_size: i64,
    /// The unlike ones.
    kinds: Vec<Attention>,
    words: Table,
    embeddings_norm: LayerNorm,
    blocks: Vec<Block>,
    last_norm: LayerNorm,
}

/// Tensors that `share` makes for each kind of attention.
const SHARED: usize = 3;

impl ModernBertBody {
    pub fn over(parameters: &dyn Parameters, config: &Config, shape: &ModernBert) -> ModernBertBody {
        let leaves = Leaves(parameters);
        let eps = config.layer_norm_eps;
        let mut kinds: Vec<Attention> = Vec::new();
        let mut kind_of = |attention: &Attention| {
            kinds.iter().position(|kind| kind == attention).unwrap_or_else(|| {
                kinds.push(*attention);
                kinds.len() - 1
            })
        };
        let block = |(layer, attention): (usize, &Attention)| {
            let part = |name: &str| format!("layers.{layer}.{name}");
            Block {
                kind: kind_of(attention),
                attention_norm: (layer > 0).then(|| leaves.norm(&part("attn_norm"), eps)),
                query_key_value: leaves.linear(&part("attn.Wqkv")),
                attention: leaves.linear(&part("attn.Wo")),
                inner_norm: leaves.norm(&part("mlp_norm"), eps),
                inner: leaves.linear(&part("mlp.Wi")),
                outer: leaves.linear(&part("mlp.Wo")),
            }
        };
        let blocks = shape.attention.iter().enumerate().map(block).collect();
        ModernBertBody {
            shape: shape.clone(),
            heads: config.heads,
            head_size: config.hidden_size / config.heads,
            kinds,
            words: leaves.table("embeddings.tok_embeddings"),
            embeddings_norm: leaves.norm("embeddings.norm", eps),
            blocks,
            last_norm: leaves.norm("final_norm", eps),
        }
    }

    fn attend(&self, block: &Block, x: &Tensor, step: &mut Step) -> Tensor {
        let hidden = self.heads * self.head_size;
        let [cosines, sines, bias] = &step.shared[SHARED * block.kind..][..SHARED] else {
            unreachable!("as `share` makes them")
        };
        let all = block.query_key_value.forward(x, step.pass); // [N, 3·H]
        let [query, key, value] = [0, 1, 2].map(|i| split(&all.narrow(1, i * hidden, hidden), self.heads, step.input));
        // Each pair of features, half a head apart, turns by its token's angle.
        let turn = |y: &Tensor| {
            let [left, right] = [0, 1].map(|i| y.narrow(3, i * self.head_size / 2, self.head_size / 2));
            y * cosines + Tensor::cat(&[-right, left], 3) * sines
        };
        let scores =
            step.pass.product(&turn(&query), &turn(&key).transpose(2, 3)) * (self.head_size as f64).powf(-0.5) + bias;
        attend(&scores, &value, step.rates.attention, step.input, step.pass)
    }
}

impl Body for ModernBertBody {
    /// For each kind of attention: cosines and sines of the angles, `[T, head size]`, and what is added to scores,
    /// `[B, 1, 1 or T, T]`.
    fn share(&self, input: &Input, _: &Rates, _: &Pass) -> Shared {
        let width = input.shape().1;
        let options = (Kind::Float, input.bias.device());
        let places = Tensor::arange(width, options);
        let of_kind = |kind: &Attention| {
            let exponents = Tensor::arange_start_step(0, self.head_size, 2, options) / self.head_size as f64;
            let frequencies = Tensor::full([1], kind.theta, options).pow(&exponents).reciprocal(); // [size/2]
            let angles = places.unsqueeze(1) * frequencies.unsqueeze(0); // [T, size/2]
            let angles = Tensor::cat(&[&angles, &angles], 1);
            let bias = match kind.window {
                Some(window) => {
                    let distance = (places.unsqueeze(1) - places.unsqueeze(0)).abs();
                    input.bias.masked_fill(&distance.gt(window), f64::from(f32::MIN)) // [B, 1, T, T]
                }
                None => input.bias.shallow_clone(),
            };
            [angles.cos(), angles.sin(), bias]
        };
        self.kinds.iter().flat_map(of_kind).collect()
    }

    fn embed(&self, step: &mut Step) -> Tensor {
        let words = embed(&self.words, &step.input.ids, &[], step.pass); // [N, H]
        dropout(self.embeddings_norm.forward(&words, step.pass), step.rates.embeddings, step.pass)
    }

    fn layers(&self) -> usize {
        self.blocks.len()
    }

    fn layer(&self, number: usize, x: &Tensor, step: &mut Step) -> Tensor {
        let block = &self.blocks[number];
        let normed = match &block.attention_norm {
            Some(norm) => norm.forward(x, step.pass),
            None => x.shallow_clone(),
        };
        let context = self.attend(block, &normed, step);
        let x = x + dropout(block.attention.forward(&context, step.pass), step.rates.attention, step.pass);
        let inner = block.inner.forward(&block.inner_norm.forward(&x, step.pass), step.pass); // [N, 2·inner]
        let half = inner.size()[1] / 2;
        let gated = activate(self.shape.activation, &inner.narrow(1, 0, half)) * inner.narrow(1, half, half);
        &x + block.outer.forward(&dropout(gated, step.rates.hidden, step.pass), step.pass)
    }

    fn finish(&self, x: Tensor, step: &mut Step) -> Tensor {
        self.last_norm.forward(&x, step.pass)
    }
}
