//! The end of a run's log, kept short.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Lines of a log that a report shows.
const LINES: usize = 12;
/// Letters of each of them, and bytes read.
const LETTERS: usize = 300;
const BYTES: u64 = 8 << 10;

/// The last lines of `log.txt` in a run's folder; `None` where there is none, or nothing in it.
pub fn log_tail(folder: &Path) -> Option<String> {
    let mut file = File::open(folder.join("log.txt")).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(BYTES))).ok()?;
    let mut bytes = Vec::new();
    file.take(BYTES).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let kept = lines[lines.len().saturating_sub(LINES)..].iter().map(|line| shown(line));
    let tail: Vec<String> = kept.collect();
    (!tail.is_empty()).then(|| tail.join("\n"))
}

/// The line without control characters, cut where it is too long.
fn shown(line: &str) -> String {
    let plain = line.chars().filter(|c| !c.is_control() || *c == '\t');
    let cut: String = plain.take(LETTERS).collect();
    if cut.chars().count() == LETTERS { cut + "…" } else { cut }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_long_ones_cut() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(log_tail(folder.path()), None);
        let mut text: String = (1..=10_000).map(|i| format!("step {i}\n")).collect();
        text += &format!("\u{1b}[31m{}\n\n", "ä".repeat(1000));
        std::fs::write(folder.path().join("log.txt"), text).unwrap();
        let tail = log_tail(folder.path()).unwrap();
        let lines: Vec<&str> = tail.lines().collect();
        assert_eq!((lines.len(), lines[0]), (LINES, "step 9990"));
        assert!(lines[11].ends_with("ä…") && lines[11].chars().count() == LETTERS + 1 && !tail.contains('\u{1b}'));
        std::fs::write(folder.path().join("log.txt"), "\n \n").unwrap();
        assert_eq!(log_tail(folder.path()), None);
    }
}
