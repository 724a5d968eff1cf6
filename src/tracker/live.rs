//! Event files for TensorBoard that grow while runs train.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use super::ending::ending;
use super::events::Events;
use super::hparams;
use super::place::{part, places};
use super::series::{self, Clock};
use super::tensorboard::{experiment_content, file_name};
use crate::frame::read_steps;
use crate::plan::{Run, RunId};
use crate::record::{End, Rung};
use crate::schedule::Note;

/// Writes what the scheduler tells: each attempt at a run has a file. A file that cannot be written costs the picture
/// and never the run.
pub struct Live {
    /// `results/<sweep>/tensorboard`.
    folder: PathBuf,
    /// `results/runs`, where the steps of a run lie when it is over.
    runs: PathBuf,
    known: HashMap<RunId, (String, Run)>,
    open: HashMap<RunId, Growing>,
    has_told: bool,
}

struct Growing {
    file: File,
    events: Events,
    began: f64,
    /// When its first step was told.
    trains: Option<f64>,
}

impl Live {
    /// For all runs of a sweep, in the order of the plan. `metrics` are those that its tasks are scored by, `records` is
    /// the folder with a folder for each run.
    pub fn new(
        sweep: &str,
        runs: &[(RunId, Run)],
        metrics: &BTreeSet<String>,
        folder: PathBuf,
        records: PathBuf,
    ) -> Live {
        let named = places(runs).into_iter().zip(runs).map(|(place, (id, run))| (id.clone(), (place, run.clone())));
        let known = named.collect();
        // What stands in the way of this file stands in the way of the first run's too, and is told then.
        let columns = experiment_content(sweep, runs, metrics);
        let _ = fs::create_dir_all(&folder).and_then(|()| fs::write(folder.join(file_name(0.0, sweep)), columns));
        Live { folder, runs: records, known, open: HashMap::new(), has_told: false }
    }

    /// Takes a note of the scheduler down. What it answers is a warning, told once.
    pub fn note(&mut self, note: &Note) -> Option<String> {
        let (id, done) = match note {
            Note::Started { id, .. } => (id, self.start(id)),
            Note::Step { id, step, loss, examples_per_second, .. } => {
                (id, self.step(id, *step, *loss, *examples_per_second))
            }
            Note::Ended { id, end, .. } => (id, self.end(id, end)),
            // The next attempt, or the way on, has a file of its own.
            Note::Paused { id, .. } | Note::PutBack { id, .. } | Note::Regrouped { id, .. } => {
                self.open.remove(id);
                (id, Ok(()))
            }
            Note::Reached { id, rung, .. } => (id, self.reach(id, rung)),
            _ => return None,
        };
        let error = done.err()?;
        self.open.remove(id);
        let is_first = !std::mem::replace(&mut self.has_told, true);
        is_first.then(|| {
            format!(
                "TensorBoard's files in {} cannot be written ({error}). The sweep goes on; `sweep export` makes them \
                 from its records",
                self.folder.display()
            )
        })
    }

    fn start(&mut self, id: &RunId) -> io::Result<()> {
        let Some((place, run)) = self.known.get(id) else { return Ok(()) };
        let began = now();
        let folder = self.folder.join(place);
        fs::create_dir_all(&folder)?;
        // A second attempt within the second goes on in the file of the first.
        let file = OpenOptions::new().create(true).append(true).open(folder.join(file_name(began, &id.0)))?;
        let mut growing = Growing { file, events: Events::begin(began), began, trains: None };
        hparams::start(&mut growing.events, began, run);
        growing.flush()?;
        self.open.insert(id.clone(), growing);
        Ok(())
    }

    fn step(&mut self, id: &RunId, step: u32, loss: f64, speed: f64) -> io::Result<()> {
        let Some(growing) = self.open.get_mut(id) else { return Ok(()) };
        let now = now();
        if growing.trains.is_none() {
            growing.trains = Some(now);
            growing.events.session(now, step);
        }
        growing.events.scalar(now, step, "train/loss", loss);
        growing.events.scalar(now, step, "train/examples_per_second", speed);
        growing.flush()
    }

    /// It waits for a rule's decision, and goes on in another file, if it does.
    fn reach(&mut self, id: &RunId, rung: &Rung) -> io::Result<()> {
        let Some(mut growing) = self.open.remove(id) else { return Ok(()) };
        if let Some(score) = rung.score() {
            growing.events.scalar(now(), rung.step, &format!("dev/{}", part(&rung.metric)), score);
        }
        growing.flush()
    }

    fn end(&mut self, id: &RunId, end: &End) -> io::Result<()> {
        let Some(mut growing) = self.open.remove(id) else { return Ok(()) };
        let now = now();
        let clock = Clock::watched(growing.began, growing.trains.unwrap_or(growing.began), now, end);
        // A worker that died may have left half a line; then there is no learning rate to see.
        let steps = read_steps(&self.runs.join(&id.0)).unwrap_or_default();
        let logged = series::of_steps(&steps, &clock).into_iter().filter(|point| point.tag != "train/loss");
        for point in logged.chain(series::of_end(end, &clock)) {
            growing.events.scalar(point.time, point.step, &point.tag, point.value);
        }
        hparams::end(&mut growing.events, now, &ending(end));
        growing.flush()
    }
}

impl Growing {
    /// Hands the system what there is, so that TensorBoard sees it; a power loss may cost it.
    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(&self.events.take())
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::frame::example;

    #[test]
    fn trouble_is_told_once_and_stops_nothing() {
        let record = example::record("rte", "vanilla", None, 1, 0.5);
        let runs = [(record.id.clone(), record.run)];
        let place = PathBuf::from("/proc/tensorboard");
        let mut live = Live::new("glue", &runs, &BTreeSet::new(), place, "runs".into());
        let started = Note::Started { slot: 0, id: record.id.clone(), attempt: 1 };
        let warning = live.note(&started).unwrap();
        assert!(warning.contains("/proc/tensorboard cannot be written") && warning.contains("goes on"), "{warning}");
        assert_eq!(live.note(&started), None);
        let end = Box::new(record.end);
        assert_eq!(live.note(&Note::Ended { slot: 0, id: record.id, end, seconds: 1.0, left: None }), None);
        let stranger = Note::Started { slot: 0, id: RunId("f00".into()), attempt: 1 };
        assert_eq!(live.note(&stranger), None);
    }
}
