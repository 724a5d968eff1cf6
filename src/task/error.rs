//! What can be wrong with a task or its files, said so that it can be mended.

use std::fmt;
use std::path::{Path, PathBuf};

/// One malformed row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Counted from 1, the header included.
    pub line: u64,
    pub message: String,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no task `{name}`{hint}; known tasks: {known}. A task of your own is a [task.{name}] table")]
    Unknown { name: String, hint: String, known: String },
    #[error("task `{task}` needs {file}, which is in none of: {}. {remedy}", places(.looked))]
    Missing { task: String, file: String, looked: Vec<PathBuf>, remedy: String },
    #[error("task `{task}`: {message}")]
    Definition { task: String, message: String },
    #[error("{}: {message}", .path.display())]
    File { path: PathBuf, message: String },
    #[error("{}", rows(.path, .faults, *.more))]
    Rows { path: PathBuf, faults: Vec<Fault>, more: usize },
    #[error("cannot read {}: {source}", .path.display())]
    Io { path: PathBuf, source: std::io::Error },
}

fn places(looked: &[PathBuf]) -> String {
    let places: Vec<_> = looked.iter().map(|p| p.display().to_string()).collect();
    if places.is_empty() { "(no data folder was given)".to_owned() } else { places.join(", ") }
}

fn rows(path: &Path, faults: &[Fault], more: usize) -> String {
    use fmt::Write;
    let mut text = String::new();
    for fault in faults {
        let gap = if text.is_empty() { "" } else { "\n" };
        // Writing to a String cannot fail.
        let _ = write!(text, "{gap}{}:{}: {}", path.display(), fault.line, fault.message);
    }
    if more > 0 {
        let _ = write!(text, "\n… and {more} more malformed rows");
    }
    text
}
