//! θ of a trained model in the cache, under all that determined its training, with the outcome of that training.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tch::{Tensor, no_grad};

use crate::plan::RunId;
use crate::record::Outcome;
use crate::train::Subject;

pub struct Trained {
    folder: PathBuf,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    /// Hash of theta.safetensors.
    hash: String,
    outcome: Outcome,
}

impl Trained {
    pub fn at(cache: &Path, training: &RunId) -> Trained {
        Trained { folder: cache.join("trained").join(&training.0) }
    }

    /// Puts θ in its place and gives the outcome of the training; `None`, with θ as it was, if it is not here whole.
    pub fn restore(&self, subject: &mut Subject) -> Option<Outcome> {
        let note: Note = serde_json::from_slice(&fs::read(self.folder.join("note.json")).ok()?).ok()?;
        let path = self.folder.join("theta.safetensors");
        if hash(&path).ok()? != note.hash {
            return None;
        }
        let tensors = Tensor::read_safetensors(path).ok()?;
        let theta = &tensors.first().filter(|(_, theta)| theta.size() == subject.arena.theta.size())?.1;
        no_grad(|| subject.arena.theta.copy_(theta));
        Some(note.outcome)
    }

    /// Written beside its place and renamed: whole or absent.
    pub fn write(&self, subject: &Subject, outcome: &Outcome) -> Result<()> {
        let draft = self.folder.with_extension(format!("{}.tmp", std::process::id()));
        let write = || -> Result<()> {
            let _ = fs::remove_dir_all(&draft);
            fs::create_dir_all(&draft)?;
            let path = draft.join("theta.safetensors");
            Tensor::write_safetensors(&[("theta", &subject.arena.theta)], &path)?;
            let note = Note { hash: hash(&path)?, outcome: outcome.clone() };
            fs::write(draft.join("note.json"), serde_json::to_vec(&note)?)?;
            let _ = fs::remove_dir_all(&self.folder);
            fs::rename(&draft, &self.folder)?;
            Ok(())
        };
        let written = write();
        if written.is_err() {
            // A full disk should not keep the half that went in.
            let _ = fs::remove_dir_all(&draft);
        }
        written.with_context(|| format!("cannot keep the trained model in {}", self.folder.display()))
    }

    pub fn remove(&self) {
        // What is left behind only costs disk.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn hash(path: &Path) -> std::io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_mmap_rayon(path)?;
    Ok(hasher.finalize().to_hex().to_string())
}
