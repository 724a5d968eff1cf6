//! Checkpoints that people fine-tune: what `sweep models` lists, and what a misspelt name is compared with. Of each config
//! stand here the numbers that its parameters are counted from.

use crate::model::{self, Config};

/// A checkpoint of the hub.
pub struct Known {
    /// As people write it; the hub leads it to where the checkpoint lies today.
    pub name: &'static str,
    /// Its config.json, as far as sizes go.
    config: &'static str,
}

macro_rules! sized {
    ($type:literal, $vocab:literal, $positions:literal, $hidden:literal, $layers:literal, $heads:literal, $inner:literal $(, $($more:tt)+)?) => {
        concat!(
            r#"{"model_type": ""#, $type, r#"", "vocab_size": "#, $vocab, r#", "max_position_embeddings": "#, $positions,
            r#", "hidden_size": "#, $hidden, r#", "num_hidden_layers": "#, $layers, r#", "num_attention_heads": "#, $heads,
            r#", "intermediate_size": "#, $inner $(, ", ", $($more)+)?, "}"
        )
    };
}

macro_rules! bert {
    ($vocab:literal, $($sizes:literal),*) => { sized!("bert", $vocab, 512, $($sizes),*) };
}

macro_rules! roberta {
    ($type:literal, $vocab:literal, $($sizes:literal),*) => {
        sized!($type, $vocab, 514, $($sizes),*, r#""type_vocab_size": 1, "pad_token_id": 1"#)
    };
}

macro_rules! electra {
    ($embedding:literal, $($sizes:literal),*) => {
        sized!("electra", 30522, 512, $($sizes),*, r#""embedding_size": "#, $embedding)
    };
}

macro_rules! deberta {
    ($($sizes:literal),*) => {
        sized!("deberta-v2", 128100, 512, $($sizes),*, r#""type_vocab_size": 0, "relative_attention": true,
            "position_buckets": 256, "norm_rel_ebd": "layer_norm", "share_att_key": true, "pos_att_type": "p2c|c2p",
            "position_biased_input": false, "max_relative_positions": -1"#)
    };
}

macro_rules! distilbert {
    ($vocab:literal) => {
        concat!(
            r#"{"model_type": "distilbert", "vocab_size": "#,
            $vocab,
            r#", "dim": 768, "n_layers": 6, "n_heads": 12,
            "hidden_dim": 3072, "max_position_embeddings": 512}"#
        )
    };
}

macro_rules! albert {
    ($($sizes:literal),*) => { sized!("albert", 30000, 512, $($sizes),*, r#""embedding_size": 128"#) };
}

macro_rules! xlnet {
    ($model:literal, $layers:literal, $heads:literal, $inner:literal) => {
        concat!(
            r#"{"model_type": "xlnet", "vocab_size": 32000, "d_model": "#,
            $model,
            r#", "n_layer": "#,
            $layers,
            r#", "n_head": "#,
            $heads,
            r#", "d_inner": "#,
            $inner,
            "}"
        )
    };
}

/// By family, small to large.
#[rustfmt::skip]
pub static KNOWN: &[Known] = &[
    Known { name: "sentence-transformers/all-MiniLM-L6-v2", config: bert!(30522, 384, 6, 12, 1536) },
    Known { name: "microsoft/MiniLM-L12-H384-uncased", config: bert!(30522, 384, 12, 12, 1536) },
    Known { name: "bert-base-uncased", config: bert!(30522, 768, 12, 12, 3072) },
    Known { name: "bert-base-cased", config: bert!(28996, 768, 12, 12, 3072) },
    Known { name: "bert-large-uncased", config: bert!(30522, 1024, 24, 16, 4096) },
    Known { name: "bert-large-cased", config: bert!(28996, 1024, 24, 16, 4096) },
    Known { name: "distilroberta-base", config: roberta!("roberta", 50265, 768, 6, 12, 3072) },
    Known { name: "roberta-base", config: roberta!("roberta", 50265, 768, 12, 12, 3072) },
    Known { name: "roberta-large", config: roberta!("roberta", 50265, 1024, 24, 16, 4096) },
    Known { name: "xlm-roberta-base", config: roberta!("xlm-roberta", 250002, 768, 12, 12, 3072) },
    Known { name: "xlm-roberta-large", config: roberta!("xlm-roberta", 250002, 1024, 24, 16, 4096) },
    Known { name: "camembert-base", config: roberta!("camembert", 32005, 768, 12, 12, 3072) },
    Known { name: "google/electra-small-discriminator", config: electra!(128, 256, 12, 4, 1024) },
    Known { name: "google/electra-base-discriminator", config: electra!(768, 768, 12, 12, 3072) },
    Known { name: "google/electra-large-discriminator", config: electra!(1024, 1024, 24, 16, 4096) },
    Known { name: "xlnet-base-cased", config: xlnet!(768, 12, 12, 3072) },
    Known { name: "xlnet-large-cased", config: xlnet!(1024, 24, 16, 4096) },
    Known { name: "microsoft/deberta-v3-xsmall", config: deberta!(384, 12, 6, 1536) },
    Known { name: "microsoft/deberta-v3-small", config: deberta!(768, 6, 12, 3072) },
    Known { name: "microsoft/deberta-v3-base", config: deberta!(768, 12, 12, 3072) },
    Known { name: "microsoft/deberta-v3-large", config: deberta!(1024, 24, 16, 4096) },
    Known { name: "distilbert-base-uncased", config: distilbert!(30522) },
    Known { name: "distilbert-base-cased", config: distilbert!(28996) },
    Known { name: "albert-base-v2", config: albert!(768, 12, 12, 3072) },
    Known { name: "albert-large-v2", config: albert!(1024, 24, 16, 4096) },
    Known { name: "albert-xlarge-v2", config: albert!(2048, 24, 16, 8192) },
    Known { name: "answerdotai/ModernBERT-base", config: sized!("modernbert", 50368, 8192, 768, 22, 12, 1152) },
    Known { name: "answerdotai/ModernBERT-large", config: sized!("modernbert", 50368, 8192, 1024, 28, 16, 2624) },
];

impl Known {
    /// The config that its sizes make; `None` is a fault of this table, which its test finds.
    pub fn config(&self) -> Option<Config> {
        Config::parse(self.config).ok()
    }

    /// Parameters with a head of two classes.
    pub fn parameters(&self) -> Option<i64> {
        Some(model::count(&self.config()?.parameters(2)))
    }
}

/// The known name that was probably meant by another one, if one is near enough.
pub fn nearest(name: &str) -> Option<&'static str> {
    let distance = |known: &str| strsim::damerau_levenshtein(&name.to_lowercase(), &known.to_lowercase());
    let others = KNOWN.iter().map(|known| known.name).filter(|known| *known != name);
    let (distance, meant) = others.map(|known| (distance(known), known)).min()?;
    (distance <= 1 + name.chars().count() / 8).then_some(meant)
}

/// About what fetching a known model brings: its parameters in single precision.
pub fn bytes_of(name: &str) -> Option<u64> {
    let parameters = KNOWN.iter().find(|known| known.name == name)?.parameters()?;
    u64::try_from(4 * parameters).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn typing_errors_are_told_from_other_names() {
        assert_eq!(nearest("bert-large-case"), Some("bert-large-cased"));
        assert_eq!(nearest("google/electra-smal-discriminator"), Some("google/electra-small-discriminator"));
        assert_eq!(nearest("my-own-model"), None);
        assert_eq!(bytes_of("bert-large-cased"), Some(4 * 333_581_314));
    }

    /// `sum(p.numel() for p in model.parameters())` of transformers' AutoModelForSequenceClassification, two labels.
    #[test]
    #[rustfmt::skip]
    fn parameters_are_those_that_transformers_counts() {
        let expected = [
            ("sentence-transformers/all-MiniLM-L6-v2", 22_713_986),
            ("microsoft/MiniLM-L12-H384-uncased", 33_360_770),
            ("bert-base-uncased", 109_483_778),
            ("bert-base-cased", 108_311_810),
            ("bert-large-uncased", 335_143_938),
            ("bert-large-cased", 333_581_314),
            ("distilroberta-base", 82_119_938),
            ("roberta-base", 124_647_170),
            ("roberta-large", 355_361_794),
            ("xlm-roberta-base", 278_045_186),
            ("xlm-roberta-large", 559_892_482),
            ("camembert-base", 110_623_490),
            ("google/electra-small-discriminator", 13_549_314),
            ("google/electra-base-discriminator", 109_483_778),
            ("google/electra-large-discriminator", 335_143_938),
            ("xlnet-base-cased", 117_310_466),
            ("xlnet-large-cased", 361_320_450),
            ("microsoft/deberta-v3-xsmall", 70_830_722),
            ("microsoft/deberta-v3-small", 141_896_450),
            ("microsoft/deberta-v3-base", 184_423_682),
            ("microsoft/deberta-v3-large", 435_063_810),
            ("distilbert-base-uncased", 66_955_010),
            ("distilbert-base-cased", 65_783_042),
            ("albert-base-v2", 11_685_122),
            ("albert-large-v2", 17_686_018),
            ("albert-xlarge-v2", 58_728_962),
            ("answerdotai/ModernBERT-base", 149_606_402),
            ("answerdotai/ModernBERT-large", 395_833_346),
        ];
        let counted: Vec<_> = KNOWN.iter().map(|known| (known.name, known.parameters().unwrap())).collect();
        assert_eq!(counted, expected);
    }
}
