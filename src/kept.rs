//! θ of a trained model in the cache, under all that determined its training, with what is needed to take it up again
//! where neither its data nor its sweep file lies.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::plan::RunId;
use crate::record::Outcome;
use crate::task::Task;

/// The place of one trained model: `results/cache/trained/<training id>`.
#[derive(Debug, Clone)]
pub struct Kept {
    pub folder: PathBuf,
}

/// What lies beside θ. One that an earlier version wrote is not read: the model counts as not kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// Hash of theta.safetensors.
    pub hash: String,
    pub outcome: Outcome,
    pub task: Task,
    /// Where the pre-trained model lay.
    pub model: PathBuf,
}

impl Kept {
    pub fn at(cache: &Path, training: &RunId) -> Kept {
        Kept { folder: cache.join("trained").join(&training.0) }
    }

    /// θ over the arena of the run's model, `[P]`.
    pub fn theta(&self) -> PathBuf {
        self.folder.join("theta.safetensors")
    }

    /// Whether θ is what was written.
    pub fn is_whole(&self, note: &Note) -> bool {
        hash(&self.theta()).is_ok_and(|hash| hash == note.hash)
    }

    /// `None` where the model is not kept.
    pub fn note(&self) -> Option<Note> {
        let note = serde_json::from_slice(&std::fs::read(self.folder.join("note.json")).ok()?).ok()?;
        self.theta().is_file().then_some(note)
    }
}

/// Hash of a file's content.
pub fn hash(path: &Path) -> std::io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_mmap_rayon(path)?;
    Ok(hasher.finalize().to_hex().to_string())
}
