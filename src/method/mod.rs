//! Fine-tuning methods: one paper a file, registered by one line below.
//!
//! A method is a few defaulted hooks around one optimizer. No method copies the optimizer.

mod child_d;
mod child_f;
mod vanilla;
mod vector;

use anyhow::Result;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::plan::Choice;
use crate::spec::number::{Domain, Number, Standard};

pub use vector::Vector;

/// What people need to know of a method.
#[derive(Debug)]
pub struct Info {
    pub name: &'static str,
    /// One line: what it does.
    pub summary: &'static str,
    pub equation: &'static str,
    pub paper: &'static str,
    /// Where paper and authors' program differ, and what else was decided; a sentence each.
    pub choices: &'static [&'static str],
    pub numbers: &'static [Number],
}

/// Where a step stands in its run.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The run's seed.
    pub seed: u64,
    /// Counted from 1.
    pub step: u32,
}

/// A stretch of the arena in which all parameters of a run lie.
#[derive(Debug, Clone, Copy)]
pub struct Block {
    /// Index of its first entry.
    pub offset: i64,
    pub len: i64,
}

impl Block {
    /// The block's entries of a vector over the whole arena.
    pub fn of<V: Vector>(&self, whole: &V) -> V {
        whole.stretch(self.offset, self.len)
    }
}

/// What a method may ask of a run before its first step.
pub trait Study<V> {
    /// The child network chosen by Fisher information: zeros and ones over the arena, `[P]`, ones outside the encoder.
    /// Made once for all runs that share what it depends on, and kept as an artifact.
    ///
    /// # Errors
    /// Scores that are not finite, files that cannot be written.
    fn child(&mut self, fisher: Fisher, head_seed: Option<u64>, pick: Pick) -> Result<V>;

    /// Weight decay only where the mask is one: D ← D ⊙ M.
    fn decay_within(&mut self, mask: &V);
}

/// Which estimate of the diagonal of the Fisher information.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fisher {
    /// The mean over examples of the squared gradient, dropout off: the paper's equation.
    PerExample,
    /// The mean over batches of the squared batch gradient, each tensor clipped, dropout on: the authors' program.
    PerBatch,
}

/// How many entries are kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pick {
    /// Exactly round(p·E), ties to the lower index.
    Share(f64),
    /// All that reach the 100·(1 − p)-th percentile, ties included.
    Percentile(f64),
}

/// The hooks, in the order in which a run meets them. Every default is full fine-tuning.
pub trait Method<V: Vector> {
    /// The warm-up share of the steps, given what the recipe asks.
    fn warmup(&self, asked: f64) -> f64 {
        asked
    }

    /// Once, before the first step: masks, decay, scores.
    fn prepare(&mut self, _study: &mut dyn Study<V>) -> Result<()> {
        Ok(())
    }

    /// What the optimizer's moments see of the clipped gradient of a block.
    fn gradient(&self, _block: Block, gradient: V, _at: Moment) -> V {
        gradient
    }
}

/// Two readings of one method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Fidelity {
    Paper,
    Code,
}

const P: Number = Number {
    name: "p",
    what: "reserve rate: the share of parameters that is updated",
    domain: Domain::Real { above: 0.0, up_to: 1.0 },
    standard: Standard::Real(0.3),
};

const FIDELITY: Number = Number {
    name: "fidelity",
    what: "\"paper\": the equations; \"code\": the authors' program, its departures included",
    domain: Domain::Word(&["paper", "code"]),
    standard: Standard::Word("paper"),
};

/// A 64-bit key for one purpose of one run: `stream(seed, "dropout", step)`.
///
/// Every purpose has a stream of its own, so that runs with equal seeds share head, data order and dropout whatever
/// else their method draws, and a resumed run needs no saved generator state.
pub fn stream(seed: u64, purpose: &str, position: u64) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.update(&position.to_le_bytes());
    hasher.update(purpose.as_bytes());
    let hash = hasher.finalize();
    hash.as_bytes()[..8].iter().rev().fold(0, |key, byte| (key << 8) | u64::from(*byte))
}

fn numbers<T: DeserializeOwned>(choice: &Choice) -> Result<T> {
    let map = choice.numbers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    Ok(serde_json::from_value(serde_json::Value::Object(map))?)
}

/// One line a method: its module and its type.
macro_rules! methods {
    ($($module:ident::$method:ident),* $(,)?) => {
        /// Every method, in the order of the tables.
        pub const METHODS: &[&Info] = &[$(&$module::INFO),*];

        /// Builds a method from its name and numbers.
        ///
        /// # Errors
        /// A name that is not registered, a number that is missing or of the wrong kind.
        pub fn build<V: Vector + 'static>(choice: &Choice) -> Result<Box<dyn Method<V>>> {
            $(if choice.name == $module::INFO.name {
                return Ok(Box::new($module::$method::new(numbers(choice)?)));
            })*
            anyhow::bail!("no method is called \"{}\"", choice.name)
        }
    };
}

methods! {
    vanilla::Vanilla,
    child_f::ChildF,
    child_d::ChildD,
}
