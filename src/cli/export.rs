//! `sweep export RUN DIR`: a trained model as a folder that transformers loads. `sweep export SWEEP --…`: records for
//! other trackers, in `sweep.rs`.

mod card;
mod config;
mod sweep;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::draft::Draft;
use super::recorded::Recorded;
use super::trained::{Source, Trained};
use super::workspace::results_root;
use super::{Exit, Refusal, print};
use crate::model;
use crate::plan::Choice;
use crate::protocol::{Form, Message, Order};
use crate::record::Record;
use crate::record::store::Store;
use crate::schedule::Interrupts;
use crate::task::Task;

/// Whose model it is, beside the files that transformers reads.
const NOTE: &str = "sweep.json";

/// Version of that file.
const FORMAT: u32 = 1;

/// Files that an export may consist of besides those of a tokenizer.
const OWNED: &[&str] =
    &["config.json", "model.safetensors", "adapter_config.json", "adapter_model.safetensors", "README.md", NOTE];

#[derive(clap::Args)]
#[command(override_usage = "sweep export [OPTIONS] <RUN> <DIR>
       sweep export [OPTIONS] <SWEEP> [--tensorboard <DIR>] [--jsonl <FILE>] [--mlflow <DIR>]")]
pub struct Arguments {
    /// A run's id, or its beginning; with --tensorboard, --jsonl or --mlflow, a sweep's name or file
    #[arg(value_name = "RUN|SWEEP")]
    what: String,
    /// Of a run: the folder to write its trained model to
    #[arg(conflicts_with = "to")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    targets: sweep::Targets,
    /// Write a LoRA adapter in PEFT's layout instead of the merged model
    #[arg(long, conflicts_with = "to", help_heading = "Of a run")]
    adapter: bool,
    /// Write into a folder that is not empty; what an earlier export wrote there is replaced
    #[arg(long, conflicts_with = "to", help_heading = "Of a run")]
    force: bool,
    /// The sweep file of the run, where it does not lie under sweeps/
    #[arg(long, value_name = "FILE", conflicts_with = "to", help_heading = "Of a run")]
    sweep: Option<PathBuf>,
    #[command(flatten)]
    source: Source,
}

/// What [`NOTE`] holds: enough to apply the model again.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    format: u32,
    record: Record,
    /// Its files without their folders.
    task: Task,
}

pub fn main(arguments: &Arguments) -> Result<Exit> {
    if arguments.targets.is_any() {
        return sweep::export(&arguments.targets, &recorded(arguments)?);
    }
    let store = Store::new(results_root(arguments.source.places(), None));
    if let Some(name) = sweep_named(&store, &arguments.what)? {
        let say = format!(
            "{name} is a sweep: say what to make of its records by --tensorboard DIR, --jsonl FILE or --mlflow DIR; or \
             name a run, whose trained model goes into a folder: `sweep export RUN DIR`"
        );
        return Err(Refusal(say).into());
    }
    let Some(dir) = &arguments.dir else {
        let say = format!("name the folder for the model of run {}: `sweep export {0} DIR`", arguments.what);
        return Err(Refusal(say).into());
    };
    model(arguments, dir)
}

/// The sweep whose records are wanted.
fn recorded(arguments: &Arguments) -> Result<Recorded> {
    let places = arguments.source.places();
    let (what, results) = (&arguments.what, places.results.as_deref());
    Recorded::open(Path::new(what), results, places.profile.as_deref()).or_else(|error| {
        let ids = Store::new(results_root(places, None)).ids()?;
        if what.is_empty() || !ids.iter().any(|id| id.0.starts_with(what.as_str())) {
            return Err(error);
        }
        let say = format!(
            "{what} is a run, and what is exported so is a sweep: name that; `sweep export {what} DIR` writes the run's \
             trained model"
        );
        Err(Refusal(say).into())
    })
}

/// The sweep that is meant where a run should be named.
fn sweep_named(store: &Store, what: &str) -> Result<Option<String>> {
    let is_file = what.ends_with(".toml") && Path::new(what).is_file();
    let is_name = crate::spec::names_a_folder(what) && store.manifest(what)?.is_some();
    Ok((is_file || is_name).then(|| what.to_owned()))
}

/// Writes the trained model of a run.
fn model(arguments: &Arguments, dir: &Path) -> Result<Exit> {
    // Before anything is trained for it.
    let draft = Draft::begin(dir, arguments.force, Some(NOTE))?;
    let trained = arguments.source.find(&arguments.what, arguments.sweep.as_deref())?;
    let is_lora = trained.record.run.method.parts().any(|part| part == "lora");
    if arguments.adapter && !is_lora {
        let say = format!("{} trained no adapter: leave --adapter out", trained.record.run.label());
        return Err(Refusal(say).into());
    }
    if dir.canonicalize().is_ok_and(|dir| trained.model.canonicalize().is_ok_and(|model| model == dir)) {
        let say = format!("{} is the model that the run began with: name another folder", dir.display());
        return Err(Refusal(say).into());
    }
    let interrupts = Interrupts::from_signals()?;
    let mut worker = arguments.source.open(&trained, &interrupts)?;
    let form = if arguments.adapter { Form::Adapter } else { Form::Merged };
    let answer = worker.ask(&Order::Export { folder: draft.path().to_owned(), form })?;
    let Message::Exported { adapted, saved } = answer else { bail!("the worker's answer is no export: {answer:?}") };
    let folder = draft.path();
    if arguments.adapter {
        write_json(&folder.join("adapter_config.json"), &config::adapter(&trained.record.run, &adapted, &saved))?;
    } else {
        write_json(&folder.join("config.json"), &config::classifier(&trained.model, &trained.task)?)?;
    }
    for name in model::TOKENIZER {
        let from = trained.model.join(name);
        if from.is_file() {
            fs::copy(&from, folder.join(name)).with_context(|| format!("cannot copy {}", from.display()))?;
        }
    }
    let mut record = trained.record.clone();
    record.run.model.name = card::model_name(&record.run.model.name).to_owned();
    let note = Note { format: FORMAT, record, task: without_folders(&trained.task) };
    write_json(&folder.join(NOTE), &note)?;
    fs::write(folder.join("README.md"), card::card(&trained, arguments.adapter))?;
    draft.finish(OWNED)?;
    print(&format!("{}: {}", dir.display(), trained.record.run.label()))?;
    Ok(Exit::Done)
}

/// The model of an exported folder; `None` where the folder is none.
///
/// # Errors
/// An adapter alone, which says nothing without its model; a damaged folder.
pub fn exported(folder: &Path) -> Result<Option<Trained>> {
    let path = folder.join(NOTE);
    if !path.is_file() {
        return Ok(None);
    }
    if !folder.join("model.safetensors").is_file() {
        let say = format!("{} holds an adapter alone: export the run without --adapter", folder.display());
        return Err(Refusal(say).into());
    }
    let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let read = serde_json::from_slice(&text);
    let Note { format, mut record, task } =
        read.map_err(|why| Refusal(format!("{} is damaged ({why}); export the run again", path.display())))?;
    if format != FORMAT {
        let say =
            format!("{} has format {format}, and this program knows {FORMAT}; export the run again", path.display());
        return Err(Refusal(say).into());
    }
    // What a method does at evaluation is in the weights already.
    record.run.method = Choice { name: "vanilla".to_owned(), numbers: Default::default() };
    Ok(Some(Trained { record, task, model: std::path::absolute(folder)?, cache: None }))
}

/// Folders of the machine that trained are nobody else's.
fn without_folders(task: &Task) -> Task {
    let mut task = task.clone();
    let sources = task.train.iter_mut().chain(task.dev.iter_mut().map(|dev| &mut dev.source));
    sources.for_each(|source| source.path = source.path.file_name().map(PathBuf::from).unwrap_or_default());
    task
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
