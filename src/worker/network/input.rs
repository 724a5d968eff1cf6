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
        Input {
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
