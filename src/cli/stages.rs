//! The tasks that a sweep's stages name, found on this machine, and what follows the training of each run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::workspace::resolve;
use crate::plan::{self, After, Input};
use crate::spec::{Fault, Sweep};
use crate::task::{self, Task, label_map};

/// Tasks by name, and whether something is trained on them.
#[derive(Debug, Default)]
pub struct Others {
    tasks: BTreeMap<(String, bool), (Task, String)>,
}

impl Others {
    /// Finds the tasks of all stages.
    ///
    /// # Errors
    /// Files that are there and cannot be read. What is missing, or cannot be mapped, is a fault; that of a built-in
    /// task whose files are missing comes with its name.
    pub fn find(
        sweep: &Sweep,
        trained: &BTreeMap<String, Task>,
        data: &[PathBuf],
        home: &Path,
        faults: &mut Vec<(Option<String>, Fault)>,
    ) -> Result<Others> {
        let mut others = Others::default();
        for ((name, span), is_trained) in sweep.stages.tasks() {
            let key = (name.clone(), is_trained);
            if others.tasks.contains_key(&key) {
                continue;
            }
            match resolve(sweep, name, data, home, is_trained) {
                Ok(task) => {
                    let hash = task.fingerprint()?;
                    others.tasks.insert(key, (task, hash));
                }
                Err(task::Error::Unknown { .. }) => {}
                Err(error) => {
                    let missing = matches!(error, task::Error::Missing { .. }).then(|| name.clone());
                    let fault = Fault::new(span.clone(), format!("task \"{name}\" cannot be read"), "its data");
                    faults.push((missing, fault.help(format!("{:#}", anyhow::Error::from(error)))));
                }
            }
        }
        let Some(eval) = &sweep.stages.eval else { return Ok(others) };
        for (name, span) in &eval.tasks {
            let Some((target, _)) = others.tasks.get(&(name.clone(), false)) else { continue };
            for own in trained.values().filter(|own| own.name != *name) {
                if let Err(why) = label_map(own, target, eval.labels.get(name)) {
                    let title = format!("a model trained on {} cannot be scored on {name}", own.name);
                    let help = format!("{why}: write [eval.labels.{name}] with a class of {name} for each class");
                    faults.push((None, Fault::new(span.clone(), title, "this task").help(help)));
                }
            }
        }
        Ok(others)
    }

    /// What follows training on a task.
    pub fn after(&self, sweep: &Sweep, trained: &Task) -> After {
        let stages = &sweep.stages;
        let input = |name: &String, is_trained: bool| {
            let (_, hash) = self.tasks.get(&(name.clone(), is_trained)).filter(|_| *name != trained.name)?;
            Some(Input { name: name.clone(), hash: hash.clone() })
        };
        let eval = stages.eval.iter().flat_map(|eval| {
            eval.tasks.iter().filter_map(move |(name, _)| {
                let (task, hash) = self.tasks.get(&(name.clone(), false)).filter(|_| *name != trained.name)?;
                let wanted = eval.metric.as_deref().filter(|m| task.metrics.iter().any(|own| own.name() == *m));
                let suffix = task.dev.first().map_or("", |dev| &dev.suffix);
                Some(plan::Eval {
                    task: Input { name: name.clone(), hash: hash.clone() },
                    metric: wanted.map_or_else(|| task.headline(), |metric| format!("{metric}{suffix}")),
                    classes: label_map(trained, task, eval.labels.get(name)).unwrap_or_default(),
                })
            })
        });
        let probe = stages.probe.as_ref().map(|probe| plan::Probe {
            tasks: probe.tasks.iter().filter_map(|(name, _)| input(name, true)).collect(),
            lr: probe.lr,
            epochs: probe.epochs,
            batch_size: probe.batch_size,
            train_size: probe.train_size,
        });
        let measure = stages.measure.as_ref().map(|measure| plan::Measure {
            sharpness: measure.sharpness.then_some(plan::SharpnessSettings {
                examples: measure.examples,
                iterations: measure.iterations,
                rho: measure.rho,
                sigma: measure.sigma,
                directions: measure.directions,
            }),
            variance: (!measure.variance.is_empty())
                .then(|| plan::VarianceSettings { p: measure.variance.clone(), batches: measure.batches }),
        });
        After {
            eval: eval.collect(),
            probe: probe.filter(|probe| !probe.tasks.is_empty()),
            transfer: stages.transfer.iter().filter_map(|(name, _)| input(name, true)).collect(),
            measure: measure.filter(|measure| measure.sharpness.is_some() || measure.variance.is_some()),
        }
    }

    /// The tasks that a run needs besides its own, each once.
    pub fn of(&self, after: &After) -> Vec<Task> {
        let needed = |name: &str| after.tasks().any(|task| task == name);
        let is_twin = |name: &String, is_trained: bool| !is_trained && self.tasks.contains_key(&(name.clone(), true));
        let tasks = self.tasks.iter().filter(|((name, is_trained), _)| needed(name) && !is_twin(name, *is_trained));
        tasks.map(|(_, (task, _))| task.clone()).collect()
    }

    /// All of them, for their files to be checked.
    pub fn all(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values().map(|(task, _)| task)
    }
}
