//! A model's `config.json`, checked. Torch-free, so that a sweep is checked before any process starts.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::bert::{self, Bert};
use super::deberta::{self, Deberta};
use super::fields::Fields;
use super::head::Head;
use super::modernbert::{self, ModernBert};
use super::parameter::{Parameter, Parameters};
use super::xlnet::{self, XlNet};
use crate::method::Role;

/// Dropout rates, each at least 0 and below 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    pub embeddings: f64,
    /// Of the hidden states, in every layer.
    pub hidden: f64,
    pub attention: f64,
    /// Before the head's dense layer.
    pub dense: f64,
    /// Before the layer that makes the logits.
    pub head: f64,
}

/// What the families have in common, and what is a family's own.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// As transformers calls it: `bert`, `xlm-roberta`, `deberta-v2`.
    pub model_type: String,
    pub vocab_size: i64,
    pub hidden_size: i64,
    /// Layers that a token goes through.
    pub layers: usize,
    pub heads: i64,
    /// Tokens in the longest text; `None` is no limit.
    pub positions: Option<i64>,
    pub pad_token_id: i64,
    pub initializer_range: f64,
    /// Spread of the weights that make the logits.
    pub head_range: f64,
    pub layer_norm_eps: f64,
    pub dropout: Rates,
    pub head: Head,
    pub family: Family,
}

/// The sizes that every config has, under keys of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub vocab_size: i64,
    pub hidden_size: i64,
    pub layers: usize,
    pub heads: i64,
    pub pad_token_id: i64,
}

impl Sizes {
    /// `[hidden, layers, heads]` are the keys of these sizes.
    ///
    /// # Errors
    /// A size that is missing or none, or that does not suit another.
    pub fn read(fields: &Fields, [hidden, layers, heads]: [&str; 3]) -> Result<Sizes> {
        let vocab_size = fields.size("vocab_size")?;
        let (hidden_size, number) = (fields.size(hidden)?, fields.size(heads)?);
        ensure!(hidden_size % number == 0, "{hidden} {hidden_size} is no multiple of {number} attention heads");
        let pad_token_id = fields.whole("pad_token_id", 0, Some(0))?;
        ensure!(pad_token_id < vocab_size, "pad_token_id {pad_token_id} lies outside the vocabulary of {vocab_size}");
        let depth = fields.whole(layers, 0, None)?;
        ensure!(depth <= 1000, "{layers} is {depth}; that is no size of a model");
        Ok(Sizes { vocab_size, hidden_size, layers: depth as usize, heads: number, pad_token_id })
    }
}

/// The keys of sizes in most configs, for [`Sizes::read`].
pub(super) const KEYS: [&str; 3] = ["hidden_size", "num_hidden_layers", "num_attention_heads"];

/// What really differs between the families.
#[derive(Debug, Clone, PartialEq)]
pub enum Family {
    Bert(Bert),
    XlNet(XlNet),
    Deberta(Deberta),
    ModernBert(ModernBert),
}

/// Model types that can be trained, and the family that each belongs to for people.
pub const MODEL_TYPES: &[(&str, &str)] = &[
    ("bert", "BERT"),
    ("roberta", "RoBERTa"),
    ("xlm-roberta", "XLM-RoBERTa"),
    ("camembert", "CamemBERT"),
    ("electra", "ELECTRA"),
    ("distilbert", "DistilBERT"),
    ("albert", "ALBERT"),
    ("xlnet", "XLNet"),
    ("deberta-v2", "DeBERTa-v3"),
    ("modernbert", "ModernBERT"),
];

impl Config {
    /// Reads and checks `config.json` of a model folder. An error names the file and what to do.
    pub fn read(folder: &Path) -> Result<Config> {
        let path = folder.join("config.json");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}: a model folder holds config.json", path.display()))?;
        Config::parse(&text).with_context(|| format!("{} cannot be used", path.display()))
    }

    /// The config in a text of JSON.
    ///
    /// # Errors
    /// No JSON, an unknown model type, a number out of its range.
    pub fn parse(text: &str) -> Result<Config> {
        let fields = Fields(serde_json::from_str(text)?);
        let model_type = fields.0["model_type"].as_str().context("it has no model_type")?;
        let known = || MODEL_TYPES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let mut config = match model_type {
            "xlnet" => xlnet::read(&fields),
            "deberta-v2" => deberta::read(&fields),
            "modernbert" => modernbert::read(&fields),
            name if MODEL_TYPES.iter().any(|(known, _)| *known == name) => bert::read(name, &fields),
            name => bail!("model_type \"{name}\" is not known; known are: {}", known()),
        }?;
        config.model_type = model_type.to_owned();
        Ok(config)
    }

    /// A config with what every family has; the caller says what else differs.
    ///
    /// # Errors
    /// A number out of its range.
    pub(super) fn new(fields: &Fields, sizes: Sizes, dropout: Rates, head: Head, family: Family) -> Result<Config> {
        let Sizes { vocab_size, hidden_size, layers, heads, pad_token_id } = sizes;
        let initializer_range = fields.real("initializer_range", 0.02)?;
        Ok(Config {
            model_type: String::new(),
            vocab_size,
            hidden_size,
            layers,
            heads,
            positions: None,
            pad_token_id,
            initializer_range,
            head_range: initializer_range,
            layer_norm_eps: fields.real("layer_norm_eps", 1e-12)?,
            dropout,
            head,
            family,
        })
    }

    /// The parameters of the model with a head of `labels` outputs, in transformers' order.
    pub fn parameters(&self, labels: i64) -> Vec<Parameter> {
        let mut parameters = Parameters::default();
        match &self.family {
            Family::Bert(bert) => bert.add_to(&mut parameters, self),
            Family::XlNet(xlnet) => xlnet.add_to(&mut parameters, self),
            Family::Deberta(deberta) => deberta.add_to(&mut parameters, self),
            Family::ModernBert(modernbert) => modernbert.add_to(&mut parameters, self),
        }
        self.head.add_to(&mut parameters, self.hidden_size, labels);
        parameters.finish()
    }

    /// Stands before the names of the base model's tensors in a checkpoint with a head.
    pub fn prefix(&self) -> &'static str {
        match &self.family {
            Family::Bert(bert) => bert.names.prefix,
            Family::XlNet(_) => "transformer.",
            Family::Deberta(_) => "deberta.",
            Family::ModernBert(_) => "model.",
        }
    }

    /// A parameter's name as transformers stores it: `bert.embeddings.word_embeddings.weight`, `classifier.weight`.
    pub fn stored_name(&self, name: &str) -> String {
        if self.head.holds(name) { name.to_owned() } else { format!("{}{name}", self.prefix()) }
    }

    /// Beginnings of the names of what a checkpoint may hold and fine-tuning has no use for: heads of pre-training.
    pub fn unused(&self) -> &'static [&'static str] {
        match &self.family {
            Family::Bert(bert) => bert.names.unused,
            Family::XlNet(_) => &["lm_loss."],
            Family::Deberta(_) => &["lm_predictions.", "mask_predictions.", "cls."],
            Family::ModernBert(_) => &["decoder."],
        }
    }

    /// Layers that have parameters of their own: fewer than tokens go through where layers share them.
    pub fn own_layers(&self) -> usize {
        match &self.family {
            Family::Bert(bert) => bert.blocks.len(),
            _ => self.layers,
        }
    }

    /// What it is, and the share of its parameters that a child network is chosen from: `BERT, 24 layers; 302,309,376 of
    /// 333,581,314 parameters (90.6 %) lie in them`.
    pub fn summary(&self, labels: i64) -> String {
        let parameters = self.parameters(labels);
        let (encoder, all) = (encoder_count(&parameters), count(&parameters));
        let family = MODEL_TYPES.iter().find(|(name, _)| *name == self.model_type).map_or("", |(_, family)| family);
        let layers = match (self.layers, self.own_layers()) {
            (applied, own) if own < applied => format!("{applied} layers that share the parameters of {own}"),
            (applied, _) => format!("{applied} layers"),
        };
        let share = 100.0 * encoder as f64 / all as f64;
        format!(
            "{family}, {layers}; {} of {} parameters ({share:.1} %) lie in them",
            thousands(encoder),
            thousands(all)
        )
    }

    /// Every dropout rate replaced, as `[train] dropout` asks.
    pub fn with_dropout(mut self, rate: Option<f64>) -> Config {
        if let Some(rate) = rate {
            let dense = if self.dropout.dense > 0.0 { rate } else { 0.0 };
            self.dropout = Rates { embeddings: rate, hidden: rate, attention: rate, dense, head: rate };
        }
        self
    }
}

/// `302,309,376`.
pub fn thousands(number: i64) -> String {
    let digits = number.to_string();
    let places = digits.char_indices().flat_map(|(at, digit)| {
        let comma = at > 0 && (digits.len() - at).is_multiple_of(3);
        comma.then_some(',').into_iter().chain([digit])
    });
    places.collect()
}

/// Entries of some parameters.
pub fn count<'a>(parameters: impl IntoIterator<Item = &'a Parameter>) -> i64 {
    parameters.into_iter().map(Parameter::len).sum()
}

/// Entries that a child network is chosen from: those of the transformer layers.
pub fn encoder_count(parameters: &[Parameter]) -> i64 {
    count(parameters.iter().filter(|parameter| parameter.role == Role::Encoder))
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
    fn absent_numbers_take_the_defaults_of_transformers() {
        let config = Config::parse(&format!("{MINIMAL}}}")).expect("a config");
        assert_eq!((config.dropout.hidden, config.initializer_range, config.layer_norm_eps), (0.1, 0.02, 1e-12));
        assert_eq!(config.with_dropout(Some(0.0)).dropout.head, 0.0);
    }

    /// A config with these sizes: `[vocabulary, hidden, layers, heads, inner]`.
    fn sized(model_type: &str, [vocab, hidden, layers, heads, inner]: [i64; 5], more: &str) -> Config {
        let text = format!(
            r#"{{"model_type": "{model_type}", "vocab_size": {vocab}, "hidden_size": {hidden}, "num_hidden_layers": {layers},
            "num_attention_heads": {heads}, "intermediate_size": {inner}, "max_position_embeddings": 512{more}}}"#
        );
        Config::parse(&text).expect("a config")
    }

    /// `sum(p.numel() for p in model.parameters())` of transformers' ….ForSequenceClassification with two labels.
    #[test]
    fn parameters_are_counted_as_transformers_does() {
        let counted = |config: &Config| count(&config.parameters(2));
        assert_eq!(counted(&sized("bert", [30522, 768, 12, 12, 3072], "")), 109_483_778);
        let large = sized("bert", [28996, 1024, 24, 16, 4096], "");
        assert_eq!((counted(&large), encoder_count(&large.parameters(2))), (333_581_314, 302_309_376));
        let said = "BERT, 24 layers; 302,309,376 of 333,581,314 parameters (90.6 %) lie in them";
        assert_eq!(large.summary(2), said);
    }

    #[test]
    fn a_config_that_cannot_be_a_model_is_refused_by_its_key() {
        assert!(error(r#", "hidden_act": "swoosh""#).contains("hidden_act \"swoosh\" is not known; known are: gelu"));
        assert!(error(r#", "hidden_dropout_prob": 1.0"#).contains("hidden_dropout_prob is 1"));
        assert!(error(r#", "pad_token_id": 10"#).contains("outside the vocabulary of 10"));
        assert!(error(r#", "type_vocab_size": -1"#).contains("type_vocab_size is -1; it must be at least 0"));
        assert!(error(r#", "layer_norm_eps": "small""#).contains("layer_norm_eps is \"small\"; it must be a number"));
        assert!(error(r#", "position_embedding_type": "relative_key""#).contains("known is: absolute"));
        let parse = |text: &str| format!("{:#}", Config::parse(text).expect_err("a bad config"));
        assert!(parse("{").contains("EOF"));
        assert!(parse(r#"{"vocab_size": 1}"#).contains("no model_type"));
        assert!(parse(r#"{"model_type": "gpt2"}"#).contains("\"gpt2\" is not known; known are: bert, roberta"));
        assert!(parse(r#"{"model_type": "xlnet"}"#).contains("no vocab_size"));
        let heads = MINIMAL.replace("\"num_attention_heads\": 3", "\"num_attention_heads\": 5");
        assert!(parse(&format!("{heads}}}")).contains("hidden_size 12 is no multiple of 5 attention heads"));
        let huge = MINIMAL.replace("\"hidden_size\": 12", "\"hidden_size\": 9000000000000000000");
        assert!(parse(&format!("{huge}}}")).contains("no size of a model"));
    }

    /// What a child network is chosen from: the tensors of the layers, as the authors' program takes every parameter
    /// with "layer" in its name. These are the ones outside, of the configs that transformers' parity is held against.
    #[test]
    fn the_encoder_is_the_layers_in_every_family() {
        let outside = |name: &str| {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/families").join(name);
            let parameters = Config::read(&folder).expect("a config").parameters(2);
            for parameter in &parameters {
                let in_layer = parameter.name.contains("layer.") || parameter.name.contains("layers.");
                assert_eq!(parameter.role == Role::Encoder, in_layer, "{name}: {}", parameter.name);
            }
            let outside = parameters.into_iter().filter(|parameter| parameter.role != Role::Encoder);
            let mut names: Vec<String> = outside.map(|parameter| parameter.name.replace(".weight", "")).collect();
            names.retain(|name| !name.ends_with(".bias"));
            names.join(" ")
        };
        let embeddings = "embeddings.word_embeddings embeddings.position_embeddings";
        let types = "embeddings.token_type_embeddings embeddings.LayerNorm";
        let two = "classifier.dense classifier.out_proj";
        assert_eq!(outside("bert"), format!("{embeddings} {types} pooler.dense classifier"));
        assert_eq!(outside("roberta"), format!("{embeddings} {types} {two}"));
        assert_eq!(outside("electra"), format!("{embeddings} {types} embeddings_project {two}"));
        assert_eq!(outside("distilbert"), format!("{embeddings} embeddings.LayerNorm pre_classifier classifier"));
        let mapping = "encoder.embedding_hidden_mapping_in";
        assert_eq!(outside("albert"), format!("{embeddings} {types} {mapping} pooler classifier"));
        // The biases and the table of segments that every layer of XLNet adds to its queries are the layer's.
        assert_eq!(outside("xlnet"), "mask_emb word_embedding sequence_summary.summary logits_proj");
        let relative = "encoder.rel_embeddings encoder.LayerNorm";
        assert_eq!(
            outside("deberta-v3"),
            format!("embeddings.word_embeddings embeddings.LayerNorm {relative} pooler.dense classifier")
        );
        assert_eq!(
            outside("modernbert"),
            "embeddings.tok_embeddings embeddings.norm final_norm head.dense head.norm classifier"
        );
    }
}
