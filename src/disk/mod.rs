//! What a sweep takes on disk: where it lies, how much it will be, what may go.

mod free;
pub mod retention;

use std::path::{Path, PathBuf};

pub use free::free_bytes;

/// Where the checkpoints of a run lie, in `results/cache`.
pub fn checkpoint_folder(cache: &Path, run: &str) -> PathBuf {
    cache.join("checkpoints").join(run)
}
