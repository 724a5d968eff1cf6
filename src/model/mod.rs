//! Pre-trained models as folders: found, checked, fingerprinted. Their layers are the worker's.

mod activation;
mod bert;
mod config;
mod deberta;
mod fields;
mod head;
mod modernbert;
mod parameter;
mod xlnet;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

pub use activation::Activation;
pub use bert::{Bert, Names};
pub use config::{Config, Family, MODEL_TYPES, Rates, count, encoder_count, thousands};
pub use deberta::{Deberta, Relative};
pub use head::{Dense, Head, Summary};
pub use modernbert::{Attention, ModernBert};
pub use parameter::Parameter;
pub use xlnet::XlNet;

/// Files of a model folder that determine what a run computes.
const CONTENT: &[&str] = &["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt"];

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

/// Checks what can be checked without loading a weight: config, and the files that a run will read.
pub fn check(folder: &Path) -> Result<Config> {
    let config = Config::read(folder)?;
    for (what, names) in [("weights", &["model.safetensors"][..]), ("tokenizer", &["tokenizer.json", "vocab.txt"][..])]
    {
        if !names.iter().any(|name| folder.join(name).is_file()) {
            bail!("{} has no {what}: {} is missing", folder.display(), names.join(" or "));
        }
    }
    check_weights(&folder.join("model.safetensors"))?;
    Ok(config)
}

/// Whether the file is whole: its head says how long it must be.
fn check_weights(path: &Path) -> Result<()> {
    let file = std::fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    // SAFETY: the map is read-only, and only its head is looked at.
    let map = unsafe { memmap2::Mmap::map(&file) }.with_context(|| format!("cannot read {}", path.display()))?;
    let whole = safetensors::SafeTensors::deserialize(&map);
    whole.map(drop).with_context(|| format!("{} is cut or damaged; fetch the model again", path.display()))
}

/// Hash of the files that determine what a run computes.
pub fn fingerprint(folder: &Path) -> Result<String> {
    let mut all = blake3::Hasher::new();
    for name in CONTENT {
        let path = folder.join(name);
        if !path.is_file() {
            continue;
        }
        let mut file = blake3::Hasher::new();
        file.update_mmap_rayon(&path).with_context(|| format!("cannot read {}", path.display()))?;
        all.update(name.as_bytes());
        all.update(file.finalize().as_bytes());
    }
    Ok(all.finalize().to_hex()[..20].to_owned())
}
