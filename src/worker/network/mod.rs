//! The encoders over an arena, a file for each family, and the checkpoint's tensors in them.

mod attention;
mod bert;
mod body;
mod deberta;
mod draws;
pub mod encoder;
mod head;
mod input;
mod layers;
mod modernbert;
mod pass;
pub mod rounding;
mod tape;
#[cfg(test)]
mod tests;
pub mod weights;
mod xlnet;

pub use encoder::Encoder;
pub use input::Input;
pub use pass::{Hooks, Pass, Site, SiteKind};
pub use tape::Tape;
