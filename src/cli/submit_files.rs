//! `sweep submit-files SWEEP DIR`: the test-set predictions of a sweep, as the GLUE leaderboard wants them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::draft::Draft;
use super::predict::logits;
use super::recorded::Recorded;
use super::trained::{Source, Trained};
use super::{Exit, Refusal, complain, print, study};
use crate::record::Record;
use crate::schedule::{Conversation, Interrupts, Silence};
use crate::spec::fault::suggestion;
use crate::task::leaderboard::{TEST_SETS, TestSet, submission};

#[derive(clap::Args)]
pub struct Arguments {
    /// A sweep file, or the name of a sweep in the results folder
    sweep: PathBuf,
    /// The folder to write
    dir: PathBuf,
    /// Runs of this mode alone; else the best run of each task may be of any
    #[arg(long)]
    mode: Option<String>,
    /// Runs of this seed alone
    #[arg(long)]
    seed: Option<u64>,
    /// Write into a folder that is not empty; what an earlier call wrote there is replaced
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    source: Source,
}

/// The best run of a task with its model in a worker, or why there is none.
type Taken = Result<(Trained, Conversation), String>;

pub fn main(arguments: &Arguments) -> Result<Exit> {
    Draft::check(&arguments.dir, arguments.force, None)?;
    let places = arguments.source.places();
    let recorded = Recorded::open(&arguments.sweep, places.results.as_deref(), places.profile.as_deref())?;
    let records = candidates(arguments, &recorded)?;
    let given = places.data.clone().into_iter();
    let data: Vec<PathBuf> = given.chain(recorded.data.iter().cloned()).chain([PathBuf::from("data")]).collect();
    let interrupts = Interrupts::from_signals()?;
    let draft = Draft::begin(&arguments.dir, arguments.force, None)?;
    let (mut written, mut missing) = (Vec::new(), Vec::new());
    let mut tasks: Vec<&str> = TEST_SETS.iter().map(|set| set.task).collect();
    tasks.sort_unstable();
    tasks.dedup();
    for task in tasks {
        let mut taken = take_up(arguments, &recorded, &records, task, &interrupts)?;
        for set in TEST_SETS.iter().filter(|set| set.task == task) {
            let file = format!("{}.tsv", set.name);
            let done = match &mut taken {
                Ok((trained, worker)) => predict(set, trained, worker, &data, &draft.path().join(&file))?
                    .map(|rows| format!("{rows} rows by {}", described(&trained.record))),
                Err(why) => Err(why.clone()),
            };
            match done {
                Ok(what) => written.push((file, what)),
                Err(why) => missing.push((file, why)),
            }
        }
    }
    if written.is_empty() {
        let reasons: Vec<String> = missing.iter().map(|(file, why)| format!("\n{file}: {why}")).collect();
        return Err(Refusal(format!("nothing can be written:{}", reasons.concat())).into());
    }
    // Files of other tasks may come from an earlier call, of another sweep.
    draft.finish(&[])?;
    for (file, what) in &written {
        print(&format!("{file:<12} {what}"))?;
    }
    for (file, why) in &missing {
        complain(&format!("{file}: not written: {why}"));
    }
    if !missing.is_empty() {
        let missing: Vec<&str> = missing.iter().map(|(file, _)| file.as_str()).collect();
        complain(&format!("the leaderboard wants all files of one submission; not there: {}", missing.join(", ")));
    }
    Ok(Exit::Done)
}

/// The runs that have a score and are of the mode and the seed that are asked for.
fn candidates(arguments: &Arguments, recorded: &Recorded) -> Result<Vec<Record>> {
    let mut records = study::records(&recorded.store, &recorded.manifest)?;
    if let Some(mode) = &arguments.mode
        && !records.iter().any(|record| record.run.mode == *mode)
    {
        let mut modes: Vec<&str> = recorded.manifest.runs.iter().map(|(_, run)| run.mode.as_str()).collect();
        modes.sort_unstable();
        modes.dedup();
        let say = format!("{} has no record of mode \"{mode}\"; {}", recorded.manifest.name, suggestion(mode, modes));
        return Err(Refusal(say).into());
    }
    if let Some(seed) = arguments.seed
        && !records.iter().any(|record| record.run.seed == seed)
    {
        let mut seeds: Vec<u64> = records.iter().map(|record| record.run.seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        let seeds: Vec<String> = seeds.iter().map(u64::to_string).collect();
        let say = format!("{} has no record of seed {seed}; it has {}", recorded.manifest.name, seeds.join(", "));
        return Err(Refusal(say).into());
    }
    records.retain(|record| {
        let run = &record.run;
        record.score().is_some()
            && arguments.mode.as_ref().is_none_or(|mode| run.mode == *mode)
            && arguments.seed.is_none_or(|seed| run.seed == seed)
    });
    Ok(records)
}

/// The run that is best on dev among those of a task, with its model in a worker.
///
/// # Errors
/// What stops all of it: the user's wish, a worker that does not start.
fn take_up(
    arguments: &Arguments,
    recorded: &Recorded,
    records: &[Record],
    task: &str,
    interrupts: &Interrupts,
) -> Result<Taken> {
    let of_task = records.iter().filter(|record| record.run.task.name == task);
    // The first of equals, in the order of the plan.
    let best = of_task.reduce(|best, other| if other.score() > best.score() { other } else { best });
    let Some(best) = best else {
        return Ok(Err(format!("no run of task {task} with a score")));
    };
    let file = Some(arguments.sweep.as_path()).filter(|sweep| sweep.is_file());
    let taken = arguments
        .source
        .of(&recorded.store, best.clone(), file, &recorded.models)
        .and_then(|trained| Ok((arguments.source.open(&trained, interrupts)?, trained)));
    match taken {
        Ok((worker, trained)) => Ok(Ok((trained, worker))),
        Err(error) if matches!(error.downcast_ref(), Some(Silence::Stopped | Silence::NoStart(_))) => Err(error),
        Err(error) => Ok(Err(format!("{error:#}"))),
    }
}

/// Writes a test set's file and gives its number of rows, or why it cannot be written.
///
/// # Errors
/// The worker's silence, a full disk.
fn predict(
    set: &TestSet,
    trained: &Trained,
    worker: &mut Conversation,
    data: &[PathBuf],
    file: &Path,
) -> Result<Result<usize, String>> {
    // Where the task's own files lay is the last place to look.
    let beside = trained.task.dev.first().and_then(|dev| dev.source.path.parent()?.parent());
    let places: Vec<PathBuf> = data.iter().cloned().chain(beside.map(Path::to_owned)).collect();
    let Some(path) = set.find(&places) else {
        return Ok(Err(format!(
            "no {} in the data folders: `sweep fetch --task {}` gets it from the hub, --data names another folder",
            set.path, set.task
        )));
    };
    let rows = match set.read(&path) {
        Ok(rows) => rows,
        Err(fault) => return Ok(Err(format!("{fault}"))),
    };
    if rows.len() != set.rows {
        let (found, official) = (rows.len(), set.rows);
        complain(&format!("note: {} has {found} rows, the official file has {official}", path.display()));
    }
    let texts: Vec<Vec<String>> = rows.iter().map(|row| row.text.clone()).collect();
    let logits = logits(worker, &texts)?;
    let text = submission(&rows, &logits, &trained.task.labels);
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(Ok(rows.len()))
}

/// `1a2b3c4d5e, rte · bert-large-cased · vanilla · seed 3: accuracy 0.7400 on dev`.
fn described(record: &Record) -> String {
    let metric = record.outcome().map_or("", |outcome| &outcome.metric);
    format!("{:.10}, {}: {metric} {:.4} on dev", record.id, record.run.label(), record.score().unwrap_or(f64::NAN))
}
