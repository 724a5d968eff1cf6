//! The runs of a sweep as cells by seeds, each with its state.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use crate::plan::{Run, RunId};

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    Waiting,
    Running,
    /// At a checkpoint.
    Paused,
    Done,
    /// Done, and its predictions are all alike.
    Collapsed,
    /// Ended by a rule.
    Stopped,
    Failed,
    Cancelled,
}

impl Mark {
    pub const ALL: [Mark; 8] = [
        Mark::Waiting,
        Mark::Running,
        Mark::Paused,
        Mark::Done,
        Mark::Collapsed,
        Mark::Stopped,
        Mark::Failed,
        Mark::Cancelled,
    ];

    pub fn letter(self) -> char {
        match self {
            Mark::Waiting => '·',
            Mark::Running => 'R',
            Mark::Paused => 'P',
            Mark::Done => 'D',
            Mark::Collapsed => 'C',
            Mark::Stopped => 'S',
            Mark::Failed => 'F',
            Mark::Cancelled => 'X',
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Mark::Waiting => "waiting",
            Mark::Running => "running",
            Mark::Paused => "paused",
            Mark::Done => "done",
            Mark::Collapsed => "collapsed",
            Mark::Stopped => "stopped",
            Mark::Failed => "failed",
            Mark::Cancelled => "cancelled",
        }
    }

    /// Whether the run has its record.
    pub fn is_end(self) -> bool {
        !matches!(self, Mark::Waiting | Mark::Running | Mark::Paused)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Spot {
    pub id: RunId,
    pub mark: Mark,
}

/// Rows are all that is compared or tuned, columns are seeds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Grid {
    /// What tells each row from the others.
    pub rows: Vec<String>,
    pub seeds: Vec<u64>,
    /// Row by row; `None` where the sweep has no such run.
    spots: Vec<Vec<Option<Spot>>>,
    places: HashMap<RunId, (usize, usize)>,
}

impl Grid {
    /// All runs waiting, rows in the order of the plan.
    pub fn of(runs: &[(RunId, Run)]) -> Grid {
        let seeds: Vec<u64> = runs.iter().map(|(_, run)| run.seed).collect::<BTreeSet<_>>().into_iter().collect();
        let columns: HashMap<u64, usize> = seeds.iter().enumerate().map(|(column, &seed)| (seed, column)).collect();
        let mut known: HashMap<String, usize> = HashMap::new();
        let mut firsts: Vec<&Run> = Vec::new();
        let mut grid = Grid { seeds, ..Grid::default() };
        for (id, run) in runs {
            let cell = Run { seed: 0, ..run.clone() };
            let key = serde_json::to_string(&cell).unwrap_or_default();
            let row = *known.entry(key).or_insert(firsts.len());
            if row == firsts.len() {
                firsts.push(run);
                grid.spots.push(vec![None; grid.seeds.len()]);
            }
            let column = columns[&run.seed];
            // Two modes that are one run stand in two rows; the first is the one that is marked by its id.
            grid.places.entry(id.clone()).or_insert((row, column));
            grid.spots[row][column] = Some(Spot { id: id.clone(), mark: Mark::Waiting });
        }
        grid.rows = labels(&firsts);
        grid
    }

    pub fn set(&mut self, id: &RunId, mark: Mark) {
        if let Some(&(row, column)) = self.places.get(id)
            && let Some(spot) = &mut self.spots[row][column]
        {
            spot.mark = mark;
        }
    }

    pub fn get(&self, id: &RunId) -> Option<Mark> {
        let &(row, column) = self.places.get(id)?;
        self.at(row, column).map(|spot| spot.mark)
    }

    pub fn at(&self, row: usize, column: usize) -> Option<&Spot> {
        self.spots.get(row)?.get(column)?.as_ref()
    }

    pub fn place(&self, id: &RunId) -> Option<(usize, usize)> {
        self.places.get(id).copied()
    }

    pub fn ids(&self) -> impl Iterator<Item = &RunId> {
        self.places.keys()
    }

    /// How many runs stand how.
    pub fn counts(&self) -> BTreeMap<Mark, usize> {
        let mut counts = BTreeMap::new();
        for mark in self.places.values().filter_map(|&(row, column)| self.at(row, column)).map(|spot| spot.mark) {
            *counts.entry(mark).or_default() += 1;
        }
        counts
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

/// For each row what differs between rows: task, model and mode by their names, numbers as `p=0.3`.
fn labels(rows: &[&Run]) -> Vec<String> {
    let all: Vec<BTreeMap<String, String>> = rows.iter().map(|run| settings(run)).collect();
    let names: BTreeSet<&String> = all.iter().flat_map(BTreeMap::keys).collect();
    // That a mode has a number at all is said by the mode.
    let numbers: BTreeSet<&String> = rows.iter().flat_map(|run| run.method.numbers.keys()).collect();
    let differs = |name: &&String| {
        let mut values =
            all.iter().map(|one| one.get(*name)).filter(|value| value.is_some() || !numbers.contains(*name));
        let first = values.next();
        values.any(|value| Some(value) != first)
    };
    let names: Vec<&String> = names.into_iter().filter(differs).collect();
    let label = |one: &BTreeMap<String, String>| {
        let said = names.iter().filter_map(|&name| {
            let value = one.get(name)?;
            // The leading digit only puts these three first.
            Some(if name.starts_with(char::is_numeric) { value.clone() } else { format!("{name}={value}") })
        });
        said.collect::<Vec<_>>().join(" ")
    };
    let labels = all.iter().zip(rows).map(|(one, run)| match label(one) {
        nothing if nothing.is_empty() => run.mode.clone(),
        label => label,
    });
    labels.collect()
}

fn settings(run: &Run) -> BTreeMap<String, String> {
    let model = run.model.name.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let named = [("1 task", run.task.name.as_str()), ("2 model", model), ("3 mode", run.mode.as_str())];
    let mut settings: BTreeMap<String, String> =
        named.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let numbers = run.method.numbers.iter().map(|(name, value)| (name.clone(), value.clone()));
    let recipe = match serde_json::to_value(&run.recipe) {
        Ok(Value::Object(recipe)) => recipe,
        _ => Default::default(),
    };
    for (name, value) in numbers.chain(recipe).filter(|(_, value)| !value.is_null()) {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        settings.insert(name, value);
    }
    settings
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::plan::{Choice, Input, Recipe};

    pub fn run(task: &str, mode: &str, p: Option<f64>, seed: u64) -> (RunId, Run) {
        let numbers = p.map(|p| ("p".to_owned(), p.into())).into_iter().collect();
        let run = Run {
            task: Input { name: task.into(), hash: "a".into() },
            model: Input { name: "some/where/tiny".into(), hash: "b".into() },
            mode: mode.into(),
            method: Choice { name: mode.into(), numbers },
            recipe: Recipe::default(),
            seed,
            after: Default::default(),
        };
        (run.id(), run)
    }

    #[test]
    fn rows_say_what_tells_them_apart() {
        let mut runs: Vec<(RunId, Run)> = Vec::new();
        for seed in [2, 1] {
            runs.push(run("rte", "vanilla", None, seed));
            for p in [0.3, 0.5] {
                let mut child = run("rte", "child-d", Some(p), seed).1;
                child.method.numbers.insert("fidelity".into(), "paper".into());
                runs.push((child.id(), child));
            }
        }
        runs.truncate(5);
        let mut grid = Grid::of(&runs);
        assert_eq!(
            (grid.rows.clone(), grid.seeds.clone(), grid.len()),
            (vec!["vanilla".to_owned(), "child-d p=0.3".to_owned(), "child-d p=0.5".to_owned()], vec![1, 2], 5)
        );
        assert_eq!(grid.at(2, 0), None, "the sweep has no such run");
        grid.set(&runs[4].0, Mark::Done);
        assert_eq!((grid.at(1, 0).unwrap().mark, grid.place(&runs[4].0)), (Mark::Done, Some((1, 0))));
        assert_eq!(grid.counts(), BTreeMap::from([(Mark::Waiting, 4), (Mark::Done, 1)]));
        grid.set(&RunId("stranger".into()), Mark::Done);

        let tasks = Grid::of(&[run("rte", "vanilla", None, 1), run("mrpc", "vanilla", None, 1)]);
        assert_eq!(tasks.rows, ["rte", "mrpc"]);
        assert_eq!(Grid::of(&[run("rte", "vanilla", None, 1)]).rows, ["vanilla"]);
        let mut lr = run("rte", "vanilla", None, 1).1;
        lr.recipe.lr = 4e-5;
        lr.recipe.max_steps = Some(9);
        assert_eq!(
            Grid::of(&[run("rte", "vanilla", None, 1), (lr.id(), lr)]).rows,
            ["lr=0.00002", "lr=0.00004 max_steps=9"]
        );
        assert!(Grid::of(&[]).is_empty());
    }

    #[test]
    fn letters_tell_all_marks_apart() {
        let letters: BTreeSet<char> = Mark::ALL.iter().map(|mark| mark.letter()).collect();
        assert_eq!(letters.len(), Mark::ALL.len());
    }
}
