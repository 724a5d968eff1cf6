//! Made-up runs and what is known of them.

use std::collections::{BTreeMap, HashMap};

use super::{Ended, Known, Rule, Sweep};
use crate::plan::{Choice, Input, Recipe, Run, RunId};
use crate::record::store::{Select, Stop};

/// A run of 27 steps.
pub fn run(task: &str, mode: &str, seed: u64) -> Run {
    let numbers = if mode == "vanilla" { BTreeMap::new() } else { BTreeMap::from([("p".to_owned(), 0.3.into())]) };
    Run {
        task: Input { name: task.into(), hash: "t".into() },
        model: Input { name: "tiny".into(), hash: "m".into() },
        mode: mode.into(),
        method: Choice { name: mode.into(), numbers },
        recipe: Recipe { train_size: Some(144), ..Recipe::default() },
        seed,
        after: Default::default(),
    }
}

pub fn planned(runs: impl IntoIterator<Item = Run>) -> Vec<(RunId, Run)> {
    runs.into_iter().map(|run| (run.id(), run)).collect()
}

pub fn rule(stop: &Stop, runs: &[(RunId, Run)]) -> Rule {
    let (tune, examples) = (["lr".to_owned()], BTreeMap::new());
    Rule::new(&Sweep { stop, select: Select::Dev, tune: &tune, examples: &examples, runs })
}

/// Knows that a run ended with a score.
pub fn end(known: &mut HashMap<RunId, Known>, run: &Run, score: f64) {
    known.entry(run.id()).or_default().end = Some(Ended::Scored(Some(score)));
}
