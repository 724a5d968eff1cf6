//! How many seeds it takes to see a difference.

use statrs::distribution::{ContinuousCDF, Normal};
use statrs::function::gamma::ln_gamma;

use super::LEVEL;
use super::bootstrap::student;

/// The share of studies that are to see the difference.
const WANTED: f64 = 0.8;
/// Beyond this many seeds nobody goes.
const MOST: usize = 10_000;

/// Power of the two-sided paired t test at level 0.05 with `n` pairs and an effect of `effect` standard deviations of
/// the differences. Below two pairs there is none: 0.
pub fn power(effect: f64, n: usize) -> f64 {
    if n < 2 {
        return 0.0;
    }
    let t = student(n, 1.0 - LEVEL / 2.0);
    let shift = effect.abs() * (n as f64).sqrt();
    beyond(t, n - 1, shift)
}

/// The least number of pairs at which [`power`] is 80 %. `None` where it is more than 10,000, or no number.
pub fn seeds_needed(effect: f64) -> Option<usize> {
    // What it would be if the standard deviation were known, which is a little too few.
    let quantiles = Normal::standard().inverse_cdf(1.0 - LEVEL / 2.0) + Normal::standard().inverse_cdf(WANTED);
    let known = (quantiles / effect.abs()).powi(2).ceil();
    if known.is_nan() || known > MOST as f64 {
        return None;
    }
    let mut n = (known as usize).max(2);
    while power(effect, n) < WANTED {
        n += 1;
    }
    (n <= MOST).then_some(n)
}

/// P(|T| > t) of Student's noncentral law: T = (Z + shift) / S, S² being χ² over its degrees of freedom. Given S = s it
/// is Φ(shift − ts) + Φ(−ts − shift), and Simpson's rule runs over ten standard deviations of S to either side of 1, in steps that are small
/// beside both laws.
fn beyond(t: f64, freedom: usize, shift: f64) -> f64 {
    let nu = freedom as f64;
    let normal = Normal::standard();
    let reach = 10.0 / (2.0 * nu).sqrt();
    let (from, to) = ((1.0 - reach).max(0.0), 1.0 + reach);
    let scale = 2f64.ln() + nu / 2.0 * (nu / 2.0).ln() - ln_gamma(nu / 2.0);
    let at = |s: f64| {
        // 0 · ln 0 is 0 in the density of one degree of freedom.
        let power = if freedom == 1 { 0.0 } else { (nu - 1.0) * s.ln() };
        (scale + power - nu * s * s / 2.0).exp() * (normal.cdf(shift - t * s) + normal.cdf(-shift - t * s))
    };
    let pairs = (((to - from) * t * 10.0) as usize).max(120);
    let step = (to - from) / (2 * pairs) as f64;
    let weight = |i: usize| match i {
        i if i == 0 || i == 2 * pairs => 1.0,
        i if i % 2 == 1 => 4.0,
        _ => 2.0,
    };
    (0..=2 * pairs).map(|i| weight(i) * at(from + step * i as f64)).sum::<f64>() * step / 3.0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::stats::reference;

    #[test]
    fn power_equals_scipy() {
        for case in reference::all().power_at {
            let found = power(case.effect, case.n);
            assert!((found - case.power).abs() < 1e-7, "{found}, {} expected", case.power);
        }
    }

    #[test]
    fn seeds_equal_statsmodels_rounded_up() {
        for case in reference::all().power {
            assert_eq!(seeds_needed(case.effect), Some(case.needed.ceil() as usize), "{}", case.effect);
            assert_eq!(seeds_needed(-case.effect), seeds_needed(case.effect));
        }
    }

    #[test]
    fn what_no_number_of_seeds_shows() {
        assert_eq!((seeds_needed(0.0), seeds_needed(0.001), seeds_needed(f64::NAN)), (None, None, None));
        assert_eq!((power(9.0, 1), seeds_needed(f64::INFINITY)), (0.0, Some(2)));
    }
}
