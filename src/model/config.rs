//! A model's `config.json`, checked. Torch-free, so that a sweep is checked before any process starts.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// The numbers of a BERT-shaped encoder, by their names in Hugging Face configs.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Config {
    pub model_type: String,
    pub vocab_size: i64,
    pub hidden_size: i64,
    pub num_hidden_layers: usize,
    pub num_attention_heads: i64,
    pub intermediate_size: i64,
    pub max_position_embeddings: i64,
    #[serde(default = "two")]
    pub type_vocab_size: i64,
    #[serde(default = "gelu")]
    pub hidden_act: String,
    #[serde(default = "tenth")]
    pub hidden_dropout_prob: f64,
    #[serde(default = "tenth")]
    pub attention_probs_dropout_prob: f64,
    /// Dropout before the head; `hidden_dropout_prob` where absent.
    #[serde(default)]
    pub classifier_dropout: Option<f64>,
    #[serde(default = "fiftieth")]
    pub initializer_range: f64,
    #[serde(default = "layer_norm_eps")]
    pub layer_norm_eps: f64,
    #[serde(default)]
    pub pad_token_id: i64,
}

fn two() -> i64 {
    2
}
fn gelu() -> String {
    "gelu".to_owned()
}
fn tenth() -> f64 {
    0.1
}
fn fiftieth() -> f64 {
    0.02
}
fn layer_norm_eps() -> f64 {
    1e-12
}

/// Model types that the encoder can be.
pub const MODEL_TYPES: &[&str] = &["bert"];

/// Activations of the feed-forward layers.
pub const ACTIVATIONS: &[&str] = &["gelu", "gelu_new", "gelu_pytorch_tanh", "relu"];

impl Config {
    /// Reads and checks `config.json` of a model folder. An error names the file and what to do.
    pub fn read(folder: &Path) -> Result<Config> {
        let path = folder.join("config.json");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}: a model folder holds config.json", path.display()))?;
        Config::parse(&text).with_context(|| format!("{} cannot be used", path.display()))
    }

    fn parse(text: &str) -> Result<Config> {
        #[derive(Deserialize)]
        struct Kind {
            model_type: Option<String>,
            position_embedding_type: Option<String>,
        }
        let kind: Kind = serde_json::from_str(text)?;
        let model_type = kind.model_type.context("it has no model_type")?;
        ensure!(
            MODEL_TYPES.contains(&model_type.as_str()),
            "model_type \"{model_type}\" is not known; known are: {}",
            MODEL_TYPES.join(", ")
        );
        if let Some(position) = kind.position_embedding_type {
            ensure!(position == "absolute", "position_embedding_type \"{position}\" is not known; known is: absolute");
        }
        let config: Config = serde_json::from_str(text)?;
        for (name, value) in [
            ("vocab_size", config.vocab_size),
            ("hidden_size", config.hidden_size),
            ("num_attention_heads", config.num_attention_heads),
            ("intermediate_size", config.intermediate_size),
            ("max_position_embeddings", config.max_position_embeddings),
            ("type_vocab_size", config.type_vocab_size),
        ] {
            ensure!(value > 0, "{name} is {value}; it must be at least 1");
        }
        if config.hidden_size % config.num_attention_heads != 0 {
            bail!(
                "hidden_size {} is no multiple of {} attention heads",
                config.hidden_size,
                config.num_attention_heads
            );
        }
        ensure!(
            ACTIVATIONS.contains(&config.hidden_act.as_str()),
            "hidden_act \"{}\" is not known; known are: {}",
            config.hidden_act,
            ACTIVATIONS.join(", ")
        );
        ensure!(
            (0..config.vocab_size).contains(&config.pad_token_id),
            "pad_token_id {} lies outside the vocabulary of {}",
            config.pad_token_id,
            config.vocab_size
        );
        for (name, rate) in [
            ("hidden_dropout_prob", config.hidden_dropout_prob),
            ("attention_probs_dropout_prob", config.attention_probs_dropout_prob),
            ("classifier_dropout", config.classifier_dropout.unwrap_or(0.0)),
        ] {
            ensure!((0.0..1.0).contains(&rate), "{name} is {rate}; it must be at least 0 and below 1");
        }
        Ok(config)
    }

    /// Parameters of a head of `labels` outputs over the pooled first token.
    pub fn head_parameters(&self, labels: i64) -> i64 {
        labels * self.hidden_size + labels
    }

    /// Parameters of the whole model with such a head.
    pub fn parameters(&self, labels: i64) -> i64 {
        let (hidden, inner) = (self.hidden_size, self.intermediate_size);
        let linear = |into: i64, out: i64| into * out + out;
        let norm = 2 * hidden;
        let tables = (self.vocab_size + self.max_position_embeddings + self.type_vocab_size) * hidden;
        let layer = 4 * linear(hidden, hidden) + linear(hidden, inner) + linear(inner, hidden) + 2 * norm;
        let pooler = linear(hidden, hidden);
        tables + norm + self.num_hidden_layers as i64 * layer + pooler + self.head_parameters(labels)
    }

    /// Every dropout rate replaced, as `[train] dropout` asks.
    pub fn with_dropout(mut self, rate: Option<f64>) -> Config {
        if let Some(rate) = rate {
            self.hidden_dropout_prob = rate;
            self.attention_probs_dropout_prob = rate;
            self.classifier_dropout = Some(rate);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = r#"{"model_type": "bert", "vocab_size": 10, "hidden_size": 12, "num_hidden_layers": 1,
        "num_attention_heads": 3, "intermediate_size": 8, "max_position_embeddings": 16"#;

    fn error(more: &str) -> String {
        format!("{:#}", Config::parse(&format!("{MINIMAL}{more}}}")).expect_err("a bad config"))
    }

    #[test]
    fn absent_numbers_take_the_defaults_of_bert() {
        let config = Config::parse(&format!("{MINIMAL}}}")).expect("a config");
        assert_eq!((config.hidden_dropout_prob, config.initializer_range, config.type_vocab_size), (0.1, 0.02, 2));
        assert_eq!(config.with_dropout(Some(0.0)).classifier_dropout, Some(0.0));
    }

    /// BertForSequenceClassification of transformers with two labels, sum(p.numel() for p in model.parameters()).
    #[test]
    fn parameters_are_counted_as_transformers_does() {
        let sized = |vocab_size, hidden_size, num_hidden_layers, intermediate_size| Config {
            vocab_size,
            hidden_size,
            num_hidden_layers,
            intermediate_size,
            max_position_embeddings: 512,
            ..Config::parse(&format!("{MINIMAL}}}")).expect("a config")
        };
        assert_eq!(sized(30522, 768, 12, 3072).parameters(2), 109_483_778);
        assert_eq!(sized(28996, 1024, 24, 4096).parameters(2), 333_581_314);
    }

    #[test]
    fn what_cannot_be_is_named() {
        assert!(error(r#", "hidden_act": "swish""#).contains("known are: gelu, gelu_new"));
        assert!(error(r#", "pad_token_id": 10"#).contains("outside the vocabulary of 10"));
        assert!(error(r#", "hidden_dropout_prob": 1.0"#).contains("below 1"));
        assert!(error(r#", "position_embedding_type": "relative_key""#).contains("known is: absolute"));
        let other = MINIMAL.replace("\"bert\"", "\"gpt2\"") + "}";
        assert!(format!("{:#}", Config::parse(&other).expect_err("gpt2")).contains("known are: bert"));
    }
}
