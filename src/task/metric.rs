//! The metrics of GLUE. A score is `None` where the metric is undefined, so that nobody takes it for a zero.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How predictions are compared with labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Share of predictions that equal the label, [0, 1].
    Accuracy,
    /// Harmonic mean of precision and recall of class 1, [0, 1]; undefined if that class is neither predicted nor
    /// present.
    F1,
    /// Matthews' correlation of two or more classes, [-1, 1]; undefined if predictions or labels are all one class.
    Matthews,
    /// Linear correlation, [-1, 1]; undefined for constant predictions or labels.
    Pearson,
    /// Correlation of ranks, ties given their average rank, [-1, 1]; undefined for constant predictions or labels.
    Spearman,
}

impl Metric {
    pub const ALL: [Metric; 5] = [Metric::Accuracy, Metric::F1, Metric::Matthews, Metric::Pearson, Metric::Spearman];

    pub fn name(self) -> &'static str {
        match self {
            Metric::Accuracy => "accuracy",
            Metric::F1 => "f1",
            Metric::Matthews => "matthews",
            Metric::Pearson => "pearson",
            Metric::Spearman => "spearman",
        }
    }

    pub fn parse(name: &str) -> Option<Metric> {
        Metric::ALL.into_iter().find(|metric| metric.name() == name)
    }

    /// Compares values rather than classes.
    pub fn is_regression(self) -> bool {
        matches!(self, Metric::Pearson | Metric::Spearman)
    }

    /// The score of predictions against labels, both class indices or both values; `None` where it is undefined,
    /// which includes no rows at all and values that are not finite.
    ///
    /// # Panics
    /// If the two differ in length.
    pub fn of(self, predictions: &[f32], labels: &[f32]) -> Option<f64> {
        assert_eq!(predictions.len(), labels.len(), "as many predictions as labels");
        if labels.is_empty() || predictions.iter().chain(labels).any(|value| !value.is_finite()) {
            return None;
        }
        match self {
            Metric::Accuracy => Some(count(predictions, labels, |p, l| p == l) / labels.len() as f64),
            Metric::F1 => f1(predictions, labels),
            Metric::Matthews => matthews(predictions, labels),
            Metric::Pearson => pearson(&widened(predictions), &widened(labels)),
            Metric::Spearman => pearson(&ranks(predictions), &ranks(labels)),
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Whether predictions are all one class or, but for rounding, one value: a run that learnt nothing.
pub fn collapsed(predictions: &[f32]) -> bool {
    let (low, high) = predictions.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), &p| (l.min(p), h.max(p)));
    high - low <= 1e-6 * low.abs().max(high.abs()).max(1.0)
}

fn count(predictions: &[f32], labels: &[f32], hit: impl Fn(f32, f32) -> bool) -> f64 {
    predictions.iter().zip(labels).filter(|&(&p, &l)| hit(p, l)).count() as f64
}

fn f1(predictions: &[f32], labels: &[f32]) -> Option<f64> {
    let both = count(predictions, labels, |p, l| p == 1.0 && l == 1.0);
    let either = count(predictions, labels, |p, l| p == 1.0 || l == 1.0);
    (either > 0.0).then(|| 2.0 * both / (both + either))
}

/// Gorodkin's R_K; for two classes, Matthews' phi.
fn matthews(predictions: &[f32], labels: &[f32]) -> Option<f64> {
    let top = predictions.iter().chain(labels).fold(0.0_f32, |top, &class| top.max(class));
    let classes = top as usize + 1;
    let (mut predicted, mut present) = (vec![0.0; classes], vec![0.0; classes]);
    for (&p, &l) in predictions.iter().zip(labels) {
        predicted[p as usize] += 1.0;
        present[l as usize] += 1.0;
    }
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let n = labels.len() as f64;
    let covariance = n * count(predictions, labels, |p, l| p == l) - dot(&predicted, &present);
    let variances = (n * n - dot(&predicted, &predicted)) * (n * n - dot(&present, &present));
    (variances > 0.0).then(|| covariance / variances.sqrt())
}

fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    // Compared as they are: the rounding of a mean would hide that they are constant.
    let constant = |values: &[f64]| values.iter().all(|value| *value == values[0]);
    if constant(x) || constant(y) {
        return None;
    }
    let centred = |values: &[f64]| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        values.iter().map(|value| value - mean).collect::<Vec<f64>>()
    };
    let (x, y) = (centred(x), centred(y));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(p, q)| p * q).sum::<f64>();
    let norms = dot(&x, &x).sqrt() * dot(&y, &y).sqrt();
    (norms > 0.0).then(|| (dot(&x, &y) / norms).clamp(-1.0, 1.0))
}

fn widened(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// Ranks from 1; equal values share the mean of the ranks that they take up.
fn ranks(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for tied in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let mean = before as f64 + (tied.len() + 1) as f64 / 2.0;
        tied.iter().for_each(|&place| ranks[place] = mean);
        before += tied.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Made by tests/reference/metrics.py with scikit-learn and SciPy.
    #[derive(Deserialize)]
    struct Case {
        name: String,
        predictions: Vec<f32>,
        labels: Vec<f32>,
        scores: std::collections::BTreeMap<String, Option<f64>>,
    }

    #[test]
    fn scores_equal_scikit_learn_and_scipy() {
        let cases: Vec<Case> = serde_json::from_str(include_str!("../../tests/reference/metrics.json")).unwrap();
        let mut compared = 0;
        for case in &cases {
            for (metric, expected) in &case.scores {
                let found = Metric::parse(metric).unwrap().of(&case.predictions, &case.labels);
                let near = match (found, expected) {
                    (Some(found), Some(expected)) => (found - expected).abs() < 1e-9,
                    (found, expected) => found.is_none() && expected.is_none(),
                };
                assert!(near, "{metric} of {}: {found:?}, {expected:?} expected", case.name);
                compared += 1;
            }
        }
        assert!(compared >= 30, "only {compared} scores compared");
    }

    #[test]
    fn undefined_is_never_a_number() {
        for metric in Metric::ALL {
            assert_eq!(metric.of(&[], &[]), None);
            assert_eq!(metric.of(&[f32::NAN, 1.0], &[0.0, 1.0]), None);
        }
    }

    #[test]
    fn collapse_is_seen_through_rounding() {
        assert!(collapsed(&[1.0, 1.0]) && collapsed(&[2.5, 2.500_000_2]));
        assert!(!collapsed(&[0.0, 1.0]) && !collapsed(&[2.5, 2.51]));
    }

    #[test]
    fn names_are_read_back() {
        Metric::ALL.iter().for_each(|metric| assert_eq!(Metric::parse(metric.name()), Some(*metric)));
        assert_eq!(Metric::parse("auc"), None);
    }
}
