//! A whole run: training, or θ from an earlier run that trained alike, and the stages that follow.

mod distance;
mod elsewhere;
pub mod fused;
mod gradient;
mod probe;
mod sharpness;
pub mod trained;
mod transfer;
mod variance;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};

use crate::arena::Values;
use crate::kept::Kept;
use crate::method::Combination;
use crate::network::rounding::Exact;
use crate::plan::Run;
use crate::record::Outcome;
use crate::task::batch::sample;
use crate::task::{Loaded, Task};
use crate::train::{Ending, Listener, Places, PutAside, Subject, checkpoint, train};

/// What a run's stages need besides the run's own task.
pub struct Stages<'a> {
    /// The model's folder.
    pub model: &'a Path,
    /// Tasks that are scored or trained on, with their tokens.
    pub others: &'a [(Task, Arc<Loaded>)],
    /// Whether θ stays in the cache when all is done.
    pub keep: bool,
    /// Examples of one forward and backward pass in place of the recipe's, where memory was too small for those.
    pub micro_batch: Option<u32>,
}

impl Stages<'_> {
    /// A run as it is trained in passes that fit into memory. Its ids stay those of the run.
    fn eased(&self, run: &Run) -> Run {
        let mut eased = run.clone();
        eased.recipe.micro_batch = self.micro_batch.or(run.recipe.micro_batch);
        eased
    }

    fn task(&self, name: &str) -> Result<&(Task, Arc<Loaded>)> {
        self.others.iter().find(|(task, _)| task.name == name).with_context(|| format!("task {name} came without data"))
    }
}

/// A run with all it holds while a stage is done.
struct Stage<'a> {
    run: &'a Run,
    task: &'a Task,
    subject: &'a mut Subject,
    data: &'a Loaded,
    /// The examples that the run was trained on.
    picked: &'a [u32],
    method: &'a Combination<Values>,
    places: &'a Places,
    stages: &'a Stages<'a>,
    listener: &'a mut dyn Listener,
}

impl Stage<'_> {
    /// # Errors
    /// [`PutAside`] if the listener wants the worker to stop; θ is in the cache by then.
    fn go_on(&mut self) -> Result<()> {
        if self.listener.pause() { Err(PutAside.into()) } else { Ok(()) }
    }
}

/// Trains a subject that was reset to the run's seed, unless θ of just this training lies in the cache, and does what
/// the run asks for after it.
///
/// # Errors
/// As [`train`]; data of a stage that is missing.
pub fn complete(
    run: &Run,
    task: &Task,
    subject: &mut Subject,
    data: &Loaded,
    places: &Places,
    stages: &Stages,
    listener: &mut dyn Listener,
) -> Result<Ending> {
    let method = Combination::<Values>::build(&run.method)?;
    if let Some(spent) = checkpoint::spent(places) {
        listener.taken_up(spent);
    }
    let kept = Kept::at(&places.cache, &run.training_id());
    let mut outcome = match trained::restore(&kept, subject) {
        Some(outcome) => outcome,
        None => {
            let outcome = match train(&stages.eased(run), task, subject, data, places, listener)? {
                Ending::Done(outcome) => Outcome { distance: distance::by_layer(subject, &method), ..outcome },
                other => return Ok(other),
            };
            if stages.keep || !run.after.is_empty() {
                trained::write(&kept, subject, &outcome, task, stages.model)?;
                // From here on θ is what the run goes on from.
                checkpoint::note_spent(places, &listener.spent())?;
            }
            outcome
        }
    };
    if run.after.is_empty() {
        return Ok(Ending::Done(outcome));
    }
    // What follows may need the memory.
    subject.spare = None;
    // Measurements are of the whole model, whatever the method trained of it.
    subject.arena.free();
    let picked = sample(data.train.len(), run.recipe.train_size.map_or(usize::MAX, |n| n as usize), run.seed);
    let (step, picked) = (outcome.steps, &picked);
    let stage = Stage { run, task, subject, data, picked, method: &method, places, stages, listener: &mut *listener };
    match follow(stage, &mut outcome) {
        Err(error) if error.is::<PutAside>() => {
            checkpoint::note_spent(places, &listener.spent())?;
            return Ok(Ending::Paused { step });
        }
        followed => followed?,
    }
    if !stages.keep {
        trained::remove(&kept);
    }
    Ok(Ending::Done(outcome))
}

/// The stages in their order; the last one leaves θ elsewhere.
fn follow(mut stage: Stage, outcome: &mut Outcome) -> Result<()> {
    let after = &stage.run.after;
    for eval in &after.eval {
        stage.listener.phase("evaluate");
        outcome.elsewhere.push(elsewhere::score(&mut stage, eval)?);
        stage.go_on()?;
    }
    if let Some(settings) = &after.probe {
        stage.listener.phase("probe");
        for target in &settings.tasks {
            outcome.elsewhere.push(probe::probe(&mut stage, settings, target)?);
            stage.go_on()?;
        }
    }
    if let Some(measure) = &after.measure {
        let _exact = Exact::new();
        stage.listener.phase("measure");
        if let Some(settings) = &measure.sharpness {
            outcome.sharpness = Some(sharpness::measure(&mut stage, settings)?);
        }
        if let Some(settings) = &measure.variance {
            outcome.variance = variance::measure(&mut stage, settings)?;
        }
    }
    if !after.transfer.is_empty() {
        let source = transfer::Source::of(&stage);
        for target in &after.transfer {
            stage.listener.phase("transfer");
            outcome.elsewhere.push(transfer::transfer(&mut stage, &source, target)?);
            stage.go_on()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
