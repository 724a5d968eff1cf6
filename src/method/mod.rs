//! Fine-tuning methods: one paper a file, registered by one line below.
//!
//! A method is a few defaulted hooks around one optimizer. No method copies the optimizer.

mod child_d;
mod child_f;
mod vanilla;

use anyhow::Result;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tch::Tensor;

use crate::arena::{Arena, Block};
use crate::plan::Choice;
use crate::spec::number::{Domain, Number, Standard};

/// What people need to know of a method; free of libtorch, so that the coordinator can list and check methods.
#[derive(Debug)]
pub struct Info {
    pub name: &'static str,
    /// One line: what it does.
    pub summary: &'static str,
    pub equation: &'static str,
    pub paper: &'static str,
    pub numbers: &'static [Number],
}

/// Where a step stands in its run.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    pub seed: u64,
    /// Counted from 1.
    pub step: u32,
}

/// What a method may ask of a run before its first step.
pub trait Study {
    fn arena(&mut self) -> &mut Arena;

    /// The child network chosen by Fisher information, as zeros and ones over the encoder's entries, `[E]`, fp32.
    /// Made once for all runs that share what it depends on, and kept as an artifact.
    fn child(&mut self, fisher: Fisher, head_seed: Option<u64>, pick: Pick) -> Result<Tensor>;
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
pub trait Method {
    /// The warm-up share of the steps, given what the recipe asks.
    fn warmup(&self, asked: f64) -> f64 {
        asked
    }

    /// Once, before the first step: masks, decay, scores.
    fn prepare(&mut self, _study: &mut dyn Study) -> Result<()> {
        Ok(())
    }

    /// What the optimizer's moments see of the clipped gradient of a block.
    fn gradient(&self, _block: &Block, gradient: Tensor, _at: Moment) -> Tensor {
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
        pub fn build(choice: &Choice) -> Result<Box<dyn Method>> {
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
