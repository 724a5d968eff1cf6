//! How `sweep` ends, for scripts.

use std::process::ExitCode;

/// Exit codes; part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything asked for is done.
    Done = 0,
    /// A sweep file, an argument or this machine's set-up is at fault.
    Usage = 1,
    /// The sweep went through, some of its runs failed.
    SomeFailed = 2,
    /// Stopped on request; the same command goes on.
    Interrupted = 3,
    /// The tool itself broke.
    Broken = 70,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// An error that is the user's to mend, already in words for people.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);
