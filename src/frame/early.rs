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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::frame::{Finding, analyse, best_of, comparisons_table, example, main_table, runs, summary};
    use crate::record::store::Decided;
    use crate::record::{End, Rung, Stopped};

    fn wobble(seed: u64, salt: f64) -> f64 {
        (seed as f64 * 2.7 + salt).sin() * 0.01
    }

    /// Twenty seeds planned of two tasks: on rte child-d is better at p = 0.3 and was decided after ten, no better at 0.1.
    fn decided(p_03_seeds: u64) -> Study {
        let mut all = Vec::new();
        for seed in 1..=20 {
            for task in ["rte", "cola"] {
                all.push(example::record(task, "vanilla", None, seed, 0.6 + wobble(seed, 0.0)));
                let gain = if task == "rte" { 0.03 } else { 0.0 };
                all.push(example::record(task, "child-d", Some(0.3), seed, 0.6 + gain + wobble(seed, 1.0)));
                all.push(example::record(task, "child-d", Some(0.1), seed, 0.6 + wobble(seed, 2.0)));
            }
        }
        let mut study = example::study(all);
        study.stop =
            Some(Stop::Decided(Decided { alpha: 0.05, first: 5, every: 5, spending: Spending::OBrienFleming }));
        let is_left = |r: &Record| r.run.task.name == "rte" && r.run.p() == Some(0.3) && r.run.seed > p_03_seeds;
        study.records.retain(|record| !is_left(record));
        study
    }

    #[test]
    fn a_decided_comparison_is_called_by_its_look_and_chosen_over_settings_with_more_seeds() {
        let analysis = analyse(&decided(10)).unwrap();
        let of_task = |task: &str| analysis.comparisons.iter().find(|c| c.task == task).unwrap();
        let (rte, cola) = (of_task("rte"), of_task("cola"));
        assert_eq!((rte.choice.as_str(), rte.finding(), rte.p_holm()), ("p=0.3", Finding::Better, None));
        let said = rte.verdict();
        assert!(
            said.starts_with("child-d is better than vanilla on rte by ")
                && said.contains("after 10 of 20 seeds: p = ")
        );
        assert_eq!((cola.finding(), cola.is_under_way()), (Finding::Open, false));
        assert!(cola.verdict().starts_with("All 20 seeds cannot tell: the difference "), "{}", cola.verdict());
        assert_eq!(analysis.spared.len(), 10);
        // Over tasks nothing is judged, however clear it looks.
        let over = analysis.overall.iter().filter_map(|o| o.comparison.as_ref()).next().unwrap();
        assert_eq!((over.finding(), over.power_line()), (Finding::Open, None));
        assert!(over.verdict().contains("are not judged"), "{}", over.verdict());

        let table = comparisons_table(&analysis);
        assert!(table.columns.contains(&"bound".to_owned()) && !table.columns.contains(&"p Holm".to_owned()));
        assert!(table.rows.iter().all(|row| row.len() == table.columns.len()));
        assert!(table.notes[0].contains("over 4 comparisons by task") && table.notes[0].contains(BIAS));
        assert!(main_table(&analysis).unwrap().scores.notes.iter().any(|note| note.contains(BIAS)));
    }

    #[test]
    fn a_comparison_under_way_says_how_far_it_is() {
        let analysis = analyse(&decided(7)).unwrap();
        let rte = analysis.comparisons.iter().find(|c| c.task == "rte" && c.choice == "p=0.3");
        // Five of its seven seeds were looked at; at fewer seeds than the other setting it is not chosen yet.
        assert!(rte.is_none() && analysis.spared.is_empty());
        let mut study = decided(7);
        study.records.retain(|r| r.run.p() != Some(0.1) && r.run.task.name == "rte");
        let found = analyse(&study).unwrap();
        assert!(found.comparisons[0].is_under_way());
        assert!(found.comparisons[0].verdict().starts_with("5 of 20 seeds have not decided yet: the difference +"));
        study.records.retain(|r| r.run.seed < 5);
        let said = analyse(&study).unwrap().comparisons[0].verdict();
        assert_eq!(said, "child-d and vanilla on rte: fewer seeds are done than the first look needs.");
    }

    #[test]
    fn settings_that_stopped_early_are_counted_and_never_chosen() {
        let mut records = Vec::new();
        for seed in 1..=2 {
            for (lr, stop) in [(1e-5, Some(20)), (2e-5, None), (4e-5, Some(60)), (8e-5, Some(20))] {
                // What was stopped had the larger score.
                let mut record = example::record("rte", "vanilla", None, seed, if stop.is_some() { 0.9 } else { 0.6 });
                record.run.recipe.lr = lr;
                if let Some(step) = stop {
                    let dev = record.outcome().unwrap().dev.clone();
                    let (rule, metric) = ("asha".to_owned(), "accuracy".to_owned());
                    record.end = End::Stopped(Stopped { rule, at: Rung { step, of: 180, metric, dev, halves: None } });
                }
                records.push(record);
            }
        }
        let study = Study { tune: vec!["lr".into()], ..example::study(records.clone()) };
        let analysis = analyse(&study).unwrap();
        assert_eq!(
            analysis.stopped_early,
            [
                "3 of 4 settings of lr were stopped early by asha, 2 at step 20 and 1 at step 60 (vanilla on rte); they have \
              no final score, and none was chosen."
            ]
        );
        let best = best_of(&analysis.cells, |c| c.mode.clone());
        assert_eq!((best[0].value("lr").unwrap().as_str(), best[0].mean), ("2e-5", Some(0.6)));
        let stopped = &analysis.cells[0];
        assert_eq!((stopped.n, stopped.failed, stopped.stopped, stopped.stopped_at), (0, 0, 2, Some(20)));
        assert_eq!((stopped.trouble().as_str(), stopped.remarks().as_str()), ("", "2 stopped early"));
        let frame = runs(&records).unwrap();
        let text = |name: &str| frame.column(name).unwrap().str().unwrap().get(0).map(str::to_owned);
        assert_eq!(text("status").as_deref(), Some("stopped"));
        assert_eq!(text("reason").as_deref(), Some("stopped early by asha, at step 20 of 180"));
        assert_eq!(frame.column("score").unwrap().f64().unwrap().get(0), None);
        assert_eq!(frame.column("stopped_score").unwrap().f64().unwrap().get(0), Some(0.9));
        assert_eq!(summary(&frame).unwrap().column("stopped").unwrap().u32().unwrap().get(0), Some(2));
    }
}
