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
    let widths = input.groups.iter().map(|group| group.width).collect();
    let [query, key, value] = [query, key, value].map(|y| lay_out(y, &input.slots, &sizes));
    take_back(by_group(query, widths, [key, value], heads, rate, input, pass), &input.slots)
}

/// The same of one token of each example alone, `query` `[B, heads·size]`: gives `[B, heads·size]`.
pub fn attend_from_one(
    query: Tensor,
    [key, value]: [Tensor; 2],
    heads: i64,
    rate: f64,
    input: &Input,
    pass: &Pass,
) -> Tensor {
    let sizes: Vec<i64> = input.groups.iter().map(Group::size).collect();
    let rows: Vec<i64> = input.groups.iter().map(|group| group.rows).collect();
    let [key, value] = [key, value].map(|y| lay_out(y, &input.slots, &sizes));
    let query = lay_out(query, &input.seats, &rows);
    take_back(by_group(query, vec![1; rows.len()], [key, value], heads, rate, input, pass), &input.seats)
}

/// Rows `[N, …]` at their places in a layout, cut into pieces of these sizes.
fn lay_out(y: Tensor, places: &Option<Tensor>, sizes: &[i64]) -> Vec<Tensor> {
    let y = match places {
        Some(places) => {
            let zeros = y.new_zeros([sizes.iter().sum(), y.size()[1]], (y.kind(), y.device()));
            zeros.index_copy(0, places, &y)
        }
        None => y,
    };
    if sizes.len() == 1 { vec![y] } else { y.split_with_sizes(sizes, 0) }
}

/// The rows at these places of a layout that lies there in pieces, `[N, …]`.
fn take_back(mut pieces: Vec<Tensor>, places: &Option<Tensor>) -> Tensor {
    let all = if pieces.len() == 1 { pieces.remove(0) } else { Tensor::cat(&pieces, 0) };
    match places {
        Some(places) => all.index_select(0, places),
        None => all,
    }
}

/// What the queries of each group attend to, `[B·Q, heads·size]`; of each example there are Q of them.
fn by_group(
    queries: Vec<Tensor>,
    widths: Vec<i64>,
    [keys, values]: [Vec<Tensor>; 2],
    heads: i64,
    rate: f64,
    input: &Input,
    pass: &Pass,
) -> Vec<Tensor> {
    let of_each = queries.into_iter().zip(keys).zip(values).zip(widths.into_iter().zip(&input.groups));
    of_each
        .map(|(((query, key), value), (width, group))| {
            let query = by_head(&query, heads, group.rows, width); // [B·heads, Q, size]
            let [key, value] = [key, value].map(|y| by_head(&y, heads, group.rows, group.width)); // [B·heads, T, size]
            let weights = dropout(scores(&query, &key, heads, group).softmax(-1, Kind::Float), rate, pass);
            by_token(&pass.product(&weights, &value), heads)
        })
        .collect()
}

/// `[B·T, heads·size]` → `[B·heads, T, size]`.
fn by_head(y: &Tensor, heads: i64, rows: i64, width: i64) -> Tensor {
    let size = y.size()[1] / heads;
    let y = y.view([rows, width, heads, size]).transpose(1, 2); // [B, heads, T, size]
    y.reshape([rows * heads, width, size])
}

/// `[B·heads, Q, size]` → `[B·Q, heads·size]`.
fn by_token(context: &Tensor, heads: i64) -> Tensor {
    let (all, width, size) = context.size3().expect("[B·heads, Q, size]");
    let context = context.view([all / heads, heads, width, size]).transpose(1, 2); // [B, Q, heads, size]
    context.reshape([all / heads * width, heads * size])
}

/// Scaled scores, `[B·heads, Q, T]`, fp32.
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
