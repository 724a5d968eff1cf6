//! One run, from a job to scores: the loop on one page.

pub mod adam;
pub mod checkpoint;
pub mod evaluate;
#[cfg(test)]
pub mod example;
pub mod fisher;
pub mod gradient;
pub mod hooks;
pub mod loss;
pub mod schedule;
mod scores;
mod steps;
mod study;
pub mod subject;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::arena::Values;
use crate::method::{Combination, Hook, Method, Moment};
use crate::plan::Run;
use crate::record::{Epoch, Outcome, Rung};
use crate::task::batch::{epoch_order, sample};
use crate::task::{Loaded, Task};
use adam::Adam;
use anyhow::Result;
use checkpoint::{Position, Spent};
use gradient::Step;
use schedule::Schedule;
use steps::StepLog;
use study::RunStudy;
pub use subject::Subject;

/// The places that a run reads and writes.
#[derive(Debug, Clone)]
pub struct Places {
    /// The run's own folder: steps.csv.
    pub folder: PathBuf,
    pub cache: PathBuf,
    pub masks: PathBuf,
    /// Write every n-th step to steps.csv; 0 writes none.
    pub log_every: u32,
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
    let recipe = &run.recipe;
    let picked = sample(data.train.len(), recipe.train_size.map_or(usize::MAX, |n| n as usize), run.seed);
    anyhow::ensure!(!picked.is_empty(), "task {}: the training set is empty", task.name);
    let per_epoch = picked.len().div_ceil(recipe.batch_size as usize) as u32;
    let total = per_epoch.saturating_mul(recipe.epochs).min(recipe.max_steps.unwrap_or(u32::MAX));

    listener.phase("prepare");
    let mut method = Combination::<Values>::build(&run.method)?;
    if recipe.dropout.is_none() {
        subject.quiet(method.dropout(total));
    }
    let mut study = RunStudy { run, task, subject, data, picked: &picked, places, listener, note: None };
    match method.start(&mut study).and_then(|()| method.prepare(&mut study)) {
        Err(error) if error.is::<PutAside>() => return Ok(Ending::Paused { step: 0 }),
        prepared => prepared?,
    }
    let mask = study.note;

    listener.phase("train");
    let schedule = Schedule::new(recipe.lr, method.warmup(recipe.warmup), total);
    let mut adam = Adam::new(&subject.arena, recipe);
    let mut log = StepLog::new(places);
    let mut epochs: Vec<Epoch> = Vec::new();
    let mut losses = 0.0;
    let mut done = 0;
    let micro_batch = recipe.micro_batch;
    if let Some(saved) = checkpoint::take_up(places, &mut subject.arena, &mut adam, &mut method, micro_batch)? {
        (done, losses, epochs) = (saved.step, saved.losses, saved.epochs);
        listener.taken_up(saved.spent);
    }
    let mut safe = done;
    log.start_after(done)?;
    let mut order = Vec::new();
    let mut order_epoch = None;
    let mut spoken = Instant::now();
    let (began, began_at) = (Instant::now(), done);

    while done < total {
        if places.until == Some(done) {
            listener.phase("evaluate");
            let scored = evaluate::dev(task, subject, &method, data, recipe.dev_size);
            if !scored.finite {
                return Ok(Ending::Diverged { step: done });
            }
            log.sync()?;
            let spent = listener.spent();
            let position = Position { step: done, losses, epochs, micro_batch, spent };
            match checkpoint::write(places, &subject.arena, &adam, &mut method, &position) {
                Ok(()) => listener.saved(done),
                // Sent on, it trains these steps again.
                Err(error) => listener.not_saved(&format!("{error:#}")),
            }
            let (metric, dev, halves) = (task.headline(), scored.scores, Some(scored.halves));
            return Ok(Ending::Reached(Box::new(Rung { step: done, of: total, metric, dev, halves })));
        }
        let (epoch, within) = (done / per_epoch, done % per_epoch);
        if order_epoch != Some(epoch) {
            order = epoch_order(picked.len(), run.seed, epoch, recipe.shuffle);
            order_epoch = Some(epoch);
        }
        let from = within as usize * recipe.batch_size as usize;
        let rows = &order[from..picked.len().min(from + recipe.batch_size as usize)];
        let rows: Vec<u32> = rows.iter().map(|&i| picked[i as usize]).collect();

        let step = done + 1;
        let at = Moment { seed: run.seed, step, steps: total, pass: 0, token: 0 };
        if method.has(Hook::Turn) {
            let picked = &picked;
            let mut study = RunStudy { run, task, subject, data, picked, places, listener, note: None };
            method.turn(&mut study, at);
        }
        let precision = subject.precision;
        let batch = Step { tokens: &data.train, picks: &rows, recipe, precision, dropout: "dropout", at };
        let loss = batch.gradient(subject, &method);
        let rate = schedule.rate(step);
        hooks::raw(&mut subject.arena, &mut method, at, rate);
        let norm = hooks::norm(&mut subject.arena);
        if !(loss.is_finite() && norm.is_finite()) {
            return Ok(Ending::Diverged { step });
        }
        adam.step(&mut subject.arena, &mut method, rate, norm, at);
        losses += loss;
        done = step;
        let seen = u64::from(epoch) * picked.len() as u64 + (from + rows.len()) as u64;
        log.write(step, loss, rate, norm, seen)?;

        if done % per_epoch == 0 || done == total {
            listener.phase("evaluate");
            let steps = if done % per_epoch == 0 { per_epoch } else { done % per_epoch };
            let scored = evaluate::dev(task, subject, &method, data, recipe.dev_size);
            if !scored.finite {
                // The last update overflowed θ; the loss before it could not show that.
                return Ok(Ending::Diverged { step });
            }
            epochs.push(Epoch { epoch: epoch + 1, step: done, loss: losses / f64::from(steps), dev: scored.scores });
            losses = 0.0;
            if done == total {
                log.finish()?;
                return Ok(Ending::Done(Outcome {
                    metric: task.headline(),
                    dev: epochs.last().map(|e| e.dev.clone()).unwrap_or_default(),
                    epochs,
                    collapsed: scored.collapsed,
                    steps: total,
                    train_examples: picked.len() as u32,
                    dev_examples: scored.examples,
                    mask,
                    halves: Some(scored.halves),
                    ..Outcome::default()
                }));
            }
            listener.phase("train");
        }
        if spoken.elapsed() > Duration::from_millis(250) {
            spoken = Instant::now();
            let examples = f64::from(done - began_at) * f64::from(recipe.batch_size);
            listener.step(done, total, loss, examples / began.elapsed().as_secs_f64());
        }
        let put_aside = listener.pause();
        if put_aside || listener.is_save_due() {
            log.sync()?;
            listener.phase("checkpoint");
            let spent = listener.spent();
            let position = Position { step: done, losses, epochs: epochs.clone(), micro_batch, spent };
            match checkpoint::write(places, &subject.arena, &adam, &mut method, &position) {
                Ok(()) => {
                    safe = done;
                    listener.saved(done);
                }
                // The run can still end well, and an earlier checkpoint is as good as it was.
                Err(error) => listener.not_saved(&format!("{error:#}")),
            }
            if put_aside {
                return Ok(Ending::Paused { step: safe });
            }
            listener.phase("train");
        }
    }
    anyhow::bail!("a run of no steps cannot be scored: epochs and max_steps must be at least 1")
}

#[cfg(test)]
mod tests;
