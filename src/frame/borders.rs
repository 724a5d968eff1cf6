//! Chosen values at the border of what was tried.

use std::collections::HashMap;

use super::Cell;
use super::layout::{distinct, entry};

/// A sentence for each setting that was chosen over, p among them, whose best value is the least or the largest tried:
/// a better one may lie beyond. Of two rates p either is at the border, which says nothing.
pub(super) fn at_borders(chosen: &[&Cell], cells: &[Cell], tune: &[String]) -> Vec<String> {
    let number = |cell: &Cell, name: &str| cell.value(name).and_then(|value| value.parse::<f64>().ok());
    let sentence = |name: &str, least_tried: usize| {
        let mut tried: HashMap<_, Vec<f64>> = HashMap::new();
        for cell in cells {
            tried.entry(entry(cell)).or_default().extend(number(cell, name));
        }
        for values in tried.values_mut() {
            values.sort_by(f64::total_cmp);
            values.dedup();
        }
        let at_border = |best: &&&Cell| {
            let tried = &tried[&entry(best)];
            let ends = [tried.first().copied(), tried.last().copied()];
            tried.len() >= least_tried && best.n > 0 && ends.contains(&number(best, name))
        };
        let places = chosen.iter().filter(at_border).map(|c| format!("{} on {}", c.line(), c.task));
        let places = distinct(places).join(", ");
        (!places.is_empty()).then(|| format!("The best {name} lies at the border of its range: widen it ({places})."))
    };
    tune.iter().filter(|name| *name != "p").filter_map(|name| sentence(name, 2)).chain(sentence("p", 3)).collect()
}
