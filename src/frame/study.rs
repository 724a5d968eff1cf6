//! A sweep as planned and as recorded: all that tables, figures and the report are made from.

use std::collections::HashMap;

use crate::plan::{Run, RunId};
use crate::record::Record;
use crate::record::mask::Overlap;
use crate::record::store::Select;

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
    /// Every run of the sweep, in its order: rows and columns of tables follow it.
    pub planned: Vec<(RunId, Run)>,
    /// Records of planned runs, in any order.
    pub records: Vec<Record>,
    /// Overlaps of child networks, found by mask keys; see [`super::mask_pairs`].
    pub overlaps: Vec<Overlap>,
    /// What the reader of the report should know: records that were made in different ways, damaged files.
    pub warnings: Vec<String>,
}

impl Study {
    /// The records in the order of the plan; one that is not in the plan comes last, by id.
    pub fn records_in_order(&self) -> Vec<Record> {
        self.in_order(self.records.clone())
    }

    /// Records of this study in the order of the plan; those of one run keep theirs.
    pub(super) fn in_order(&self, mut records: Vec<Record>) -> Vec<Record> {
        let place: HashMap<&RunId, usize> = self.planned.iter().enumerate().map(|(i, (id, _))| (id, i)).collect();
        records.sort_by_cached_key(|r| match place.get(&r.id) {
            Some(place) => (*place, None),
            None => (usize::MAX, Some(r.id.clone())),
        });
        records
    }
}
