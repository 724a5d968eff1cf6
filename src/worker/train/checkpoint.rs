//! A run put aside: θ, both moments, what the method carries, and where it stood. Every random stream is a function of seed and step, so
//! nothing else is needed to go on bit for bit.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tch::{Tensor, no_grad};

use super::Places;
use super::adam::Adam;
use crate::arena::{Arena, Values};
use crate::method::{Combination, Method};
use crate::record::Epoch;

pub struct Checkpoint {
    pub step: u32,
    /// Sum of the losses since the last epoch ended.
    pub losses: f64,
    pub epochs: Vec<Epoch>,
    theta: Tensor,
    m: Tensor,
    v: Tensor,
    /// Vectors of the method, by their names.
    state: Vec<(String, Tensor)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Position {
    step: u32,
    losses: f64,
    epochs: Vec<Epoch>,
}

fn folder(places: &Places) -> PathBuf {
    places.cache.join("checkpoints").join(&places.id)
}

impl Checkpoint {
    pub fn of(
        arena: &Arena,
        adam: &Adam,
        method: &mut Combination<Values>,
        step: u32,
        losses: f64,
        epochs: Vec<Epoch>,
    ) -> Checkpoint {
        let keep = Tensor::shallow_clone;
        let state = method.state().into_iter().map(|(name, Values(vector))| (name.to_owned(), keep(vector))).collect();
        Checkpoint { step, losses, epochs, theta: keep(&arena.theta), m: keep(&adam.m), v: keep(&adam.v), state }
    }

    /// Written to a folder of its own, then renamed: a checkpoint is whole or absent.
    pub fn write(&self, places: &Places) -> Result<()> {
        let target = folder(places);
        let draft = target.with_extension(format!("{}.tmp", std::process::id()));
        let write = || -> Result<()> {
            let _ = fs::remove_dir_all(&draft);
            fs::create_dir_all(&draft)?;
            let own = self.state.iter().map(|(name, vector)| (name.as_str(), vector));
            let tensors: Vec<_> =
                [("theta", &self.theta), ("m", &self.m), ("v", &self.v)].into_iter().chain(own).collect();
            Tensor::write_safetensors(&tensors, draft.join("state.safetensors"))?;
            let position = Position { step: self.step, losses: self.losses, epochs: self.epochs.clone() };
            fs::write(draft.join("position.json"), serde_json::to_vec(&position)?)?;
            for name in ["state.safetensors", "position.json"] {
                fs::File::open(draft.join(name))?.sync_all()?;
            }
            let _ = fs::remove_dir_all(&target);
            fs::rename(&draft, &target)?;
            Ok(())
        };
        let written = write();
        if written.is_err() {
            let _ = fs::remove_dir_all(&draft);
        }
        written.with_context(|| format!("cannot write the checkpoint {}", target.display()))
    }

    /// The checkpoint of this run, if it was put aside.
    ///
    /// # Errors
    /// A checkpoint that cannot be read; removing its folder starts the run afresh.
    pub fn read(places: &Places) -> Result<Option<Checkpoint>> {
        let folder = folder(places);
        if !folder.is_dir() {
            return Ok(None);
        }
        let read = || -> Result<Checkpoint> {
            let position: Position = serde_json::from_slice(&fs::read(folder.join("position.json"))?)?;
            let mut tensors = Tensor::read_safetensors(folder.join("state.safetensors"))?;
            let mut take = |name: &str| -> Result<Tensor> {
                let at = tensors.iter().position(|(n, _)| n == name).with_context(|| format!("{name} is missing"))?;
                Ok(tensors.swap_remove(at).1)
            };
            let (theta, m, v) = (take("theta")?, take("m")?, take("v")?);
            let Position { step, losses, epochs } = position;
            Ok(Checkpoint { step, losses, epochs, theta, m, v, state: tensors })
        };
        read().map(Some).with_context(|| {
            format!("the checkpoint {} cannot be read; remove that folder to start the run afresh", folder.display())
        })
    }

    /// # Errors
    /// A vector of the method that the checkpoint does not hold.
    pub fn restore(&self, arena: &mut Arena, adam: &mut Adam, method: &mut Combination<Values>) -> Result<()> {
        no_grad(|| {
            arena.theta.copy_(&self.theta);
            adam.m.copy_(&self.m);
            adam.v.copy_(&self.v);
            for (name, Values(vector)) in method.state() {
                let held = self.state.iter().find(|(own, _)| own == name);
                vector.copy_(&held.with_context(|| format!("the checkpoint holds no \"{name}\""))?.1);
            }
            Ok(())
        })
    }

    pub fn remove(places: &Places) {
        // A checkpoint left behind only costs disk: the run's record is what counts.
        let _ = fs::remove_dir_all(folder(places));
    }
}
