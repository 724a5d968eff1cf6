//! Which files of a repository make a model that can be trained.

use std::collections::BTreeSet;
use std::path::Path;

use crate::model::{TOKENIZER, VOCABULARIES};

/// Weights in the order in which they are preferred; an index names files beside it.
const WEIGHTS: &[&str] =
    &["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"];

/// The files of a model among those of its repository, weights last; the shards of an index are not among them, since
/// it must be read first. `Err` says what is missing.
pub fn model_files(there: &[String]) -> Result<Vec<&'static str>, &'static str> {
    let there: BTreeSet<&str> = there.iter().map(String::as_str).collect();
    let has = |name: &&&'static str| there.contains(**name);
    if !there.contains("config.json") {
        return Err("config.json");
    }
    if !VOCABULARIES.iter().any(|name| has(&name)) {
        return Err("tokenizer (tokenizer.json, vocab.txt, vocab.json or a SentencePiece model)");
    }
    let weights = WEIGHTS.iter().find(has).ok_or("weights (model.safetensors or pytorch_model.bin)")?;
    Ok(["config.json"].iter().chain(TOKENIZER.iter().filter(has)).chain([weights]).copied().collect())
}

/// Whether a folder holds a whole model: config, tokenizer, and weights with all their shards.
pub fn has_model(folder: &Path) -> bool {
    let has = |name: &&str| folder.join(name).is_file();
    let whole = |name: &&&str| {
        has(name) && shards_in(folder, name).is_some_and(|shards| shards.iter().all(|shard| has(&shard.as_str())))
    };
    has(&"config.json") && VOCABULARIES.iter().any(has) && WEIGHTS.iter().any(|name| whole(&name))
}

/// Whether weights go by this file to their shards.
pub fn is_index(name: &str) -> bool {
    name.ends_with(".index.json")
}

/// The shards that an index names, once each; none for what is no index, and `None` for one that cannot be read.
pub fn shards_in(folder: &Path, name: &str) -> Option<Vec<String>> {
    if !is_index(name) {
        return Some(Vec::new());
    }
    shards_of(&std::fs::read(folder.join(name)).ok()?)
}

/// The shards that the text of an index names, once each.
pub fn shards_of(index: &[u8]) -> Option<Vec<String>> {
    let index: serde_json::Value = serde_json::from_slice(index).ok()?;
    let files = index.get("weight_map")?.as_object()?.values();
    let shards: Option<BTreeSet<String>> = files.map(|file| file.as_str().map(str::to_owned)).collect();
    // A shard lies beside its index; anything else would be written elsewhere.
    shards.filter(|shards| shards.iter().all(|s| !s.is_empty() && !s.contains(['/', '\\']))).map(Vec::from_iter)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_what_trains_is_chosen_and_safetensors_come_first() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let bert = list(&[
            ".gitattributes",
            "README.md",
            "config.json",
            "flax_model.msgpack",
            "model.safetensors",
            "onnx/model.onnx",
            "pytorch_model.bin",
            "tf_model.h5",
            "tokenizer.json",
            "tokenizer_config.json",
            "vocab.txt",
        ]);
        let expected = ["config.json", "tokenizer.json", "vocab.txt", "tokenizer_config.json", "model.safetensors"];
        assert_eq!(model_files(&bert).unwrap(), expected);
        let deberta = list(&["config.json", "pytorch_model.bin", "spm.model", "tf_model.h5", "tokenizer_config.json"]);
        assert_eq!(
            model_files(&deberta).unwrap(),
            ["config.json", "spm.model", "tokenizer_config.json", "pytorch_model.bin"]
        );
        assert!(model_files(&list(&["config.json", "tf_model.h5", "vocab.txt"])).unwrap_err().contains("weights"));
        assert!(model_files(&list(&["config.json", "model.safetensors"])).unwrap_err().contains("tokenizer"));
    }

    #[test]
    fn a_folder_is_whole_when_its_shards_are() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("config.json", "{}");
        write("spiece.model", "");
        let index =
            r#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-1.safetensors"}}"#;
        write("model.safetensors.index.json", index);
        write("model-1.safetensors", "");
        assert!(!has_model(folder.path()));
        write("model-2.safetensors", "");
        assert!(has_model(folder.path()));
        write("model.safetensors.index.json", &index.replace("model-2", "../model-2"));
        assert!(!has_model(folder.path()));
    }
}
