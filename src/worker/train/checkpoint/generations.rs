//! The folders of a run's checkpoints: `results/cache/checkpoints/<id>/<step>`, at most two, each whole or absent.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{POSITION, Places, STATE};
use crate::disk::checkpoint_folder;
use crate::record::store::{make_folder, sync_folder};

pub struct Generations {
    folder: PathBuf,
}

impl Generations {
    pub fn of(places: &Places) -> Generations {
        Generations { folder: checkpoint_folder(&places.cache, &places.id) }
    }

    /// Folders with a checkpoint each, the newest first. One that lies in the run's folder itself, as the program once
    /// wrote it, is the oldest.
    pub fn newest_first(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut steps: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        steps.sort_unstable_by(|a, b| b.cmp(a));
        let old = self.folder.join(POSITION).is_file().then(|| self.folder.clone());
        steps.into_iter().map(|step| self.place(step)).chain(old).collect()
    }

    /// Lets `fill` write the files of a checkpoint into a folder, which becomes that of `step` once they are on the disk.
    /// Of those that are there only the newest stays, so that two lie there in the end and never more.
    ///
    /// # Errors
    /// As `fill`; a folder that cannot be written. The newest checkpoint is still there.
    pub fn add(&self, step: u32, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let target = self.place(step);
        if target.is_dir() {
            return Ok(());
        }
        make_folder(&self.folder)?;
        self.clear_drafts();
        self.newest_first().iter().skip(1).for_each(|older| self.drop(older));
        let draft = self.folder.join(".new");
        let write = || -> Result<()> {
            fs::create_dir(&draft)?;
            fill(&draft)?;
            for entry in fs::read_dir(&draft)? {
                File::open(entry?.path())?.sync_all()?;
            }
            sync_folder(&draft)?;
            fs::rename(&draft, &target)?;
            Ok(sync_folder(&self.folder)?)
        };
        let written = write();
        if written.is_err() {
            // A full disk should not keep the half that went in.
            self.clear_drafts();
        }
        written.with_context(|| format!("cannot write the checkpoint {}", target.display()))
    }

    /// Removes one checkpoint. It is renamed first: a kill in between leaves no half of one.
    pub fn drop(&self, folder: &Path) {
        if folder == self.folder {
            for name in [POSITION, STATE] {
                let _ = fs::remove_file(folder.join(name));
            }
            return;
        }
        let name = folder.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let doomed = self.folder.join(format!(".old-{name}"));
        let _ = fs::rename(folder, &doomed).and_then(|()| fs::remove_dir_all(&doomed));
    }

    /// Removes them all. What cannot be removed only costs disk.
    pub fn remove(&self) {
        let _ = fs::remove_dir_all(&self.folder);
    }

    /// What a worker left that died while it wrote or removed; a run has one worker at a time.
    fn clear_drafts(&self) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with('.') {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    fn place(&self, step: u32) -> PathBuf {
        self.folder.join(step.to_string())
    }
}
