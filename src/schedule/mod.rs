//! Runs to worker processes on devices: a pure core that decides (`state`, with its `queue`, `policy` and `estimate`) and
//! a driver that does it (`local`).

mod control;
mod conversation;
mod directors;
mod early;
mod estimate;
mod floor;
mod live;
pub mod local;
mod measure;
mod policy;
mod process;
mod queue;
mod slot;
pub mod state;
mod suspend;

pub use control::Orders;
pub use conversation::{Conversation, Silence};
pub use directors::Directors;
pub use early::Early;
pub use floor::Floor;
pub use live::Keeper;
pub use local::{Director, Interrupts, Observer, Options, Summary, run};
pub use measure::{Speed, measure};
pub use queue::{Ease, Ticket};
pub use slot::Slot;
pub use state::{Finish, Limits, Note};
