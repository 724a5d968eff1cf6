//! From packed tokens to the padded layout that attention needs, and back.

use tch::{Kind, Tensor};

use super::input::{Group, Input};
use super::layers::dropout;
use super::pass::Pass;

/// `[N, heads·size]` → `[B, heads, T, size]`.
pub fn split(y: &Tensor, heads: i64, input: &Input) -> Tensor {
    let ((batch, width), (_, all)) = (input.shape(), y.size2().expect("[N, heads·size]"));
    let y = match is_padded(y, input) {
        true => y.new_zeros([batch * width, all], (y.kind(), y.device())).index_copy(0, &input.places, y),
        false => y.shallow_clone(),
    };
    y.view([batch, width, heads, all / heads]).transpose(1, 2)
}

/// `[B, heads, T, size]` → `[N, heads·size]`.
pub fn join(context: &Tensor, input: &Input) -> Tensor {
    let (batch, width) = input.shape();
    let rows = context.transpose(1, 2).contiguous().view([batch * width, -1]); // [B·T, heads·size]
    if input.places.size()[0] < batch * width { rows.index_select(0, &input.places) } else { rows }
}

/// Scores `[B, heads, T, T]` to what is attended to, `[N, heads·size]`; `value` is `[B, heads, T, size]`.
pub fn attend(scores: &Tensor, value: &Tensor, rate: f64, input: &Input, pass: &Pass) -> Tensor {
    let weights = dropout(scores.softmax(-1, Kind::Float), rate, pass);
    join(&pass.product(&weights, value), input)
}

/// A batch of equal lengths is its own padded layout.
fn is_padded(packed: &Tensor, input: &Input) -> bool {
    let (batch, width) = input.shape();
    packed.size()[0] < batch * width
}

/// Attention of tokens `[N, heads·size]`, each to those of its example, by scores that are products alone: group by group,
/// so that little is computed on padding. Gives `[N, heads·size]`.
pub fn attend_by_products(
    [query, key, value]: [Tensor; 3],
    heads: i64,
    rate: f64,
    input: &Input,
    pass: &Pass,
) -> Tensor {
    let sizes: Vec<i64> = input.groups.iter().map(Group::size).collect();
    let lay_out = |y: Tensor| {
        let y = match &input.slots {
            Some(slots) => {
                y.new_zeros([sizes.iter().sum(), y.size()[1]], (y.kind(), y.device())).index_copy(0, slots, &y)
            }
            None => y,
        };
        if sizes.len() == 1 { vec![y] } else { y.split_with_sizes(&sizes, 0) }
    };
    let parts = lay_out(query).into_iter().zip(lay_out(key)).zip(lay_out(value)).zip(&input.groups);
    let mut contexts: Vec<Tensor> = parts
        .map(|(((query, key), value), group)| {
            let [query, key, value] = [query, key, value].map(|y| by_head(&y, heads, group)); // [B·heads, T, size]
            let weights = dropout(scores(&query, &key, heads, group).softmax(-1, Kind::Float), rate, pass);
            by_token(&pass.product(&weights, &value), heads, group)
        })
        .collect();
    let all = if contexts.len() == 1 { contexts.remove(0) } else { Tensor::cat(&contexts, 0) };
    match &input.slots {
        Some(slots) => all.index_select(0, slots),
        None => all,
    }
}

/// `[B·T, heads·size]` → `[B·heads, T, size]`.
fn by_head(y: &Tensor, heads: i64, group: &Group) -> Tensor {
    let size = y.size()[1] / heads;
    let y = y.view([group.rows, group.width, heads, size]).transpose(1, 2); // [B, heads, T, size]
    y.reshape([group.rows * heads, group.width, size])
}

/// `[B·heads, T, size]` → `[B·T, heads·size]`.
fn by_token(context: &Tensor, heads: i64, group: &Group) -> Tensor {
    let size = context.size()[2];
    let context = context.view([group.rows, heads, group.width, size]).transpose(1, 2); // [B, T, heads, size]
    context.reshape([group.size(), heads * size])
}

/// Scaled scores, `[B·heads, T, T]`, fp32.
fn scores(query: &Tensor, key: &Tensor, heads: i64, group: &Group) -> Tensor {
    let (scale, keys) = ((query.size()[2] as f64).powf(-0.5), key.transpose(1, 2));
    // [B, 1, T] → [B·heads, 1, T].
    let bias = group.bias.as_ref().map(|bias| bias.repeat_interleave_self_int(heads, 0, None));
    if query.kind() == Kind::Float {
        let zero = || query.new_zeros([1, 1, 1], (Kind::Float, query.device()));
        return bias.unwrap_or_else(zero).baddbmm(query, &keys, 1.0, scale);
    }
    let scores = query.bmm(&keys) * scale;
    match bias {
        Some(bias) => scores + bias,
        None => scores,
    }
}
