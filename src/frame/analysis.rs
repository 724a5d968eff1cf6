//! A study's statistics, made once for all tables, figures and verdicts.

use std::collections::HashSet;

use anyhow::Result;
use polars::prelude::{Column, DataFrame};
use rayon::prelude::*;

use super::borders::at_borders;
use super::comparison::{Comparison, adjust};
use super::early::{Early, Looks, rule_in_words, stopped_early};
use super::eased::eased;
use super::half::on_the_odd_half;
use super::layout::Layout;
use super::overall::{Overall, RankedLines, overall, ranked};
use super::{Cell, RunId, Study, cells, runs, summary, targets};
use crate::record::store::Select;
use crate::stats::Interval;

#[derive(Debug, Clone, Default)]
pub struct Analysis {
    /// One row a setting, other tasks of a run among them; `low` and `high` are the ends of the mean's interval.
    pub summary: DataFrame,
    /// The rows of the summary.
    pub cells: Vec<Cell>,
    /// Names of the axes of `[tune]`.
    pub tune: Vec<String>,
    /// Where settings are chosen.
    pub select: Select,
    /// Every line against the reference, by task.
    pub comparisons: Vec<Comparison>,
    /// Every line over its tasks, where it has two or more.
    pub overall: Vec<Overall>,
    /// For each model and size with five tasks or more.
    pub ranks: Vec<RankedLines>,
    /// What the reader of the tables should know, in sentences.
    pub warnings: Vec<String>,
    /// Where seeds were added only while a comparison was open: the test that decided, in words.
    pub looks: Option<String>,
    /// Planned runs that are not needed, since what they would tell is decided.
    pub spared: HashSet<RunId>,
    /// A sentence for each count of settings that were not trained to their end.
    pub stopped_early: Vec<String>,
    /// A sentence on runs that memory made go otherwise than asked for.
    pub eased: Option<String>,
}

impl Analysis {
    /// Those over all tasks of a block first, then task by task.
    pub fn all_comparisons(&self) -> impl Iterator<Item = &Comparison> {
        self.overall.iter().filter_map(|o| o.comparison.as_ref()).chain(&self.comparisons)
    }

    /// What Holm's p is over, in words.
    pub fn families(&self) -> String {
        let over = self.overall.iter().filter(|o| o.comparison.is_some()).count();
        let say = |n: usize, what: &str| format!("the {n} comparison{} {what}", if n == 1 { "" } else { "s" });
        match over {
            0 => say(self.comparisons.len(), "by task"),
            _ => format!("{} and {}", say(self.comparisons.len(), "by task"), say(over, "over tasks")),
        }
    }

    /// Where settings are chosen, in words.
    pub fn selection(&self) -> &'static str {
        match self.select {
            Select::Dev => "chosen on the dev set that is reported",
            Select::Half => "chosen on one half of dev, reported on the other",
        }
    }
}

/// A study as one row a setting, with the scores that it reports.
struct Measured {
    summary: DataFrame,
    cells: Vec<Cell>,
    warnings: Vec<String>,
    looks: Option<Looks>,
    stopped_early: Vec<String>,
}

fn measured(study: &Study) -> Result<Measured> {
    let ordered = study.records_in_order();
    let mut records = targets(&ordered);
    let mut warnings = Vec::new();
    if study.select == Select::Half {
        let (halved, told) = on_the_odd_half(records.into_owned());
        (records, warnings) = (halved.into(), told);
    }
    let mut summary = summary(&runs(&records)?)?;
    let mut cells = cells(&summary, &study.tune)?;
    if study.select == Select::Half {
        let even = summary.column("even")?.f64()?;
        cells.iter_mut().zip(even.iter()).for_each(|(cell, even)| cell.chosen_by = even);
    }
    let looks = Looks::of(study);
    if let Some(looks) = &looks {
        cells.iter_mut().for_each(|cell| looks.tell(cell));
    }
    let stopped_early = stopped_early(&cells, &ordered, &study.tune);
    let ends = |end: fn(Interval) -> f64| cells.iter().map(|c| c.interval.map(end)).collect::<Vec<_>>();
    let (low, high) = (ends(|i| i.low), ends(|i| i.high));
    summary.with_column(Column::new("low".into(), low))?.with_column(Column::new("high".into(), high))?;
    Ok(Measured { summary, cells, warnings, looks, stopped_early })
}

/// The cells of a study, of the scores that it reports: those of the odd half of dev where the even one chooses. A run
/// stands for each task that it was scored on.
///
/// # Errors
/// Those of the frames.
pub fn study_cells(study: &Study) -> Result<Vec<Cell>> {
    Ok(measured(study)?.cells)
}

/// Every statistic of the study, over [`study_cells`].
///
/// # Errors
/// Those of the frames.
pub fn analyse(study: &Study) -> Result<Analysis> {
    let Measured { summary, cells, mut warnings, looks, stopped_early } = measured(study)?;
    let layout = Layout::of(&cells);
    let pairs = layout.rows.iter().flat_map(|row| {
        let said = layout.said(&row.block);
        row.cells.iter().zip(&row.references).filter_map(move |(c, r)| Some(((*c)?, (*r)?, said.clone())))
    });
    let pairs: Vec<(&Cell, &Cell, Vec<String>)> = pairs.collect();
    let mut comparisons: Vec<Comparison> = pairs
        .par_iter()
        .filter_map(|(cell, reference, said)| {
            let early = looks.as_ref().map(|_| cell.looked.clone().map_or(Early::Unjudged, Early::Looked));
            Some(Comparison { early, ..Comparison::of(cell, reference, said)? })
        })
        .collect();
    let mut overall = overall(&layout);
    if looks.is_some() {
        let over = overall.iter_mut().filter_map(|o| o.comparison.as_mut());
        over.for_each(|comparison| comparison.early = Some(Early::Unjudged));
    }
    // Two questions, each with its family: over all tasks, and task by task.
    adjust(overall.iter_mut().filter_map(|o| o.comparison.as_mut()));
    adjust(&mut comparisons);
    let ranks = ranked(&layout);
    warnings.extend(at_borders(&layout.chosen, &cells, &study.tune));
    drop(layout);
    Ok(Analysis {
        summary,
        cells,
        tune: study.tune.clone(),
        select: study.select,
        comparisons,
        overall,
        ranks,
        warnings,
        looks: study.stop.as_ref().and_then(|stop| rule_in_words(stop, looks.as_ref()?.family())),
        spared: looks.map(|looks| looks.spared).unwrap_or_default(),
        stopped_early,
        eased: eased(&study.records),
    })
}

/// The ranks of the lines of these cells, for each model and size with five tasks or more.
pub fn rank_cells(cells: &[Cell]) -> Vec<RankedLines> {
    ranked(&Layout::of(cells))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::print_stderr)]

    use super::*;
    use crate::frame::example;
    use crate::record::{Elsewhere, End, Record, Way};

    /// Half scores: even chooses lr 4e-5, odd is better at 2e-5.
    fn halved() -> Vec<Record> {
        let mut records = Vec::new();
        for seed in 1..=3 {
            for (lr, even, odd) in [(2e-5, 0.5, 0.9), (4e-5, 0.7, 0.6)] {
                let mut record = example::record("rte", "vanilla", None, seed, (even + odd) / 2.0);
                record.run.recipe.lr = lr;
                let half = |score: f64| [("accuracy".to_owned(), Some(score))].into();
                let End::Done(outcome) = &mut record.end else { panic!() };
                outcome.halves = Some([half(even), half(odd)]);
                records.push(record);
            }
        }
        records
    }

    fn chosen(study: &Study) -> (String, f64) {
        let analysis = analyse(study).unwrap();
        let table = crate::frame::main_table(&analysis).unwrap().scores;
        let cells = Layout::of(&analysis.cells).chosen.into_iter().cloned().collect::<Vec<_>>();
        assert!(table.notes.iter().any(|n| n.contains(analysis.selection())), "{:?}", table.notes);
        (cells[0].value("lr").unwrap(), (cells[0].mean.unwrap() * 1e9).round() / 1e9)
    }

    #[test]
    fn one_half_chooses_and_the_other_is_reported() {
        let mut study = Study { tune: vec!["lr".into()], ..example::study(halved()) };
        assert_eq!(chosen(&study), ("2e-5".to_owned(), 0.7), "the whole dev set, where halves are not asked for");
        study.select = Select::Half;
        assert_eq!(chosen(&study), ("4e-5".to_owned(), 0.6));
        let border = "The best lr lies at the border of its range: widen it (vanilla on rte).";
        assert_eq!(analyse(&study).unwrap().warnings, [border]);
    }

    #[test]
    fn a_task_without_halves_keeps_the_whole_dev_set_and_says_so() {
        let mut records = halved();
        let End::Done(outcome) = &mut records[0].end else { panic!() };
        outcome.halves = None;
        let study = Study { tune: vec!["lr".into()], select: Select::Half, ..example::study(records) };
        assert_eq!(chosen(&study), ("2e-5".to_owned(), 0.7));
        let warnings = analyse(&study).unwrap().warnings;
        assert!(warnings[0].contains("no scores by halves: rte (1)") && warnings[0].contains("select = \"dev\""));
    }

    #[test]
    fn other_tasks_are_compared_and_runs_stay_counted_once_each() {
        let mut records = Vec::new();
        for seed in 1..=6 {
            for (mode, gain) in [("vanilla", 0.0), ("child-f", 0.03)] {
                let mut record = example::record("mnli", mode, None, seed, 0.6 + 0.001 * seed as f64);
                let End::Done(outcome) = &mut record.end else { panic!() };
                outcome.elsewhere.push(Elsewhere {
                    task: "snli".into(),
                    way: Way::Eval,
                    metric: "accuracy".into(),
                    dev: [("accuracy".to_owned(), Some(0.5 + gain + 0.002 * (seed % 3) as f64 * gain))].into(),
                    collapsed: false,
                    train_examples: 0,
                    dev_examples: 9,
                    source_after: None,
                });
                records.push(record);
            }
        }
        let analysis = analyse(&example::study(records)).unwrap();
        let found: Vec<(&str, u32)> = analysis.comparisons.iter().map(|c| (&*c.task, c.difference.pairs)).collect();
        assert_eq!(found, [("mnli", 6), ("mnli → snli", 6)]);
        assert!((analysis.comparisons[1].difference.mean - 0.03).abs() < 1e-3);
        assert!(analysis.cells.iter().all(|c| c.runs == 6));
        assert_eq!(analysis.overall.len(), 2);
        let over = analysis.overall[1].comparison.as_ref().unwrap();
        assert!((over.difference.mean - 0.015).abs() < 1e-3 && over.task == "the average of 2 tasks");
        // Six runs scored on two tasks are six pairs, not twelve.
        assert_eq!((over.family, over.flips), (1, 6));
    }

    #[test]
    fn five_tasks_are_ranked_and_four_are_not() {
        let analysis = analyse(&example::good(5, 3, &[None])).unwrap();
        let ranked = &analysis.ranks[0];
        assert_eq!((ranked.lines.len(), ranked.tasks.len(), ranked.left_out.len()), (3, 5, 0));
        assert!((ranked.ranks.mean.iter().sum::<f64>() - 6.0).abs() < 1e-9);
        assert!(analyse(&example::good(4, 3, &[None])).unwrap().ranks.is_empty());
    }

    #[test]
    fn nothing_recorded_is_nothing_compared() {
        let analysis = analyse(&Study::default()).unwrap();
        assert!(analysis.comparisons.is_empty() && analysis.overall.is_empty() && analysis.warnings.is_empty());
        let nasty = analyse(&example::nasty()).unwrap();
        assert_eq!(nasty.comparisons.len(), 1);
        assert!(nasty.comparisons[0].verdict().starts_with("1 seed cannot tell child-d from vanilla"));
    }
}
