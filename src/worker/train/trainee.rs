//! A run under way: what it carries from step to step, and each thing that is done to it.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::adam::Adam;
use super::checkpoint::{self, Position};
use super::hooks::InPass;
use super::schedule::Schedule;
use super::steps::StepLog;
use super::study::RunStudy;
use super::{Ending, Listener, Places, Subject, evaluate, hooks};
use crate::arena::Values;
use crate::method::{Combination, Hook, Method, Moment};
use crate::plan::Run;
use crate::record::{Epoch, MaskNote, Outcome, Rung, Scores};
use crate::task::batch::{epoch_order, sample};
use crate::task::{Loaded, Task};

/// Between two words about how fast a run goes.
const SPEAK: Duration = Duration::from_millis(250);

pub struct Trainee<'a> {
    pub run: &'a Run,
    task: &'a Task,
    pub subject: &'a mut Subject,
    pub data: &'a Loaded,
    pub places: &'a Places,
    pub listener: &'a mut dyn Listener,
    pub method: Combination<Values>,
    /// The examples that it is trained on.
    picked: Vec<u32>,
    per_epoch: u32,
    /// Steps of the whole run.
    pub total: u32,
    /// Steps done.
    pub done: u32,
    schedule: Schedule,
    adam: Adam,
    log: StepLog,
    epochs: Vec<Epoch>,
    /// Sum of the losses since the last epoch ended.
    losses: f64,
    mask: Option<MaskNote>,
    /// The step of the newest checkpoint.
    safe: u32,
    /// The order of the examples in an epoch.
    order: (Option<u32>, Vec<u32>),
    spoken: Instant,
    /// When this part of the run began, and at which step.
    began: (Instant, u32),
}

impl<'a> Trainee<'a> {
    /// A run whose subject was reset to its seed: what comes before the first step is done, or it stands where its newest
    /// checkpoint left it.
    ///
    /// # Errors
    /// `PutAside`; settings that the method refuses; files that cannot be read or written.
    pub fn begin(
        run: &'a Run,
        task: &'a Task,
        subject: &'a mut Subject,
        data: &'a Loaded,
        places: &'a Places,
        listener: &'a mut dyn Listener,
    ) -> Result<Trainee<'a>> {
        let recipe = &run.recipe;
        let picked = sample(data.train.len(), recipe.train_size.map_or(usize::MAX, |n| n as usize), run.seed);
        ensure!(!picked.is_empty(), "task {}: the training set is empty", task.name);
        let per_epoch = picked.len().div_ceil(recipe.batch_size as usize) as u32;
        let total = per_epoch.saturating_mul(recipe.epochs).min(recipe.max_steps.unwrap_or(u32::MAX));

        listener.phase("prepare");
        let mut method = Combination::<Values>::build(&run.method)?;
        if recipe.dropout.is_none() {
            subject.quiet(method.dropout(total));
        }
        let mut study = RunStudy { run, task, subject, data, picked: &picked, places, listener, note: None };
        method.start(&mut study)?;
        method.prepare(&mut study)?;
        let mask = study.note;

        let schedule = Schedule::new(recipe.lr, method.warmup(recipe.warmup), total);
        let mut adam = match subject.spare.take() {
            Some(adam) => adam.afresh(&subject.arena, recipe),
            None => Adam::new(&subject.arena, recipe),
        };
        let mut log = StepLog::new(places);
        let (mut epochs, mut losses, mut done) = (Vec::new(), 0.0, 0);
        let found = checkpoint::take_up(places, &mut subject.arena, &mut adam, &mut method, recipe.micro_batch)?;
        if let Some(saved) = found {
            (done, losses, epochs) = (saved.step, saved.losses, saved.epochs);
            listener.taken_up(saved.spent);
        }
        log.start_after(done)?;
        Ok(Trainee {
            run,
            task,
            subject,
            data,
            places,
            listener,
            method,
            picked,
            per_epoch,
            total,
            done,
            schedule,
            adam,
            log,
            epochs,
            losses,
            mask,
            safe: done,
            order: (None, Vec::new()),
            spoken: Instant::now(),
            began: (Instant::now(), done),
        })
    }

    /// Training begins, or goes on.
    pub fn start(&mut self) {
        self.began = (Instant::now(), self.done);
        self.listener.phase("train");
    }

    /// The next step, as the method sees it.
    pub fn moment(&self) -> Moment {
        Moment { seed: self.run.seed, step: self.done + 1, steps: self.total, pass: 0, token: 0 }
    }

    /// The method in a forward pass of the next step.
    pub fn in_pass(&self) -> InPass<'_> {
        InPass { method: &self.method, arena: &self.subject.arena, at: Some(self.moment()), words: None }
    }

    /// The examples of a step, counted from 1.
    pub fn batch(&mut self, step: u32) -> Vec<u32> {
        let (recipe, epoch) = (&self.run.recipe, (step - 1) / self.per_epoch);
        if self.order.0 != Some(epoch) {
            let order = epoch_order(self.picked.len(), self.run.seed, epoch, recipe.shuffle);
            self.order = (Some(epoch), order);
        }
        self.order.1[self.place(step)].iter().map(|&i| self.picked[i as usize]).collect()
    }

    /// Where the examples of a step stand in the order of their epoch.
    fn place(&self, step: u32) -> Range<usize> {
        let size = self.run.recipe.batch_size as usize;
        let from = ((step - 1) % self.per_epoch) as usize * size;
        from..self.picked.len().min(from + size)
    }

    /// Lets the method have its turn before a forward pass.
    pub fn turn(&mut self) {
        if self.method.has(Hook::Turn) {
            let at = self.moment();
            let Trainee { run, task, data, picked, places, .. } = self;
            let (subject, listener) = (&mut *self.subject, &mut *self.listener);
            let mut study = RunStudy { run, task, subject, data, picked, places, listener, note: None };
            self.method.turn(&mut study, at);
        }
    }

    /// One update by the gradient that lies in the arena, and the scores where an epoch ends. Gives how the run ended, if it
    /// did.
    ///
    /// # Errors
    /// steps.csv cannot be written.
    pub fn learn(&mut self, loss: f64) -> Result<Option<Ending>> {
        let (at, rate) = (self.moment(), self.schedule.rate(self.done + 1));
        let arena = &mut self.subject.arena;
        hooks::raw(arena, &mut self.method, at, rate);
        let norm = hooks::norm(arena);
        if !(loss.is_finite() && norm.is_finite()) {
            return Ok(Some(Ending::Diverged { step: at.step }));
        }
        self.adam.step(arena, &mut self.method, rate, norm, at);
        self.losses += loss;
        let seen = u64::from(self.done / self.per_epoch) * self.picked.len() as u64 + self.place(at.step).end as u64;
        self.done = at.step;
        self.log.write(at.step, loss, rate, norm, seen)?;
        if self.done.is_multiple_of(self.per_epoch) || self.done == self.total {
            return self.end_epoch();
        }
        if self.spoken.elapsed() > SPEAK {
            self.spoken = Instant::now();
            let (began, from) = self.began;
            let examples = f64::from(self.done - from) * f64::from(self.run.recipe.batch_size);
            self.listener.step(self.done, self.total, loss, examples / began.elapsed().as_secs_f64());
        }
        Ok(None)
    }

    fn end_epoch(&mut self) -> Result<Option<Ending>> {
        let within = self.done % self.per_epoch;
        let steps = if within == 0 { self.per_epoch } else { within };
        let (epoch, loss) = (self.done.div_ceil(self.per_epoch), self.losses / f64::from(steps));
        if self.places.scores_at_end && self.done < self.total {
            self.epochs.push(Epoch { epoch, step: self.done, loss, dev: Scores::new() });
            self.losses = 0.0;
            return Ok(None);
        }
        self.listener.phase("evaluate");
        let scored = self.score();
        if !scored.finite {
            // The last update overflowed θ; the loss before it could not show that.
            return Ok(Some(Ending::Diverged { step: self.done }));
        }
        self.epochs.push(Epoch { epoch, step: self.done, loss, dev: scored.scores });
        self.losses = 0.0;
        if self.done < self.total {
            self.listener.phase("train");
            return Ok(None);
        }
        self.log.finish()?;
        Ok(Some(Ending::Done(Outcome {
            metric: self.task.headline(),
            dev: self.epochs.last().map(|epoch| epoch.dev.clone()).unwrap_or_default(),
            epochs: std::mem::take(&mut self.epochs),
            collapsed: scored.collapsed,
            steps: self.total,
            train_examples: self.picked.len() as u32,
            dev_examples: scored.examples,
            mask: self.mask.clone(),
            halves: Some(scored.halves),
            ..Outcome::default()
        })))
    }

    fn score(&self) -> evaluate::Scored {
        evaluate::dev(self.task, self.subject, &self.method, self.data, self.run.recipe.dev_size)
    }

    /// The end of a run that was to come to the step where it stands, at a checkpoint.
    ///
    /// # Errors
    /// steps.csv cannot be written.
    pub fn reach(&mut self) -> Result<Ending> {
        self.listener.phase("evaluate");
        let scored = self.score();
        if !scored.finite {
            return Ok(Ending::Diverged { step: self.done });
        }
        // Sent on without a checkpoint, it trains these steps again.
        self.save()?;
        let (metric, dev, halves) = (self.task.headline(), scored.scores, Some(scored.halves));
        Ok(Ending::Reached(Box::new(Rung { step: self.done, of: self.total, metric, dev, halves })))
    }

    /// Whether the listener wants a checkpoint now: none, one after which the run goes on, or one to be put aside at.
    pub fn wants(&mut self) -> Option<Wish> {
        if self.listener.pause() {
            return Some(Wish::PutAside);
        }
        self.listener.is_save_due().then_some(Wish::Save)
    }

    /// Puts the run aside at a checkpoint of this step, or of the newest that could be written.
    ///
    /// # Errors
    /// steps.csv cannot be written.
    pub fn put_aside(&mut self) -> Result<Ending> {
        self.checkpoint()?;
        Ok(Ending::Paused { step: self.safe })
    }

    /// # Errors
    /// steps.csv cannot be written.
    pub fn checkpoint(&mut self) -> Result<()> {
        self.listener.phase("checkpoint");
        self.save()
    }

    /// Leaves the optimizer to the next run over this arena, which need not ask the system for as much memory again.
    pub fn hand_on(self) {
        self.subject.spare = Some(self.adam);
    }

    fn save(&mut self) -> Result<()> {
        self.log.sync()?;
        let (epochs, micro_batch) = (self.epochs.clone(), self.run.recipe.micro_batch);
        let spent = self.listener.spent();
        let position = Position { step: self.done, losses: self.losses, epochs, micro_batch, spent };
        match checkpoint::write(self.places, &self.subject.arena, &self.adam, &mut self.method, &position) {
            Ok(()) => {
                self.safe = self.done;
                self.listener.saved(self.done);
            }
            // The run can still end well, and an earlier checkpoint is as good as it was.
            Err(error) => self.listener.not_saved(&format!("{error:#}")),
        }
        Ok(())
    }
}

/// What a listener wants between two steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    Save,
    PutAside,
}
