//! Group-sequential bounds: how small a p value must be at each of several looks at growing data, so that the chance
//! that any of them calls a difference where there is none stays what one look would have.
//!
//! The chance is spent look by look (Lan and DeMets, Biometrika 70, 1983), and the level of a look is what leaves just
//! its share, found by integrating the density of the sum over the looks before (Armitage, McPherson and Rowe, Journal
//! of the Royal Statistical Society A 132, 1969; Jennison and Turnbull, Group Sequential Methods, 2000, chapters 7
//! and 19). Levels of a standard normal statistic serve a t statistic of the same p value (there, section 3.8).

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

use super::moments::{mean, spread};
use super::sign_flips;

/// How the chance of a false call is spent over the looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spending {
    /// Next to nothing at first: the last look is nearly that of a fixed number of seeds.
    #[default]
    #[serde(rename = "obrien-fleming")]
    OBrienFleming,
    /// About the same at each look: more early stops, a harder last look.
    Pocock,
}

impl Spending {
    /// The chance spent when a share `t` in (0, 1] of the information is in, of `alpha` in all, two-sided.
    fn spent(self, alpha: f64, t: f64) -> f64 {
        match self {
            // Of each side, as the programs of the field have it.
            Spending::OBrienFleming => {
                let quantile = Normal::standard().inverse_cdf(1.0 - alpha / 4.0);
                4.0 * Normal::standard().sf(quantile / t.sqrt())
            }
            Spending::Pocock => alpha * (t * (std::f64::consts::E - 1.0)).ln_1p(),
        }
    }
}

/// Points of the grid for each standard deviation of an increment, and the deviations beyond which nothing lies.
const POINTS: f64 = 12.0;
const REACH: f64 = 9.0;

/// The two-sided level of each look: a p value below it ends the comparison. `information` holds the pairs at each look,
/// rising, and `of` the pairs that the last look was planned with. If the last of the looks is the last there is,
/// `is_complete`, all that is left is spent there, though pairs may have been lost. A level may be 0: no p value is small
/// enough.
pub fn look_levels(spending: Spending, alpha: f64, information: &[u32], of: u32, is_complete: bool) -> Vec<f64> {
    let mut walk = Walk::default();
    let mut spent = 0.0;
    let mut levels = Vec::new();
    for (look, pairs) in information.iter().enumerate() {
        let time = f64::from(*pairs) / f64::from(of.max(1));
        let is_rising = look == 0 || *pairs > information[look - 1];
        if !is_rising || time <= 0.0 {
            // No new pair: nothing to look at.
            levels.push(0.0);
            continue;
        }
        let is_last = is_complete && look + 1 == information.len();
        let due = if is_last { alpha } else { spending.spent(alpha, time.min(1.0)).min(alpha) };
        let bound = walk.bound(time, (due - spent).max(0.0));
        spent = due.max(spent);
        walk.go_on(time, bound);
        levels.push(2.0 * Normal::standard().sf(bound / time.sqrt()));
    }
    levels
}

/// The sum of differences on its way, scaled so that its variance at time t is t: its density where no look has ended
/// it yet.
#[derive(Debug, Default)]
struct Walk {
    time: f64,
    /// Weights of Simpson's rule times density, at these places; at time 0 the walk is at 0.
    mass: Vec<(f64, f64)>,
}

impl Walk {
    /// The chance that at this time the sum lies at least `bound` from 0.
    fn beyond(&self, time: f64, bound: f64) -> f64 {
        let normal = Normal::standard();
        let sd = (time - self.time).sqrt();
        match &self.mass[..] {
            [] => 2.0 * normal.sf(bound / sd),
            mass => mass.iter().map(|(s, m)| m * (normal.sf((bound - s) / sd) + normal.sf((bound + s) / sd))).sum(),
        }
    }

    /// The bound that the sum crosses at this time with this chance; infinite where that is too little to tell from none.
    fn bound(&self, time: f64, chance: f64) -> f64 {
        if chance < 1e-15 {
            return f64::INFINITY;
        }
        let (mut low, mut high) = (0.0, REACH * time.sqrt());
        for _ in 0..60 {
            let middle = (low + high) / 2.0;
            if self.beyond(time, middle) > chance { low = middle } else { high = middle }
        }
        (low + high) / 2.0
    }

    /// Goes on to a later time with what lies within `bound` there.
    fn go_on(&mut self, time: f64, bound: f64) {
        let sd = (time - self.time).sqrt();
        let end = bound.min(REACH * time.sqrt());
        let pairs = (end / sd * POINTS).ceil().max(24.0) as usize;
        let step = end / pairs as f64;
        let at = |s: f64| -> f64 {
            let density = |x: f64| (-0.5 * (x / sd).powi(2)).exp() / (sd * (2.0 * std::f64::consts::PI).sqrt());
            match &self.mass[..] {
                [] => density(s),
                mass => mass.iter().map(|(from, m)| m * density(s - from)).sum(),
            }
        };
        let weight = |i: usize| match i {
            i if i == 0 || i == 2 * pairs => 1.0,
            i if i % 2 == 1 => 4.0,
            _ => 2.0,
        };
        let place = |i: usize| (i as f64 - pairs as f64) * step;
        self.mass = (0..=2 * pairs).map(|i| (place(i), weight(i) * step / 3.0 * at(place(i)))).collect();
        self.time = time;
    }
}

/// Two-sided p of Student's paired t test, in (0, 1]; of differences that are all alike that of the sign-flip test, since
/// no spread is known. `None` below two differences.
pub fn paired_t(differences: &[f64]) -> Option<f64> {
    let n = differences.len();
    if n < 2 {
        return None;
    }
    let Some(sd) = spread(differences) else { return sign_flips(differences).map(|test| test.p) };
    let t = mean(differences)? / sd * (n as f64).sqrt();
    let student = StudentsT::new(0.0, 1.0, (n - 1) as f64).ok()?;
    Some((2.0 * student.sf(t.abs())).clamp(f64::MIN_POSITIVE, 1.0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::stats::reference;

    /// The chance that a walk without drift crosses any of these bounds of a normal statistic.
    fn crossing(times: &[f64], bounds: &[f64]) -> f64 {
        let mut walk = Walk::default();
        let mut chance = 0.0;
        for (time, bound) in times.iter().zip(bounds) {
            chance += walk.beyond(*time, bound * time.sqrt());
            walk.go_on(*time, bound * time.sqrt());
        }
        chance
    }

    #[test]
    fn the_recursion_gives_the_published_constants() {
        let times: Vec<f64> = (1..=5).map(|k| f64::from(k) / 5.0).collect();
        // Jennison and Turnbull, tables 2.1 and 2.3: five looks, two-sided 0.05.
        let pocock = crossing(&times, &[2.413; 5]);
        let obrien: Vec<f64> = times.iter().map(|t| 2.040 / t.sqrt()).collect();
        assert!((pocock - 0.05).abs() < 1e-4, "{pocock}");
        assert!((crossing(&times, &obrien) - 0.05).abs() < 1e-4, "{obrien:?}");
        let rounded: Vec<String> = obrien.iter().map(|z| format!("{z:.2}")).collect();
        assert_eq!(rounded, ["4.56", "3.23", "2.63", "2.28", "2.04"]);
        // The naive one: five looks at 1.96 call a difference in 14 % of the nulls (Armitage et al., table 2).
        assert!((crossing(&times, &[1.96; 5]) - 0.142).abs() < 1e-3);
    }

    #[test]
    fn levels_equal_an_independent_program() {
        let reference::Sequential { looks, student } = reference::sequential();
        for case in looks {
            let found = look_levels(
                case.spending,
                case.alpha,
                &case.information,
                case.of,
                case.information.last() == Some(&case.of),
            );
            for (found, expected) in found.iter().zip(&case.levels) {
                let near = (found - expected).abs() <= 2e-4 * expected + 2e-8;
                assert!(near, "{:?} {:?}: {found:e}, {expected:e} expected", case.spending, case.information);
            }
        }
        for (case, expected) in reference::all().paired.iter().zip(student) {
            let found = paired_t(&case.differences).unwrap();
            assert!((found - expected).abs() < 1e-9, "{found}, {expected} expected");
        }
    }

    #[test]
    fn one_look_is_a_plain_test_and_all_is_spent_at_the_last() {
        for spending in [Spending::OBrienFleming, Spending::Pocock] {
            let one = look_levels(spending, 0.05, &[20], 20, true);
            assert!((one[0] - 0.05).abs() < 1e-9, "{one:?}");
            let many: Vec<u32> = (5..=60).collect();
            let levels = look_levels(spending, 0.05 / 7.0, &many, 60, true);
            let bounds: Vec<f64> = levels.iter().map(|p| Normal::standard().inverse_cdf(1.0 - p / 2.0)).collect();
            let times: Vec<f64> = many.iter().map(|n| f64::from(*n) / 60.0).collect();
            assert!((crossing(&times, &bounds) - 0.05 / 7.0).abs() < 1e-6, "{spending:?}");
        }
        // A look without a new pair decides nothing, and costs nothing.
        let (with, without) = ([5, 5, 10], [5, 10]);
        let levels = look_levels(Spending::Pocock, 0.05, &with, 10, true);
        assert_eq!(levels[1], 0.0);
        assert!((levels[2] - look_levels(Spending::Pocock, 0.05, &without, 10, true)[1]).abs() < 1e-12);
        assert_eq!(look_levels(Spending::OBrienFleming, 1e-9, &[1, 100], 100, true)[0], 0.0);
        assert!(look_levels(Spending::Pocock, 0.05, &[], 10, true).is_empty());
    }

    #[test]
    fn differences_without_spread_are_judged_by_their_signs() {
        assert_eq!(paired_t(&[0.01; 5]), Some(0.0625));
        assert_eq!((paired_t(&[0.0; 5]), paired_t(&[0.1])), (Some(1.0), None));
    }

    /// How often any look calls a difference, of studies where there is none.
    fn false_calls(levels: &[f64], looks: &[u32], draw: &mut dyn FnMut() -> f64) -> f64 {
        const STUDIES: usize = 20_000;
        let last = *looks.last().unwrap() as usize;
        let called = (0..STUDIES).filter(|_| {
            let differences: Vec<f64> = (0..last).map(|_| draw()).collect();
            looks.iter().zip(levels).any(|(n, level)| paired_t(&differences[..*n as usize]).unwrap() < *level)
        });
        called.count() as f64 / STUDIES as f64
    }

    #[test]
    fn nulls_are_called_different_no_more_often_than_allowed_and_naive_looks_are() {
        let looks = [5, 10, 15, 20];
        let allowed = 0.05 + 3.0 * (0.05_f64 * 0.95 / 20_000.0).sqrt();
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let mut uniform = move || ((random.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        let mut normal = || Normal::standard().inverse_cdf(uniform());
        for spending in [Spending::OBrienFleming, Spending::Pocock] {
            let rate = false_calls(&look_levels(spending, 0.05, &looks, 20, true), &looks, &mut normal);
            assert!(rate < allowed && rate > 0.03, "{spending:?}: {rate}");
        }
        // Scores of 150 dev examples, two runs of which differ by about two examples.
        let mut coarse = || (normal() * 2.0).round() / 150.0;
        let rate = false_calls(&look_levels(Spending::OBrienFleming, 0.05, &looks, 20, true), &looks, &mut coarse);
        assert!(rate < allowed, "coarse scores: {rate}");
        let naive = false_calls(&[0.05; 4], &looks, &mut normal);
        assert!(naive > 0.1, "naive looks: {naive}");
    }
}
