//! Two sets of cells against each other: two sweeps, two modes, two versions of the program.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Cell;
use crate::stats::{Interval, LEVEL, holm, mean_interval, sign_flips};
use crate::stop::{Look, Standing};

/// What can be said of the second side after the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Better,
    Worse,
    /// Every seed scored the same on both sides.
    Same,
    /// The difference may be noise, or no seed is common to both.
    Open,
}

impl Verdict {
    pub fn words(self) -> &'static str {
        match self {
            Verdict::Better => "better",
            Verdict::Worse => "worse",
            Verdict::Same => "the same",
            Verdict::Open => "cannot be told",
        }
    }
}

/// One setting on both sides, paired by seed. Scores are raw, not in points.
#[derive(Debug, Clone)]
pub struct Match<'a> {
    pub first: &'a Cell,
    pub second: &'a Cell,
    /// What tells this match from the others of its task: `child-d p=0.3 lr=2e-5`.
    pub setting: String,
    /// Seeds with a score on both sides; the means are over these.
    pub pairs: usize,
    pub means: Option<[f64; 2]>,
    /// Mean of second less first.
    pub difference: Option<f64>,
    /// 95 %, of the mean difference.
    pub interval: Option<Interval>,
    /// Sign-flip test, two-sided; and after Holm over all matches.
    pub p: Option<f64>,
    pub adjusted: Option<f64>,
    pub verdict: Verdict,
    /// How the comparison stands where seeds were added only while it was open: then `p` is that of its last look, and the
    /// verdict by its bound.
    pub looked: Option<&'a Standing>,
}

/// All matches of two sides, in the order of the first.
#[derive(Debug, Clone)]
pub struct Versus<'a> {
    pub matches: Vec<Match<'a>>,
    /// What is compared: a setting, its values on the first and on the second side.
    pub compared: Vec<(String, [Vec<String>; 2])>,
    /// Cells without a counterpart on the other side.
    pub alone: [Vec<&'a Cell>; 2],
}

/// Pairs the cells of two sides. On each task, a setting that has one value on one side and never that value on the
/// other is what is compared; all other settings must be equal for two cells to meet.
pub fn versus<'a>(first: &'a [Cell], second: &'a [Cell]) -> Versus<'a> {
    let all: Vec<&Cell> = first.iter().chain(second).collect();
    let names = names(&all);
    let mut compared: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for cell in &all {
        let task = cell.task.as_str();
        compared.entry(task).or_insert_with(|| {
            let of = |cells: &'a [Cell], name: &str| values(cells.iter().filter(|c| c.task == task), name);
            let differs = |name: &&&str| is_compared(&of(first, name), &of(second, name));
            names.iter().filter(differs).copied().collect()
        });
    }
    let key = |cell: &Cell| -> Vec<Option<String>> {
        let own = names.iter().filter(|name| !compared[cell.task.as_str()].contains(**name));
        [Some(cell.task.clone())].into_iter().chain(own.map(|name| value(cell, name))).collect()
    };
    let mut partners: BTreeMap<Vec<Option<String>>, Vec<&Cell>> = BTreeMap::new();
    for cell in second {
        partners.entry(key(cell)).or_default().push(cell);
    }

    let shown: Vec<&str> = names.iter().copied().filter(|name| varies(first, second, name)).collect();
    let mut alone = [Vec::new(), Vec::new()];
    let mut matches = Vec::new();
    let mut met = BTreeSet::new();
    for cell in first {
        match partners.get(&key(cell)) {
            Some(others) => matches.extend(others.iter().map(|other| of_two(cell, other, &shown))),
            None => alone[0].push(cell),
        }
        met.insert(key(cell));
    }
    alone[1].extend(second.iter().filter(|cell| !met.contains(&key(cell))));
    judge(&mut matches);

    let listed = |cells: &[Cell], name: &str| -> Vec<String> {
        values(cells.iter(), name).into_iter().map(|v| v.unwrap_or_else(|| "none".to_owned())).collect()
    };
    let every: BTreeSet<&str> = compared.values().flatten().copied().collect();
    let compared = names.iter().filter(|name| every.contains(**name));
    let compared = compared.map(|name| ((*name).to_owned(), [listed(first, name), listed(second, name)])).collect();
    Versus { matches, compared, alone }
}

/// Model, mode and every setting that a cell has, in this order.
fn names<'a>(cells: &[&'a Cell]) -> Vec<&'a str> {
    let mut names = vec!["model", "mode", "p", "train_size"];
    for (name, _) in cells.iter().flat_map(|cell| &cell.settings) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names
}

fn value(cell: &Cell, name: &str) -> Option<String> {
    match name {
        "model" => Some(cell.model.clone()),
        "mode" => Some(cell.mode.clone()),
        "train_size" => Some(cell.train_size.map_or("all".to_owned(), |n| n.to_string())),
        name => cell.value(name),
    }
}

fn values<'a>(cells: impl Iterator<Item = &'a Cell>, name: &str) -> BTreeSet<Option<String>> {
    cells.map(|cell| value(cell, name)).collect()
}

fn is_compared(first: &BTreeSet<Option<String>>, second: &BTreeSet<Option<String>>) -> bool {
    (first.len() == 1 || second.len() == 1) && !first.is_empty() && !second.is_empty() && first.is_disjoint(second)
}

/// Whether a setting tells matches apart: it has several values on one side.
fn varies(first: &[Cell], second: &[Cell], name: &str) -> bool {
    values(first.iter(), name).len() > 1 || values(second.iter(), name).len() > 1
}

fn of_two<'a>(first: &'a Cell, second: &'a Cell, shown: &[&str]) -> Match<'a> {
    let said = |name: &&str| {
        let own = value(first, name);
        let value = own.or_else(|| value(second, name))?;
        Some(if ["model", "mode"].contains(name) { value } else { format!("{name}={value}") })
    };
    let both: Vec<[f64; 2]> =
        first.scores.iter().filter_map(|(seed, score)| Some([*score, *second.scores.get(seed)?])).collect();
    let differences: Vec<f64> = both.iter().map(|[a, b]| b - a).collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let some = !both.is_empty();
    let (looked, turn) = looked(first, second);
    Match {
        first,
        second,
        setting: shown.iter().filter_map(said).collect::<Vec<_>>().join(" "),
        pairs: both.len(),
        means: some.then(|| [0, 1].map(|side| mean(&both.iter().map(|pair| pair[side]).collect::<Vec<_>>()))),
        difference: some.then(|| mean(&differences)),
        interval: mean_interval(&differences),
        p: match looked {
            Some(standing) => standing.look.map(|look| look.p),
            None => sign_flips(&differences).map(|test| test.p),
        },
        adjusted: None,
        verdict: match looked.and_then(|standing| standing.look).filter(Look::decides) {
            Some(look) if look.difference * turn > 0.0 => Verdict::Better,
            Some(_) => Verdict::Worse,
            None if some && differences.iter().all(|d| *d == 0.0) => Verdict::Same,
            None => Verdict::Open,
        },
        looked,
    }
}

/// The looks at two cells of one sweep of which one is the other's reference, and the sign of second less first in them.
fn looked<'a>(first: &'a Cell, second: &'a Cell) -> (Option<&'a Standing>, f64) {
    let is_reference = |cell: &Cell, standing: &&Standing| cell.ids.iter().any(|id| standing.reference.contains(id));
    match second.looked.as_ref().filter(|standing| is_reference(first, standing)) {
        Some(standing) => (Some(standing), 1.0),
        None => (first.looked.as_ref().filter(|standing| is_reference(second, standing)), -1.0),
    }
}

/// Corrects the p values for their number, and says what holds.
fn judge(matches: &mut [Match]) {
    let is_tested = |m: &Match| m.p.is_some() && m.looked.is_none();
    let raw: Vec<f64> = matches.iter().filter(|m| is_tested(m)).filter_map(|m| m.p).collect();
    let tested = matches.iter_mut().filter(|m| is_tested(m));
    for (one, adjusted) in tested.zip(holm(&raw)) {
        one.adjusted = Some(adjusted);
        if adjusted < LEVEL {
            one.verdict = if one.difference > Some(0.0) { Verdict::Better } else { Verdict::Worse };
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::frame::{cells, example, runs, summary};
    use crate::record::Record;

    fn side(records: &[Record]) -> Vec<Cell> {
        cells(&summary(&runs(records).unwrap()).unwrap(), &[]).unwrap()
    }

    fn seeds(mode: &str, p: Option<f64>, lr: f64, base: f64, n: u64) -> Vec<Record> {
        let scored = |seed: u64| {
            let mut record = example::record("rte", mode, p, seed, base + 0.001 * (seed % 3) as f64);
            record.run.recipe.lr = lr;
            record
        };
        (1..=n).map(scored).collect()
    }

    #[test]
    fn what_differs_as_a_whole_is_compared_and_all_else_must_be_equal() {
        let first = side(&[seeds("vanilla", None, 2e-5, 0.6, 10), seeds("child-d", Some(0.3), 2e-5, 0.6, 10)].concat());
        let second = side(&[seeds("vanilla", None, 4e-5, 0.7, 10), seeds("child-f", Some(0.3), 4e-5, 0.6, 9)].concat());
        let found = versus(&first, &second);
        assert_eq!(found.compared, [("lr".to_owned(), [vec!["2e-5".to_owned()], vec!["4e-5".to_owned()]])]);
        assert_eq!(found.matches.len(), 1);
        let only = &found.matches[0];
        assert_eq!((only.setting.as_str(), only.pairs, only.verdict), ("vanilla", 10, Verdict::Better));
        assert!((only.difference.unwrap() - 0.1).abs() < 1e-12 && only.p == Some(2.0 / 1024.0));
        assert_eq!(
            found.alone.map(|cells| cells.iter().map(|c| c.mode.clone()).collect::<Vec<_>>()),
            [["child-d"], ["child-f"]]
        );
    }

    #[test]
    fn two_modes_meet_at_every_value_of_a_number_that_one_of_them_has() {
        let first = side(&seeds("vanilla", None, 2e-5, 0.6, 10));
        let rates = [(0.1, 0.5), (0.3, 0.6), (0.5, 0.601)];
        let second = rates.map(|(p, base)| seeds("child-d", Some(p), 2e-5, base, if p == 0.5 { 3 } else { 10 }));
        let second = side(&second.concat());
        let found = versus(&first, &second);
        let said: Vec<_> = found.matches.iter().map(|m| (m.setting.as_str(), m.verdict)).collect();
        assert_eq!(said, [("p=0.1", Verdict::Worse), ("p=0.3", Verdict::Same), ("p=0.5", Verdict::Open)]);
        assert_eq!(found.matches[0].adjusted, Some(3.0 * 2.0 / 1024.0));
        let compared: Vec<&str> = found.compared.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(compared, ["mode", "p"]);
        assert!(found.alone.iter().all(Vec::is_empty));
    }

    #[test]
    fn sides_without_a_common_seed_or_cell_cannot_be_told() {
        let (mut first, second) = (seeds("vanilla", None, 2e-5, 0.6, 2), seeds("vanilla", None, 2e-5, 0.9, 2));
        first.iter_mut().for_each(|record| record.run.seed += 10);
        let (first, second) = (side(&first), side(&second));
        let found = versus(&first, &second);
        assert_eq!((found.matches[0].verdict, found.matches[0].difference), (Verdict::Open, None));
        assert!(versus(&[], &second).matches.is_empty() && versus(&[], &second).alone[1].len() == 1);
    }
}
