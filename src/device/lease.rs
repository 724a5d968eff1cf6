//! A lease for each slot of each device, so that two sweeps of one user share a machine without taking one slot twice.
//!
//! A lease is a lock on a file of this machine, which the system gives back when its process dies. The file says who
//! holds it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::failpoint;

/// Who holds a slot of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub pid: u32,
    pub host: String,
    /// The sweep's name.
    pub sweep: String,
    /// RFC 3339, UTC.
    pub started: String,
    /// `cpu`, or a UUID.
    pub device: String,
    /// What the holder calls the device: `cuda:0`.
    pub label: String,
    pub slot: usize,
}

impl Holder {
    /// ``sweep `glue` (process 4242, since 2026-11-26T10:00:00Z)``.
    pub fn describe(&self) -> String {
        format!("sweep `{}` (process {}, since {})", self.sweep, self.pid, self.started)
    }
}

/// The right to train on a slot; given back when dropped.
#[derive(Debug)]
pub struct Lease {
    _file: File,
    pub slot: usize,
}

/// The folder of leases of this user on this machine.
#[derive(Debug, Clone)]
pub struct Leases {
    folder: PathBuf,
}

impl Leases {
    /// `$XDG_RUNTIME_DIR/sweep/leases`, or `/tmp/sweep-<uid>/leases`; made if it is not there.
    ///
    /// # Errors
    /// The folder cannot be made, or belongs to somebody else.
    pub fn open() -> Result<Leases> {
        Ok(Leases::at(runtime_folder()?.join("leases")))
    }

    pub fn at(folder: PathBuf) -> Leases {
        Leases { folder }
    }

    /// Takes a slot for a sweep, or says who has it; `None` for a holder that has just come.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn take(&self, device: &str, label: &str, slot: usize, sweep: &str) -> Result<Result<Lease, Option<Holder>>> {
        // A UUID of an old driver's MIG instance has slashes.
        let path = self.folder.join(format!("{}-{slot}.lease", device.replace('/', "_")));
        let cannot = || {
            format!(
                "cannot take the lease {}. Leases keep two sweeps from one device; XDG_RUNTIME_DIR may name another \
                 folder for them",
                path.display()
            )
        };
        std::fs::create_dir_all(&self.folder).with_context(cannot)?;
        // Not truncated: until the lease is ours, the text is the other's.
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = open.with_context(cannot)?;
        failpoint::pass("lease");
        for patience in (0..10).rev() {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
                // `holders` holds a lease for the moment in which it tests it.
                Err(TryLockError::WouldBlock) if patience > 0 => std::thread::sleep(Duration::from_millis(5)),
                Err(TryLockError::WouldBlock) => return Ok(Err(read(&mut file))),
            }
        }
        let holder = Holder {
            pid: std::process::id(),
            host: host(),
            sweep: sweep.to_owned(),
            started: format!("{:.0}", jiff::Timestamp::now()),
            device: device.to_owned(),
            label: label.to_owned(),
            slot,
        };
        let text = serde_json::to_vec(&holder).context("a holder holds only numbers and words")?;
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(&text)).with_context(cannot)?;
        failpoint::pass("leased");
        Ok(Ok(Lease { _file: file, slot }))
    }

    /// Who holds slots now. A lock that its process left is none.
    pub fn holders(&self) -> Vec<Holder> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        let held = |path: &PathBuf| {
            let mut file = File::open(path).ok()?;
            match file.try_lock_shared() {
                Err(TryLockError::WouldBlock) => read(&mut file),
                _ => None,
            }
        };
        paths.iter().filter_map(held).collect()
    }
}

/// A folder of this user on this machine that a reboot empties.
///
/// # Errors
/// It cannot be made, or belongs to somebody else.
pub fn runtime_folder() -> Result<PathBuf> {
    // SAFETY: a plain system call that cannot fail.
    let user = unsafe { libc::geteuid() };
    let named = std::env::var_os("XDG_RUNTIME_DIR").filter(|named| !named.is_empty()).map(PathBuf::from);
    if let Some(folder) = named.and_then(|named| usable(&named, user)) {
        return Ok(folder);
    }
    // The same folder whether or not the variable has come through ssh, cron or a batch system.
    let usual = PathBuf::from(format!("/run/user/{user}"));
    if usual.is_dir() {
        return Ok(usual.join("sweep"));
    }
    let folder = std::env::temp_dir().join(format!("sweep-{user}"));
    owned(&folder, user)?;
    Ok(folder)
}

/// The folder for sweeps in one that a variable names. After `su` or `sudo` that may be somebody else's.
fn usable(named: &Path, user: u32) -> Option<PathBuf> {
    let folder = named.join("sweep");
    if std::fs::metadata(named).is_ok_and(|found| found.uid() != user) {
        return None;
    }
    std::fs::create_dir_all(&folder).is_ok().then_some(folder)
}

/// Makes a folder that its user alone may enter, in a place where everybody may write.
fn owned(folder: &Path, user: u32) -> Result<()> {
    match std::fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| {
                format!("cannot make {}; XDG_RUNTIME_DIR may name a folder for what it holds", folder.display())
            });
        }
        _ => {}
    }
    // Not through a link that somebody else laid there.
    let found = std::fs::symlink_metadata(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    if !found.is_dir() || found.uid() != user {
        bail!(
            "{} is not a folder of yours. Let XDG_RUNTIME_DIR name a folder in which leases of devices may lie",
            folder.display()
        );
    }
    Ok(())
}

fn read(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| "this host".into(), |h| h.trim().to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn leases() -> (tempfile::TempDir, Leases) {
        let folder = tempfile::tempdir().unwrap();
        let leases = Leases::at(folder.path().join("leases"));
        (folder, leases)
    }

    #[test]
    fn a_slot_has_one_holder() {
        let (_folder, leases) = leases();
        let first = leases.take("GPU-aa11", "cuda:0", 0, "glue").unwrap().unwrap();
        let holder = leases.take("GPU-aa11", "cuda:7", 0, "other").unwrap().unwrap_err().unwrap();
        assert_eq!((holder.pid, holder.sweep.as_str(), holder.label.as_str()), (std::process::id(), "glue", "cuda:0"));
        assert_eq!(leases.holders(), [holder]);
        // Another slot, and another device, are free.
        let second = leases.take("GPU-aa11", "cuda:0", 1, "other").unwrap().unwrap();
        leases.take("cpu", "cpu", 0, "other").unwrap().unwrap();
        assert_eq!((first.slot, second.slot), (0, 1));
        drop(first);
        assert_eq!(leases.holders().iter().map(|h| h.sweep.as_str()).collect::<Vec<_>>(), ["other"]);
        let again = leases.take("GPU-aa11", "cuda:0", 0, "longer name than before").unwrap();
        assert!(again.is_ok());
        assert_eq!(leases.holders().len(), 2);
    }

    #[test]
    fn a_holder_that_cannot_be_read_still_holds() {
        let (folder, leases) = leases();
        let _lease = leases.take("cpu", "cpu", 0, "glue").unwrap().unwrap();
        std::fs::write(folder.path().join("leases/cpu-0.lease"), b"{").unwrap();
        assert!(matches!(leases.take("cpu", "cpu", 0, "other"), Ok(Err(None))));
    }

    #[test]
    fn an_instance_of_an_old_driver_names_a_file_too() {
        let (folder, leases) = leases();
        let _lease = leases.take("MIG-GPU-cc33/1/0", "cuda:0", 0, "glue").unwrap().unwrap();
        assert!(folder.path().join("leases/MIG-GPU-cc33_1_0-0.lease").is_file());
    }

    #[test]
    fn a_folder_of_somebody_else_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let (own, link) = (folder.path().join("own"), folder.path().join("link"));
        let user = std::fs::metadata(folder.path()).unwrap().uid();
        assert_eq!(usable(folder.path(), user), Some(folder.path().join("sweep")));
        assert_eq!(usable(folder.path(), user + 1), None);
        assert_eq!(usable(Path::new("/proc/nowhere"), user), None);
        owned(&own, user).unwrap();
        owned(&own, user).unwrap();
        assert_eq!(std::fs::metadata(&own).unwrap().mode() & 0o777, 0o700);
        std::os::unix::fs::symlink(&own, &link).unwrap();
        for (place, user) in [(&link, user), (&own, user + 1)] {
            let said = owned(place, user).unwrap_err().to_string();
            assert!(said.contains("not a folder of yours") && said.contains("XDG_RUNTIME_DIR"), "{said}");
        }
    }
}
