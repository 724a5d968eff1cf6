//! What is to be done as the scheduler wants it: tickets in the order of work.

use std::collections::HashMap;

use super::fuse::Fusible;
use super::plan::Judged;
use super::speeds::Speeds;
use crate::device::peak::{Peaks, Shape};
use crate::plan::point;
use crate::schedule::{Ease, Ticket};
use crate::spec::{Order, Sweep};

/// Tickets of these runs, in the order in which they are to be done; priorities are left to the scheduler.
/// `peaks` tells what runs like them took of a GPU's memory; `fusible`, where some are to be trained side by side, which.
pub fn tickets(sweep: &Sweep, to_do: &[&Judged], peaks: &Peaks, fusible: Option<&Fusible>) -> Vec<Ticket> {
    let mut shapes: HashMap<u64, u32> = HashMap::new();
    let mut footprints: HashMap<Shape, u32> = HashMap::new();
    let mut kinds: HashMap<String, u32> = HashMap::new();
    let mut tickets: Vec<Ticket> = Vec::with_capacity(to_do.len());
    for j in in_order(sweep.run.order, to_do) {
        let next = shapes.len() as u32;
        let shape = *shapes.entry(Speeds::keys(j.run)[0]).or_insert(next);
        let (footprint, next) = (Shape::of(j.run, None), footprints.len() as u32);
        let memory = peaks.get(&footprint).map(|mib| mib.ceil() as u32);
        tickets.push(Ticket {
            id: j.id.clone(),
            attempt: j.attempts + 1,
            priority: priority(sweep, j),
            shape,
            estimate: j.estimate,
            footprint: *footprints.entry(footprint).or_insert(next),
            memory,
            rows: j.run.recipe.rows() as u32,
            until: None,
            share: 1.0,
            ease: Ease::None,
            fuse: fusible.and_then(|fusible| fusible.key(j.run)).map(|key| {
                let next = kinds.len() as u32;
                *kinds.entry(key).or_insert(next)
            }),
        });
    }
    tickets
}

/// The level of the first `[[priority]]` that takes a run.
fn priority(sweep: &Sweep, j: &Judged) -> i32 {
    if sweep.priority.is_empty() {
        return 0;
    }
    let point = point(j.run);
    sweep.priority.iter().find(|(_, clause)| clause.filter.takes(&point)).map_or(0, |(level, _)| *level)
}

/// The plan has seeds slowest, so that each cell has its first answer before any has its second.
fn in_order<'a, 'b>(order: Order, to_do: &[&'a Judged<'b>]) -> Vec<&'a Judged<'b>> {
    let mut ordered = to_do.to_vec();
    match order {
        Order::Seeds => {}
        Order::Cells => {
            let mut cells: HashMap<String, usize> = HashMap::new();
            let mut rank = |j: &&Judged| {
                let mut cell = j.run.clone();
                cell.seed = 0;
                let next = cells.len();
                *cells.entry(cell.settings_key()).or_insert(next)
            };
            let mut ranked: Vec<(usize, &Judged)> = ordered.iter().map(|j| (rank(j), *j)).collect();
            ranked.sort_by_key(|(rank, _)| *rank);
            ordered = ranked.into_iter().map(|(_, j)| j).collect();
        }
        Order::Shortest => {
            let seconds = |j: &&Judged| j.estimate.unwrap_or(f64::INFINITY);
            ordered.sort_by(|a, b| a.run.seed.cmp(&b.run.seed).then(seconds(a).total_cmp(&seconds(b))));
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::plan::Reason;
    use super::*;
    use crate::plan::{Choice, Input, Recipe, Run, RunId};

    #[test]
    fn the_order_is_by_seed_by_cell_or_by_what_is_quick() {
        let input = || Input { name: "x".into(), hash: String::new() };
        let run = |mode: &str, seed: u64| Run {
            task: input(),
            model: input(),
            mode: mode.into(),
            method: Choice { name: mode.into(), numbers: BTreeMap::new() },
            recipe: Recipe::default(),
            seed,
            after: Default::default(),
        };
        let grid: Vec<(RunId, Run)> = [("slow", 1), ("new", 1), ("quick", 1), ("slow", 2), ("new", 2), ("quick", 2)]
            .map(|(mode, seed)| run(mode, seed))
            .map(|run| (run.id(), run))
            .into();
        let estimate = |run: &Run| match run.mode.as_str() {
            "slow" => Some(9.0),
            "quick" => Some(1.0),
            _ => None,
        };
        let judged: Vec<Judged> = grid
            .iter()
            .map(|(id, run)| {
                let estimate = estimate(run);
                Judged { id, run, reason: Reason::New, failure: None, attempts: 0, estimate, fate: None }
            })
            .collect();
        let judged: Vec<&Judged> = judged.iter().collect();
        let order = |order: Order| -> Vec<String> {
            in_order(order, &judged).iter().map(|j| format!("{}{}", j.run.mode, j.run.seed)).collect()
        };
        assert_eq!(order(Order::Seeds), ["slow1", "new1", "quick1", "slow2", "new2", "quick2"]);
        assert_eq!(order(Order::Cells), ["slow1", "slow2", "new1", "new2", "quick1", "quick2"]);
        assert_eq!(order(Order::Shortest), ["quick1", "slow1", "new1", "quick2", "slow2", "new2"]);
    }
}
