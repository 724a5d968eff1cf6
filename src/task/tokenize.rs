//! Text to token ids, by the tokenizer of a model's folder.

mod class;
mod pipeline;
mod sentence_piece;
mod special;
mod vocabulary;

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use rayon::prelude::*;
use serde_json::Value;
use tokenizers::{
    DecoderWrapper, Encoding, NormalizerWrapper, PostProcessor, PreTokenizerWrapper, TruncationDirection,
    TruncationParams, TruncationStrategy,
};

use class::Class;
use special::Specials;

use super::read::Row;
use super::tokens::Tokens;

/// A tokenizer in the Hugging Face form. Its ids, segments and cuts are those of `AutoTokenizer` of transformers 5.
///
/// On which side a family pads (XLNet: left) is not its affair: examples lie in memory without padding, and what a batch
/// adds is never computed with.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    pad: u32,
    direction: TruncationDirection,
    hash: String,
}

impl Tokenizer {
    /// Opens a folder in the Hugging Face layout: `tokenizer.json`, or where there is none the files that the tokenizer
    /// class had before (`vocab.txt`, `vocab.json` with `merges.txt`, or a SentencePiece model), with the settings and
    /// special tokens of `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json`.
    ///
    /// # Errors
    /// A file that is missing, damaged or of a class that is not known; special tokens without an id; ids for which the
    /// model (`vocab_size` in `config.json`) has no embedding.
    pub fn open(folder: &Path) -> Result<Tokenizer> {
        let (model, config) = (json(&folder.join("config.json"))?, json(&folder.join("tokenizer_config.json"))?);
        let path = folder.join("tokenizer.json");
        let whole = if path.is_file() { Some(Whole::open(&path)?) } else { None };
        let class = Class::of(&model, &config).with_context(|| format!("the tokenizer in {}", folder.display()))?;
        let class = class.unwrap_or(if whole.is_some() { Class::AsItStands } else { Class::Bert });
        let rows = model["vocab_size"].as_u64();

        let parsed = whole.as_ref().map_or(&Value::Null, |whole| &whole.parsed);
        let specials = Specials::read(folder, class, &config, parsed)?;
        let pad = specials.word("pad_token").map(str::to_owned);
        let direction = direction(&config, parsed).with_context(|| format!("the tokenizer in {}", folder.display()))?;
        let (mut inner, said) = match (class, whole) {
            (Class::AsItStands, Some(whole)) => {
                let file = whole.read(&path)?;
                let mut inner = file.clone();
                specials.add_to(&mut inner, &[], rows)?;
                (inner, Some((file, whole.hash)))
            }
            (_, Some(whole)) => (pipeline::build(folder, class, &config, whole.parsed, specials, rows)?, None),
            (_, None) => (pipeline::build(folder, class, &config, Value::Null, specials, rows)?, None),
        };
        inner.set_encode_special_tokens(config["split_special_tokens"].as_bool().unwrap_or(false));

        let largest = inner.get_vocab(true).into_values().max().unwrap_or(0);
        if let Some(rows) = rows.filter(|&rows| u64::from(largest) >= rows) {
            bail!(
                "the tokenizer in {} has ids up to {largest}, but the model has only {rows} embeddings (vocab_size in \
                 config.json): the two do not belong together",
                folder.display()
            );
        }
        let known = |word: &str| inner.token_to_id(word);
        let of_model = || model["pad_token_id"].as_u64().and_then(|id| u32::try_from(id).ok());
        let pad = pad.and_then(|word| known(&word)).or_else(|| known("[PAD]")).or_else(|| known("<pad>"));
        let pad = pad.or_else(of_model).unwrap_or(0);

        // Where the file says all, its own hash is that of the ids.
        let text = bare_text(&mut inner)?;
        let mut hash = blake3::hash(text.as_bytes());
        if let Some((mut file, of_file)) = said
            && bare_text(&mut file)? == text
        {
            hash = of_file;
        }
        let mut hash = hash.to_hex().to_string();
        if direction == TruncationDirection::Left {
            hash.push_str(" cut left");
        }
        if inner.get_encode_special_tokens() {
            hash.push_str(" special tokens split");
        }
        Ok(Tokenizer { inner, pad, direction, hash })
    }

    /// Id with which batches are padded.
    pub fn pad(&self) -> u32 {
        self.pad
    }

    /// Hash of all that decides about the ids of a text.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// # Errors
    /// `max_length` has no room for the special tokens and one token of each of so many texts.
    pub fn check_length(&self, max_length: usize, texts: usize) -> Result<()> {
        let special = self.inner.get_post_processor().map_or(0, |processor| processor.added_tokens(texts == 2));
        if max_length < special + texts {
            bail!("max_length {max_length} leaves no room for the text: it must be at least {}", special + texts);
        }
        Ok(())
    }

    /// Tokens of every row, special tokens added, the longer text of a pair cut first until `max_length` tokens remain.
    /// Runs on all threads of rayon's pool.
    pub fn encode(&self, rows: &[Row], max_length: usize) -> Result<Tokens> {
        let texts = rows.iter().map(|row| row.text.len()).max().unwrap_or(1);
        self.check_length(max_length, texts)?;
        let mut cut = self.inner.clone();
        let (strategy, direction) = (TruncationStrategy::LongestFirst, self.direction);
        cut.with_truncation(Some(TruncationParams { max_length, strategy, direction, ..TruncationParams::default() }))
            .map_err(|fault| anyhow!(fault))?;
        // A tokenizer that knows of the length stops in the midst of a text, and then no longer sees which text of a pair
        // is the longer one. So texts are first tokenized in full.
        let of_rows = |rows: &[Row]| {
            let mut words = Words::of(&self.inner);
            let row = |row: &Row| match row.text.as_slice() {
                [one] => cut.post_process(words.encode(one, 0)?, None, true),
                [one, two] => cut.post_process(words.encode(one, 0)?, Some(words.encode(two, 1)?), true),
                texts => Err(format!("a row has one or two texts, not {}", texts.len()).into()),
            };
            rows.iter().map(row).collect::<tokenizers::Result<Vec<_>>>()
        };
        let each = rows.len().div_ceil(rayon::current_num_threads()).max(1);
        let encodings: Vec<Vec<_>> = rows
            .par_chunks(each)
            .map(of_rows)
            .collect::<tokenizers::Result<_>>()
            .map_err(|fault| anyhow!("cannot tokenize: {fault}"))?;
        let mut tokens = Tokens::default();
        for (row, encoding) in rows.iter().zip(encodings.iter().flatten()) {
            let types = encoding.get_type_ids().iter().map(|&kind| kind as u8);
            tokens.push(encoding.get_ids(), types, row.label);
        }
        Ok(tokens)
    }
}

/// Tokenizes texts, and keeps the ids of words where they depend on the word alone: most words of a data set come again.
struct Words<'a> {
    inner: &'a tokenizers::Tokenizer,
    /// `None` where words depend on their neighbours, or on the space before them.
    known: Option<HashMap<String, Vec<u32>>>,
}

impl Words<'_> {
    fn of(inner: &tokenizers::Tokenizer) -> Words<'_> {
        // What BERT does to a text it does to each character, and words end at every space.
        let is_bert = matches!(inner.get_pre_tokenizer(), Some(PreTokenizerWrapper::BertPreTokenizer(_)))
            && matches!(inner.get_normalizer(), None | Some(NormalizerWrapper::BertNormalizer(_)));
        let has_space = inner.get_added_tokens_decoder().values().any(|added| added.content.contains(' '));
        Words { inner, known: (is_bert && !has_space).then(HashMap::new) }
    }

    /// A text in full, without special tokens, its tokens of a type.
    fn encode(&mut self, text: &str, kind: u32) -> tokenizers::Result<Encoding> {
        let Some(known) = &mut self.known else {
            let mut encoding = self.inner.encode_fast(text, false)?;
            encoding.set_type_ids(vec![kind; encoding.len()]);
            return Ok(encoding);
        };
        let mut ids = Vec::new();
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            match known.get(word) {
                Some(of_word) => ids.extend(of_word),
                None => {
                    let of_word = self.inner.encode_fast(word, false)?.get_ids().to_vec();
                    ids.extend(&of_word);
                    known.insert(word.to_owned(), of_word);
                }
            }
        }
        let n = ids.len();
        let (tokens, words, offsets) = (vec![String::new(); n], vec![None; n], vec![(0, 0); n]);
        Ok(Encoding::new(
            ids,
            vec![kind; n],
            tokens,
            words,
            offsets,
            vec![0; n],
            vec![1; n],
            Vec::new(),
            Default::default(),
        ))
    }
}

/// A tokenizer.json.
struct Whole {
    bytes: Vec<u8>,
    parsed: Value,
    hash: blake3::Hash,
}

impl Whole {
    fn open(path: &Path) -> Result<Whole> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let parsed: Value =
            serde_json::from_slice(&bytes).with_context(|| format!("{} is not a tokenizer", path.display()))?;
        if !parsed["model"].is_object() {
            bail!("{} is not a tokenizer: it has no model", path.display());
        }
        Ok(Whole { hash: blake3::hash(&bytes), bytes, parsed })
    }

    /// As it stands.
    fn read(&self, path: &Path) -> Result<tokenizers::Tokenizer> {
        tokenizers::Tokenizer::from_bytes(&self.bytes)
            .map_err(|fault| anyhow!("{} is not a tokenizer: {fault}", path.display()))
    }
}

/// The side from which texts are cut that are too long.
fn direction(config: &Value, whole: &Value) -> Result<TruncationDirection> {
    let side = config["truncation_side"].as_str().or(whole["truncation"]["direction"].as_str());
    match side.unwrap_or("right").to_lowercase().as_str() {
        "right" => Ok(TruncationDirection::Right),
        "left" => Ok(TruncationDirection::Left),
        other => bail!("truncation_side is \"{other}\"; it must be right or left"),
    }
}

/// All that decides about ids, as text. Length and padding are the run's to choose, and decoding is nobody's.
fn bare_text(inner: &mut tokenizers::Tokenizer) -> Result<String> {
    inner.with_truncation(None).map_err(|fault| anyhow!(fault))?;
    inner.with_padding(None);
    inner.with_decoder(None::<DecoderWrapper>);
    inner.to_string(false).map_err(|fault| anyhow!(fault))
}

/// The JSON in a file; null where there is no such file.
fn json(path: &Path) -> Result<Value> {
    if !path.is_file() {
        return Ok(Value::Null);
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))
}

#[cfg(test)]
mod tests;
