//! Published numbers beside ours. Levels compare only with the same model, task and training size; what is claimed of
//! a mode against another compares in sign and order with any.

use std::collections::HashSet;

use super::comparison::Comparison;
use super::comparisons_table::with_interval;
use super::layout::{Layout, Row};
use super::overall::averaged;
use super::published::{AVERAGE, AVERAGED, Number, numbers};
use super::{Analysis, Cell, Entry, REFERENCE, Study, Table, in_words};
use crate::stats::{self, Interval};

/// The published table that the study asks about, with ours; `None` where it asks about none, or knows no such table.
pub fn published_table(study: &Study, analysis: &Analysis) -> Option<Table> {
    let paper = study.paper.as_deref()?;
    let published: Vec<&Number> = numbers(paper).collect();
    if published.is_empty() {
        return None;
    }
    let layout = Layout::of(&analysis.cells);
    let mut rows = Vec::new();
    for number in published.iter().filter(|n| n.against.is_none()) {
        for row in layout.rows.iter().filter(|r| r.mode == number.mode) {
            rows.extend(number.scores.keys().map(|task| level(number, task, row, &layout)));
        }
    }
    let mut claims: Vec<Claim> = published.iter().flat_map(|number| Claim::of(number, &published)).collect();
    for claim in &claims {
        rows.extend(layout.rows.iter().filter(|r| r.mode == claim.mode).map(|row| claim.beside(row, &layout)));
    }
    claims.retain(|c| c.task == AVERAGE);
    let ran: HashSet<&str> = layout.rows.iter().map(|r| &*r.mode).collect();
    let mut notes = vec![
        "Points. Levels are compared only where model, task and training size are the same; elsewhere sign and order of \
         differences are. Ours: mean with its 95 % interval; within the noise is a published value inside the interval, or, \
         where a spread is published, a difference below two joint standard errors."
            .to_owned(),
    ];
    let mut absent: Vec<String> =
        published.iter().map(|n| n.mode.clone()).filter(|mode| !ran.contains(&**mode)).collect();
    absent.sort();
    absent.dedup();
    if !absent.is_empty() {
        notes.push(format!("Published and not run here: {}.", in_words(&absent)));
    }
    notes.extend(order(&claims, &layout));
    Some(Table {
        columns: ["mode", "task", "source", "published", "ours", "difference", "finding"].map(str::to_owned).to_vec(),
        headings: 3,
        rows,
        notes,
    })
}

/// A published score beside ours.
fn level(number: &Number, task: &str, row: &Row, layout: &Layout) -> Vec<Entry> {
    let published = number.scores[task];
    let ours = ours(task, row, layout);
    let (mean, interval) = ours.as_ref().map_or((None, None), |c| (c.mean, c.interval));
    let differs = unlike(number, task, row, layout);
    let difference = mean.filter(|_| differs.is_empty()).map(|mean| mean * 100.0 - published);
    let finding = match (difference, ours.as_ref()) {
        (None, _) if !differs.is_empty() => format!("not compared: {}", differs.join(", ")),
        (None, _) => "no score here".to_owned(),
        (Some(difference), Some(cell)) => agreement(difference, number, task, cell),
        (Some(_), None) => String::new(),
    };
    let std = number.std.get(task).map_or(String::new(), |std| format!(" ± {std:.2}"));
    vec![
        named(row, layout),
        task.to_owned().into(),
        format!("{}, {}", number.model, number.source()).into(),
        format!("{published:.2}{std}").into(),
        mean.map_or("–".to_owned(), |mean| with_interval(mean, interval, false)).into(),
        difference.map_or("–".to_owned(), |d| format!("{d:+.1}")).into(),
        finding.into(),
    ]
}

fn named(row: &Row, layout: &Layout) -> Entry {
    Entry { aside: layout.said(&row.block).join(", "), ..Entry::from(row.line.clone()) }
}

/// Our cell of a task, or of the mean over all our tasks.
fn ours(task: &str, row: &Row, layout: &Layout) -> Option<Cell> {
    if task != AVERAGE {
        let column = layout.tasks.iter().position(|own| own == task)?;
        return row.cells[column].cloned();
    }
    let cells: Vec<&Cell> = row.cells.iter().copied().flatten().collect();
    averaged(&cells).filter(|c| c.n > 0).map(with_statistics)
}

/// The mean over tasks has no row in the summary, so its statistics are made here.
fn with_statistics(cell: Cell) -> Cell {
    let scores: Vec<f64> = cell.scores.values().copied().collect();
    Cell { mean: stats::mean(&scores), std: stats::deviation(&scores), interval: stats::mean_interval(&scores), ..cell }
}

/// What is not the same here as where the number is from.
fn unlike(number: &Number, task: &str, row: &Row, layout: &Layout) -> Vec<String> {
    let (model, size) = &row.block;
    let mut differs = Vec::new();
    // A model's name may say its maker before it, and a revision behind it.
    let name = model.rsplit('/').next().and_then(|name| name.split('@').next());
    if name != Some(&number.model) {
        differs.push(format!("the model is {model}"));
    }
    if *size != number.size {
        let examples = |n: &Option<u32>| n.map_or("all".to_owned(), |n| n.to_string());
        differs.push(format!("{} training examples, not {}", examples(size), examples(&number.size)));
    }
    let own: HashSet<&str> = layout.tasks.iter().map(|t| &**t).collect();
    if task == AVERAGE && own != HashSet::from(AVERAGED) {
        differs.push(format!("the average is over {}", in_words(&layout.tasks)));
    } else if task != AVERAGE && !own.contains(task) {
        differs.push("the task was not run".to_owned());
    }
    differs
}

/// In points.
fn agreement(difference: f64, number: &Number, task: &str, cell: &Cell) -> String {
    let joint = number.std.get(task).zip(number.seeds).zip(cell.std).map(|((theirs, seeds), ours)| {
        let ours = ours * 100.0;
        2.0 * (theirs * theirs / f64::from(seeds) + ours * ours / f64::from(cell.n)).sqrt()
    });
    let inside = |i: Interval| i.holds(cell.mean.unwrap_or(f64::NAN) - difference / 100.0);
    match (joint, cell.interval) {
        (Some(noise), _) if difference.abs() <= noise => format!("agrees within the noise {noise:.1}"),
        (Some(noise), _) => format!("differs by more than the noise {noise:.1}"),
        (None, Some(i)) if inside(i) => "agrees: within our interval".to_owned(),
        (None, Some(_)) => "differs: outside our interval".to_owned(),
        (None, None) => "one seed has no noise to judge by".to_owned(),
    }
}

/// What a source says of one mode against another.
struct Claim {
    mode: String,
    against: String,
    /// `average` or a task.
    task: String,
    /// In points.
    published: f64,
    source: String,
}

impl Claim {
    /// The number itself where it is a difference; else what it is more than the reference beside it, on average where
    /// the source has one and by task elsewhere.
    fn of(number: &Number, all: &[&Number]) -> Vec<Claim> {
        let claim = |against: &str, task: &str, published: f64| Claim {
            mode: number.mode.clone(),
            against: against.to_owned(),
            task: task.to_owned(),
            published,
            source: format!("{}, {}", number.model, number.source()),
        };
        if let Some(against) = &number.against {
            return number.scores.iter().map(|(task, d)| claim(against, task, *d)).collect();
        }
        let is_reference = |n: &&&Number| n.mode == REFERENCE && n.against.is_none() && n.stands_beside(number);
        let Some(reference) = all.iter().find(is_reference).filter(|_| number.mode != REFERENCE) else {
            return Vec::new();
        };
        let both = number.scores.iter().filter_map(|(task, s)| Some((task, s - reference.scores.get(task)?)));
        let has_average = number.scores.contains_key(AVERAGE);
        both.filter(|(task, _)| !has_average || *task == AVERAGE).map(|(task, d)| claim(REFERENCE, task, d)).collect()
    }

    fn beside(&self, row: &Row, layout: &Layout) -> Vec<Entry> {
        let ours = self.measured(row, layout);
        let finding = match &ours {
            None => "nothing here to compare".to_owned(),
            Some(c) => {
                let sign = if (c.difference.mean > 0.0) == (self.published > 0.0) { "same" } else { "opposite" };
                match c.interval {
                    Some(i) if i.holds(0.0) => format!("{sign} sign, within our noise {:.1}", i.half_width() * 100.0),
                    Some(_) => format!("{sign} sign, beyond our noise"),
                    None => format!("{sign} sign, one pair"),
                }
            }
        };
        vec![
            named(row, layout),
            format!("{}, less {}", self.task, self.against).into(),
            self.source.clone().into(),
            format!("{:+.2}", self.published).into(),
            ours.map_or("–".to_owned(), |c| with_interval(c.difference.mean, c.interval, true)).into(),
            "–".to_owned().into(),
            finding.into(),
        ]
    }

    /// Ours, paired by seed, over the tasks that both modes have.
    fn measured(&self, row: &Row, layout: &Layout) -> Option<Comparison> {
        let other = layout.rows.iter().find(|r| r.mode == self.against && r.block == row.block)?;
        let is_meant = |task: usize| self.task == AVERAGE || layout.tasks[task] == self.task;
        let both = (0..layout.tasks.len()).filter(|t| is_meant(*t));
        let (own, others): (Vec<&Cell>, Vec<&Cell>) =
            both.filter_map(|t| Some((row.cells[t]?, other.cells[t]?))).unzip();
        Comparison::of(&averaged(&own)?, &averaged(&others)?, &[])
    }
}

/// The modes in the order that the average claims give them, and in ours; `None` below two claims that ran here.
fn order(claims: &[Claim], layout: &Layout) -> Option<String> {
    let direct = |mode: &str| claims.iter().find(|c| c.mode == mode && c.against == REFERENCE).map(|c| c.published);
    let mut published: Vec<(String, f64)> = vec![(REFERENCE.to_owned(), 0.0)];
    for claim in claims {
        let base = if claim.against == REFERENCE { Some(0.0) } else { direct(&claim.against) };
        if let Some(base) = base.filter(|_| published.iter().all(|(mode, _)| *mode != claim.mode)) {
            published.push((claim.mode.clone(), base + claim.published));
        }
    }
    let block = layout.blocks.first()?;
    let mean = |mode: &str| {
        let row = layout.rows.iter().find(|r| r.mode == mode && r.block == *block)?;
        ours(AVERAGE, row, layout)?.mean
    };
    let mut both: Vec<(String, f64, f64)> =
        published.into_iter().filter_map(|(mode, theirs)| Some((mode.clone(), theirs, mean(&mode)?))).collect();
    if both.len() < 3 {
        return None;
    }
    both.sort_by(|a, b| b.1.total_cmp(&a.1));
    let theirs: Vec<String> = both.iter().map(|(mode, ..)| mode.clone()).collect();
    both.sort_by(|a, b| b.2.total_cmp(&a.2));
    let own: Vec<String> = both.iter().map(|(mode, ..)| mode.clone()).collect();
    let said = if theirs == own { "Ours is the same".to_owned() } else { format!("Ours: {}", own.join(" > ")) };
    Some(format!("Published order by average: {}. {said}; neighbours may lie within the noise.", theirs.join(" > ")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::frame::{analyse, example};

    fn table(paper: &str, records: Vec<crate::record::Record>) -> Table {
        let study = Study { paper: Some(paper.to_owned()), ..example::study(records) };
        published_table(&study, &analyse(&study).unwrap()).unwrap()
    }

    fn finding<'a>(table: &'a Table, mode: &str, task: &str, source: &str) -> &'a str {
        let is_it = |row: &&Vec<Entry>| row[0].text == mode && row[1].text == task && row[2].text.contains(source);
        &table.rows.iter().find(is_it).unwrap_or_else(|| panic!("{}", table.markdown()))[6].text
    }

    #[test]
    fn another_model_is_not_compared_in_level() {
        let study = example::good(1, 4, &[None]);
        let mut records = study.records;
        records.iter_mut().for_each(|r| r.run.task.name = "rte".into());
        let table = table("table2", records);
        let said = finding(&table, "child-d", "rte", "HyPe's own");
        assert_eq!(said, "not compared: the model is all-MiniLM-L6-v2");
        assert!(finding(&table, "child-d", "average, less vanilla", "HyPe's own").starts_with("same sign"));
        assert!(table.notes.iter().any(|n| n.contains("not run here") && n.contains("mixout")), "{:?}", table.notes);
        assert!(table.rows.iter().all(|row| row.len() == table.columns.len()));
    }

    #[test]
    fn the_same_setting_agrees_or_not() {
        let mut records = Vec::new();
        for seed in 1..=5 {
            let wobble = 0.004 * (seed as f64 - 3.0);
            for (task, score) in [("cola", 0.64), ("rte", 0.60)] {
                records.push(example::record(task, "vanilla", None, seed, score + wobble));
            }
        }
        records.iter_mut().for_each(|r| r.run.model.name = "google/bert-large-cased@main".into());
        let table = table("table2", records);
        assert!(finding(&table, "vanilla", "cola", "HyPe's own").starts_with("agrees within the noise"));
        assert!(finding(&table, "vanilla", "rte", "HyPe's own").starts_with("differs by more than the noise"));
        assert!(finding(&table, "vanilla", "average", "HyPe's own").contains("the average is over cola and rte"));
    }

    #[test]
    fn the_ablation_compares_signs_and_order() {
        let mut records = Vec::new();
        for seed in 1..=6 {
            let wobble = 0.004 * (seed as f64 % 3.0);
            for (mode, score) in
                [("vanilla", 0.70), ("child-d", 0.72), ("child-random", 0.69), ("child-lowest", 0.60), ("prune", 0.4)]
            {
                records.push(example::record("rte", mode, None, seed, score + wobble * score));
            }
        }
        let table = table("table5", records);
        assert_eq!(finding(&table, "child-random", "average, less vanilla", "note"), "opposite sign, beyond our noise");
        assert_eq!(finding(&table, "prune", "average, less child-d", "note"), "same sign, beyond our noise");
        let order = table.notes.last().unwrap();
        assert!(
            order.starts_with("Published order by average: child-d > child-random > vanilla > child-lowest > prune. Ours: child-d > vanilla > child-random"),
            "{order}"
        );
    }

    #[test]
    fn every_table_has_a_form_for_any_study() {
        for paper in crate::frame::PUBLISHED {
            assert!(!table(paper, example::good(2, 2, &[None]).records).notes.is_empty());
            assert!(table(paper, Vec::new()).rows.is_empty());
            table(paper, example::nasty().records);
        }
        let study = Study { paper: None, ..example::good(1, 1, &[None]) };
        assert_eq!(published_table(&study, &analyse(&study).unwrap()), None);
    }
}
