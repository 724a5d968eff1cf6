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
    /// Index of each example's first token, `[B]`, int64. Of several runs' batches, one behind the other, fillers are no
    /// examples.
    pub firsts: Tensor,
    /// Index of each example's last token, `[B]`, int64.
    pub lasts: Tensor,
    /// Tokens of each example.
    pub lengths: Vec<i64>,
    /// Where each token stands in the padded layout, `[N]`, int64, in 0..B·T.
    pub places: Tensor,
    /// Added to attention scores: 0 at tokens, the most negative number at padding, `[B, 1, 1, T]`, fp32.
    pub bias: Tensor,
    /// The same examples in groups of like lengths, which lie one behind the other in a layout of their own.
    pub groups: Vec<Group>,
    /// Where each token stands in the layout of the groups, `[N]`, int64; `None` where it stands where it stands packed.
    pub slots: Option<Tensor>,
    /// Where each example stands among those of all groups, `[B]`, int64; `None` where it stands where it stands packed.
    pub seats: Option<Tensor>,
}

/// Examples that are laid out together: B of them, T tokens in the longest.
pub struct Group {
    pub rows: i64,
    pub width: i64,
    /// 0 at tokens, the most negative number at padding, `[B, 1, T]`, fp32; `None` where nothing is padded.
    pub bias: Option<Tensor>,
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
    fn of(lengths: &[i64], device: Device) -> Group {
        let (rows, width) = (lengths.len() as i64, lengths.iter().copied().max().unwrap_or(0));
        let is_padded = lengths.iter().any(|&length| length < width);
        let bias = is_padded.then(|| {
            let of_row = |&length: &i64| (0..width).map(move |place| if place < length { 0.0 } else { f32::MIN });
            let bias: Vec<f32> = lengths.iter().flat_map(of_row).collect();
            Tensor::from_slice(&bias).view([rows, 1, width]).to_device(device) // [B, 1, T]
        });
        Group { rows, width, bias }
    }

    /// Places in the layout.
    pub fn size(&self) -> i64 {
        self.rows * self.width
    }
}

/// Examples in groups of so many, the longest first.
pub(super) struct Grouped {
    pub groups: Vec<Group>,
    pub slots: Option<Tensor>,
    /// The examples in the order in which they stand.
    order: Vec<usize>,
}

impl Grouped {
    /// Where each of these examples stands.
    pub fn seats(&self, examples: &[usize], device: Device) -> Option<Tensor> {
        let mut seats = vec![0; self.order.len()];
        self.order.iter().zip(0..).for_each(|(&row, seat)| seats[row] = seat);
        let seats: Vec<i64> = examples.iter().map(|&row| seats[row]).collect();
        let stays = seats.len() == self.order.len() && seats.iter().zip(0..).all(|(&seat, row)| seat == row);
        (!stays).then(|| Tensor::from_slice(&seats).to_device(device))
    }
}

pub(super) fn grouped(lengths: &[i64], counts: &[usize], device: Device) -> Grouped {
    let order = by_length(lengths);
    let mut begins = vec![0; lengths.len()];
    let (mut groups, mut rest, mut begin) = (Vec::new(), &order[..], 0);
    for &count in counts {
        let (own, others) = rest.split_at(count);
        rest = others;
        let own_lengths: Vec<i64> = own.iter().map(|&row| lengths[row]).collect();
        let group = Group::of(&own_lengths, device);
        for (place, &row) in own.iter().enumerate() {
            begins[row] = begin + place as i64 * group.width;
        }
        begin += group.size();
        groups.push(group);
    }
    let slots: Vec<i64> = begins.iter().zip(lengths).flat_map(|(&begin, &length)| begin..begin + length).collect();
    let stays = begin == slots.len() as i64 && slots.iter().zip(0..).all(|(&slot, token)| slot == token);
    let slots = (!stays).then(|| Tensor::from_slice(&slots).to_device(device));
    Grouped { groups, slots, order }
}

/// The examples from the longest to the shortest; of equals the first goes first.
fn by_length(lengths: &[i64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&row| std::cmp::Reverse(lengths[row]));
    order
}

impl Input {
    pub fn of(batch: &Batch, device: Device) -> Input {
        Input::of_examples(batch, &(0..batch.rows).collect::<Vec<_>>(), device)
    }

    /// A batch in which these rows alone are examples.
    fn of_examples(batch: &Batch, examples: &[usize], device: Device) -> Input {
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
        let of_examples = |numbers: &[i64]| examples.iter().map(|&row| numbers[row]).collect::<Vec<_>>();
        let list = |numbers: &[i64]| Tensor::from_slice(numbers).to_device(device);
        let [ids, types, positions, places] = packed.map(|numbers| list(&numbers));
        // A GPU computes on padding in less time than it takes to start one more group.
        let sorted: Vec<i64> = by_length(&lengths).into_iter().map(|row| lengths[row]).collect();
        let counts = if device == Device::Cpu { cut(&sorted) } else { vec![rows] };
        let grouped = grouped(&lengths, &counts, device);
        Input {
            seats: grouped.seats(examples, device),
            groups: grouped.groups,
            slots: grouped.slots,
            ids,
            types,
            positions,
            places,
            firsts: list(&of_examples(&firsts)),
            lasts: list(&of_examples(&lasts)),
            lengths,
            bias: Tensor::from_slice(&bias).view([rows as i64, 1, 1, width as i64]).to_device(device), // [B, 1, 1, T]
        }
    }

    /// The batches of several runs, one behind the other, each with as many tokens as the one that has most: fillers of
    /// padding, which nothing reads, make up for what a batch has less.
    pub fn fused(batches: &[Batch], pad: u32, device: Device) -> Input {
        let (joined, examples) = Batch::joined(batches, pad);
        Input::of_examples(&joined, &examples, device)
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
    }

    #[test]
    fn tokens_keep_their_place_unless_lengths_say_otherwise() {
        let slots = |lengths: &[i64], counts: &[usize]| {
            let grouped = grouped(lengths, counts, Device::Cpu);
            let padded: Vec<bool> = grouped.groups.iter().map(|group| group.bias.is_some()).collect();
            (padded, grouped.slots.map(|slots| Vec::<i64>::try_from(slots).expect("whole numbers")))
        };
        assert_eq!(slots(&[3, 3], &[2]), (vec![false], None));
        assert_eq!(slots(&[3, 2], &[1, 1]), (vec![false, false], None));
        assert_eq!(slots(&[3, 2], &[2]), (vec![true], Some(vec![0, 1, 2, 3, 4])));
        assert_eq!(slots(&[2, 3], &[1, 1]), (vec![false, false], Some(vec![3, 4, 0, 1, 2])));
        assert_eq!(slots(&[2, 3, 1], &[3]), (vec![true], Some(vec![3, 4, 0, 1, 2, 6])));
    }
}
