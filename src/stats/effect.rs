//! How large a difference is, whatever its p value.

use statrs::function::gamma::ln_gamma;

use super::moments::{mean, spread};

/// Cohen's d_z of paired differences, their mean over their standard deviation, with Hedges' exact correction for few
/// pairs (Journal of Educational Statistics 6, 1981, equation 6e with n − 1 degrees of freedom). `None` below three
/// pairs, where the correction leaves nothing, and where all differences are alike.
pub fn hedges(differences: &[f64]) -> Option<f64> {
    if differences.len() < 3 {
        return None;
    }
    let freedom = (differences.len() - 1) as f64;
    let correction = (ln_gamma(freedom / 2.0) - ln_gamma((freedom - 1.0) / 2.0)).exp() / (freedom / 2.0).sqrt();
    Some(mean(differences)? / spread(differences)? * correction)
}

/// Probability of improvement P(X > Y) + ½ P(X = Y) of one run of x over one of y, in [0, 1] (Agarwal et al., "Deep
/// Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS 2021, section 4.3). `None` where either is empty.
pub fn improvement(x: &[f64], y: &[f64]) -> Option<f64> {
    let mut ordered = y.to_vec();
    ordered.sort_by(f64::total_cmp);
    let won = |x: &f64| {
        let below = ordered.partition_point(|y| y < x);
        let not_above = ordered.partition_point(|y| y <= x);
        (below + not_above) as f64 / 2.0
    };
    let pairs = x.len() * y.len();
    (pairs > 0).then(|| x.iter().map(won).sum::<f64>() / pairs as f64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::stats::reference;

    #[test]
    fn effects_equal_the_formula() {
        for case in reference::all().paired {
            let found = hedges(&case.differences).unwrap();
            assert!((found - case.effect).abs() < 1e-9, "{found}, {} expected", case.effect);
        }
        assert_eq!((hedges(&[0.1, 0.2]), hedges(&[0.1; 5])), (None, None));
    }

    #[test]
    fn improvement_equals_rliable_and_scipy() {
        for case in reference::all().two_samples {
            let found = improvement(&case.x, &case.y).unwrap();
            assert!((found - case.improvement).abs() < 1e-12 && (found - case.improvement_rliable).abs() < 1e-9);
        }
        assert_eq!(improvement(&[], &[0.1]), None);
    }

    proptest! {
        #[test]
        fn one_gains_what_the_other_loses(
            x in proptest::collection::vec(-4i32..4, 1..12),
            y in proptest::collection::vec(-4i32..4, 1..12),
        ) {
            let real = |v: Vec<i32>| v.into_iter().map(f64::from).collect::<Vec<_>>();
            let (x, y) = (real(x), real(y));
            let sum = improvement(&x, &y).unwrap() + improvement(&y, &x).unwrap();
            prop_assert!((sum - 1.0).abs() < 1e-12);
        }
    }
}
