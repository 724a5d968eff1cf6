//! The interquartile mean over tasks and seeds: the mean of the middle half of all scores, which one collapsed seed does
//! not move and which wastes less than the median (Agarwal et al., NeurIPS 2021, section 4.3).

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Interval, LEVEL, mean};

const DRAWS: usize = 2000;
const SEED: u64 = 0x5EED_1490;

/// Of all scores together: `[tasks][seeds]`, tasks may differ in their number of seeds. A quarter, rounded down, is cut
/// off at either end. `None` without a score.
pub fn iqm(tasks: &[Vec<f64>]) -> Option<f64> {
    middle_mean(&mut tasks.concat())
}

/// Its 95 % percentile interval by the stratified bootstrap: seeds are drawn anew within each task. `None` where no task
/// has two seeds.
pub fn iqm_interval(tasks: &[Vec<f64>]) -> Option<Interval> {
    if tasks.iter().all(|seeds| seeds.len() < 2) {
        return None;
    }
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut pool = Vec::with_capacity(tasks.iter().map(Vec::len).sum());
    let mut drawn = Vec::with_capacity(DRAWS);
    for _ in 0..DRAWS {
        pool.clear();
        for seeds in tasks {
            let n = seeds.len() as u32;
            pool.extend((0..n).map(|_| seeds[random.random_range(0..n) as usize]));
        }
        drawn.push(middle_mean(&mut pool)?);
    }
    drawn.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| drawn[(share * (DRAWS - 1) as f64).round() as usize];
    Some(Interval { low: at(LEVEL / 2.0), high: at(1.0 - LEVEL / 2.0) })
}

/// The mean without the least and the largest quarter; leaves the values in another order.
fn middle_mean(values: &mut [f64]) -> Option<f64> {
    let (n, cut) = (values.len(), values.len() / 4);
    if cut > 0 {
        values.select_nth_unstable_by(cut, f64::total_cmp);
        values[cut..].select_nth_unstable_by(n - 2 * cut - 1, f64::total_cmp);
    }
    mean(&values[cut..n - cut])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::stats::reference;

    #[test]
    fn iqm_and_interval_equal_rliable() {
        for case in reference::all().iqm {
            assert!((iqm(&case.tasks).unwrap() - case.iqm).abs() < 1e-12);
            let found = iqm_interval(&case.tasks).unwrap();
            let off = (found.low - case.low).abs().max((found.high - case.high).abs());
            // The ends of 2000 draws, against those of 20,000.
            assert!(off < 0.06 * (case.high - case.low), "{found:?}, {} to {} expected", case.low, case.high);
        }
    }

    #[test]
    fn few_scores() {
        assert_eq!((iqm(&[]), iqm(&[vec![0.5]]), iqm_interval(&[vec![0.5], vec![0.6]])), (None, Some(0.5), None));
        assert_eq!(iqm(&[vec![0.0, 1.0], vec![2.0, 100.0]]), Some(1.5));
    }

    proptest! {
        #[test]
        fn it_lies_between_least_and_largest(
            tasks in proptest::collection::vec(proptest::collection::vec(-1.0..1.0f64, 2..6), 1..6),
        ) {
            let all = tasks.concat();
            let (least, most) = all.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, m), x| (l.min(*x), m.max(*x)));
            let found = iqm(&tasks).unwrap();
            prop_assert!(least - 1e-12 <= found && found <= most + 1e-12);
            let interval = iqm_interval(&tasks).unwrap();
            prop_assert!(least - 1e-12 <= interval.low && interval.low <= interval.high && interval.high <= most + 1e-12);
        }
    }
}
