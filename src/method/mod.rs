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
mod info;
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
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use info::{FIDELITY, FISHER_SEED, Fidelity, NOT_NEGATIVE, Noise, P, number};

pub use combination::{Combination, canonical, check, refusal};
pub use info::{Claim, Dropout, Hook, Info};
pub use list::List;
pub use part::{Adapter, Part, Role, Size};
pub use study::{Block, Fisher, Leaves, Moment, Passes, Pick, Study};
pub use vector::Vector;

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
