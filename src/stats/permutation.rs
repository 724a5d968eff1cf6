//! Test of paired differences by flipping their signs.
//!
//! If two modes were alike, each difference could as well have had the other sign. The p value is the share of sign
//! patterns whose sum is as far from zero as the one seen, in either direction (Fisher, 1935; Dror et al., "The
//! Hitchhiker's Guide to Testing Statistical Significance in NLP", ACL 2018, section 3.2.2).

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Up to this many differences every pattern is counted: 2¹⁶.
const EXACT: usize = 16;
const DRAWS: u32 = 10_000;
const SEED: u64 = 0x5EED_F11B;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Permutation {
    /// In (0, 1], two-sided.
    pub p: f64,
    /// Whether every pattern was counted; else 10,000 were drawn and the one seen counts as one of them.
    pub exact: bool,
}

/// `None` without a difference.
pub fn sign_flips(differences: &[f64]) -> Option<Permutation> {
    let n = differences.len();
    if n == 0 {
        return None;
    }
    let seen = differences.iter().sum::<f64>().abs();
    // Sums of the same differences in another order are the same but for rounding.
    let least = seen - 1e-10 * differences.iter().map(|d| d.abs()).sum::<f64>();
    if n <= EXACT {
        let (first, others) = differences.split_first()?;
        // A pattern and its mirror image count alike, so the first sign may stand.
        let as_far = extreme(others, *first, least);
        return Some(Permutation { p: as_far as f64 / 2f64.powi(n as i32 - 1), exact: true });
    }
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let as_far = (0..DRAWS)
        .filter(|_| {
            let flipped = |part: &[f64]| {
                let signs = random.next_u64();
                part.iter().enumerate().map(|(i, d)| if signs >> i & 1 == 0 { *d } else { -d }).sum::<f64>()
            };
            differences.chunks(64).map(flipped).sum::<f64>().abs() >= least
        })
        .count();
    Some(Permutation { p: (as_far + 1) as f64 / f64::from(DRAWS + 1), exact: false })
}

/// The patterns of the differences left whose sum with `so_far` is at least `least` from zero.
fn extreme(left: &[f64], so_far: f64, least: f64) -> u32 {
    match left.split_first() {
        None => u32::from(so_far.abs() >= least),
        Some((d, left)) => extreme(left, so_far + d, least) + extreme(left, so_far - d, least),
    }
}

/// The smallest p that n differences can give, two patterns of 2ⁿ: 0.25 of three, 0.0625 of five.
pub fn least_p(n: usize) -> f64 {
    match n {
        0 => 1.0,
        1..=EXACT => 2f64.powi(1 - n as i32),
        _ => 1.0 / f64::from(DRAWS + 1),
    }
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
            let found = sign_flips(&case.differences).unwrap();
            let n = case.differences.len();
            assert_eq!(found.exact, n <= EXACT);
            // Four standard errors of 10,000 draws.
            let near =
                if found.exact { 1e-9 } else { 4.0 * (case.permutation * (1.0 - case.permutation) / 1e4).sqrt() };
            assert!((found.p - case.permutation).abs() <= near, "{n}: {found:?}, {} expected", case.permutation);
        }
    }

    #[test]
    fn the_least_p_is_reached_when_all_agree() {
        for n in [1, 3, 5, 6, 16, 20] {
            let found = sign_flips(&vec![0.1; n]).unwrap();
            assert!((found.p - least_p(n)).abs() < 2e-4, "{n}: {found:?}");
        }
        assert!(least_p(5) > 0.05 && least_p(6) < 0.05);
        assert_eq!(sign_flips(&[0.0; 4]).unwrap().p, 1.0);
        assert_eq!(sign_flips(&[]), None);
    }

    proptest! {
        #[test]
        fn p_lies_above_zero_and_does_not_see_direction(d in proptest::collection::vec(-1.0..1.0f64, 1..20)) {
            let found = sign_flips(&d).unwrap();
            prop_assert!(found.p > 0.0 && found.p <= 1.0);
            let turned: Vec<f64> = d.iter().map(|x| -x).collect();
            prop_assert!((sign_flips(&turned).unwrap().p - found.p).abs() < 1e-9);
        }
    }
}
