//! Why a run ended without a score, and which class of trouble that is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// The loss or the gradient became NaN or infinite at this step.
    Diverged { step: u32 },
    /// The device had no memory left.
    OutOfMemory { message: String },
    /// Data, model or settings that cannot be trained on.
    Refused { message: String },
    /// The worker process died; the last lines of its log.
    Crashed { tail: String },
    /// It took longer than allowed, or was silent for longer than allowed: which, in words.
    TimedOut { message: String },
    /// Somebody else ended the worker process by SIGKILL, often the system for lack of memory.
    Killed { tail: String },
    /// Somebody else asked the worker process to end (SIGTERM), and it did not come to a checkpoint.
    Preempted { tail: String },
    /// A file could not be written for lack of space.
    DiskFull { message: String },
    /// The machine's set-up is at fault: driver, libraries, permissions.
    Environment { message: String },
    /// The user wanted no more of it.
    Cancelled,
}

/// What kind of trouble a failure is; policies go by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    Oom,
    Diverged,
    Timeout,
    Crashed,
    Killed,
    Preempted,
    DiskFull,
    BadData,
    Environment,
    Cancelled,
}

impl Class {
    pub const ALL: [Class; 10] = [
        Class::Oom,
        Class::Diverged,
        Class::Timeout,
        Class::Crashed,
        Class::Killed,
        Class::Preempted,
        Class::DiskFull,
        Class::BadData,
        Class::Environment,
        Class::Cancelled,
    ];

    /// As `--cause` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Class::Oom => "oom",
            Class::Diverged => "diverged",
            Class::Timeout => "timeout",
            Class::Crashed => "crashed",
            Class::Killed => "killed",
            Class::Preempted => "preempted",
            Class::DiskFull => "disk-full",
            Class::BadData => "bad-data",
            Class::Environment => "environment",
            Class::Cancelled => "cancelled",
        }
    }

    /// Whether the run itself is at fault, so that it would fail again under the same conditions: a later `sweep run`
    /// leaves it, `sweep rerun` does not.
    pub fn is_of_the_run(self) -> bool {
        match self {
            Class::Oom | Class::Diverged | Class::Timeout | Class::Crashed | Class::BadData | Class::Cancelled => true,
            Class::Killed | Class::Preempted | Class::DiskFull | Class::Environment => false,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Class {
    type Err = String;

    fn from_str(text: &str) -> Result<Class, String> {
        let wanted = text.trim().to_lowercase().replace([' ', '_'], "-");
        let found =
            Class::ALL.into_iter().find(|class| class.name() == wanted || class.word().replace(' ', "-") == wanted);
        found.ok_or_else(|| format!("no cause \"{text}\"; there are {}", Class::ALL.map(Class::name).join(", ")))
    }
}

impl Class {
    /// For tables and `sweep status`.
    pub fn word(self) -> &'static str {
        match self {
            Class::Oom => "out of memory",
            Class::Timeout => "timed out",
            Class::DiskFull => "disk full",
            Class::BadData => "refused",
            other => other.name(),
        }
    }
}

impl Failure {
    pub fn class(&self) -> Class {
        match self {
            Failure::Diverged { .. } => Class::Diverged,
            Failure::OutOfMemory { .. } => Class::Oom,
            Failure::Refused { .. } => Class::BadData,
            Failure::Crashed { .. } => Class::Crashed,
            Failure::TimedOut { .. } => Class::Timeout,
            Failure::Killed { .. } => Class::Killed,
            Failure::Preempted { .. } => Class::Preempted,
            Failure::DiskFull { .. } => Class::DiskFull,
            Failure::Environment { .. } => Class::Environment,
            Failure::Cancelled => Class::Cancelled,
        }
    }

    /// One word for tables and `sweep status`.
    pub fn cause(&self) -> &'static str {
        self.class().word()
    }

    /// One sentence for people.
    pub fn sentence(&self) -> String {
        let dead = |how: &str, tail: &str| match tail {
            "" => format!("the worker process {how} without a word"),
            tail => format!("the worker process {how}; its last words: {tail}"),
        };
        match self {
            Failure::Diverged { step } => format!("the loss or its gradient was not finite at step {step}"),
            Failure::OutOfMemory { message } => format!("no memory left on the device: {message}"),
            Failure::Refused { message } | Failure::TimedOut { message } | Failure::Environment { message } => {
                message.clone()
            }
            Failure::Crashed { tail } => dead("died", tail),
            Failure::Killed { tail } => dead("was killed", tail),
            Failure::Preempted { tail } => dead("was asked to end", tail),
            Failure::DiskFull { message } => format!("no space left on the disk: {message}"),
            Failure::Cancelled => "cancelled by the user".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_class_is_read_by_its_name_and_by_its_word() {
        for class in Class::ALL {
            assert_eq!((class.name().parse(), class.word().parse()), (Ok(class), Ok(class)));
        }
        assert_eq!("Disk_Full".parse(), Ok(Class::DiskFull));
        let error = "melted".parse::<Class>().unwrap_err();
        assert!(error.contains("no cause \"melted\"; there are oom, diverged"), "{error}");
    }
}
