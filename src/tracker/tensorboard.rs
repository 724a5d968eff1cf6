//! A sweep as a folder for TensorBoard: an event file for each run, made from its record and its logged steps.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rayon::prelude::*;

use super::ending::ending;
use super::events::Events;
use super::hparams;
use super::place::part;
use super::runs::{Entry, Runs, Told};
use super::series::{self, Clock};
use crate::plan::{Run, RunId};

/// What marks a file as one of ours; a run's id, or in the uppermost folder the sweep's name, follows it.
const MARK: &str = ".sweep.";

/// The sweep that an earlier call wrote into a folder.
pub fn sweep_of(folder: &Path) -> Option<String> {
    let names = fs::read_dir(folder).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| Some(own(&name)?.to_owned())).next()
}

/// What follows the mark in the name of a file of ours.
fn own(name: &str) -> Option<&str> {
    Some(name.strip_prefix("events.out.tfevents.")?.split_once(MARK)?.1)
}

/// Writes all runs that have ended below a folder. What an earlier call wrote there and this one does not is removed;
/// all other files stay.
///
/// # Errors
/// Records that cannot be read, files that cannot be written.
pub fn export(runs: &Runs, folder: &Path) -> Result<Told> {
    let write = |index: usize| -> Result<(Told, Option<PathBuf>, BTreeSet<String>)> {
        let Some(entry) = runs.read(index, true)? else { return Ok((Told::waiting(), None, BTreeSet::new())) };
        let began = Clock::of(&entry.record).began;
        let within = Path::new(entry.place).join(file_name(began, &entry.record.id.0));
        put(&folder.join(&within), &content(&entry))?;
        let metrics = entry.record.outcome().map(|o| o.dev.keys().map(|m| part(m)).collect()).unwrap_or_default();
        Ok((Told::of(&entry), Some(within), metrics))
    };
    let written: Result<Vec<_>> = (0..runs.len()).into_par_iter().map(write).collect();
    let mut told = Told::default();
    let (mut files, mut metrics) = (HashSet::new(), BTreeSet::new());
    for (one, file, its) in written? {
        told.add(one);
        files.extend(file.map(|file| folder.join(file)));
        metrics.extend(its);
    }
    let experiment = file_name(0.0, &runs.manifest.name);
    put(&folder.join(&experiment), &experiment_content(&runs.manifest.name, &runs.manifest.runs, &metrics))?;
    files.insert(folder.join(experiment));
    remove_others(folder, &files);
    Ok(told)
}

/// The file of the uppermost folder, which says what the HPARAMS tab shows.
pub(super) fn experiment_content(name: &str, runs: &[(RunId, Run)], metrics: &BTreeSet<String>) -> Vec<u8> {
    let mut events = Events::begin(0.0);
    hparams::experiment(&mut events, 0.0, name, runs, metrics);
    events.take()
}

/// Seconds with ten digits, as TensorBoard reads files in the order of their names.
pub(super) fn file_name(began: f64, whose: &str) -> String {
    format!("events.out.tfevents.{:010}{MARK}{whose}", began as u64)
}

fn content(entry: &Entry) -> Vec<u8> {
    let record = &entry.record;
    let clock = Clock::of(record);
    let mut events = Events::begin(clock.began);
    hparams::start(&mut events, clock.began, &record.run);
    for point in series::of_steps(&entry.steps, &clock).into_iter().chain(series::of_end(&record.end, &clock)) {
        events.scalar(point.time, point.step, &point.tag, point.value);
    }
    hparams::end(&mut events, clock.ended, &ending(&record.end));
    events.take()
}

/// Writes a file that is not there with this content already.
fn put(path: &Path, content: &[u8]) -> Result<()> {
    let wrong = || format!("cannot write {}", path.display());
    if fs::read(path).is_ok_and(|there| there == content) {
        return Ok(());
    }
    fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).with_context(wrong)?;
    fs::write(path, content).with_context(wrong)
}

/// Takes away files of ours that are not among these, and the folders that are empty then; says whether there were any.
/// What cannot be removed does no harm but in the list of runs.
fn remove_others(folder: &Path, files: &HashSet<PathBuf>) -> bool {
    let mut removed = false;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if remove_others(&path, files) {
                removed = true;
                let _ = fs::remove_dir(&path);
            }
        } else if own(&entry.file_name().to_string_lossy()).is_some() && !files.contains(&path) {
            removed |= fs::remove_file(&path).is_ok();
        }
    }
    removed
}
