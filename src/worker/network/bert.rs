//! The BERT-shaped encoders: BERT, RoBERTa, ELECTRA, DistilBERT, ALBERT. Equal to transformers' by eager attention.

use tch::Tensor;

use super::attention::{attend_by_products, attend_from_one};
use super::body::{Body, Step};
use super::layers::{LayerNorm, Leaves, Linear, Table, activate, dropout, embed, types_within};
use crate::arena::Parameters;
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
    words: Table,
    positions: Table,
    types: Option<Table>,
    embeddings_norm: LayerNorm,
    projection: Option<Linear>,
    blocks: Vec<Block>,
}

impl BertBody {
    pub fn over(parameters: &dyn Parameters, config: &Config, shape: &Bert) -> BertBody {
        let leaves = Leaves(parameters);
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

    /// What follows attention in a layer: `context` and what went into the layer, `[N, H]` each → `[N, H]`.
    fn finish_layer(&self, block: &Block, context: &Tensor, x: &Tensor, step: &mut Step) -> Tensor {
        let names = self.shape.names;
        let rate = |is_on: bool| if is_on { step.rates.hidden } else { 0.0 };
        let (attention_rate, outer_rate) = (rate(names.attention_dropout), rate(names.outer_dropout));
        let attended = dropout(block.attention.forward(context, step.pass), attention_rate, step.pass);
        let x = block.attention_norm.forward(&(attended + x), step.pass);
        let inner = activate(self.shape.activation, &block.inner.forward(&x, step.pass)); // [N, inner]
        let outer = dropout(block.outer.forward(&inner, step.pass), outer_rate, step.pass);
        block.outer_norm.forward(&(outer + x), step.pass)
    }
}

impl Body for BertBody {
    fn embed(&self, step: &mut Step) -> Tensor {
        let types = self.types.iter().map(|table| (table, types_within(&step.input.types, table)));
        let positions = match self.shape.first_position {
            0 => step.input.positions.shallow_clone(),
            first => &step.input.positions + first,
        };
        let others: Vec<(&Table, Tensor)> = types.chain([(&self.positions, positions)]).collect();
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
        let context = self.attend(block, x, step);
        self.finish_layer(block, &context, x, step)
    }

    /// All tokens are attended to, and one of each example goes on: what the others would come to, nobody reads.
    fn last_layer(&self, x: &Tensor, rows: &Tensor, step: &mut Step) -> Tensor {
        let block = &self.blocks[self.shape.layers[self.layers() - 1]];
        let all = &step.pass.round(x);
        let own = x.index_select(0, rows); // [N, H] → [B, H]
        let query = block.query.forward(&own, step.pass);
        let others = [&block.key, &block.value].map(|layer| layer.forward(all, step.pass));
        let context = attend_from_one(query, others, self.heads, step.rates.attention, step.input, step.pass);
        self.finish_layer(block, &context, &own, step)
    }
}
