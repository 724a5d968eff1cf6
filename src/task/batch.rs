//! Which examples go into a step, and how they lie in memory.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::Tokens;

/// Examples padded to the longest of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Token ids, row-major `[rows, width]`.
    pub ids: Vec<i64>,
    /// Segments, row-major `[rows, width]`; 0 where padded.
    pub types: Vec<i64>,
    /// Tokens of each row before the padding.
    pub lengths: Vec<usize>,
    /// Class index or value of each row.
    pub labels: Vec<f32>,
    pub rows: usize,
    pub width: usize,
}

impl Batch {
    /// The picked examples in the order of `picks`.
    ///
    /// # Panics
    /// If a pick is not an index of an example.
    pub fn of(tokens: &Tokens, picks: &[u32], pad: u32) -> Batch {
        let lengths: Vec<usize> = picks.iter().map(|&pick| tokens.length(pick as usize)).collect();
        let (rows, width) = (picks.len(), lengths.iter().copied().max().unwrap_or(0));
        let mut ids = vec![i64::from(pad); rows * width];
        let mut types = vec![0; rows * width];
        for (row, &pick) in picks.iter().enumerate() {
            let (from, pick) = (row * width, pick as usize);
            ids[from..].iter_mut().zip(tokens.ids(pick)).for_each(|(to, &id)| *to = i64::from(id));
            types[from..].iter_mut().zip(tokens.types(pick)).for_each(|(to, &kind)| *to = i64::from(kind));
        }
        let labels = picks.iter().map(|&pick| tokens.labels[pick as usize]).collect();
        Batch { ids, types, lengths, labels, rows, width }
    }

    /// Several batches one behind the other, and which rows are their examples. Behind the examples of a batch stand rows
    /// of padding, as many tokens as it has less than the one with most.
    pub fn joined(batches: &[Batch], pad: u32) -> (Batch, Vec<usize>) {
        let width = batches.iter().map(|batch| batch.width).max().unwrap_or(0);
        let tokens = |batch: &Batch| batch.lengths.iter().sum::<usize>();
        let most = batches.iter().map(tokens).max().unwrap_or(0);
        let mut joined = Batch { ids: vec![], types: vec![], lengths: vec![], labels: vec![], rows: 0, width };
        let mut examples = Vec::new();
        for batch in batches {
            examples.extend(joined.lengths.len()..joined.lengths.len() + batch.rows);
            for row in 0..batch.rows {
                let own = row * batch.width..(row + 1) * batch.width;
                joined.ids.extend(&batch.ids[own.clone()]);
                joined.types.extend(&batch.types[own]);
                joined.ids.resize((joined.lengths.len() + 1) * width, i64::from(pad));
                joined.types.resize((joined.lengths.len() + 1) * width, 0);
                joined.lengths.push(batch.lengths[row]);
                joined.labels.push(batch.labels[row]);
            }
            let mut missing = most - tokens(batch);
            while missing > 0 {
                let length = missing.min(width);
                missing -= length;
                joined.ids.resize((joined.lengths.len() + 1) * width, i64::from(pad));
                joined.types.resize((joined.lengths.len() + 1) * width, 0);
                joined.lengths.push(length);
                joined.labels.push(0.0);
            }
        }
        joined.rows = joined.lengths.len();
        (joined, examples)
    }
}

/// The order of `n` examples in an epoch (counted from any number): 0 to n - 1, shuffled anew for each epoch of a seed,
/// or as they are. A pure function.
pub fn epoch_order(n: usize, seed: u64, epoch: u32, shuffle: bool) -> Vec<u32> {
    if shuffle { permutation(n, "epoch order", seed, epoch) } else { (0..n as u32).collect() }
}

/// `train_size` of `n_total` examples drawn without replacement (all, if there are no more), in file order. For one seed
/// a smaller sample is a part of every larger one.
pub fn sample(n_total: usize, train_size: usize, seed: u64) -> Vec<u32> {
    let mut picks = permutation(n_total, "train sample", seed, 0);
    picks.truncate(train_size);
    picks.sort_unstable();
    picks
}

/// All examples, the longest first: batches of like lengths waste little padding, and the one that needs most memory
/// comes first.
pub fn by_length(tokens: &Tokens) -> Vec<u32> {
    let mut order: Vec<u32> = (0..tokens.len() as u32).collect();
    order.sort_by_key(|&example| std::cmp::Reverse(tokens.length(example as usize)));
    order
}

/// The purpose is part of the seed, so that no two uses of one seed share their randomness.
fn permutation(n: usize, purpose: &str, seed: u64, epoch: u32) -> Vec<u32> {
    let mut hasher = blake3::Hasher::new_derive_key("sweep examples");
    hasher.update(purpose.as_bytes()).update(&seed.to_le_bytes()).update(&epoch.to_le_bytes());
    let mut order: Vec<u32> = (0..n as u32).collect();
    order.shuffle(&mut ChaCha8Rng::from_seed(*hasher.finalize().as_bytes()));
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tokens(lengths: &[usize]) -> Tokens {
        let mut tokens = Tokens::default();
        for (example, &length) in lengths.iter().enumerate() {
            let ids: Vec<u32> = (0..length as u32).map(|place| 100 * example as u32 + place + 10).collect();
            tokens.push(&ids, (0..length).map(|place| u8::from(place > 1)), example as f32);
        }
        tokens
    }

    #[test]
    fn a_batch_is_as_wide_as_its_longest_row() {
        let batch = Batch::of(&tokens(&[2, 5, 3]), &[2, 0], 7);
        assert_eq!((batch.rows, batch.width, batch.lengths), (2, 3, vec![3, 2]));
        assert_eq!(batch.ids, [210, 211, 212, 10, 11, 7]);
        assert_eq!(batch.types, [0, 0, 1, 0, 0, 0]);
        assert_eq!(batch.labels, [2.0, 0.0]);
        assert_eq!(Batch::of(&tokens(&[1]), &[], 7).rows, 0);
    }

    #[test]
    fn batches_that_are_joined_have_as_many_tokens_each() {
        let tokens = tokens(&[2, 5, 3, 1]);
        let batches = [&[1, 0][..], &[3, 3], &[2, 0]].map(|picks| Batch::of(&tokens, picks, 7));
        let (joined, examples) = Batch::joined(&batches, 7);
        assert_eq!((joined.rows, joined.width, &examples[..]), (8, 5, &[0, 1, 2, 3, 5, 6][..]));
        assert_eq!(joined.lengths, [5, 2, 1, 1, 5, 3, 2, 2]);
        assert_eq!(joined.ids[5..25], [10, 11, 7, 7, 7, 310, 7, 7, 7, 7, 310, 7, 7, 7, 7, 7, 7, 7, 7, 7]);
        assert_eq!((joined.ids.len(), joined.types.len(), joined.labels.len()), (40, 40, 8));
    }

    #[test]
    fn evaluation_begins_with_the_longest() {
        assert_eq!(by_length(&tokens(&[2, 5, 3, 5])), [1, 3, 2, 0]);
    }

    /// A new version of a library must not change anybody's numbers unseen.
    #[test]
    fn orders_are_pinned() {
        assert_eq!(epoch_order(8, 1, 0, true), PINNED_ORDER);
        assert_eq!(sample(100, 5, 1), PINNED_SAMPLE);
    }
    const PINNED_ORDER: [u32; 8] = [3, 5, 6, 7, 1, 4, 2, 0];
    const PINNED_SAMPLE: [u32; 5] = [2, 37, 82, 89, 93];

    proptest! {
        #[test]
        fn an_epoch_is_a_permutation(n in 0usize..300, seed: u64, epoch in 0u32..50) {
            let mut order = epoch_order(n, seed, epoch, true);
            prop_assert_eq!(&order, &epoch_order(n, seed, epoch, true));
            if n > 20 {
                prop_assert_ne!(&order, &epoch_order(n, seed, epoch + 1, true));
                prop_assert_ne!(&order, &epoch_order(n, seed ^ 1, epoch, true));
            }
            order.sort_unstable();
            prop_assert_eq!(order, epoch_order(n, seed, epoch, false));
        }

        #[test]
        fn samples_are_nested_and_in_file_order(n in 1usize..300, a in 0usize..300, b in 0usize..300, seed: u64) {
            let (small, large) = (sample(n, a.min(b), seed), sample(n, a.max(b), seed));
            prop_assert_eq!(small.len(), a.min(b).min(n));
            prop_assert!(large.windows(2).all(|pair| pair[0] < pair[1]) && large.iter().all(|&pick| (pick as usize) < n));
            prop_assert!(small.iter().all(|pick| large.contains(pick)));
        }

        #[test]
        fn padding_is_all_that_a_batch_adds(lengths in prop::collection::vec(1usize..20, 1..12)) {
            let tokens = tokens(&lengths);
            let picks = epoch_order(lengths.len(), 3, 0, true);
            let batch = Batch::of(&tokens, &picks, 0);
            prop_assert_eq!(batch.width, *lengths.iter().max().expect("not empty"));
            for (row, &pick) in picks.iter().enumerate() {
                let ids = &batch.ids[row * batch.width..][..batch.width];
                let (text, padding) = ids.split_at(batch.lengths[row]);
                prop_assert!(text.iter().map(|&id| id as u32).eq(tokens.ids(pick as usize).iter().copied()));
                prop_assert!(padding.iter().all(|&id| id == 0));
            }
        }
    }
}
