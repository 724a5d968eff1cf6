//! A tokenized split in compact arrays, kept in a cache under the hash of all that it depends on.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

use super::read::rows;
use super::{Error, Source, Task, Tokenizer, hash_file};

/// Raised when the file's form or the way to tokens changes; older files are then made anew.
const FORMAT: u32 = 2;
const MAGIC: &[u8; 8] = b"swtokens";
const HASH: usize = 32;

/// The examples of a split, end to end.
#[derive(Debug, Clone, PartialEq)]
pub struct Tokens {
    /// Where example i begins in `ids` and `types`; one more than there are examples.
    offsets: Vec<u32>,
    ids: Vec<u32>,
    types: Vec<u8>,
    /// Class index or value of each example.
    pub labels: Vec<f32>,
}

impl Default for Tokens {
    fn default() -> Tokens {
        Tokens { offsets: vec![0], ids: Vec::new(), types: Vec::new(), labels: Vec::new() }
    }
}

impl Tokens {
    /// Number of examples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Token ids of an example, special tokens included.
    pub fn ids(&self, example: usize) -> &[u32] {
        &self.ids[self.span(example)]
    }

    /// Segment of each token: mostly 0 for the first text and 1 for the second; all 0 for RoBERTa and its like, and 2 for
    /// XLNet's `<cls>` at the end.
    pub fn types(&self, example: usize) -> &[u8] {
        &self.types[self.span(example)]
    }

    /// Number of tokens of an example.
    pub fn length(&self, example: usize) -> usize {
        self.span(example).len()
    }

    /// Appends an example.
    ///
    /// # Panics
    /// If `types` is not as long as `ids`, or at more than 2³² tokens.
    pub fn push(&mut self, ids: &[u32], types: impl IntoIterator<Item = u8>, label: f32) {
        self.ids.extend_from_slice(ids);
        self.types.extend(types);
        assert_eq!(self.ids.len(), self.types.len(), "one segment for each token");
        self.offsets.push(u32::try_from(self.ids.len()).expect("a split has fewer than 2^32 tokens"));
        self.labels.push(label);
    }

    fn span(&self, example: usize) -> std::ops::Range<usize> {
        self.offsets[example] as usize..self.offsets[example + 1] as usize
    }

    /// Magic, counts, arrays (little-endian), and a checksum of all of it.
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64 + self.ids.len() * 5 + self.len() * 8);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&(self.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&(self.ids.len() as u64).to_le_bytes());
        self.offsets.iter().for_each(|offset| bytes.extend_from_slice(&offset.to_le_bytes()));
        self.ids.iter().for_each(|id| bytes.extend_from_slice(&id.to_le_bytes()));
        self.labels.iter().for_each(|label| bytes.extend_from_slice(&label.to_le_bytes()));
        bytes.extend_from_slice(&self.types);
        let checksum = blake3::hash(&bytes);
        bytes.extend_from_slice(checksum.as_bytes());
        bytes
    }

    /// `None` unless the checksum holds.
    fn from_bytes(bytes: &[u8]) -> Option<Tokens> {
        let (body, checksum) = bytes.split_at_checked(bytes.len().checked_sub(HASH)?)?;
        if blake3::hash(body).as_bytes() != checksum {
            return None;
        }
        let mut rest = body.strip_prefix(MAGIC)?;
        let mut take = |count: usize| -> Option<&[u8]> {
            let (head, tail) = rest.split_at_checked(count)?;
            rest = tail;
            Some(head)
        };
        let mut number = || Some(u64::from_le_bytes(take(8)?.try_into().ok()?) as usize);
        let (examples, tokens) = (number()?, number()?);
        let words = |bytes: &[u8]| -> Vec<u32> { bytes.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b)).collect() };
        Some(Tokens {
            offsets: words(take(4 * (examples + 1))?),
            ids: words(take(4 * tokens)?),
            labels: words(take(4 * examples)?).into_iter().map(f32::from_bits).collect(),
            types: take(tokens)?.to_vec(),
        })
    }
}

/// A task ready to train on, or only to be scored: then the training set is empty.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub train: Tokens,
    /// The suffix of its metrics, and the set; in the task's order.
    pub dev: Vec<(String, Tokens)>,
    /// Hash of all that the tokenized training set depends on, and of nothing else.
    pub hash: String,
}

/// Reads and tokenizes all files of a task, or takes them from `<cache>/tokens/`. A damaged cache file is made anew.
pub fn load(task: &Task, tokenizer: &Tokenizer, max_length: usize, cache: &Path) -> Result<Loaded> {
    let (hash, train) = match &task.train {
        Some(source) => split(task, source, tokenizer, max_length, cache)?,
        None => Default::default(),
    };
    let dev = (task.dev.iter())
        .map(|dev| Ok((dev.suffix.clone(), split(task, &dev.source, tokenizer, max_length, cache)?.1)))
        .collect::<Result<_>>()?;
    Ok(Loaded { train, dev, hash })
}

fn split(
    task: &Task,
    source: &Source,
    tokenizer: &Tokenizer,
    max_length: usize,
    cache: &Path,
) -> Result<(String, Tokens)> {
    let key = key(task, source, tokenizer, max_length)?;
    let folder = cache.join("tokens");
    let path = folder.join(format!("{key}.bin"));
    if let Some(tokens) = std::fs::read(&path).ok().and_then(|bytes| Tokens::from_bytes(&bytes)) {
        return Ok((key, tokens));
    }
    let tokens = tokenizer.encode(&rows(task, source)?, max_length)?;
    write(&folder, &path, &tokens.to_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
    Ok((key, tokens))
}

fn key(task: &Task, source: &Source, tokenizer: &Tokenizer, max_length: usize) -> Result<String, Error> {
    let reading = (&source.format, &task.text, &task.label, &task.labels, &task.skip, task.skip_torn);
    let content = hash_file(&source.path)?;
    let all = (FORMAT, tokenizer.hash(), content.to_hex().to_string(), reading, max_length);
    let text = serde_json::to_vec(&all).expect("words, numbers and lists");
    Ok(blake3::hash(&text).to_hex()[..32].to_owned())
}

/// Several workers may make one file at a time: each writes its own and the last rename counts.
fn write(folder: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::task::Custom;

    fn tokenizer(folder: &Path) -> Tokenizer {
        std::fs::write(folder.join("vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nb\n##b\n").unwrap();
        Tokenizer::open(folder).unwrap()
    }

    fn task(folder: &Path, train: &str) -> Task {
        std::fs::write(folder.join("train.tsv"), train).unwrap();
        std::fs::write(folder.join("dev.tsv"), "s\tt\ty\nc\tbb\t1\n").unwrap();
        let (train, dev) = (folder.join("train.tsv"), folder.join("dev.tsv"));
        let text = vec!["s".into(), "t".into()];
        Custom { name: "t".into(), train, dev, text, label: "y".into(), ..Custom::default() }.resolve().unwrap()
    }

    #[test]
    fn a_second_load_reads_the_cache_and_a_damaged_one_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let tokenizer = tokenizer(folder.path());
        let task = task(folder.path(), "s\tt\ty\na\tab\t0\na b\tb\t1\n");
        let first = load(&task, &tokenizer, 16, folder.path()).unwrap();
        assert_eq!(first.train.ids(0), [2, 4, 3, 4, 6, 3]);
        assert_eq!(first.train.types(0), [0, 0, 0, 1, 1, 1]);
        assert_eq!((first.train.labels.as_slice(), first.train.length(1)), ([0.0, 1.0].as_slice(), 6));
        assert_eq!(first.dev[0].1.ids(0), [2, 1, 3, 5, 6, 3]);
        let path = folder.path().join("tokens").join(format!("{}.bin", first.hash));
        let other = Tokens { labels: vec![1.0, 0.0], ..first.train.clone() };
        std::fs::write(&path, other.to_bytes()).unwrap();
        assert_eq!(load(&task, &tokenizer, 16, folder.path()).unwrap().train, other, "the cache was not read");
        let mut bytes = other.to_bytes();
        for damage in [0, 20, bytes.len() - 1] {
            bytes[damage] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(load(&task, &tokenizer, 16, folder.path()).unwrap().train, first.train);
        }
        std::fs::write(&path, b"torn").unwrap();
        assert_eq!(load(&task, &tokenizer, 16, folder.path()).unwrap().train, first.train);
        assert_eq!(Tokens::from_bytes(&std::fs::read(&path).unwrap()), Some(first.train), "the cache was not mended");
    }

    #[test]
    fn the_hash_follows_the_training_data_and_the_length_only() {
        let folder = tempfile::tempdir().unwrap();
        let tokenizer = tokenizer(folder.path());
        let task = task(folder.path(), "s\tt\ty\na\tab\t0\nb\tb\t1\n");
        let hash = |task: &Task, max_length| load(task, &tokenizer, max_length, folder.path()).unwrap().hash;
        let before = hash(&task, 16);
        assert_ne!(before, hash(&task, 8));
        std::fs::write(&task.dev[0].source.path, "s\tt\ty\nc\tb\t0\n").unwrap();
        assert_eq!(before, hash(&task, 16));
        std::fs::write(&task.train.as_ref().unwrap().path, "s\tt\ty\na\tab\t0\nb\ta\t1\n").unwrap();
        assert_ne!(before, hash(&task, 16));
    }
}
