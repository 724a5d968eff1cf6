//! ModernBERT (Warner et al. 2024): norms before the sublayers, rotary positions, gated feed-forward layers, attention
//! that sees a window in most layers. As in transformers 5.

use anyhow::{Context, Result, bail, ensure};

use super::activation::Activation;
use super::config::{Config, Family, KEYS, Rates, Sizes};
use super::fields::Fields;
use super::head::{Dense, Head, Summary};
use super::parameter::Parameters;
use crate::method::Role;

#[derive(Debug, Clone, PartialEq)]
pub struct ModernBert {
    pub intermediate_size: i64,
    pub activation: Activation,
    pub norm_bias: bool,
    pub attention_bias: bool,
    pub mlp_bias: bool,
    /// How each layer attends.
    pub attention: Vec<Attention>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attention {
    /// Tokens seen to either side; `None` is all.
    pub window: Option<i64>,
    /// Base of the rotary angles.
    pub theta: f64,
}

pub(super) fn read(fields: &Fields) -> Result<Config> {
    let dropout = Rates {
        embeddings: fields.rate("embedding_dropout", 0.0)?,
        hidden: fields.rate("mlp_dropout", 0.0)?,
        attention: fields.rate("attention_dropout", 0.0)?,
        dense: 0.0,
        head: fields.rate("classifier_dropout", 0.0)?,
    };
    let norm_bias = fields.flag("norm_bias", false)?;
    let dense = Dense {
        name: "head.dense",
        has_bias: fields.flag("classifier_bias", false)?,
        activation: Activation::parse("classifier_activation", fields.word("classifier_activation", "gelu")?)?,
        norm: Some(("head.norm", norm_bias)),
        role: Role::Pooler,
        in_base: false,
    };
    let summary = match fields.word("classifier_pooling", "cls")? {
        "cls" => Summary::First,
        "mean" => Summary::Mean,
        other => bail!("classifier_pooling \"{other}\" is not known; known are: cls, mean"),
    };
    let head = Head { summary, dense: Some(dense), projection: "classifier" };
    let sizes = Sizes::read(fields, KEYS)?;
    ensure!(sizes.hidden_size / sizes.heads % 2 == 0, "rotary positions need heads of an even width");
    let family = ModernBert {
        intermediate_size: fields.size("intermediate_size")?,
        activation: Activation::parse("hidden_activation", fields.word("hidden_activation", "gelu")?)?,
        norm_bias,
        attention_bias: fields.flag("attention_bias", false)?,
        mlp_bias: fields.flag("mlp_bias", false)?,
        attention: attention_of_layers(fields, sizes.layers)?,
    };
    let mut config = Config::new(fields, sizes, dropout, head, Family::ModernBert(family))?;
    config.layer_norm_eps = fields.real("norm_eps", 1e-5)?;
    config.head_range = (sizes.hidden_size as f64).powf(-0.5);
    config.positions = Some(fields.size("max_position_embeddings")?);
    Ok(config)
}

/// Configs of today list each layer's kind and the angles' base by kind; older ones say "every n-th sees all".
fn attention_of_layers(fields: &Fields, layers: usize) -> Result<Vec<Attention>> {
    let window = fields.whole("local_attention", 2, Some(128))? / 2;
    let theta = |kind: &str, old: &str, standard| -> Result<f64> {
        let rope = &fields.0["rope_parameters"][kind];
        if let Some(name) = rope["rope_type"].as_str() {
            ensure!(name == "default", "rope_type \"{name}\" is not known; known is: default");
        }
        let theta = match rope["rope_theta"].as_f64() {
            Some(theta) => theta,
            None => fields.real(old, standard)?,
        };
        ensure!(theta > 1.0, "the rotary base of {kind} is {theta}; it must be above 1");
        Ok(theta)
    };
    ensure!(!fields.has("rope_scaling"), "rope_scaling is not known");
    let all = Attention { window: None, theta: theta("full_attention", "global_rope_theta", 160_000.0)? };
    let near = Attention { window: Some(window), theta: theta("sliding_attention", "local_rope_theta", 10_000.0)? };
    if !fields.has("layer_types") {
        let every = fields.whole("global_attn_every_n_layers", 1, Some(3))? as usize;
        return Ok((0..layers).map(|layer| if layer % every == 0 { all } else { near }).collect());
    }
    let kinds = fields.0["layer_types"].as_array().context("layer_types is no list")?;
    ensure!(kinds.len() == layers, "layer_types has {} entries for {layers} layers", kinds.len());
    let attention = |kind: &serde_json::Value| match kind.as_str() {
        Some("full_attention") => Ok(all),
        Some("sliding_attention") => Ok(near),
        _ => bail!("layer_types has {kind}; known are: full_attention, sliding_attention"),
    };
    kinds.iter().map(attention).collect()
}

impl ModernBert {
    pub(super) fn add_to(&self, parameters: &mut Parameters, config: &Config) {
        let hidden = config.hidden_size;
        let norm = |parameters: &mut Parameters, name: &str| {
            parameters.scale(name, hidden);
            if self.norm_bias {
                parameters.bias(name, hidden);
            }
        };
        let linear = |parameters: &mut Parameters, name: &str, out, input, has_bias| {
            parameters.matrix(name, out, input);
            if has_bias {
                parameters.bias(name, out);
            }
        };
        parameters.part(Role::Embeddings);
        parameters.matrix("embeddings.tok_embeddings", config.vocab_size, hidden);
        norm(parameters, "embeddings.norm");
        parameters.part(Role::Encoder);
        for layer in 0..config.layers {
            let part = |name: &str| format!("layers.{layer}.{name}");
            // The embeddings' norm serves the first layer.
            if layer > 0 {
                norm(parameters, &part("attn_norm"));
            }
            linear(parameters, &part("attn.Wqkv"), 3 * hidden, hidden, self.attention_bias);
            linear(parameters, &part("attn.Wo"), hidden, hidden, self.attention_bias);
            norm(parameters, &part("mlp_norm"));
            linear(parameters, &part("mlp.Wi"), 2 * self.intermediate_size, hidden, self.mlp_bias);
            linear(parameters, &part("mlp.Wo"), hidden, self.intermediate_size, self.mlp_bias);
        }
        // Behind the layers and part of none, like a pooler.
        parameters.part(Role::Pooler);
        norm(parameters, "final_norm");
    }
}
