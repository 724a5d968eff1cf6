//! How the runs of a call stand at its end.

use anyhow::Result;

use super::super::super::notify::FailedRun;
use super::super::super::{Exit, Refusal, complain, print};
use crate::cluster::batch::Entry;
use crate::cluster::lead::Finish;
use crate::record::Class;
use crate::record::store::Store;
use crate::schedule::{Summary, state};

pub(super) struct Tally {
    pub done: usize,
    pub failed: usize,
    pub left: usize,
    pub failures: Vec<FailedRun>,
}

pub(super) fn count(store: &Store, entries: &[Entry]) -> Result<Tally> {
    let mut tally = Tally { done: 0, failed: 0, left: 0, failures: Vec::new() };
    for entry in entries {
        match store.read(&entry.job.id)? {
            Some(record) if record.outcome().is_some() => tally.done += 1,
            Some(record) if record.made.attempt >= entry.ticket.attempt => {
                tally.failed += 1;
                tally.failures.extend(record.failure().map(|failure| FailedRun {
                    id: record.id.clone(),
                    run: entry.label.clone(),
                    cause: failure.cause().to_owned(),
                    message: failure.sentence(),
                }));
            }
            _ => tally.left += 1,
        }
    }
    Ok(tally)
}

impl Tally {
    /// In the words of a sweep on one machine.
    pub fn summary(&self, finish: &Finish) -> Summary {
        let finish = match finish {
            Finish::Complete => state::Finish::Complete,
            Finish::Left | Finish::Stopped => state::Finish::Interrupted,
            Finish::GivenUp(why) => state::Finish::TooManyFailed(why.clone()),
        };
        Summary { done: self.done, failed: self.failed, stopped: 0, paused: 0, left: self.left, finish }
    }
}

pub(super) fn tell(tally: &Tally, finish: &Finish, store: &Store, name: &str) -> Result<Exit> {
    for failed in &tally.failures {
        let log = store.run_folder(&failed.id).join("log.txt");
        complain(&format!("failed: {:.10}: {} (log: {})", failed.id, failed.message, log.display()));
    }
    if tally.failures.iter().any(|failed| failed.cause == Class::Killed.word()) {
        complain("what was killed often had too little of the node's memory: `mem` in [run.slurm] asks for more");
    }
    print(&format!("{name}: {} done, {} failed, {} left", tally.done, tally.failed, tally.left))?;
    match finish {
        Finish::Complete => {}
        Finish::Left => print(&format!(
            "its jobs go on; the same command comes back to them, `sweep status {name}` shows them, `sweep cancel --all \
             {name}` stops them"
        ))?,
        Finish::Stopped => print("stopped; the same command goes on")?,
        Finish::GivenUp(why) => return Err(Refusal(why.clone()).into()),
    }
    print(&format!("records: {}", store.sweep_folder(name).join("runs.csv").display()))?;
    Ok(match finish {
        Finish::Complete if tally.failed > 0 => Exit::SomeFailed,
        Finish::Complete | Finish::Left => Exit::Done,
        Finish::Stopped | Finish::GivenUp(_) => Exit::Interrupted,
    })
}

/// How it ended, for the live file.
pub(super) fn in_words(finish: &Finish) -> String {
    match finish {
        Finish::Complete => "all is done".to_owned(),
        Finish::Left => "left its jobs alone".to_owned(),
        Finish::Stopped => "stopped on request".to_owned(),
        Finish::GivenUp(why) => format!("given up: {}", why.lines().next().unwrap_or_default()),
    }
}
