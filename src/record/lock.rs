//! One coordinator at a time: two of them would hand the same run out twice.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::store::{Store, explain, make_folder};
use crate::failpoint;

/// Who runs a sweep on a results folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub pid: u32,
    pub host: String,
    /// The sweep's name.
    pub sweep: String,
    /// RFC 3339, UTC.
    pub started: String,
}

/// The right to write under a results folder; given back when dropped, and by the system when the process dies.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

#[derive(Debug, Error)]
pub enum LockError {
    #[error(
        "sweep `{}` is already running on these results (process {} on {}, since {}). Wait for it, stop it with \
         Ctrl-C or `kill {}`, or choose another folder for the results.",
        .0.sweep, .0.pid, .0.host, .0.started, .0.pid
    )]
    Held(Holder),
    #[error("another `sweep` is just starting on these results. Wait a moment and try again.")]
    HeldByUnknown,
    #[error("{0:#}")]
    Io(anyhow::Error),
}

impl Lock {
    /// Takes `<root>/.lock` for a sweep. The file stays there; what counts is the lock that the system holds on it.
    ///
    /// # Errors
    /// Another process holds it, or the folder cannot be written.
    pub fn take(root: &Path, sweep: &str) -> Result<Lock, LockError> {
        let path = root.join(".lock");
        let io = |error| LockError::Io(explain(error, &path));
        make_folder(root).map_err(LockError::Io)?;
        failpoint::pass("lock");
        // Not truncated: until the lock is ours, the text is the other's.
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        for patience in (0..10).rev() {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(io(error)),
                // `Store::holder` holds the lock for the moment in which it tests it.
                Err(TryLockError::WouldBlock) if patience > 0 => std::thread::sleep(Duration::from_millis(20)),
                Err(TryLockError::WouldBlock) => {
                    return Err(read(&mut file).map_or(LockError::HeldByUnknown, LockError::Held));
                }
            }
        }
        let holder = Holder {
            pid: std::process::id(),
            host: host(),
            sweep: sweep.to_owned(),
            started: format!("{:.0}", jiff::Timestamp::now()),
        };
        let text = serde_json::to_vec(&holder).expect("a holder holds only numbers and words");
        file.set_len(0).and_then(|()| file.write_all(&text)).map_err(io)?;
        failpoint::pass("locked");
        Ok(Lock { _file: file })
    }
}

impl Store {
    /// Who runs a sweep on these results now. The lock is tried, so a process that died is never named.
    pub fn holder(&self) -> Option<Holder> {
        let mut file = File::open(self.root().join(".lock")).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => read(&mut file),
            _ => None,
        }
    }
}

fn read(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// What this machine calls itself.
fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| "this host".into(), |h| h.trim().to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_second_taker_is_told_who_was_first() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().join("results"));
        assert_eq!(store.holder(), None);
        let lock = Lock::take(store.root(), "glue").unwrap();
        let holder = store.holder().unwrap();
        assert_eq!((holder.pid, holder.sweep.as_str()), (std::process::id(), "glue"));
        let error = Lock::take(store.root(), "other").unwrap_err();
        assert!(matches!(&error, LockError::Held(by) if *by == holder), "{error}");
        assert!(error.to_string().contains(&format!("process {} on {}", holder.pid, holder.host)), "{error}");
        drop(lock);
        // The text is still in the file, but nobody holds it.
        assert_eq!(store.holder(), None);
        let _lock = Lock::take(store.root(), "other").unwrap();
        assert_eq!(store.holder().unwrap().sweep, "other");
    }

    #[test]
    fn a_holder_that_cannot_be_read_is_still_a_holder() {
        let folder = tempfile::tempdir().unwrap();
        let _lock = Lock::take(folder.path(), "glue").unwrap();
        std::fs::write(folder.path().join(".lock"), b"{").unwrap();
        let error = Lock::take(folder.path(), "glue").unwrap_err();
        assert!(matches!(error, LockError::HeldByUnknown), "{error}");
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_told() {
        let error = Lock::take(Path::new("/proc/results"), "glue").unwrap_err();
        assert!(matches!(&error, LockError::Io(_)) && error.to_string().contains("/proc/results"), "{error}");
    }
}
