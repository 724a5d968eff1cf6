//! The BERT-shaped families: one encoder, and for each family its names, sizes and head.
//!
//! BERT (Devlin et al. 2019), RoBERTa (Liu et al. 2019; XLM-R and CamemBERT are RoBERTa in other languages), ELECTRA
//! (Clark et al. 2020, the discriminator), DistilBERT (Sanh et al. 2019), ALBERT (Lan et al. 2020, whose layers share
//! parameters). As in transformers 5.

use anyhow::{Result, ensure};

use super::activation::Activation;
use super::config::{Config, Family, KEYS, Rates, Sizes};
use super::fields::Fields;
use super::head::{Dense, Head, Summary};
use super::parameter::Parameters;
use crate::method::Role;

/// How transformers calls the parts of an encoder.
#[derive(Debug, PartialEq)]
pub struct Names {
    /// Stands before every name of the base model in a checkpoint.
    pub prefix: &'static str,
    /// From `embedding_size` to `hidden_size`.
    pub projection: &'static str,
    /// A block of parameters, `{}` its number.
    block: &'static str,
    pub query: &'static str,
    pub key: &'static str,
    pub value: &'static str,
    pub attention: &'static str,
    pub attention_norm: &'static str,
    pub inner: &'static str,
    pub outer: &'static str,
    pub outer_norm: &'static str,
    /// Dropout behind the attention's output layer, and behind the second feed-forward layer.
    pub attention_dropout: bool,
    pub outer_dropout: bool,
    /// What checkpoints of pre-training hold besides: the beginnings of names.
    pub unused: &'static [&'static str],
}

const BERT: Names = Names {
    prefix: "bert.",
    projection: "embeddings_project",
    block: "encoder.layer.{}",
    query: "attention.self.query",
    key: "attention.self.key",
    value: "attention.self.value",
    attention: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    inner: "intermediate.dense",
    outer: "output.dense",
    outer_norm: "output.LayerNorm",
    attention_dropout: true,
    outer_dropout: true,
    unused: &["cls."],
};

const ROBERTA: Names = Names { prefix: "roberta.", unused: &["lm_head.", "pooler."], ..BERT };

const ELECTRA: Names = Names { prefix: "electra.", unused: &["discriminator_predictions.", "generator_"], ..BERT };

const DISTILBERT: Names = Names {
    prefix: "distilbert.",
    block: "transformer.layer.{}",
    query: "attention.q_lin",
    key: "attention.k_lin",
    value: "attention.v_lin",
    attention: "attention.out_lin",
    attention_norm: "sa_layer_norm",
    inner: "ffn.lin1",
    outer: "ffn.lin2",
    outer_norm: "output_layer_norm",
    attention_dropout: false,
    unused: &["vocab_"],
    ..BERT
};

const ALBERT: Names = Names {
    prefix: "albert.",
    projection: "encoder.embedding_hidden_mapping_in",
    block: "encoder.albert_layer_groups.{}",
    query: "attention.query",
    key: "attention.key",
    value: "attention.value",
    attention: "attention.dense",
    attention_norm: "attention.LayerNorm",
    inner: "ffn",
    outer: "ffn_output",
    outer_norm: "full_layer_layer_norm",
    outer_dropout: false,
    unused: &["predictions.", "sop_classifier."],
    ..BERT
};

/// The numbers of a BERT-shaped encoder that the rest of the program has no use for.
#[derive(Debug, Clone, PartialEq)]
pub struct Bert {
    pub names: &'static Names,
    /// Width of the embeddings; a linear layer leads from it to the hidden size where it is another, or always.
    pub embedding_size: i64,
    pub is_projected: bool,
    pub intermediate_size: i64,
    /// Rows of the table of positions, and the row of the first token.
    pub position_rows: i64,
    pub first_position: i64,
    /// Rows of the table of token types; 0 is none.
    pub type_rows: i64,
    pub activation: Activation,
    /// Name of each block of parameters.
    pub blocks: Vec<String>,
    /// The block that each layer uses: its own in all families but ALBERT.
    pub layers: Vec<usize>,
}

/// The standard rates where the config says nothing.
struct Standard {
    hidden: f64,
    attention: f64,
}

fn rates(fields: &Fields, standard: Standard, head: f64) -> Result<Rates> {
    let hidden = fields.rate("hidden_dropout_prob", standard.hidden)?;
    let attention = fields.rate("attention_probs_dropout_prob", standard.attention)?;
    Ok(Rates { embeddings: hidden, hidden, attention, dense: 0.0, head })
}

pub(super) fn read(model_type: &str, fields: &Fields) -> Result<Config> {
    match model_type {
        "bert" => bert(fields),
        "roberta" | "xlm-roberta" | "camembert" => roberta(fields),
        "electra" => electra(fields),
        "distilbert" => distilbert(fields),
        _ => albert(fields),
    }
}

fn bert(fields: &Fields) -> Result<Config> {
    let hidden = fields.rate("hidden_dropout_prob", 0.1)?;
    let head = fields.rate("classifier_dropout", hidden)?;
    let dense = Dense {
        name: "pooler.dense",
        has_bias: true,
        activation: Activation::Tanh,
        norm: None,
        role: Role::Pooler,
        in_base: true,
    };
    let head_shape = Head { summary: Summary::First, dense: Some(dense), projection: "classifier" };
    shaped(fields, &BERT, rates(fields, Standard { hidden: 0.1, attention: 0.1 }, head)?, head_shape)
}

/// The head of RoBERTa and ELECTRA: dropout, dense, activation, dropout, projection.
fn two_layers(fields: &Fields, names: &'static Names, activation: Activation) -> Result<Config> {
    let hidden = fields.rate("hidden_dropout_prob", 0.1)?;
    let head = fields.rate("classifier_dropout", hidden)?;
    let dense =
        Dense { name: "classifier.dense", has_bias: true, activation, norm: None, role: Role::Head, in_base: false };
    let head_shape = Head { summary: Summary::First, dense: Some(dense), projection: "classifier.out_proj" };
    let rates = Rates { dense: head, ..rates(fields, Standard { hidden: 0.1, attention: 0.1 }, head)? };
    shaped(fields, names, rates, head_shape)
}

fn roberta(fields: &Fields) -> Result<Config> {
    let mut config = two_layers(fields, &ROBERTA, Activation::Tanh)?;
    let Family::Bert(bert) = &mut config.family else { unreachable!("it is BERT-shaped") };
    // Positions are counted from the padding's id: fairseq's heritage.
    bert.first_position = config.pad_token_id + 1;
    let positions = bert.position_rows - bert.first_position;
    ensure!(
        positions > 0,
        "max_position_embeddings {} leaves no position for a token: with pad_token_id {} the first has row {}",
        bert.position_rows,
        config.pad_token_id,
        bert.first_position
    );
    config.positions = Some(positions);
    Ok(config)
}

fn electra(fields: &Fields) -> Result<Config> {
    let mut config = two_layers(fields, &ELECTRA, Activation::Gelu)?;
    let Family::Bert(bert) = &mut config.family else { unreachable!("it is BERT-shaped") };
    bert.embedding_size = fields.whole("embedding_size", 1, Some(128))?;
    bert.is_projected = bert.embedding_size != config.hidden_size;
    Ok(config)
}

/// ALBERT's rates stand at zero in transformers where a config has none.
fn albert(fields: &Fields) -> Result<Config> {
    let dense = Dense {
        name: "pooler",
        has_bias: true,
        activation: Activation::Tanh,
        norm: None,
        role: Role::Pooler,
        in_base: true,
    };
    let head_shape = Head { summary: Summary::First, dense: Some(dense), projection: "classifier" };
    let head = fields.rate("classifier_dropout_prob", 0.1)?;
    let rates = rates(fields, Standard { hidden: 0.0, attention: 0.0 }, head)?;
    let mut config = shaped(fields, &ALBERT, rates, head_shape)?;
    fields.is("inner_group_num", 1)?;
    let groups = fields.whole("num_hidden_groups", 1, Some(1))? as usize;
    let applied = config.layers;
    ensure!(groups <= applied, "num_hidden_groups is {groups}, more than the {applied} layers");
    let Family::Bert(bert) = &mut config.family else { unreachable!("it is BERT-shaped") };
    bert.embedding_size = fields.whole("embedding_size", 1, Some(128))?;
    bert.is_projected = true;
    bert.blocks = (0..groups).map(|group| format!("{}.albert_layers.0", block(&ALBERT, group))).collect();
    bert.layers = (0..applied).map(|layer| layer * groups / applied).collect();
    Ok(config)
}

fn distilbert(fields: &Fields) -> Result<Config> {
    let hidden = fields.rate("dropout", 0.1)?;
    let rates = Rates {
        embeddings: hidden,
        hidden,
        attention: fields.rate("attention_dropout", 0.1)?,
        dense: 0.0,
        head: fields.rate("seq_classif_dropout", 0.2)?,
    };
    let dense = Dense {
        name: "pre_classifier",
        has_bias: true,
        activation: Activation::Relu,
        norm: None,
        role: Role::Head,
        in_base: false,
    };
    let head = Head { summary: Summary::First, dense: Some(dense), projection: "classifier" };
    let keys =
        Keys { sizes: ["dim", "n_layers", "n_heads"], intermediate: "hidden_dim", activation: "activation", types: 0 };
    let mut config = sized(fields, &DISTILBERT, &keys, rates, head)?;
    config.layer_norm_eps = 1e-12;
    Ok(config)
}

/// Under which keys a config has its sizes.
struct Keys {
    /// As `Sizes::read` takes them.
    sizes: [&'static str; 3],
    intermediate: &'static str,
    activation: &'static str,
    /// Rows of the table of token types where the config says nothing.
    types: i64,
}

fn shaped(fields: &Fields, names: &'static Names, rates: Rates, head: Head) -> Result<Config> {
    fields.only("position_embedding_type", "absolute")?;
    let keys = Keys { sizes: KEYS, intermediate: "intermediate_size", activation: "hidden_act", types: 2 };
    sized(fields, names, &keys, rates, head)
}

fn sized(fields: &Fields, names: &'static Names, keys: &Keys, rates: Rates, head: Head) -> Result<Config> {
    let sizes = Sizes::read(fields, keys.sizes)?;
    let position_rows = fields.size("max_position_embeddings")?;
    let family = Bert {
        names,
        embedding_size: sizes.hidden_size,
        is_projected: false,
        intermediate_size: fields.size(keys.intermediate)?,
        position_rows,
        first_position: 0,
        type_rows: if keys.types == 0 { 0 } else { fields.whole("type_vocab_size", 0, Some(keys.types))? },
        activation: Activation::parse(keys.activation, fields.word(keys.activation, "gelu")?)?,
        blocks: (0..sizes.layers).map(|layer| block(names, layer)).collect(),
        layers: (0..sizes.layers).collect(),
    };
    let mut config = Config::new(fields, sizes, rates, head, Family::Bert(family))?;
    config.positions = Some(position_rows);
    Ok(config)
}

fn block(names: &Names, number: usize) -> String {
    names.block.replace("{}", &number.to_string())
}

impl Bert {
    pub(super) fn add_to(&self, parameters: &mut Parameters, config: &Config) {
        let (hidden, width, names) = (config.hidden_size, self.embedding_size, self.names);
        parameters.part(Role::Embeddings);
        parameters.matrix("embeddings.word_embeddings", config.vocab_size, width);
        parameters.matrix("embeddings.position_embeddings", self.position_rows, width);
        if self.type_rows > 0 {
            parameters.matrix("embeddings.token_type_embeddings", self.type_rows, width);
        }
        parameters.norm("embeddings.LayerNorm", width);
        if self.is_projected {
            parameters.linear(names.projection, hidden, width);
        }
        parameters.part(Role::Encoder);
        for block in &self.blocks {
            let part = |name: &str| format!("{block}.{name}");
            for name in [names.query, names.key, names.value, names.attention] {
                parameters.linear(&part(name), hidden, hidden);
            }
            parameters.norm(&part(names.attention_norm), hidden);
            parameters.linear(&part(names.inner), self.intermediate_size, hidden);
            parameters.linear(&part(names.outer), hidden, self.intermediate_size);
            parameters.norm(&part(names.outer_norm), hidden);
        }
    }
}
