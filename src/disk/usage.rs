//! How much of the disk a folder takes.

use std::fs;
use std::path::Path;

/// What one part of the cache takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The folder's name: `trained`, `checkpoints`, `fisher`, `tokens`.
    pub name: String,
    pub bytes: u64,
    /// What lies in it: models, runs with checkpoints, files.
    pub entries: usize,
}

/// The parts of `results/cache`, the largest first. One that cannot be read counts as empty.
pub fn usage(cache: &Path) -> Vec<Usage> {
    let mut parts: Vec<Usage> = fs::read_dir(cache)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| Usage {
            name: entry.file_name().to_string_lossy().into_owned(),
            bytes: folder_bytes(&entry.path()),
            entries: fs::read_dir(entry.path()).map_or(1, |entries| entries.flatten().count()),
        })
        .collect();
    parts.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    parts
}

/// Bytes of a file, or of all files below a folder. Links are not followed.
pub fn folder_bytes(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => {
            fs::read_dir(path).into_iter().flatten().flatten().map(|entry| folder_bytes(&entry.path())).sum()
        }
        Ok(meta) => meta.len(),
        Err(_) => 0,
    }
}
