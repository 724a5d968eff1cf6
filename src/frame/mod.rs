//! Records as polars frames, one row a run; their summary over seeds; comparisons and tables.

mod analysis;
mod borders;
mod cell;
mod compare;
mod comparison;
mod comparisons_table;
mod early;
mod eased;
mod evals;
mod half;
mod layout;
mod main_table;
mod mask_table;
mod masks;
mod overall;
mod part_rates;
mod published;
mod published_table;
mod runs;
mod settings_table;
mod steps;
mod study;
mod summary;
mod table;
mod targets;
mod versus;
mod write;

pub use crate::plan::{Run, RunId, is_rate};
pub use crate::record::mask::Overlap;
pub use crate::record::parts::PartOverlap;
pub use crate::record::store::replace;
pub use crate::record::{Outcome, Record, Sharpness, Way};
pub use analysis::{Analysis, analyse, rank_cells, study_cells};
pub use cell::{Cell, cells};
pub use compare::{Difference, REFERENCE, best_of, chosen_over, difference, in_words};
pub use comparison::{Comparison, Finding, short};
pub use comparisons_table::{comparisons_csv, comparisons_table, overall_table};
pub use early::Early;
pub use evals::evals;
pub use main_table::{MainTable, main_table};
pub use mask_table::{mask_table, overlap_table};
pub use masks::{Between, MaskPair, MaskUse, mask_pairs, mask_uses};
pub use overall::{Overall, RankedLines};
pub use part_rates::{Axis, PartRate, part_rates, place};
pub use published::PUBLISHED;
pub use published_table::published_table;
pub use runs::runs;
pub use settings_table::settings_table;
pub use steps::{Step, read_steps, steps};
pub use study::Study;
pub use summary::summary;
pub use table::{Entry, Table, duration, markdown_text, points};
pub use targets::{target_name, targets};
pub use versus::{Match, Verdict, Versus, versus};
pub use write::{csv_bytes, write};

/// Small studies that the tests of frames, figures and reports share.
#[cfg(test)]
pub(crate) mod example;
