//! The worker's log is its standard error; the coordinator files it with the run.

use std::io::Write;

/// Writes a line. Nobody is left to tell if that fails.
pub fn line(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
