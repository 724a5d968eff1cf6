//! A batch as an encoder reads it. No work is done on padding: tokens lie packed, `[N, H]`, one example behind the other,
//! and only attention, where tokens meet, lays them out as `[B, T]`.

use tch::{Device, Tensor};

use crate::task::batch::Batch;

/// B examples, N tokens, T tokens in the longest.
pub struct Input {
    /// Token ids, `[N]`, int64.
    pub ids: Tensor,
    /// Token types, `[N]`, int64.
    pub types: Tensor,
    /// Position of each token in its example, `[N]`, int64.
    pub positions: Tensor,
    /// Index of each example's first token, `[B]`, int64.
    pub firsts: Tensor,
    /// Index of each example's last token, `[B]`, int64.
    pub lasts: Tensor,
    /// Tokens of each example.
    pub lengths: Vec<i64>,
    /// Where each token stands in the padded layout, `[N]`, int64, in 0..B·T.
    pub places: Tensor,
    /// Added to attention scores: 0 at tokens, the most negative number at padding, `[B, 1, 1, T]`, fp32.
    pub bias: Tensor,
    /// The same examples in groups of like lengths, in their order.
    pub groups: Vec<Group>,
}

/// Examples that are laid out together: B of them, n tokens, T in the longest.
pub struct Group {
    pub rows: i64,
    pub tokens: i64,
    pub width: i64,
    /// Where each token stands in the padded layout, `[n]`, int64, in 0..B·T; `None` where nothing is padded.
    pub places: Option<Tensor>,
    /// 0 at tokens, the most negative number at padding, `[B, 1, T]`, fp32.
    pub bias: Tensor,
}

/// What a further group costs beside scores: so many of them, of all heads, could be computed meanwhile.
const GROUP: i64 = 4096;

/// Cuts examples into groups so that few scores are computed on padding: the number of examples in each group.
fn cut(lengths: &[i64]) -> Vec<usize> {
    // The least cost of the first `end` examples, and where their last group begins.
    let mut best: Vec<(i64, usize)> = vec![(0, 0)];
    for end in 1..=lengths.len() {
        let mut width = 0;
        let of_last = (0..end).rev().map(|from| {
            width = width.max(lengths[from]);
            (best[from].0 + (end - from) as i64 * width * width + GROUP, from)
        });
        let least = of_last.min().unwrap_or_default();
        best.push(least);
    }
    let begins = std::iter::successors(Some(lengths.len()), |&end| (end > 0).then(|| best[end].1));
    let mut ends: Vec<usize> = begins.collect();
    ends.reverse();
    ends.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

impl Group {
    pub(super) fn of(lengths: &[i64], device: Device) -> Group {
        let (rows, width) = (lengths.len() as i64, lengths.iter().copied().max().unwrap_or(0));
        let tokens = lengths.iter().sum();
        let mut bias = vec![f32::MIN; (rows * width) as usize];
        let mut places = Vec::with_capacity(tokens as usize);
        for (row, &length) in lengths.iter().enumerate() {
            let from = row as i64 * width;
            bias[from as usize..(from + length) as usize].fill(0.0);
            places.extend(from..from + length);
        }
        let places = (tokens < rows * width).then(|| Tensor::from_slice(&places).to_device(device));
        let bias = Tensor::from_slice(&bias).view([rows, 1, width]).to_device(device); // [B, 1, T]
        Group { rows, tokens, width, places, bias }
    }
}

impl Input {
    pub fn of(batch: &Batch, device: Device) -> Input {
        let (rows, width) = (batch.rows, batch.width);
        let tokens = batch.lengths.iter().sum();
        let mut bias = vec![f32::MIN; rows * width];
        let mut packed: [Vec<i64>; 4] = std::array::from_fn(|_| Vec::with_capacity(tokens));
        let [ids, types, positions, places] = &mut packed;
        let mut firsts = Vec::with_capacity(rows);
        for (row, &length) in batch.lengths.iter().enumerate() {
            let from = row * width;
            bias[from..from + length].fill(0.0);
            firsts.push(ids.len() as i64);
            ids.extend(&batch.ids[from..from + length]);
            types.extend(&batch.types[from..from + length]);
            positions.extend(0..length as i64);
            places.extend(from as i64..(from + length) as i64);
        }
        let lengths: Vec<i64> = batch.lengths.iter().map(|&length| length as i64).collect();
        let lasts: Vec<i64> = firsts.iter().zip(&lengths).map(|(first, length)| first + length - 1).collect();
        let list = |numbers: &[i64]| Tensor::from_slice(numbers).to_device(device);
        let [ids, types, positions, places] = packed.map(|numbers| list(&numbers));
        // A GPU computes on padding in less time than it takes to start one more group.
        let counts = if device == Device::Cpu { cut(&lengths) } else { vec![rows] };
        let mut rest = &lengths[..];
        let mut group = |count: usize| {
            let (own, others) = rest.split_at(count);
            rest = others;
            Group::of(own, device)
        };
        Input {
            groups: counts.into_iter().map(&mut group).collect(),
            ids,
            types,
            positions,
            places,
            firsts: list(&firsts),
            lasts: list(&lasts),
            lengths,
            bias: Tensor::from_slice(&bias).view([rows as i64, 1, 1, width as i64]).to_device(device), // [B, 1, 1, T]
        }
    }

    /// B and T.
    pub fn shape(&self) -> (i64, i64) {
        let size = self.bias.size();
        (size[0], size[3])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_lengths_go_together_and_a_few_short_ones_are_not_worth_a_group() {
        assert_eq!(cut(&[12, 12, 11, 9, 8, 7]), [6]);
        assert_eq!(cut(&[200, 190, 55, 52, 50, 50, 50, 50]), [2, 6]);
        assert_eq!(cut(&[128; 16]), [16]);
        assert_eq!(cut(&[]), Vec::<usize>::new());
        // Also where nobody sorted them.
        assert_eq!(cut(&[50, 300, 50, 50]), [1, 1, 2]);
    }
}
