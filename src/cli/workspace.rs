//! A sweep file together with this machine: its names resolved to files, its runs with their ids.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::stages::Others;
use super::{Places, Refusal, inputs};
use crate::method::{self, METHODS, Role, Size};
use crate::model;
use crate::plan::{self, Run, RunId, point};
use crate::record::store::Store;
use crate::spec::recipe::RECIPE;
use crate::spec::{Fault, Faults, Filter, Known, KnownMode, ModelFault, RunTable, Sweep};
use crate::task::{self, Task, Tokenizer, metric::Metric};

/// Whether a call can do without the models and data that a sweep names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inputs {
    Needed,
    /// What is not here is noted, and its content counts as unknown: ids are not those of the runs.
    MayLack,
}

/// A model or data that a sweep names and this machine does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    pub what: Absent,
    pub why: String,
}

/// What could be fetched, if the hub has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Absent {
    Model(String),
    /// A built-in task.
    Task(String),
    /// What no hub can mend.
    Nothing,
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Absent::Model(name) => write!(f, "model {name}"),
            Absent::Task(name) => write!(f, "task {name}"),
            Absent::Nothing => f.write_str("something else"),
        }
    }
}

pub struct Workspace {
    pub sweep: Sweep,
    pub store: Store,
    pub tasks: BTreeMap<String, Task>,
    /// Tasks that runs are scored or trained on besides their own.
    pub others: Others,
    pub models: BTreeMap<String, PathBuf>,
    /// Of models from the hub, repository and commit.
    pub origins: BTreeMap<String, String>,
    /// Where data are looked for, in order.
    pub data: Vec<PathBuf>,
    pub runs: Vec<(RunId, Run)>,
    /// Training examples of each task, where `[stop]` must know how many steps a run has.
    pub examples: BTreeMap<String, u32>,
    /// Models and data that are not here, each with what it lacks.
    pub lacking: Vec<Lacking>,
    /// `--only`, as written and as read.
    only: Option<(String, Filter)>,
}

impl Workspace {
    /// Reads a sweep file and finds all that it names. `only` says which runs the call is about; the data of others
    /// may be missing, and then they are left out.
    ///
    /// # Errors
    /// Every fault of the file, and data and models that are missing or unusable, all together and with their places.
    pub fn open(file: &Path, places: &Places, only: Option<&str>, inputs: Inputs) -> Result<Workspace> {
        let text = read_text(file)?;
        let only = match only {
            Some(text) => Some((text.to_owned(), read_filter(text)?)),
            None => None,
        };
        let home = file.parent().unwrap_or(Path::new("."));
        let models = RefCell::new(BTreeMap::new());
        let origins = RefCell::new(BTreeMap::new());
        let lacking = RefCell::new(Vec::new());
        let look_for_model = |name: &str, run: &RunTable| {
            let roots = roots(places.models.as_deref(), &run.models, home, "models");
            let (found, config) = inputs::usable_model(name, &roots, places.offline)?;
            if let Some(origin) = found.origin {
                origins.borrow_mut().insert(name.to_owned(), origin);
            }
            models.borrow_mut().insert(name.to_owned(), (found.folder, config));
            Ok(())
        };
        let find_model = |name: &str, run: &RunTable| match look_for_model(name, run) {
            Err(ModelFault::Absent(why) | ModelFault::Damaged(why)) if inputs == Inputs::MayLack => {
                lacking
                    .borrow_mut()
                    .push(Lacking { what: Absent::Model(name.to_owned()), why: format!("model {name}: {why}") });
                Ok(())
            }
            Err(ModelFault::Unknown(why) | ModelFault::Unusable(why)) if inputs == Inputs::MayLack => {
                lacking.borrow_mut().push(Lacking { what: Absent::Nothing, why: format!("model {name}: {why}") });
                Ok(())
            }
            found => found,
        };
        let known = Known {
            tasks: task::names(),
            modes: METHODS.iter().map(|m| KnownMode { name: m.name, numbers: m.numbers }).collect(),
            refusal: &method::refusal,
            papers: crate::frame::PUBLISHED.to_vec(),
            metrics: Metric::ALL.iter().map(|m| m.name()).collect(),
            model: &find_model,
        };
        let name = file.display().to_string();
        let (sweep, mut faults) = Sweep::read(&name, &text, places.profile.as_deref(), &known);
        let Some(sweep) = sweep else { return Err(Faults::new(&name, &text, faults).into()) };
        let (models, mut lacking) = (models.into_inner(), lacking.into_inner());

        // The grid is multiplied out before anything is hashed: its faults need no data.
        let mut drafts = Vec::new();
        if faults.is_empty() {
            match plan::expand(&sweep, &|_| String::new(), &|_| String::new()) {
                Ok(runs) => drafts = runs,
                Err(found) => faults.extend(found.faults),
            }
        }
        let meant = |run: &Run| only.as_ref().is_none_or(|(_, filter)| filter.takes(&point(run)));
        let needed: BTreeSet<&str> = drafts.iter().filter(|run| meant(run)).map(|run| run.task.name.as_str()).collect();
        let data = roots(places.data.as_deref(), &sweep.run.data, home, "data");
        let mut tasks = BTreeMap::new();
        for (name, span) in values(&sweep, "task") {
            match resolve(&sweep, &name, &data, home, true) {
                Ok(task) => drop(tasks.insert(name, task)),
                Err(task::Error::Unknown { .. }) => {}
                Err(error @ task::Error::Missing { .. }) if inputs == Inputs::MayLack => {
                    lacking.push(Lacking { why: format!("task {name}: {error}"), what: Absent::Task(name) });
                }
                // Before the grid is known to be sound, every task may be meant.
                Err(error) if drafts.is_empty() || needed.contains(name.as_str()) => {
                    let fault = Fault::new(span, format!("task \"{name}\" cannot be read"), "its data");
                    faults.push(fault.help(format!("{:#}", anyhow::Error::from(error))));
                }
                Err(_) => {}
            }
        }
        let mut unfound = Vec::new();
        let others = Others::find(&sweep, &tasks, &data, home, &mut unfound)?;
        if inputs == Inputs::Needed {
            faults.extend(unfound.into_iter().map(|(_, fault)| fault));
        } else {
            lacking.extend(
                unfound.into_iter().map(|(name, fault)| Lacking {
                    what: name.map_or(Absent::Nothing, Absent::Task),
                    why: fault.title,
                }),
            );
        }
        for (name, span) in values(&sweep, "model") {
            let Some((_, config)) = models.get(&name) else { continue };
            let longest = drafts.iter().filter(|run| run.model.name == name).map(|run| run.recipe.max_length).max();
            let most = config.positions.unwrap_or(i64::MAX);
            if let Some(longest) = longest.filter(|&n| i64::from(n) > most) {
                let title = format!("max_length {longest} is more than the {most} positions of {name}");
                faults.push(Fault::new(span, title, "this model").help(format!("set max_length to {most} or less")));
            }
        }
        let size = |model: &str, task: &str| {
            let (config, labels) = (&models.get(model)?.1, tasks.get(task)?.labels.outputs() as i64);
            let parameters = config.parameters(labels);
            Some(Size {
                layers: config.own_layers(),
                hidden: config.hidden_size,
                parameters: model::count(&parameters),
                head: model::count(parameters.iter().filter(|parameter| parameter.role == Role::Head)),
            })
        };
        faults.extend(unsuited(&sweep, &drafts, size));
        if !faults.is_empty() {
            return Err(sweep.faults(faults).into());
        }

        let mut hashes = BTreeMap::new();
        for (name, task) in &tasks {
            hashes.insert(name.clone(), task.fingerprint()?);
        }
        let mut model_hashes = BTreeMap::new();
        for (name, (folder, _)) in &models {
            model_hashes.insert(name.clone(), model::fingerprint(folder)?);
        }
        let complete = |mut run: Run| {
            // An empty hash is that of no content.
            let or_unknown = |hash: Option<&String>| match inputs {
                Inputs::Needed => hash.cloned(),
                Inputs::MayLack => Some(hash.cloned().unwrap_or_default()),
            };
            run.task.hash = or_unknown(hashes.get(&run.task.name))?;
            run.model.hash = or_unknown(model_hashes.get(&run.model.name))?;
            run.after = tasks.get(&run.task.name).map(|task| others.after(&sweep, task)).unwrap_or_default();
            Some((run.id(), run))
        };
        let runs: Vec<(RunId, Run)> = drafts.into_iter().filter_map(complete).collect();
        // Inputs of unknown content cannot be told apart.
        let faults = if lacking.is_empty() { repeated(&sweep, &runs) } else { Vec::new() };
        if !faults.is_empty() {
            return Err(sweep.faults(faults).into());
        }
        let models = models.into_iter().map(|(name, (folder, _))| (name, folder)).collect();
        let results = results_root(places, Some((&sweep.run, home)));
        let (store, origins) = (Store::new(results), origins.into_inner());
        let examples = match &sweep.stop {
            Some(stop) if stop.is_a_race() => examples(&tasks),
            _ => BTreeMap::new(),
        };
        Ok(Workspace { sweep, store, tasks, others, models, origins, data, runs, examples, lacking, only })
    }

    /// Whether `--only` means this run.
    pub fn takes(&self, run: &Run) -> bool {
        self.only.as_ref().is_none_or(|(_, filter)| filter.takes(&point(run)))
    }

    /// Whether a run that `--only` means has to do with it.
    pub fn needs(&self, what: &Absent) -> bool {
        self.runs.iter().filter(|(_, run)| self.takes(run)).any(|(_, run)| match what {
            Absent::Model(name) => run.model.name == *name,
            // The tasks of stages follow every run.
            Absent::Task(name) => run.task.name == *name || self.sweep.stages.tasks().any(|((n, _), _)| n == name),
            Absent::Nothing => true,
        })
    }

    /// # Errors
    /// `--only` means no run of the sweep.
    pub fn check_only(&self) -> Result<()> {
        match &self.only {
            Some((text, filter)) if !self.runs.iter().any(|(_, run)| self.takes(run)) => {
                let points: Vec<_> = self.runs.iter().map(|(_, run)| point(run)).collect();
                let why = filter.why_none(&points);
                Err(Refusal(format!("--only \"{text}\" takes no run of this sweep: {why}")).into())
            }
            _ => Ok(()),
        }
    }

    /// Reads every data file and every tokenizer of the runs that are meant once, so that a malformed row, or a tokenizer
    /// that does not fit its model, stops the sweep before it starts.
    ///
    /// # Errors
    /// The first fault of every task and of every tokenizer, all together.
    pub fn check_data(&self) -> Result<()> {
        let meant: Vec<&Run> = self.runs.iter().map(|(_, run)| run).filter(|run| self.takes(run)).collect();
        let names: BTreeSet<&str> = meant.iter().map(|run| run.task.name.as_str()).collect();
        let tasks = self.tasks.values().filter(|task| names.contains(task.name.as_str())).chain(self.others.all());
        let mut faults: Vec<String> = tasks.filter_map(|task| task.check().err().map(|e| format!("{e:#}"))).collect();
        let mut lengths: BTreeMap<&PathBuf, BTreeSet<(usize, usize)>> = BTreeMap::new();
        for run in meant {
            let texts = self.tasks.get(&run.task.name).map_or(1, |task| task.text.len());
            let Some(folder) = self.models.get(&run.model.name) else { continue };
            lengths.entry(folder).or_default().insert((run.recipe.max_length as usize, texts));
        }
        for (folder, lengths) in lengths {
            let tokenizer = Tokenizer::open(folder);
            let fault = |error: anyhow::Error| format!("{error:#}");
            let short = |tokenizer: &Tokenizer| {
                let fault = |(length, texts): &(usize, usize)| tokenizer.check_length(*length, *texts).err();
                lengths.iter().find_map(fault)
            };
            faults.extend(match &tokenizer {
                Ok(tokenizer) => short(tokenizer).map(fault),
                Err(error) => Some(format!("{error:#}")),
            });
        }
        if faults.is_empty() { Ok(()) } else { Err(Refusal(faults.join("\n")).into()) }
    }
}

/// A fault for every mode whose numbers do not suit a model, or each other.
fn unsuited(sweep: &Sweep, runs: &[Run], size: impl Fn(&str, &str) -> Option<Size>) -> Vec<Fault> {
    let mut sizes: HashMap<(&str, &str), Option<Size>> = HashMap::new();
    // The numbers that were looked at, for each model, mode and size.
    let mut seen: HashMap<_, HashSet<Vec<(&str, String)>>> = HashMap::new();
    let mut faults = Vec::new();
    for run in runs {
        // Of few models and tasks many runs are made.
        let (model, task) = (run.model.name.as_str(), run.task.name.as_str());
        let Some(size) = *sizes.entry((model, task)).or_insert_with(|| size(model, task)) else { continue };
        let numbers = run.method.numbers.iter().map(|(name, value)| (name.as_str(), value.to_string())).collect();
        if !seen.entry((model, run.mode.as_str(), size)).or_default().insert(numbers) {
            continue;
        }
        if let Err(why) = method::check(&run.method, &size) {
            let title = format!("mode \"{}\" cannot be trained on {}", run.mode, run.model.name);
            let help = format!(
                "{why}: change the number in [mode.\"{}\"] or [grid], or leave these runs out by [[exclude]]",
                run.mode
            );
            faults.push(Fault::new(value_span(sweep, "mode", &run.mode), title, "with these numbers").help(help));
        }
    }
    faults
}

/// A fault for every mode that asks for a run that another mode, or the same one, asks for too.
fn repeated(sweep: &Sweep, runs: &[(RunId, Run)]) -> Vec<Fault> {
    let mut first: HashMap<&RunId, &Run> = HashMap::new();
    let mut pairs: BTreeSet<[(&str, &str); 2]> = BTreeSet::new();
    for (id, run) in runs {
        if let Some(other) = first.insert(id, run) {
            pairs.insert([(&other.mode, &other.model.name), (&run.mode, &run.model.name)]);
        }
    }
    let fault = |[(first, its_model), (second, model)]: [(&str, &str); 2]| {
        let (span, title, help) = if its_model != model {
            let title = format!("{its_model} and {model} are the same model");
            (value_span(sweep, "model", model), title, "their files are equal: keep one of them")
        } else if first == second {
            let title = format!("mode {second} asks for the same run twice");
            let help = "an axis of [grid] makes no difference to it: give that number in its own table alone";
            (value_span(sweep, "mode", second), title, help)
        } else {
            let title = format!("{first} and {second} ask for the same run");
            (value_span(sweep, "mode", second), title, "their methods and numbers are equal: keep one of them")
        };
        Fault::new(span, title, "again here").help(help)
    };
    pairs.into_iter().map(fault).collect()
}

fn value_span(sweep: &Sweep, axis: &str, value: &str) -> Range<usize> {
    values(sweep, axis).into_iter().find(|(name, _)| name == value).map_or(0..0, |(_, span)| span)
}

/// Training examples of each task; what cannot be read is left out, and told before anything is trained.
fn examples(tasks: &BTreeMap<String, Task>) -> BTreeMap<String, u32> {
    tasks.iter().filter_map(|(name, task)| Some((name.clone(), task.train_examples().ok()?))).collect()
}

fn read_text(file: &Path) -> Result<String> {
    let name = file.display();
    std::fs::read_to_string(file).map_err(|error| {
        let say = match error.kind() {
            ErrorKind::NotFound => {
                format!("cannot read the sweep file {name}: it is not there; sweep files lie in sweeps/")
            }
            ErrorKind::IsADirectory => format!("{name} is a folder; name a sweep file in it"),
            ErrorKind::InvalidData => format!("the sweep file {name} is no UTF-8 text; save it as UTF-8"),
            _ => format!("cannot read the sweep file {name}: {error}"),
        };
        Refusal(say).into()
    })
}

/// `--only`, over everything that a run has.
fn read_filter(text: &str) -> Result<Filter> {
    let mut names: BTreeSet<&str> = ["task", "model", "mode", "seed"].into();
    names.extend(RECIPE.iter().map(|n| n.name));
    names.extend(METHODS.iter().flat_map(|m| m.numbers).map(|n| n.name));
    let shared = method::shared_numbers();
    let names: Vec<&str> = names.into_iter().chain(shared.iter().map(String::as_str)).collect();
    Filter::parse(text, &names).map_err(|error| Refusal(error.to_string()).into())
}

/// An axis's values with their places in the file.
fn values(sweep: &Sweep, axis: &str) -> Vec<(String, Range<usize>)> {
    let axis = sweep.axis(axis);
    axis.map(|a| a.values.iter().map(ToString::to_string).zip(a.spans.iter().cloned()).collect()).unwrap_or_default()
}

/// A task of the file, or a built-in one. One that is only scored needs no training set.
pub fn resolve(
    sweep: &Sweep,
    name: &str,
    data: &[PathBuf],
    home: &Path,
    is_trained: bool,
) -> Result<Task, task::Error> {
    let task = match sweep.tasks.iter().find(|own| own.name == name) {
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
        .resolve()?,
        None if is_trained => task::resolve(name, data)?,
        None => task::resolve_scored(name, data)?,
    };
    Ok(if is_trained { task } else { task.scored() })
}

/// The results folder: argument or environment, the sweep file, or ./results.
pub fn results_root(places: &Places, run: Option<(&RunTable, &Path)>) -> PathBuf {
    let written = run.and_then(|(table, home)| table.results.as_ref().map(|folder| home.join(folder)));
    places.results.clone().or(written).unwrap_or_else(|| PathBuf::from("results"))
}

/// Folders to look in: the one given, those of the sweep file, and the standard one.
pub fn roots(given: Option<&Path>, written: &[String], home: &Path, standard: &str) -> Vec<PathBuf> {
    let given = given.map(Path::to_owned).into_iter();
    given.chain(written.iter().map(|folder| home.join(folder))).chain([PathBuf::from(standard)]).collect()
}
