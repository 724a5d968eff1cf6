//! The cache folder, as Python's huggingface_hub lays it out: content under its hash, snapshots of links to it, and what
//! each branch was when it was fetched.
//!
//! ```text
//! models--google--electra-small-discriminator/blobs/<etag>              content; <etag>.incomplete until it is whole
//!                                            /snapshots/<commit>/<file> links to it
//!                                            /refs/main                 a commit
//! .locks/models--google--electra-small-discriminator/<etag>.lock
//! ```

use std::fs::{File, TryLockError};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use hf_hub::{Cache, Repo, RepoType};

use super::permissions::readable;
use super::reference::is_commit;
use super::{Error, Hub, Reference, has_model, verify};

pub struct Store {
    cache: Cache,
}

/// A repository's files at a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub folder: PathBuf,
    pub commit: String,
}

/// A model in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cached {
    pub repo: String,
    /// Branches and tags that name this commit.
    pub revisions: Vec<String>,
    pub snapshot: Snapshot,
    /// Of the snapshot's files, each once.
    pub bytes: u64,
    /// Whether nothing of it is missing.
    pub is_whole: bool,
}

impl Snapshot {
    /// The files with the contents that they are links to.
    pub(super) fn contents(&self) -> Vec<(String, PathBuf)> {
        let target = |file: String| {
            let path = self.folder.join(&file);
            let content = path.is_symlink().then(|| std::fs::canonicalize(&path).ok())??;
            Some((file, content))
        };
        names_in(&self.folder).into_iter().filter_map(target).collect()
    }

    /// Whether a content has changed since it came. Reads all of them.
    pub fn is_damaged(&self) -> bool {
        self.contents().iter().any(|(_, content)| verify::is_damaged(content))
    }
}

impl Store {
    pub fn new(cache: &Path) -> Store {
        Store { cache: Cache::new(cache.to_owned()) }
    }

    pub fn root(&self) -> &Path {
        self.cache.path()
    }

    fn folder(&self, repo: &Repo) -> PathBuf {
        self.root().join(repo.folder_name())
    }

    pub fn blob(&self, about: &Reference, etag: &str) -> PathBuf {
        self.cache.repo(about.repo()).blob_path(etag)
    }

    /// Where the files of a commit lie, once they are here.
    pub fn snapshot(&self, about: &Reference, commit: &str) -> Snapshot {
        let folder = self.cache.repo(about.repo()).pointer_path(commit);
        Snapshot { folder, commit: commit.to_owned() }
    }

    /// The commit that a revision was when it was fetched.
    pub fn resolved(&self, about: &Reference) -> Option<Snapshot> {
        let commit = if about.is_commit() {
            about.revision.clone()
        } else {
            let written = std::fs::read_to_string(self.reference_file(about)).ok()?;
            Some(written.trim().to_owned()).filter(|commit| is_commit(commit))?
        };
        Some(self.snapshot(about, &commit)).filter(|snapshot| snapshot.folder.is_dir())
    }

    fn reference_file(&self, about: &Reference) -> PathBuf {
        self.folder(&about.repo()).join("refs").join(&about.revision)
    }

    /// Notes what a revision is, once all of it is here.
    pub fn note_commit(&self, about: &Reference, commit: &str) -> Result<(), Error> {
        let path = self.reference_file(about);
        if about.is_commit() || std::fs::read_to_string(&path).is_ok_and(|written| written == commit) {
            return Ok(());
        }
        let write = || {
            let folder = path.parent().unwrap_or(self.root());
            std::fs::create_dir_all(folder)?;
            let mut file = tempfile::Builder::new().permissions(readable()).tempfile_in(folder)?;
            file.write_all(commit.as_bytes())?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(|source| Error::Unwritable { path: path.clone(), source })
    }

    /// Puts a link to the content into the snapshot, in place of what is there.
    pub fn link(&self, about: &Reference, commit: &str, file: &str, etag: &str) -> Result<(), Error> {
        let path = self.snapshot(about, commit).folder.join(file);
        // From the link's own folder up to the repository's.
        let up = "../".repeat(2 + file.matches('/').count());
        let target = PathBuf::from(format!("{up}blobs/{etag}"));
        if std::fs::read_link(&path).is_ok_and(|there| there == target) {
            return Ok(());
        }
        let write = || {
            let folder = path.parent().unwrap_or(self.root());
            std::fs::create_dir_all(folder)?;
            let fresh = tempfile::Builder::new().make_in(folder, |path| symlink(&target, path))?;
            fresh.into_temp_path().persist(&path)?;
            Ok(())
        };
        write().map_err(|source: std::io::Error| Error::Unwritable { path: path.clone(), source })
    }

    /// The right to write one content, which one process at a time has; `waiting` is called where another has it.
    /// Python's huggingface_hub takes the same lock.
    pub fn lock(&self, about: &Reference, etag: &str, waiting: impl FnOnce()) -> Result<File, Error> {
        let folder = self.root().join(".locks").join(about.repo().folder_name());
        let path = folder.join(format!("{etag}.lock"));
        let take = || {
            std::fs::create_dir_all(&folder)?;
            let file = File::options().create(true).truncate(false).write(true).open(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    waiting();
                    file.lock()?;
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
            Ok(file)
        };
        take().map_err(|source| Error::Unwritable { path: path.clone(), source })
    }
}

impl Hub {
    /// The model in the cache, if all of it is here. Asks nobody.
    pub fn cached(&self, about: &Reference) -> Option<Snapshot> {
        self.store.resolved(about).filter(|snapshot| has_model(&snapshot.folder))
    }

    /// Every commit of every model in the cache, by name.
    pub fn cached_models(&self) -> Vec<Cached> {
        let mut found = Vec::new();
        for name in names_in(self.store.root()) {
            let Some(repo) = name.strip_prefix("models--") else { continue };
            let repo = repo.replace("--", "/");
            let folder = self.store.folder(&Repo::new(repo.clone(), RepoType::Model));
            let references = references(&folder.join("refs"), "");
            for commit in names_in(&folder.join("snapshots")) {
                let snapshot = Snapshot { folder: folder.join("snapshots").join(&commit), commit };
                let revisions = references.iter().filter(|(_, c)| *c == snapshot.commit).map(|(name, _)| name.clone());
                let sizes = names_in(&snapshot.folder).into_iter().filter_map(|file| {
                    let meta = std::fs::metadata(snapshot.folder.join(file)).ok()?;
                    meta.is_file().then_some(meta.len())
                });
                found.push(Cached {
                    repo: repo.clone(),
                    revisions: revisions.collect(),
                    bytes: sizes.sum(),
                    is_whole: has_model(&snapshot.folder),
                    snapshot,
                });
            }
        }
        found
    }
}

/// What a folder holds, sorted; nothing where there is none.
fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Revisions and their commits; a revision may have slashes.
fn references(folder: &Path, prefix: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for name in names_in(folder) {
        let (path, full) = (folder.join(&name), format!("{prefix}{name}"));
        if path.is_dir() {
            found.extend(references(&path, &format!("{full}/")));
        } else if let Ok(commit) = std::fs::read_to_string(&path) {
            found.push((full, commit.trim().to_owned()));
        }
    }
    found
}
