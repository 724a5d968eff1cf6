//! A copy of all records in one file, `results/cache/records.pack`: 100,000 files take seconds to open and read, one does
//! not.
//!
//! The truth stays `record.json`. An entry is believed only while its stamp is that of the file, and the file is read
//! where there is no such entry. So the pack can be deleted, be cut off, lag behind, or lie where nobody may write; it
//! decides how long a question takes and never what is answered. Any process adds what it had to read itself, if nobody
//! else is at it.
//!
//! A header, then blocks of entries, each with a checksum over its length and content. Blocks are appended; what a killed
//! writer left is cut off by the next one.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const MAGIC: [u8; 8] = *b"sweeprec";
/// Of the layout. A pack of a later version is left to the program that wrote it.
const VERSION: u32 = 1;
const HEADER: u64 = 16;
/// Length and checksum before each block.
const BLOCK_HEAD: u64 = 8;
/// Bytes of a block are at least these, but for the last one of a writer.
const BLOCK: usize = 256 << 10;
const ENTRY_HEAD: usize = 38;

/// A file changed so short a time ago might be changed again within one tick of the clock that stamps it, unseen.
pub(super) const SETTLED: Duration = Duration::from_secs(2);

/// What tells one content of a file from another without reading it. The time of the last change of any kind (`ctime`)
/// cannot be set by a user, so that a file that was edited and given its old date is noticed too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    size: u64,
    /// Nanoseconds since 1970.
    modified: i64,
    changed: i64,
    inode: u64,
}

impl Stamp {
    /// `None` where there is no file.
    pub fn of(path: &Path) -> Option<Stamp> {
        fs::metadata(path).ok().filter(Metadata::is_file).map(|found| Stamp {
            size: found.size(),
            modified: nanoseconds(found.mtime(), found.mtime_nsec()),
            changed: nanoseconds(found.ctime(), found.ctime_nsec()),
            inode: found.ino(),
        })
    }

    /// Whether the file was left alone for a while.
    pub fn is_settled(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        i128::from(self.changed.max(self.modified)) + (SETTLED.as_nanos() as i128) < now.as_nanos() as i128
    }
}

fn nanoseconds(seconds: i64, rest: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

/// One record in a pack.
pub(super) struct Entry<'a> {
    pub id: &'a str,
    pub stamp: Stamp,
    /// The record as JSON.
    pub text: &'a [u8],
}

/// A pack as it was found.
#[derive(Debug, Default)]
pub(super) struct Pack {
    file: Option<File>,
    /// Where the content of each block lies: offset, length, checksum.
    blocks: Vec<(u64, u32, u32)>,
    len: u64,
    is_newer: bool,
}

impl Pack {
    /// Finds the blocks of a pack. One that is not there, or is no pack, has none.
    pub fn open(path: &Path) -> Pack {
        let Ok(file) = File::open(path) else { return Pack::default() };
        let mut pack = Pack { len: file.metadata().map_or(0, |found| found.len()), ..Pack::default() };
        let mut head = [0; HEADER as usize];
        if file.read_exact_at(&mut head, 0).is_err() || head[..8] != MAGIC || head[..12] != header()[..12] {
            pack.is_newer = head[..8] == MAGIC && is_sound_header(&head) && word(&head[8..]) > VERSION;
            return pack;
        }
        if !is_sound_header(&head) {
            return pack;
        }
        let mut at = HEADER;
        let mut head = [0; BLOCK_HEAD as usize];
        while file.read_exact_at(&mut head, at).is_ok() {
            let (len, sum) = (word(&head), word(&head[4..]));
            at += BLOCK_HEAD;
            if len == 0 || at + u64::from(len) > pack.len {
                break;
            }
            pack.blocks.push((at, len, sum));
            at += u64::from(len);
        }
        pack.file = Some(file);
        pack
    }

    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// The content of a block, for `entries`; `None` where its checksum is wrong.
    pub fn block(&self, index: usize) -> Option<Vec<u8>> {
        let &(at, len, sum) = self.blocks.get(index)?;
        let mut content = vec![0; len as usize];
        self.file.as_ref()?.read_exact_at(&mut content, at).ok()?;
        (checksum(&content) == sum).then_some(content)
    }

    /// Opens the pack for what is to be added behind its first `sound` blocks; what lies behind these is cut off.
    /// `None` where that cannot be, which harms nobody: another process is writing or has just written, the folder is
    /// read-only, the disk is full.
    pub fn writer(self, path: &Path, sound: usize) -> Option<Writer> {
        if self.is_newer {
            return None;
        }
        fs::create_dir_all(path.parent()?).ok()?;
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).ok()?;
        file.try_lock().ok()?;
        // Since it was looked at, another process may have added to it.
        if file.metadata().ok()?.len() != self.len {
            return None;
        }
        let mut end =
            sound.checked_sub(1).and_then(|last| self.blocks.get(last)).map_or(0, |&(at, len, _)| at + u64::from(len));
        if end < self.len {
            file.set_len(end).ok()?;
        }
        if end == 0 {
            file.write_all(&header()).ok()?;
            end = HEADER;
        }
        file.seek(SeekFrom::Start(end)).ok()?;
        Some(Writer { file, end, pending: Vec::new() })
    }
}

/// The entries of a block. Its checksum was right, so that what does not fit is a fault of the program: the rest is left
/// out.
pub(super) fn entries(mut block: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    std::iter::from_fn(move || {
        let (head, rest) = block.split_at_checked(ENTRY_HEAD)?;
        let long = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes"));
        let stamp = Stamp { size: long(6), modified: long(14) as i64, changed: long(22) as i64, inode: long(30) };
        let (id, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes([head[0], head[1]])))?;
        let (text, rest) = rest.split_at_checked(word(&head[2..]) as usize)?;
        block = rest;
        Some(Entry { id: std::str::from_utf8(id).ok()?, stamp, text })
    })
}

/// A pack that is added to. No other process can write to it meanwhile.
pub(super) struct Writer {
    file: File,
    /// Bytes up to the end of the last whole block.
    end: u64,
    pending: Vec<u8>,
}

impl Writer {
    /// `None` where it could not be written; what was there before is still sound.
    pub fn add(&mut self, entry: &Entry<'_>) -> Option<()> {
        let (id, text) = (u16::try_from(entry.id.len()).ok()?, u32::try_from(entry.text.len()).ok()?);
        let Stamp { size, modified, changed, inode } = entry.stamp;
        self.pending.extend(id.to_le_bytes());
        self.pending.extend(text.to_le_bytes());
        for number in [size, modified as u64, changed as u64, inode] {
            self.pending.extend(number.to_le_bytes());
        }
        self.pending.extend(entry.id.as_bytes());
        self.pending.extend(entry.text);
        if self.pending.len() >= BLOCK { self.flush() } else { Some(()) }
    }

    /// Writes what is left. Not synced: after a loss of power the checksum tells what is missing.
    pub fn flush(&mut self) -> Option<()> {
        let content = std::mem::take(&mut self.pending);
        if content.is_empty() {
            return Some(());
        }
        let len = u32::try_from(content.len()).ok()?;
        let head = [len.to_le_bytes(), checksum(&content).to_le_bytes()].concat();
        if self.file.write_all(&head).and_then(|()| self.file.write_all(&content)).is_err() {
            let _ = self.file.set_len(self.end);
            return None;
        }
        self.end += BLOCK_HEAD + u64::from(len);
        Some(())
    }
}

fn header() -> [u8; HEADER as usize] {
    let mut head = [0; HEADER as usize];
    head[..8].copy_from_slice(&MAGIC);
    head[8..12].copy_from_slice(&VERSION.to_le_bytes());
    let sum = crc32fast::hash(&head[..12]);
    head[12..].copy_from_slice(&sum.to_le_bytes());
    head
}

fn is_sound_header(head: &[u8; HEADER as usize]) -> bool {
    crc32fast::hash(&head[..12]) == word(&head[12..])
}

/// The length counts, so that a block that was cut off does not end with another's content.
fn checksum(content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&(content.len() as u32).to_le_bytes());
    hasher.update(content);
    hasher.finalize()
}

/// The first four bytes, little-endian.
fn word(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |first| u32::from_le_bytes(*first))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Blocks of two entries each, and all entries as they were put in.
    fn packed(path: &Path, blocks: u64) -> Vec<(String, Stamp, Vec<u8>)> {
        let mut writer = Pack::open(path).writer(path, 0).unwrap();
        let mut all = Vec::new();
        for n in 0..blocks * 2 {
            let stamp = Stamp { size: n, modified: -1, changed: i64::MAX - n as i64, inode: n << 40 };
            let (id, text) = (format!("run{n}"), vec![b'a' + n as u8; 7 * n as usize]);
            writer.add(&Entry { id: &id, stamp, text: &text }).unwrap();
            if n % 2 == 1 {
                writer.flush().unwrap();
            }
            all.push((id, stamp, text));
        }
        all
    }

    fn read(path: &Path) -> Vec<(String, Stamp, Vec<u8>)> {
        let pack = Pack::open(path);
        let blocks: Vec<Vec<u8>> = (0..pack.blocks()).filter_map(|i| pack.block(i)).collect();
        blocks.iter().flat_map(|block| entries(block)).map(|e| (e.id.to_owned(), e.stamp, e.text.to_owned())).collect()
    }

    #[test]
    fn no_flipped_byte_makes_an_entry_that_was_not_put_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache/records.pack");
        let all = packed(&path, 4);
        assert_eq!(read(&path), all);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            for flip in [1, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                fs::write(&path, &bytes).unwrap();
                let found = read(&path);
                assert!(found.len() < all.len(), "byte {at} has no say");
                assert!(found.iter().all(|entry| all.contains(entry)), "byte {at}: {found:?}");
            }
            // And cut there.
            fs::write(&path, &whole[..at]).unwrap();
            assert!(all.starts_with(&read(&path)), "cut at {at}");
        }
    }

    #[test]
    fn a_writer_cuts_off_what_a_killed_one_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records.pack");
        let all = packed(&path, 3);
        let whole = fs::read(&path).unwrap();
        for cut in [whole.len() - 1, whole.len() - 40] {
            fs::write(&path, &whole[..cut]).unwrap();
            let pack = Pack::open(&path);
            let sound = (0..pack.blocks()).take_while(|&i| pack.block(i).is_some()).count();
            let mut writer = pack.writer(&path, sound).unwrap();
            let (id, stamp, text) = &all[5];
            writer.add(&Entry { id, stamp: *stamp, text }).unwrap();
            writer.flush().unwrap();
            let found = read(&path);
            assert_eq!((&found[..4], &found[4..]), (&all[..4], &all[5..]), "cut at {cut}");
        }
        // What another process added since the look is not overwritten.
        let before = Pack::open(&path);
        packed(&folder.path().join("other"), 1);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"more").unwrap();
        assert!(before.writer(&path, 1).is_none());
    }
}
