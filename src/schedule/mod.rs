//! Runs to worker processes on devices: a pure core that decides (`state`, with its `queue`, `policy` and `estimate`) and
//! a driver that does it (`local`).

mod conversation;
mod early;
mod estimate;
pub mod local;
mod policy;
mod process;
mod queue;
pub mod state;
mod suspend;

pub use conversation::{Conversation, Silence};
pub use early::Early;
pub use local::{Director, Interrupts, Observer, Options, Slot, Summary, run};
pub use queue::{Ease, Ticket};
pub use state::{Finish, Limits, Note};
