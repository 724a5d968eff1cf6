#![allow(clippy::unwrap_used, clippy::print_stderr)]
use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::*;

/// Made by tests/reference/tokens.py with transformers.
#[derive(Deserialize)]
struct Case {
    text: Vec<String>,
    max_length: usize,
    ids: Vec<u32>,
    types: Vec<u8>,
}

fn model() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/all-MiniLM-L6-v2");
    if !folder.join("vocab.txt").is_file() {
        eprintln!("skipped: {} is not there; `make setup` gets it", folder.display());
        return None;
    }
    Some(folder)
}

fn assert_equals_reference(tokenizer: &Tokenizer, how: &str) {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../../../tests/reference/tokens.json")).unwrap();
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
fn words_that_were_kept_are_those_of_the_whole_text() {
    let Some(folder) = model() else { return };
    let tokenizer = Tokenizer::open(&folder).unwrap();
    let mut words = Words::of(&tokenizer.inner);
    assert!(words.known.is_some());
    let texts = [
        "The cat's café, the CAT'S cafe\u{301} -- isn't it?",
        "  two  spaces \t a tab\u{b}and a\u{0}control a\u{a0}hard\u{2003}space ",
        "a \u{301}mark alone, 東京 tower, naïve\u{200d}joined [SEP] [MASK]x ΟΔΟΣ ǅ",
        "",
        " ",
    ];
    for text in [texts, texts].concat() {
        let whole = tokenizer.inner.encode_fast(text, false).unwrap();
        let found = words.encode(text, 1).unwrap();
        assert_eq!(found.get_ids(), whole.get_ids(), "{text:?}");
        assert_eq!((found.get_type_ids().to_vec(), found.len()), (vec![1; whole.len()], whole.len()));
    }
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

/// A model folder of tests/reference/tokenizers.json, made by the script of that name with transformers.
#[derive(Deserialize)]
struct Folder {
    name: String,
    /// Name in the folder, and name under tests/reference/tokenizers.
    #[serde(default)]
    files: BTreeMap<String, String>,
    #[serde(default)]
    texts: BTreeMap<String, Value>,
    /// A folder under models/ instead of all this.
    model: Option<String>,
    /// `None` where transformers knows of no padding token.
    pad: Option<u32>,
    digits: String,
}

fn reference() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference")
}

fn folders() -> Vec<Folder> {
    serde_json::from_str(&std::fs::read_to_string(reference().join("tokenizers.json")).unwrap()).unwrap()
}

impl Folder {
    fn write(&self, to: &Path) {
        for (there, here) in &self.files {
            std::fs::copy(reference().join("tokenizers").join(here), to.join(there)).unwrap();
        }
        for (there, content) in &self.texts {
            std::fs::write(to.join(there), content.to_string()).unwrap();
        }
    }
}

fn named(name: &str, to: &Path) {
    folders().iter().find(|folder| folder.name == name).unwrap().write(to);
}

#[test]
fn ids_of_every_family_equal_transformers_on_a_thousand_sentences() {
    let sentences: Value =
        serde_json::from_str(&std::fs::read_to_string(reference().join("sentences.json")).unwrap()).unwrap();
    let sentences: Vec<&[Value]> =
        sentences["cases"].as_array().unwrap().iter().map(|case| case.as_array().unwrap().as_slice()).collect();
    assert_eq!(sentences.len(), 1000);
    let mut by_length: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (number, sentence) in sentences.iter().enumerate() {
        by_length.entry(sentence[0].as_u64().unwrap()).or_default().push(number);
    }
    let row = |number: &usize| {
        let text = sentences[*number][1..].iter().map(|text| text.as_str().unwrap().to_owned());
        Row { text: text.collect(), label: 0.0 }
    };
    for folder in folders() {
        let made = tempfile::tempdir().unwrap();
        folder.write(made.path());
        let place = match &folder.model {
            Some(_) if model().is_none() => continue,
            Some(name) => Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name),
            None => made.path().to_owned(),
        };
        let tokenizer = Tokenizer::open(&place).unwrap_or_else(|fault| panic!("{}: {fault:#}", folder.name));
        assert!(folder.pad.is_none_or(|pad| pad == tokenizer.pad()), "{} pads with {}", folder.name, tokenizer.pad());
        let mut wrong = Vec::new();
        for (&max_length, numbers) in &by_length {
            let rows: Vec<Row> = numbers.iter().map(row).collect();
            let tokens = tokenizer.encode(&rows, max_length as usize).unwrap();
            for (place, number) in numbers.iter().enumerate() {
                let (ids, types) = (tokens.ids(place), tokens.types(place));
                let mut bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
                bytes.extend(types);
                let digits = format!("{:04x}", crc32fast::hash(&bytes) & 0xffff);
                if digits != folder.digits[4 * number..][..4] {
                    wrong.push(format!("{max_length} {:?}: {ids:?} {types:?}", rows[place].text));
                }
            }
        }
        let first: Vec<&String> = wrong.iter().take(5).collect();
        assert!(wrong.is_empty(), "{}: {} of 1000 differ, first {first:#?}", folder.name, wrong.len());
    }
}

#[test]
fn the_hash_is_that_of_the_file_unless_something_else_decides() {
    let folder = tempfile::tempdir().unwrap();
    let hash = || Tokenizer::open(folder.path()).unwrap().hash().to_owned();
    named("bert, whole", folder.path());
    let file = blake3::hash(&std::fs::read(folder.path().join("tokenizer.json")).unwrap()).to_hex().to_string();
    let config = |text: &str| std::fs::write(folder.path().join("tokenizer_config.json"), text).unwrap();
    assert_ne!(hash(), file, "its [CLS] and [SEP] are placed by another post-processor");
    config(r#"{"tokenizer_class": "PreTrainedTokenizerFast"}"#);
    assert_eq!(hash(), file);
    config(r#"{"tokenizer_class": "PreTrainedTokenizerFast", "truncation_side": "left"}"#);
    assert_ne!(hash(), file);
    config(r#"{"tokenizer_class": "PreTrainedTokenizerFast", "split_special_tokens": true}"#);
    assert_ne!(hash(), file);
    config("{}");
    let before = hash();
    config(r#"{"do_lower_case": false}"#);
    assert_ne!(hash(), before);
}

#[test]
fn more_ids_than_embeddings_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    named("deberta", folder.path());
    let config = |rows: u32| {
        let text = format!(r#"{{"model_type": "deberta-v2", "vocab_size": {rows}}}"#);
        std::fs::write(folder.path().join("config.json"), text).unwrap();
    };
    let mask = |rows| {
        config(rows);
        let text = [Row { text: vec!["[MASK]".into()], label: 0.0 }];
        Tokenizer::open(folder.path()).unwrap().encode(&text, 8).unwrap().ids(0).to_vec()
    };
    // The vocabulary has 900 pieces; [MASK] is no piece, and gets the id behind them where there is an embedding.
    assert_eq!(mask(901), [1, 900, 2]);
    assert!(!mask(900).contains(&900));
    config(899);
    let fault = Tokenizer::open(folder.path()).err().unwrap().to_string();
    assert!(fault.contains("ids up to 899") && fault.contains("only 899 embeddings"), "{fault}");
}

/// What `open` says after a file of a folder was replaced, or removed.
fn fault(name: &str, file: &str, content: Option<&[u8]>) -> String {
    let folder = tempfile::tempdir().unwrap();
    named(name, folder.path());
    match content {
        Some(content) => std::fs::write(folder.path().join(file), content).unwrap(),
        None => std::fs::remove_file(folder.path().join(file)).unwrap(),
    }
    let fault = format!("{:#}", Tokenizer::open(folder.path()).err().expect("a fault"));
    assert!(fault.contains(&folder.path().display().to_string()), "{fault}");
    fault
}

#[test]
fn a_damaged_file_is_named() {
    let contains = |fault: String, words: &[&str]| assert!(words.iter().all(|word| fault.contains(word)), "{fault}");
    contains(fault("roberta", "merges.txt", None), &["neither tokenizer.json nor merges.txt"]);
    contains(fault("roberta", "vocab.json", Some(b"{\n\"a\": 1,\n")), &["vocab.json", "not JSON", "line 3"]);
    contains(fault("roberta", "vocab.json", Some(b"[]")), &["merges.txt", "no object of words"]);
    contains(fault("roberta", "vocab.json", Some(b"{\"a\": \"x\"}")), &["merges.txt", "line 2"]);
    contains(fault("roberta", "merges.txt", Some(b"#version: 0.2\na b c\n")), &["merges.txt", "line 2"]);
    contains(fault("albert", "spiece.model", Some(b"version https://")), &["spiece.model", "no SentencePiece model"]);
    contains(fault("albert", "spiece.model", None), &["neither tokenizer.json nor spiece.model"]);
    contains(fault("deberta, whole", "tokenizer.json", Some(b"{")), &["tokenizer.json", "not a tokenizer"]);
    contains(fault("deberta, whole", "tokenizer.json", Some(b"[]")), &["tokenizer.json", "it has no model"]);
    let empty = br#"{"model": {"vocab": []}}"#;
    contains(fault("deberta, whole", "tokenizer.json", Some(empty)), &["the tokenizer in"]);
    contains(fault("modernbert", "tokenizer.json", Some(br#"{"model": {}}"#)), &["tokenizer.json is not a tokenizer"]);
    contains(fault("modernbert", "tokenizer.json", None), &["no tokenizer.json"]);
    contains(fault("bert", "vocab.txt", Some(b"")), &["vocab.txt", "empty"]);
    contains(fault("bert", "vocab.txt", Some(b"\xff\n")), &["vocab.txt"]);
    contains(fault("bert", "tokenizer_config.json", Some(b"{,")), &["tokenizer_config.json", "not JSON"]);
    let class = br#"{"tokenizer_class": "GPT2Tokenizer"}"#;
    contains(fault("bert", "tokenizer_config.json", Some(class)), &["\"GPT2Tokenizer\" is not known"]);
    let side = br#"{"truncation_side": "middle"}"#;
    contains(fault("bert", "tokenizer_config.json", Some(side)), &["\"middle\"", "right or left"]);
    let id = br#"{"added_tokens_decoder": {"x": {"content": "y"}}}"#;
    contains(fault("bert", "tokenizer_config.json", Some(id)), &["tokenizer_config.json", "\"x\" is no number"]);
    let token = br#"{"cls_token": 7}"#;
    contains(fault("bert", "tokenizer_config.json", Some(token)), &["cls_token", "7 is no token"]);
    contains(fault("bert", "special_tokens_map.json", Some(br#"{"sep_token": "gone"}"#)), &["no sep_token `gone`"]);
    contains(fault("bert", "added_tokens.json", Some(br#"{"new": -1}"#)), &["added_tokens.json", "-1 is no token id"]);
    let class = br#"{"tokenizer_class": "RobertaTokenizer"}"#;
    contains(fault("bert, whole", "tokenizer_config.json", Some(class)), &["tokenizer.json", "Roberta"]);
}

#[test]
fn no_cut_of_a_file_makes_it_panic() {
    for (name, file) in [("albert", "spiece.model"), ("roberta", "vocab.json"), ("camembert, whole", "tokenizer.json")]
    {
        let folder = tempfile::tempdir().unwrap();
        named(name, folder.path());
        let whole = std::fs::read(folder.path().join(file)).unwrap();
        for part in 0..20 {
            std::fs::write(folder.path().join(file), &whole[..whole.len() * part / 20]).unwrap();
            let text = [Row { text: vec!["A sentence: “Äpfel”, ﬁn.".into()], label: 0.0 }];
            let Ok(tokenizer) = Tokenizer::open(folder.path()) else { continue };
            let _ = tokenizer.encode(&text, 16);
        }
    }
}
