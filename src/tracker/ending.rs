//! How a run ended, in the words and the few kinds that trackers have.

use crate::record::{End, Failure};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Done,
    Failed,
    /// On purpose, by a rule or by the user.
    Ended,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    pub kind: Kind,
    /// `done`, `stopped`, or the cause of failure: `diverged`, `out of memory`.
    pub word: &'static str,
    /// Why there is no result, in a sentence.
    pub why: Option<String>,
}

pub fn ending(end: &End) -> Ending {
    match end {
        End::Done(_) => Ending { kind: Kind::Done, word: "done", why: None },
        End::Failed(failure) => {
            let kind = if *failure == Failure::Cancelled { Kind::Ended } else { Kind::Failed };
            Ending { kind, word: failure.cause(), why: Some(failure.sentence()) }
        }
        End::Stopped(stopped) => {
            let why = format!("by {} after {} of {} steps", stopped.rule, stopped.at.step, stopped.at.of);
            Ending { kind: Kind::Ended, word: "stopped", why: Some(why) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Rung, Stopped};

    #[test]
    fn what_ended_on_purpose_is_no_failure() {
        let stopped = Stopped {
            rule: "asha".into(),
            at: Rung { step: 40, of: 120, metric: "accuracy".into(), dev: Default::default(), halves: None },
        };
        let ends = [End::Failed(Failure::Cancelled), End::Stopped(stopped), End::Failed(Failure::Diverged { step: 1 })];
        let told = ends.each_ref().map(ending);
        assert_eq!(
            told.each_ref().map(|e| (e.kind, e.word)),
            [(Kind::Ended, "cancelled"), (Kind::Ended, "stopped"), (Kind::Failed, "diverged")]
        );
        assert_eq!(told[1].why.as_deref(), Some("by asha after 40 of 120 steps"));
    }
}
