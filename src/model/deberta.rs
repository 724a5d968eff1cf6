//! DeBERTa-v2 and -v3 (He et al. 2021, 2023): attention to content and to relative position, apart. As in transformers 5.

use anyhow::{Result, ensure};

use super::activation::Activation;
use super::config::{Config, Family, KEYS, Rates, Sizes};
use super::fields::Fields;
use super::head::{Dense, Head, Summary};
use super::parameter::Parameters;
use crate::method::Role;

#[derive(Debug, Clone, PartialEq)]
pub struct Deberta {
    pub intermediate_size: i64,
    /// Width of the embeddings, before a linear layer without bias where it is not the hidden size.
    pub embedding_size: i64,
    /// Rows of the table of absolute positions; 0 is none.
    pub position_rows: i64,
    pub type_rows: i64,
    pub activation: Activation,
    pub relative: Option<Relative>,
}

/// Relative positions.
#[derive(Debug, Clone, PartialEq)]
pub struct Relative {
    /// Distances −span … span − 1 have a row each.
    pub span: i64,
    /// Distances far away share buckets, by their logarithm; 0 is none.
    pub buckets: i64,
    /// The largest distance.
    pub longest: i64,
    /// Rows are normalised before they are used.
    pub is_normed: bool,
    /// Positions are projected by the layers that project content.
    pub is_shared: bool,
    /// From content to position, from position to content.
    pub content_to_position: bool,
    pub position_to_content: bool,
}

pub(super) fn read(fields: &Fields) -> Result<Config> {
    ensure!(
        fields.whole("conv_kernel_size", 0, Some(0))? == 0,
        "conv_kernel_size is set: the convolution of DeBERTa-v2-xlarge and -xxlarge is not known, DeBERTa-v3 has none"
    );
    let hidden_rate = fields.rate("hidden_dropout_prob", 0.1)?;
    let dropout = Rates {
        embeddings: hidden_rate,
        hidden: hidden_rate,
        attention: fields.rate("attention_probs_dropout_prob", 0.1)?,
        dense: fields.rate("pooler_dropout", 0.0)?,
        head: fields.rate("cls_dropout", hidden_rate)?,
    };
    let dense = Dense {
        name: "pooler.dense",
        has_bias: true,
        activation: Activation::parse("pooler_hidden_act", fields.word("pooler_hidden_act", "gelu")?)?,
        norm: None,
        role: Role::Head,
        in_base: false,
    };
    let head = Head { summary: Summary::First, dense: Some(dense), projection: "classifier" };
    let sizes = Sizes::read(fields, KEYS)?;
    let hidden = sizes.hidden_size;
    fields.is("attention_head_size", hidden / sizes.heads)?;
    fields.is("pooler_hidden_size", hidden)?;
    let rows = fields.size("max_position_embeddings")?;
    let has_absolute = fields.flag("position_biased_input", true)?;
    let family = Deberta {
        intermediate_size: fields.size("intermediate_size")?,
        embedding_size: fields.whole("embedding_size", 1, Some(hidden))?,
        position_rows: if has_absolute { rows } else { 0 },
        type_rows: fields.whole("type_vocab_size", 0, Some(0))?,
        activation: Activation::parse("hidden_act", fields.word("hidden_act", "gelu")?)?,
        relative: if fields.flag("relative_attention", false)? { Some(relative(fields, rows)?) } else { None },
    };
    let mut config = Config::new(fields, sizes, dropout, head, Family::Deberta(family))?;
    config.layer_norm_eps = fields.real("layer_norm_eps", 1e-7)?;
    config.positions = Some(rows);
    Ok(config)
}

fn relative(fields: &Fields, rows: i64) -> Result<Relative> {
    let positive = |key| fields.whole(key, -1, Some(-1)).map(|number| number.max(0));
    let longest = match positive("max_relative_positions")? {
        0 => rows,
        longest => longest,
    };
    let buckets = positive("position_buckets")?;
    ensure!(
        buckets == 0 || buckets / 2 + 1 < longest,
        "position_buckets {buckets} is too large for {longest} positions"
    );
    let kinds: Vec<String> = match &fields.0["pos_att_type"] {
        serde_json::Value::String(text) => text.to_lowercase().split('|').map(|kind| kind.trim().to_owned()).collect(),
        serde_json::Value::Array(list) => list.iter().filter_map(|kind| kind.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    };
    let has = |kind: &str| kinds.iter().any(|k| k == kind);
    let norm = fields.word("norm_rel_ebd", "none")?;
    Ok(Relative {
        span: if buckets > 0 { buckets } else { longest },
        buckets,
        longest,
        is_normed: norm.to_lowercase().split('|').any(|word| word.trim() == "layer_norm"),
        is_shared: fields.flag("share_att_key", false)?,
        content_to_position: has("c2p"),
        position_to_content: has("p2c"),
    })
}

impl Deberta {
    pub(super) fn add_to(&self, parameters: &mut Parameters, config: &Config) {
        let (hidden, width) = (config.hidden_size, self.embedding_size);
        parameters.part(Role::Embeddings);
        parameters.matrix("embeddings.word_embeddings", config.vocab_size, width);
        if self.position_rows > 0 {
            parameters.matrix("embeddings.position_embeddings", self.position_rows, width);
        }
        if self.type_rows > 0 {
            parameters.matrix("embeddings.token_type_embeddings", self.type_rows, width);
        }
        if width != hidden {
            parameters.matrix("embeddings.embed_proj", hidden, width);
        }
        parameters.norm("embeddings.LayerNorm", hidden);
        parameters.part(Role::Encoder);
        for layer in 0..config.layers {
            let part = |name: &str| format!("encoder.layer.{layer}.{name}");
            for name in ["query_proj", "key_proj", "value_proj"] {
                parameters.linear(&part(&format!("attention.self.{name}")), hidden, hidden);
            }
            if let Some(relative) = self.relative.as_ref().filter(|relative| !relative.is_shared) {
                for (name, is_there) in
                    [("pos_key_proj", relative.content_to_position), ("pos_query_proj", relative.position_to_content)]
                {
                    if is_there {
                        parameters.linear(&part(&format!("attention.self.{name}")), hidden, hidden);
                    }
                }
            }
            parameters.linear(&part("attention.output.dense"), hidden, hidden);
            parameters.norm(&part("attention.output.LayerNorm"), hidden);
            parameters.linear(&part("intermediate.dense"), self.intermediate_size, hidden);
            parameters.linear(&part("output.dense"), hidden, self.intermediate_size);
            parameters.norm(&part("output.LayerNorm"), hidden);
        }
        if let Some(relative) = &self.relative {
            // All layers share this table, so it belongs to none of them.
            parameters.part(Role::Embeddings);
            parameters.matrix("encoder.rel_embeddings", 2 * relative.span, hidden);
            if relative.is_normed {
                parameters.norm("encoder.LayerNorm", hidden);
            }
        }
    }
}
