//! A line over all tasks of its block: interquartile mean, average difference to the reference, ranks.

use std::collections::BTreeMap;

use super::Cell;
use super::comparison::Comparison;
use super::layout::{Block, Layout, Row};
use super::targets::trained_task;
use crate::stats::{self, Interval, Ranks};

/// One line over the tasks of its model and training size.
#[derive(Debug, Clone, PartialEq)]
pub struct Overall {
    pub model: String,
    pub train_size: Option<u32>,
    pub mode: String,
    pub line: String,
    /// What of model and size must be said, or nothing.
    pub said: Vec<String>,
    /// Tasks with a score of it, two or more.
    pub tasks: usize,
    /// Interquartile mean over tasks × seeds of raw scores, with its stratified bootstrap interval.
    pub iqm: f64,
    pub interval: Option<Interval>,
    /// Against the reference: the score of a seed is its mean over the tasks; the test flips the difference of every run
    /// on its own. Over the tasks that both have and the
    /// seeds that have a score on each of them; `None` where that leaves fewer than two tasks or no seed.
    pub comparison: Option<Comparison>,
}

pub(super) fn overall(layout: &Layout) -> Vec<Overall> {
    layout.rows.iter().filter_map(|row| line(row, layout.said(&row.block))).collect()
}

fn line(row: &Row, said: Vec<String>) -> Option<Overall> {
    let scored = row.cells.iter().flatten().filter(|c| c.n > 0);
    let scores: Vec<Vec<f64>> = scored.map(|c| c.scores.values().copied().collect()).collect();
    if scores.len() < 2 {
        return None;
    }
    let both: Vec<(&Cell, &Cell)> =
        row.cells.iter().zip(&row.references).filter_map(|(c, r)| Some(((*c)?, (*r)?))).collect();
    let comparison = (both.len() > 1).then(|| {
        let (own, reference): (Vec<&Cell>, Vec<&Cell>) = both.into_iter().unzip();
        let (mean, reference_mean) = (averaged(&own)?, averaged(&reference)?);
        let is_shared = |seed: &&u64| mean.scores.contains_key(seed) && reference_mean.scores.contains_key(seed);
        // Scores of one run on several tasks are no independent differences: they keep one sign together.
        let mut by_run: BTreeMap<(&str, u64), f64> = BTreeMap::new();
        for (c, r) in own.iter().zip(&reference) {
            for seed in c.scores.keys().filter(is_shared) {
                let difference = c.scores.get(seed)? - r.scores.get(seed)?;
                *by_run.entry((trained_task(&c.task), *seed)).or_default() += difference;
            }
        }
        let differences: Vec<f64> = by_run.into_values().collect();
        Comparison::of(&mean, &reference_mean, &said)?.over_tasks(&differences)
    });
    Some(Overall {
        model: row.block.0.clone(),
        train_size: row.block.1,
        mode: row.mode.clone(),
        line: row.line.clone(),
        said,
        tasks: scores.len(),
        iqm: stats::iqm(&scores)?,
        interval: stats::iqm_interval(&scores),
        comparison: comparison.flatten(),
    })
}

/// A cell whose scores are the means over the cells' tasks, of the seeds that all of them have. What was chosen may
/// differ by task, and so is not said.
pub(super) fn averaged(cells: &[&Cell]) -> Option<Cell> {
    let (first, others) = cells.split_first()?;
    let scores: BTreeMap<u64, f64> = first
        .scores
        .iter()
        .filter_map(|(seed, score)| {
            let rest: Option<f64> = others.iter().map(|c| c.scores.get(seed)).sum::<Option<f64>>();
            Some((*seed, (score + rest?) / cells.len() as f64))
        })
        .collect();
    let count = |of: fn(&Cell) -> u32| cells.iter().map(|c| of(c)).sum();
    Some(Cell {
        task: format!("the average of {} tasks", cells.len()),
        p: None,
        varying: first.apart.clone(),
        n: scores.len() as u32,
        collapsed: count(|c| c.collapsed),
        undefined: count(|c| c.undefined),
        diverged: count(|c| c.diverged),
        failed: count(|c| c.failed),
        stopped: count(|c| c.stopped),
        looked: None,
        scores,
        ..(*first).clone()
    })
}

/// What a critical-difference diagram of one block shows.
#[derive(Debug, Clone, PartialEq)]
pub struct RankedLines {
    pub model: String,
    pub train_size: Option<u32>,
    /// What of model and size must be said, or nothing.
    pub said: Vec<String>,
    /// In the order of `ranks.mean`.
    pub lines: Vec<String>,
    pub tasks: Vec<String>,
    /// Of the mean scores over seeds.
    pub ranks: Ranks,
    /// Lines that have no score on some task of the block, and so no rank.
    pub left_out: Vec<String>,
}

/// Fewer tasks give ranks that cannot tell anything.
const TASKS: usize = 5;

/// One for each block with five tasks or more and two lines or more that have a score on each of them.
pub(super) fn ranked(layout: &Layout) -> Vec<RankedLines> {
    let of_block = |block: &Block| {
        let rows: Vec<&Row> = layout.rows.iter().filter(|r| r.block == *block).collect();
        let is_there = |task: &usize| rows.iter().any(|r| r.cells[*task].is_some_and(|c| c.n > 0));
        let tasks: Vec<usize> = (0..layout.tasks.len()).filter(is_there).collect();
        let means = |row: &&Row| -> Option<Vec<f64>> { tasks.iter().map(|t| row.cells[*t]?.mean).collect() };
        let (whole, parts): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| means(row).is_some());
        let by_line: Vec<Vec<f64>> = whole.iter().filter_map(means).collect();
        let by_task: Vec<Vec<f64>> = (0..tasks.len()).map(|t| by_line.iter().map(|line| line[t]).collect()).collect();
        let names = |rows: Vec<&Row>| rows.into_iter().map(|r| r.line.clone()).collect();
        Some(RankedLines {
            model: block.0.clone(),
            train_size: block.1,
            said: layout.said(block),
            ranks: stats::rank_lines(&by_task).filter(|_| tasks.len() >= TASKS)?,
            lines: names(whole),
            tasks: tasks.iter().map(|t| layout.tasks[*t].clone()).collect(),
            left_out: names(parts),
        })
    };
    layout.blocks.iter().filter_map(of_block).collect()
}
