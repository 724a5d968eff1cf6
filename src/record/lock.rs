//! One coordinator at a time: two of them would hand the same run out twice. Several, where each has a share of its own.
//!
//! A coordinator of all runs has `.lock` to itself. One of a share holds `.lock` together with the other shares, and
//! `.lock-<k>-of-<n>.json` to itself. The texts in the files are for people; what counts is the lock that the system holds.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::live::Verdict;
use super::process::Process;
use super::shard::Shard;
use super::store::{Store, explain, make_folder};
use crate::failpoint;

/// Who runs a sweep on a results folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    #[serde(flatten)]
    pub process: Process,
    /// The sweep's name.
    pub sweep: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// RFC 3339, UTC.
    pub started: String,
}

/// The right to write under a results folder; given back when dropped, and by the system when the process dies.
#[derive(Debug)]
pub struct Lock {
    _files: Vec<File>,
}

/// Who may work on the same runs though no lock of theirs can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    Nobody,
    /// Jobs of a cluster, by the coordinator that leads them.
    Jobs,
    /// The user says that whoever seems to be there is gone.
    Anybody,
}

#[derive(Debug, Error)]
pub enum LockError {
    #[error(
        "sweep `{}` is already running on these results (process {} on {}, since {}{}). Wait for it, stop it with \
         Ctrl-C or `kill {}`, choose another folder for the results, or split the runs by `--shard 1/2` on one side and \
         `--shard 2/2` on the other.",
        .0.sweep, .0.process.pid, .0.process.host, .0.started, of_share(.0), .0.process.pid
    )]
    Held(Box<Holder>),
    #[error(
        "share {other} of these results is being worked on{}, and {asked} does not go with it: all coordinators at one \
         time must split the runs into the same number of shares.",
        .holder.as_ref().map_or_else(String::new, |holder| format!(
            " (process {} on {}, since {})", holder.process.pid, holder.process.host, holder.started
        ))
    )]
    OtherSplit { other: Shard, holder: Option<Box<Holder>>, asked: Shard },
    #[error(
        "sweep `{}` seems to be running on {} (process {}; it gave a sign of life {:.0} s ago), though this file system \
         shows no lock of it. Stop it there. If it is surely gone, `--take-over` goes on without it.",
        .holder.sweep, .holder.process.host, .holder.process.pid, .age
    )]
    Elsewhere { holder: Box<Holder>, age: f64 },
    #[error(
        "job {job} of a cluster trains runs of sweep `{sweep}` on these results, on {host}. `sweep run … --executor slurm` \
         goes on with its jobs, `sweep cancel --all {sweep}` stops them."
    )]
    OnCluster { sweep: String, job: String, host: String },
    #[error("another `sweep` is just starting on these results. Wait a moment and try again.")]
    HeldByUnknown,
    #[error("{0:#}")]
    Io(anyhow::Error),
}

fn of_share(holder: &Holder) -> String {
    holder.shard.map_or_else(String::new, |shard| format!(", share {shard}"))
}

impl Lock {
    /// Takes the right to do a sweep's runs, or a share of them. Where the file system knows no locks, a coordinator of
    /// another machine shows by its heartbeat, and jobs of a cluster by theirs; `beside` says which of them are no hindrance.
    ///
    /// # Errors
    /// Another process holds it, or the folder cannot be written.
    pub fn take(root: &Path, sweep: &str, shard: Option<Shard>, beside: Beside) -> Result<Lock, LockError> {
        make_folder(root).map_err(LockError::Io)?;
        failpoint::pass("lock");
        let whole = root.join(".lock");
        let mut files = Vec::new();
        match shard {
            None => {
                // A share holds it too, and then the share's own file says who.
                let by = |error| match error {
                    LockError::HeldByUnknown => LockError::of(shares(root).into_iter().find_map(|(_, holder)| holder)),
                    other => other,
                };
                files.push(locked(&whole, true).map_err(by)?);
            }
            Some(shard) => {
                files.push(locked(&whole, false)?);
                files.push(locked(&root.join(lock_name(shard)), true)?);
                // Each of two that start at once sees the other: both are refused, and none goes wrong.
                let other = shares(root).into_iter().find(|(other, _)| other.of() != shard.of());
                if let Some((other, holder)) = other {
                    return Err(LockError::OtherSplit { other, holder: holder.map(Box::new), asked: shard });
                }
            }
        }
        if beside != Beside::Anybody {
            look_elsewhere(root, shard, beside)?;
        }
        let process = Process::own();
        let started = format!("{:.0}", jiff::Timestamp::now());
        let holder = Holder { process, sweep: sweep.to_owned(), shard, started };
        let text = serde_json::to_vec(&holder).expect("a holder holds only numbers and words");
        if let Some(file) = files.last_mut() {
            file.set_len(0).and_then(|()| file.write_all(&text)).map_err(|e| LockError::Io(explain(e, &whole)))?;
        }
        failpoint::pass("locked");
        Ok(Lock { _files: files })
    }
}

/// Waits for a file's lock and keeps it until what is returned is dropped; where the file system knows no locks, at once.
pub fn turn(path: &Path) -> Option<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).ok()?;
    file.lock().ok()?;
    Some(file)
}

impl LockError {
    fn of(holder: Option<Holder>) -> LockError {
        holder.map_or(LockError::HeldByUnknown, |holder| LockError::Held(Box::new(holder)))
    }
}

/// Refuses where a coordinator of another machine gave a sign of life a moment ago, and its runs are not others.
fn look_elsewhere(root: &Path, shard: Option<Shard>, beside: Beside) -> Result<(), LockError> {
    let store = Store::new(root);
    for sweep in store.sweeps().map_err(LockError::Io)? {
        for seen in store.seen(&sweep, &[]) {
            let theirs = seen.live.shard;
            let is_apart = shard.zip(theirs).is_some_and(|(own, other)| own.is_apart(other));
            if !seen.verdict.is_at_work() || is_apart {
                continue;
            }
            if seen.live.job.is_some() && beside == Beside::Jobs {
                continue;
            }
            if let Some(job) = seen.live.job {
                return Err(LockError::OnCluster { sweep, job, host: seen.live.process.host });
            }
            if let Verdict::Elsewhere { age } = seen.verdict {
                let (process, started) = (seen.live.process, seen.live.started);
                let holder = Holder { process, sweep, shard: theirs, started };
                return Err(LockError::Elsewhere { holder: Box::new(holder), age });
            }
        }
    }
    Ok(())
}

/// Opens a lock file and locks it, alone or together with others.
fn locked(path: &Path, alone: bool) -> Result<File, LockError> {
    let io = |error| LockError::Io(explain(error, path));
    // Not truncated: until the lock is ours, the text is the other's.
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
    for patience in (0..10).rev() {
        match if alone { file.try_lock() } else { file.try_lock_shared() } {
            Ok(()) => break,
            // Some network file systems know no locks; there the heartbeats must do.
            Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => break,
            Err(TryLockError::Error(error)) if error.raw_os_error() == Some(libc::ENOLCK) => break,
            Err(TryLockError::Error(error)) => return Err(io(error)),
            // `Store::holders` holds the lock for the moment in which it tests it.
            Err(TryLockError::WouldBlock) if patience > 0 => std::thread::sleep(Duration::from_millis(20)),
            Err(TryLockError::WouldBlock) => {
                // The text of a whole lock may be that of one long gone, where shares hold it now.
                let holder = read(&mut file).filter(|holder| !alone || holder.shard.is_some() || is_alone(&file));
                return Err(LockError::of(holder));
            }
        }
    }
    Ok(file)
}

/// Whether one process has the lock to itself, of a file that somebody has.
fn is_alone(file: &File) -> bool {
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

fn lock_name(shard: Shard) -> String {
    Shard::file(Some(shard), ".lock", "json")
}

/// The shares that are being worked on, each with its holder, if that one has said who it is.
fn shares(root: &Path) -> Vec<(Shard, Option<Holder>)> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut shards: Vec<Shard> = names.filter_map(|name| Shard::of_file(&name, ".lock", "json")).collect();
    shards.sort();
    let holder = |shard: Shard| Some((shard, held(&root.join(lock_name(shard)))?));
    shards.into_iter().filter_map(holder).collect()
}

/// Whether somebody has a lock to himself, and his name, if he has said it.
fn held(path: &Path) -> Option<Option<Holder>> {
    let mut file = File::open(path).ok()?;
    is_alone(&file).then(|| read(&mut file))
}

impl Store {
    /// Who runs sweeps on these results now: one coordinator of all runs, or those of shares. The locks are tried, so a
    /// process that died is never named.
    pub fn holders(&self) -> Vec<Holder> {
        let whole = held(&self.root().join(".lock")).flatten();
        whole.into_iter().chain(shares(self.root()).into_iter().filter_map(|(_, holder)| holder)).collect()
    }
}

fn read(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::live::{self, Counts, Live};
    use super::*;

    fn take(root: &Path, sweep: &str, shard: &str) -> Result<Lock, LockError> {
        Lock::take(root, sweep, (!shard.is_empty()).then(|| shard.parse().unwrap()), Beside::Nobody)
    }

    #[test]
    fn the_second_taker_is_told_who_was_first() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().join("results"));
        assert_eq!(store.holders(), []);
        let lock = take(store.root(), "glue", "").unwrap();
        let holder = store.holders().remove(0);
        assert_eq!((holder.process.clone(), holder.sweep.as_str()), (Process::own(), "glue"));
        for shard in ["", "1/2"] {
            let error = take(store.root(), "other", shard).unwrap_err();
            assert!(matches!(&error, LockError::Held(by) if **by == holder), "{error}");
            let who = format!("process {} on {}", holder.process.pid, holder.process.host);
            assert!(error.to_string().contains(&who), "{error}");
        }
        drop(lock);
        // The text is still in the file, but nobody holds it.
        assert_eq!(store.holders(), []);
        let _lock = take(store.root(), "other", "").unwrap();
        assert_eq!(store.holders()[0].sweep, "other");
    }

    #[test]
    fn shares_of_one_split_go_together_and_with_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        // What a coordinator of all runs left in the file says nothing of those that come later.
        drop(take(store.root(), "old", "").unwrap());
        let first = take(store.root(), "glue", "1/2").unwrap();
        let second = take(store.root(), "glue", "2/2").unwrap();
        let shards: Vec<String> = store.holders().iter().map(|h| h.shard.unwrap().to_string()).collect();
        assert_eq!(shards, ["1/2", "2/2"]);
        for (shard, said) in [
            ("", "sweep `glue` is already running on these results (process"),
            ("2/2", ", share 2/2)"),
            ("1/3", "share 1/2 of these results is being worked on (process"),
        ] {
            let error = take(store.root(), "glue", shard).unwrap_err().to_string();
            assert!(error.contains(said), "{shard}: {error}");
        }
        drop(first);
        let error = take(store.root(), "glue", "").unwrap_err().to_string();
        assert!(error.contains(", share 2/2)"), "{error}");
        drop(second);
        take(store.root(), "glue", "1/3").unwrap();
    }

    #[test]
    fn a_split_that_has_not_said_who_it_is_is_seen_by_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = locked(&folder.path().join(".lock-1-of-2.json"), true).unwrap();
        let error = take(folder.path(), "glue", "3/3").unwrap_err().to_string();
        assert!(error.contains("share 1/2 of these results is being worked on, and 3/3"), "{error}");
        drop(file);
        take(folder.path(), "glue", "3/3").unwrap();
    }

    #[test]
    fn a_heartbeat_of_another_machine_counts_where_no_lock_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        fs::create_dir(store.sweep_folder("glue")).unwrap();
        fs::write(store.sweep_folder("glue").join("manifest.json"), b"{}").unwrap();
        let now = jiff::Timestamp::now().to_string();
        let mut there = Live {
            process: Process { pid: 7, host: "far away".into(), ..Process::own() },
            sweep: "glue".into(),
            shard: Some("1/2".parse().unwrap()),
            started: now.clone(),
            heartbeat: now,
            counts: Counts::default(),
            waiting: 3,
            seconds_left: None,
            held: None,
            slots: Vec::new(),
            job: None,
            engine: None,
            jobs: Vec::new(),
            ended: None,
        };
        live::write(&store, &there).unwrap();
        for shard in ["", "1/2", "1/3"] {
            let error = take(store.root(), "other", shard).unwrap_err().to_string();
            assert!(error.contains("running on far away (process 7;") && error.contains("--take-over"), "{error}");
        }
        take(store.root(), "glue", "2/2").unwrap();
        Lock::take(store.root(), "glue", None, Beside::Anybody).unwrap();
        there.ended = Some("all runs have a record".into());
        live::write(&store, &there).unwrap();
        take(store.root(), "glue", "").unwrap();
    }

    #[test]
    fn a_holder_that_cannot_be_read_is_still_a_holder() {
        let folder = tempfile::tempdir().unwrap();
        let _lock = take(folder.path(), "glue", "").unwrap();
        fs::write(folder.path().join(".lock"), b"{").unwrap();
        let error = take(folder.path(), "glue", "").unwrap_err();
        assert!(matches!(error, LockError::HeldByUnknown), "{error}");
    }

    #[test]
    fn the_text_of_an_earlier_version_is_read() {
        let text = r#"{"pid":7,"host":"a","sweep":"glue","started":"2026-01-01T00:00:00Z"}"#;
        let holder: Holder = serde_json::from_str(text).unwrap();
        assert_eq!((holder.process.pid, holder.shard), (7, None));
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_told() {
        let error = take(Path::new("/proc/results"), "glue", "").unwrap_err();
        assert!(matches!(&error, LockError::Io(_)) && error.to_string().contains("/proc/results"), "{error}");
    }
}
