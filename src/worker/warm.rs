//! What stays in memory between runs: the model last used, and the tokenized data sets.

use std::path::PathBuf;

use anyhow::{Context, Result};
use tch::Device;

use crate::arena::Values;
use crate::method::{Combination, Method, Part};
use crate::protocol::Job;
use crate::task::{Loaded, Tokenizer, load};
use crate::train::Subject;

/// Data sets kept; beyond it the oldest goes.
const DATA_SETS: usize = 8;

pub struct Warm {
    device: Device,
    subject: Option<(SubjectKey, Subject)>,
    data: Vec<(DataKey, Loaded)>,
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
    max_length: u32,
}

impl Warm {
    pub fn new(device: Device) -> Warm {
        Warm { device, subject: None, data: Vec::new() }
    }

    /// Model and data of a job, loaded only if they are not here yet.
    pub fn take(&mut self, job: &Job) -> Result<(&mut Subject, &Loaded)> {
        let (run, labels) = (&job.run, &job.task.labels);
        let classes = (!labels.is_regression()).then_some(labels.outputs() as i64);
        let key = SubjectKey { folder: job.model.clone(), hash: run.model.hash.clone(), classes };
        let method = Combination::<Values>::build(&run.method)?;
        let adapters = |part: &Part| method.adapters(part);
        if self.subject.as_ref().is_none_or(|(held, subject)| *held != key || !subject.has_adapters(&adapters)) {
            // Dropped before the next is loaded: two models may not fit side by side.
            self.subject = None;
            let subject = Subject::load(&job.model, classes, self.device, &adapters)?;
            crate::log::line(&format!("{}: {}", job.model.display(), subject.account()));
            self.subject = Some((key, subject));
        }
        let key = DataKey {
            model: run.model.hash.clone(),
            task: run.task.name.clone(),
            task_hash: run.task.hash.clone(),
            max_length: run.recipe.max_length,
        };
        let at = match self.data.iter().position(|(held, _)| *held == key) {
            Some(at) => at,
            None => {
                let tokenizer = Tokenizer::open(&job.model)?;
                let loaded = load(&job.task, &tokenizer, run.recipe.max_length as usize, &job.cache)?;
                if self.data.len() == DATA_SETS {
                    self.data.remove(0);
                }
                self.data.push((key, loaded));
                self.data.len() - 1
            }
        };
        let (_, subject) = self.subject.as_mut().context("the model was just loaded")?;
        subject.check_length(run.recipe.max_length)?;
        Ok((subject, &self.data[at].1))
    }
}
