//! Almost Stochastic Order: by how much one distribution of scores fails to lie above another.
//!
//! x dominates y where every quantile of x is at least that of y. The violation ratio is the share of the squared
//! distance between the two quantile functions that lies where y is above: 0 where x dominates, 1 where y does (del
//! Barrio, Cuesta-Albertos and Matrán, 2018). ε is an upper 95 % bound of it by the bootstrap (Dror, Shlomov and
//! Reichart, "Deep Dominance", ACL 2019, equations 5 to 8).

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use statrs::distribution::{ContinuousCDF, Normal};

use super::LEVEL;
use super::moments::deviation;

const DRAWS: usize = 1000;
const SEED: u64 = 0x5EED_0A50;

/// Violation ratio of "x dominates y" in [0, 1]; `None` where either is empty or the two are the same.
pub fn violation(x: &[f64], y: &[f64]) -> Option<f64> {
    violation_of_sorted(&sorted(x), &sorted(y))
}

/// ε in [0, 1]: x is almost stochastically better than y below 0.5, clearly so below 0.2. `None` where either has fewer
/// than two values or the two are the same.
pub fn almost_dominance(x: &[f64], y: &[f64]) -> Option<f64> {
    if x.len() < 2 || y.len() < 2 {
        return None;
    }
    let (x, y) = (sorted(x), sorted(y));
    let seen = violation_of_sorted(&x, &y)?;
    let (to_x, to_y) = (places(x.len(), 0), places(y.len(), 1));
    let rows = to_x.chunks_exact(x.len()).zip(to_y.chunks_exact(y.len()));
    let (mut a, mut b) = (vec![0.0; x.len()], vec![0.0; y.len()]);
    let resample = |from: &[f64], to: &mut [f64], row: &[u32]| {
        to.iter_mut().zip(row).for_each(|(value, place)| *value = from[*place as usize]);
    };
    let ratios = rows.filter_map(|(to_x, to_y)| {
        resample(&x, &mut a, to_x);
        resample(&y, &mut b, to_y);
        violation_of_sorted(&a, &b)
    });
    let drawn: Vec<f64> = ratios.collect();
    // Equation 8's √(nm/(n+m)) stands in the deviation and again in the bound, and cancels.
    let reach = -Normal::standard().inverse_cdf(LEVEL) * deviation(&drawn)?;
    Some((seen + reach).clamp(0.0, 1.0))
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// Resamples of n places, `[draws, n]`, each in order, so that what is drawn from ordered values is ordered. The same for
/// all samples of one size; x and y draw independently, from streams of their own.
fn places(n: usize, stream: u64) -> Arc<Vec<u32>> {
    /// Larger tables are made anew each time, lest they fill the memory.
    const KEPT: usize = 400;
    type Tables = HashMap<(usize, u64), Arc<Vec<u32>>>;
    static KNOWN: LazyLock<Mutex<Tables>> = LazyLock::new(Mutex::default);
    let draw = || {
        let mut random = ChaCha8Rng::seed_from_u64(SEED ^ n as u64);
        random.set_stream(stream);
        let mut places: Vec<u32> = (0..n * DRAWS).map(|_| random.random_range(0..n as u32)).collect();
        places.chunks_exact_mut(n).for_each(<[u32]>::sort_unstable);
        Arc::new(places)
    };
    if n > KEPT {
        return draw();
    }
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.entry((n, stream)).or_insert_with(draw).clone()
}

/// Both quantile functions are steps, at multiples of 1/n and of 1/m: the integrals are sums over the joint steps.
fn violation_of_sorted(x: &[f64], y: &[f64]) -> Option<f64> {
    let (n, m) = (x.len(), y.len());
    let (mut i, mut j, mut at) = (0, 0, 0);
    let (mut against, mut all) = (0.0, 0.0);
    // Places in [0, 1] are counted in units of 1/(nm).
    while i < n && j < m {
        let next = ((i + 1) * m).min((j + 1) * n);
        let gap = (x[i] - y[j]).powi(2) * (next - at) as f64;
        all += gap;
        if x[i] < y[j] {
            against += gap;
        }
        i += usize::from(next == (i + 1) * m);
        j += usize::from(next == (j + 1) * n);
        at = next;
    }
    (all > 0.0).then(|| against / all)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::stats::reference;

    #[test]
    fn violations_and_bounds_are_those_of_deepsig() {
        for case in reference::all().two_samples {
            let (found, bound) = (violation(&case.x, &case.y).unwrap(), almost_dominance(&case.x, &case.y).unwrap());
            // deepsig sums 10,000 steps; its bound depends on its own 1000 draws.
            assert!((found - case.violation).abs() < 2e-3, "{found}, {} expected", case.violation);
            assert!((bound - case.epsilon).abs() < 0.04, "{bound}, {} expected", case.epsilon);
        }
    }

    #[test]
    fn a_dominant_sample_has_no_violation() {
        assert_eq!(violation(&[0.7, 0.8], &[0.5, 0.6, 0.65]), Some(0.0));
        assert_eq!(almost_dominance(&[0.7, 0.8], &[0.5, 0.6, 0.65]), Some(0.0));
        assert_eq!(almost_dominance(&[0.5, 0.6], &[0.7, 0.8]), Some(1.0));
        assert_eq!((violation(&[0.5, 0.6], &[0.6, 0.5]), almost_dominance(&[0.5], &[0.4, 0.3])), (None, None));
    }

    proptest! {
        #[test]
        fn the_two_directions_share_the_whole(
            x in proptest::collection::vec(0.0..1.0f64, 1..12),
            y in proptest::collection::vec(0.0..1.0f64, 1..12),
        ) {
            let (there, back) = (violation(&x, &y), violation(&y, &x));
            prop_assert_eq!(there.is_none(), back.is_none());
            if let (Some(there), Some(back)) = (there, back) {
                prop_assert!((there + back - 1.0).abs() < 1e-9);
            }
        }
    }
}
