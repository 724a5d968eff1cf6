//! XLNet's layers, without the second stream that only pre-training needs. Relative positions do not care where padding
//! stands, so the program of transformers, which pads on the left, gives the same.

use tch::{Kind, Tensor};

use super::attention::{attend, split};
use super::body::{Body, Shared, Step};
use super::input::Input;
use super::layers::{LayerNorm, Leaf, Leaves, Linear, Table, activate, dropout, embed};
use super::pass::Pass;
use crate::arena::Parameters;
use crate::model::{Config, Rates, XlNet};

struct Block {
    /// `[H, heads, size]` each.
    query: Leaf,
    key: Leaf,
    value: Leaf,
    attention: Leaf,
    position: Leaf,
    /// `[heads, size]` each: added to queries that meet content, positions and segments.
    content_bias: Leaf,
    position_bias: Leaf,
    segment_bias: Leaf,
    /// `[2, heads, size]`: same segment, another one.
    segments: Leaf,
    attention_norm: LayerNorm,
    inner: Linear,
    outer: Linear,
    outer_norm: LayerNorm,
}

pub struct XlNetBody {
    shape: XlNet,
    hidden: i64,
    heads: i64,
    words: Table,
    blocks: Vec<Block>,
}

impl XlNetBody {
    pub fn over(parameters: &dyn Parameters, config: &Config, shape: &XlNet) -> XlNetBody {
        let leaves = Leaves(parameters);
        let eps = config.layer_norm_eps;
        let block = |layer: usize| {
            let part = |name: &str| format!("layer.{layer}.{name}");
            let own = |name: &str| leaves.leaf(&part(&format!("rel_attn.{name}")));
            Block {
                query: own("q"),
                key: own("k"),
                value: own("v"),
                attention: own("o"),
                position: own("r"),
                content_bias: own("r_w_bias"),
                position_bias: own("r_r_bias"),
                segment_bias: own("r_s_bias"),
                segments: own("seg_embed"),
                attention_norm: leaves.norm(&part("rel_attn.layer_norm"), eps),
                inner: leaves.linear(&part("ff.layer_1")),
                outer: leaves.linear(&part("ff.layer_2")),
                outer_norm: leaves.norm(&part("ff.layer_norm"), eps),
            }
        };
        XlNetBody {
            shape: shape.clone(),
            hidden: config.hidden_size,
            heads: config.heads,
            words: leaves.table("word_embedding"),
            blocks: (0..config.layers).map(block).collect(),
        }
    }

    /// A projection, or what stands in for it, as a matrix `[H, heads·size]`.
    fn matrix(&self, leaf: &Leaf, pass: &Pass) -> Tensor {
        pass.weight(leaf.part, &leaf.tensor).reshape([self.hidden, self.heads * self.shape.head_size])
    }

    /// Sines and cosines of the distances T, T − 1, …, 1 − T: `[2T, H]`.
    fn distances(&self, width: i64, like: &Tensor) -> Tensor {
        let options = (Kind::Float, like.device());
        let frequencies = Tensor::arange_start_step(0, self.hidden, 2, options) / self.hidden as f64;
        let frequencies = Tensor::full([1], 10_000.0, options).pow(&frequencies).reciprocal(); // [H/2]
        let mut distances = Tensor::arange_start_step(width, -width, -1, options);
        if self.shape.clamp > 0 {
            distances = distances.clamp(-self.shape.clamp, self.shape.clamp);
        }
        let angles = distances.unsqueeze(1) * frequencies.unsqueeze(0); // [2T, H/2]
        Tensor::cat(&[angles.sin(), angles.cos()], 1)
    }

    fn attend(&self, block: &Block, x: &Tensor, step: &mut Step) -> Tensor {
        let x = step.pass.round(x);
        let [distances, other_segment] = &step.shared[..] else { unreachable!("as `share` makes them") };
        let project = |leaf: &Leaf| step.pass.product(&x, &self.matrix(leaf, step.pass)); // [N, H] → [N, heads·size]
        let [query, key, value] =
            [&block.query, &block.key, &block.value].map(|leaf| split(&project(leaf), self.heads, step.input));
        let (size, width) = (self.shape.head_size, step.input.shape().1);
        // [heads, size] → [heads, 1, size], for every token.
        let with = |bias: &Leaf| &query + bias.tensor.unsqueeze(1);

        let content = step.pass.product(&with(&block.content_bias), &key.transpose(2, 3)); // [B, heads, T, T]
        let positions = step.pass.product(distances, &self.matrix(&block.position, step.pass)); // [2T, heads·size]
        let positions = positions.view([2 * width, self.heads, size]).permute([1, 2, 0]); // [heads, size, 2T]
        let position = shift(&step.pass.product(&with(&block.position_bias), &positions)); // [B, heads, T, 2T] → [B, heads, T, T]
        let segment = step.pass.product(&with(&block.segment_bias), &block.segments.tensor.permute([1, 2, 0])); // [B, heads, T, 2]
        let segment = segment.narrow(3, 1, 1).where_self(other_segment, &segment.narrow(3, 0, 1));

        let scores = (content + position + segment) * (size as f64).powf(-0.5) + &step.input.bias;
        attend(&scores, &value, step.rates.attention, step.input, step.pass)
    }
}

/// Takes for the query at i and the key at j the score of distance i − j, which stands in column T − i + j: `[…, T, 2T]` →
/// `[…, T, T]`. Read row by row with one entry less a row, each row begins one further to the left.
fn shift(scores: &Tensor) -> Tensor {
    let [batch, heads, width, columns] = scores.size()[..] else { unreachable!("[B, heads, T, 2T]") };
    let scores = scores.reshape([batch, heads, columns, width]).narrow(2, 1, columns - 1);
    scores.reshape([batch, heads, width, columns - 1]).narrow(3, 0, width)
}

impl Body for XlNetBody {
    /// Distances `[2T, H]`, and whether two tokens lie in unlike segments, `[B, 1, T, T]`. Dropout of the distances is
    /// drawn once for a batch; transformers draws it for each example.
    fn share(&self, input: &Input, rates: &Rates, pass: &Pass) -> Shared {
        let (batch, width) = input.shape();
        let distances = dropout(self.distances(width, &input.bias), rates.hidden, pass);
        let types = input.types.new_zeros([batch * width], (Kind::Int64, input.types.device()));
        let types = types.index_copy(0, &input.places, &input.types).view([batch, 1, width]);
        let other_segment = types.unsqueeze(3).ne_tensor(&types.unsqueeze(2)); // [B, 1, T, T]
        vec![distances, other_segment]
    }

    fn embed(&self, step: &mut Step) -> Tensor {
        dropout(embed(&self.words, &step.input.ids, &[], step.pass), step.rates.embeddings, step.pass)
    }

    fn layers(&self) -> usize {
        self.blocks.len()
    }

    fn layer(&self, number: usize, x: &Tensor, step: &mut Step) -> Tensor {
        let (block, rate) = (&self.blocks[number], step.rates.hidden);
        let context = self.attend(block, x, step); // [N, heads·size]
        let attended = step.pass.product(&context, &self.matrix(&block.attention, step.pass).transpose(0, 1));
        let x = block.attention_norm.forward(&(dropout(attended, rate, step.pass) + x), step.pass);
        let inner = activate(self.shape.activation, &block.inner.forward(&x, step.pass)); // [N, inner]
        let outer = block.outer.forward(&dropout(inner, rate, step.pass), step.pass);
        block.outer_norm.forward(&(dropout(outer, rate, step.pass) + x), step.pass)
    }

    fn finish(&self, x: Tensor, step: &mut Step) -> Tensor {
        dropout(x, step.rates.hidden, step.pass)
    }
}
