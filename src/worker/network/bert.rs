//! The BERT-shaped encoders: BERT, RoBERTa, ELECTRA, DistilBERT, ALBERT. Equal to transformers' by eager attention.

use tch::Tensor;

use super::attention::attend_by_products;
use super::body::{Body, Step};
use super::layers::{LayerNorm, Leaf, Leaves, Linear, activate, dropout, embed, types_within};
use crate::arena::Arena;
use crate::model::{Bert, Config};

struct Block {
    query: Linear,
    key: Linear,
    value: Linear,
    attention: Linear,
    attention_norm: LayerNorm,
    inner: Linear,
    outer: Linear,
    outer_norm: LayerNorm,
}

pub struct BertBody {
    shape: Bert,
    heads: i64,
    words: Leaf,
    positions: Leaf,
    types: Option<Leaf>,
    embeddings_norm: LayerNorm,
    projection: Option<Linear>,
    blocks: Vec<Block>,
}

impl BertBody {
    pub fn over(arena: &Arena, config: &Config, shape: &Bert) -> BertBody {
        let leaves = Leaves(arena);
        let (names, eps) = (shape.names, config.layer_norm_eps);
        let block = |block: &String| {
            let part = |name: &str| format!("{block}.{name}");
            Block {
                query: leaves.linear(&part(names.query)),
                key: leaves.linear(&part(names.key)),
                value: leaves.linear(&part(names.value)),
                attention: leaves.linear(&part(names.attention)),
                attention_norm: leaves.norm(&part(names.attention_norm), eps),
                inner: leaves.linear(&part(names.inner)),
                outer: leaves.linear(&part(names.outer)),
                outer_norm: leaves.norm(&part(names.outer_norm), eps),
            }
        };
        BertBody {
            heads: config.heads,
            words: leaves.table("embeddings.word_embeddings"),
            positions: leaves.table("embeddings.position_embeddings"),
            types: (shape.type_rows > 0).then(|| leaves.table("embeddings.token_type_embeddings")),
            embeddings_norm: leaves.norm("embeddings.LayerNorm", eps),
            projection: shape.is_projected.then(|| leaves.linear(names.projection)),
            blocks: shape.blocks.iter().map(block).collect(),
            shape: shape.clone(),
        }
    }

    /// Multi-head self-attention before its output projection, `[N, H]`.
    fn attend(&self, block: &Block, x: &Tensor, step: &mut Step) -> Tensor {
        let x = &step.pass.round(x);
        let projected = [&block.query, &block.key, &block.value].map(|layer| layer.forward(x, step.pass));
        attend_by_products(projected, self.heads, step.rates.attention, step.input, step.pass)
    }
}

impl Body for BertBody {
    fn embed(&self, step: &mut Step) -> Tensor {
        let types = self.types.iter().map(|table| (table, types_within(&step.input.types, table)));
        let positions = match self.shape.first_position {
            0 => step.input.positions.shallow_clone(),
            first => &step.input.positions + first,
        };
        let others: Vec<(&Leaf, Tensor)> = types.chain([(&self.positions, positions)]).collect();
        let embedded = embed(&self.words, &step.input.ids, &others, step.pass); // [N, E]
        let x = dropout(self.embeddings_norm.forward(&embedded, step.pass), step.rates.embeddings, step.pass);
        match &self.projection {
            Some(projection) => projection.forward(&x, step.pass), // [N, E] → [N, H]
            None => x,
        }
    }

    fn layers(&self) -> usize {
        self.shape.layers.len()
    }

    fn layer(&self, number: usize, x: &Tensor, step: &mut Step) -> Tensor {
        let block = &self.blocks[self.shape.layers[number]];
        let names = self.shape.names;
        let rate = |is_on: bool| if is_on { step.rates.hidden } else { 0.0 };
        let (attention_rate, outer_rate) = (rate(names.attention_dropout), rate(names.outer_dropout));
        let context = self.attend(block, x, step);
        let attended = dropout(block.attention.forward(&context, step.pass), attention_rate, step.pass);
        let x = block.attention_norm.forward(&(attended + x), step.pass);
        let inner = activate(self.shape.activation, &block.inner.forward(&x, step.pass)); // [N, inner]
        let outer = dropout(block.outer.forward(&inner, step.pass), outer_rate, step.pass);
        block.outer_norm.forward(&(outer + x), step.pass)
    }
}
