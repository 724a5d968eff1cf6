//! How many workers the CPU gets: as somebody measured before, as a measurement says now, or by a rule.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::Result;

use super::complain;
use super::plan::Judged;
use super::workspace::Workspace;
use crate::device::split::{Key, Measured, Timing, by_rule, candidates, threads};
use crate::device::{Leases, cpu};
use crate::model;
use crate::plan::Run;
use crate::protocol::Job;
use crate::schedule::{Interrupts, Silence, Slot, measure};

/// A sweep that is over sooner is not worth a measurement, seconds.
const SHORT: f64 = 300.0;
/// What a core does in a second at training, for sweeps of which no run was ever timed.
const FLOPS: f64 = 5e10;
/// Share of the free memory that workers may fill.
const SHARE: f64 = 0.9;

/// A number of workers, and why.
pub struct Choice {
    pub workers: usize,
    pub why: String,
}

/// Workers for the runs that are to be done. `job` makes the job of a run, `may_measure` allows to start workers now.
///
/// # Errors
/// The user asked to stop while workers were measured.
pub fn workers(
    workspace: &Workspace,
    to_do: &[&Judged],
    worker: &Path,
    job: &dyn Fn(&Judged) -> Result<Job>,
    interrupts: &Interrupts,
    may_measure: bool,
) -> Result<Choice> {
    let cores = cpu::cores();
    let rule = |why: &str| Choice { workers: by_rule(cores), why: format!("by rule, {why}") };
    let Some(main) = main_run(to_do) else { return Ok(rule("as nothing is to be done")) };
    let key = Key::of(main.run, cpu::name(), cores);
    let cache = workspace.store.cache();
    if let Some(measured) = Measured::read(&cache, &key) {
        return Ok(as_measured(&measured, rule));
    }
    let candidates = candidates(cores, to_do.len());
    if candidates.len() < 2 {
        return Ok(rule("as there is nothing to choose from"));
    }
    if seconds(workspace, to_do, cores) < SHORT {
        return Ok(rule("as a short sweep is not worth a measurement"));
    }
    if !may_measure {
        return Ok(rule("until the sweep starts and measures"));
    }
    if Leases::open().is_ok_and(|leases| leases.holders().iter().any(|holder| holder.device == "cpu")) {
        return Ok(rule("as another sweep keeps the CPU busy"));
    }
    complain(&format!(
        "measuring how to split {cores} cores among runs (up to some minutes, and once for this model and batch) …"
    ));
    let mut measured = Measured { key, timings: Vec::new() };
    let (job, mut memory_mib) = (job(main)?, 0.0);
    for workers in candidates {
        let free_mib = cpu::memory().0 as f64 / f64::from(1 << 20);
        if memory_mib * workers as f64 > SHARE * free_mib {
            break;
        }
        let each = threads(cores, workers);
        let slots = vec![Slot::new("cpu", each); workers];
        match measure(worker, &slots, &job, interrupts) {
            Ok(speed) => {
                memory_mib = speed.memory_mib;
                let examples_per_second = speed.examples_per_second;
                measured.timings.push(Timing { workers, threads: each, examples_per_second });
            }
            Err(Silence::Stopped) => return Err(Silence::Stopped.into()),
            Err(Silence::Late) => break,
            Err(why) => return Ok(rule(&format!("as a measurement failed: {why}"))),
        }
    }
    if measured.timings.len() > 1
        && let Err(error) = measured.write(&cache)
    {
        complain(&format!("the measurement is not kept: {error:#}"));
    }
    Ok(as_measured(&measured, rule))
}

fn as_measured(measured: &Measured, rule: impl Fn(&str) -> Choice) -> Choice {
    match measured.best() {
        Some(best) if measured.timings.len() > 1 => {
            Choice { workers: best.workers, why: format!("measured: {}", measured.describe()) }
        }
        _ => rule("as nothing could be measured in time"),
    }
}

/// A run of those that most of the work is like.
fn main_run<'a, 'b>(to_do: &[&'a Judged<'b>]) -> Option<&'a Judged<'b>> {
    let mut work: BTreeMap<(&str, usize, u32), (f64, &Judged)> = BTreeMap::new();
    for j in to_do {
        let kind = (j.run.model.hash.as_str(), j.run.recipe.rows(), j.run.recipe.max_length);
        work.entry(kind).or_insert((0.0, j)).0 += j.estimate.unwrap_or(1.0);
    }
    work.into_values().max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, j)| j)
}

/// How long the CPU takes for all of it, by what is known and by a rough count of operations where nothing is.
fn seconds(workspace: &Workspace, to_do: &[&Judged], cores: usize) -> f64 {
    let workers = by_rule(cores).min(to_do.len().max(1)) as f64;
    let mut sizes: BTreeMap<&str, f64> = BTreeMap::new();
    let mut lines: BTreeMap<&str, f64> = BTreeMap::new();
    let mut sum = 0.0;
    for j in to_do {
        sum += match j.estimate {
            Some(seconds) => seconds / workers,
            None => {
                let parameters = *sizes.entry(&j.run.model.name).or_insert_with(|| parameters(workspace, j.run));
                let examples = *lines.entry(&j.run.task.name).or_insert_with(|| examples(workspace, j.run));
                operations(j.run, parameters, examples) / (FLOPS * cores as f64)
            }
        };
        if sum >= SHORT {
            break;
        }
    }
    sum
}

/// Forward and backward pass cost six operations for each parameter and token.
fn operations(run: &Run, parameters: f64, examples: f64) -> f64 {
    let recipe = &run.recipe;
    let mut seen = recipe.train_size.map_or(examples, f64::from).min(examples) * f64::from(recipe.epochs);
    if let Some(steps) = recipe.max_steps {
        seen = seen.min(f64::from(steps) * f64::from(recipe.batch_size));
    }
    // Most texts are shorter than they may be.
    6.0 * parameters * seen * f64::from(recipe.max_length) / 2.0
}

fn parameters(workspace: &Workspace, run: &Run) -> f64 {
    let config = workspace.models.get(&run.model.name).and_then(|folder| model::Config::read(folder).ok());
    config.map_or(0.0, |config| model::encoder_count(&config.parameters(1)) as f64)
}

/// Lines of the training set.
fn examples(workspace: &Workspace, run: &Run) -> f64 {
    let source = workspace.tasks.get(&run.task.name).and_then(|task| task.train.as_ref());
    let file = source.and_then(|source| std::fs::File::open(&source.path).ok());
    file.map_or(0.0, |file| BufReader::new(file).split(b'\n').count() as f64)
}
