//! Pre-trained models as folders: found, checked, fingerprinted. Their layers are the worker's.

mod activation;
mod bert;
pub mod checkpoint;
mod config;
mod deberta;
mod fields;
mod head;
mod modernbert;
mod parameter;
mod xlnet;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

pub use activation::Activation;
pub use bert::{Bert, Names};
pub use checkpoint::{Account, Checkpoint};
pub use config::{Config, Family, MODEL_TYPES, Rates, count, encoder_count, thousands};
pub use deberta::{Deberta, Relative};
pub use head::{Dense, Head, Summary};
pub use modernbert::{Attention, ModernBert};
pub use parameter::Parameter;
pub use xlnet::XlNet;

/// Bytes of a file that are hashed at a time.
const PIECE: usize = 8 << 20;
/// Files of a model folder besides its weights that determine what a run computes. Those behind `vocab.txt` came later: a
/// folder without them has the fingerprint that it always had.
const CONTENT: &[&str] = &[
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "spiece.model",
    "spm.model",
    "added_tokens.json",
];

/// What a tokenizer may be made of.
pub const TOKENIZER: &[&str] = &[
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "spm.model",
    "sentencepiece.bpe.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
];

/// Files of which one holds the vocabulary; which one that must be is the tokenizer's affair.
pub const VOCABULARIES: &[&str] =
    &["tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model", "spiece.model", "spm.model"];

/// Finds the folder of a model: a path as it stands, or a name under one of the model directories.
///
/// # Errors
/// Names the places looked in and the command that fetches the model of the examples.
pub fn find(name: &str, roots: &[PathBuf]) -> Result<PathBuf> {
    let places: Vec<PathBuf> =
        std::iter::once(PathBuf::from(name)).chain(roots.iter().map(|root| root.join(name))).collect();
    match places.iter().find(|place| place.join("config.json").is_file()) {
        Some(folder) => Ok(folder.clone()),
        None => bail!(
            "no model \"{name}\": no config.json in {}; `make setup` fetches all-MiniLM-L6-v2, any other model is a folder in \
             the Hugging Face layout, named by its path or lying under --models or SWEEP_MODELS",
            places.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ")
        ),
    }
}

/// Checks a model folder as far as it goes without computing: the config, that the weights are whole and fit it tensor
/// by tensor, that there is a tokenizer.
///
/// # Errors
/// The first of these that does not hold, with the file and what to do.
pub fn check(folder: &Path) -> Result<Config> {
    let config = Config::read(folder)?;
    // A head of any other number of outputs is another task's, and no fault.
    Account::of(&Checkpoint::open(folder)?, &config, 1)?;
    if !VOCABULARIES.iter().any(|name| folder.join(name).is_file()) {
        bail!("{} has no tokenizer: {} is missing", folder.display(), VOCABULARIES.join(" or "));
    }
    Ok(config)
}

/// Hash of the files that determine what a run computes.
///
/// # Errors
/// No weights, or a file that cannot be read.
pub fn fingerprint(folder: &Path) -> Result<String> {
    let mut names: Vec<String> = CONTENT.iter().map(|&name| name.to_owned()).collect();
    // In this place since the first version: a hash must not change.
    names.splice(1..1, checkpoint::files(folder)?);
    let mut all = blake3::Hasher::new();
    for name in names {
        let path = folder.join(&name);
        if !path.is_file() {
            continue;
        }
        let hash = hash_of(&path).with_context(|| format!("cannot read {}", path.display()))?;
        all.update(name.as_bytes()).update(hash.as_bytes());
    }
    if let Some(map) = further_special_tokens(folder) {
        all.update(b"special_tokens_map.json").update(blake3::hash(&map).as_bytes());
    }
    Ok(all.finalize().to_hex()[..20].to_owned())
}

/// In pieces, so that no more of a large file is in memory at a time.
fn hash_of(path: &Path) -> std::io::Result<blake3::Hash> {
    let mut file = File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; PIECE.min(file.metadata()?.len() as usize + 1)];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hasher.finalize()),
            n => hasher.update_rayon(&piece[..n]),
        };
    }
}

/// special_tokens_map.json where it says more than tokenizer_config.json: mostly it repeats that, and then decides nothing.
fn further_special_tokens(folder: &Path) -> Option<Vec<u8>> {
    let map = std::fs::read(folder.join("special_tokens_map.json")).ok()?;
    let config = std::fs::read(folder.join("tokenizer_config.json")).unwrap_or_default();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap_or_default();
    let said: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&map).unwrap_or_default();
    let repeats = !said.is_empty() && said.iter().all(|(name, token)| config[name] == *token);
    (!repeats).then_some(map)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn fingerprints_follow_the_files_that_are_read_and_stay_what_they_were() {
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        // By the program of version 0.1.0.
        let tiny = fingerprint(&project.join("tests/parity/tiny-bert")).expect("a hash");
        assert_eq!(tiny, "a2bcae4e9b1149eb43b0");
        let copied = |way: &str| {
            let folder = tempfile::tempdir().expect("a folder");
            let from = project.join("tests/reference/checkpoints/model").join(way);
            for entry in std::fs::read_dir(from).expect("a model").flatten() {
                std::fs::copy(entry.path(), folder.path().join(entry.file_name())).expect("a copy");
            }
            folder
        };
        let hash = |folder: &tempfile::TempDir| fingerprint(folder.path()).expect("a hash");
        let shards = copied("torch-shards");
        let before = hash(&shards);
        let shard = shards.path().join("pytorch_model-00003-of-00003.bin");
        let mut bytes = std::fs::read(&shard).expect("a shard");
        bytes[8000] ^= 1;
        std::fs::write(&shard, bytes).expect("a shard");
        assert_ne!(hash(&shards), before);
        let whole = copied("safetensors");
        let before = hash(&whole);
        std::fs::write(whole.path().join("pytorch_model.bin"), "not read").expect("a file");
        assert_eq!(hash(&whole), before);
    }

    #[test]
    fn the_fingerprint_follows_every_file_that_decides_about_tokens() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("model.safetensors", "weights");
        let mut last = fingerprint(folder.path()).unwrap();
        let mut changes = |name: &str, text: &str| {
            write(name, text);
            let now = fingerprint(folder.path()).unwrap();
            std::mem::replace(&mut last, now.clone()) != now
        };
        assert!(changes("tokenizer_config.json", r#"{"cls_token": "[CLS]"}"#));
        assert!(changes("merges.txt", "a b"));
        assert!(changes("added_tokens.json", r#"{"c": 7}"#));
        assert!(!changes("special_tokens_map.json", r#"{"cls_token": "[CLS]"}"#));
        assert!(changes("special_tokens_map.json", r#"{"cls_token": "<s>"}"#));
        assert!(!changes("README.md", "about"));
    }
}
