//! A sweep file together with this machine: its names resolved to files, its runs with their ids.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Places, Refusal};
use crate::method::METHODS;
use crate::model;
use crate::plan::{self, Run, RunId};
use crate::record::store::Store;
use crate::spec::{Known, KnownMode, ModelFault, RunTable, Sweep};
use crate::task::{self, Task, metric::Metric};

pub struct Workspace {
    pub sweep: Sweep,
    pub store: Store,
    pub tasks: BTreeMap<String, Task>,
    pub models: BTreeMap<String, PathBuf>,
    pub runs: Vec<(RunId, Run)>,
}

impl Workspace {
    /// Reads a sweep file and finds all that it names.
    ///
    /// # Errors
    /// Faults of the file with their places; else data and models that are missing or unusable, all of them.
    pub fn open(file: &Path, places: &Places) -> Result<Workspace> {
        let text = std::fs::read_to_string(file).map_err(|e| {
            Refusal(format!("cannot read the sweep file {}: {e}; sweep files lie in sweeps/", file.display()))
        })?;
        let home = file.parent().unwrap_or(Path::new("."));
        let models = RefCell::new(BTreeMap::new());
        let find_model = |name: &str, run: &RunTable| {
            let roots = roots(places.models.as_deref(), &run.models, home, "models");
            let folder = model::find(name, &roots).map_err(|e| ModelFault::Unknown(format!("{e:#}")))?;
            model::check(&folder).map_err(|e| ModelFault::Unusable(format!("{e:#}")))?;
            models.borrow_mut().insert(name.to_owned(), folder);
            Ok(())
        };
        let known = Known {
            tasks: task::names(),
            modes: METHODS.iter().map(|m| KnownMode { name: m.name, numbers: m.numbers }).collect(),
            metrics: Metric::ALL.iter().map(|m| m.name()).collect(),
            model: &find_model,
        };
        let sweep = Sweep::parse(&file.display().to_string(), &text, &known)?;
        let models = models.into_inner();
        let data = roots(places.data.as_deref(), &sweep.run.data, home, "data");
        let tasks = resolve_tasks(&sweep, &data, home)?;

        let mut hashes: BTreeMap<String, String> = BTreeMap::new();
        for (name, task) in &tasks {
            hashes.insert(name.clone(), task.fingerprint()?);
        }
        let mut model_hashes: BTreeMap<String, String> = BTreeMap::new();
        for (name, folder) in &models {
            model_hashes.insert(name.clone(), model::fingerprint(folder)?);
        }
        let look_up = |map: &BTreeMap<String, String>, name: &str| map.get(name).cloned().unwrap_or_default();
        let runs = plan::expand(&sweep, &|t| look_up(&hashes, t), &|m| look_up(&model_hashes, m))?;
        let runs = runs.into_iter().map(|run| (run.id(), run)).collect();
        let results = results_root(places, Some((&sweep.run, home)));
        Ok(Workspace { sweep, store: Store::new(results), tasks, models, runs })
    }

    /// Reads every data file once, so that a malformed row stops the sweep before it starts.
    ///
    /// # Errors
    /// The first fault of every task, all together.
    pub fn check_data(&self) -> Result<()> {
        let faults: Vec<String> =
            self.tasks.values().filter_map(|t| t.check().err().map(|e| format!("{e:#}"))).collect();
        if faults.is_empty() { Ok(()) } else { Err(Refusal(faults.join("\n")).into()) }
    }
}

/// The results folder: argument or environment, the sweep file, or ./results.
pub fn results_root(places: &Places, run: Option<(&RunTable, &Path)>) -> PathBuf {
    let written = run.and_then(|(table, home)| table.results.as_ref().map(|folder| home.join(folder)));
    places.results.clone().or(written).unwrap_or_else(|| PathBuf::from("results"))
}

fn roots(given: Option<&Path>, written: &[String], home: &Path, standard: &str) -> Vec<PathBuf> {
    let given = given.map(Path::to_owned).into_iter();
    given.chain(written.iter().map(|folder| home.join(folder))).chain([PathBuf::from(standard)]).collect()
}

fn resolve_tasks(sweep: &Sweep, data: &[PathBuf], home: &Path) -> Result<BTreeMap<String, Task>> {
    let mut tasks = BTreeMap::new();
    let mut faults = Vec::new();
    let names = sweep.axis("task").context("a checked sweep has tasks")?.values.iter().map(ToString::to_string);
    for name in names {
        let found = match sweep.tasks.iter().find(|own| own.name == name) {
            Some(own) => task::Custom {
                name: own.name.clone(),
                train: home.join(&own.train),
                dev: home.join(&own.dev),
                text: own.text.clone(),
                label: own.label.clone(),
                labels: own.labels.clone(),
                metric: own.metric.clone(),
                format: own.format.clone(),
            }
            .resolve(),
            None => task::resolve(&name, data),
        };
        match found {
            Ok(task) => drop(tasks.insert(name, task)),
            Err(error) => faults.push(format!("{error:#}")),
        }
    }
    if faults.is_empty() { Ok(tasks) } else { Err(Refusal(faults.join("\n")).into()) }
}
