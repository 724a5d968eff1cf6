//! How two child networks overlap layer by layer and kind by kind, so that reports need no mask files.

use std::collections::HashMap;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::mask::{Mask, alike, share};

/// One kind of parameters in one layer: what two masks keep of it. A row of `overlap_parts.csv`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartOverlap {
    /// Mask keys.
    pub a: String,
    pub b: String,
    /// `embeddings`, `0` to the last layer, `pooler` or `other`.
    pub layer: String,
    /// `query`, `layer norm`, …: see [`kind_of`].
    pub kind: String,
    /// Entries that both keep.
    pub shared: u64,
    pub kept_a: u64,
    pub kept_b: u64,
    /// Entries in all.
    pub of: u64,
}

impl PartOverlap {
    /// Shared entries of the smaller mask's, in [0, 1]; `None` if it keeps none here.
    pub fn rate(&self) -> Option<f64> {
        share(self.shared, self.kept_a.min(self.kept_b))
    }

    /// The rate expected where both keep as many entries here as they do, drawn at random. The number of shared ones is
    /// then hypergeometric with mean kept_a · kept_b / of.
    pub fn rate_by_chance(&self) -> Option<f64> {
        share(self.kept_a.max(self.kept_b), self.of)
    }

    /// The counts of both; they must be of the same two masks.
    pub fn add(&mut self, other: &PartOverlap) {
        self.shared += other.shared;
        self.kept_a += other.kept_a;
        self.kept_b += other.kept_b;
        self.of += other.of;
    }
}

/// Counts the entries of two masks, named by their keys, for every layer and kind that their tensors belong to, in the
/// order of the tensors. An error if they do not cover the same tensors.
pub fn overlap_parts((a, first): (&str, &Mask), (b, second): (&str, &Mask)) -> Result<Vec<PartOverlap>> {
    alike((a, first), (b, second))?;
    let mut parts: Vec<PartOverlap> = Vec::new();
    let mut places: HashMap<(String, &str), usize> = HashMap::new();
    let mut from = 0;
    for segment in &first.segments {
        let to = from + segment.len;
        let (layer, kind) = (layer_of(&segment.name), kind_of(&segment.name));
        let count = |word: &dyn Fn(usize) -> u64| count(word, from, to);
        let own = PartOverlap {
            a: a.to_owned(),
            b: b.to_owned(),
            layer: layer.clone(),
            kind: kind.to_owned(),
            shared: count(&|i| first.bits[i] & second.bits[i]),
            kept_a: count(&|i| first.bits[i]),
            kept_b: count(&|i| second.bits[i]),
            of: segment.len,
        };
        match places.get(&(layer.clone(), kind)) {
            Some(&place) => parts[place].add(&own),
            None => {
                places.insert((layer, kind), parts.len());
                parts.push(own);
            }
        }
        from = to;
    }
    Ok(parts)
}

/// Set bits from entry `from` up to `to`, of words of 64 entries.
fn count(word: &dyn Fn(usize) -> u64, from: u64, to: u64) -> u64 {
    let words = from / 64..to.div_ceil(64);
    let bits = words.map(|i| {
        let (before, behind) = (from.saturating_sub(i * 64), ((i + 1) * 64).saturating_sub(to));
        word(i as usize) & (u64::MAX << before) & (u64::MAX >> behind)
    });
    bits.map(|bits| u64::from(bits.count_ones())).sum()
}

/// The layer that a parameter belongs to by its name: the first number in it, else `embeddings`, `pooler` or `other`.
pub fn layer_of(name: &str) -> String {
    let number = name.split('.').find(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    match number {
        Some(number) => number.to_owned(),
        None if is_embedding(name) => "embeddings".to_owned(),
        None if name.contains("pooler") => "pooler".to_owned(),
        None => "other".to_owned(),
    }
}

fn is_embedding(name: &str) -> bool {
    ["embed", "mask_emb"].iter().any(|word| name.contains(word))
}

/// The kinds of matrices and what the names of one contain, in all families: BERT, RoBERTa, ELECTRA, ALBERT; DeBERTa;
/// DistilBERT; XLNet; ModernBERT. The first that fits counts.
const MATRICES: &[(&str, &[&str])] = &[
    ("position", &[".pos_key_proj", ".pos_query_proj", "rel_attn.r", "seg_embed"]),
    ("query", &[".query", "q_lin", "rel_attn.q"]),
    ("key", &[".key", "k_lin", "rel_attn.k"]),
    ("value", &[".value", "v_lin", "rel_attn.v"]),
    ("query, key, value", &["attn.Wqkv"]),
    ("attention output", &["attention.output", "out_lin", "rel_attn.o", "attn.Wo", "attention.dense"]),
    ("output", &["output.dense", "ffn.lin2", "ff.layer_2", "mlp.Wo", "ffn_output"]),
    ("intermediate", &["intermediate", "ffn.lin1", "ff.layer_1", "mlp.Wi", ".ffn."]),
    ("pooler", &["pooler"]),
];

/// The kind of a parameter by its name: `layer norm` with its bias, `bias` of any matrix, `embeddings`, one of the
/// encoder's matrices, `pooler`, or `other`.
pub fn kind_of(name: &str) -> &'static str {
    if ["LayerNorm", "layer_norm", "layernorm", "attn_norm", "mlp_norm", "final_norm"]
        .iter()
        .any(|word| name.contains(word))
    {
        return "layer norm";
    }
    if name.ends_with("bias") {
        return "bias";
    }
    if is_embedding(name) && layer_of(name) == "embeddings" {
        return "embeddings";
    }
    let fits = |words: &[&str]| words.iter().any(|word| name.contains(word));
    MATRICES.iter().find(|(_, words)| fits(words)).map_or("other", |(kind, _)| kind)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::record::mask::{Segment, overlap};

    fn segments(lens: &[(&str, u64)]) -> Vec<Segment> {
        lens.iter().map(|(name, len)| Segment { name: (*name).to_owned(), len: *len }).collect()
    }

    #[test]
    fn counts_by_hand() {
        let cover = segments(&[
            ("encoder.layer.0.attention.self.query.weight", 4),
            ("encoder.layer.0.attention.self.query.bias", 2),
            ("encoder.layer.0.output.dense.bias", 1),
            ("encoder.layer.1.attention.self.query.weight", 4),
        ]);
        let mask = |kept: &[u64]| Mask::from_fn(cover.clone(), |i| kept.contains(&i));
        let (a, b) = (mask(&[0, 1, 4, 6, 7]), mask(&[1, 2, 3, 4, 5, 8]));
        let parts = overlap_parts(("a", &a), ("b", &b)).unwrap();
        let told: Vec<_> = parts.iter().map(|p| (&*p.layer, &*p.kind, p.shared, p.kept_a, p.kept_b, p.of)).collect();
        assert_eq!(told, [("0", "query", 1, 2, 3, 4), ("0", "bias", 1, 2, 2, 3), ("1", "query", 0, 1, 1, 4)]);
        // Of the 2 entries of the smaller, 1 is shared; of 4 entries the larger keeps 3.
        assert_eq!((parts[0].rate(), parts[0].rate_by_chance()), (Some(0.5), Some(0.75)));
        let mut both = parts[0].clone();
        both.add(&parts[2]);
        assert_eq!((both.shared, both.kept_a, both.kept_b, both.of), (1, 3, 4, 8));
    }

    proptest! {
        #[test]
        fn parts_add_up_to_the_whole(
            pairs in prop::collection::vec(any::<(bool, bool)>(), 1..400),
            cuts in (0usize..400, 0usize..400),
        ) {
            let len = pairs.len();
            let (one, two) = (cuts.0.min(len), cuts.1.min(len));
            let (one, two) = (one.min(two), one.max(two));
            let cover = segments(&[
                ("layer.0.query", one as u64),
                ("layer.1.query", (two - one) as u64),
                ("layer.0.key", (len - two) as u64),
            ]);
            let (a, b): (Vec<bool>, Vec<bool>) = pairs.into_iter().unzip();
            let (a, b) = (Mask::from_bools(cover.clone(), &a).unwrap(), Mask::from_bools(cover, &b).unwrap());
            let whole = overlap(("a", &a), ("b", &b)).unwrap();
            let parts = overlap_parts(("a", &a), ("b", &b)).unwrap();
            let sum = |f: fn(&PartOverlap) -> u64| parts.iter().map(f).sum::<u64>();
            prop_assert_eq!(sum(|p| p.shared), whole.both);
            prop_assert_eq!((sum(|p| p.kept_a), sum(|p| p.kept_b)), (whole.a_kept, whole.b_kept));
            prop_assert_eq!(sum(|p| p.of), whole.of);
        }
    }

    #[test]
    fn names_of_every_family_have_a_place() {
        for (name, layer, kind) in [
            ("embeddings.word_embeddings.weight", "embeddings", "embeddings"),
            ("embeddings.LayerNorm.bias", "embeddings", "layer norm"),
            ("encoder.layer.11.attention.self.key.weight", "11", "key"),
            ("encoder.layer.11.attention.self.key.bias", "11", "bias"),
            ("encoder.layer.3.attention.output.dense.weight", "3", "attention output"),
            ("encoder.layer.3.attention.output.LayerNorm.weight", "3", "layer norm"),
            ("encoder.layer.3.intermediate.dense.weight", "3", "intermediate"),
            ("encoder.layer.3.output.dense.weight", "3", "output"),
            ("pooler.dense.weight", "pooler", "pooler"),
            ("layer.7.rel_attn.q", "7", "query"),
            ("layer.7.rel_attn.r_w_bias", "7", "bias"),
            ("layer.7.ff.layer_1.weight", "7", "intermediate"),
            ("layer.7.rel_attn.r", "7", "position"),
            ("layer.7.rel_attn.seg_embed", "7", "position"),
            ("encoder.layer.4.attention.self.pos_key_proj.weight", "4", "position"),
            ("encoder.albert_layer_groups.0.albert_layers.0.attention.query.weight", "0", "query"),
            ("encoder.albert_layer_groups.0.albert_layers.0.attention.dense.weight", "0", "attention output"),
            ("encoder.albert_layer_groups.0.albert_layers.0.ffn.weight", "0", "intermediate"),
            ("encoder.albert_layer_groups.0.albert_layers.0.ffn_output.weight", "0", "output"),
            ("layers.5.attn.Wqkv.weight", "5", "query, key, value"),
            ("layers.5.attn.Wo.weight", "5", "attention output"),
            ("layers.5.mlp.Wi.weight", "5", "intermediate"),
            ("layers.5.mlp.Wo.weight", "5", "output"),
            ("layers.5.mlp_norm.weight", "5", "layer norm"),
            ("transformer.layer.2.attention.v_lin.weight", "2", "value"),
            ("transformer.layer.2.ffn.lin2.weight", "2", "output"),
            ("encoder.layer.0.attention.self.query_proj.weight", "0", "query"),
            ("w", "other", "other"),
        ] {
            assert_eq!((&*layer_of(name), kind_of(name)), (layer, kind), "{name}");
        }
    }
}
