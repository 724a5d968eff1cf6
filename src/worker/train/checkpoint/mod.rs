//! A run on its way: θ, both moments, what the method carries, and where it stood. Every random stream is a function of
//! seed and step, so nothing else is needed to go on bit for bit.

mod generations;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::{Tensor, no_grad};

use super::Places;
use super::adam::Adam;
use crate::arena::{Arena, Values};
use crate::disk::checkpoint_folder;
use crate::kept::hash;
use crate::log;
use crate::method::{Combination, Method};
use crate::plan::RunId;
use crate::record::Epoch;
use crate::record::store::replace;
use generations::Generations;

const STATE: &str = "state.safetensors";
const POSITION: &str = "position.json";
/// What a run took whose training is over, while its stages are under way.
const SPENT: &str = "spent.json";

/// Where a run stood.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    pub step: u32,
    /// Sum of the losses since the last epoch ended.
    pub losses: f64,
    pub epochs: Vec<Epoch>,
    /// How a step's batch went through the model: dropout is drawn for each part.
    #[serde(default)]
    pub micro_batch: Option<u32>,
    #[serde(default)]
    pub spent: Spent,
}

/// What a run took so far, over all its parts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spent {
    /// Wall seconds per phase.
    pub seconds: BTreeMap<String, f64>,
    /// How often it went on from a checkpoint.
    pub resumed: u32,
    /// The runs that it was trained side by side with, itself among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group: Vec<RunId>,
}

/// What is written: a position, the hash of the tensors beside it, and a hash of both, so that damage is noticed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    position: Position,
    state: String,
    seal: String,
}

/// The tensors that training carries from step to step, by name.
fn tensors<'a>(arena: &Arena, adam: &Adam, method: &'a mut Combination<Values>) -> Vec<(&'a str, Tensor)> {
    let own = method.state().into_iter().map(|(name, Values(vector))| (name, vector.shallow_clone()));
    [("theta", &arena.theta), ("m", &adam.m), ("v", &adam.v)]
        .into_iter()
        .map(|(name, tensor)| (name, tensor.shallow_clone()))
        .chain(own)
        .collect()
}

/// Writes a checkpoint beside the newest one that is there, which stays until the next is written.
///
/// # Errors
/// The disk is full or cannot be written; the checkpoints that were there are still there.
pub fn write(
    places: &Places,
    arena: &Arena,
    adam: &Adam,
    method: &mut Combination<Values>,
    position: &Position,
) -> Result<()> {
    let tensors = tensors(arena, adam, method);
    Generations::of(places).add(position.step, |draft| {
        let state = draft.join(STATE);
        Tensor::write_safetensors(&tensors, &state)?;
        let state = hash(&state)?;
        let sealed = Sealed { position: position.clone(), seal: seal(position, &state)?, state };
        fs::write(draft.join(POSITION), serde_json::to_vec(&sealed)?)?;
        Ok(())
    })
}

/// The step of the newest checkpoint, whole or not; 0 without one.
pub fn newest_step(places: &Places) -> u32 {
    let newest = Generations::of(places).newest_first().into_iter().next();
    newest.and_then(|folder| folder.file_name()?.to_str()?.parse().ok()).unwrap_or(0)
}

/// Puts the newest whole checkpoint of this run back, if there is one. A damaged one is told in the log and removed, and
/// the one before counts; with none left the run begins anew.
///
/// # Errors
/// A checkpoint that may be whole and cannot be read.
pub fn take_up(
    places: &Places,
    arena: &mut Arena,
    adam: &mut Adam,
    method: &mut Combination<Values>,
    micro_batch: Option<u32>,
) -> Result<Option<Position>> {
    let generations = Generations::of(places);
    for folder in generations.newest_first() {
        let found = read(&folder);
        if let (Ok((position, _)), Some(until)) = (&found, places.until)
            && position.step > until
        {
            // From beyond the step in question nothing can be said of that step, and the lines of steps.csv up to there are
            // about to be cut.
            generations.drop(&folder);
            continue;
        }
        let error = match found.and_then(|(position, held)| {
            ensure!(
                position.micro_batch == micro_batch,
                "it was made with batches in other parts, so this would be no run that can be repeated"
            );
            restore(&held, &tensors(arena, adam, method))?;
            adam.look_again(arena);
            Ok(position)
        }) {
            Ok(position) => return Ok(Some(position)),
            Err(error) => error,
        };
        let what = format!("the checkpoint {} is of no use", folder.display());
        // A disk that fails for a moment must not cost a week.
        if error.chain().any(|cause| cause.downcast_ref().is_some_and(may_pass)) {
            return Err(error.context(what));
        }
        log::line(&format!("{what} ({error:#}): the run goes on from the one before, or begins anew"));
        generations.drop(&folder);
    }
    Ok(None)
}

/// Whether an error says nothing about the file.
fn may_pass(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
    !matches!(error.kind(), NotFound | UnexpectedEof | InvalidData)
}

fn read(folder: &Path) -> Result<(Position, Vec<(String, Tensor)>)> {
    let text = fs::read(folder.join(POSITION)).context(POSITION)?;
    let state = folder.join(STATE);
    let position = match serde_json::from_slice::<Sealed>(&text) {
        Ok(sealed) => {
            ensure!(sealed.seal == seal(&sealed.position, &sealed.state)?, "{POSITION} was changed");
            let found = hash(&state).context(STATE)?;
            ensure!(found == sealed.state, "{STATE} is not what was written");
            sealed.position
        }
        // As the program wrote it before it sealed checkpoints.
        Err(error) => serde_json::from_slice(&text).map_err(|_| error).context(POSITION)?,
    };
    Ok((position, Tensor::read_safetensors(&state).context(STATE)?))
}

/// Copies what a checkpoint holds to where training goes on: all of it, or nothing.
fn restore(held: &[(String, Tensor)], targets: &[(&str, Tensor)]) -> Result<()> {
    let of = |name: &str| held.iter().find(|(own, _)| own == name).with_context(|| format!("it holds no \"{name}\""));
    for (name, target) in targets {
        let (found, wanted) = (of(name)?.1.size(), target.size());
        ensure!(found == wanted, "its \"{name}\" has the shape {found:?}, and this run's has {wanted:?}");
    }
    for (name, target) in targets {
        let source = &of(name)?.1;
        no_grad(|| target.shallow_clone().copy_(source));
    }
    Ok(())
}

fn seal(position: &Position, state: &str) -> Result<String> {
    let text = serde_json::to_vec(&(position, state))?;
    Ok(blake3::hash(&text).to_hex().to_string())
}

/// Removes the checkpoints of a run. What is left behind only costs disk: the run's record is what counts.
pub fn remove(places: &Places) {
    Generations::of(places).remove();
}

/// Notes what a run took whose training is over, in place of its checkpoints.
///
/// # Errors
/// The disk is full or cannot be written.
pub fn note_spent(places: &Places, spent: &Spent) -> Result<()> {
    let folder = checkpoint_folder(&places.cache, &places.id);
    replace(&folder.join(SPENT), &serde_json::to_vec(spent)?)?;
    let generations = Generations::of(places);
    generations.newest_first().iter().for_each(|folder| generations.drop(folder));
    Ok(())
}

/// What [`note_spent`] noted; nothing where it did not, or where that is damaged: no result depends on it.
pub fn spent(places: &Places) -> Option<Spent> {
    let path = checkpoint_folder(&places.cache, &places.id).join(SPENT);
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}
