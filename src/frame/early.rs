//! What early decisions leave for tables to say: comparisons that ended at a look, settings that were not trained to
//! their end.

use std::collections::{HashMap, HashSet};

use super::targets::trained_task;
use super::{Cell, RunId, Study, in_words};
use crate::record::Record;
use crate::record::store::{Spending, Stop};
use crate::stop::{Fate, Rule, Standing, Sweep, known};

/// How a comparison is judged in a sweep that gave seeds only where one was open.
#[derive(Debug, Clone, PartialEq)]
pub enum Early {
    /// By its looks.
    Looked(Standing),
    /// Not at all: the number of its seeds depends on other scores than its own.
    Unjudged,
}

/// The comparisons of a sweep with `[stop] rule = "decided"`, by the runs compared.
pub(super) struct Looks {
    standings: Vec<Standing>,
    by_run: HashMap<RunId, usize>,
    /// Runs that are not needed, since every comparison that they are part of is decided.
    pub spared: HashSet<RunId>,
}

impl Looks {
    /// `None` where the sweep has no such rule.
    pub fn of(study: &Study) -> Option<Looks> {
        let stop = study.stop.as_ref().filter(|stop| matches!(stop, Stop::Decided(_)))?;
        let (select, tune, examples, runs) = (study.select, &study.tune, &study.examples, &study.planned);
        let sweep = Sweep { stop, select, tune, examples, runs };
        let (rule, known) = (Rule::new(&sweep), known(&study.records, &[], &sweep));
        let standings = rule.standings(&known);
        let by_run = standings.iter().enumerate().flat_map(|(i, s)| s.runs.iter().map(move |id| (id.clone(), i)));
        let by_run = by_run.collect();
        let fates = rule.fates(&known).into_iter();
        let spared = fates.filter(|(_, fate)| *fate == Fate::Spared).map(|(id, _)| id).collect();
        Some(Looks { standings, by_run, spared })
    }

    /// Comparisons that share the chance of a false call.
    pub fn family(&self) -> usize {
        self.standings.len()
    }

    fn standing(&self, cell: &Cell) -> Option<&Standing> {
        cell.ids.first().and_then(|id| self.by_run.get(id)).map(|place| &self.standings[*place])
    }

    /// Tells a cell how its comparison stands, and how many of its runs are not needed. Of other tasks that its runs were
    /// scored on nothing is looked at.
    pub fn tell(&self, cell: &mut Cell) {
        let Some(standing) = self.standing(cell) else { return };
        cell.spared = standing.runs.iter().filter(|id| self.spared.contains(*id)).count() as u32;
        cell.looked = (trained_task(&cell.task) == cell.task).then(|| standing.clone());
    }
}

/// How differences are called, for the notes of tables: `a paired t test at looks …`.
pub(super) fn rule_in_words(stop: &Stop, family: usize) -> Option<String> {
    let Stop::Decided(decided) = stop else { return None };
    let spending = match decided.spending {
        Spending::OBrienFleming => "O'Brien and Fleming",
        Spending::Pocock => "Pocock",
    };
    let over = if family == 1 { "1 comparison".to_owned() } else { format!("{family} comparisons") };
    Some(format!(
        "a paired t test, looked at after {} seeds and every {} more, with bounds by Lan and DeMets in the manner of \
         {spending} that keep the chance of any false call below {} over {over} by task (Bonferroni)",
        decided.first, decided.every, decided.alpha
    ))
}

/// What readers of estimates must know.
pub(super) const BIAS: &str = "Seeds were added only while a comparison was open. Large differences end early, so those \
                               that did are estimated too large on average, and intervals are those of a fixed number of seeds.";

/// A sentence for each count of settings that `[stop]` ended before their last step.
pub(super) fn stopped_early(cells: &[Cell], records: &[Record], tune: &[String]) -> Vec<String> {
    let Some(rule) = records.iter().find_map(|record| record.stopped()).map(|stopped| &stopped.rule) else {
        return Vec::new();
    };
    // Line and task to settings, and to those stopped at each step.
    let mut places: Vec<((String, String), usize, Vec<u32>)> = Vec::new();
    for cell in cells.iter().filter(|cell| trained_task(&cell.task) == cell.task) {
        let key = (cell.line(), cell.task.clone());
        let place = places.iter().position(|(known, ..)| *known == key).unwrap_or_else(|| {
            places.push((key, 0, Vec::new()));
            places.len() - 1
        });
        places[place].1 += 1;
        places[place].2.extend(cell.stopped_at.filter(|_| cell.n == 0));
    }
    let mut said: Vec<(String, Vec<String>)> = Vec::new();
    for ((line, task), all, mut steps) in places.into_iter().filter(|(.., steps)| !steps.is_empty()) {
        steps.sort_unstable();
        let each: Vec<&[u32]> = steps.chunk_by(|a, b| a == b).collect();
        let at = match &each[..] {
            [one] => format!("at step {}", one[0]),
            many => {
                let parts: Vec<String> = many.iter().map(|of| format!("{} at step {}", of.len(), of[0])).collect();
                in_words(&parts)
            }
        };
        let sentence =
            format!("{} of {all} settings of {} were stopped early by {rule}, {at}", steps.len(), in_words(tune));
        let sentence = if each.len() == 1 { sentence.replacen(", at", " at", 1) } else { sentence };
        let place = format!("{line} on {task}");
        match said.iter_mut().find(|(known, _)| *known == sentence) {
            Some((_, others)) => others.push(place),
            None => said.push((sentence, vec![place])),
        }
    }
    let sentence = |(sentence, places): (String, Vec<String>)| {
        format!("{sentence} ({}); they have no final score, and none was chosen.", places.join(", "))
    };
    said.into_iter().map(sentence).collect()
}
