//! From a checked sweep to the runs it asks for. No clock, no random number, no tensor.

mod after;
mod expand;
mod labels;
mod run;

pub use after::{After, Eval, Measure, Probe, SharpnessSettings, VarianceSettings};
pub use expand::{expand, point};
pub use labels::labels;
pub use run::{Choice, Input, NUMERICS, Precision, Recipe, Run, RunId, is_rate};
