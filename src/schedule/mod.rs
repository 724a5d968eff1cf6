//! Runs to worker processes on devices: a pure core that decides (`state`) and a driver that does it (`local`).

pub mod local;
mod process;
pub mod state;

pub use local::{Interrupts, Observer, Options, Slot, Summary, run};
pub use state::Note;
