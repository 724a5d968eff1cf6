//! Special tokens and added tokens: which there are, and their way into a tokenizer.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Map, Value};
use tokenizers::AddedToken;

use super::class::Class;
use super::json;

/// The names that every tokenizer has, in the order in which transformers adds tokens.
const NAMES: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// The tokens that stand beside the vocabulary.
#[derive(Debug)]
pub struct Specials {
    /// By id, as `added_tokens_decoder`, `added_tokens.json` or `tokenizer.json` lists them.
    declared: BTreeMap<u32, AddedToken>,
    named: Vec<(&'static str, AddedToken)>,
    extra: Vec<AddedToken>,
    /// Whether the folder itself says which extra tokens there are.
    extra_is_said: bool,
}

impl Specials {
    /// Reads them as transformers does: tokenizer_config.json with `added_tokens_decoder` says all; without that, the
    /// older special_tokens_map.json goes before it, and added_tokens.json and tokenizer.json (`whole`) list the rest.
    ///
    /// # Errors
    /// A token that is neither a word nor an object with its content, or an id that is no number, with the file.
    pub fn read(folder: &Path, class: Class, config: &Value, whole: &Value) -> Result<Specials> {
        let place = folder.join("tokenizer_config.json");
        let mut said = config.as_object().cloned().unwrap_or_default();
        let mut extra_is_said = true;
        let mut extra = match (said.get("extra_special_tokens"), said.get("additional_special_tokens")) {
            (Some(list @ Value::Array(_)), _) | (None, Some(list @ Value::Array(_))) => tokens(list, false),
            _ => {
                extra_is_said = false;
                Ok(class.further_words().iter().map(|word| AddedToken::from(*word, true)).collect())
            }
        }
        .with_context(|| format!("in {}", place.display()))?;
        let mut declared = BTreeMap::new();
        if let Some(list) = said.get("added_tokens_decoder").and_then(Value::as_object) {
            for (id, value) in list {
                let id = id.parse().with_context(|| format!("{}: the token id \"{id}\" is no number", place.display()));
                declared.insert(id?, token(value, false).with_context(|| format!("in {}", place.display()))?);
            }
        } else {
            let place = folder.join("special_tokens_map.json");
            if let Value::Object(map) = json(&place)? {
                if let Some(list) =
                    map.get("additional_special_tokens").filter(|list| list.is_array() && !extra_is_said)
                {
                    extra = tokens(list, true).with_context(|| format!("in {}", place.display()))?;
                }
                said.extend(map.into_iter().map(|(name, value)| (name, as_special(value))));
            }
            declared = listed(folder, &said, &extra, whole)?;
        }

        let mut named = Vec::new();
        for name in NAMES {
            let word = class.words().iter().find(|(own, _)| *own == name).map(|(_, word)| *word);
            let mut found = match said.get(name) {
                Some(Value::Null) => continue,
                Some(Value::String(word)) => plain(class, name, word),
                Some(value) => token(value, false).with_context(|| format!("{name} in {}", place.display()))?,
                None => match word {
                    Some(word) => plain(class, name, word),
                    None => continue,
                },
            };
            // The list of added tokens knows best what stands around a token.
            if let Some(listed) = declared.values().find(|listed| listed.content == found.content) {
                found = listed.clone();
            }
            named.push((name, found.special(true)));
        }
        Ok(Specials { declared, named, extra, extra_is_said })
    }

    /// The word for a special token.
    pub fn word(&self, name: &str) -> Option<&str> {
        self.named.iter().find(|(own, _)| *own == name).map(|(_, token)| token.content.as_str())
    }

    /// Tokens that the vocabulary itself marks as special: they are extra ones, unless the folder says others.
    pub fn mark(&mut self, tokens: Vec<AddedToken>) {
        if !self.extra_is_said {
            self.extra = tokens;
        }
    }

    /// Adds them all. transformers gives a new id to a named token that no file has an id for; so does this, as long as
    /// the model has an embedding for that id (`rows`). Without one it stays plain text.
    ///
    /// # Errors
    /// One of the tokens in `needed` has no id in any file.
    pub fn add_to(self, inner: &mut tokenizers::Tokenizer, needed: &[&str], rows: Option<u64>) -> Result<()> {
        let special: BTreeSet<&str> = self.named.iter().map(|(_, token)| token.content.as_str()).collect();
        let mut known: BTreeSet<String> =
            inner.get_added_tokens_decoder().into_values().map(|token| token.content).collect();
        let declared: Vec<AddedToken> = (self.declared.values())
            .map(|token| AddedToken { special: token.special || special.contains(&*token.content), ..token.clone() })
            .collect();
        known.extend(declared.iter().map(|token| token.content.clone()));
        inner.add_tokens(declared).map_err(|fault| anyhow!(fault))?;
        for name in needed {
            let word = self.word(name).with_context(|| format!("it names no {name}"))?;
            if inner.token_to_id(word).is_none() {
                bail!("the vocabulary has no {name} `{word}`");
            }
        }
        let mut next = inner.get_vocab(true).into_values().max().map_or(0, |largest| u64::from(largest) + 1);
        let others = self.named.into_iter().map(|(_, token)| token).chain(self.extra);
        let others: Vec<AddedToken> = others
            .filter(|token| {
                if known.contains(&token.content) {
                    return false;
                }
                let is_new = inner.token_to_id(&token.content).is_none();
                if is_new && rows.is_some_and(|rows| next >= rows) {
                    return false;
                }
                next += u64::from(is_new);
                true
            })
            .collect();
        inner.add_tokens(others).map_err(|fault| anyhow!(fault))?;
        Ok(())
    }
}

/// Added tokens in the older files, by id; tokenizer.json goes before added_tokens.json.
fn listed(
    folder: &Path,
    said: &Map<String, Value>,
    extra: &[AddedToken],
    whole: &Value,
) -> Result<BTreeMap<u32, AddedToken>> {
    let mut listed = BTreeMap::new();
    let content = |value: &Value| value.as_str().or_else(|| value["content"].as_str()).map(str::to_owned);
    let special: BTreeSet<String> = (NAMES.iter())
        .filter_map(|name| content(said.get(*name)?))
        .chain(extra.iter().map(|token| token.content.clone()))
        .collect();
    let place = folder.join("added_tokens.json");
    if let Value::Object(words) = json(&place)? {
        for (word, id) in words {
            let id = id_of(&id).with_context(|| format!("the id of `{word}` in {}", place.display()))?;
            listed.insert(id, AddedToken::from(word.clone(), special.contains(&word)));
        }
    }
    for value in whole["added_tokens"].as_array().into_iter().flatten() {
        let place = || format!("added_tokens in {}", folder.join("tokenizer.json").display());
        listed.insert(id_of(&value["id"]).with_context(place)?, token(value, false).with_context(place)?);
    }
    Ok(listed)
}

fn id_of(value: &Value) -> Result<u32> {
    value.as_u64().and_then(|id| u32::try_from(id).ok()).with_context(|| format!("{value} is no token id"))
}

fn tokens(list: &Value, special: bool) -> Result<Vec<AddedToken>> {
    list.as_array().into_iter().flatten().map(|value| token(value, special)).collect()
}

/// A token written as a word, which is then special, or as an object with its content and how it takes up blanks.
fn token(value: &Value, special: bool) -> Result<AddedToken> {
    if let Some(word) = value.as_str() {
        return Ok(AddedToken::from(word, true));
    }
    let content = value["content"].as_str().with_context(|| format!("{value} is no token: it has no content"))?;
    let flag = |name: &str| value[name].as_bool();
    let special = flag("special").unwrap_or(special);
    Ok(AddedToken::from(content, special)
        .single_word(flag("single_word").unwrap_or(false))
        .lstrip(flag("lstrip").unwrap_or(false))
        .rstrip(flag("rstrip").unwrap_or(false))
        .normalized(flag("normalized").unwrap_or(!special)))
}

/// What special_tokens_map.json lists is special, whatever the entry says.
fn as_special(mut value: Value) -> Value {
    if let Value::Object(fields) = &mut value {
        fields.insert("special".to_owned(), Value::Bool(true));
    }
    value
}

/// A named token of which only the word is known.
fn plain(class: Class, name: &str, word: &str) -> AddedToken {
    let token = AddedToken::from(word, true);
    match class {
        Class::Camembert if name == "mask_token" => token.lstrip(true),
        Class::XlNet if name == "mask_token" => token.lstrip(true).normalized(true),
        _ => token,
    }
}
