//! Records as polars frames, one row a run; their summary over seeds; comparisons and tables.

mod cell;
mod compare;
mod main_table;
mod masks;
mod runs;
mod settings_table;
mod study;
mod summary;
mod table;
mod targets;
mod write;

pub use crate::plan::{Run, RunId, is_rate};
pub use crate::record::Record;
pub use crate::record::mask::Overlap;
pub use crate::record::store::replace;
pub use cell::{Cell, cells};
pub use compare::{Difference, REFERENCE, best_of, chosen_over, difference, in_words};
pub use main_table::{MainTable, main_table};
pub use masks::{MaskUse, mask_pairs, mask_uses};
pub use runs::runs;
pub use settings_table::settings_table;
pub use study::Study;
pub use summary::summary;
pub use table::{Entry, Table, duration, markdown_text, points};
pub use targets::{target_name, targets};
pub use write::{csv_bytes, write};

/// Names of the published tables that a report can show beside its own.
pub const PUBLISHED: &[&str] = &["table1", "table2", "table3", "table4", "table5"];

/// Small studies that the tests of frames, figures and reports share.
#[cfg(test)]
pub(crate) mod example;
