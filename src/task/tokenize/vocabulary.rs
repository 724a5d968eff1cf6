//! The vocabulary of a model folder, whichever file it lies in.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokenizers::AddedToken;
use tokenizers::models::wordpiece::WordPiece;

use super::class::Class;
use super::sentence_piece::{Kind, SentencePiece};
use super::special::Specials;

/// Words with their ids or scores, as tokenizer.json writes them.
pub enum Vocabulary {
    /// `{word: id}`
    WordPiece(Value),
    /// `{word: id}` and `[[left, right]]`, the first merge first
    BytePair { words: Value, merges: Value },
    /// Pieces with their log probabilities, in the order of ids.
    Unigram {
        pieces: Vec<(String, f64)>,
        /// Id of the unknown piece, where the file says it.
        unknown: Option<usize>,
        /// Compiled rules of the normalizer, in base64.
        charsmap: Option<String>,
    },
}

impl Vocabulary {
    /// Takes it out of tokenizer.json.
    ///
    /// # Errors
    /// It is not of the kind that the class needs.
    pub fn of_whole(class: Class, whole: &mut Value) -> Result<Vocabulary> {
        let charsmap = charsmap(&whole["normalizer"]);
        let model = &mut whole["model"];
        let words = model["vocab"].take();
        match class {
            Class::Bert if words.is_object() => Ok(Vocabulary::WordPiece(words)),
            Class::Roberta if words.is_object() && model["merges"].is_array() => {
                Ok(Vocabulary::BytePair { words, merges: model["merges"].take() })
            }
            Class::Bert | Class::Roberta => bail!("its model is not the one that a {class:?} tokenizer has"),
            _ => {
                let pieces = serde_json::from_value(words)
                    .with_context(|| format!("its model is not the one that a {class:?} tokenizer has"))?;
                Ok(Vocabulary::Unigram { pieces, unknown: None, charsmap })
            }
        }
    }

    /// Reads it from the files of the time before tokenizer.json.
    ///
    /// # Errors
    /// A file that is missing, cut or of another form: the file, and the line where it has lines.
    pub fn of_files(folder: &Path, class: Class, specials: &mut Specials) -> Result<Vocabulary> {
        let files = class.files();
        if let Some(missing) = files.iter().find(|name| !folder.join(name).is_file()) {
            bail!("there is neither tokenizer.json nor {missing} in {}", folder.display());
        }
        let [first, others @ ..] = files else { bail!("there is no tokenizer.json in {}", folder.display()) };
        let path = folder.join(first);
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let place = || format!("in {}", path.display());
        match class {
            Class::Bert => word_pieces(&bytes).with_context(place),
            Class::Roberta => {
                let words: Value =
                    serde_json::from_slice(&bytes).with_context(|| format!("{} is not JSON", path.display()))?;
                let path = folder.join(others[0]);
                let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
                let merges = merges_of(&text, &words).with_context(|| format!("in {}", path.display()))?;
                Ok(Vocabulary::BytePair { words, merges })
            }
            _ => {
                let model = SentencePiece::parse(&bytes).with_context(place)?;
                Ok(of_sentence_piece(class, model, specials))
            }
        }
    }
}

/// One word piece a line, the line number its id.
fn word_pieces(bytes: &[u8]) -> Result<Vocabulary> {
    let words = WordPiece::read_bytes(bytes).map_err(|fault| anyhow!(fault))?;
    ensure!(!words.is_empty(), "it is empty");
    Ok(Vocabulary::WordPiece(words.into_iter().map(|(word, id)| (word, Value::from(id))).collect()))
}

/// Two parts a line, which together are a word of the vocabulary.
fn merges_of(bytes: &[u8], words: &Value) -> Result<Value> {
    ensure!(words.is_object(), "vocab.json beside it is no object of words with their ids");
    let text = std::str::from_utf8(bytes).context("it is no UTF-8 text")?;
    let mut merges = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.starts_with("#version") || line.trim().is_empty() {
            continue;
        }
        let place = || format!("line {}: \"{line}\"", number + 1);
        let (left, right) = line
            .split_once(' ')
            .filter(|(_, right)| !right.contains(' '))
            .with_context(place)
            .context("a line of merges is two parts with a blank between them")?;
        for word in [left, right, &format!("{left}{right}")] {
            ensure!(words.get(word).is_some(), "{}: `{word}` is not in vocab.json", place());
        }
        merges.push(json!([left, right]));
    }
    Ok(Value::Array(merges))
}

/// Ids are those of the pieces, but for the two classes whose models were made with fairseq, which has special tokens of
/// its own in front.
fn of_sentence_piece(class: Class, model: SentencePiece, specials: &mut Specials) -> Vocabulary {
    let word = |name: &str| specials.word(name).unwrap_or_default().to_owned();
    let plain = model.pieces.iter().map(|(text, score, _)| (text.clone(), f64::from(*score)));
    let pieces = match class {
        Class::XlmRoberta => {
            let front = ["bos_token", "pad_token", "eos_token", "unk_token"].map(|name| (word(name), 0.0));
            front.into_iter().chain(plain.skip(3)).chain([(word("mask_token"), 0.0)]).collect()
        }
        Class::Camembert => {
            let unused = |word: &str, score| (format!("{word}NOTUSED"), score);
            let front = [
                unused("<s>", 0.0),
                (word("pad_token"), 0.0),
                unused("</s>", 0.0),
                (word("unk_token"), 0.0),
                unused("<unk>", -100.0),
            ];
            front.into_iter().chain(plain.skip(1)).chain([(word("mask_token"), 0.0)]).collect()
        }
        _ => plain.collect(),
    };
    let marked = model.pieces.into_iter().filter_map(|(text, _, kind)| match kind {
        Kind::Plain => None,
        Kind::Control => Some(AddedToken::from(text, true)),
        Kind::UserDefined => Some(AddedToken::from(text, false).normalized(false)),
    });
    specials.mark(marked.collect());
    let charsmap = (!model.charsmap.is_empty()).then(|| STANDARD.encode(&model.charsmap));
    Vocabulary::Unigram { pieces, unknown: Some(model.unknown), charsmap }
}

/// The compiled rules in the normalizer of a tokenizer.json: it is that normalizer, or a step of it.
fn charsmap(normalizer: &Value) -> Option<String> {
    let steps = normalizer["normalizers"].as_array().map_or(std::slice::from_ref(normalizer), Vec::as_slice);
    let found = steps.iter().find(|step| step["type"] == "Precompiled")?;
    found["precompiled_charsmap"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn merges_name_the_line_that_is_wrong() {
        let words = json!({"a": 0, "b": 1, "ab": 2});
        let merges = |text: &str| merges_of(text.as_bytes(), &words);
        assert_eq!(merges("#version: 0.2\na b\n\n").unwrap(), json!([["a", "b"]]));
        let fault = |text: &str| format!("{:#}", merges(text).unwrap_err());
        assert!(fault("#version: 0.2\na b\nab\n").contains("line 3: \"ab\""));
        assert!(fault("a b b").contains("line 1"));
        assert!(fault("a b\nb a").contains("line 2: \"b a\": `ba` is not in vocab.json"));
    }
}
