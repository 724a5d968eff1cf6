//! `sweep export SWEEP --tensorboard DIR …`: the records of a sweep for other trackers.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rayon::prelude::*;

use super::super::recorded::Recorded;
use super::super::{Exit, Refusal, complain, print};
use crate::tracker::{Runs, Told, json_line, mlflow, tensorboard};

/// Runs whose lines are made at once: enough for all cores, few enough for the memory.
const AT_ONCE: usize = 512;

/// Broken step files that are named; of more, the number.
const NAMED: usize = 3;

/// Where to.
#[derive(clap::Args)]
#[group(id = "to", multiple = true)]
pub struct Targets {
    /// Write event files for TensorBoard, a folder for each run of the sweep
    #[arg(long, value_name = "DIR", conflicts_with_all = ["train", "device"], help_heading = "Of a sweep")]
    tensorboard: Option<PathBuf>,
    /// Write a line of JSON for each run of the sweep; - is standard output
    #[arg(long, value_name = "FILE", conflicts_with_all = ["train", "device"], help_heading = "Of a sweep")]
    jsonl: Option<PathBuf>,
    /// Write into a file store of MLflow, an experiment for the sweep and a run for each run
    #[arg(long, value_name = "DIR", conflicts_with_all = ["train", "device"], help_heading = "Of a sweep")]
    mlflow: Option<PathBuf>,
    /// Also the logged steps of each run, in --jsonl
    #[arg(long, requires = "jsonl", help_heading = "Of a sweep")]
    steps: bool,
}

impl Targets {
    pub fn is_any(&self) -> bool {
        self.tensorboard.is_some() || self.jsonl.is_some() || self.mlflow.is_some()
    }
}

/// Exports a sweep's records to all targets.
///
/// # Errors
/// Records that cannot be read, files that cannot be written, a folder with the export of another sweep.
pub fn export(targets: &Targets, recorded: &Recorded) -> Result<Exit> {
    let Recorded { store, manifest, .. } = recorded;
    let runs = Runs::of(store, manifest);
    for folder in [&targets.tensorboard, &targets.mlflow].into_iter().flatten() {
        if folder.exists() && !folder.is_dir() {
            return Err(Refusal(format!("{} is a file; name a folder", folder.display())).into());
        }
    }
    if let Some(folder) = &targets.tensorboard {
        if let Some(other) = tensorboard::sweep_of(folder).filter(|other| *other != manifest.name) {
            let say = format!(
                "{} holds sweep {other}, and runs of two sweeps may have one name: name a folder of its own for {}",
                folder.display(),
                manifest.name
            );
            return Err(Refusal(say).into());
        }
        let told = tensorboard::export(&runs, folder)?;
        say(&manifest.name, &told, folder)?;
    }
    if let Some(folder) = &targets.mlflow {
        let told = mlflow::export(&runs, folder)?;
        say(&manifest.name, &told, folder)?;
    }
    if let Some(file) = &targets.jsonl {
        lines(&runs, file, targets.steps)?;
    }
    Ok(Exit::Done)
}

fn lines(runs: &Runs, file: &Path, with_steps: bool) -> Result<()> {
    if file == Path::new("-") {
        let told = write_lines(runs, with_steps, &mut std::io::stdout().lock())?;
        return warn(&told);
    }
    if file.is_dir() {
        return Err(Refusal(format!("{} is a folder; name a file", file.display())).into());
    }
    let wrong = || format!("cannot write {}", file.display());
    let place = std::path::absolute(file)?;
    let folder = place.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder).with_context(wrong)?;
    // Beside its place, so that who reads the file sees all of it or the one before.
    let mut draft = tempfile::NamedTempFile::new_in(folder).with_context(wrong)?;
    let told = write_lines(runs, with_steps, &mut BufWriter::new(&mut draft)).with_context(wrong)?;
    let written = draft.persist(&place).map_err(|error| error.error).with_context(wrong)?;
    open_to_all(&written).with_context(wrong)?;
    say(&runs.manifest.name, &told, file)
}

/// A temporary file is its owner's alone; this one is a file like any other.
fn open_to_all(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

fn write_lines(runs: &Runs, with_steps: bool, out: &mut impl Write) -> Result<Told> {
    let mut told = Told::default();
    for begin in (0..runs.len()).step_by(AT_ONCE) {
        let line = |index: usize| -> Result<(Told, Vec<u8>)> {
            let Some(entry) = runs.read(index, with_steps)? else { return Ok((Told::waiting(), Vec::new())) };
            Ok((Told::of(&entry), json_line(&runs.manifest.name, &entry, with_steps)?))
        };
        let end = runs.len().min(begin + AT_ONCE);
        let lines: Result<Vec<_>> = (begin..end).into_par_iter().map(line).collect();
        for (one, line) in lines? {
            told.add(one);
            out.write_all(&line)?;
        }
    }
    out.flush()?;
    Ok(told)
}

fn say(sweep: &str, told: &Told, place: &Path) -> Result<()> {
    let runs = |n: usize| if n == 1 { "1 run".to_owned() } else { format!("{n} runs") };
    let mut line = format!("{sweep}: {} to {}", runs(told.written), place.display());
    if told.without_result > 0 {
        line += &format!(", {} without a result", told.without_result);
    }
    if told.waiting > 0 {
        line += &format!("; {} of the plan without a record yet", runs(told.waiting));
    }
    print(&line)?;
    warn(told)
}

fn warn(told: &Told) -> Result<()> {
    told.troubles.iter().take(NAMED).for_each(|trouble| complain(&format!("warning: without its steps: {trouble}")));
    if told.troubles.len() > NAMED {
        complain(&format!("warning: and so {} more", told.troubles.len() - NAMED));
    }
    Ok(())
}
