//! Asynchronous successive halving (Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020,
//! algorithm 2) over the settings of `[tune]`, for each cell: all that is equal but for these and the seed.
//!
//! A setting with all its seeds at a rung goes on if it is among the best 1/eta of those that reached the rung. As in the
//! paper nobody waits until a rung is full. But here settings are looked at in the order in which they came to the rung
//! by the plan, not by the clock: what goes on depends on the scores alone, so that two slots, a crash or a resumed sweep
//! end with the same runs. When a rung is complete, its best goes on in any case.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use super::plan::{settings, steps};
use super::{Ended, Fate, Known, Sweep};
use crate::plan::RunId;
use crate::record::store::Asha;

/// The rule's numbers.
#[derive(Debug)]
pub(super) struct Race {
    eta: usize,
}

/// The runs that differ by the seed alone.
#[derive(Debug)]
pub(super) struct Setting {
    pub runs: Vec<RunId>,
    /// Steps of its rungs, rising, each below the last step of training.
    rungs: Vec<u32>,
}

/// How a setting does at a rung: seeds with a score, then their mean.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rank {
    scored: usize,
    mean: f64,
}

impl Rank {
    fn is_ahead_of(self, other: Rank) -> bool {
        (self.scored, self.mean).partial_cmp(&(other.scored, other.mean)) == Some(Ordering::Greater)
    }
}

/// What can be said of a setting at a rung.
enum At {
    /// Some seed is still on its way.
    Open,
    /// It was trained to its end elsewhere without being scored here: it takes no part.
    Apart,
    /// All seeds got here or failed; `None` where none has a score.
    Ranked(Option<Rank>),
}

/// The cells of a sweep, each with its settings in the order of the plan. Runs whose number of steps is not known, and
/// settings without a rival, have no rung.
pub(super) fn cells(asha: &Asha, sweep: &Sweep) -> (Race, Vec<Vec<Setting>>) {
    let is_tuned = |name: &str| name.rsplit('.').next().is_some_and(|own| sweep.tune.iter().any(|tune| tune == own));
    let mut cells: Vec<Vec<Setting>> = Vec::new();
    let mut cell_of: HashMap<Vec<(String, String)>, usize> = HashMap::new();
    let mut setting_of: HashMap<Vec<(String, String)>, (usize, usize)> = HashMap::new();
    let mut seen: HashSet<&RunId> = HashSet::new();
    for (id, run) in sweep.runs.iter().filter(|(id, _)| seen.insert(id)) {
        let all = settings(run);
        if let Some((cell, setting)) = setting_of.get(&all) {
            cells[*cell][*setting].runs.push(id.clone());
            continue;
        }
        let of_cell = all.iter().filter(|(name, _)| !is_tuned(name)).cloned().collect();
        let cell = *cell_of.entry(of_cell).or_insert_with(|| {
            cells.push(Vec::new());
            cells.len() - 1
        });
        setting_of.insert(all, (cell, cells[cell].len()));
        let rungs = steps(run, sweep.examples).map_or_else(Vec::new, |total| rungs(asha, total));
        cells[cell].push(Setting { runs: vec![id.clone()], rungs });
    }
    for cell in cells.iter_mut() {
        // Of settings with rungs and settings without there is no common race.
        let has_rivals = cell.len() > 1 && cell.iter().all(|s| s.rungs.len() == cell[0].rungs.len());
        if !has_rivals {
            cell.iter_mut().for_each(|setting| setting.rungs.clear());
        }
    }
    (Race { eta: asha.eta as usize }, cells)
}

/// total/eta^k, k from the number of rungs down to 1, as steps from 1 to total − 1, each once.
fn rungs(asha: &Asha, total: u32) -> Vec<u32> {
    let at = |k: u32| (f64::from(total) / f64::from(asha.eta).powi(k as i32)).round() as u32;
    let mut rungs: Vec<u32> = (1..=asha.rungs).rev().map(at).filter(|step| (1..total).contains(step)).collect();
    rungs.dedup();
    rungs
}

impl Setting {
    fn at(&self, rung: usize, known: &HashMap<RunId, Known>) -> At {
        let mut scores = Vec::new();
        let mut apart = 0;
        for id in &self.runs {
            let run = known.get(id);
            match (run.and_then(|run| run.rungs.get(&self.rungs[rung])), run.and_then(|run| run.end)) {
                (Some(score), _) => scores.extend(score.filter(|s| s.is_finite())),
                (None, Some(Ended::Failed)) => {}
                (None, Some(Ended::Scored(_))) => apart += 1,
                (None, None) => return At::Open,
            }
        }
        match scores.len() {
            0 if apart > 0 => At::Apart,
            0 => At::Ranked(None),
            n => At::Ranked(Some(Rank { scored: n, mean: scores.iter().sum::<f64>() / n as f64 })),
        }
    }
}

impl Race {
    pub fn fates(&self, cell: &[Setting], known: &HashMap<RunId, Known>) -> Vec<(RunId, Fate)> {
        let ahead = self.run(cell, known);
        let mut fates = Vec::new();
        for (setting, progress) in cell.iter().zip(ahead) {
            let until = setting.rungs.get(progress.rung).copied();
            for id in &setting.runs {
                let run = known.get(id);
                let is_there = until.is_some_and(|step| run.is_some_and(|run| run.rungs.contains_key(&step)));
                let fate = match until {
                    _ if run.is_some_and(|run| run.end.is_some()) => Fate::Ended,
                    Some(step) if progress.is_out => Fate::Stopped { step },
                    _ if is_there => Fate::Waits,
                    _ => Fate::Train { until, rung: progress.rung as u32 },
                };
                fates.push((id.clone(), fate));
            }
        }
        fates
    }

    /// Plays the race as far as the scores tell.
    fn run(&self, cell: &[Setting], known: &HashMap<RunId, Known>) -> Vec<Progress> {
        let mut progress = vec![Progress { rung: 0, is_out: false }; cell.len()];
        let levels = cell.first().map_or(0, |setting| setting.rungs.len());
        let mut entered: Vec<usize> = (0..cell.len()).collect();
        // Whether nobody can come to the rung any more.
        let mut is_closed = true;
        for rung in 0..levels {
            let mut table: Vec<(usize, Rank)> = Vec::new(); // best first
            let mut promoted: Vec<usize> = Vec::new();
            let mut looked_at = 0;
            let mut counted = 0;
            for &setting in &entered {
                match cell[setting].at(rung, known) {
                    At::Open => break,
                    At::Apart => progress[setting].rung = levels,
                    At::Ranked(rank) => {
                        counted += 1;
                        if let Some(rank) = rank {
                            // Of equals the one that came first.
                            let place = table.iter().position(|(_, other)| rank.is_ahead_of(*other));
                            table.insert(place.unwrap_or(table.len()), (setting, rank));
                        }
                    }
                }
                looked_at += 1;
                for (setting, _) in table.iter().take(counted / self.eta) {
                    if !promoted.contains(setting) {
                        promoted.push(*setting);
                    }
                }
            }
            let is_complete = is_closed && looked_at == entered.len();
            if is_complete && promoted.is_empty() {
                promoted.extend(table.first().map(|(setting, _)| *setting));
            }
            let most = if is_closed { entered.len() } else { cell.len() };
            let quota = (most / self.eta).max(1);
            for (place, (setting, _)) in table.iter().enumerate() {
                // Its place can only become worse.
                progress[*setting].is_out = !promoted.contains(setting) && (is_complete || place >= quota);
            }
            let unscored = entered[..looked_at].iter().filter(|s| !table.iter().any(|(ranked, _)| ranked == *s));
            unscored.for_each(|setting| progress[*setting].is_out = progress[*setting].rung < levels);
            for setting in &promoted {
                progress[*setting].rung = rung + 1;
            }
            (entered, is_closed) = (promoted, is_complete);
        }
        progress
    }
}

/// Where a setting stands: the rung that it goes to or is at, from 0; as many as there are, for the end of training.
#[derive(Debug, Clone, Copy)]
struct Progress {
    rung: usize,
    /// It does not go on from there.
    is_out: bool,
}

#[cfg(test)]
mod tests;
