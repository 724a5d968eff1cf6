//! Which files of a model folder hold its weights, and what an index of shards promises.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Safetensors,
    Torch,
}

/// Names of weights in the order in which transformers looks for them; an index stands for its shards.
const NAMES: &[(&str, Form)] = &[
    ("model.safetensors", Form::Safetensors),
    ("model.safetensors.index.json", Form::Safetensors),
    ("pytorch_model.bin", Form::Torch),
    ("pytorch_model.bin.index.json", Form::Torch),
];

pub struct Weights {
    pub form: Form,
    /// The file itself, or the index.
    pub path: PathBuf,
    pub shards: Option<Shards>,
}

/// An index: the shard of every tensor.
pub struct Shards {
    path: PathBuf,
    of: BTreeMap<String, String>,
}

/// The names of the files that hold the weights of a folder, the index of shards among them.
///
/// # Errors
/// No weights, or an index that cannot be read.
pub fn files(folder: &Path) -> Result<Vec<String>> {
    let Weights { path, shards, .. } = find(folder)?;
    let first = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let shards = shards.iter().flat_map(Shards::names).map(str::to_owned);
    Ok(std::iter::once(first).chain(shards).collect())
}

pub fn find(folder: &Path) -> Result<Weights> {
    let there = NAMES.iter().find(|(name, _)| folder.join(name).is_file());
    let Some(&(name, form)) = there else {
        let others: Vec<String> = foreign(folder);
        let others = if others.is_empty() { String::new() } else { format!("; {} cannot be read", others.join(", ")) };
        bail!(
            "{} has no weights: model.safetensors or pytorch_model.bin is missing, whole or in shards with an index{others}",
            folder.display()
        );
    };
    let path = folder.join(name);
    let shards = if name.ends_with(".json") { Some(Shards::read(&path)?) } else { None };
    Ok(Weights { form, path, shards })
}

/// Weights of other programs.
fn foreign(folder: &Path) -> Vec<String> {
    let names = ["tf_model.h5", "flax_model.msgpack", "model.onnx", "model.ckpt.index", "rust_model.ot"];
    names.iter().filter(|name| folder.join(name).is_file()).map(|name| (*name).to_owned()).collect()
}

impl Shards {
    fn read(path: &Path) -> Result<Shards> {
        #[derive(Deserialize)]
        struct Index {
            weight_map: BTreeMap<String, String>,
        }
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let index: Index = serde_json::from_str(&text)
            .with_context(|| format!("{} is no index of shards; fetch it again", path.display()))?;
        let shards = Shards { path: path.to_owned(), of: index.weight_map };
        ensure!(!shards.of.is_empty(), "{} names no tensor; fetch it again", path.display());
        let folder = path.parent().unwrap_or(Path::new("."));
        for name in shards.names() {
            let is_plain = Path::new(name).file_name().is_some_and(|file| file == name);
            ensure!(is_plain, "{} names the shard \"{name}\", which is no file beside it", path.display());
            ensure!(
                folder.join(name).is_file(),
                "{} names the shard {name}, which is not there; fetch it too",
                path.display()
            );
        }
        Ok(shards)
    }

    /// The shards, each once.
    pub fn names(&self) -> BTreeSet<&str> {
        self.of.values().map(String::as_str).collect()
    }

    /// Whether a shard holds only what the index says.
    ///
    /// # Errors
    /// A tensor that the index does not know or puts into another shard.
    pub fn check<'a>(&self, shard: &str, held: impl Iterator<Item = &'a String>) -> Result<()> {
        for name in held {
            match self.of.get(name) {
                Some(place) if place == shard => {}
                Some(place) => bail!(
                    "{shard} holds {name}, which {} places in {place}; fetch index and shards from one revision",
                    self.path.display()
                ),
                None => bail!(
                    "{shard} holds {name}, which {} does not name: it is the shard of another model or revision",
                    self.path.display()
                ),
            }
        }
        Ok(())
    }

    /// # Errors
    /// A tensor that its shard lacks.
    pub fn check_whole(&self, is_there: impl Fn(&str) -> bool) -> Result<()> {
        match self.of.iter().find(|(name, _)| !is_there(name)) {
            Some((name, shard)) => bail!(
                "{shard} lacks {name}, which {} places in it; fetch index and shards from one revision",
                self.path.display()
            ),
            None => Ok(()),
        }
    }
}
