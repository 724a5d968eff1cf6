//! The k largest of very many non-negative scores, exactly, without sorting.
//!
//! A non-negative float orders like its bit pattern, so two counting passes of 16 bits each find the k-th largest
//! value of any number of scores with 512 KiB of counters.

/// The k-th largest score, k from 1 to `scores.len()`.
///
/// Scores must be non-negative and not NaN, as `rankable` says.
pub fn kth_largest(scores: &[f32], k: usize) -> f32 {
    debug_assert!(k >= 1 && k <= scores.len());
    let key = |s: &f32| if *s == 0.0 { 0 } else { s.to_bits() };
    let mut left = k;
    // Walks counters from the top and returns the bin in which the left-th entry lies.
    let mut bin_of = |counts: &[u32]| -> u32 {
        for (bin, &count) in counts.iter().enumerate().rev() {
            if left <= count as usize {
                return bin as u32;
            }
            left -= count as usize;
        }
        unreachable!("k is at most the number of scores")
    };
    let mut high = vec![0u32; 1 << 16];
    for s in scores {
        high[(key(s) >> 16) as usize] += 1;
    }
    let high = bin_of(&high);
    let mut low = vec![0u32; 1 << 16];
    for s in scores {
        if key(s) >> 16 == high {
            low[(key(s) & 0xFFFF) as usize] += 1;
        }
    }
    f32::from_bits((high << 16) | bin_of(&low))
}

/// Marks exactly the `k` largest scores; among equal scores at the border the lower index wins.
pub fn top_k(scores: &[f32], k: usize) -> Vec<bool> {
    if k == 0 {
        return vec![false; scores.len()];
    }
    let border = kth_largest(scores, k);
    let mut ties = k - scores.iter().filter(|&&s| s > border).count();
    scores
        .iter()
        .map(|&s| {
            if s == border && ties > 0 {
                ties -= 1;
                return true;
            }
            s > border
        })
        .collect()
}

/// Marks exactly the `k` smallest scores; among equal scores at the border the lower index wins.
pub fn bottom_k(scores: &[f32], k: usize) -> Vec<bool> {
    if k == 0 {
        return vec![false; scores.len()];
    }
    let border = kth_largest(scores, scores.len() - k + 1);
    let mut ties = k - scores.iter().filter(|&&s| s < border).count();
    let mut is_kept = |s: f32| {
        let tie = s == border && ties > 0;
        ties -= usize::from(tie);
        tie || s < border
    };
    scores.iter().map(|&s| is_kept(s)).collect()
}

/// The q-th quantile, q in [0, 1], by linear interpolation between order statistics (NumPy's default).
pub fn quantile(scores: &[f32], q: f64) -> f64 {
    let n = scores.len();
    let position = q * (n - 1) as f64;
    let below = position.floor() as usize;
    // The i-th smallest (from 0) is the (n − i)-th largest.
    let low = f64::from(kth_largest(scores, n - below));
    let high = if below + 1 < n { f64::from(kth_largest(scores, n - below - 1)) } else { low };
    low + (high - low) * (position - below as f64)
}

/// Whether the scores can be ranked: finite and not negative.
pub fn rankable(scores: &[f32]) -> bool {
    scores.iter().all(|s| s.is_finite() && *s >= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn marked(mask: &[bool]) -> Vec<usize> {
        (0..mask.len()).filter(|&i| mask[i]).collect()
    }

    #[test]
    fn ties_go_to_the_lower_index() {
        assert_eq!(marked(&top_k(&[1.0, 3.0, 3.0, 0.0, 3.0], 2)), [1, 2]);
        assert_eq!(marked(&top_k(&[0.0, 0.0, -0.0, 0.0], 3)), [0, 1, 2]);
    }

    /// numpy.percentile(numpy.arange(1, 11) / 10, 100 * (1 - p)) and the count of values >= it.
    #[test]
    fn quantiles_are_those_of_numpy() {
        let scores: Vec<f32> = (1..=10).map(|i| i as f32 / 10.0).collect();
        for (p, threshold, kept) in [(0.1, 0.91, 1), (0.2, 0.82, 2), (0.3, 0.73, 3), (0.5, 0.55, 5), (1.0, 0.1, 10)] {
            let found = quantile(&scores, 1.0 - p);
            assert!((found - threshold).abs() < 1e-6, "p {p}: {found}");
            assert_eq!(scores.iter().filter(|&&s| f64::from(s) >= found).count(), kept);
        }
        assert!((quantile(&[1.0, 2.0, 3.0, 4.0], 0.7) - 3.1).abs() < 1e-6);
    }

    proptest! {
        #[test]
        fn top_k_is_what_a_sort_gives(
            scores in prop::collection::vec(prop_oneof![Just(0.0f32), Just(0.5f32), 0.0f32..10.0], 1..200),
            share in 0.0f64..=1.0,
        ) {
            let k = (share * scores.len() as f64).round() as usize;
            let mut order: Vec<usize> = (0..scores.len()).collect();
            order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
            let mut expected = order[..k].to_vec();
            expected.sort_unstable();
            prop_assert_eq!(marked(&top_k(&scores, k)), expected);
            order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(a.cmp(&b)));
            let mut expected = order[..k].to_vec();
            expected.sort_unstable();
            prop_assert_eq!(marked(&bottom_k(&scores, k)), expected);
        }
    }
}
