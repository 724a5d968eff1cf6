//! The full-screen view of a sweep: what is known of it, what is chosen, and how that looks.
//!
//! `source` reads files and knows no terminal; `app` turns keys into acts and knows no files; `draw` is a function of the
//! app and the size of the screen. So every screen can be made, and looked at, in a test.

mod app;
mod draw;
mod grid;
mod log;
mod source;

pub use app::{Act, App};
pub use draw::draw;
pub use grid::{Grid, Mark};
pub use log::{Tail, Words, last_lines};
pub use source::{Facts, Source, ended};
