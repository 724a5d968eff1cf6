//! What comes in and what goes out.

use crate::plan::RunId;
use crate::protocol::Message;
use crate::record::log::What;
use crate::record::{End, Failure, Provenance, Rung};
use crate::schedule::queue::Ticket;

use super::Place;

/// One worker process: the `life`-th of its slot, so that late words of an earlier one are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Worker {
    pub slot: usize,
    pub life: u32,
}

/// How a worker process ended, in words, and the last lines of its log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exit {
    pub how: String,
    /// The signal that ended it.
    pub signal: Option<i32>,
    pub tail: String,
}

impl Exit {
    /// What ended a worker in the middle of a run, by its last words and its signal.
    pub(super) fn cause(&self) -> Failure {
        // libtorch's own words on a GPU and on a CPU.
        let of_memory = |line: &&str| line.contains("out of memory") || line.contains("can't allocate memory");
        let of_disk = |line: &&str| line.contains("No space left on device");
        let found = |is: fn(&&str) -> bool| self.tail.lines().find(is).map(|line| line.trim().to_owned());
        if let Some(message) = found(of_memory) {
            return Failure::OutOfMemory { message };
        }
        if let Some(message) = found(of_disk) {
            return Failure::DiskFull { message };
        }
        let tail = format!("{}\n({})", self.tail, self.how).trim().to_owned();
        match self.signal {
            Some(libc::SIGKILL) => Failure::Killed { tail },
            Some(libc::SIGTERM) => Failure::Preempted { tail },
            _ => Failure::Crashed { tail },
        }
    }
}

#[derive(Debug, Clone)]
pub enum Event {
    From(Worker, Message),
    /// The process is gone, or never came to be. Nothing more comes from it.
    Exited(Worker, Exit),
    /// The user asked to stop: at the next checkpoint, and now when asked again.
    Interrupt,
    /// Time went on.
    Tick,
    /// The user wants no more of this run.
    Cancel(RunId),
    /// Nothing may start, and why; what runs goes to a checkpoint and waits.
    Hold(String),
    /// What held it is over.
    Release,
    /// A rule adds runs, or sends those on that it let wait.
    Admit(Vec<Ticket>),
    /// A rule ends a run that waits.
    Retire(RunId, Box<End>),
    /// No rule adds anything any more.
    Close,
    /// One more slot.
    Open(Place),
}

/// A run as it is handed to a worker.
#[derive(Debug, Clone, PartialEq)]
pub struct Errand {
    pub id: RunId,
    pub attempt: u32,
    pub until: Option<u32>,
    pub micro_batch: Option<u32>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    Spawn(Worker),
    /// One run, or several side by side.
    Train(Worker, Vec<Errand>),
    Pause(Worker),
    Kill(Worker),
    /// The terminal record of a run; of a crashed one only the provenance that a coordinator can know.
    Write(RunId, Box<End>, Box<Provenance>),
    Append(What),
    Show(Note),
    /// Nothing is left to do; no command follows.
    Finish(Finish),
}

/// What an observer may want to show.
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    Ready {
        slot: usize,
        device: String,
        device_name: String,
    },
    Started {
        slot: usize,
        id: RunId,
        attempt: u32,
    },
    Phase {
        slot: usize,
        id: RunId,
        name: String,
    },
    Step {
        slot: usize,
        id: RunId,
        step: u32,
        of: u32,
        loss: f64,
        examples_per_second: f64,
    },
    Checkpointed {
        slot: usize,
        id: RunId,
        step: u32,
    },
    Ended {
        slot: usize,
        id: RunId,
        end: Box<End>,
        seconds: f64,
        /// Seconds until the sweep is over, where there is something to go by.
        left: Option<f64>,
    },
    Paused {
        slot: usize,
        id: RunId,
        step: u32,
    },
    /// Its program ended for another run's sake; it begins again where its last checkpoint left it.
    Regrouped {
        slot: usize,
        id: RunId,
    },
    /// It waits for a rule's decision.
    Reached {
        slot: usize,
        id: RunId,
        rung: Box<Rung>,
    },
    /// An attempt failed, and what is done next.
    PutBack {
        slot: usize,
        id: RunId,
        failure: Box<Failure>,
        next: String,
    },
    /// A run that waited is cancelled; of a running one tells `Ended`.
    Cancelled {
        id: RunId,
    },
    /// A rule ended a run that waited.
    Retired {
        id: RunId,
        rule: String,
    },
    /// Nothing new starts; this many runs are still on their way to a checkpoint.
    Stopping {
        why: Finish,
        running: usize,
    },
    /// Nothing starts for now; this many runs are on their way to a checkpoint.
    Held {
        why: String,
        running: usize,
    },
    Released,
    Warning(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finish {
    Complete,
    Interrupted,
    /// In every slot, workers die before they are ready; how the last one did.
    NoWorkers(Exit),
    /// So many runs failed that the sweep was given up; why, in words.
    TooManyFailed(String),
    /// The time budget is used up, or nothing that is left fits in.
    OutOfTime,
}

impl Finish {
    /// `stopped on request`.
    pub fn in_words(&self) -> String {
        match self {
            Finish::Complete => "all is done".to_owned(),
            Finish::Interrupted => "stopped on request".to_owned(),
            Finish::NoWorkers(exit) => format!("no worker became ready ({})", exit.how),
            Finish::TooManyFailed(why) => format!("given up: {why}"),
            Finish::OutOfTime => "the time budget is used up".to_owned(),
        }
    }
}

/// How many runs ended which way so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub done: usize,
    pub failed: usize,
    /// Ended by a rule.
    pub stopped: usize,
    pub paused: usize,
    pub total: usize,
}
