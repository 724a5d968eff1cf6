//! Mean, standard deviation and median.

/// Arithmetic mean; `None` of nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Standard deviation of the sample, over n − 1; `None` below two values.
pub fn deviation(values: &[f64]) -> Option<f64> {
    let centre = mean(values)?;
    let squares: f64 = values.iter().map(|x| (x - centre).powi(2)).sum();
    (values.len() > 1).then(|| (squares / (values.len() - 1) as f64).sqrt())
}

/// The middle value, or the mean of the two in the middle; `None` of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[half]),
        _ => Some((sorted[half - 1] + sorted[half]) / 2.0),
    }
}

/// The standard deviation, where the values differ by more than rounding.
pub(super) fn spread(values: &[f64]) -> Option<f64> {
    let largest = values.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    deviation(values).filter(|sd| *sd > 1e-12 * largest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_samples() {
        assert_eq!((mean(&[]), deviation(&[1.0]), median(&[])), (None, None, None));
        assert_eq!(
            (mean(&[1.0, 2.0, 6.0]), median(&[6.0, 1.0, 2.0]), median(&[4.0, 1.0])),
            (Some(3.0), Some(2.0), Some(2.5))
        );
        // numpy.std([1, 2, 6], ddof=1)
        assert!(deviation(&[1.0, 2.0, 6.0]).is_some_and(|sd| (sd - 2.645_751_311_064_590_7).abs() < 1e-15));
        assert_eq!((spread(&[0.1 + 0.2, 0.3]), spread(&[0.0, 0.0])), (None, None));
    }
}
