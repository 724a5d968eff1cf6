//! A mode against the reference, paired by seed: every number that says whether they differ, and the sentence.

use super::{Cell, Difference, Early, REFERENCE, difference};
use crate::stats::{self, Interval, LEVEL, Permutation};
use crate::stop::Standing;

/// Scores are raw, not in points.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The task, or `the average of 4 tasks`.
    pub task: String,
    pub model: String,
    pub train_size: Option<u32>,
    pub mode: String,
    /// The mode and what is compared beside it.
    pub line: String,
    /// The setting that was chosen: `p=0.3 lr=2e-5`, or nothing.
    pub choice: String,
    /// Where, in words: the task, with model and size where the study has several.
    pub place: String,
    /// Runs that went wrong on either side, in words, or nothing.
    pub trouble: String,
    /// Pairs, mean and standard error.
    pub difference: Difference,
    /// 95 %, of the mean difference; `None` of one pair.
    pub interval: Option<Interval>,
    /// The sign-flip test.
    pub permutation: Permutation,
    /// p of Wilcoxon's signed-rank test.
    pub wilcoxon: f64,
    /// Differences whose signs the test flips: one for each pair of runs, on one task or on all.
    pub flips: usize,
    /// The sign-flip p after Holm over `family` comparisons: those by task, or those over tasks.
    pub holm: f64,
    pub family: usize,
    /// Cohen's d_z with Hedges' correction.
    pub effect: Option<f64>,
    /// Probability that a run of the mode scores more than one of the reference; seeds need not be shared.
    pub improvement: f64,
    /// ε of Almost Stochastic Order: below 0.5 the mode is the better one.
    pub epsilon: Option<f64>,
    /// Seeds at which a paired t test would see an effect of this size four times of five; never fewer than a sign-flip
    /// test needs. `None` where it is more than 10,000 or the effect is not known.
    pub seeds_needed: Option<usize>,
    /// How it is judged where seeds were given only while a comparison was open; `None` elsewhere.
    pub early: Option<Early>,
}

/// What a comparison found, at 5 % after Holm, or at its looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    Better,
    Worse,
    /// The seeds cannot tell.
    Open,
}

impl Comparison {
    /// On one task. `holm` and `family` are those of a family of one until [`adjust`] sets them. `None` where the two
    /// share no seed.
    pub(super) fn of(cell: &Cell, reference: &Cell, said: &[String]) -> Option<Comparison> {
        let paired = difference(cell, reference)?;
        let differences: Vec<f64> =
            cell.scores.iter().filter_map(|(seed, score)| Some(score - reference.scores.get(seed)?)).collect();
        let scores = |c: &Cell| c.scores.values().copied().collect::<Vec<f64>>();
        let (own, others) = (scores(cell), scores(reference));
        let permutation = stats::sign_flips(&differences)?;
        let effect = stats::hedges(&differences);
        Some(Comparison {
            task: cell.task.clone(),
            model: cell.model.clone(),
            train_size: cell.train_size,
            mode: cell.mode.clone(),
            line: cell.line(),
            choice: cell.choice(),
            place: [std::slice::from_ref(&cell.task), said].concat().join(", "),
            trouble: trouble(cell, reference),
            interval: stats::mean_interval(&differences),
            permutation,
            flips: differences.len(),
            wilcoxon: stats::signed_rank(&differences)?,
            holm: permutation.p,
            family: 1,
            effect,
            improvement: stats::improvement(&own, &others)?,
            epsilon: stats::almost_dominance(&own, &others),
            seeds_needed: effect.and_then(stats::seeds_needed).map(|n| n.max(least_seeds())),
            difference: paired,
            early: None,
        })
    }

    /// Over several tasks, by the differences of pairs of runs. Runs on different tasks share nothing but a seed's number,
    /// so that under the null the difference of each pair could as well have had the other sign.
    pub(super) fn over_tasks(self, differences: &[f64]) -> Option<Comparison> {
        let permutation = stats::sign_flips(differences)?;
        // On the scale of the mean difference, which weighs tasks and not pairs.
        let sum: f64 = differences.iter().sum();
        let scale = if sum == 0.0 { 1.0 } else { self.difference.mean * differences.len() as f64 / sum };
        let scaled: Vec<f64> = differences.iter().map(|d| d * scale).collect();
        Some(Comparison {
            interval: stats::mean_interval(&scaled),
            wilcoxon: stats::signed_rank(differences)?,
            holm: permutation.p,
            permutation,
            flips: differences.len(),
            ..self
        })
    }

    pub fn finding(&self) -> Finding {
        let (is_called, mean) = match &self.early {
            None => (self.holm < LEVEL, self.difference.mean),
            // Of the look that decided; more seeds may be there from another sweep.
            Some(Early::Looked(standing)) => (standing.is_decided(), standing.look.map_or(0.0, |look| look.difference)),
            Some(Early::Unjudged) => (false, 0.0),
        };
        match is_called {
            true if mean > 0.0 => Finding::Better,
            true if mean < 0.0 => Finding::Worse,
            _ => Finding::Open,
        }
    }

    /// Whether its seeds may still decide it.
    pub fn is_under_way(&self) -> bool {
        matches!(&self.early, Some(Early::Looked(standing)) if !standing.is_decided() && !standing.is_exhausted())
    }

    /// The sign-flip p after Holm; `None` where the number of seeds was not fixed, and it means nothing.
    pub fn p_holm(&self) -> Option<f64> {
        self.early.is_none().then_some(self.holm)
    }

    /// The sentence for a reader who reads nothing else.
    pub fn verdict(&self) -> String {
        let (line, place, n) = (&self.line, &self.place, self.difference.pairs);
        let mean = self.difference.mean * 100.0;
        let seeds = if n == 1 { "1 seed".to_owned() } else { format!("{n} seeds") };
        let range = self.interval.map_or(String::new(), |i| format!(" [{:.1}, {:.1}]", i.low * 100.0, i.high * 100.0));
        let after_holm = format!(" after Holm over {}", comparisons(self.family));
        let p = match &self.early {
            Some(Early::Looked(Standing { look: Some(look), of, .. })) => {
                format!(
                    "decided after {} of {of} seeds: p = {}, below the bound {}",
                    look.seeds,
                    short(look.p),
                    short(look.level)
                )
            }
            _ => p_is(self.holm) + &after_holm,
        };
        let told = |word: &str, range: String| {
            let by = mean.abs();
            let rest = if self.early.is_some() { p.clone() } else { format!("{p}, {seeds}") };
            format!("{line} is {word} than {REFERENCE} on {place} by {by:.1} points{range}, {rest}")
        };
        let noise = self.interval.map_or(0.0, Interval::half_width) * 100.0;
        let alone = stats::least_p(self.flips) >= LEVEL;
        let unreachable = format!("with {seeds} no test can reach {LEVEL}{}", if alone { "" } else { &after_holm });
        let sentence = match self.finding() {
            Finding::Better => told("better", range),
            Finding::Worse => {
                // The interval of how much worse it is.
                let turned = self
                    .interval
                    .map_or(String::new(), |i| format!(" [{:.1}, {:.1}]", -i.high * 100.0, -i.low * 100.0));
                told("worse", turned)
            }
            Finding::Open if self.early.is_some() => self.open_at_its_looks(),
            Finding::Open if n == 1 => {
                format!(
                    "1 seed cannot tell {line} from {REFERENCE} on {place} (difference {mean:+.1}): it has no spread"
                )
            }
            Finding::Open => {
                let about = format!("the difference {mean:+.1} of {line} and {REFERENCE} on {place}");
                let noisy = mean.abs() <= noise;
                let relation = if noisy { "is within" } else { "is beyond" };
                // Holm multiplies the smallest p by the size of the family.
                let why = match stats::least_p(self.flips) * self.family as f64 >= LEVEL {
                    true => format!("{} {unreachable}", if noisy { "and" } else { "but" }),
                    false if noisy => p,
                    false => format!("but {p}"),
                };
                format!("{seeds} cannot tell: {about} {relation} the noise {noise:.1}, {why}")
            }
        };
        let trouble = &self.trouble;
        if trouble.is_empty() { format!("{sentence}.") } else { format!("{sentence}. Went wrong: {trouble}.") }
    }

    /// What is said while no look has decided.
    fn open_at_its_looks(&self) -> String {
        let (line, place) = (&self.line, &self.place);
        let difference = |mean: f64| format!("the difference {:+.1}", mean * 100.0);
        match &self.early {
            Some(Early::Looked(Standing { look: Some(look), of, .. })) => {
                let (p, bound) = (short(look.p), short(look.level));
                let difference = difference(look.difference);
                match look.seeds == *of {
                    true => format!(
                        "All {of} seeds cannot tell: {difference} of {line} and {REFERENCE} on {place} has p = {p}, above \
                         the last bound {bound}"
                    ),
                    false => format!(
                        "{} of {of} seeds have not decided yet: {difference} of {line} and {REFERENCE} on {place} has p = \
                         {p}, above the bound {bound} of this look",
                        look.seeds
                    ),
                }
            }
            Some(Early::Looked(_)) => {
                format!("{line} and {REFERENCE} on {place}: fewer seeds are done than the first look needs")
            }
            Some(Early::Unjudged) | None => format!(
                "{line} and {REFERENCE} on {place} are not judged ({}): how many seeds there are was decided by other \
                 scores, and no test of a fixed number holds",
                difference(self.difference.mean)
            ),
        }
    }

    /// How many seeds it would take, where this number of seeds cannot tell.
    pub fn power_line(&self) -> Option<String> {
        let is_tested = self.early != Some(Early::Unjudged) && !self.is_under_way();
        if self.finding() != Finding::Open || self.effect.is_none() || !is_tested {
            return None;
        }
        Some(match self.seeds_needed {
            Some(n) => format!("About {n} seeds would show it at 80 % power, were the effect as large as seen."),
            None => "More than 10,000 seeds would be needed to show so small an effect.".to_owned(),
        })
    }
}

/// Sets Holm's p over all of them as one family.
pub(super) fn adjust<'a>(comparisons: impl IntoIterator<Item = &'a mut Comparison>) {
    let all: Vec<&mut Comparison> = comparisons.into_iter().collect();
    let raw: Vec<f64> = all.iter().map(|c| c.permutation.p).collect();
    let family = raw.len();
    for (comparison, p) in all.into_iter().zip(stats::holm(&raw)) {
        (comparison.holm, comparison.family) = (p, family);
    }
}

/// The fewest pairs at which a sign-flip test can reach 5 %.
fn least_seeds() -> usize {
    (1..).find(|n| stats::least_p(*n) < LEVEL).unwrap_or(usize::MAX)
}

fn trouble(cell: &Cell, reference: &Cell) -> String {
    let of = |c: &Cell, name: String| {
        let trouble = c.trouble();
        (!trouble.is_empty()).then(|| format!("{name} {trouble}"))
    };
    let both = [of(cell, cell.line()), of(reference, reference.line())];
    both.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// A p value with two or three decimals: `0.02`, `0.023`, `0.40`, `< 0.001`.
pub(super) fn p_text(p: f64) -> String {
    match p {
        ..0.001 => "< 0.001".to_owned(),
        ..0.1 => format!("{p:.3}").trim_end_matches('0').to_owned(),
        _ => format!("{p:.2}"),
    }
}

/// A p value or a bound of a look, however small: `0.023`, `2e-6`.
pub fn short(p: f64) -> String {
    if p < 0.001 { format!("{p:.0e}") } else { p_text(p) }
}

/// `p = 0.02`.
fn p_is(p: f64) -> String {
    if p < 0.001 { format!("p {}", p_text(p)) } else { format!("p = {}", p_text(p)) }
}

fn comparisons(n: usize) -> String {
    if n == 1 { "1 comparison".to_owned() } else { format!("{n} comparisons") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::frame::example;

    fn compared(differences: &[f64]) -> Comparison {
        let seeds = || 1u64..;
        let reference: Vec<(u64, f64)> = seeds().zip(differences).map(|(s, _)| (s, 0.6 + 0.001 * s as f64)).collect();
        let own: Vec<(u64, f64)> =
            reference.iter().zip(differences).map(|((seed, score), d)| (*seed, score + d)).collect();
        Comparison::of(&example::cell("child-d", &own), &example::cell("vanilla", &reference), &[]).unwrap()
    }

    #[test]
    fn a_clear_difference_is_said_with_all_that_stands_behind_it() {
        let mut found = compared(&[0.02, 0.018, 0.022, 0.019, 0.021, 0.02, 0.017, 0.023]);
        adjust([&mut found]);
        assert_eq!(found.finding(), Finding::Better);
        let said = found.verdict();
        assert_eq!(
            said,
            "child-d is better than vanilla on rte by 2.0 points [1.8, 2.2], p = 0.008 after Holm over 1 comparison, 8 seeds."
        );
        assert_eq!((found.power_line(), found.epsilon, found.seeds_needed), (None, Some(0.0), Some(6)));

        let turned = compared(&[-0.02, -0.018, -0.022, -0.019, -0.021, -0.02, -0.017, -0.023]);
        assert_eq!(turned.finding(), Finding::Worse);
        assert!(turned.verdict().starts_with("child-d is worse than vanilla on rte by 2.0 points [1.8, 2.2]"));
    }

    #[test]
    fn few_seeds_cannot_tell_and_it_says_why() {
        let noisy = compared(&[0.02, -0.01, 0.014]);
        assert_eq!(
            noisy.verdict(),
            "3 seeds cannot tell: the difference +0.8 of child-d and vanilla on rte is within the noise 3.9, and with 3 \
             seeds no test can reach 0.05."
        );
        assert!(noisy.power_line().unwrap().starts_with("About "));
        let clear = compared(&[0.02, 0.021, 0.019, 0.02]);
        assert_eq!(clear.finding(), Finding::Open);
        assert!(clear.verdict().ends_with("is beyond the noise 0.1, but with 4 seeds no test can reach 0.05."));
        assert_eq!(
            clear.power_line().unwrap(),
            "About 6 seeds would show it at 80 % power, were the effect as large as seen."
        );
        assert_eq!(
            compared(&[0.02]).verdict(),
            "1 seed cannot tell child-d from vanilla on rte (difference +2.0): it has no spread."
        );
    }

    #[test]
    fn equal_scores_are_no_difference() {
        let found = compared(&[0.0; 8]);
        assert_eq!((found.finding(), found.holm, found.effect, found.power_line()), (Finding::Open, 1.0, None, None));
        assert!(found.verdict().starts_with("8 seeds cannot tell: the difference +0.0"));
    }

    #[test]
    fn a_family_makes_it_harder() {
        let mut one = [compared(&[0.02, 0.021, -0.019, 0.02, 0.022, 0.018, 0.01, -0.03])];
        adjust(&mut one);
        assert!(one[0].verdict().contains("is within the noise") && one[0].verdict().contains(", p = 0."));
        let mut family: Vec<Comparison> = (0..9).map(|_| compared(&[0.02, 0.021, 0.019, 0.02, 0.022, 0.018])).collect();
        assert_eq!(family[0].finding(), Finding::Better);
        adjust(&mut family);
        assert!(family.iter().all(|c| c.finding() == Finding::Open && c.family == 9));
        let said = family[0].verdict();
        assert!(
            said.contains("is beyond the noise")
                && said.ends_with("but with 6 seeds no test can reach 0.05 after Holm over 9 comparisons."),
            "{said}"
        );
    }

    #[test]
    fn p_values_are_short() {
        let said: Vec<String> = [0.0001, 0.02, 0.0234, 0.4, 1.0].into_iter().map(p_text).collect();
        assert_eq!(said, ["< 0.001", "0.02", "0.023", "0.40", "1.00"]);
    }
}
