//! The encoder over an arena, and the checkpoint's tensors in it.

pub mod encoder;
pub mod weights;

pub use encoder::{Encoder, Hooks, Input, Pass, Site, SiteKind};
