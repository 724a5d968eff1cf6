//! θ of a trained model put into the cache, and back into a subject.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use tch::{Tensor, no_grad};

use crate::kept::{Kept, Note, hash};
use crate::record::Outcome;
use crate::task::Task;
use crate::train::Subject;

/// Puts θ in its place and gives the outcome of the training; `None`, with θ as it was, if it is not here whole.
pub fn restore(kept: &Kept, subject: &mut Subject) -> Option<Outcome> {
    let note = kept.note()?;
    if !kept.is_whole(&note) {
        return None;
    }
    let tensors = Tensor::read_safetensors(kept.theta()).ok()?;
    let theta = &tensors.first().filter(|(_, theta)| theta.size() == subject.arena.theta.size())?.1;
    no_grad(|| subject.arena.theta.copy_(theta));
    Some(note.outcome)
}

/// Written beside its place and renamed: whole or absent.
pub fn write(kept: &Kept, subject: &Subject, outcome: &Outcome, task: &Task, model: &Path) -> Result<()> {
    let folder = &kept.folder;
    let draft = Kept { folder: folder.with_extension(format!("{}.tmp", std::process::id())) };
    let write = || -> Result<()> {
        let _ = fs::remove_dir_all(&draft.folder);
        fs::create_dir_all(&draft.folder)?;
        Tensor::write_safetensors(&[("theta", &subject.arena.theta)], draft.theta())?;
        let note =
            Note { hash: hash(&draft.theta())?, outcome: outcome.clone(), task: task.clone(), model: model.to_owned() };
        fs::write(draft.folder.join("note.json"), serde_json::to_vec(&note)?)?;
        let _ = fs::remove_dir_all(folder);
        fs::rename(&draft.folder, folder)?;
        Ok(())
    };
    let written = write();
    if written.is_err() {
        // A full disk should not keep the half that went in.
        let _ = fs::remove_dir_all(&draft.folder);
    }
    written.with_context(|| format!("cannot keep the trained model in {}", folder.display()))
}

pub fn remove(kept: &Kept) {
    // What is left behind only costs disk.
    let _ = fs::remove_dir_all(&kept.folder);
}
