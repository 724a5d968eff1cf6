//! The append-only, checksummed event log of a sweep: one line an event, `<crc32> <json>`.
//!
//! The truth about a run is its record; the log says in which order things happened, and what was under way when
//! the coordinator died.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::store::{explain, make_folder};
use crate::failpoint;
use crate::plan::RunId;
use crate::record::Rung;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// RFC 3339, UTC.
    pub time: String,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// A coordinator set out to do this many runs.
    Began {
        sweep: String,
        runs: usize,
        commit: String,
        version: String,
        pid: u32,
    },
    /// A run was handed to the worker of a slot.
    Started {
        id: RunId,
        slot: usize,
        attempt: u32,
    },
    /// A run's record was written: `how` is `done` or the cause of failure.
    Ended {
        id: RunId,
        how: String,
        seconds: f64,
    },
    /// A run was put aside at a checkpoint.
    Paused {
        id: RunId,
        step: u32,
    },
    /// An attempt failed, and another follows: `how` is the class of failure, `next` what is done otherwise.
    PutBack {
        id: RunId,
        attempt: u32,
        how: String,
        next: String,
    },
    /// A run came to a step at which a rule decides about it.
    Reached {
        id: RunId,
        #[serde(flatten)]
        rung: Box<Rung>,
    },
    /// Nothing starts for now, and why; or work goes on.
    Held {
        why: String,
    },
    Released,
    /// The coordinator ended; `left` counts the runs without a record.
    Finished {
        done: usize,
        failed: usize,
        left: usize,
    },
}

/// What could be read of a log.
#[derive(Debug, Default, PartialEq)]
pub struct Reading {
    pub events: Vec<Event>,
    /// Lines, counted from 1, that were skipped: damaged, or of a kind that this version does not know.
    pub skipped: Vec<usize>,
    /// Bytes behind the last good line: the tail that a crash tore.
    pub torn: u64,
}

/// A log open for appending.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
    /// Bytes up to the end of the last good line.
    len: u64,
}

/// Reads a log without touching it; one that is not there is empty.
pub fn read(path: &Path) -> Result<Reading> {
    match fs::read(path) {
        Ok(bytes) => Ok(parse(&bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Reading::default()),
        Err(error) => Err(error).with_context(|| format!("cannot read the event log {}", path.display())),
    }
}

impl Log {
    /// Opens a log, or makes it, and cuts a torn tail off; says what was there.
    pub fn open(path: &Path) -> Result<(Log, Reading)> {
        let reading = read(path)?;
        make_folder(path.parent().unwrap_or(Path::new(".")))?;
        let open = || {
            let file = OpenOptions::new().append(true).create(true).open(path)?;
            let len = file.metadata()?.len() - reading.torn;
            if reading.torn > 0 {
                file.set_len(len)?;
            }
            file.sync_all()?;
            Ok((file, len))
        };
        let (file, len) = open().map_err(|error| explain(error, path))?;
        Ok((Log { path: path.to_owned(), file, len }, reading))
    }

    /// Appends one event and waits until it is on the disk.
    ///
    /// # Errors
    /// The disk is full or fails; the log is then as before, so that a later event does not run into half a line.
    pub fn append(&mut self, event: &Event) -> Result<()> {
        let line = line(event);
        failpoint::pass("append");
        let write = |file: &mut File| {
            file.write_all(&line)?;
            failpoint::pass("written");
            sync(file)
        };
        if let Err(error) = write(&mut self.file) {
            // Best effort: should it fail too, the next `open` cuts what is torn.
            let _ = self.file.set_len(self.len);
            return Err(explain(error, &self.path));
        }
        failpoint::pass("synced");
        self.len += line.len() as u64;
        Ok(())
    }
}

fn sync(file: &File) -> std::io::Result<()> {
    #[cfg(test)]
    tests::SYNCS.set(tests::SYNCS.get() + 1);
    file.sync_data()
}

/// The event of a whole line; `None` where the line is damaged, or of a kind that this version does not know.
pub fn event_of(line: &[u8]) -> Option<Event> {
    serde_json::from_slice(checked(line)?).ok()
}

fn line(event: &Event) -> Vec<u8> {
    let json = serde_json::to_string(event).expect("an event holds only numbers and words");
    format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())).into_bytes()
}

fn parse(bytes: &[u8]) -> Reading {
    let mut reading = Reading::default();
    let mut sound = 0; // bytes up to the end of the last line whose checksum is right
    let mut end = 0;
    let mut doubtful = Vec::new(); // damaged lines: in the middle if a sound one follows, else part of the tail
    for (number, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        end += line.len();
        match checked(line) {
            None => doubtful.push(number + 1),
            Some(json) => {
                sound = end;
                reading.skipped.append(&mut doubtful);
                match serde_json::from_slice(json) {
                    Ok(event) => reading.events.push(event),
                    // Sound, so another version wrote it: skipped, never cut off.
                    Err(_) => reading.skipped.push(number + 1),
                }
            }
        }
    }
    reading.torn = (bytes.len() - sound) as u64;
    reading
}

/// The JSON of a whole line whose checksum is right.
fn checked(line: &[u8]) -> Option<&[u8]> {
    let (sum, json) = line.strip_suffix(b"\n")?.split_at_checked(9)?;
    let sum = std::str::from_utf8(sum).ok()?.strip_suffix(' ')?;
    (u32::from_str_radix(sum, 16).ok()? == crc32fast::hash(json)).then_some(json)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    thread_local! {
        pub(super) static SYNCS: Cell<usize> = const { Cell::new(0) };
    }

    #[test]
    fn an_event_costs_one_append_and_one_sync() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let (mut log, _) = Log::open(&path).unwrap();
        for n in 0..20 {
            let (syncs, bytes) = (SYNCS.get(), fs::metadata(&path).unwrap().len());
            log.append(&event(n)).unwrap();
            let grown = fs::metadata(&path).unwrap().len() - bytes;
            assert_eq!((SYNCS.get() - syncs, grown), (1, line(&event(n)).len() as u64));
        }
    }

    fn event(n: u32) -> Event {
        let id = RunId(format!("{n:020x}"));
        let what = match n % 5 {
            0 => What::Began { sweep: "glue".into(), runs: 9, commit: "c+".into(), version: "0.1.0".into(), pid: n },
            1 => What::Started { id, slot: 0, attempt: n },
            2 => What::Ended { id, how: "out of memory".into(), seconds: 1.5 },
            3 => What::Paused { id, step: n },
            _ => What::Finished { done: 1, failed: 2, left: 3 },
        };
        Event { time: format!("2026-01-01T00:00:{n:02}Z"), what }
    }

    /// A log of events 0..n, as bytes and as a place to put them.
    fn log(n: u32) -> (tempfile::TempDir, PathBuf, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("glue/events.jsonl");
        let (mut log, reading) = Log::open(&path).unwrap();
        assert_eq!(reading, Reading::default());
        for n in 0..n {
            log.append(&event(n)).unwrap();
        }
        let bytes = fs::read(&path).unwrap();
        (folder, path, bytes)
    }

    #[test]
    fn a_torn_tail_is_cut_wherever_it_tears() {
        let (_folder, path, whole) = log(5);
        let ends: Vec<usize> = (0..whole.len()).filter(|&i| whole[i] == b'\n').map(|i| i + 1).collect();
        for cut in ends[2]..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let kept = ends.iter().filter(|&&end| end <= cut).count();
            let (mut log, reading) = Log::open(&path).unwrap();
            assert_eq!(reading.events, (0..kept as u32).map(event).collect::<Vec<_>>(), "cut at {cut}");
            assert_eq!((reading.torn as usize, reading.skipped.len()), (cut - ends[kept - 1], 0), "cut at {cut}");
            log.append(&event(7)).unwrap();
            let again = read(&path).unwrap();
            assert_eq!((again.events.len(), again.torn), (kept + 1, 0), "cut at {cut}");
            assert_eq!(again.events[kept], event(7));
        }
    }

    #[test]
    fn zeros_in_the_middle_are_skipped_and_told() {
        let (_folder, path, whole) = log(6);
        let ends: Vec<usize> = (0..whole.len()).filter(|&i| whole[i] == b'\n').map(|i| i + 1).collect();
        let mut damaged = whole.clone();
        // From the middle of the second line to the middle of the fourth: one long damaged line is left of three.
        damaged[ends[0] + 5..ends[2] + 5].fill(0);
        fs::write(&path, &damaged).unwrap();
        let (_, reading) = Log::open(&path).unwrap();
        assert_eq!(reading.events, [event(0), event(4), event(5)]);
        assert_eq!((reading.skipped, reading.torn), (vec![2], 0));
        assert_eq!(fs::read(&path).unwrap(), damaged, "what is not the tail stays");

        // Zeros at the end, as some file systems leave them after a power loss.
        let mut grown = whole.clone();
        grown.resize(whole.len() + 4096, 0);
        fs::write(&path, &grown).unwrap();
        assert_eq!(Log::open(&path).unwrap().1.torn, 4096);
        assert_eq!(fs::read(&path).unwrap(), whole);
    }

    #[test]
    fn an_event_of_a_later_version_is_kept() {
        let (_folder, path, whole) = log(2);
        let json = r#"{"time":"2030-01-01T00:00:00Z","what":{"migrated":{}}}"#;
        let tail = format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()));
        let bytes = [whole, tail.into_bytes()].concat();
        fs::write(&path, &bytes).unwrap();
        let (_, reading) = Log::open(&path).unwrap();
        assert_eq!((reading.events.len(), reading.skipped, reading.torn), (2, vec![3], 0));
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn a_full_disk_is_told() {
        let file = OpenOptions::new().append(true).open("/dev/full").unwrap();
        let mut log = Log { path: "/dev/full".into(), file, len: 0 };
        assert!(format!("{:#}", log.append(&event(1)).unwrap_err()).contains("no space left"));
    }

    proptest! {
        #[test]
        fn events_come_back(words in prop::collection::vec((".*", ".*", any::<u32>(), any::<u32>()), 1..8)) {
            let events: Vec<Event> = words
                .into_iter()
                .map(|(time, how, n, eighths)| {
                    let id = RunId(how.clone());
                    let what = match n % 2 {
                        0 => What::Ended { id, how, seconds: f64::from(eighths) / 8.0 },
                        _ => What::Paused { id, step: n },
                    };
                    Event { time, what }
                })
                .collect();
            let bytes: Vec<u8> = events.iter().flat_map(line).collect();
            prop_assert_eq!(parse(&bytes), Reading { events, ..Reading::default() });
        }

        #[test]
        fn damage_to_one_byte_costs_at_most_two_events(at in 0usize..400, flip in 1u8..) {
            let mut bytes: Vec<u8> = (0..5).map(event).flat_map(|event| line(&event)).collect();
            let at = at % bytes.len();
            bytes[at] ^= flip;
            let reading = parse(&bytes);
            // Only a newline that is gone joins two lines.
            prop_assert!(reading.events.len() >= 3, "{reading:?}");
            for event in reading.events {
                prop_assert!((0..5).any(|n| self::event(n) == event));
            }
        }
    }
}
