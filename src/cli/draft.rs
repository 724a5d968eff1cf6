//! A folder written beside its place and put there when all of it is written.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Refusal;
use crate::record::store::make_folder;

/// Dropped before [`Draft::finish`], it leaves nothing behind.
pub struct Draft {
    place: PathBuf,
    draft: PathBuf,
}

impl Draft {
    /// Whether a folder may be written here: in a place that is empty or not there yet; with `force` also where an
    /// earlier call wrote. `mark` is a file that only such a folder has; without it, any folder is taken.
    ///
    /// # Errors
    /// A place that holds something.
    pub fn check(place: &Path, force: bool, mark: Option<&str>) -> Result<()> {
        if place.exists() && !place.is_dir() {
            return Err(Refusal(format!("{} is a file; name a folder", place.display())).into());
        }
        if !place.is_dir() || fs::read_dir(place)?.next().is_none() {
            return Ok(());
        }
        let say = match mark.filter(|mark| !place.join(mark).is_file()) {
            _ if !force => {
                format!("{} is not empty; --force replaces what an earlier call wrote there", place.display())
            }
            Some(mark) => format!(
                "{} holds files that no earlier call wrote (there is no {mark}): name another folder",
                place.display()
            ),
            None => return Ok(()),
        };
        Err(Refusal(say).into())
    }

    /// Begins a folder for a place.
    ///
    /// # Errors
    /// As [`Draft::check`]; a folder that cannot be made.
    pub fn begin(place: &Path, force: bool, mark: Option<&str>) -> Result<Draft> {
        Draft::check(place, force, mark)?;
        let place = std::path::absolute(place)?;
        let name = place.file_name().ok_or_else(|| Refusal(format!("{} is no place for a folder", place.display())))?;
        let draft = place.with_file_name(format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id()));
        make_folder(&draft)?;
        Ok(Draft { place, draft })
    }

    /// Where to write.
    pub fn path(&self) -> &Path {
        &self.draft
    }

    /// Puts the folder in its place. Of a place that is there already, the files `owned` go first.
    ///
    /// # Errors
    /// Files that cannot be moved.
    pub fn finish(self, owned: &[&str]) -> Result<()> {
        let put = || -> std::io::Result<()> {
            if !self.place.is_dir() || fs::read_dir(&self.place)?.next().is_none() {
                return fs::rename(&self.draft, &self.place);
            }
            for file in owned.iter().map(|name| self.place.join(name)).filter(|file| file.is_file()) {
                fs::remove_file(file)?;
            }
            for entry in fs::read_dir(&self.draft)? {
                let entry = entry?;
                fs::rename(entry.path(), self.place.join(entry.file_name()))?;
            }
            Ok(())
        };
        put().with_context(|| format!("cannot write {}", self.place.display()))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After `finish` it is not there any more, or empty.
        let _ = fs::remove_dir_all(&self.draft);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_is_there_whole_or_not_at_all() {
        let home = tempfile::tempdir().unwrap();
        let place = home.path().join("a/b");
        let draft = Draft::begin(&place, false, None).unwrap();
        fs::write(draft.path().join("x"), "1").unwrap();
        assert!(!place.exists());
        drop(draft);
        assert_eq!(names(&home.path().join("a")), [""; 0]);
        let draft = Draft::begin(&place, false, None).unwrap();
        fs::write(draft.path().join("x"), "1").unwrap();
        draft.finish(&[]).unwrap();
        assert_eq!((names(&home.path().join("a")), names(&place)), (vec!["b".to_owned()], vec!["x".to_owned()]));
    }

    #[test]
    fn what_is_there_stays_unless_it_is_ours() {
        let home = tempfile::tempdir().unwrap();
        for (name, text) in [("x", "old"), ("stale", "old"), ("theirs", "old")] {
            fs::write(home.path().join(name), text).unwrap();
        }
        let refused = Draft::begin(home.path(), false, None).err().unwrap().to_string();
        assert!(refused.contains("is not empty; --force"), "{refused}");
        let marked = |mark| Draft::begin(home.path(), true, Some(mark)).err().map(|error| error.to_string());
        assert!(marked("note").is_some_and(|say| say.contains("no earlier call wrote (there is no note)")));
        assert_eq!(marked("theirs"), None);
        assert!(Draft::begin(&home.path().join("x"), true, None).err().unwrap().to_string().contains("is a file"));
        let draft = Draft::begin(home.path(), true, None).unwrap();
        fs::write(draft.path().join("x"), "new").unwrap();
        draft.finish(&["x", "stale"]).unwrap();
        assert_eq!(names(home.path()), ["theirs", "x"]);
        assert_eq!(fs::read_to_string(home.path().join("x")).unwrap(), "new");
    }
}
