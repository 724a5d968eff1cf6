//! Trained models by the ids of their runs: found, trained again where that is asked for, opened in a worker.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::inputs::find_model;
use super::plan::{Judged, Reason};
use super::recorded::Recorded;
use super::workspace::{Inputs, Workspace, results_root};
use super::{Places, Refusal, complain, devices, run, which};
use crate::kept::Kept;
use crate::model;
use crate::plan::{After, Run, RunId};
use crate::protocol::{Job, Opening, Order};
use crate::record::lock::Beside;
use crate::record::store::Store;
use crate::record::{End, Record};
use crate::schedule::local::{self, Interrupts, Options};
use crate::schedule::{Conversation, Silence};
use crate::schedule::{Finish, Limits, Ticket};
use crate::spec::RunTable;
use crate::task::Task;

/// Where trained models come from.
#[derive(clap::Args)]
pub struct Source {
    #[command(flatten)]
    places: Places,
    /// Train the run again where its model was not kept, and compare the scores with its record
    #[arg(long)]
    train: bool,
    /// cpu or cuda:N [default: the first GPU, else the CPU]
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
}

/// A trained model with all that is known of it.
pub struct Trained {
    pub record: Record,
    pub task: Task,
    /// Folder of the pre-trained model, or of an exported one.
    pub model: PathBuf,
    /// Where θ lies; `None` if the model's folder holds the trained weights itself.
    pub cache: Option<PathBuf>,
}

impl Source {
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// The trained model of a run, by its id or the beginning of it. `sweep` is the file that the run belongs to, where
    /// it must be named.
    ///
    /// # Errors
    /// No such run, or several; one that failed; a model that is not kept and may not be trained again, or cannot.
    pub fn find(&self, id: &str, sweep: Option<&Path>) -> Result<Trained> {
        let recorded = match sweep {
            Some(sweep) => Some(Recorded::open(sweep, self.places.results.as_deref(), self.places.profile.as_deref())?),
            None => None,
        };
        let store = match &recorded {
            Some(recorded) => recorded.store.clone(),
            None => Store::new(results_root(&self.places, None)),
        };
        let id = which::by_prefix(&store, &store.ids()?, id)?;
        let Some(record) = store.read(&id)? else {
            return Err(Refusal(format!("run {id} has no record yet; `sweep status` says what runs")).into());
        };
        let models = recorded.map(|recorded| recorded.models).unwrap_or_default();
        self.of(&store, record, sweep, &models)
    }

    /// The trained model of a record. `models` are folders of models besides those of the arguments.
    ///
    /// # Errors
    /// As [`Source::find`].
    pub fn of(&self, store: &Store, mut record: Record, sweep: Option<&Path>, models: &[PathBuf]) -> Result<Trained> {
        if let Some(failure) = record.failure() {
            let say = format!("run {} left no model: {}", record.id, failure.sentence());
            return Err(Refusal(say).into());
        }
        if let Some(stopped) = record.stopped() {
            let say = format!(
                "run {} was stopped early by {}, at step {} of {}, and left no model: `sweep run` of a sweep without [stop] \
                 trains it to its end",
                record.id, stopped.rule, stopped.at.step, stopped.at.of
            );
            return Err(Refusal(say).into());
        }
        let kept = Kept::at(&store.cache(), &record.run.training_id());
        let note = kept.note();
        let is_damaged = note.as_ref().is_some_and(|note| !kept.is_whole(note));
        let note = match note.filter(|_| !is_damaged) {
            Some(note) => note,
            None if self.train => {
                self.train_again(store, &mut record, sweep)?;
                let lost = || Refusal(format!("{} was written and is gone again", kept.folder.display()));
                kept.note().ok_or_else(lost)?
            }
            None if is_damaged => {
                let folder = kept.folder.display();
                let say = format!("the model of run {} in {folder} is damaged: --train trains it again", record.id);
                return Err(Refusal(say).into());
            }
            None => {
                let say = format!(
                    "the model of run {} ({}) was not kept: --train trains it again, and `keep = true` under [run] of a \
                     sweep file keeps the models of later runs",
                    record.id,
                    record.run.label()
                );
                return Err(Refusal(say).into());
            }
        };
        let model = self.pre_trained(&record.run, &note.model, models)?;
        Ok(Trained { record, task: note.task, model, cache: Some(std::path::absolute(store.cache())?) })
    }

    /// The folder of the model that a run began with, unchanged since.
    fn pre_trained(&self, run: &Run, then: &Path, models: &[PathBuf]) -> Result<PathBuf> {
        let name = &run.model.name;
        let given = self.places.models.clone().into_iter();
        let roots: Vec<PathBuf> = given.chain(models.iter().cloned()).chain([PathBuf::from("models")]).collect();
        let found = find_model(name, &roots, true).ok().map(|found| found.folder);
        let mut changed = None;
        for folder in [then.to_owned()].into_iter().chain(found).filter(|folder| folder.join("config.json").is_file()) {
            if model::fingerprint(&folder)? == run.model.hash {
                return Ok(std::path::absolute(folder)?);
            }
            changed = Some(folder);
        }
        let why = match changed {
            Some(folder) => format!("{} holds another one by now", folder.display()),
            None => format!("it lay in {}; --models names the folder that it lies in", then.display()),
        };
        Err(Refusal(format!("the run was trained from {name}, which is not here: {why}")).into())
    }

    /// Trains a run anew beside the results, so that its record stays, and keeps the model. Where the scores are not
    /// those of the record, the new ones stand in it from then on.
    fn train_again(&self, store: &Store, record: &mut Record, sweep: Option<&Path>) -> Result<()> {
        let (file, profile) = match sweep {
            Some(file) => (file.to_owned(), self.places.profile.clone()),
            None => file_of(store, &record.id)?,
        };
        let places = Places { profile, results: Some(store.root().to_owned()), ..self.places.clone() };
        let workspace = Workspace::open(&file, &places, None, Inputs::MayLack)?;
        let training = record.run.training_id();
        let Some((_, run)) = workspace.runs.iter().find(|(_, run)| run.training_id() == training) else {
            let lacking: Vec<String> =
                workspace.lacking.iter().map(|lacking| format!("\nnot here: {}", lacking.why)).collect();
            let say = format!(
                "{} asks for no run that trains like {} ({}): its settings, its data or the model changed{}",
                file.display(),
                record.id,
                record.run.label(),
                lacking.concat()
            );
            return Err(Refusal(say).into());
        };
        complain(&format!("training {} again: {}", record.id, run.label()));
        let aside = tempfile::tempdir()?;
        let beside = Store::new(aside.path());
        let run = Run { after: After::default(), ..run.clone() };
        let judged = Judged {
            id: &training,
            run: &run,
            reason: Reason::New,
            failure: None,
            attempts: 0,
            estimate: None,
            fate: None,
        };
        let job = run::job(&workspace, &judged)?;
        let job = Job { keep: true, folder: beside.run_folder(&training), others: Vec::new(), log_every: 0, ..job };
        // The checkpoint of a training that is put aside, and θ, lie among the results.
        let lock = run::take_lock(store, &workspace.sweep.name, None, Beside::Nobody)?;
        let worker = devices::worker_program()?;
        let slot = devices::one_slot(&worker, self.device.as_deref(), &workspace.sweep.run)?;
        let options = Options {
            worker,
            slots: vec![slot],
            commit: env!("SWEEP_COMMIT").to_owned(),
            limits: Limits::default(),
            interrupts: Interrupts::from_signals()?,
            shard: None,
            job: None,
        };
        let mut progress = super::progress::Progress::new(&[(&training, &run)]);
        let (tickets, name) = (vec![Ticket::new(training.clone())], &workspace.sweep.name);
        let summary = local::run(tickets, &|_| Ok(job.clone()), &beside, name, &options, &mut progress, None)?;
        drop((lock, progress));
        if summary.finish == Finish::Interrupted {
            return Err(Silence::Stopped.into());
        }
        let again = beside.read(&training)?;
        match again.map(|again| (again.end, again.made)) {
            Some((End::Done(outcome), made)) => {
                let (then, now) = (record.outcome().map(|done| &done.dev), &outcome.dev);
                if then == Some(now) {
                    complain("trained again: all scores are those of the record");
                    return Ok(());
                }
                let scores = |scores| serde_json::to_string(scores).unwrap_or_default();
                complain(&format!(
                    "trained again: the scores are {} and were {} (then by commit {} on {} {}, now by {} on {} {}); \
                     what follows is the model of now",
                    scores(now),
                    then.map(scores).unwrap_or_default(),
                    record.made.commit,
                    record.made.device,
                    record.made.device_name,
                    made.commit,
                    made.device,
                    made.device_name
                ));
                (record.end, record.made) = (End::Done(outcome), made);
                Ok(())
            }
            Some((End::Failed(failure), _)) => {
                Err(Refusal(format!("run {} failed this time: {}", record.id, failure.sentence())).into())
            }
            Some((End::Stopped(_), _)) | None => {
                Err(Refusal(format!("run {} did not end; the same command tries again", record.id)).into())
            }
        }
    }

    /// Starts a worker with a trained model in it.
    ///
    /// # Errors
    /// The worker does not start, or cannot load the model; the user asked to stop.
    pub fn open(&self, trained: &Trained, interrupts: &Interrupts) -> Result<Conversation> {
        let worker = devices::worker_program()?;
        let slot = devices::one_slot(&worker, self.device.as_deref(), &RunTable::default())?;
        let mut worker = Conversation::start(&worker, &slot, interrupts.clone())?;
        let opening = Opening {
            run: trained.record.run.clone(),
            labels: trained.task.labels.clone(),
            model: trained.model.clone(),
            cache: trained.cache.clone(),
        };
        worker.ask(&Order::Open(Box::new(opening)))?;
        Ok(worker)
    }
}

/// The sweep file, and the profile, of a sweep that asked for a run: `sweeps/<name>.toml`.
fn file_of(store: &Store, id: &RunId) -> Result<(PathBuf, Option<String>)> {
    let mut asked = Vec::new();
    for name in store.sweeps()? {
        if store.manifest(&name)?.is_some_and(|manifest| manifest.runs.iter().any(|(own, _)| own == id)) {
            asked.push(name);
        }
    }
    for name in &asked {
        let file = |stem: &str| Some(Path::new("sweeps").join(format!("{stem}.toml"))).filter(|file| file.is_file());
        if let Some(file) = file(name) {
            return Ok((file, None));
        }
        // A profile's name stands behind that of the sweep.
        for (at, _) in name.match_indices('-') {
            if let Some(file) = file(&name[..at]) {
                return Ok((file, Some(name[at + 1..].to_owned())));
            }
        }
    }
    let of = if asked.is_empty() { String::new() } else { format!(" (it belongs to {})", asked.join(", ")) };
    Err(Refusal(format!("the sweep file of run {id} is not under sweeps/{of}: name it with --sweep")).into())
}
