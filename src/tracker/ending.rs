//! How a run ended, in the words and the few kinds that trackers have.

use crate::record::End;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Done,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    pub kind: Kind,
    /// `done`, or the cause of failure: `diverged`, `out of memory`.
    pub word: &'static str,
    /// Why there is no result, in a sentence.
    pub why: Option<String>,
}

pub fn ending(end: &End) -> Ending {
    match end {
        End::Done(_) => Ending { kind: Kind::Done, word: "done", why: None },
        End::Failed(failure) => Ending { kind: Kind::Failed, word: failure.cause(), why: Some(failure.sentence()) },
    }
}
