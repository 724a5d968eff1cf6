//! More seeds only where a comparison is open: each setting against the reference with the same task, model and size,
//! paired by seed, looked at after the first seeds and then every few more.
//!
//! A comparison ends at a look where the p value of the paired t test lies below the level that a group-sequential bound
//! leaves it (`stats::look_levels`), at alpha divided by the number of comparisons of the sweep (Bonferroni). Seeds are
//! taken in the order of the plan, so a look sees the same scores whichever run ended first. That nothing more will be
//! found is never claimed: a comparison that stays open gets every seed.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::plan::settings;
use super::{Ended, Fate, Known, REFERENCE, Sweep};
use crate::plan::{Run, RunId};
use crate::record::store::{Decided, Spending};
use crate::stats::{self, look_levels, mean, paired_t};

/// Pairs at each look, pairs at most, and whether the last look is the last there is.
type Looked = (Vec<u32>, u32, bool);

/// The rule's numbers, and levels that were computed before.
#[derive(Debug)]
pub(super) struct Test {
    decided: Decided,
    /// Comparisons of the whole sweep.
    family: usize,
    levels: RefCell<HashMap<Looked, Vec<f64>>>,
}

/// The settings of one task, model and size, with their comparisons.
#[derive(Debug, Default)]
pub(super) struct Block {
    settings: Vec<Setting>,
    /// Places of a setting and of its reference.
    pairs: Vec<(usize, usize)>,
}

/// The runs that differ by the seed alone, in the order of the plan.
#[derive(Debug)]
struct Setting {
    runs: Vec<(u64, RunId)>,
    is_reference: bool,
    recipe: BTreeMap<String, String>,
}

/// One look at a comparison.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// Seeds that both sides were trained with, and those of them with a score on both.
    pub seeds: u32,
    pub pairs: u32,
    /// Mean difference to the reference, raw.
    pub difference: f64,
    /// Two-sided, of the paired t test, and the level below which it ends the comparison.
    pub p: f64,
    pub level: f64,
}

impl Look {
    pub fn decides(&self) -> bool {
        self.p < self.level
    }
}

/// How a comparison with the reference stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    pub runs: Vec<RunId>,
    pub reference: Vec<RunId>,
    /// The last look that could be taken; `None` before the first.
    pub look: Option<Look>,
    /// Looks so far, and seeds that it may take at most.
    pub looks: u32,
    pub of: u32,
    /// Comparisons of the sweep, which share alpha.
    pub family: usize,
    pub alpha: f64,
}

impl Standing {
    /// Whether a look ended it before or at the last seed.
    pub fn is_decided(&self) -> bool {
        self.look.is_some_and(|look| look.decides())
    }

    /// Whether every seed was looked at and none decided.
    pub fn is_exhausted(&self) -> bool {
        self.look.is_some_and(|look| !look.decides() && look.seeds == self.of)
    }
}

/// The blocks of a sweep in the order of its plan.
pub(super) fn blocks(decided: &Decided, sweep: &Sweep) -> (Test, Vec<Block>) {
    type Key = (String, String, Option<u32>);
    let mut blocks: Vec<Block> = Vec::new();
    let mut block_of: HashMap<Key, usize> = HashMap::new();
    let mut setting_of: HashMap<Vec<(String, String)>, (usize, usize)> = HashMap::new();
    let mut seen: HashSet<&RunId> = HashSet::new();
    // A run under two names is a reference if one of them says so.
    let named: HashSet<&RunId> = sweep.runs.iter().filter(|(_, run)| run.mode == REFERENCE).map(|(id, _)| id).collect();
    for (id, run) in sweep.runs.iter().filter(|(id, _)| seen.insert(id)) {
        let all = settings(run);
        if let Some((block, setting)) = setting_of.get(&all) {
            blocks[*block].settings[*setting].runs.push((run.seed, id.clone()));
            continue;
        }
        let key = (format!("{} {}", run.task.name, run.task.hash), run.model.hash.clone(), run.recipe.train_size);
        let block = *block_of.entry(key).or_insert_with(|| {
            blocks.push(Block::default());
            blocks.len() - 1
        });
        setting_of.insert(all, (block, blocks[block].settings.len()));
        blocks[block].settings.push(Setting {
            runs: vec![(run.seed, id.clone())],
            is_reference: named.contains(id),
            recipe: recipe(run),
        });
    }
    let compared = compared_in_the_reference(&blocks);
    for block in &mut blocks {
        block.pair(&compared);
    }
    let family = blocks.iter().map(|block| block.pairs.len()).sum();
    (Test { decided: decided.clone(), family, levels: RefCell::default() }, blocks)
}

fn recipe(run: &Run) -> BTreeMap<String, String> {
    let recipe = serde_json::to_value(&run.recipe).unwrap_or_default();
    recipe.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value.to_string())).collect()
}

/// Names of the settings of training in which references of one block differ: a setting is compared with the one that is
/// equal in these, as in the tables.
fn compared_in_the_reference(blocks: &[Block]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for block in blocks {
        let mut references = block.settings.iter().filter(|setting| setting.is_reference);
        let Some(first) = references.next() else { continue };
        for other in references {
            let all = first.recipe.keys().chain(other.recipe.keys());
            names.extend(all.filter(|name| first.recipe.get(*name) != other.recipe.get(*name)).cloned());
        }
    }
    names
}

impl Block {
    pub fn ids(&self) -> Vec<RunId> {
        self.settings.iter().flat_map(|setting| setting.runs.iter().map(|(_, id)| id.clone())).collect()
    }

    fn pair(&mut self, compared: &BTreeSet<String>) {
        let fits = |own: &Setting, other: &Setting| {
            other.is_reference && compared.iter().all(|name| own.recipe.get(name) == other.recipe.get(name))
        };
        let places = 0..self.settings.len();
        let others = places.clone().filter(|own| !self.settings[*own].is_reference);
        self.pairs = others
            .filter_map(|own| {
                let reference = places.clone().find(|other| fits(&self.settings[own], &self.settings[*other]))?;
                let is_tested = !shared(&self.settings[own], &self.settings[reference]).is_empty();
                is_tested.then_some((own, reference))
            })
            .collect();
    }
}

/// The runs of the seeds that both have, in the order of the plan.
fn shared<'a>(own: &'a Setting, reference: &'a Setting) -> Vec<(&'a RunId, &'a RunId)> {
    let others: HashMap<u64, &RunId> = reference.runs.iter().map(|(seed, id)| (*seed, id)).collect();
    own.runs.iter().filter_map(|(seed, id)| Some((id, *others.get(seed)?))).collect()
}

/// A comparison as far as its looks could be taken.
struct Course {
    look: Option<Look>,
    looks: u32,
    /// Seeds that it needs now, the first ones.
    needs: usize,
}

impl Test {
    fn course(&self, pairs: &[(&RunId, &RunId)], known: &HashMap<RunId, Known>) -> Course {
        let end = |id: &RunId| known.get(id).and_then(|run| run.end);
        let score = |id: &RunId| match end(id) {
            Some(Ended::Scored(score)) => score.filter(|s| s.is_finite()),
            _ => None,
        };
        let ended = pairs.iter().take_while(|(own, other)| end(own).is_some() && end(other).is_some()).count();
        let (mut information, mut look, mut looks) = (Vec::new(), None, 0);
        for seeds in self.schedule(pairs.len()) {
            if seeds > ended {
                return Course { look, looks, needs: seeds };
            }
            let both = pairs[..seeds].iter().filter_map(|(own, other)| Some(score(own)? - score(other)?));
            let differences: Vec<f64> = both.collect();
            information.push(differences.len() as u32);
            let is_last = seeds == pairs.len();
            let level = self.level(&information, pairs.len() as u32, is_last);
            let found = Look {
                seeds: seeds as u32,
                pairs: differences.len() as u32,
                difference: mean(&differences).unwrap_or(0.0),
                p: paired_t(&differences).unwrap_or(1.0),
                level,
            };
            (look, looks) = (Some(found), looks + 1);
            if found.decides() {
                return Course { look, looks, needs: seeds };
            }
        }
        Course { look, looks, needs: pairs.len() }
    }

    /// Seeds at each look, of so many in all.
    fn schedule(&self, all: usize) -> Vec<usize> {
        let early = (self.decided.first as usize..all).step_by(self.decided.every.max(1) as usize);
        early.chain([all]).collect()
    }

    fn level(&self, information: &[u32], of: u32, is_last: bool) -> f64 {
        let spending = match self.decided.spending {
            Spending::OBrienFleming => stats::Spending::OBrienFleming,
            Spending::Pocock => stats::Spending::Pocock,
        };
        let alpha = self.decided.alpha / self.family.max(1) as f64;
        let mut levels = self.levels.borrow_mut();
        let key = (information.to_vec(), of, is_last);
        let found = levels.entry(key).or_insert_with(|| look_levels(spending, alpha, information, of, is_last));
        found.last().copied().unwrap_or(0.0)
    }

    pub fn fates(&self, block: &Block, known: &HashMap<RunId, Known>) -> Vec<(RunId, Fate)> {
        // Of each run that is compared: whether some comparison needs it now, and whether one may need it later.
        let mut asked: HashMap<&RunId, (bool, bool)> = HashMap::new();
        for (own, reference) in &block.pairs {
            let pairs = shared(&block.settings[*own], &block.settings[*reference]);
            let course = self.course(&pairs, known);
            let is_open = !course.look.is_some_and(|look| look.decides());
            for (place, (own, reference)) in pairs.into_iter().enumerate() {
                for id in [own, reference] {
                    let (now, later) = asked.entry(id).or_default();
                    *now |= place < course.needs;
                    *later |= is_open;
                }
            }
        }
        let fate = |id: &RunId| match asked.get(id) {
            _ if known.get(id).is_some_and(|run| run.end.is_some()) => Fate::Ended,
            // What nothing is compared with is trained as ever.
            None | Some((true, _)) => Fate::Train { until: None, rung: 0 },
            Some((false, true)) => Fate::Waits,
            Some((false, false)) => Fate::Spared,
        };
        block.ids().into_iter().map(|id| (id.clone(), fate(&id))).collect()
    }

    pub fn standings(&self, block: &Block, known: &HashMap<RunId, Known>) -> Vec<Standing> {
        let of_pair = |(own, reference): &(usize, usize)| {
            let (own, reference) = (&block.settings[*own], &block.settings[*reference]);
            let pairs = shared(own, reference);
            let Course { look, looks, .. } = self.course(&pairs, known);
            let ids = |setting: &Setting| setting.runs.iter().map(|(_, id)| id.clone()).collect();
            Standing {
                runs: ids(own),
                reference: ids(reference),
                look,
                looks,
                of: pairs.len() as u32,
                family: self.family,
                alpha: self.decided.alpha,
            }
        };
        block.pairs.iter().map(of_pair).collect()
    }
}

#[cfg(test)]
mod tests;
