//! DeBERTa's layers: a token attends to another by its content and, apart from that, by how far away it stands.

use tch::{Kind, Tensor};

use super::attention::{attend, split};
use super::body::{Body, Shared, Step};
use super::input::Input;
use super::layers::{LayerNorm, Leaf, Leaves, Linear, Table, activate, dropout, embed, types_within};
use super::pass::Pass;
use crate::arena::Parameters;
use crate::model::{Config, Deberta, Rates, Relative};

struct Block {
    query: Linear,
    key: Linear,
    value: Linear,
    /// Of positions, where content's own do not serve.
    position_key: Option<Linear>,
    position_query: Option<Linear>,
    attention: Linear,
    attention_norm: LayerNorm,
    inner: Linear,
    outer: Linear,
    outer_norm: LayerNorm,
}

/// The table of relative positions, which all layers share.
struct Distances {
    relative: Relative,
    /// `[2·span, H]`.
    table: Leaf,
    norm: Option<LayerNorm>,
}

pub struct DebertaBody {
    shape: Deberta,
    heads: i64,
    words: Table,
    positions: Option<Table>,
    types: Option<Table>,
    projection: Option<Linear>,
    embeddings_norm: LayerNorm,
    distances: Option<Distances>,
    blocks: Vec<Block>,
}

impl DebertaBody {
    pub fn over(parameters: &dyn Parameters, config: &Config, shape: &Deberta) -> DebertaBody {
        let leaves = Leaves(parameters);
        let eps = config.layer_norm_eps;
        let own = shape.relative.as_ref().filter(|relative| !relative.is_shared);
        let has_key = own.is_some_and(|relative| relative.content_to_position);
        let has_query = own.is_some_and(|relative| relative.position_to_content);
        let block = |layer: usize| {
            let part = |name: &str| format!("encoder.layer.{layer}.{name}");
            Block {
                query: leaves.linear(&part("attention.self.query_proj")),
                key: leaves.linear(&part("attention.self.key_proj")),
                value: leaves.linear(&part("attention.self.value_proj")),
                position_key: has_key.then(|| leaves.linear(&part("attention.self.pos_key_proj"))),
                position_query: has_query.then(|| leaves.linear(&part("attention.self.pos_query_proj"))),
                attention: leaves.linear(&part("attention.output.dense")),
                attention_norm: leaves.norm(&part("attention.output.LayerNorm"), eps),
                inner: leaves.linear(&part("intermediate.dense")),
                outer: leaves.linear(&part("output.dense")),
                outer_norm: leaves.norm(&part("output.LayerNorm"), eps),
            }
        };
        let distances = shape.relative.as_ref().map(|relative| Distances {
            relative: relative.clone(),
            table: leaves.leaf("encoder.rel_embeddings.weight"),
            norm: relative.is_normed.then(|| leaves.norm("encoder.LayerNorm", eps)),
        });
        DebertaBody {
            heads: config.heads,
            words: leaves.table("embeddings.word_embeddings"),
            positions: (shape.position_rows > 0).then(|| leaves.table("embeddings.position_embeddings")),
            types: (shape.type_rows > 0).then(|| leaves.table("embeddings.token_type_embeddings")),
            projection: (shape.embedding_size != config.hidden_size).then(|| leaves.linear("embeddings.embed_proj")),
            embeddings_norm: leaves.norm("embeddings.LayerNorm", eps),
            distances,
            blocks: (0..config.layers).map(block).collect(),
            shape: shape.clone(),
        }
    }

    fn attend(&self, block: &Block, x: &Tensor, step: &mut Step) -> Tensor {
        let (x, size) = (&step.pass.round(x), x.size()[1] / self.heads);
        let query = split(&block.query.forward(x, step.pass), self.heads, step.input);
        let key = split(&block.key.forward(x, step.pass), self.heads, step.input);
        let value = split(&block.value.forward(x, step.pass), self.heads, step.input);
        let relative = self.distances.as_ref().map(|distances| &distances.relative);
        let terms = 1 + relative.map_or(0, |r| i64::from(r.content_to_position) + i64::from(r.position_to_content));
        let scale = ((size * terms) as f64).sqrt();
        let mut scores = query.matmul(&(key.transpose(2, 3) / scale)); // [B, heads, T, T]
        if let Some(distances) = &self.distances {
            let rows = distances.rows(step); // [2·span, H]
            let [to_position, to_content] = &step.shared[..] else { unreachable!("as `share` makes them") };
            // [2·span, H] → [heads, size, 2·span]
            let by_head = |y: Tensor| y.view([-1, self.heads, size]).permute([1, 2, 0]);
            // [T, T] for every example and head.
            let pick = |scores: Tensor, index: &Tensor| {
                let [batch, heads, width, _] = scores.size()[..] else { unreachable!("[B, heads, T, 2·span]") };
                scores.gather(3, &index.expand([batch, heads, width, width], false), false) / scale
            };
            if distances.relative.content_to_position {
                let keys = by_head(block.position_key.as_ref().unwrap_or(&block.key).forward_shared(&rows, step.pass));
                scores += pick(query.matmul(&keys), to_position);
            }
            if distances.relative.position_to_content {
                let queries =
                    by_head(block.position_query.as_ref().unwrap_or(&block.query).forward_shared(&rows, step.pass));
                // From the key's place the query stands the other way.
                scores += pick(key.matmul(&queries), to_content).transpose(2, 3);
            }
        }
        attend(&(scores + &step.input.bias), &value, step.rates.attention, step.input, step.pass)
    }
}

impl Distances {
    /// The rows of all distances as a layer uses them, `[2·span, H]`.
    fn rows(&self, step: &mut Step) -> Tensor {
        let rows = match &self.norm {
            Some(norm) => norm.forward_shared(&self.table.tensor, step.pass),
            None => self.table.tensor.shallow_clone(),
        };
        dropout(rows, step.rates.hidden, step.pass)
    }

    /// Which row stands for the distance from token i to token j, `[T, T]`, and for that from j to i.
    fn indices(&self, width: i64, like: &Tensor) -> Shared {
        let Relative { span, buckets, longest, .. } = self.relative;
        let places = Tensor::arange(width, (Kind::Int64, like.device()));
        let mut distance = places.unsqueeze(1) - places.unsqueeze(0); // i − j
        if buckets > 0 {
            distance = log_bucket(&distance, buckets / 2, longest);
        }
        let row = |distance: Tensor| (distance + span).clamp(0, 2 * span - 1);
        vec![row(distance.shallow_clone()), row(-distance)]
    }
}

/// Distances beyond `middle` share buckets, ever wider ones, up to that of `longest`. In fp32, as the borders of buckets
/// depend on rounding.
fn log_bucket(distance: &Tensor, middle: i64, longest: i64) -> Tensor {
    let size = distance.abs().clamp_min(1).to_kind(Kind::Float);
    let ratio = (((longest - 1) as f64 / middle as f64) as f32).ln();
    let log = ((&size / middle as f64).log() / f64::from(ratio) * (middle - 1) as f64).ceil() + middle;
    let bucket = (log * distance.sign()).to_kind(Kind::Int64);
    bucket.where_self(&distance.abs().gt(middle), distance)
}

impl Body for DebertaBody {
    fn share(&self, input: &Input, _: &Rates, _: &Pass) -> Shared {
        let width = input.shape().1;
        self.distances.as_ref().map_or_else(Vec::new, |distances| distances.indices(width, &input.bias))
    }

    fn embed(&self, step: &mut Step) -> Tensor {
        let positions = self.positions.iter().map(|table| (table, step.input.positions.shallow_clone()));
        let types = self.types.iter().map(|table| (table, types_within(&step.input.types, table)));
        let others: Vec<(&Table, Tensor)> = positions.chain(types).collect();
        let mut x = embed(&self.words, &step.input.ids, &others, step.pass); // [N, E]
        if let Some(projection) = &self.projection {
            x = projection.forward(&x, step.pass); // [N, E] → [N, H]
        }
        dropout(self.embeddings_norm.forward(&x, step.pass), step.rates.embeddings, step.pass)
    }

    fn layers(&self) -> usize {
        self.blocks.len()
    }

    fn layer(&self, number: usize, x: &Tensor, step: &mut Step) -> Tensor {
        let (block, rate) = (&self.blocks[number], step.rates.hidden);
        let context = self.attend(block, x, step);
        let attended = dropout(block.attention.forward(&context, step.pass), rate, step.pass);
        let x = block.attention_norm.forward(&(attended + x), step.pass);
        let inner = activate(self.shape.activation, &block.inner.forward(&x, step.pass)); // [N, inner]
        let outer = dropout(block.outer.forward(&inner, step.pass), rate, step.pass);
        block.outer_norm.forward(&(outer + x), step.pass)
    }
}
