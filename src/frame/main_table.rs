//! The main table: a row per mode and compared setting, a column per task, mean ± std over seeds; and the same as differences to the
//! reference, paired by seed.

use std::collections::BTreeSet;

use anyhow::Result;

use super::{Cell, Difference, Entry, REFERENCE, Table, best_of, chosen_over, difference, in_words, points};

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

/// A block of rows that may be compared with each other.
type Block = (String, Option<u32>);

/// The main table over the summary's cells; empty cells give a table without rows.
pub fn main_table(cells: &[Cell], tune: &[String]) -> Result<MainTable> {
    let chosen = best_of(cells, entry);
    let tasks = distinct(chosen.iter().map(|c| c.task.clone()));
    let rows = distinct(chosen.iter().map(|c| (block(c), c.line())));
    let blocks = distinct(rows.iter().map(|(block, _)| block.clone()));
    // Rows of one block stand together, in the order in which blocks and lines first appear.
    let rows: Vec<&(Block, String)> =
        blocks.iter().flat_map(|b| rows.iter().filter(move |(own, _)| own == b)).collect();
    let find = |block: &Block, line: &str, task: &str| -> Option<&Cell> {
        chosen.iter().copied().find(|c| this_block(c, block) && c.line() == line && c.task == task)
    };
    let reference = |cell: &Cell| -> Option<&Cell> {
        let mut beside = chosen.iter().copied().filter(|c| this_block(c, &block(cell)) && c.task == cell.task);
        beside.find(|c| c.mode == REFERENCE && cell.fits(c))
    };

    let heads = Heads::of(&blocks);
    let uniform = uniform_n(&chosen);
    let picked = Picked::of(cells, &chosen);
    let mut scores = Table {
        columns: heads.columns(tasks.iter().map(|task| headed(task, cells)), "average"),
        headings: heads.count(),
        notes: notes(uniform, &picked, at_borders(&chosen, cells, tune)),
        ..Table::default()
    };
    let mut differences = Table {
        columns: heads.columns(tasks.iter().cloned(), "average"),
        headings: heads.count(),
        notes: vec![format!(
            "Mean difference to {REFERENCE} in points, paired by seed, ± its standard error (n pairs). A difference \
             within two standard errors of zero is no evidence either way."
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

    for (block, name) in rows {
        let line: Vec<Option<&Cell>> = tasks.iter().map(|task| find(block, name, task)).collect();
        let best: Vec<Option<f64>> = tasks.iter().map(|t| largest(chosen.iter().copied(), block, t)).collect();
        let mut entries = heads.row(block, &picked.name(name, &line));
        let mut apart = heads.row(block, &picked.name(name, &line));
        let (mut compared, mut gaps) = (false, Vec::new());
        for (cell, best) in line.iter().zip(&best) {
            let gap = cell.filter(|c| c.mode != REFERENCE).and_then(|c| difference(c, reference(c)?));
            entries.push(cell.map_or(points(None, None).into(), |c| score_entry(c, *best, uniform, &picked)));
            apart.push(difference_text(gap.as_ref()).into());
            compared |= gap.is_some();
            gaps.push(gap.as_ref().map(|g| g.mean));
            if let Some(cell) = cell {
                csv.write_record(csv_row(cell, *best, gap.as_ref()))?;
            }
        }
        if tasks.len() > 1 {
            let mean = average(line.iter().map(|c| c.and_then(|c| c.mean)));
            let top = largest_average(&tasks, &chosen, block);
            entries.push(Entry { text: points(mean, None), best: mean.is_some() && mean == top, ..Entry::default() });
            apart.push(average(gaps.into_iter()).map_or("–".to_owned(), |d| format!("{:+.1}", d * 100.0)).into());
        }
        let row_of = |statistic: fn(&Cell) -> Option<f64>| -> Vec<Entry> {
            let values: Vec<Option<f64>> = line.iter().map(|cell| cell.and_then(statistic)).collect();
            let over_tasks = (tasks.len() > 1).then(|| average(values.iter().copied()));
            let texts = values.iter().copied().chain(over_tasks).map(|value| points(value, None).into());
            heads.row(block, &picked.name(name, &line)).into_iter().chain(texts).collect()
        };
        medians.rows.push(row_of(|cell| cell.median));
        maxima.rows.push(row_of(|cell| cell.max));
        scores.rows.push(entries);
        if compared {
            differences.rows.push(apart);
        } else if line.iter().flatten().any(|c| c.mode != REFERENCE && c.n > 0) {
            alone.push(picked.name(name, &line));
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

const CSV_COLUMNS: [&str; 20] = [
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
    "collapsed",
    "undefined",
    "diverged",
    "failed",
    "largest_mean",
    "difference_points",
    "difference_standard_error_points",
    "difference_pairs",
];

fn csv_row(cell: &Cell, best: Option<f64>, gap: Option<&Difference>) -> Vec<String> {
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
        cell.collapsed.to_string(),
        cell.undefined.to_string(),
        cell.diverged.to_string(),
        cell.failed.to_string(),
        (cell.mean.is_some() && cell.mean == best).to_string(),
        real(gap.map(|g| g.mean)),
        real(gap.and_then(|g| g.standard_error)),
        gap.map_or(String::new(), |g| g.pairs.to_string()),
    ]
}

fn block(cell: &Cell) -> Block {
    (cell.model.clone(), cell.train_size)
}

/// What one entry of the table is chosen among.
fn entry(cell: &Cell) -> (Block, String, String) {
    (block(cell), cell.line(), cell.task.clone())
}

fn this_block(cell: &Cell, block: &Block) -> bool {
    cell.model == block.0 && cell.train_size == block.1
}

fn distinct<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for item in items {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    seen
}

/// `rte (accuracy)`: the metric is the first one that a run of the task reports.
fn headed(task: &str, cells: &[Cell]) -> String {
    match cells.iter().filter(|c| c.task == task).find_map(|c| c.metric.as_deref()) {
        Some(metric) => format!("{task} ({metric})"),
        None => task.to_owned(),
    }
}

fn largest<'a>(chosen: impl Iterator<Item = &'a Cell>, block: &Block, task: &str) -> Option<f64> {
    chosen.filter(|c| this_block(c, block) && c.task == task).filter_map(|c| c.mean).reduce(f64::max)
}

/// The mean over tasks, where every task has a value.
fn average(values: impl ExactSizeIterator<Item = Option<f64>>) -> Option<f64> {
    let n = values.len() as f64;
    values.sum::<Option<f64>>().map(|sum| sum / n)
}

/// The largest average over tasks of any line in the block.
fn largest_average(tasks: &[String], chosen: &[&Cell], block: &Block) -> Option<f64> {
    let own: Vec<&Cell> = chosen.iter().copied().filter(|c| this_block(c, block)).collect();
    let of_line = |line: String| {
        let mean = |task: &String| own.iter().find(|c| c.line() == line && c.task == *task).and_then(|c| c.mean);
        average(tasks.iter().map(mean))
    };
    distinct(own.iter().map(|c| c.line())).into_iter().filter_map(of_line).reduce(f64::max)
}

fn score_entry(cell: &Cell, best: Option<f64>, uniform: Option<u32>, picked: &Picked) -> Entry {
    let is_told = cell.n > 0 && (uniform.is_none() || cell.n < cell.runs);
    let n = is_told.then(|| format!("n={}", cell.counted()));
    let setting = picked.differs_by_task(&cell.line()).then(|| cell.choice()).filter(|s| !s.is_empty());
    let trouble = Some(cell.trouble()).filter(|t| !t.is_empty());
    Entry {
        text: points(cell.mean, cell.std),
        aside: [n, setting, trouble].into_iter().flatten().collect::<Vec<_>>().join("; "),
        best: cell.mean.is_some() && cell.mean == best,
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

fn notes(uniform: Option<u32>, picked: &Picked, borders: Vec<String>) -> Vec<String> {
    let n = match uniform {
        Some(1) => "Scores of one seed on the dev set in points (×100); one seed has no spread.".to_owned(),
        Some(n) => format!("Mean ± standard deviation over n = {n} seeds on the dev set, in points (×100)."),
        None => "Mean ± standard deviation over n seeds on the dev set, in points (×100).".to_owned(),
    };
    let mut notes = vec![n];
    if !picked.over.is_empty() {
        let over = distinct(picked.over.iter().map(|(_, names)| names)).into_iter().map(|names| {
            let lines: Vec<&str> =
                picked.over.iter().filter(|(_, o)| o == names).map(|(line, _)| line.as_str()).collect();
            format!("{} chosen per task on dev for {}", in_words(names), lines.join(", "))
        });
        notes.push(format!(
            "{}: the largest mean among the settings with most scored runs. It is the same dev set that is shown, which \
             favours modes with more settings.",
            over.collect::<Vec<_>>().join("; ")
        ));
    }
    notes.extend(borders);
    notes.push("Bold is the largest mean of its column, not a test of significance.".to_owned());
    notes
}

/// A sentence for each tuned setting whose best value is the least or the largest tried: a better one may lie beyond.
fn at_borders(chosen: &[&Cell], cells: &[Cell], tune: &[String]) -> Vec<String> {
    let number = |cell: &Cell, name: &str| cell.value(name).and_then(|value| value.parse::<f64>().ok());
    let at_border = |best: &Cell, name: &str| {
        let tried: Vec<f64> =
            cells.iter().filter(|c| entry(c) == entry(best)).filter_map(|c| number(c, name)).collect();
        let (least, most) = tried.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, m), x| (l.min(*x), m.max(*x)));
        least < most && best.n > 0 && number(best, name).is_some_and(|x| x == least || x == most)
    };
    let sentence = |name: &String| {
        let best = chosen.iter().filter(|c| at_border(c, name));
        let places: Vec<String> = best.map(|c| format!("{} on {}", c.line(), c.task)).collect();
        let say = format!(
            "The best {name} lies at the border of its range: widen it ({}).",
            distinct(places.iter().map(String::as_str)).join(", ")
        );
        (!places.is_empty()).then_some(say)
    };
    tune.iter().filter_map(sentence).collect()
}

/// Which lines had several settings to choose from, and what these differ in.
struct Picked {
    over: Vec<(String, Vec<String>)>,
}

impl Picked {
    fn of(cells: &[Cell], chosen: &[&Cell]) -> Picked {
        let of_line = |line: String| {
            let over = chosen_over(cells.iter().filter(|c| c.line() == line), entry);
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
