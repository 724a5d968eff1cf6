//! Fine-tuning methods: one paper a file, registered by one line below.
//!
//! A method is a few defaulted hooks around one optimizer. No method copies the optimizer.

mod bitfit;
mod child;
mod child_d;
mod child_f;
mod child_lowest;
mod child_random;
mod combination;
mod dps;
mod dps_dense;
mod dps_mix;
pub mod draw;
mod fish;
mod hype;
mod l2_sp;
mod list;
mod llrd;
mod lora;
mod mixout;
mod noisytune;
mod part;
mod prune;
mod r3f;
mod r_drop;
mod recadam;
mod reinit;
mod sage;
pub mod select;
mod study;
#[cfg(test)]
mod testing;
mod top_k;
mod vanilla;
mod vector;
mod weight_decay;

use anyhow::Result;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::spec::number::{Domain, Number, Standard};

pub use combination::{Combination, canonical, check, refusal};
pub use list::List;
pub use part::{Adapter, Part, Role, Size};
pub use study::{Block, Fisher, Leaves, Moment, Passes, Pick, Study};
pub use vector::Vector;

/// What people need to know of a method, and what planning needs to know.
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
    /// The hooks that it overrides, beside those that every method may.
    pub hooks: &'static [Hook],
    /// What only one method of a combination can decide, beside the loss of `Hook::Loss`.
    pub claims: &'static [Claim],
    /// Methods that it cannot be combined with though no claim says so, and why.
    pub against: &'static [(&'static str, &'static str)],
}

impl Info {
    /// Whether θ of the model itself is another when `start` is done.
    pub fn moves_start(&self) -> bool {
        // Adapters change nothing as long as they are zero.
        self.hooks.contains(&Hook::Start) && !self.hooks.contains(&Hook::Adapted)
    }
}

/// A hook that costs something to call, or that contradicts itself in a combination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    Start,
    Turn,
    Weight,
    Adapted,
    Hidden,
    Loss,
    Raw,
    Gradient,
    Step,
    Pull,
    Rate,
}

/// What only one method of a combination can decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Which parameters are trained.
    Trained,
    /// How the parameters are drawn to their pre-trained values.
    Anchor,
    /// Which weights the forward pass uses.
    Weights,
}

/// Which dropout rates a method sets to zero, where the recipe names no rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dropout {
    /// Every rate is the model's own.
    Model,
    /// Zero but for the dropout before the head.
    HeadOnly,
    Zero,
    /// Every rate is the model's own, whatever the other methods of a combination want.
    Needed,
}

/// The hooks, in the order in which a run meets them. Every default is full fine-tuning.
pub trait Method<V: Vector> {
    /// Whether these numbers make sense for a model; if not, why.
    fn check(&self, _model: &Size) -> Result<(), String> {
        Ok(())
    }

    /// Matrices that the method adds beside a part; they decay.
    fn adapters(&self, _part: &Part) -> Vec<Adapter> {
        Vec::new()
    }

    /// The warm-up share of the steps, given what the recipe asks.
    fn warmup(&self, asked: f64) -> f64 {
        asked
    }

    /// The dropout of a run of so many steps.
    fn dropout(&self, _steps: u32) -> Dropout {
        Dropout::Model
    }

    /// Once, before anything is measured on the model: where θ starts.
    fn start(&mut self, _study: &mut dyn Study<V>) -> Result<()> {
        Ok(())
    }

    /// Once, before the first step: scores, masks, what is trained, what decays.
    fn prepare(&mut self, _study: &mut dyn Study<V>) -> Result<()> {
        Ok(())
    }

    /// The learning rate of a part, as a share of the run's: of its step, its decay and its pull.
    fn rate(&self, _part: &Part) -> f64 {
        1.0
    }

    /// At each step before the forward pass.
    fn turn(&mut self, _study: &mut dyn Study<V>, _at: Moment) {}

    /// The weight of a linear layer in place of `weight`, in training and in evaluation; `None` leaves it.
    fn adapted(&self, _part: &Part, _weight: &V, _leaves: &dyn Leaves<V>) -> Option<V> {
        None
    }

    /// The weight of a linear layer in place of `weight` in a training pass, in the graph; `None` leaves it.
    fn weight(&self, _part: &Part, _weight: &V, _leaves: &dyn Leaves<V>, _at: Moment) -> Option<V> {
        None
    }

    /// The input `[N, H]` of a layer of the encoder, counted from 0, in the graph.
    fn hidden(&self, _layer: usize, input: V, _at: Moment) -> V {
        input
    }

    /// What is minimised.
    fn loss(&self, passes: &mut dyn Passes<V>, _at: Moment) -> V {
        let logits = passes.pass();
        passes.loss(&logits)
    }

    /// The gradient of a block as the backward pass left it, before its norm is taken and it is clipped.
    fn raw(&mut self, _block: &Block<V>, gradient: V) -> V {
        gradient
    }

    /// What the optimizer's moments see of the clipped gradient of a block.
    fn gradient(&mut self, _block: &Block<V>, gradient: V) -> V {
        gradient
    }

    /// What is taken off θ of a block; `step` is ηΔ, Adam's direction times the rate, `gradient` what the moments saw.
    fn step(&mut self, _block: &Block<V>, _gradient: &V, step: V) -> V {
        step
    }

    /// What is taken off θ of a block that has a pre-trained value besides, after the step: `block.theta` is θ after it.
    fn pull(&self, _block: &Block<V>) -> Option<V> {
        None
    }

    /// What the method carries from step to step: the names of its vectors and where they lie, for checkpoints.
    fn state(&mut self) -> Vec<(&'static str, &mut V)> {
        Vec::new()
    }
}

/// Two readings of one method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Fidelity {
    Paper,
    Code,
}

/// The shape of a noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Noise {
    Normal,
    Uniform,
}

impl Noise {
    /// N(0, scale²) or U(−scale, scale), in the shape of `like`.
    fn like<V: Vector>(self, like: &V, key: u64, scale: f64) -> V {
        match self {
            Noise::Normal => like.normal(key, 0).scaled(scale),
            Noise::Uniform => like.uniform(key, 0).scaled(2.0).shifted(-1.0).scaled(scale),
        }
    }
}

const fn number(name: &'static str, what: &'static str, domain: Domain, standard: Standard) -> Number {
    Number { name, what, domain, standard }
}

/// From zero on, without end.
const NOT_NEGATIVE: Domain = Domain::RealBelow { from: 0.0, below: f64::MAX };

const P: Number = number(
    "p",
    "reserve rate: the share of parameters that is updated",
    Domain::Real { above: 0.0, up_to: 1.0 },
    Standard::Real(0.3),
);

const FIDELITY: Number = number(
    "fidelity",
    "\"paper\": the equations; \"code\": the authors' program, its departures included",
    Domain::Word(&["paper", "code"]),
    Standard::Word("paper"),
);

const FISHER_SEED: Number = number(
    "fisher_seed",
    "seed of the head in the Fisher pass; set, seeds with the same training examples share one child network",
    Domain::Whole { from: 0, to: i64::MAX },
    Standard::Absent("the run's seed"),
);

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

/// The method of a name.
pub fn info(name: &str) -> Option<&'static Info> {
    METHODS.iter().copied().find(|method| method.name == name)
}

/// The numbers that several methods have, as a combination names each of them: `child-f.p`.
pub fn shared_numbers() -> Vec<String> {
    let has = |method: &Info, name: &str| method.numbers.iter().any(|n| n.name == name);
    let is_shared = |name: &str| METHODS.iter().filter(|method| has(method, name)).count() > 1;
    let of = |method: &&'static Info| {
        let (owner, numbers) = (method.name, method.numbers.iter().filter(|n| is_shared(n.name)));
        numbers.map(move |n| format!("{owner}.{}", n.name)).collect::<Vec<_>>()
    };
    METHODS.iter().flat_map(of).collect()
}

fn read<T: DeserializeOwned>(numbers: Map<String, Value>) -> Result<T> {
    Ok(serde_json::from_value(Value::Object(numbers))?)
}

/// One line a method: its module and its type.
macro_rules! methods {
    ($($module:ident::$method:ident),* $(,)?) => {
        /// Every method, in the order in which those of a combination act.
        pub const METHODS: &[&Info] = &[$(&$module::INFO),*];

        /// Builds one method from its numbers.
        fn build_one<V: Vector + 'static>(name: &str, numbers: Map<String, Value>) -> Result<Box<dyn Method<V>>> {
            $(if name == $module::INFO.name {
                return Ok(Box::new($module::$method::new(read(numbers)?)));
            })*
            anyhow::bail!("no method is called \"{name}\"")
        }
    };
}

methods! {
    vanilla::Vanilla,
    child_f::ChildF,
    child_d::ChildD,
    child_random::ChildRandom,
    child_lowest::ChildLowest,
    prune::Prune,
    weight_decay::WeightDecay,
    top_k::TopK,
    mixout::Mixout,
    recadam::RecAdam,
    r3f::R3f,
    r_drop::RDrop,
    noisytune::NoisyTune,
    hype::Hype,
    // Before those that mask or weigh the gradient, which its penalty is a part of.
    l2_sp::L2Sp,
    dps_dense::DpsDense,
    dps_mix::DpsMix,
    bitfit::BitFit,
    lora::Lora,
    fish::Fish,
    llrd::Llrd,
    reinit::Reinit,
    sage::Sage,
}
