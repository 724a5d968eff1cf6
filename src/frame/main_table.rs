//! The main table: a row per mode and compared setting, a column per task, mean ± std over seeds; and the same as
//! differences to the reference, paired by seed. Bold is what a test found.

use std::collections::{BTreeSet, HashMap};

use anyhow::Result;

use super::borders::at_borders;
use super::early::BIAS;
use super::layout::{Block, Layout, distinct, entry};
use super::{
    Analysis, Cell, Comparison, Difference, Entry, Finding, REFERENCE, Table, chosen_over, difference, in_words, points,
};
use crate::record::store::Select;

/// What is compared, once the best on dev is chosen over p and the axes of `[tune]`.
#[derive(Debug, Clone, PartialEq)]
pub struct MainTable {
    pub scores: Table,
    /// The same rows with the median and the best seed instead.
    pub medians: Table,
    pub maxima: Table,
    /// Against the reference; `None` where no other mode shares a seed with it.
    pub differences: Option<Table>,
    /// A line for each entry, with every number behind it, in points.
    pub csv: String,
}

/// The main table of a study; without cells it has no rows.
pub fn main_table(analysis: &Analysis) -> Result<MainTable> {
    let cells = &analysis.cells;
    let layout = Layout::of(cells);
    let tasks = &layout.tasks;
    let heads = Heads::of(&layout.blocks);
    let uniform = uniform_n(&layout.chosen);
    let picked = Picked::of(cells, &layout.chosen);
    let mut scores = Table {
        columns: heads.columns(tasks.iter().map(|task| headed(task, cells)), "average"),
        headings: heads.count(),
        notes: notes(uniform, &picked, analysis, at_borders(&layout.chosen, cells, &analysis.tune)),
        ..Table::default()
    };
    let mut differences = Table {
        columns: heads.columns(tasks.iter().cloned(), "average"),
        headings: heads.count(),
        notes: vec![format!(
            "Mean difference to {REFERENCE} in points, paired by seed, ± its standard error (n pairs). What of it is more \
             than noise, the table of comparisons says."
        )],
        ..Table::default()
    };
    let plain = |note: &str| Table {
        columns: scores.columns.clone(),
        headings: heads.count(),
        notes: vec![note.to_owned()],
        ..Table::default()
    };
    let mut medians = plain("Median over seeds on the dev set, in points (×100).");
    let mut maxima = plain("Best seed on the dev set, in points (×100): what one run can reach, not what to expect.");
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(CSV_COLUMNS)?;
    let mut alone = Vec::new();
    let comparisons: HashMap<_, &Comparison> = analysis
        .comparisons
        .iter()
        .map(|c| (((c.model.clone(), c.train_size), c.line.clone(), c.task.clone()), c))
        .collect();
    let found = |c: Option<&Comparison>| c.is_some_and(|c| c.finding() == Finding::Better);

    for row in &layout.rows {
        let name = picked.name(&row.line, &row.cells);
        let mut entries = heads.row(&row.block, &name);
        let mut apart = heads.row(&row.block, &name);
        let (mut compared, mut gaps) = (false, Vec::new());
        for (cell, reference) in row.cells.iter().zip(&row.references) {
            let gap = cell.and_then(|c| difference(c, (*reference)?));
            let comparison = cell.and_then(|c| comparisons.get(&entry(c)).copied());
            let is_better = found(comparison);
            entries.push(cell.map_or(points(None, None).into(), |c| score_entry(c, is_better, uniform, &picked)));
            apart.push(Entry { best: is_better, ..difference_text(gap.as_ref()).into() });
            compared |= gap.is_some();
            gaps.push(gap.as_ref().map(|g| g.mean));
            if let Some(cell) = cell {
                csv.write_record(csv_row(cell, gap.as_ref(), comparison))?;
            }
        }
        if tasks.len() > 1 {
            let over = analysis.overall.iter().find(|o| {
                o.line == row.line && (&o.model, o.train_size) == (&row.block.0, row.block.1) && o.tasks == tasks.len()
            });
            let best = found(over.and_then(|o| o.comparison.as_ref()));
            let mean = average(row.cells.iter().map(|c| c.and_then(|c| c.mean)));
            entries.push(Entry { text: points(mean, None), best, ..Entry::default() });
            apart.push(average(gaps.into_iter()).map_or("–".to_owned(), |d| format!("{:+.1}", d * 100.0)).into());
        }
        let row_of = |statistic: fn(&Cell) -> Option<f64>| -> Vec<Entry> {
            let values: Vec<Option<f64>> = row.cells.iter().map(|cell| cell.and_then(statistic)).collect();
            let over_tasks = (tasks.len() > 1).then(|| average(values.iter().copied()));
            let texts = values.iter().copied().chain(over_tasks).map(|value| points(value, None).into());
            heads.row(&row.block, &name).into_iter().chain(texts).collect()
        };
        medians.rows.push(row_of(|cell| cell.median));
        maxima.rows.push(row_of(|cell| cell.max));
        scores.rows.push(entries);
        if compared {
            differences.rows.push(apart);
        } else if row.mode != REFERENCE && row.cells.iter().flatten().any(|c| c.n > 0) {
            alone.push(name);
        }
    }
    if !alone.is_empty() {
        let why = format!("Not compared, for no scored {REFERENCE} has their settings or a seed of theirs");
        differences.notes.push(format!("{why}: {}.", alone.join(", ")));
    }
    if tasks.len() < 2 {
        for table in [&mut scores, &mut medians, &mut maxima, &mut differences] {
            table.columns.pop();
        }
    }
    let csv = String::from_utf8(csv.into_inner().map_err(|e| e.into_error())?)?;
    Ok(MainTable { scores, medians, maxima, differences: (!differences.rows.is_empty()).then_some(differences), csv })
}

const CSV_COLUMNS: [&str; 23] = [
    "task",
    "metric",
    "model",
    "train_size",
    "mode",
    "setting",
    "n",
    "mean_points",
    "std_points",
    "median_points",
    "min_points",
    "max_points",
    "low_points",
    "high_points",
    "collapsed",
    "undefined",
    "diverged",
    "failed",
    "difference_points",
    "difference_standard_error_points",
    "difference_pairs",
    "p_holm",
    "better",
];

fn csv_row(cell: &Cell, gap: Option<&Difference>, comparison: Option<&Comparison>) -> Vec<String> {
    let real = |x: Option<f64>| x.map_or(String::new(), |x| format!("{:.4}", x * 100.0));
    vec![
        cell.task.clone(),
        cell.metric.clone().unwrap_or_default(),
        cell.model.clone(),
        cell.train_size.map_or(String::new(), |n| n.to_string()),
        cell.mode.clone(),
        cell.setting(),
        cell.n.to_string(),
        real(cell.mean),
        real(cell.std),
        real(cell.median),
        real(cell.min),
        real(cell.max),
        real(cell.interval.map(|i| i.low)),
        real(cell.interval.map(|i| i.high)),
        cell.collapsed.to_string(),
        cell.undefined.to_string(),
        cell.diverged.to_string(),
        cell.failed.to_string(),
        real(gap.map(|g| g.mean)),
        real(gap.and_then(|g| g.standard_error)),
        gap.map_or(String::new(), |g| g.pairs.to_string()),
        comparison.and_then(Comparison::p_holm).map_or(String::new(), |p| format!("{p:.6}")),
        comparison.map_or(String::new(), |c| (c.finding() == Finding::Better).to_string()),
    ]
}

/// `rte (accuracy)`: the metric is the first one that a run of the task reports.
fn headed(task: &str, cells: &[Cell]) -> String {
    match cells.iter().filter(|c| c.task == task).find_map(|c| c.metric.as_deref()) {
        Some(metric) => format!("{task} ({metric})"),
        None => task.to_owned(),
    }
}

/// The mean over tasks, where every task has a value.
fn average(values: impl ExactSizeIterator<Item = Option<f64>>) -> Option<f64> {
    let n = values.len() as f64;
    values.sum::<Option<f64>>().map(|sum| sum / n)
}

fn score_entry(cell: &Cell, best: bool, uniform: Option<u32>, picked: &Picked) -> Entry {
    let is_told = cell.n > 0 && (uniform.is_none() || cell.n < cell.runs);
    let n = is_told.then(|| format!("n={}", cell.counted()));
    let setting = picked.differs_by_task(&cell.line()).then(|| cell.choice()).filter(|s| !s.is_empty());
    let trouble = Some(cell.remarks()).filter(|t| !t.is_empty());
    Entry {
        text: points(cell.mean, cell.std),
        aside: [n, setting, trouble].into_iter().flatten().collect::<Vec<_>>().join("; "),
        best,
    }
}

fn difference_text(gap: Option<&Difference>) -> String {
    match gap {
        None => "–".to_owned(),
        Some(gap) => {
            let error = gap.standard_error.map_or(String::new(), |e| format!(" ± {:.1}", e * 100.0));
            format!("{:+.1}{error} ({})", gap.mean * 100.0, gap.pairs)
        }
    }
}

/// The number of scored runs, if all cells with a score have the same.
fn uniform_n(chosen: &[&Cell]) -> Option<u32> {
    let counts = distinct(chosen.iter().filter(|c| c.n > 0).map(|c| c.n));
    (counts.len() == 1).then(|| counts[0])
}

fn notes(uniform: Option<u32>, picked: &Picked, analysis: &Analysis, borders: Vec<String>) -> Vec<String> {
    let on = match analysis.select {
        Select::Dev => "the dev set",
        Select::Half => "the odd half of the dev set",
    };
    let n = match uniform {
        Some(1) => format!("Scores of one seed on {on} in points (×100); one seed has no spread."),
        Some(n) => format!("Mean ± standard deviation over n = {n} seeds on {on}, in points (×100)."),
        None => format!("Mean ± standard deviation over n seeds on {on}, in points (×100)."),
    };
    let mut notes = vec![n];
    if !picked.over.is_empty() {
        let over = distinct(picked.over.iter().map(|(_, names)| names)).into_iter().map(|names| {
            let lines: Vec<&str> =
                picked.over.iter().filter(|(_, o)| o == names).map(|(line, _)| line.as_str()).collect();
            format!("{} per task for {}", in_words(names), lines.join(", "))
        });
        let favours = match analysis.select {
            Select::Dev => ", which favours modes with more settings",
            Select::Half => "",
        };
        notes.push(format!(
            "The best setting was {}{favours}: {}; the largest mean among the settings with most scored runs.",
            analysis.selection(),
            over.collect::<Vec<_>>().join("; ")
        ));
    }
    notes.extend(borders);
    notes.extend(analysis.stopped_early.iter().cloned());
    notes.extend(analysis.eased.clone());
    notes.push(match (analysis.all_comparisons().count(), &analysis.looks) {
        (0, _) => format!("Nothing is compared with {REFERENCE}, so nothing is bold."),
        (_, Some(looks)) => format!("Bold is better than {REFERENCE} by {looks}. {BIAS}"),
        (_, None) => format!(
            "Bold is better than {REFERENCE} with p < 0.05 by a sign-flip test paired by seed, after Holm over {}.",
            analysis.families()
        ),
    });
    notes
}

/// Which lines had several settings to choose from, and what these differ in.
struct Picked {
    over: Vec<(String, Vec<String>)>,
}

impl Picked {
    fn of(cells: &[Cell], chosen: &[&Cell]) -> Picked {
        let mut by_line: HashMap<String, Vec<&Cell>> = HashMap::new();
        for cell in cells {
            by_line.entry(cell.line()).or_default().push(cell);
        }
        let of_line = |line: String| {
            let over = chosen_over(by_line[&line].iter().copied(), entry);
            (line, over)
        };
        let over = distinct(chosen.iter().map(|c| c.line())).into_iter().map(of_line);
        Picked { over: over.filter(|(_, names)| !names.is_empty()).collect() }
    }

    fn differs_by_task(&self, line: &str) -> bool {
        self.over.iter().any(|(own, _)| own == line)
    }

    /// The row's name, with the setting where there was only one.
    fn name(&self, name: &str, line: &[Option<&Cell>]) -> String {
        let settings: BTreeSet<String> = line.iter().flatten().map(|c| c.choice()).collect();
        match settings.first() {
            Some(only) if settings.len() == 1 && !only.is_empty() && !self.differs_by_task(name) => {
                format!("{name} ({only})")
            }
            _ => name.to_owned(),
        }
    }
}

/// The columns that name a row: model and training size only where they vary.
struct Heads {
    model: bool,
    size: bool,
}

impl Heads {
    fn of(blocks: &[Block]) -> Heads {
        Heads { model: blocks.iter().any(|b| b.0 != blocks[0].0), size: blocks.iter().any(|b| b.1 != blocks[0].1) }
    }

    fn count(&self) -> usize {
        1 + usize::from(self.model) + usize::from(self.size)
    }

    fn columns(&self, tasks: impl Iterator<Item = String>, last: &str) -> Vec<String> {
        let model = self.model.then(|| "model".to_owned());
        let size = self.size.then(|| "examples".to_owned());
        let named = [model, size, Some("mode".to_owned())].into_iter().flatten();
        named.chain(tasks).chain([last.to_owned()]).collect()
    }

    fn row(&self, (model, size): &Block, mode: &str) -> Vec<Entry> {
        let model = self.model.then(|| model.clone());
        let size = self.size.then(|| size.map_or("all".to_owned(), |n| n.to_string()));
        [model, size, Some(mode.to_owned())].into_iter().flatten().map(Entry::from).collect()
    }
}

#[cfg(test)]
mod tests;
