//! How a tokenizer class cuts up text around its vocabulary: what the constructors of transformers 5 build.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};
use tokenizers::processors::PostProcessorWrapper;

use super::class::Class;
use super::special::Specials;
use super::vocabulary::Vocabulary;

/// Builds the tokenizer of a class. `config` is tokenizer_config.json, `whole` tokenizer.json (null where there is none),
/// `rows` the number of the model's embeddings.
///
/// # Errors
/// Files that are missing, damaged or do not fit the class.
pub fn build(
    folder: &Path,
    class: Class,
    config: &Value,
    mut whole: Value,
    mut specials: Specials,
    rows: Option<u64>,
) -> Result<tokenizers::Tokenizer> {
    let vocabulary = if whole.is_null() {
        Vocabulary::of_files(folder, class, &mut specials)?
    } else {
        let place = || format!("{} cannot be used", folder.join("tokenizer.json").display());
        Vocabulary::of_whole(class, &mut whole).with_context(place)?
    };
    let place = || format!("the tokenizer in {} cannot be used", folder.display());
    let charsmap = match &vocabulary {
        Vocabulary::Unigram { charsmap: Some(rules), .. } => {
            Some(json!({"type": "Precompiled", "precompiled_charsmap": rules}))
        }
        _ => None,
    };
    let normalizer = normalizer(class, config, charsmap);
    let model = model(class, config, vocabulary, &specials);
    let parts = json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer(class, config), "post_processor": null, "decoder": null, "model": model});
    let mut inner: tokenizers::Tokenizer =
        parts.to_string().parse().map_err(|fault| anyhow!("{fault}")).with_context(place)?;
    let [start, end] = match class {
        Class::XlmRoberta | Class::Camembert => ["bos_token", "eos_token"],
        _ => ["cls_token", "sep_token"],
    };
    let words = [specials.word(start), specials.word(end)].map(|word| word.unwrap_or_default().to_owned());
    let needed: &[&str] = if class == Class::Bert { &["unk_token", start, end] } else { &[start, end] };
    specials.add_to(&mut inner, needed, rows).with_context(place)?;
    let [start, end] = words.map(|word| (inner.token_to_id(&word).unwrap_or_default(), word));
    let post_processor = match &whole["post_processor"] {
        // The one class that keeps what tokenizer.json says.
        said if class == Class::Albert && !said.is_null() => said.clone(),
        _ => post_processor(class, config, start, end),
    };
    let post_processor: PostProcessorWrapper = serde_json::from_value(post_processor).with_context(place)?;
    inner.with_post_processor(Some(post_processor));
    Ok(inner)
}

fn flag(config: &Value, name: &str, standard: bool) -> bool {
    config[name].as_bool().unwrap_or(standard)
}

fn model(class: Class, config: &Value, vocabulary: Vocabulary, specials: &Specials) -> Value {
    let unknown_word = specials.word("unk_token").unwrap_or_default();
    match vocabulary {
        Vocabulary::WordPiece(words) => json!({"type": "WordPiece", "unk_token": unknown_word,
            "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": words}),
        Vocabulary::BytePair { words, merges } => json!({"type": "BPE", "dropout": null, "unk_token": null,
            "continuing_subword_prefix": "", "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": false, "vocab": words, "merges": merges}),
        Vocabulary::Unigram { pieces, unknown, .. } => {
            let said = || unknown.or(config["unk_id"].as_u64().map(|id| id as usize));
            let place = |is: &dyn Fn(&(String, f64)) -> bool| pieces.iter().position(is);
            let unknown = match class {
                Class::Albert => 1,
                Class::XlmRoberta => 3,
                Class::Camembert => place(&|(word, _)| word == unknown_word).unwrap_or(0),
                Class::DebertaV2 => {
                    place(&|(word, score)| word == unknown_word && *score == 0.0).or_else(said).unwrap_or(1)
                }
                _ => said().unwrap_or(0),
            };
            json!({"type": "Unigram", "unk_id": unknown, "vocab": pieces, "byte_fallback": false})
        }
    }
}

fn normalizer(class: Class, config: &Value, charsmap: Option<Value>) -> Value {
    let step = |name: &str| json!({"type": name});
    let replace = |pattern: Value, by: &str| json!({"type": "Replace", "pattern": pattern, "content": by});
    let mut steps = Vec::new();
    match class {
        Class::Bert => {
            return json!({"type": "BertNormalizer", "clean_text": true,
                "handle_chinese_chars": flag(config, "tokenize_chinese_chars", true),
                "strip_accents": config["strip_accents"], "lowercase": flag(config, "do_lower_case", true)});
        }
        Class::Roberta | Class::AsItStands => return Value::Null,
        Class::XlmRoberta | Class::Camembert => return charsmap.unwrap_or_default(),
        Class::Albert | Class::XlNet => {
            steps.extend(["``", "''"].map(|quotes| replace(json!({"String": quotes}), "\"")));
            if class == Class::XlNet || !flag(config, "keep_accents", false) {
                steps.extend([step("NFKD"), step("StripAccents")]);
            }
            if flag(config, "do_lower_case", class == Class::Albert) {
                steps.push(step("Lowercase"));
            }
            steps.extend(charsmap);
        }
        // The compiled rules are not used: transformers 5 does not either.
        Class::DebertaV2 => {
            if flag(config, "do_lower_case", false) {
                steps.push(step("Lowercase"));
            }
            steps.push(replace(json!({"Regex": r"\s{2,}|[\n\r\t]"}), " "));
            steps.push(step("NFC"));
            steps.push(json!({"type": "Strip", "strip_left": false, "strip_right": true}));
        }
    }
    json!({"type": "Sequence", "normalizers": steps})
}

fn pre_tokenizer(class: Class, config: &Value) -> Value {
    let prefix = |standard| flag(config, "add_prefix_space", standard);
    let metaspace = |scheme| json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": true});
    let steps = match class {
        Class::Bert => return json!({"type": "BertPreTokenizer"}),
        Class::Roberta | Class::AsItStands => {
            return json!({"type": "ByteLevel", "add_prefix_space": prefix(false), "trim_offsets": true,
                "use_regex": true});
        }
        Class::XlmRoberta | Class::Camembert | Class::Albert | Class::XlNet => {
            let is_prefixed = class == Class::XlNet || prefix(true);
            vec![json!({"type": "WhitespaceSplit"}), metaspace(if is_prefixed { "always" } else { "never" })]
        }
        Class::DebertaV2 => {
            let split = flag(config, "split_by_punct", false);
            let punctuation = split.then(|| json!({"type": "Punctuation", "behavior": "Isolated"}));
            let scheme = if prefix(true) { "always" } else { "first" };
            punctuation.into_iter().chain([metaspace(scheme)]).collect()
        }
    };
    json!({"type": "Sequence", "pretokenizers": steps})
}

/// Where special tokens stand, and the segment of each token. `start` and `end` are the ids and words of the two that
/// stand there: `[CLS]` and `[SEP]` or their like.
fn post_processor(class: Class, config: &Value, start: (u32, String), end: (u32, String)) -> Value {
    let special = |(_, word): &(u32, String), kind: u8| json!({"SpecialToken": {"id": word, "type_id": kind}});
    let text = |name: &str, kind: u8| json!({"Sequence": {"id": name, "type_id": kind}});
    let (first, second) = (text("A", 0), |kind| text("B", kind));
    let (single, pair) = match class {
        Class::Roberta => {
            return json!({"type": "RobertaProcessing", "sep": [end.1, end.0], "cls": [start.1, start.0],
                "trim_offsets": flag(config, "trim_offsets", true),
                "add_prefix_space": flag(config, "add_prefix_space", false)});
        }
        Class::XlmRoberta | Class::Camembert => {
            let (start, end) = (special(&start, 0), special(&end, 0));
            (json!([start, first, end]), json!([start, first, end, end, second(0), end]))
        }
        Class::XlNet => {
            let (sep, next, cls) = (special(&end, 0), special(&end, 1), special(&start, 2));
            (json!([first, sep, cls]), json!([first, sep, second(1), next, cls]))
        }
        Class::Bert | Class::Albert | Class::DebertaV2 | Class::AsItStands => {
            let (cls, sep, next) = (special(&start, 0), special(&end, 0), special(&end, 1));
            (json!([cls, first, sep]), json!([cls, first, sep, second(1), next]))
        }
    };
    let mut tokens = serde_json::Map::new();
    for (id, word) in [start, end] {
        tokens.insert(word.clone(), json!({"id": word, "ids": [id], "tokens": [word]}));
    }
    json!({"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": tokens})
}
