//! What a sweep takes on disk: where it lies, how much it will be, what may go.

mod estimate;
mod free;
mod leftovers;
pub mod retention;
mod usage;

use std::path::{Path, PathBuf};

pub use estimate::{Estimate, GENERATIONS, Model, checkpoint_bytes, estimate};
pub use free::free_bytes;
pub use leftovers::{Leftover, leftovers};
pub use usage::{Usage, folder_bytes, usage};

/// Where the checkpoints of a run lie, in `results/cache`.
pub fn checkpoint_folder(cache: &Path, run: &str) -> PathBuf {
    cache.join("checkpoints").join(run)
}

/// Removes the checkpoints of a run that will not go on. What cannot be removed only costs disk.
pub fn remove_checkpoints(cache: &Path, run: &str) {
    let _ = std::fs::remove_dir_all(checkpoint_folder(cache, run));
}

/// `433.2 MB`, in powers of 1000 as disks are sold.
pub fn bytes(n: u64) -> String {
    let (mut value, mut unit) = (n as f64, "bytes");
    for larger in ["kB", "MB", "GB", "TB"] {
        if value < 1000.0 {
            break;
        }
        (value, unit) = (value / 1000.0, larger);
    }
    if unit == "bytes" { format!("{n} bytes") } else { format!("{value:.1} {unit}") }
}
