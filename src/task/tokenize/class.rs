//! Which tokenizer class of transformers a folder means.

use anyhow::{Result, bail};
use serde_json::Value;

/// A tokenizer class: how text is cut up around a vocabulary, and the words for its special tokens.
///
/// transformers 5 takes only the vocabulary from tokenizer.json and builds the rest anew by the class, with the settings
/// of tokenizer_config.json. Where both disagree the class wins, so it must win here too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Bert,
    Roberta,
    XlmRoberta,
    Camembert,
    Albert,
    XlNet,
    DebertaV2,
    /// tokenizer.json as it stands.
    AsItStands,
}

/// Classes with their names in `tokenizer_class`, without the suffix `Fast`, and the model types that mean them.
const CLASSES: &[(Class, &[&str], &[&str])] = &[
    (Class::Bert, &["BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer"], &["bert", "distilbert", "electra"]),
    (Class::Roberta, &["RobertaTokenizer"], &["roberta"]),
    (Class::XlmRoberta, &["XLMRobertaTokenizer"], &["xlm-roberta"]),
    (Class::Camembert, &["CamembertTokenizer"], &["camembert"]),
    (Class::Albert, &["AlbertTokenizer"], &["albert"]),
    (Class::XlNet, &["XLNetTokenizer"], &["xlnet"]),
    (Class::DebertaV2, &["DebertaV2Tokenizer"], &["deberta-v2"]),
    (Class::AsItStands, &["PreTrainedTokenizer", "TokenizersBackend"], &["modernbert"]),
];

impl Class {
    /// By `tokenizer_class`, or else by `model_type`, as AutoTokenizer does. `None` where neither is said.
    ///
    /// # Errors
    /// The class that is named is none of these.
    pub fn of(model: &Value, config: &Value) -> Result<Option<Class>> {
        let model_type = model["model_type"].as_str().unwrap_or_default();
        let by_type = CLASSES.iter().find(|(_, _, types)| types.contains(&model_type)).map(|(class, ..)| *class);
        // ModernBERT's class is named wrongly in many folders; transformers does not listen to it.
        if by_type == Some(Class::AsItStands) {
            return Ok(by_type);
        }
        let Some(name) = config["tokenizer_class"].as_str().or(model["tokenizer_class"].as_str()) else {
            return Ok(by_type);
        };
        let bare = name.strip_suffix("Fast").unwrap_or(name);
        if let Some((class, ..)) = CLASSES.iter().find(|(_, names, _)| names.contains(&bare)) {
            return Ok(Some(*class));
        }
        let known: Vec<&str> = CLASSES.iter().flat_map(|(_, names, _)| *names).copied().collect();
        bail!(
            "tokenizer_class \"{name}\" is not known; known are {}, also with Fast behind them; PreTrainedTokenizerFast takes \
             tokenizer.json as it stands",
            known.join(", ")
        )
    }

    /// The files that hold the vocabulary where there is no tokenizer.json; empty where that must be there.
    pub fn files(self) -> &'static [&'static str] {
        match self {
            Class::Bert => &["vocab.txt"],
            Class::Roberta => &["vocab.json", "merges.txt"],
            Class::XlmRoberta | Class::Camembert => &["sentencepiece.bpe.model"],
            Class::Albert | Class::XlNet => &["spiece.model"],
            Class::DebertaV2 => &["spm.model"],
            Class::AsItStands => &[],
        }
    }

    /// The words for special tokens where no file names them.
    pub fn words(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Class::Bert => &[
                ("unk_token", "[UNK]"),
                ("sep_token", "[SEP]"),
                ("pad_token", "[PAD]"),
                ("cls_token", "[CLS]"),
                ("mask_token", "[MASK]"),
            ],
            Class::Roberta | Class::XlmRoberta | Class::Camembert => &[
                ("bos_token", "<s>"),
                ("eos_token", "</s>"),
                ("unk_token", "<unk>"),
                ("sep_token", "</s>"),
                ("pad_token", "<pad>"),
                ("cls_token", "<s>"),
                ("mask_token", "<mask>"),
            ],
            Class::Albert => &[
                ("bos_token", "[CLS]"),
                ("eos_token", "[SEP]"),
                ("unk_token", "<unk>"),
                ("sep_token", "[SEP]"),
                ("pad_token", "<pad>"),
                ("cls_token", "[CLS]"),
                ("mask_token", "[MASK]"),
            ],
            Class::XlNet => &[
                ("bos_token", "<s>"),
                ("eos_token", "</s>"),
                ("unk_token", "<unk>"),
                ("sep_token", "<sep>"),
                ("pad_token", "<pad>"),
                ("cls_token", "<cls>"),
                ("mask_token", "<mask>"),
            ],
            Class::DebertaV2 => &[
                ("bos_token", "[CLS]"),
                ("eos_token", "[SEP]"),
                ("unk_token", "[UNK]"),
                ("sep_token", "[SEP]"),
                ("pad_token", "[PAD]"),
                ("cls_token", "[CLS]"),
                ("mask_token", "[MASK]"),
            ],
            Class::AsItStands => &[],
        }
    }

    /// Further special tokens where no file names any.
    pub fn further_words(self) -> &'static [&'static str] {
        match self {
            Class::Camembert => &["<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"],
            Class::XlNet => &["<eop>", "<eod>"],
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn the_class_that_is_named_goes_before_that_of_the_model() {
        let of = |model_type: &str, class: Value| {
            Class::of(&json!({"model_type": model_type}), &json!({"tokenizer_class": class})).unwrap()
        };
        assert_eq!(of("electra", Value::Null), Some(Class::Bert));
        assert_eq!(of("roberta", json!("XLMRobertaTokenizerFast")), Some(Class::XlmRoberta));
        assert_eq!(of("bert", json!("PreTrainedTokenizerFast")), Some(Class::AsItStands));
        assert_eq!(of("modernbert", json!("RobertaTokenizer")), Some(Class::AsItStands));
        assert_eq!(of("gpt2", Value::Null), None);
        let own = Class::of(&json!({"model_type": "bert", "tokenizer_class": "AlbertTokenizer"}), &Value::Null);
        assert_eq!(own.unwrap(), Some(Class::Albert));
        let fault = Class::of(&json!({}), &json!({"tokenizer_class": "MPNetTokenizer"})).unwrap_err().to_string();
        assert!(fault.contains("\"MPNetTokenizer\" is not known") && fault.contains("ElectraTokenizer"), "{fault}");
    }
}
