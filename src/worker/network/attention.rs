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
    let sizes: Vec<i64> = input.groups.iter().map(|group| group.tokens).collect();
    let cut = |y: Tensor| if sizes.len() == 1 { vec![y] } else { y.split_with_sizes(&sizes, 0) };
    let parts = cut(query).into_iter().zip(cut(key)).zip(cut(value)).zip(&input.groups);
    let mut contexts: Vec<Tensor> = parts
        .map(|(((query, key), value), group)| {
            let [query, key, value] = [query, key, value].map(|y| lay_out(&y, heads, group)); // [B·heads, T, size]
            let weights = dropout(scores(&query, &key, heads, group).softmax(-1, Kind::Float), rate, pass);
            take_up(&pass.product(&weights, &value), heads, group)
        })
        .collect();
    if contexts.len() == 1 { contexts.remove(0) } else { Tensor::cat(&contexts, 0) }
}

/// `[n, heads·size]` → `[B·heads, T, size]`.
fn lay_out(y: &Tensor, heads: i64, group: &Group) -> Tensor {
    let (rows, width, all) = (group.rows, group.width, y.size()[1]);
    let y = match &group.places {
        Some(places) => y.new_zeros([rows * width, all], (y.kind(), y.device())).index_copy(0, places, y),
        None => y.shallow_clone(),
    };
    let by_head = y.view([rows, width, heads, all / heads]).transpose(1, 2); // [B, heads, T, size]
    by_head.reshape([rows * heads, width, all / heads])
}

/// `[B·heads, T, size]` → `[n, heads·size]`.
fn take_up(context: &Tensor, heads: i64, group: &Group) -> Tensor {
    let (rows, width, size) = (group.rows, group.width, context.size()[2]);
    let by_token = context.view([rows, heads, width, size]).transpose(1, 2); // [B, T, heads, size]
    let all = by_token.reshape([rows * width, heads * size]);
    match &group.places {
        Some(places) => all.index_select(0, places),
        None => all,
    }
}

/// Scaled scores, `[B·heads, T, T]`, fp32.
fn scores(query: &Tensor, key: &Tensor, heads: i64, group: &Group) -> Tensor {
    let (scale, keys) = ((query.size()[2] as f64).powf(-0.5), key.transpose(1, 2));
    let of_heads = || group.bias.repeat_interleave_self_int(heads, 0, None); // [B, 1, T] → [B·heads, 1, T]
    match (query.kind(), &group.places) {
        (Kind::Float, None) => {
            query.new_zeros([1, 1, 1], (Kind::Float, query.device())).baddbmm(query, &keys, 0.0, scale)
        }
        (Kind::Float, Some(_)) => of_heads().baddbmm(query, &keys, 1.0, scale),
        _ => query.bmm(&keys) * scale + of_heads(),
    }
}
