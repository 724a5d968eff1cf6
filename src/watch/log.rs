//! The log of a run as it grows: what is new since the last look, and its last lines for a screen.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// At most so much is read in one look, bytes.
const MOST: u64 = 4 << 20;

/// What a look at a log brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Words {
    /// There is no log yet.
    Nothing,
    /// What was written since the last look, or no more.
    New(Vec<u8>),
    /// The file was cut or another one took its place; what it holds now.
    Anew(Vec<u8>),
}

/// Follows one file.
#[derive(Debug, Clone)]
pub struct Tail {
    path: PathBuf,
    /// Which file it was, by the file system's number.
    inode: Option<u64>,
    at: u64,
}

impl Tail {
    pub fn new(path: impl Into<PathBuf>) -> Tail {
        Tail { path: path.into(), inode: None, at: 0 }
    }

    /// The file has another name now; if it is another file, that is noticed.
    pub fn go_to(&mut self, path: impl Into<PathBuf>) {
        self.path = path.into();
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Goes to the beginning of the last so many lines of what is there now.
    ///
    /// # Errors
    /// A file that is there and cannot be read.
    pub fn skip_to_last(&mut self, lines: usize) -> io::Result<()> {
        let Some((mut file, inode, length)) = self.open()? else { return Ok(()) };
        self.inode = Some(inode);
        self.at = start_of_last(&mut file, length, lines)?;
        Ok(())
    }

    /// # Errors
    /// A file that is there and cannot be read.
    pub fn look(&mut self) -> io::Result<Words> {
        let Some((mut file, inode, length)) = self.open()? else { return Ok(Words::Nothing) };
        let is_other = self.inode.is_some_and(|known| known != inode) || length < self.at;
        self.inode = Some(inode);
        if is_other {
            self.at = 0;
        }
        file.seek(SeekFrom::Start(self.at))?;
        let mut bytes = Vec::new();
        file.take(MOST).read_to_end(&mut bytes)?;
        self.at += bytes.len() as u64;
        Ok(if is_other { Words::Anew(bytes) } else { Words::New(bytes) })
    }

    fn open(&self) -> io::Result<Option<(File, u64, u64)>> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let meta = file.metadata()?;
        Ok(Some((file, meta.ino(), meta.len())))
    }
}

/// Where the last so many lines begin; a line that has no end yet counts.
fn start_of_last(file: &mut File, length: u64, lines: usize) -> io::Result<u64> {
    const BLOCK: u64 = 64 << 10;
    let mut wanted = lines;
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(start))?;
        let mut block = vec![0; (end - start) as usize];
        file.read_exact(&mut block)?;
        for (index, _) in block.iter().enumerate().rev().filter(|&(_, &byte)| byte == b'\n') {
            let after = start + index as u64 + 1;
            if after == length {
                continue; // the end of the last line, not the beginning of one
            }
            if wanted <= 1 {
                return Ok(if wanted == 0 { length } else { after });
            }
            wanted -= 1;
        }
        end = start;
    }
    Ok(if wanted == 0 { length } else { 0 })
}

/// The last lines of a log as a screen can show them; of a log that is not there, none.
pub fn last_lines(path: &Path, lines: usize) -> Vec<String> {
    let mut tail = Tail::new(path);
    let words = tail.skip_to_last(lines).and_then(|()| tail.look());
    match words {
        Ok(Words::New(bytes) | Words::Anew(bytes)) => {
            let text = String::from_utf8_lossy(&bytes);
            text.lines().map(plain).collect()
        }
        Ok(Words::Nothing) | Err(_) => Vec::new(),
    }
}

/// A line without the commands of terminals; of a progress bar that was drawn over and over, the last state.
fn plain(line: &str) -> String {
    let line = line.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default();
    let mut out = String::new();
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\u{1b}' => {
                if characters.next_if_eq(&'[').is_some() {
                    while characters.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
                }
            }
            '\t' => out.push_str("    "),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;
    use std::io::Write;

    use super::*;

    fn new(text: &str) -> Words {
        Words::New(text.as_bytes().to_vec())
    }

    #[test]
    fn a_log_is_followed_through_all_that_can_happen_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.txt");
        let mut tail = Tail::new(&path);
        assert_eq!(tail.look().unwrap(), Words::Nothing);
        fs::write(&path, "one\n").unwrap();
        assert_eq!(tail.look().unwrap(), new("one\n"));
        assert_eq!(tail.look().unwrap(), new(""));
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"two").unwrap();
        assert_eq!(tail.look().unwrap(), new("two"));
        fs::write(&path, "cut\n").unwrap();
        assert_eq!(tail.look().unwrap(), Words::Anew(b"cut\n".to_vec()));
        // As long as before, but another file.
        fs::write(folder.path().join("other"), "new\n").unwrap();
        fs::rename(folder.path().join("other"), &path).unwrap();
        assert_eq!(tail.look().unwrap(), Words::Anew(b"new\n".to_vec()));
        fs::remove_file(&path).unwrap();
        assert_eq!(tail.look().unwrap(), Words::Nothing);
    }

    #[test]
    fn the_last_lines_are_those_that_were_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.txt");
        // Longer than a block, so that lines lie across two.
        let lines: Vec<String> = (0..20_000).map(|n| format!("line {n}")).collect();
        for ending in ["\n", ""] {
            fs::write(&path, lines.join("\n") + ending).unwrap();
            for n in [1, 2, 3, 9000, 20_000, 30_000] {
                let expected: Vec<&String> = lines.iter().skip(20_000usize.saturating_sub(n)).collect();
                assert!(last_lines(&path, n).iter().eq(expected), "{n} lines, ending {ending:?}");
            }
            assert_eq!(last_lines(&path, 0), [""; 0]);
        }
        assert_eq!(last_lines(&folder.path().join("none"), 5), [""; 0]);
    }

    #[test]
    fn what_moves_a_cursor_is_not_shown() {
        assert_eq!(plain("\u{1b}[31mred\u{1b}[0m\tx\u{7}"), "red    x");
        assert_eq!(plain(" 10 %\r 20 %\r 30 %\r"), " 30 %");
        assert_eq!(plain("\u{1b}["), "");
    }
}
