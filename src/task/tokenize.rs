//! Text to token ids, by the tokenizer of a model's folder.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use rayon::prelude::*;
use serde_json::Value;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{AddedToken, PostProcessor, TruncationParams, TruncationStrategy};

use super::read::Row;
use super::tokens::Tokens;

/// A tokenizer in the Hugging Face form.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    pad: u32,
    hash: String,
}

impl Tokenizer {
    /// Opens a folder in the Hugging Face layout: `tokenizer.json`, or where there is none `vocab.txt` (BERT's
    /// WordPiece) with the settings of `tokenizer_config.json`.
    pub fn open(folder: &Path) -> Result<Tokenizer> {
        let config = settings(&folder.join("tokenizer_config.json"))?;
        let (whole, vocabulary) = (folder.join("tokenizer.json"), folder.join("vocab.txt"));
        let (mut inner, hash) = if whole.is_file() {
            let bytes = std::fs::read(&whole).with_context(|| format!("cannot read {}", whole.display()))?;
            let inner = tokenizers::Tokenizer::from_bytes(&bytes)
                .map_err(|fault| anyhow!("{} is not a tokenizer: {fault}", whole.display()))?;
            (inner, blake3::hash(&bytes))
        } else if vocabulary.is_file() {
            let bytes = std::fs::read(&vocabulary).with_context(|| format!("cannot read {}", vocabulary.display()))?;
            let inner = word_piece(&bytes, &config).with_context(|| format!("in {}", vocabulary.display()))?;
            let text = inner.to_string(false).map_err(|fault| anyhow!(fault))?;
            (inner, blake3::hash(text.as_bytes()))
        } else {
            bail!("there is neither tokenizer.json nor vocab.txt in {}", folder.display());
        };
        // The length is the run's to choose, and padding the batch's.
        inner.with_truncation(None).map_err(|fault| anyhow!(fault))?;
        inner.with_padding(None);
        let word = special(&config, "pad_token", "[PAD]");
        let known = |word: &str| inner.token_to_id(word);
        let pad = known(&word).or_else(|| known("<pad>")).with_context(|| {
            format!("the tokenizer in {} does not know its padding token `{word}`", folder.display())
        })?;
        Ok(Tokenizer { inner, pad, hash: hash.to_hex().to_string() })
    }

    /// Id with which batches are padded.
    pub fn pad(&self) -> u32 {
        self.pad
    }

    /// Hash of all that decides about the ids of a text.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Tokens of every row, special tokens added, the longer text of a pair cut first until `max_length` tokens remain.
    /// Runs on all threads of rayon's pool.
    pub fn encode(&self, rows: &[Row], max_length: usize) -> Result<Tokens> {
        let texts = rows.iter().map(|row| row.text.len()).max().unwrap_or(1);
        let special = self.inner.get_post_processor().map_or(0, |processor| processor.added_tokens(texts == 2));
        if max_length < special + texts {
            bail!("max_length {max_length} leaves no room for the text: it must be at least {}", special + texts);
        }
        let mut inner = self.inner.clone();
        let strategy = TruncationStrategy::LongestFirst;
        inner
            .with_truncation(Some(TruncationParams { max_length, strategy, ..TruncationParams::default() }))
            .map_err(|fault| anyhow!(fault))?;
        let encodings: Vec<_> = rows
            .par_iter()
            .map(|row| match row.text.as_slice() {
                [one] => inner.encode_fast(one.as_str(), true),
                [one, two] => inner.encode_fast((one.as_str(), two.as_str()), true),
                texts => Err(format!("a row has one or two texts, not {}", texts.len()).into()),
            })
            .collect::<tokenizers::Result<_>>()
            .map_err(|fault| anyhow!("cannot tokenize: {fault}"))?;
        let mut tokens = Tokens::default();
        for (row, encoding) in rows.iter().zip(&encodings) {
            let types = encoding.get_type_ids().iter().map(|&kind| kind as u8);
            tokens.push(encoding.get_ids(), types, row.label);
        }
        Ok(tokens)
    }
}

/// The JSON object in a file; null where there is no such file.
fn settings(path: &Path) -> Result<Value> {
    if !path.is_file() {
        return Ok(Value::Null);
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))
}

/// A special token, which is written as a word or as an object with its content.
fn special(config: &Value, key: &str, default: &str) -> String {
    let token = &config[key];
    token.as_str().or_else(|| token["content"].as_str()).unwrap_or(default).to_owned()
}

/// BERT's own tokenizer: one word piece a line, the line number its id.
fn word_piece(vocabulary: &[u8], config: &Value) -> Result<tokenizers::Tokenizer> {
    let words = WordPiece::read_bytes(vocabulary).map_err(|fault| anyhow!(fault))?;
    let token = |key, default| -> Result<(String, u32)> {
        let word = special(config, key, default);
        let id = *words.get(&word).with_context(|| format!("the vocabulary has no {key} `{word}`"))?;
        Ok((word, id))
    };
    let (unknown, start, end) =
        (token("unk_token", "[UNK]")?, token("cls_token", "[CLS]")?, token("sep_token", "[SEP]")?);
    let others = [special(config, "pad_token", "[PAD]"), special(config, "mask_token", "[MASK]")];
    let specials: Vec<String> = [&unknown.0, &start.0, &end.0]
        .into_iter()
        .chain(others.iter().filter(|word| words.contains_key(*word)))
        .cloned()
        .collect();
    let flag = |key: &str| config[key].as_bool();
    let lower = flag("do_lower_case").unwrap_or(true);
    let model = WordPiece::builder().vocab(words).unk_token(unknown.0).build().map_err(|fault| anyhow!(fault))?;
    let mut inner = tokenizers::Tokenizer::new(model);
    inner
        .with_normalizer(Some(BertNormalizer::new(
            true,
            flag("tokenize_chinese_chars").unwrap_or(true),
            flag("strip_accents"),
            lower,
        )))
        .map_err(|fault| anyhow!(fault))?;
    inner.with_pre_tokenizer(Some(BertPreTokenizer));
    inner.with_post_processor(Some(BertProcessing::new(end, start)));
    inner
        .add_special_tokens(specials.into_iter().map(|word| AddedToken::from(word, true)))
        .map_err(|fault| anyhow!(fault))?;
    Ok(inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::print_stderr)]
    use super::*;
    use serde::Deserialize;

    /// Made by tests/reference/tokens.py with transformers.
    #[derive(Deserialize)]
    struct Case {
        text: Vec<String>,
        max_length: usize,
        ids: Vec<u32>,
        types: Vec<u8>,
    }

    fn model() -> Option<std::path::PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/all-MiniLM-L6-v2");
        if !folder.join("vocab.txt").is_file() {
            eprintln!("skipped: {} is not there; `make setup` gets it", folder.display());
            return None;
        }
        Some(folder)
    }

    fn assert_equals_reference(tokenizer: &Tokenizer, how: &str) {
        let cases: Vec<Case> = serde_json::from_str(include_str!("../../tests/reference/tokens.json")).unwrap();
        assert!(cases.len() >= 40);
        for case in cases {
            let tokens = tokenizer.encode(&[Row { text: case.text.clone(), label: 0.0 }], case.max_length).unwrap();
            assert_eq!(tokens.ids(0), case.ids, "ids of {:?} by {how}", case.text);
            assert_eq!(tokens.types(0), case.types, "types of {:?} by {how}", case.text);
        }
    }

    #[test]
    fn ids_equal_transformers_by_tokenizer_json() {
        let Some(folder) = model() else { return };
        let tokenizer = Tokenizer::open(&folder).unwrap();
        assert_eq!(tokenizer.pad(), 0);
        assert_equals_reference(&tokenizer, "tokenizer.json");
    }

    #[test]
    fn ids_equal_transformers_by_vocabulary() {
        let Some(folder) = model() else { return };
        let bare = tempfile::tempdir().unwrap();
        for file in ["vocab.txt", "tokenizer_config.json"] {
            std::fs::copy(folder.join(file), bare.path().join(file)).unwrap();
        }
        assert_equals_reference(&Tokenizer::open(bare.path()).unwrap(), "vocab.txt");
        let cased = r#"{"do_lower_case": false}"#;
        std::fs::write(bare.path().join("tokenizer_config.json"), cased).unwrap();
        let rows = [Row { text: vec!["Hello".into()], label: 0.0 }];
        let cased = Tokenizer::open(bare.path()).unwrap();
        assert_eq!(cased.encode(&rows, 8).unwrap().ids(0), [101, 100, 102]);
        assert_ne!(cased.hash(), Tokenizer::open(&folder).unwrap().hash());
    }

    #[test]
    fn faults_name_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let fault = Tokenizer::open(folder.path()).err().unwrap();
        assert!(fault.to_string().contains("vocab.txt"), "{fault}");
        std::fs::write(folder.path().join("vocab.txt"), "[PAD]\n[UNK]\na\n").unwrap();
        let fault = format!("{:#}", Tokenizer::open(folder.path()).err().unwrap());
        assert!(fault.contains("cls_token"), "{fault}");
        std::fs::write(folder.path().join("vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n").unwrap();
        let tokenizer = Tokenizer::open(folder.path()).unwrap();
        let pair = [Row { text: vec!["a".into(), "a".into()], label: 0.0 }];
        assert!(tokenizer.encode(&pair, 4).unwrap_err().to_string().contains("at least 5"));
        assert!(tokenizer.encode(&pair, 0).is_err() && tokenizer.encode(&[], 0).is_err());
    }
}
