//! From a checked sweep to the runs it asks for. No clock, no random number, no tensor.

mod expand;
mod run;

pub use expand::{expand, point};
pub use run::{Choice, Input, NUMERICS, Recipe, Run, RunId, is_rate};
