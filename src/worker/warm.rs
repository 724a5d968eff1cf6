//! What stays in memory between runs: the model last used, and the tokenized data sets.

use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use tch::Device;

use crate::arena::Values;
use crate::method::{Combination, Method, Part};
use crate::protocol::Job;
use crate::task::{Loaded, Task, Tokenizer, load};
use crate::train::Subject;

/// Data sets kept; beyond it the oldest goes.
const DATA_SETS: usize = 16;

pub struct Warm {
    device: Device,
    subject: Option<(SubjectKey, Subject)>,
    data: Vec<(DataKey, Arc<Loaded>)>,
}

#[derive(PartialEq)]
struct SubjectKey {
    folder: PathBuf,
    hash: String,
    classes: Option<i64>,
}

#[derive(PartialEq)]
struct DataKey {
    model: String,
    task: String,
    task_hash: String,
    is_trained: bool,
    max_length: u32,
}

impl Warm {
    pub fn new(device: Device) -> Warm {
        Warm { device, subject: None, data: Vec::new() }
    }

    /// Lets the model go, and with it the memory that it holds.
    pub fn forget(&mut self) {
        self.subject = None;
    }

    /// Model and data of a job, loaded only if they are not here yet.
    pub fn take(&mut self, job: &Job) -> Result<(&mut Subject, Arc<Loaded>)> {
        let (run, labels) = (&job.run, &job.task.labels);
        let classes = (!labels.is_regression()).then_some(labels.outputs() as i64);
        let key = SubjectKey { folder: job.model.clone(), hash: run.model.hash.clone(), classes };
        let method = Combination::<Values>::build(&run.method)?;
        let adapters = |part: &Part| method.adapters(part);
        // Reading texts and reading weights are each a thread's work.
        let reading = self.unread(job, &job.task);
        if self.subject.as_ref().is_none_or(|(held, subject)| *held != key || !subject.has_adapters(&adapters)) {
            // Dropped before the next is loaded: two models may not fit side by side.
            self.subject = None;
            let load = || Subject::load(&job.model, classes, self.device, &adapters);
            let (subject, read) = std::thread::scope(|scope| {
                let reading = reading.map(|key| scope.spawn(|| Ok::<_, anyhow::Error>((key, read(job, &job.task)?))));
                (load(), reading.map(|reading| reading.join().unwrap_or_else(|panic| resume_unwind(panic))))
            });
            let subject = subject?;
            if let Some((key, loaded)) = read.transpose()? {
                self.keep(key, loaded);
            }
            crate::log::line(&format!("{}: {}", job.model.display(), subject.account()));
            self.subject = Some((key, subject));
        }
        let data = self.data(job, &job.task)?;
        let (_, subject) = self.subject.as_mut().context("the model was just loaded")?;
        subject.check_length(run.recipe.max_length)?;
        Ok((subject, data))
    }

    /// The tokens of a task of a job, its own or another, loaded only if they are not here yet.
    pub fn data(&mut self, job: &Job, task: &Task) -> Result<Arc<Loaded>> {
        match self.unread(job, task) {
            Some(key) => Ok(self.keep(key, read(job, task)?)),
            None => self.held(&DataKey::of(job, task)).context("the tokens are here"),
        }
    }

    fn held(&self, key: &DataKey) -> Option<Arc<Loaded>> {
        self.data.iter().find(|(held, _)| held == key).map(|(_, held)| held.clone())
    }

    /// The key of tokens that are not here.
    fn unread(&self, job: &Job, task: &Task) -> Option<DataKey> {
        Some(DataKey::of(job, task)).filter(|key| self.held(key).is_none())
    }

    fn keep(&mut self, key: DataKey, loaded: Loaded) -> Arc<Loaded> {
        if self.data.len() == DATA_SETS {
            self.data.remove(0);
        }
        let loaded = Arc::new(loaded);
        self.data.push((key, loaded.clone()));
        loaded
    }
}

fn read(job: &Job, task: &Task) -> Result<Loaded> {
    let tokenizer = Tokenizer::open(&job.model)?;
    load(task, &tokenizer, job.run.recipe.max_length as usize, &job.cache)
}

impl DataKey {
    fn of(job: &Job, task: &Task) -> DataKey {
        let run = &job.run;
        let after = &run.after;
        let named = after.eval.iter().map(|eval| &eval.task).chain(after.probe.iter().flat_map(|probe| &probe.tasks));
        let mut named = named.chain(&after.transfer).chain([&run.task]).filter(|input| input.name == task.name);
        DataKey {
            model: run.model.hash.clone(),
            task: task.name.clone(),
            task_hash: named.next_back().map(|input| input.hash.clone()).unwrap_or_default(),
            is_trained: task.train.is_some(),
            max_length: run.recipe.max_length,
        }
    }
}
