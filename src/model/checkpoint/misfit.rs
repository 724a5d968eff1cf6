//! Why a checkpoint does not fit its config, in a sentence.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Checkpoint;
use super::account::{Fault, settle, short_names};
use crate::model::Config;

/// Faults that are named one by one.
const MOST: usize = 10;

/// The faults, the plainest cause first.
pub fn explain(checkpoint: &Checkpoint, config: &Config, labels: i64, faults: &[Fault]) -> String {
    if is_foreign(checkpoint, config, labels) {
        let names: Vec<&str> = checkpoint.entries().map(|(name, _)| name).collect();
        return format!(
            "none of its tensors belongs to a model of type {}; it holds {}: config.json and weights are of different \
             models",
            config.model_type,
            few(&names)
        );
    }
    let mut parts = causes(checkpoint, labels, faults);
    if faults.iter().any(|fault| matches!(fault, Fault::Kind { .. })) {
        parts.push("weights are read from F32, F16, BF16 or F64".to_owned());
    }
    parts.push(few(&faults.iter().map(Fault::to_string).collect::<Vec<_>>()));
    parts.join("; ")
}

fn few<T: AsRef<str>>(items: &[T]) -> String {
    let named: Vec<&str> = items.iter().take(MOST).map(AsRef::as_ref).collect();
    let rest = items.len() - named.len();
    if rest == 0 { named.join("; ") } else { format!("{}; and {rest} more", named.join("; ")) }
}

/// Whether no tensor has the name of a parameter.
fn is_foreign(checkpoint: &Checkpoint, config: &Config, labels: i64) -> bool {
    let parameters = config.parameters(labels);
    let short = short_names(checkpoint, config, &parameters);
    !short.iter().any(|(name, _)| parameters.iter().any(|parameter| parameter.name == *name))
}

/// Keys of config.json whose values are not those of the weights.
///
/// A key is found by trying: of all whole numbers in the config, each is set to the sizes that the weights have in its
/// place, and the change that leaves the fewest faults is the cause, again and again until none helps.
fn causes(checkpoint: &Checkpoint, labels: i64, faults: &[Fault]) -> Vec<String> {
    let text = std::fs::read_to_string(checkpoint.folder().join("config.json")).unwrap_or_default();
    let Ok(mut json) = serde_json::from_str::<Value>(&text) else { return Vec::new() };
    let mut causes = Vec::new();
    let mut faults = faults.to_vec();
    while let Some((key, stored, rest)) = best_change(checkpoint, labels, &json, &faults) {
        causes.push(format!("{key} is {} in config.json and {stored} in the weights", json[&key]));
        json[&key] = json!(stored);
        faults = rest;
    }
    causes
}

/// The key and value that leave the fewest faults, fewer than there are, and what is left.
fn best_change(
    checkpoint: &Checkpoint,
    labels: i64,
    json: &Value,
    faults: &[Fault],
) -> Option<(String, i64, Vec<Fault>)> {
    let mut pairs: BTreeSet<(i64, i64)> = faults.iter().flat_map(differing_sizes).collect();
    pairs.extend(differing_layers(checkpoint, labels, json));
    let numbers = json.as_object()?.iter().filter_map(|(key, value)| Some((key, value.as_i64()?)));
    let changes = numbers.flat_map(|(key, value)| {
        pairs.iter().filter(move |(wanted, _)| *wanted == value).map(move |&(_, stored)| (key, stored))
    });
    let left = changes.filter_map(|(key, stored)| {
        let mut changed = json.clone();
        changed[key] = json!(stored);
        let config = Config::parse(&changed.to_string()).ok()?;
        Some((key.clone(), stored, settle(checkpoint, &config, labels).1))
    });
    left.min_by_key(|(_, _, rest)| rest.len()).filter(|(_, _, rest)| rest.len() < faults.len())
}

/// Sizes of the config's making beside what is stored in their place.
fn differing_sizes(fault: &Fault) -> Vec<(i64, i64)> {
    let Fault::Shape { stored, wanted, .. } = fault else { return Vec::new() };
    let pairs = wanted.iter().copied().zip(stored.iter().map(|&n| n as i64));
    if wanted.len() == stored.len() { pairs.filter(|(wanted, stored)| wanted != stored).collect() } else { Vec::new() }
}

/// Layers that the config makes beside those that are stored, where they differ.
fn differing_layers(checkpoint: &Checkpoint, labels: i64, json: &Value) -> Option<(i64, i64)> {
    let config = Config::parse(&json.to_string()).ok()?;
    let parameters = config.parameters(labels);
    let layers = |name: &str| name.split('.').find_map(|word| word.parse::<i64>().ok()).map_or(0, |layer| layer + 1);
    let wanted = parameters.iter().map(|parameter| layers(&parameter.name)).max()?;
    let stored = short_names(checkpoint, &config, &parameters).iter().map(|(name, _)| layers(name)).max()?;
    (wanted != stored).then_some((wanted, stored))
}
