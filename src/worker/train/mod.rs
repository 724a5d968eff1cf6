//! One run, from a job to scores: the loop on one page.

pub mod adam;
pub mod checkpoint;
pub mod evaluate;
#[cfg(test)]
pub mod example;
pub mod fisher;
pub mod fused;
pub mod gradient;
pub mod hooks;
pub mod loss;
pub mod schedule;
mod scores;
mod steps;
mod study;
pub mod subject;
mod trainee;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::plan::{Run, RunId};
use crate::record::{Outcome, Rung};
use crate::task::{Loaded, Task};
use checkpoint::Spent;
use gradient::Step;
pub use subject::Subject;
pub use trainee::Trainee;
use trainee::Wish;

/// The places that a run reads and writes.
#[derive(Debug, Clone)]
pub struct Places {
    /// The run's own folder: steps.csv.
    pub folder: PathBuf,
    pub cache: PathBuf,
    pub masks: PathBuf,
    /// Write every n-th step to steps.csv; 0 writes none.
    pub log_every: u32,
    /// Score after the last step alone.
    pub scores_at_end: bool,
    /// Names this run's checkpoints.
    pub id: String,
    /// The step of the whole run at which this part of it ends, with scores and a checkpoint; none, or one that is not
    /// before the last step, trains to the end.
    pub until: Option<u32>,
}

/// Whoever listens to a run.
pub trait Listener {
    fn phase(&mut self, name: &'static str);
    fn step(&mut self, step: u32, of: u32, loss: f64, examples_per_second: f64);
    /// Asked between steps: put the run aside at a checkpoint?
    fn pause(&mut self) -> bool;
    /// Asked between steps: is it time for a checkpoint, after which the run goes on?
    fn is_save_due(&mut self) -> bool {
        false
    }
    /// A checkpoint of this step is on the disk.
    fn saved(&mut self, _step: u32) {}
    /// A checkpoint cannot be written, in words; the run goes on without.
    fn not_saved(&mut self, _why: &str) {}
    /// What the run took so far, over all its parts.
    fn spent(&mut self) -> Spent {
        Spent::default()
    }
    /// Checkpoints of all runs that are trained side by side are on the disk, and took so long together.
    fn all_saved(&mut self, _took: Duration) {}
    /// From now on it is trained side by side with these, itself among them.
    fn beside(&mut self, _group: &[RunId]) {}
    /// The run goes on where an earlier part ended that took so much.
    fn taken_up(&mut self, _spent: Spent) {}
}

/// The listener asked for a pause where nothing is worth a checkpoint yet.
#[derive(Debug, thiserror::Error)]
#[error("put aside before the first step")]
pub struct PutAside;

/// How a run ended, but for errors.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time")]
pub enum Ending {
    Done(Outcome),
    Diverged {
        step: u32,
    },
    /// Put aside; it goes on from this step.
    Paused {
        step: u32,
    },
    /// It came to the step that it was to come to, and lies at a checkpoint.
    Reached(Box<Rung>),
}

/// Trains a subject that was reset to the run's seed, and scores the last state on the dev sets.
///
/// # Errors
/// Settings that the method refuses; files that cannot be read or written.
pub fn train(
    run: &Run,
    task: &Task,
    subject: &mut Subject,
    data: &Loaded,
    places: &Places,
    listener: &mut dyn Listener,
) -> Result<Ending> {
    match Trainee::begin(run, task, subject, data, places, listener) {
        Ok(mut trainee) => {
            let ending = train_on(&mut trainee, places.until);
            trainee.hand_on();
            ending
        }
        Err(error) if error.is::<PutAside>() => Ok(Ending::Paused { step: 0 }),
        Err(error) => Err(error),
    }
}

/// Trains to the last step, or to this one.
fn train_on(trainee: &mut Trainee, until: Option<u32>) -> Result<Ending> {
    trainee.start();
    while trainee.done < trainee.total {
        if until == Some(trainee.done) {
            return trainee.reach();
        }
        trainee.turn();
        let at = trainee.moment();
        let (picks, recipe) = (trainee.batch(at.step), &trainee.run.recipe);
        let precision = trainee.subject.precision;
        let batch = Step { tokens: &trainee.data.train, picks: &picks, recipe, precision, dropout: "dropout", at };
        let loss = batch.gradient(trainee.subject, &trainee.method);
        if let Some(ending) = trainee.learn(loss)? {
            return Ok(ending);
        }
        match trainee.wants() {
            Some(Wish::PutAside) => return trainee.put_aside(),
            Some(Wish::Save) => {
                trainee.checkpoint()?;
                trainee.listener.phase("train");
            }
            None => {}
        }
    }
    bail!("a run of no steps cannot be scored: epochs and max_steps must be at least 1")
}

#[cfg(test)]
mod tests;
