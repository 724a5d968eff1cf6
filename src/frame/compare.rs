//! Which setting of a mode counts, and how far a mode is from the reference, seed by seed.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use super::Cell;

/// The mode that others are compared with.
pub const REFERENCE: &str = "vanilla";

/// For every key its best cell, keys in order of appearance: the one with most scored runs, those that were not needed
/// among them, and among these the
/// largest mean, on the half of dev that chooses where there is one; the first of equals. So a setting that half of its
/// seeds did not survive never wins by luck.
pub fn best_of<'a, K: Eq + Hash>(cells: impl IntoIterator<Item = &'a Cell>, key: impl Fn(&Cell) -> K) -> Vec<&'a Cell> {
    let mut best: Vec<&Cell> = Vec::new();
    let mut places: HashMap<K, usize> = HashMap::new();
    for cell in cells {
        match places.entry(key(cell)) {
            Entry::Vacant(place) => {
                place.insert(best.len());
                best.push(cell);
            }
            Entry::Occupied(place) if rank(cell) > rank(best[*place.get()]) => best[*place.get()] = cell,
            Entry::Occupied(_) => {}
        }
    }
    best
}

/// What [`best_of`] chooses over: the names of the settings in which cells of one key differ, `p` first.
pub fn chosen_over<'a, K: Eq + Hash>(
    cells: impl IntoIterator<Item = &'a Cell>,
    key: impl Fn(&Cell) -> K,
) -> Vec<String> {
    let mut first: HashMap<K, &Cell> = HashMap::new();
    let mut names: Vec<String> = Vec::new();
    for cell in cells {
        let held = *first.entry(key(cell)).or_insert(cell);
        for name in ["p"].into_iter().chain(cell.varying.iter().map(String::as_str)) {
            if held.value(name) != cell.value(name) && !names.iter().any(|n| n == name) {
                names.push(name.to_owned());
            }
        }
    }
    names.sort_by_key(|name| name != "p");
    names
}

/// `p`, `p and lr`, `p, lr and epochs`.
pub fn in_words(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [only] => only.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

fn rank(cell: &Cell) -> (u32, f64) {
    (cell.n + cell.spared, cell.chosen_by.or(cell.mean).unwrap_or(f64::NEG_INFINITY))
}

/// A mode's score less the reference's, over the seeds that both have.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Seeds that both have a score for.
    pub pairs: u32,
    /// Raw, not in points.
    pub mean: f64,
    /// Of the mean; `None` below two pairs.
    pub standard_error: Option<f64>,
}

/// `None` where the two share no seed.
pub fn difference(cell: &Cell, reference: &Cell) -> Option<Difference> {
    let differences: Vec<f64> =
        cell.scores.iter().filter_map(|(seed, score)| Some(score - reference.scores.get(seed)?)).collect();
    if differences.is_empty() {
        return None;
    }
    let n = differences.len() as f64;
    let mean = differences.iter().sum::<f64>() / n;
    let squares: f64 = differences.iter().map(|d| (d - mean).powi(2)).sum();
    let standard_error = (differences.len() > 1).then(|| (squares / (n - 1.0) / n).sqrt());
    Some(Difference { pairs: differences.len() as u32, mean, standard_error })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::frame::example;

    #[test]
    fn a_setting_with_fewer_scores_is_passed_over() {
        let cells =
            [example::cell("a", &[(1, 0.5), (2, 0.6)]), example::cell("a", &[(1, 0.9)]), example::cell("b", &[])];
        let best = best_of(&cells, |c| c.mode.clone());
        assert_eq!(best.len(), 2);
        assert_eq!((best[0].n, best[1].n), (2, 0));
    }

    #[test]
    fn differences_pair_by_seed() {
        let cell = example::cell("a", &[(1, 0.50), (2, 0.70), (3, 0.9)]);
        let reference = example::cell("vanilla", &[(2, 0.60), (1, 0.48), (9, 0.1)]);
        let found = difference(&cell, &reference).unwrap();
        // scipy.stats.sem([0.02, 0.10]) = 0.04
        assert_eq!(found.pairs, 2);
        assert!((found.mean - 0.06).abs() < 1e-12 && (found.standard_error.unwrap() - 0.04).abs() < 1e-12);
        assert_eq!(difference(&cell, &example::cell("vanilla", &[(7, 0.5)])), None);
        let one = difference(&cell, &example::cell("vanilla", &[(3, 0.5)])).unwrap();
        assert_eq!(one.standard_error, None);
    }
}
