//! The weights of a model folder in one view, whatever their form: safetensors or torch.save, one file or shards.
//!
//! Files are mapped and never trusted: every length is held against the file before anything is read or allocated.

mod account;
mod archive;
mod folder;
mod misfit;
mod pickle;
mod torch_save;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use memmap2::Mmap;
pub use safetensors::Dtype;
use safetensors::SafeTensors;

use folder::{Form, Weights};

pub use account::Account;
pub use folder::files;

/// One stored tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    /// Where it lies in its file, from its first entry on.
    bytes: Range<usize>,
    /// Entries between neighbours of each dimension; `None` where it lies without gaps, last dimension innermost.
    strides: Option<Vec<usize>>,
}

/// The opened weights of a model.
pub struct Checkpoint {
    files: Vec<Mmap>,
    /// By name, each with its place in `files`.
    entries: BTreeMap<String, (usize, Entry)>,
    /// The file, or the index of the shards.
    path: PathBuf,
}

impl Checkpoint {
    /// Opens the weights of a folder in the Hugging Face layout: model.safetensors, else its shards, else
    /// pytorch_model.bin, else its shards, as transformers looks for them.
    ///
    /// # Errors
    /// No weights; a file that is cut, damaged or something else, by name and with what it is; shards that do not agree
    /// with their index; a pickle that holds more than tensors.
    pub fn open(folder: &Path) -> Result<Checkpoint> {
        let Weights { form, path, shards } = folder::find(folder)?;
        let mut checkpoint = Checkpoint { files: Vec::new(), entries: BTreeMap::new(), path };
        let Some(shards) = shards else {
            let (map, entries) = read(&checkpoint.path, form)?;
            checkpoint.add(map, entries);
            return Ok(checkpoint);
        };
        for name in shards.names() {
            let (map, entries) = read(&folder.join(name), form)?;
            shards.check(name, entries.keys())?;
            checkpoint.add(map, entries);
        }
        shards.check_whole(|name| checkpoint.entries.contains_key(name))?;
        Ok(checkpoint)
    }

    fn add(&mut self, map: Mmap, entries: BTreeMap<String, Entry>) {
        let file = self.files.len();
        self.files.push(map);
        self.entries.extend(entries.into_iter().map(|(name, entry)| (name, (file, entry))));
    }

    /// The file of the weights, or the index of its shards.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    /// All tensors, in the order of their names.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(name, (_, entry))| (name.as_str(), entry))
    }

    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name).map(|(_, entry)| entry)
    }

    /// A tensor's values as stored, little-endian, last dimension innermost.
    ///
    /// # Errors
    /// No such tensor, or one that repeats stored entries.
    pub fn data(&self, name: &str) -> Result<Cow<'_, [u8]>> {
        let entry = self.entries.get(name);
        let (file, entry) = entry.with_context(|| format!("{} has no tensor {name}", self.path.display()))?;
        entry.values(&self.files[*file]).with_context(|| {
            format!("{name} in {} repeats stored entries: save it by .contiguous()", self.path.display())
        })
    }
}

impl Entry {
    /// The values in the bytes of the file; `None` where they are more than what is stored, which bounds them.
    fn values<'a>(&self, file: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let stored = &file[self.bytes.clone()];
        let Some(strides) = &self.strides else { return Some(Cow::Borrowed(stored)) };
        let size = self.dtype.bitsize() / 8;
        let len = self.shape.iter().product::<usize>().checked_mul(size)?;
        (len <= stored.len()).then(|| Cow::Owned(gather(stored, size, &self.shape, strides)))
    }
}

/// Copies a strided tensor of entries of `size` bytes into one without gaps.
fn gather(stored: &[u8], size: usize, shape: &[usize], strides: &[usize]) -> Vec<u8> {
    let count = shape.iter().product::<usize>();
    let mut values = Vec::with_capacity(count * size);
    let mut index = vec![0; shape.len()];
    let mut at = 0;
    for _ in 0..count {
        values.extend_from_slice(&stored[at * size..(at + 1) * size]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            at += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            at -= strides[axis] * shape[axis];
            index[axis] = 0;
        }
    }
    values
}

/// Maps one file and reads where its tensors lie.
fn read(path: &Path, form: Form) -> Result<(Mmap, BTreeMap<String, Entry>)> {
    let file = std::fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    if file.metadata().with_context(|| format!("cannot read {}", path.display()))?.len() == 0 {
        bail!("{} is empty; fetch it again", path.display());
    }
    // SAFETY: the map is read-only; a file changed under it would be a wrong weight, not a wrong access beyond it.
    let map = unsafe { Mmap::map(&file) }.with_context(|| format!("cannot map {}", path.display()))?;
    let entries = match form {
        Form::Safetensors => safetensors(&map),
        Form::Torch => torch_save::read(&map),
    };
    match (entries, accident(&map)) {
        (Ok(entries), _) => Ok((map, entries)),
        (Err(_), Some(what)) => bail!("{} {what}", path.display()),
        (Err(fault), None) => Err(fault.context(format!("{} cannot be read", path.display()))),
    }
}

/// What else was saved under the name of weights, as it often happens.
fn accident(bytes: &[u8]) -> Option<&'static str> {
    let start = bytes[..bytes.len().min(200)].trim_ascii_start();
    let begins = |with: &str| start.get(..with.len()).is_some_and(|head| head.eq_ignore_ascii_case(with.as_bytes()));
    if begins("version https://git-lfs") {
        Some("is a git-lfs pointer, not the weights themselves: run `git lfs pull` in its folder, or fetch it again")
    } else if begins("<!doctype") || begins("<html") || begins("<?xml") {
        Some("is a web page, not weights: a download was answered by an error or a login; fetch it again")
    } else if begins("{") {
        Some("is a text, not weights: a download was answered by an error; fetch it again")
    } else {
        None
    }
}

fn safetensors(bytes: &[u8]) -> Result<BTreeMap<String, Entry>> {
    let (header, metadata) =
        SafeTensors::read_metadata(bytes).context("it is cut, damaged or no safetensors file; fetch it again")?;
    let begin = 8 + header;
    let tensors = metadata.tensors().into_iter().map(|(name, info)| {
        let (from, to) = info.data_offsets;
        let bytes = begin + from..begin + to;
        (name, Entry { dtype: info.dtype, shape: info.shape.clone(), bytes, strides: None })
    });
    Ok(tensors.collect())
}

#[cfg(test)]
mod tests;
