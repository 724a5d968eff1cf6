//! Ranks of several modes over several tasks: Friedman's test, and Nemenyi's critical difference (Demšar, "Statistical
//! Comparisons of Classifiers over Multiple Data Sets", JMLR 7, 2006, section 3.2).

use statrs::distribution::{ChiSquared, ContinuousCDF, Normal};

use super::LEVEL;

/// What a critical-difference diagram shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranks {
    /// Mean rank of each mode over the tasks, 1 the best, in the order given.
    pub mean: Vec<f64>,
    /// Friedman's χ² with the correction for ties, and its p value; p = 1 where every task ranks all alike.
    pub statistic: f64,
    pub p: f64,
    /// Two modes whose mean ranks differ by less cannot be told apart at 95 %.
    pub critical: f64,
    /// Largest groups of two modes or more that cannot be told apart, as places in the order given, best first. A group
    /// that lies within another is left out.
    pub cliques: Vec<Vec<usize>>,
}

/// `scores` are `[tasks][modes]`, more is better. `None` below two tasks or two modes, or where rows differ in length.
pub fn rank_lines(scores: &[Vec<f64>]) -> Option<Ranks> {
    let (n, k) = (scores.len(), scores.first()?.len());
    if n < 2 || k < 2 || scores.iter().any(|row| row.len() != k) {
        return None;
    }
    let (mut sums, mut ties) = (vec![0.0; k], 0.0);
    for row in scores {
        let mut order: Vec<usize> = (0..k).collect();
        order.sort_by(|a, b| row[*b].total_cmp(&row[*a]));
        let mut before = 0;
        for tied in order.chunk_by(|a, b| row[*a] == row[*b]) {
            let t = tied.len();
            tied.iter().for_each(|mode| sums[*mode] += before as f64 + (t + 1) as f64 / 2.0);
            ties += (t as f64).powi(3) - t as f64;
            before += t;
        }
    }
    let (tasks, modes) = (n as f64, k as f64);
    let squares: f64 = sums.iter().map(|sum| sum * sum).sum();
    let plain = 12.0 / (tasks * modes * (modes + 1.0)) * squares - 3.0 * tasks * (modes + 1.0);
    let correction = 1.0 - ties / (tasks * modes * (modes * modes - 1.0));
    let (statistic, p) = if correction > 1e-12 {
        let statistic = plain / correction;
        (statistic, ChiSquared::new(modes - 1.0).map_or(1.0, |law| law.sf(statistic.max(0.0))))
    } else {
        (0.0, 1.0)
    };
    let mean: Vec<f64> = sums.iter().map(|sum| sum / tasks).collect();
    let critical = studentized_range(k) / 2f64.sqrt() * (modes * (modes + 1.0) / (6.0 * tasks)).sqrt();
    Some(Ranks { cliques: cliques(&mean, critical), mean, statistic, p, critical })
}

fn cliques(mean: &[f64], critical: f64) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..mean.len()).collect();
    order.sort_by(|a, b| mean[*a].total_cmp(&mean[*b]));
    let (mut found, mut reached) = (Vec::new(), 0);
    for first in 0..order.len() {
        let end = order.partition_point(|mode| mean[*mode] - mean[order[first]] < critical);
        // One that reaches no further than the last lies within it.
        if end - first > 1 && end > reached {
            found.push(order[first..end].to_vec());
            reached = end;
        }
    }
    found
}

/// The 95 % point of the range of k standard normal draws, found by halving.
fn studentized_range(k: usize) -> f64 {
    let (mut low, mut high) = (0.0, 20.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if range_below(middle, k) < 1.0 - LEVEL { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

/// P(range of k standard normal draws ≤ q) = k ∫ φ(z) (Φ(z) − Φ(z − q))^(k−1) dz, z the largest. The integrand is
/// smooth and dies at both ends, where the trapezoidal rule is as good as any.
fn range_below(q: f64, k: usize) -> f64 {
    const STEP: f64 = 0.05;
    let cdf = |z: f64| Normal::standard().cdf(z);
    let density = |z: f64| (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let at = |i: i32| {
        let z = f64::from(i) * STEP;
        density(z) * (cdf(z) - cdf(z - q)).powi(k as i32 - 1)
    };
    k as f64 * STEP * (-180..=180).map(at).sum::<f64>()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::stats::reference;

    #[test]
    fn ranks_and_tests_equal_scipy_and_autorank() {
        for case in reference::all().ranks {
            let found = rank_lines(&case.rows).unwrap();
            for (found, expected) in found.mean.iter().zip(&case.ranks) {
                assert!((found - expected).abs() < 1e-9);
            }
            assert!((found.statistic - case.statistic).abs() < 1e-9 && (found.p - case.p).abs() < 1e-9, "{found:?}");
            assert!((found.critical - case.cd).abs() < 1e-6, "{found:?}, {} expected", case.cd);
        }
    }

    #[test]
    fn critical_values_are_those_of_the_paper() {
        // Demšar 2006, table 5(a): q / √2.
        for (k, expected) in [(2, 1.960), (3, 2.343), (5, 2.728), (10, 3.164)] {
            assert!((studentized_range(k) / 2f64.sqrt() - expected).abs() < 1e-3, "{k}");
        }
    }

    #[test]
    fn cliques_are_largest_groups_within_the_critical_difference() {
        assert_eq!(cliques(&[4.0, 1.0, 1.8, 2.5], 1.0), [vec![1, 2], vec![2, 3]]);
        assert_eq!(cliques(&[1.0, 1.2, 1.4], 1.0), [vec![0, 1, 2]]);
        assert!(cliques(&[1.0, 3.0], 1.0).is_empty());
    }

    #[test]
    fn what_cannot_be_ranked() {
        assert_eq!(rank_lines(&[]), None);
        assert_eq!(rank_lines(&[vec![0.1, 0.2]]), None);
        assert_eq!(rank_lines(&[vec![0.1, 0.2], vec![0.1]]), None);
        let alike = rank_lines(&[vec![0.1, 0.1], vec![0.2, 0.2]]).unwrap();
        assert_eq!((alike.p, alike.mean), (1.0, vec![1.5, 1.5]));
    }
}
