//! Wilcoxon's signed-rank test of paired differences, two-sided.
//!
//! Zero differences are left out, as in Wilcoxon (1945) and in SciPy's default. Up to 50 differences the null
//! distribution of the rank sum is counted, with ties as they are; beyond, it is normal with the variance corrected for
//! ties and without continuity correction (Hollander, Wolfe and Chicken, Nonparametric Statistical Methods, 3rd edition,
//! section 3.1).

use statrs::distribution::{ContinuousCDF, Normal};

const EXACT: usize = 50;

/// In (0, 1]; 1 where every difference is zero. `None` without a difference.
pub fn signed_rank(differences: &[f64]) -> Option<f64> {
    if differences.is_empty() {
        return None;
    }
    let mut ordered: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0).collect();
    ordered.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    // Twice the rank, so that the mean rank of ties is a whole number.
    let mut ranks: Vec<usize> = Vec::with_capacity(ordered.len());
    let mut ties = 0.0;
    for tied in ordered.chunk_by(|a, b| alike(*a, *b)) {
        let (before, t) = (ranks.len(), tied.len());
        ranks.extend(std::iter::repeat_n(2 * before + t + 1, t));
        ties += (t as f64).powi(3) - t as f64;
    }
    let positive: usize = ordered.iter().zip(&ranks).filter(|(d, _)| **d > 0.0).map(|(_, rank)| rank).sum();
    let all: usize = ranks.iter().sum();
    let smaller = positive.min(all - positive);
    let n = ranks.len();
    if n <= EXACT {
        // The law is symmetric, so both tails weigh the same.
        return Some((2.0 * share_up_to(smaller, &ranks)).min(1.0));
    }
    let n = n as f64;
    let variance = n * (n + 1.0) * (2.0 * n + 1.0) / 24.0 - ties / 48.0;
    let z = (smaller as f64 / 2.0 - n * (n + 1.0) / 4.0) / variance.sqrt();
    Some((2.0 * Normal::standard().cdf(z)).min(1.0))
}

/// Differences of scores that are fractions of a dev set tie but for rounding.
fn alike(a: f64, b: f64) -> bool {
    (a.abs() - b.abs()).abs() <= 1e-12 * a.abs().max(b.abs()).max(1.0)
}

/// The share of the 2ⁿ sign patterns whose positive ranks sum to `most` or less, counted rank by rank.
fn share_up_to(most: usize, ranks: &[usize]) -> f64 {
    let mut share = vec![0.0; most + 1];
    share[0] = 1.0;
    for rank in ranks {
        for sum in (0..=most).rev() {
            let with = if sum >= *rank { share[sum - rank] } else { 0.0 };
            share[sum] = (share[sum] + with) / 2.0;
        }
    }
    share.iter().sum()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::stats::reference;

    #[test]
    fn p_equals_scipy() {
        for case in reference::all().paired {
            let found = signed_rank(&case.differences).unwrap();
            let n = case.differences.len();
            assert!((found - case.wilcoxon).abs() < 1e-9, "{n}: {found}, {} expected", case.wilcoxon);
        }
    }

    #[test]
    fn zeros_alone_are_no_evidence() {
        assert_eq!(signed_rank(&[0.0, 0.0]), Some(1.0));
        assert_eq!(signed_rank(&[]), None);
        assert_eq!(signed_rank(&[0.1, 0.2, 0.3]), Some(0.25));
    }

    #[test]
    fn rounding_breaks_no_tie() {
        assert_eq!(signed_rank(&[0.3 - 0.2, 0.1, -0.1, 0.5]), signed_rank(&[0.1, 0.1, -0.1, 0.5]));
    }

    proptest! {
        #[test]
        fn p_is_a_probability_and_does_not_see_direction(d in proptest::collection::vec(-9i32..9, 1..60)) {
            let d: Vec<f64> = d.into_iter().map(f64::from).collect();
            let p = signed_rank(&d).unwrap();
            prop_assert!(p > 0.0 && p <= 1.0);
            let turned: Vec<f64> = d.iter().map(|x| -x).collect();
            prop_assert!((signed_rank(&turned).unwrap() - p).abs() < 1e-12);
        }
    }
}
