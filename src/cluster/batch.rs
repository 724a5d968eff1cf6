//! What lies in `results/<sweep>/cluster`: all that a node needs to train the runs, and what was submitted.
//!
//! A submission is written down before the engine hears of it, and under a name that no other ever had. So a coordinator
//! that dies between the two leaves a name to look for, and nothing is submitted twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::claim::{Claim, Claims};
use super::once;
use crate::disk::checkpoint_folder;
use crate::plan::RunId;
use crate::protocol::{Job, checkpoints_of};
use crate::record::store::{Store, make_folder, replace};
use crate::schedule::Ticket;
use crate::spec::cluster::Mode;

/// The folder of a sweep on a cluster.
#[derive(Debug, Clone)]
pub struct Batch {
    pub sweep: String,
    pub folder: PathBuf,
}

/// What all jobs of a sweep have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    pub sweep: String,
    /// The beginning of the names of all submissions: `sweep-glue-3f9a…`.
    pub name: String,
    pub mode: Mode,
    /// The engine in words.
    pub engine: String,
    /// `--devices` of each job; `None` is what it finds.
    pub devices: Option<Vec<String>>,
    /// Workers on a device; `None` is one.
    pub slots: Option<u32>,
    pub fuse: u32,
    pub timeout: Option<f64>,
    pub stall: Option<f64>,
    pub oom_fails: bool,
    /// Bytes of free space below which a job waits.
    pub min_free: u64,
}

/// A run with all that a node needs to train it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    pub job: Job,
    /// The run in words.
    pub label: String,
    pub ticket: Ticket,
}

/// One call of the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    pub number: u32,
    pub name: String,
    pub tasks: u32,
    /// Most of them at one time.
    pub at_once: u32,
    /// The run of each task, where each has one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<Vec<RunId>>,
    /// RFC 3339, UTC.
    pub made: String,
    /// The engine's name of it; absent until it is known that it went through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Why nobody need look for it any more: all its tasks ended, or it never came to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<String>,
}

impl Submission {
    pub fn is_open(&self) -> bool {
        self.closed.is_none()
    }
}

impl Batch {
    pub fn of(store: &Store, sweep: &str) -> Batch {
        Batch { sweep: sweep.to_owned(), folder: store.sweep_folder(sweep).join("cluster") }
    }

    fn terms_path(&self) -> PathBuf {
        self.folder.join("terms.json")
    }

    fn runs_path(&self) -> PathBuf {
        self.folder.join("runs.jsonl")
    }

    fn submissions(&self) -> PathBuf {
        self.folder.join("submissions")
    }

    pub fn script(&self, number: u32) -> PathBuf {
        self.submissions().join(format!("{number}.sh"))
    }

    /// What a job writes before its program has a log of its own; `task` is a number or the engine's sign for it.
    pub fn log(&self, number: u32, task: &str) -> PathBuf {
        self.folder.join("log").join(format!("{number}-{task}.log"))
    }

    /// What the jobs of this sweep have in common; nothing where none was ever submitted.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn terms(&self) -> Result<Option<Terms>> {
        read(&self.terms_path())
    }

    /// # Errors
    /// The folder cannot be written.
    pub fn write_terms(&self, terms: &Terms) -> Result<()> {
        make_folder(&self.folder.join("log"))?;
        replace(&self.terms_path(), &serde_json::to_vec_pretty(terms)?)
    }

    /// # Errors
    /// The folder cannot be written.
    pub fn write_runs(&self, entries: &[Entry]) -> Result<()> {
        let mut text = Vec::new();
        for entry in entries {
            serde_json::to_writer(&mut text, entry)?;
            text.push(b'\n');
        }
        replace(&self.runs_path(), &text)
    }

    /// The runs, in the order of work.
    ///
    /// # Errors
    /// The file is missing or damaged.
    pub fn runs(&self) -> Result<Vec<Entry>> {
        let path = self.runs_path();
        let about = || format!("cannot read {}; `sweep run` writes it anew", path.display());
        let lines = BufReader::new(File::open(&path).with_context(about)?).lines();
        lines.map(|line| serde_json::from_str(&line?).with_context(about)).collect()
    }

    /// Every submission that was ever made, by number.
    ///
    /// # Errors
    /// A file is damaged.
    pub fn submitted(&self) -> Result<BTreeMap<u32, Submission>> {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(self.submissions()).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|ending| ending == "json")
                && let Some(submission) = read::<Submission>(&path)?
            {
                found.insert(submission.number, submission);
            }
        }
        Ok(found)
    }

    /// Writes a new submission down; whether its number was free.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn create(&self, submission: &Submission) -> Result<bool> {
        let path = self.submissions().join(format!("{}.json", submission.number));
        once::make(&path, &serde_json::to_vec_pretty(submission)?)
    }

    /// Whether a job of a submission ever began.
    pub fn has_begun(&self, number: u32) -> bool {
        let pilots = fs::read_dir(self.folder.join("pilots")).into_iter().flatten().flatten();
        pilots.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with(&format!("{number}-")))
    }

    /// Nodes that get no more jobs of this sweep.
    pub fn excluded(&self) -> BTreeSet<String> {
        let text = fs::read_to_string(self.folder.join("excluded")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// # Errors
    /// The folder cannot be written.
    pub fn exclude(&self, node: &str) -> Result<()> {
        let mut nodes = self.excluded();
        nodes.insert(node.to_owned());
        let text: String = nodes.into_iter().map(|node| node + "\n").collect();
        replace(&self.folder.join("excluded"), text.as_bytes())
    }

    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, submission: &Submission) -> Result<()> {
        let path = self.submissions().join(format!("{}.json", submission.number));
        replace(&path, &serde_json::to_vec_pretty(submission)?)
    }

    fn stop_path(&self) -> PathBuf {
        self.folder.join("stop")
    }

    /// Tells every job, those too that have not begun, to take no more runs and to bring those under way to a checkpoint.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn stop(&self) -> Result<()> {
        replace(&self.stop_path(), b"")
    }

    pub fn is_stopped(&self) -> bool {
        self.stop_path().exists()
    }

    /// Jobs may take runs again.
    pub fn go_on(&self) {
        let _ = fs::remove_file(self.stop_path());
    }

    /// Takes away what only copies under way need, of runs that no job has: what a run that goes on needs, checkpoints and
    /// logged steps, goes to where one machine looks for it.
    pub fn settle(&self, store: &Store, entries: &[Entry]) {
        let claims = Claims::of(store);
        let all = claims.all();
        for entry in entries {
            let id = &entry.job.id;
            let Some(&Claim { copy, is_over }) = all.get(id) else { continue };
            // A job of another sweep has it.
            if !is_over && !store.run_folder(id).join("record.json").exists() {
                continue;
            }
            let checkpoints = |copy| checkpoint_folder(&entry.job.cache, &checkpoints_of(id, copy));
            let (newest, own) = (checkpoints(Some(copy)), checkpoints(None));
            if newest.is_dir() {
                let _ = fs::remove_dir_all(&own);
                let _ = fs::rename(&newest, &own);
            }
            let (attempt, folder) = (store.attempt_folder(id, copy), store.run_folder(id));
            if attempt.is_dir() && !folder.join("record.json").exists() {
                let _ = make_folder(&folder);
                for name in ["steps.csv", "log.txt"] {
                    let _ = fs::rename(attempt.join(name), folder.join(name));
                }
            }
            for copy in 1..=copy {
                let _ = fs::remove_dir_all(checkpoints(Some(copy)));
                let _ = fs::remove_dir_all(store.attempt_folder(id, copy));
            }
            claims.clear(id, copy);
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .with_context(|| format!("{} is damaged, or of a newer version of sweep", path.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}
