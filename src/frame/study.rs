//! A sweep as planned and as recorded: all that tables, figures and the report are made from.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use crate::plan::{Run, RunId};
use crate::record::Record;
use crate::record::mask::Overlap;
use crate::record::parts::PartOverlap;
use crate::record::store::{Select, Stop};

#[derive(Debug, Clone, Default)]
pub struct Study {
    /// The sweep's name.
    pub name: String,
    /// What the sweep asks, in the researcher's words.
    pub question: Option<String>,
    /// Names of the axes of `[tune]`: the best on dev is chosen over them; all other axes are compared.
    pub tune: Vec<String>,
    /// Whether what is chosen is chosen on the scores that are reported, or on a half of dev of its own.
    pub select: Select,
    /// The published table that the sweep asks about: `table2`.
    pub paper: Option<String>,
    /// What ended work before the whole grid was trained, and for it the training examples of each task.
    pub stop: Option<Stop>,
    pub examples: BTreeMap<String, u32>,
    /// Every run of the sweep, in its order: rows and columns of tables follow it.
    pub planned: Vec<(RunId, Run)>,
    /// Records of planned runs, in any order.
    pub records: Vec<Record>,
    /// Overlaps of child networks, found by mask keys; see [`super::mask_pairs`].
    pub overlaps: Vec<Overlap>,
    /// The same by layer and kind of matrix, as far as it is known.
    pub overlap_parts: Vec<PartOverlap>,
    /// What the reader of the report should know: records that were made in different ways, damaged files.
    pub warnings: Vec<String>,
    /// The folder with a folder for each run, for its log and its steps; `None` where only records are known.
    pub folder: Option<PathBuf>,
}

impl Study {
    /// The records in the order of the plan; one that is not in the plan comes last, by id. Copied only where they are
    /// not in that order already: of 100,000 records every copy is half a gigabyte.
    pub fn records_in_order(&self) -> Cow<'_, [Record]> {
        let place: HashMap<&RunId, usize> = self.planned.iter().enumerate().map(|(i, (id, _))| (id, i)).collect();
        let key = |r: &Record| place.get(&r.id).copied().unwrap_or(usize::MAX);
        let order = |a: &Record, b: &Record| key(a).cmp(&key(b)).then_with(|| a.id.cmp(&b.id));
        if self.records.is_sorted_by(|a, b| order(a, b).is_le()) {
            return Cow::Borrowed(&self.records);
        }
        let mut records = self.records.clone();
        records.sort_by(order);
        Cow::Owned(records)
    }
}
