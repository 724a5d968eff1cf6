//! The same sweep on a cluster: jobs of Slurm, or of another engine, train the runs.
//!
//! The engine never holds the truth: a run is over when its record lies in the results folder, which all nodes see. The
//! engine is asked only about jobs, and only three things: submit, list, cancel. So the coordinator on the login node may
//! leave and come back, or never come back, and no run is lost.
//!
//! `batch` is what lies in the folder: the runs with all that a node needs to train them, and what was submitted. A job
//! is a `pilot`: it claims runs (`claim`, `taker`) and trains them as a sweep on one machine does. `lead` is the coordinator's
//! loop, and what it does is decided by a pure function (`decide`).

pub mod batch;
pub mod claim;
pub mod decide;
pub mod lead;
mod once;
pub mod patience;
pub mod pilot;
mod shell;
pub mod slurm;
mod taker;
pub mod template;

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A job of an engine, or one task of its array: `123_4`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobId {
    pub job: String,
    pub task: Option<u32>,
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.task {
            Some(task) => write!(f, "{}_{task}", self.job),
            None => f.write_str(&self.job),
        }
    }
}

/// What an engine says of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub id: JobId,
    /// The name that it was submitted under.
    pub name: String,
    pub state: State,
    /// The engine's own words: `PENDING (Resources)`.
    pub said: String,
    pub node: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It has not begun, or waits to begin again.
    Waiting,
    Running,
    Ended(Ending),
    /// A word that nobody here knows: neither success nor failure, and asked for again.
    Unknown,
}

/// How a job ended. Whether its runs are done is none of its business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    Completed,
    Failed,
    /// The node's memory, not the GPU's.
    HostMemory,
    TimeLimit,
    Cancelled,
    NodeFailed,
    Preempted,
}

impl Ending {
    pub fn in_words(self) -> &'static str {
        match self {
            Ending::Completed => "its job ended",
            Ending::Failed => "its job failed",
            Ending::HostMemory => "the node's memory was used up (a limit of the cluster, not the GPU's memory)",
            Ending::TimeLimit => "its job came to the time limit",
            Ending::Cancelled => "its job was cancelled",
            Ending::NodeFailed => "its node failed",
            Ending::Preempted => "its job was preempted",
        }
    }
}

/// One call of the engine that makes jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submit {
    /// No other submission was ever called so.
    pub name: String,
    pub script: PathBuf,
    /// How many jobs, or tasks of one.
    pub tasks: u32,
    /// Most of them at one time.
    pub at_once: u32,
    /// Nodes that they must not go to.
    pub exclude: Vec<String>,
}

/// What an engine did not do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Trouble {
    /// It did not answer in time, or is busy: what was asked for may have happened or not.
    #[error("{0}")]
    Silent(String),
    /// It is too much at one time: a limit of the site or the user.
    #[error("{0}")]
    TooMuch(String),
    /// It said no, and would say so again.
    #[error("{0}")]
    Refused(String),
}

/// What every engine is asked.
pub trait Engine {
    /// `Slurm 23.11.4`.
    fn describe(&self) -> String;
    /// Makes jobs; the id of the whole.
    ///
    /// # Errors
    /// After `Silent` the jobs may be there: to be looked for by name.
    fn submit(&self, order: &Submit) -> Result<String, Trouble>;
    /// Everything that it knows of the jobs of these names, in one question. Jobs that ended long ago may be missing.
    ///
    /// # Errors
    /// It cannot be asked now.
    fn list(&self, names: &[String]) -> Result<Vec<Seen>, Trouble>;
    /// What accounting remembers of jobs that `list` does not know any more; nothing where there is none.
    ///
    /// # Errors
    /// It cannot be asked now.
    fn past(&self, _names: &[String]) -> Result<Vec<Seen>, Trouble> {
        Ok(Vec::new())
    }
    /// Those of these nodes that are down, as far as it can say.
    ///
    /// # Errors
    /// It cannot be asked now.
    fn down(&self, _nodes: &[String]) -> Result<Vec<String>, Trouble> {
        Ok(Vec::new())
    }
    /// Keeps jobs that wait away from nodes; where it cannot, they may still go there.
    ///
    /// # Errors
    /// It cannot be asked now.
    fn exclude(&self, _jobs: &[String], _nodes: &[String]) -> Result<(), Trouble> {
        Ok(())
    }
    /// # Errors
    /// It cannot be asked now.
    fn cancel(&self, jobs: &[String]) -> Result<(), Trouble>;
    /// When such a submission would begin, in the engine's words.
    ///
    /// # Errors
    /// It would be refused.
    fn estimate(&self, order: &Submit) -> Result<String, Trouble>;
    /// Most tasks of one submission.
    fn most_tasks(&self) -> u32;
}
