//! `sweep export RUN DIR`: a trained model as a folder that transformers loads.

mod card;
mod config;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::draft::Draft;
use super::trained::{Source, Trained};
use super::{Exit, Refusal, print};
use crate::model;
use crate::plan::Choice;
use crate::protocol::{Form, Message, Order};
use crate::record::Record;
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
pub struct Arguments {
    /// A run's id, or its beginning
    run: String,
    /// The folder to write
    dir: PathBuf,
    /// Write a LoRA adapter in PEFT's layout instead of the merged model
    #[arg(long)]
    adapter: bool,
    /// Write into a folder that is not empty; what an earlier export wrote there is replaced
    #[arg(long)]
    force: bool,
    /// The sweep file of the run, where it does not lie under sweeps/
    #[arg(long, value_name = "FILE")]
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
    // Before anything is trained for it.
    let draft = Draft::begin(&arguments.dir, arguments.force, Some(NOTE))?;
    let trained = arguments.source.find(&arguments.run, arguments.sweep.as_deref())?;
    let is_lora = trained.record.run.method.parts().any(|part| part == "lora");
    if arguments.adapter && !is_lora {
        let say = format!("{} trained no adapter: leave --adapter out", trained.record.run.label());
        return Err(Refusal(say).into());
    }
    if arguments.dir.canonicalize().is_ok_and(|dir| trained.model.canonicalize().is_ok_and(|model| model == dir)) {
        let say = format!("{} is the model that the run began with: name another folder", arguments.dir.display());
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
    print(&format!("{}: {}", arguments.dir.display(), trained.record.run.label()))?;
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
