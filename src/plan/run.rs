//! One training run, fully resolved: everything that determines its result, and nothing else but a name to show.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::after::After;

/// Raised whenever a change of the program changes the numbers that a run gives.
pub const NUMERICS: u32 = 1;

/// A named input together with the hash of what the name stood for when the run was planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// As written in the sweep file: `rte`, `all-MiniLM-L6-v2`.
    pub name: String,
    /// Hash of the content: data files and how they are read, or weights, config and tokenizer.
    pub hash: String,
}

/// The fine-tuning method and its numbers, defaults filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// A name of `method::METHODS`, or several joined by `+` in their order: `child-d`, `child-d+r3f`.
    pub name: String,
    /// Every number of the method: `p = 0.3`, `fidelity = "paper"`. One that several of a combination have stands there
    /// for each: `child-f.p = 0.3`, `child-d.p = 0.2`.
    pub numbers: BTreeMap<String, serde_json::Value>,
}

impl Choice {
    /// The methods that it names.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.name.split('+')
    }

    /// The value of a number of one of them.
    pub fn number(&self, part: &str, name: &str) -> Option<&serde_json::Value> {
        self.numbers.get(&format!("{part}.{name}")).or_else(|| self.numbers.get(name))
    }
}

/// What is the same for every method: optimizer, schedule, batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Passes over the training set.
    pub epochs: u32,
    /// Ends training early; the learning-rate schedule then spans these steps.
    pub max_steps: Option<u32>,
    /// Training examples used: the first n of a shuffle by seed, so that smaller samples are nested in larger ones.
    pub train_size: Option<u32>,
    /// Dev examples scored: a fixed sample, the same for every seed, so that scores compare.
    pub dev_size: Option<u32>,
    /// Examples in a step.
    pub batch_size: u32,
    /// Examples in one forward and backward pass, fewer than in a step; absent, a step is one pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micro_batch: Option<u32>,
    /// Tokens after which a sentence or pair is cut, special tokens included.
    pub max_length: u32,
    /// Peak learning rate.
    pub lr: f64,
    /// Share of the steps over which the learning rate rises from zero.
    pub warmup: f64,
    /// Decoupled weight decay; biases and layer norms are spared.
    pub weight_decay: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    /// Global norm to which the gradient is clipped; 0 switches clipping off.
    pub max_grad_norm: f64,
    /// Replaces every dropout rate of the model's config.
    pub dropout: Option<f64>,
    /// A new order of the training set for each epoch; false keeps the file's order.
    pub shuffle: bool,
    #[serde(default, skip_serializing_if = "Precision::is_fp32")]
    pub precision: Precision,
    /// Makes the activations of each layer again in the backward pass instead of keeping them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gradient_checkpointing: bool,
}

impl Recipe {
    /// Examples in one forward and backward pass.
    pub fn rows(&self) -> usize {
        self.micro_batch.unwrap_or(self.batch_size) as usize
    }
}

/// Of the products in the forward and backward pass; weights, gradients and moments are fp32 in either.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    #[default]
    Fp32,
    /// fp32 whose factors a GPU rounds to 10 bits of mantissa; on a CPU it is fp32.
    Tf32,
    Bf16,
}

impl Precision {
    pub const ALL: [Precision; 3] = [Precision::Fp32, Precision::Tf32, Precision::Bf16];

    /// What a record need not say: every run was once fp32.
    fn is_fp32(&self) -> bool {
        *self == Precision::Fp32
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Precision::Fp32 => "fp32",
            Precision::Tf32 => "tf32",
            Precision::Bf16 => "bf16",
        })
    }
}

impl Default for Recipe {
    /// The paper's recipe for BERT-large (batch 16, 3 epochs, length 128, warm-up 10 %), learning rate 2e-5.
    fn default() -> Recipe {
        Recipe {
            epochs: 3,
            max_steps: None,
            train_size: None,
            dev_size: None,
            batch_size: 16,
            micro_batch: None,
            max_length: 128,
            lr: 2e-5,
            warmup: 0.1,
            weight_decay: 0.01,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            max_grad_norm: 1.0,
            dropout: None,
            shuffle: true,
            precision: Precision::Fp32,
            gradient_checkpointing: false,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    pub task: Input,
    pub model: Input,
    /// How the sweep file calls the method; for tables only, not part of the identity.
    pub mode: String,
    pub method: Choice,
    pub recipe: Recipe,
    pub seed: u64,
    #[serde(default, skip_serializing_if = "After::is_empty")]
    pub after: After,
}

/// Hash of all that determines a run's result, 20 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub String);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Run {
    /// Hash of everything that determines the result: settings, data, model, numerics.
    pub fn id(&self) -> RunId {
        RunId(self.digest(true, &self.after))
    }

    /// The id of the run that ends with training: what determines θ.
    pub fn training_id(&self) -> RunId {
        RunId(self.digest(true, &After::default()))
    }

    /// Hash of the settings as written, without what the names stood for: two runs with one key and two ids are
    /// the same experiment before and after the data, the model or the numerics changed.
    pub fn settings_key(&self) -> String {
        let mut after = self.after.clone();
        let tasks = after.eval.iter_mut().map(|eval| &mut eval.task);
        let probed = after.probe.iter_mut().flat_map(|probe| &mut probe.tasks);
        tasks.chain(probed).chain(&mut after.transfer).for_each(|task| task.hash.clear());
        self.digest(false, &after)
    }

    /// All that the id is the hash of, sorted by name.
    pub fn identity(&self) -> Vec<(String, String)> {
        let value =
            serde_json::to_value(self.identified(true, &self.after)).expect("a run holds only numbers and words");
        let mut parts = Vec::new();
        flatten("", &value, &mut parts);
        // What names do not decide stands there empty.
        parts.retain(|(name, _)| name != "model");
        parts
    }

    fn digest(&self, with_content: bool, after: &After) -> String {
        let text = serde_json::to_vec(&self.identified(with_content, after));
        blake3::hash(&text.expect("a run holds only numbers, words and lists")).to_hex()[..20].to_owned()
    }

    fn identified<'a>(&'a self, with_content: bool, after: &'a After) -> Identity<'a> {
        Identity {
            numerics: if with_content { NUMERICS } else { 0 },
            task: &self.task.name,
            task_hash: if with_content { &self.task.hash } else { "" },
            // Content says more than a name: one model under two names is one run.
            model: if with_content { "" } else { &self.model.name },
            model_hash: if with_content { &self.model.hash } else { "" },
            method: &self.method,
            recipe: &self.recipe,
            seed: self.seed,
            after,
        }
    }

    /// The reserve rate, where the method has one; of a combination whose methods have several, the one they agree on.
    pub fn p(&self) -> Option<f64> {
        let mut rates = self.method.numbers.iter().filter(|(name, _)| is_rate(name)).map(|(_, value)| value.as_f64());
        let first = rates.next()?;
        rates.all(|rate| rate == first).then_some(first)?
    }

    /// One line for people: `rte · all-MiniLM-L6-v2 · child-d p=0.3 · seed 1`.
    pub fn label(&self) -> String {
        let mut label = format!("{} · {} · {}", self.task.name, self.model.name, self.mode);
        match self.p() {
            Some(p) => label += &format!(" p={p}"),
            None => {
                let rates = self.method.numbers.iter().filter(|(name, _)| is_rate(name));
                rates.for_each(|(name, p)| label += &format!(" {name}={p}"));
            }
        }
        if let Some(n) = self.recipe.train_size {
            label += &format!(" · {n} examples");
        }
        if !self.recipe.precision.is_fp32() {
            label += &format!(" · {}", self.recipe.precision);
        }
        label + &format!(" · seed {}", self.seed)
    }
}

/// What is hashed. serde_json writes fields in declaration order and maps sorted, so the text is canonical.
#[derive(Serialize)]
struct Identity<'a> {
    numerics: u32,
    task: &'a str,
    task_hash: &'a str,
    model: &'a str,
    model_hash: &'a str,
    method: &'a Choice,
    recipe: &'a Recipe,
    seed: u64,
    #[serde(skip_serializing_if = "After::is_empty")]
    after: &'a After,
}

/// The leaves of a value with their names: `recipe.lr`, `after.eval.0.task.hash`.
fn flatten(name: &str, value: &serde_json::Value, parts: &mut Vec<(String, String)>) {
    let below = |part: &str| if name.is_empty() { part.to_owned() } else { format!("{name}.{part}") };
    match value {
        serde_json::Value::Object(fields) => {
            fields.iter().for_each(|(part, value)| flatten(&below(part), value, parts));
        }
        serde_json::Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, value)| flatten(&below(&at.to_string()), value, parts));
        }
        serde_json::Value::String(text) => parts.push((name.to_owned(), text.clone())),
        other => parts.push((name.to_owned(), other.to_string())),
    }
}

/// Whether a number is a reserve rate: `p`, or `child-f.p` in a combination.
pub fn is_rate(name: &str) -> bool {
    name.rsplit('.').next() == Some("p")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str, numbers: &[(&str, f64)]) -> Run {
        let input = || Input { name: "x".into(), hash: "x".into() };
        let numbers = numbers.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        let method = Choice { name: name.into(), numbers };
        Run {
            task: input(),
            model: input(),
            mode: name.into(),
            method,
            recipe: Recipe::default(),
            seed: 1,
            after: After::default(),
        }
    }

    #[test]
    fn a_combination_has_the_rate_that_its_methods_agree_on() {
        let both = |f, d| run("child-f+child-d", &[("child-f.p", f), ("child-d.p", d)]);
        assert_eq!((both(0.2, 0.2).p(), both(0.2, 0.3).p()), (Some(0.2), None));
        assert_eq!((run("child-d", &[("p", 0.3)]).p(), run("r3f", &[("r3f_lambda", 1.0)]).p()), (Some(0.3), None));
        assert_eq!(both(0.2, 0.2).label(), "x · x · child-f+child-d p=0.2 · seed 1");
        assert_eq!(both(0.2, 0.3).label(), "x · x · child-f+child-d child-d.p=0.3 child-f.p=0.2 · seed 1");
        let mut bf16 = both(0.2, 0.2);
        bf16.recipe.precision = Precision::Bf16;
        assert_eq!(bf16.label(), "x · x · child-f+child-d p=0.2 · bf16 · seed 1");
        assert_eq!(both(0.2, 0.3).method.number("child-d", "p"), Some(&0.3.into()));
    }
}
