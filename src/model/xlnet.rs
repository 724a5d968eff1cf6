//! XLNet (Yang et al. 2019) as it is fine-tuned: one stream, relative positions, segments told apart by pair of tokens.
//! As in transformers 5.

use anyhow::{Result, bail, ensure};

use super::activation::Activation;
use super::config::{Config, Family, Rates, Sizes};
use super::fields::Fields;
use super::head::{Dense, Head, Summary};
use super::parameter::Parameters;
use crate::method::Role;

#[derive(Debug, Clone, PartialEq)]
pub struct XlNet {
    /// Width of a head.
    pub head_size: i64,
    /// Width of the feed-forward layer.
    pub inner_size: i64,
    pub activation: Activation,
    /// Distances beyond count as this one; 0 is no limit.
    pub clamp: i64,
}

pub(super) fn read(fields: &Fields) -> Result<Config> {
    fields.only("attn_type", "bi")?;
    ensure!(!fields.flag("bi_data", false)?, "bi_data is true; fine-tuning knows only false");
    ensure!(fields.flag("summary_use_proj", true)?, "summary_use_proj is false; known is: true");
    ensure!(!fields.flag("summary_proj_to_labels", false)?, "summary_proj_to_labels is true; known is: false");
    let summary = match fields.word("summary_type", "last")? {
        "last" => Summary::Last,
        "first" => Summary::First,
        other => bail!("summary_type \"{other}\" is not known; known are: last, first"),
    };
    let rate = fields.rate("dropout", 0.1)?;
    let dropout = Rates {
        embeddings: rate,
        hidden: rate,
        attention: rate,
        dense: fields.rate("summary_first_dropout", 0.0)?,
        head: fields.rate("summary_last_dropout", 0.1)?,
    };
    let dense = Dense {
        name: "sequence_summary.summary",
        has_bias: true,
        activation: Activation::parse("summary_activation", fields.word("summary_activation", "tanh")?)?,
        norm: None,
        role: Role::Head,
        in_base: false,
    };
    let head = Head { summary, dense: Some(dense), projection: "logits_proj" };
    let sizes = Sizes::read(fields, ["d_model", "n_layer", "n_head"])?;
    let head_size = sizes.hidden_size / sizes.heads;
    fields.is("d_head", head_size)?;
    let family = XlNet {
        head_size,
        inner_size: fields.size("d_inner")?,
        activation: Activation::parse("ff_activation", fields.word("ff_activation", "gelu")?)?,
        clamp: fields.whole("clamp_len", -1, Some(-1))?.max(0),
    };
    Config::new(fields, sizes, dropout, head, Family::XlNet(family))
}

impl XlNet {
    pub(super) fn add_to(&self, parameters: &mut Parameters, config: &Config) {
        let (hidden, heads, size) = (config.hidden_size, config.heads, self.head_size);
        parameters.part(Role::Embeddings);
        // Stands for masked words in pre-training; fine-tuning keeps it as it is.
        parameters.tensor("mask_emb", &[1, 1, hidden], false);
        parameters.matrix("word_embedding", config.vocab_size, hidden);
        parameters.part(Role::Encoder);
        for layer in 0..config.layers {
            let part = |name: &str| format!("layer.{layer}.{name}");
            for name in ["q", "k", "v", "o", "r"] {
                parameters.tensor(part(&format!("rel_attn.{name}")), &[hidden, heads, size], true);
            }
            for name in ["r_r_bias", "r_s_bias", "r_w_bias"] {
                parameters.tensor(part(&format!("rel_attn.{name}")), &[heads, size], false);
            }
            parameters.tensor(part("rel_attn.seg_embed"), &[2, heads, size], true);
            parameters.norm(&part("rel_attn.layer_norm"), hidden);
            parameters.norm(&part("ff.layer_norm"), hidden);
            parameters.linear(&part("ff.layer_1"), self.inner_size, hidden);
            parameters.linear(&part("ff.layer_2"), hidden, self.inner_size);
        }
    }
}
