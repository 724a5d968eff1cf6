//! What runs measured besides their scores, as figures ask for it.

use std::collections::HashMap;

use super::Data;
use super::lines::Point;
use crate::frame::{Cell, Record, RunId};
use crate::stats::{deviation, mean};

/// The finished runs that measured something besides their scores, by id.
pub fn measured(records: &[Record]) -> HashMap<RunId, Record> {
    let has = |record: &&Record| {
        record.outcome().is_some_and(|o| {
            o.sharpness.is_some() || !(o.elsewhere.is_empty() && o.distance.is_empty() && o.variance.is_empty())
        })
    };
    records.iter().filter(has).map(|record| (record.id.clone(), record.clone())).collect()
}

impl Data {
    /// The runs behind a cell that measured something; none where the cell stands for another task than its runs'.
    pub fn runs_of<'a>(&'a self, cell: &'a Cell) -> impl Iterator<Item = &'a Record> {
        let own = |record: &&Record| record.run.task.name == cell.task;
        cell.ids.iter().filter_map(|id| self.measured.get(id)).filter(own)
    }
}

/// Mean and standard deviation of the finite values; `None` without one.
pub fn point(x: f64, values: impl Iterator<Item = f64>) -> Option<Point> {
    let values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    Some(Point { x, y: mean(&values)?, spread: deviation(&values) })
}

/// Training examples as asked for, in words.
pub fn size(cell: &Cell) -> String {
    cell.train_size.map_or("all examples".to_owned(), |n| format!("{n} examples"))
}

/// A number for a CSV: six significant digits, or nothing.
pub fn told(value: Option<f64>) -> String {
    value.map_or(String::new(), |v| format!("{v:.5e}"))
}
