//! From a checked sweep to the runs it asks for. No clock, no random number, no tensor.

mod run;

pub use run::{Choice, Input, NUMERICS, Recipe, Run, RunId};
