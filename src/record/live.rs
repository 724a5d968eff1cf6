//! What a coordinator is doing at this moment, as a file beside the sweep's log: rewritten about once a second, so that
//! `sweep status` and `sweep watch` need not ask it.
//!
//! The file is a hint. It may be older than its process, which can have been killed; so what is said of a sweep is
//! judged by the file, the lock, and the process together.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use anyhow::Result;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::lock::Holder;
use super::process::{Life, Process};
use super::shard::Shard;
use super::store::Store;
use crate::plan::RunId;

/// A heartbeat younger than this, in seconds, is that of a living coordinator, as far as can be said from elsewhere.
pub const FRESH: f64 = 60.0;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Live {
    pub process: Process,
    pub sweep: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// RFC 3339, UTC.
    pub started: String,
    /// When this was written, RFC 3339, UTC.
    pub heartbeat: String,
    /// Of the runs of this call.
    pub counts: Counts,
    /// Runs in the queue.
    pub waiting: usize,
    /// Seconds until the last run ends; absent as long as nothing was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<f64>,
    /// Why nothing starts, where that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
    pub slots: Vec<Slot>,
    /// The job of a cluster that it is: `12_3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// Of a coordinator that trains nothing itself: the engine in words, and its jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<EngineJob>,
    /// How it ended, in words; absent as long as it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
}

/// A job as the engine tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineJob {
    pub id: String,
    /// The engine's words: `PENDING (Resources)`.
    pub state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub done: usize,
    pub failed: usize,
    #[serde(default)]
    pub stopped: usize,
    #[serde(default)]
    pub paused: usize,
    pub total: usize,
}

/// A place for one worker, and what it does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Slot {
    /// `cpu`, `cuda:0`.
    pub device: String,
    /// Absent until a worker was ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Running>,
    /// Runs that are trained side by side with that one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<Running>,
}

impl Slot {
    pub fn runs(&self) -> impl Iterator<Item = &Running> {
        self.run.iter().chain(&self.beside)
    }

    pub fn runs_mut(&mut self) -> impl Iterator<Item = &mut Running> {
        self.run.iter_mut().chain(&mut self.beside)
    }

    /// One more run.
    pub fn add(&mut self, run: Running) {
        match self.run {
            Some(_) => self.beside.push(run),
            None => self.run = Some(run),
        }
    }

    pub fn remove(&mut self, id: &RunId) {
        self.beside.retain(|run| run.id != *id);
        if self.run.as_ref().is_some_and(|run| run.id == *id) {
            self.run = (!self.beside.is_empty()).then(|| self.beside.remove(0));
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Running {
    pub id: RunId,
    /// The run in words.
    pub label: String,
    /// 1 for the first.
    pub attempt: u32,
    /// When it was handed out, RFC 3339, UTC.
    pub since: String,
    /// `load`, `train`, …
    pub phase: String,
    /// Steps done, of how many; 0 of 0 before the first.
    #[serde(default)]
    pub step: u32,
    #[serde(default)]
    pub of: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub examples_per_second: Option<f64>,
    /// The step of the last checkpoint on the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<u32>,
}

/// What is true of a coordinator.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It works; `silent` seconds have passed since its last heartbeat, if that is long.
    Running { silent: Option<f64> },
    /// A coordinator has the lock and has not said yet what it does.
    Starting(Holder),
    /// It ended by itself.
    Ended { how: String, at: String },
    /// It was killed, or the machine went down, at about this time.
    Died { at: String },
    /// It is one of another machine, where nobody here can look. `age` is the seconds since its last heartbeat.
    Elsewhere { age: f64 },
}

impl Verdict {
    /// Whether somebody works, as far as can be said.
    pub fn is_at_work(&self) -> bool {
        match self {
            Verdict::Running { .. } | Verdict::Starting(_) => true,
            Verdict::Elsewhere { age } => *age <= FRESH,
            Verdict::Ended { .. } | Verdict::Died { .. } => false,
        }
    }
}

/// A heartbeat older than this is worth a word, in seconds.
const SILENT: f64 = 10.0;

/// What is true, by the file, by who has the lock of its sweep and share, by its process, and by the age of the heartbeat
/// in seconds.
pub fn judge(live: &Live, lock: Option<&Holder>, life: Life, age: f64) -> Verdict {
    let is_successor =
        |holder: &&Holder| holder.process.pid != live.process.pid || holder.process.host != live.process.host;
    if let Some(holder) = lock.filter(is_successor) {
        return Verdict::Starting(holder.clone());
    }
    if let Some(how) = &live.ended {
        return Verdict::Ended { how: how.clone(), at: live.heartbeat.clone() };
    }
    match life {
        Life::Alive => Verdict::Running { silent: (age > SILENT).then_some(age) },
        Life::Dead => Verdict::Died { at: live.heartbeat.clone() },
        // A lock that is seen to be held is held, wherever its holder is.
        Life::Elsewhere if lock.is_some() => Verdict::Running { silent: (age > SILENT).then_some(age) },
        Life::Elsewhere => Verdict::Elsewhere { age },
    }
}

/// A coordinator as its file and the machine tell of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub live: Live,
    pub verdict: Verdict,
}

impl Store {
    /// The live files of a sweep, one for each coordinator that ever worked on a share of it, each judged. What cannot be
    /// read counts as not there: it is a hint, and rewritten within a second.
    pub fn seen(&self, sweep: &str, holders: &[Holder]) -> Vec<Seen> {
        let folder = self.sweep_folder(sweep);
        let names = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
        let mut names: Vec<String> = names
            .filter_map(|name| name.into_string().ok())
            .filter(|name| Shard::is_file_of(name, "live", "json"))
            .collect();
        names.sort();
        let read = |name: String| {
            let path = folder.join(name);
            let live: Live = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
            let lock = holders.iter().find(|holder| holder.sweep == live.sweep && holder.shard == live.shard);
            let verdict = judge(&live, lock, live.process.life(), age(&live, &path));
            Some(Seen { live, verdict })
        };
        names.into_iter().filter_map(read).collect()
    }
}

/// Seconds since the last heartbeat. Two machines' clocks may differ, and so may a machine's before and after it was set:
/// the smaller of what the text and what the file system say.
fn age(live: &Live, path: &Path) -> f64 {
    let said = live.heartbeat.parse::<Timestamp>().ok().map(|then| seconds_since(then, Timestamp::now()).abs());
    let modified = fs::metadata(path).and_then(|meta| meta.modified()).ok();
    let stamped = modified.and_then(|then| SystemTime::now().duration_since(then).ok()).map(|age| age.as_secs_f64());
    said.into_iter().chain(stamped).fold(f64::INFINITY, f64::min)
}

/// Seconds from one moment to another.
pub fn seconds_since(then: Timestamp, now: Timestamp) -> f64 {
    now.duration_since(then).as_secs_f64()
}

/// Puts the file in its place. It is not synced: after a crash its content is of no worth.
///
/// # Errors
/// It cannot be written.
pub fn write(store: &Store, live: &Live) -> Result<()> {
    let path = store.sweep_folder(&live.sweep).join(Shard::file(live.shard, "live", "json"));
    let temporary = path.with_extension("json.new");
    fs::write(&temporary, serde_json::to_vec(live)?)?;
    fs::rename(&temporary, &path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn live() -> Live {
        Live {
            process: Process { pid: 7, host: "a".into(), began: 5, boot: "b".into(), pids: "p".into() },
            sweep: "glue".into(),
            shard: None,
            started: "2026-01-01T00:00:00Z".into(),
            heartbeat: "2026-01-01T00:10:00Z".into(),
            counts: Counts { done: 1, total: 9, ..Counts::default() },
            waiting: 7,
            seconds_left: None,
            held: None,
            slots: vec![Slot { device: "cpu".into(), ..Slot::default() }],
            job: None,
            engine: None,
            jobs: Vec::new(),
            ended: None,
        }
    }

    fn holder(pid: u32, host: &str) -> Holder {
        let process = Process { pid, host: host.into(), ..Process::default() };
        Holder { process, sweep: "glue".into(), shard: None, started: "2026-01-01T00:20:00Z".into() }
    }

    #[test]
    fn what_is_true_follows_from_file_lock_and_process() {
        let at = || "2026-01-01T00:10:00Z".to_owned();
        let running = |silent| Verdict::Running { silent };
        let (own, other) = (holder(7, "a"), holder(8, "a"));
        let ended = Live { ended: Some("all done".into()), ..live() };
        let table = [
            ("at work", live(), Some(&own), Life::Alive, 0.5, running(None)),
            ("stopped by Ctrl-Z, or swapped out", live(), Some(&own), Life::Alive, 90.0, running(Some(90.0))),
            ("no locks on this file system", live(), None, Life::Alive, 0.5, running(None)),
            ("killed a moment ago", live(), None, Life::Dead, 0.5, Verdict::Died { at: at() }),
            ("killed, and a lock that outlived it", live(), Some(&own), Life::Dead, 90.0, Verdict::Died { at: at() }),
            (
                "killed, the next one is starting",
                live(),
                Some(&other),
                Life::Dead,
                9.0,
                Verdict::Starting(other.clone()),
            ),
            ("ended", ended.clone(), None, Life::Dead, 9.0, Verdict::Ended { how: "all done".into(), at: at() }),
            (
                "ending",
                ended.clone(),
                Some(&own),
                Life::Alive,
                0.1,
                Verdict::Ended { how: "all done".into(), at: at() },
            ),
            ("ended, the next one is starting", ended, Some(&other), Life::Dead, 9.0, Verdict::Starting(other.clone())),
            ("elsewhere, and the lock is seen", live(), Some(&own), Life::Elsewhere, 0.5, running(None)),
            ("elsewhere, fresh", live(), None, Life::Elsewhere, 5.0, Verdict::Elsewhere { age: 5.0 }),
            ("elsewhere, old", live(), None, Life::Elsewhere, 5000.0, Verdict::Elsewhere { age: 5000.0 }),
        ];
        for (case, live, lock, life, age, expected) in table {
            assert_eq!(judge(&live, lock, life, age), expected, "{case}");
        }
        assert!(Verdict::Elsewhere { age: 5.0 }.is_at_work() && !Verdict::Elsewhere { age: 5000.0 }.is_at_work());
    }

    #[test]
    fn a_file_comes_back_and_a_dead_process_is_never_running() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        fs::create_dir(store.sweep_folder("glue")).unwrap();
        assert_eq!(store.seen("glue", &[]), []);
        // Of this machine, but of a boot before.
        let own = Process::own();
        let dead = Live { process: Process { boot: "before".into(), ..own.clone() }, ..live() };
        write(&store, &dead).unwrap();
        let alive = Live { process: own, shard: Some("2/4".parse().unwrap()), ..live() };
        write(&store, &alive).unwrap();
        fs::write(store.sweep_folder("glue").join("live-3-of-4.json"), b"{").unwrap();
        let seen = store.seen("glue", &[]);
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0], Seen { live: alive, verdict: Verdict::Running { silent: None } });
        assert_eq!(seen[1], Seen { live: dead.clone(), verdict: Verdict::Died { at: dead.heartbeat } });
        assert_eq!(fs::read_dir(store.sweep_folder("glue")).unwrap().count(), 3);
    }

    #[test]
    fn the_age_is_the_smaller_of_two_clocks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("live.json");
        fs::write(&path, b"x").unwrap();
        // The other machine's clock is a year behind.
        assert!(age(&live(), &path) < 5.0);
        let ahead = Live { heartbeat: (Timestamp::now() + jiff::SignedDuration::from_secs(3)).to_string(), ..live() };
        fs::File::open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert!(age(&ahead, &path) < 5.0);
    }
}
