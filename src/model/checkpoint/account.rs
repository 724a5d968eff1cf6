//! Every tensor of a checkpoint held against every parameter of the model, both ways.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use anyhow::{Result, bail};

use super::{Checkpoint, Dtype, misfit};
use crate::method::Role;
use crate::model::{Config, Parameter};

/// Kinds of numbers that weights are read from.
const KINDS: &[Dtype] = &[Dtype::F32, Dtype::F16, Dtype::BF16, Dtype::F64];

/// Where a checkpoint's tensors go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Parameters, by their place in the model's list, each with the tensor that holds it.
    pub stored: Vec<(usize, String)>,
    /// Parameters that the checkpoint has no value for, to be drawn: head, pooler.
    pub fresh: Vec<usize>,
    /// Tensors of the file that fine-tuning does not use: pre-training heads, buffers, the head of another task.
    pub unused: Vec<String>,
}

/// One thing that does not fit.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fault {
    Missing(String),
    Unexpected(String),
    Shape { name: String, stored: Vec<usize>, wanted: Vec<i64> },
    Kind { name: String, kind: Dtype },
    Twins(String, String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Fault::Missing(name) => write!(f, "{name} is missing"),
            Fault::Unexpected(name) => write!(f, "{name} is unexpected"),
            Fault::Shape { name, stored, wanted } => write!(f, "{name} has shape {stored:?}, expected {wanted:?}"),
            Fault::Kind { name, kind } => write!(f, "{name} is stored as {kind:?}"),
            Fault::Twins(one, other) => write!(f, "{one} and {other} are the same parameter"),
        }
    }
}

impl Account {
    /// The account of a checkpoint for the model of a config with a head of `labels` outputs.
    ///
    /// Only head and pooler may be missing. A head of another shape is that of another task and drawn anew, and the
    /// rest of the head with it: half a head is no head.
    ///
    /// # Errors
    /// A tensor missing, unexpected, of another shape or kind of numbers, by name, and the key of the config that
    /// explains it where one does.
    pub fn of(checkpoint: &Checkpoint, config: &Config, labels: i64) -> Result<Account> {
        let (account, faults) = settle(checkpoint, config, labels);
        if !faults.is_empty() {
            bail!(
                "{} does not fit its config.json: {}",
                checkpoint.path().display(),
                misfit::explain(checkpoint, config, labels, &faults)
            );
        }
        Ok(account)
    }
}

pub(super) fn settle(checkpoint: &Checkpoint, config: &Config, labels: i64) -> (Account, Vec<Fault>) {
    let parameters = config.parameters(labels);
    let mut faults = Vec::new();
    let mut by_name: BTreeMap<String, &str> = BTreeMap::new();
    for (short, name) in short_names(checkpoint, config, &parameters) {
        if let Some(twin) = by_name.insert(short, name) {
            faults.push(Fault::Twins(twin.to_owned(), name.to_owned()));
        }
    }
    let mut account = Account { stored: Vec::new(), fresh: Vec::new(), unused: Vec::new() };
    let mut other_heads = Vec::new();
    for (index, parameter) in parameters.iter().enumerate() {
        let Some(name) = by_name.remove(&parameter.name) else {
            match parameter.role {
                Role::Head | Role::Pooler => account.fresh.push(index),
                _ => faults.push(Fault::Missing(config.stored_name(&parameter.name))),
            }
            continue;
        };
        let entry = checkpoint.entry(name).expect("a name of the checkpoint's own");
        let fits = entry.shape.iter().map(|&n| n as i64).eq(parameter.shape.iter().copied());
        if !fits && parameter.role == Role::Head {
            account.fresh.push(index);
            other_heads.push(name.to_owned());
        } else if !fits {
            let (stored, wanted) = (entry.shape.clone(), parameter.shape.clone());
            faults.push(Fault::Shape { name: name.to_owned(), stored, wanted });
        } else if !KINDS.contains(&entry.dtype) {
            faults.push(Fault::Kind { name: name.to_owned(), kind: entry.dtype });
        } else {
            account.stored.push((index, name.to_owned()));
        }
    }
    let is_head = |index: usize| parameters[index].role == Role::Head;
    if account.fresh.iter().any(|&index| is_head(index)) {
        let (head, stored): (Vec<_>, Vec<_>) = account.stored.into_iter().partition(|(index, _)| is_head(*index));
        account.stored = stored;
        account.fresh.extend(head.iter().map(|(index, _)| *index));
        account.fresh.sort_unstable();
        other_heads.extend(head.into_iter().map(|(_, name)| name));
    }
    for (short, name) in by_name {
        let is_unused = config.unused().iter().any(|start| short.starts_with(start)) || short.ends_with("position_ids");
        if is_unused {
            account.unused.push(name.to_owned());
        } else {
            faults.push(Fault::Unexpected(name.to_owned()));
        }
    }
    account.unused.extend(other_heads);
    (account, faults)
}

/// The tensors of a checkpoint by the names that parameters have: without `module.`, which torch's DataParallel puts
/// before all, without the base model's prefix, which some have, some lack and some have twice, and with the new names
/// of a layer norm's gamma and beta.
pub(super) fn short_names<'a>(
    checkpoint: &'a Checkpoint,
    config: &Config,
    parameters: &[Parameter],
) -> Vec<(String, &'a str)> {
    let wrapper = "module.";
    let is_wrapped = checkpoint.entries().all(|(name, _)| name.starts_with(wrapper));
    let known: HashSet<&str> = parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    let shorten = |(name, _): (&'a str, _)| {
        let inner = if is_wrapped { &name[wrapper.len()..] } else { name };
        let mut short =
            inner.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias");
        while !known.contains(short.as_str()) {
            let Some(rest) = short.strip_prefix(config.prefix()) else { break };
            short = rest.to_owned();
        }
        (short, name)
    };
    checkpoint.entries().map(shorten).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::Path;

    use safetensors::tensor::{TensorView, serialize};

    use super::*;

    /// Names and shapes of a checkpoint.
    type Shapes = BTreeMap<String, Vec<usize>>;

    fn tiny() -> (serde_json::Value, Shapes) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/checkpoints/model/safetensors");
        let text = std::fs::read_to_string(folder.join("config.json")).expect("a config");
        let checkpoint = Checkpoint::open(&folder).expect("a checkpoint");
        let shapes = checkpoint.entries().map(|(name, entry)| (name.to_owned(), entry.shape.clone()));
        (serde_json::from_str(&text).expect("JSON"), shapes.collect())
    }

    /// The account of a folder with these tensors and this config.
    fn account_as(kind: Dtype, json: &serde_json::Value, shapes: &Shapes, labels: i64) -> Result<Account> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("config.json"), json.to_string())?;
        let zeros: HashMap<&String, Vec<u8>> = shapes
            .iter()
            .map(|(name, shape)| (name, vec![0; shape.iter().product::<usize>() * kind.bitsize() / 8]))
            .collect();
        let views = shapes
            .iter()
            .map(|(name, shape)| (name.clone(), TensorView::new(kind, shape.clone(), &zeros[name]).expect("a tensor")));
        std::fs::write(folder.path().join("model.safetensors"), serialize(views, None)?)?;
        Account::of(&Checkpoint::open(folder.path())?, &Config::read(folder.path())?, labels)
    }

    fn account_of(shapes: &Shapes, labels: i64) -> Result<Account> {
        account_as(Dtype::F32, &tiny().0, shapes, labels)
    }

    fn renamed(how: impl Fn(&str) -> String) -> Shapes {
        tiny().1.into_iter().map(|(name, shape)| (how(&name), shape)).collect()
    }

    fn fresh(account: &Account) -> Vec<String> {
        let config = Config::parse(&tiny().0.to_string()).expect("a config");
        let parameters = config.parameters(2);
        account.fresh.iter().map(|&index| parameters[index].name.clone()).collect()
    }

    #[test]
    fn one_model_under_every_name_that_people_have() {
        let whole = tiny().1.len();
        for shapes in [
            renamed(str::to_owned),
            renamed(|name| name.replace("bert.", "")),
            renamed(|name| name.replace("bert.encoder", "encoder")),
            renamed(|name| name.replace("bert.", "bert.bert.")),
            renamed(|name| format!("module.{name}")),
            renamed(|name| {
                name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
            }),
        ] {
            let account = account_of(&shapes, 2).expect("a model");
            assert_eq!((account.stored.len(), account.fresh.len(), account.unused.len()), (whole, 0, 0));
        }
    }

    #[test]
    fn only_head_and_pooler_may_be_missing() {
        let mut shapes = tiny().1;
        shapes.retain(|name, _| !name.starts_with("classifier"));
        assert_eq!(fresh(&account_of(&shapes, 2).expect("a model")), ["classifier.weight", "classifier.bias"]);
        shapes.retain(|name, _| !name.contains("pooler"));
        assert_eq!(account_of(&shapes, 2).expect("a model").fresh.len(), 4);
        shapes.remove("bert.embeddings.LayerNorm.bias");
        let fault = account_of(&shapes, 2).expect_err("a missing tensor").to_string();
        assert!(fault.ends_with("does not fit its config.json: bert.embeddings.LayerNorm.bias is missing"), "{fault}");
    }

    #[test]
    fn the_head_of_another_task_is_drawn_anew_as_a_whole() {
        let account = account_of(&tiny().1, 3).expect("a model");
        assert_eq!(fresh(&account), ["classifier.weight", "classifier.bias"]);
        assert_eq!(account.unused, ["classifier.weight", "classifier.bias"]);
        let mut half = tiny().1;
        half.remove("classifier.bias");
        let account = account_of(&half, 2).expect("a model");
        assert_eq!(fresh(&account), ["classifier.weight", "classifier.bias"]);
        assert_eq!(account.unused, ["classifier.weight"]);
    }

    #[test]
    fn heads_of_pretraining_and_buffers_are_unused_and_all_else_is_unexpected() {
        let mut shapes = tiny().1;
        shapes.insert("cls.predictions.bias".into(), vec![72]);
        shapes.insert("bert.embeddings.position_ids".into(), vec![1, 40]);
        let account = account_of(&shapes, 2).expect("a model");
        assert_eq!(account.unused, ["cls.predictions.bias", "bert.embeddings.position_ids"]);
        shapes.insert("adapter.weight".into(), vec![1]);
        shapes.insert("encoder.layer.0.output.dense.bias".into(), vec![12]);
        let fault = account_of(&shapes, 2).expect_err("surplus tensors").to_string();
        for said in [
            "adapter.weight is unexpected",
            "bert.encoder.layer.0.output.dense.bias and encoder.layer.0.output.dense.bias are the same parameter",
        ] {
            assert!(fault.contains(said), "{fault}");
        }
    }

    #[test]
    fn weights_are_floats() {
        let (json, shapes) = tiny();
        for kind in KINDS {
            assert!(account_as(*kind, &json, &shapes, 2).is_ok(), "{kind:?}");
        }
        let fault = account_as(Dtype::I8, &json, &shapes, 2).expect_err("whole numbers").to_string();
        assert!(
            fault.contains("F32, F16, BF16 or F64; bert.") && fault.contains("weight is stored as I8; "),
            "{fault}"
        );
        assert!(fault.ends_with("; and 31 more"), "{fault}");
    }

    #[test]
    fn a_config_that_does_not_fit_is_explained_by_its_key() {
        let (json, shapes) = tiny();
        for (changes, said) in [
            (&[("vocab_size", 80)][..], "vocab_size is 80 in config.json and 72 in the weights; bert.embeddings.word"),
            (&[("hidden_size", 40)], "hidden_size is 40 in config.json and 12 in the weights; "),
            (&[("num_hidden_layers", 3)], "num_hidden_layers is 3 in config.json and 2 in the weights; "),
            (&[("num_hidden_layers", 1)], "num_hidden_layers is 1 in config.json and 2 in the weights; "),
            (
                &[("max_position_embeddings", 64)],
                "max_position_embeddings is 64 in config.json and 40 in the weights; ",
            ),
            (
                &[("vocab_size", 30), ("intermediate_size", 30), ("num_hidden_layers", 4)],
                "num_hidden_layers is 4 in config.json and 2 in the weights; intermediate_size is 30 in config.json and 16 \
                 in the weights; vocab_size is 30 in config.json and 72 in the weights; ",
            ),
        ] {
            let mut changed = json.clone();
            for (key, value) in changes {
                changed[key] = serde_json::json!(value);
            }
            let fault = account_as(Dtype::F32, &changed, &shapes, 2).expect_err("another config").to_string();
            assert!(fault.contains(said), "{fault}");
        }
    }

    #[test]
    fn long_lists_are_cut_and_weights_of_another_family_are_called_so() {
        let mut shapes = tiny().1;
        shapes.retain(|name, _| !name.contains("attention"));
        let fault = account_of(&shapes, 2).expect_err("no attention").to_string();
        assert!(fault.matches("is missing").count() == 10 && fault.ends_with("; and 10 more"), "{fault}");
        let foreign = renamed(|name| format!("transformer.h.{name}"));
        let fault = account_of(&foreign, 2).expect_err("another model").to_string();
        assert!(fault.contains("none of its tensors belongs to a model of type bert"), "{fault}");
        assert!(
            fault.contains("transformer.h.bert.embeddings.LayerNorm.bias") && !fault.contains("missing"),
            "{fault}"
        );
    }
}
