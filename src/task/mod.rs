//! Data sets: columns, labels and metrics of each task; readers; tokens; batches.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A task with its files found: what a worker needs to read and score it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    pub name: String,
    pub train: PathBuf,
}
