//! What a sweep takes on disk: where it lies, how much it will be, what may go.

mod free;
pub mod retention;

use std::path::{Path, PathBuf};

pub use free::free_bytes;

/// Where the checkpoints of a run lie, in `results/cache`.
pub fn checkpoint_folder(cache: &Path, run: &str) -> PathBuf {
    cache.join("checkpoints").join(run)
}

/// Removes the checkpoints of a run that will not go on. What cannot be removed only costs disk.
pub fn remove_checkpoints(cache: &Path, run: &str) {
    let _ = std::fs::remove_dir_all(checkpoint_folder(cache, run));
}
