//! Runs to worker processes on devices: a pure core that decides (`state`) and a driver that does it (`local`).

mod conversation;
pub mod local;
mod process;
pub mod state;

pub use conversation::{Conversation, Silence};
pub use local::{Interrupts, Observer, Options, Slot, Summary, run};
pub use state::Note;
