//! Copies of a run that may be under way at one time, as where a node that was given up comes back: each writes into a
//! folder of its own, and one of them becomes the run's.
//!
//! It is one rename of a folder, so whoever looks sees a run's files of one copy or of none, on network file systems too.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::store::{Store, explain, make_folder, sync_folder};
use super::{End, Record};
use crate::plan::RunId;

/// How often another copy's folder is moved away before it is thought that something is wrong.
const TRIES: u32 = 5;

impl Store {
    /// What is of runs on a cluster, whichever sweep asks for them: who claims them, and their copies under way.
    pub fn cluster(&self) -> PathBuf {
        self.root().join("cluster")
    }

    /// The folder of a copy: `cluster/attempts/<id>.<copy>`.
    pub fn attempt_folder(&self, id: &RunId, copy: u32) -> PathBuf {
        self.cluster().join("attempts").join(format!("{id}.{copy}"))
    }

    /// Where a run's files are now: in the folder of its newest copy while that is under way, else in its own.
    pub fn present_folder(&self, id: &RunId) -> PathBuf {
        let copy = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            let copy: u32 = name.strip_prefix(&id.0)?.strip_prefix('.')?.parse().ok()?;
            // One that has a record and is still here came too late.
            (!entry.path().join("record.json").exists()).then(|| (copy, entry.path()))
        };
        let entries = fs::read_dir(self.cluster().join("attempts")).into_iter().flatten().flatten();
        let newest = entries.filter_map(copy).max();
        newest.map_or_else(|| self.run_folder(id), |(_, folder)| folder)
    }

    /// Writes a record into the folder of its copy, and makes that folder the run's. Of several copies the first that is
    /// done wins; one that is done wins over one that failed, and of failures the one of the later attempt. Says whether
    /// it won; if not, all stays where it was written.
    ///
    /// # Errors
    /// The folders cannot be written.
    pub fn publish(&self, record: &Record, folder: &Path) -> Result<bool> {
        self.write_into(folder, record)?;
        let target = self.run_folder(&record.id);
        make_folder(&self.runs())?;
        for _ in 0..TRIES {
            match fs::rename(folder, &target) {
                Ok(()) => {
                    sync_folder(&self.runs()).map_err(|error| explain(error, &target))?;
                    return Ok(true);
                }
                Err(error) if is_taken(&error) => {}
                // The answer of a server was lost, and the question asked again: it had gone through.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return Ok(self.read(&record.id)?.as_ref() == Some(record));
                }
                Err(error) => return Err(explain(error, &target)),
            }
            let there = self.read(&record.id)?;
            if there.as_ref().is_some_and(|there| !wins(record, there)) {
                return Ok(false);
            }
            // What began here without an end, or ended worse.
            let mut aside = folder.as_os_str().to_owned();
            aside.push(".before");
            let aside = PathBuf::from(aside);
            let _ = fs::remove_dir_all(&aside);
            match fs::rename(&target, &aside) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(explain(error, &aside)),
            }
            // Another copy may have come to its end between the look and the move: it goes back, or by the same rule to
            // where yet another one came meanwhile.
            match self.read_from(&aside)? {
                Some(other) if Some(&other) != there.as_ref() && fs::rename(&aside, &target).is_err() => {
                    self.publish(&other, &aside)?;
                }
                Some(other) if Some(&other) != there.as_ref() => {}
                _ => continue,
            }
        }
        Ok(false)
    }
}

/// Whether a copy's record stands in for the one that is there.
fn wins(new: &Record, there: &Record) -> bool {
    match (&new.end, &there.end) {
        (_, End::Done(_)) => false,
        (End::Done(_), _) => true,
        _ => new.made.attempt > there.made.attempt,
    }
}

fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists | ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::Outcome;
    use super::super::store::tests::record;
    use super::*;

    fn failed(attempt: u32) -> Record {
        let mut record = record(1);
        record.made.attempt = attempt;
        record
    }

    fn done(attempt: u32) -> Record {
        Record { end: End::Done(Outcome::default()), ..failed(attempt) }
    }

    /// Publishes copies in turn, each with a log that says its number; what the run's folder says in the end, and who won.
    fn publish(records: &[Record]) -> (String, Vec<bool>) {
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(root.path());
        let one = |(number, record): (usize, &Record)| {
            let folder = store.attempt_folder(&record.id, number as u32);
            make_folder(&folder).unwrap();
            fs::write(folder.join("log.txt"), number.to_string()).unwrap();
            store.publish(record, &folder).unwrap()
        };
        let won = records.iter().enumerate().map(one).collect();
        let folder = store.run_folder(&records[0].id);
        assert!(store.read(&records[0].id).unwrap().is_some());
        (fs::read_to_string(folder.join("log.txt")).unwrap(), won)
    }

    #[test]
    fn the_first_that_is_done_stays_and_what_is_done_stands_in_for_what_failed() {
        assert_eq!(publish(&[done(1), done(2)]), ("0".into(), vec![true, false]));
        assert_eq!(publish(&[failed(1), done(1), failed(2)]), ("1".into(), vec![true, true, false]));
        assert_eq!(publish(&[failed(1), failed(2), failed(1)]), ("1".into(), vec![true, true, false]));
    }

    #[test]
    fn what_an_earlier_attempt_began_here_is_moved_away() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(root.path());
        let record = done(1);
        make_folder(&store.run_folder(&record.id)).unwrap();
        fs::write(store.run_folder(&record.id).join("steps.csv"), "old").unwrap();
        assert!(store.publish(&record, &store.attempt_folder(&record.id, 1)).unwrap());
        assert!(!store.run_folder(&record.id).join("steps.csv").exists());
        assert_eq!(store.read(&record.id).unwrap(), Some(record));
    }

    #[test]
    fn files_are_those_of_the_newest_copy_while_it_is_under_way() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(root.path());
        let record = done(1);
        let id = &record.id;
        let present = || store.present_folder(id);
        assert_eq!(present(), store.run_folder(id));
        for copy in [2, 10] {
            make_folder(&store.attempt_folder(id, copy)).unwrap();
        }
        assert_eq!(present(), store.attempt_folder(id, 10));
        assert!(store.publish(&record, &store.attempt_folder(id, 10)).unwrap());
        assert!(!store.publish(&record, &store.attempt_folder(id, 2)).unwrap());
        assert_eq!(present(), store.run_folder(id));
    }

    #[test]
    fn copies_that_end_at_once_leave_one_whole_result() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(root.path());
        let won: usize = std::thread::scope(|scope| {
            let one = |number: u32| {
                let store = &store;
                scope.spawn(move || {
                    let record = done(number);
                    let folder = store.attempt_folder(&record.id, number);
                    make_folder(&folder).unwrap();
                    fs::write(folder.join("log.txt"), number.to_string()).unwrap();
                    usize::from(store.publish(&record, &folder).unwrap())
                })
            };
            let copies: Vec<_> = (1..9).map(one).collect();
            copies.into_iter().map(|copy| copy.join().unwrap()).sum()
        });
        assert_eq!(won, 1);
        let record = store.read(&done(1).id).unwrap().unwrap();
        let log = fs::read_to_string(store.run_folder(&record.id).join("log.txt")).unwrap();
        assert_eq!(log, record.made.attempt.to_string());
    }
}
