//! Holm's correction for several tests at once.

/// p values adjusted so that rejecting those below α keeps the chance of any false rejection in the family below α,
/// whatever their dependence, in the order given (Holm, Scandinavian Journal of Statistics 6, 1979).
pub fn holm(raw: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..raw.len()).collect();
    order.sort_by(|a, b| raw[*a].total_cmp(&raw[*b]));
    let mut adjusted = vec![1.0; raw.len()];
    let mut largest = 0.0f64;
    for (before, place) in order.into_iter().enumerate() {
        largest = largest.max((raw.len() - before) as f64 * raw[place]).min(1.0);
        adjusted[place] = largest;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stats::reference;

    #[test]
    fn adjusted_values_equal_statsmodels() {
        for case in reference::all().holm {
            let found = holm(&case.raw);
            assert_eq!(found.len(), case.adjusted.len());
            for (found, expected) in found.iter().zip(&case.adjusted) {
                assert!((found - expected).abs() < 1e-12, "{found}, {expected} expected");
            }
        }
        assert!(holm(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn it_raises_keeps_the_order_and_stays_a_probability(raw in proptest::collection::vec(0.0..1.0f64, 1..30)) {
            let adjusted = holm(&raw);
            for (i, p) in raw.iter().enumerate() {
                prop_assert!(adjusted[i] >= *p && adjusted[i] <= 1.0);
                for (j, q) in raw.iter().enumerate() {
                    prop_assert!(p > q || adjusted[i] <= adjusted[j]);
                }
            }
        }
    }
}
