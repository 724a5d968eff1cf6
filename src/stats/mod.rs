//! The statistics of a comparison: pure functions over slices of scores, without frames and without I/O.
//!
//! What is random is drawn from fixed seeds, so that the same scores always give the same numbers. `None` says that the
//! scores do not determine the quantity: too few of them, or all alike.

mod bootstrap;
mod dominance;
mod effect;
mod holm;
mod iqm;
mod moments;
mod permutation;
mod power;
mod ranks;
mod sequential;
mod wilcoxon;

pub use bootstrap::{BOOTSTRAP_LEAST, Interval, mean_interval};
pub use dominance::{almost_dominance, violation};
pub use effect::{hedges, improvement};
pub use holm::holm;
pub use iqm::{iqm, iqm_interval};
pub use moments::{deviation, mean, median};
pub use permutation::{Permutation, least_p, sign_flips};
pub use power::{power, seeds_needed};
pub use ranks::{Ranks, rank_lines};
pub use sequential::{Spending, look_levels, paired_t};
pub use wilcoxon::signed_rank;

/// Two-sided level of every interval and test here.
pub const LEVEL: f64 = 0.05;

/// Numbers by other programs, which the tests compare with.
#[cfg(test)]
mod reference;
