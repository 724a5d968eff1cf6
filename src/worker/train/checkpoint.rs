//! A run put aside: θ, both moments, and where it stood. Every random stream is a function of seed and step, so
//! nothing else is needed to go on bit for bit.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tch::{Tensor, no_grad};

use super::Places;
use super::adam::Adam;
use crate::arena::Arena;
use crate::record::Epoch;

pub struct Checkpoint {
    pub step: u32,
    /// Sum of the losses since the last epoch ended.
    pub losses: f64,
    pub epochs: Vec<Epoch>,
    theta: Tensor,
    m: Tensor,
    v: Tensor,
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
    pub fn of(arena: &Arena, adam: &Adam, step: u32, losses: f64, epochs: Vec<Epoch>) -> Checkpoint {
        let keep = Tensor::shallow_clone;
        Checkpoint { step, losses, epochs, theta: keep(&arena.theta), m: keep(&adam.m), v: keep(&adam.v) }
    }

    /// Written to a folder of its own, then renamed: a checkpoint is whole or absent.
    pub fn write(&self, places: &Places) -> Result<()> {
        let target = folder(places);
        let draft = target.with_extension(format!("{}.tmp", std::process::id()));
        let write = || -> Result<()> {
            let _ = fs::remove_dir_all(&draft);
            fs::create_dir_all(&draft)?;
            let tensors = [("theta", &self.theta), ("m", &self.m), ("v", &self.v)];
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
            Ok(Checkpoint { step: position.step, losses: position.losses, epochs: position.epochs, theta, m, v })
        };
        read().map(Some).with_context(|| {
            format!("the checkpoint {} cannot be read; remove that folder to start the run afresh", folder.display())
        })
    }

    pub fn restore(&self, arena: &mut Arena, adam: &mut Adam) {
        no_grad(|| {
            arena.theta.copy_(&self.theta);
            adam.m.copy_(&self.m);
            adam.v.copy_(&self.v);
        });
    }

    pub fn remove(places: &Places) {
        // A checkpoint left behind only costs disk: the run's record is what counts.
        let _ = fs::remove_dir_all(folder(places));
    }
}
