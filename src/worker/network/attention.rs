//! From packed tokens to the padded layout that attention needs, and back.

use tch::{Kind, Tensor};

use super::input::Input;
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
