//! A job on a node: claims runs from the shared folder and trains them as a sweep on one machine does, until none is left
//! or its time is too short for the next.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Ending;
use super::batch::{Batch, Entry, Terms};
use super::claim::{Claim, Claims, Holder, Over};
use super::taker::Taker;
use crate::disk::checkpoint_folder;
use crate::plan::RunId;
use crate::protocol::{Job, checkpoints_of};
use crate::record::process::Process;
use crate::record::shard::Shard;
use crate::record::store::{Store, make_folder};
use crate::schedule::local::{self, Director, Interrupts, Observer, Options};
use crate::schedule::state::Finish;
use crate::schedule::{Directors, Limits, Slot};

/// What a job is told by its script.
#[derive(Debug, Clone)]
pub struct Call {
    pub submission: u32,
    pub task: u32,
    /// The engine's name of it: `12_3`; and of its node.
    pub job: String,
    pub node: Option<String>,
}

/// A job that has said who it is.
pub struct Pilot {
    pub holder: Holder,
    pub(super) claims: Claims,
}

impl Pilot {
    /// Says who it is, under the next number of its task that is free; what its task claimed before is over, since no
    /// engine runs one task twice.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn begin(store: &Store, batch: &Batch, call: &Call) -> Result<Pilot> {
        let claims = Claims::of(store);
        let folder = batch.folder.join("pilots");
        make_folder(&folder)?;
        let Call { submission, task, .. } = *call;
        let mut life = 0;
        let path = loop {
            let path = folder.join(format!("{submission}-{task}-{life}"));
            match fs::OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(_) => break path,
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => life += 1,
                Err(error) => return Err(error).with_context(|| format!("cannot write {}", path.display())),
            }
        };
        let since = format!("{:.0}", jiff::Timestamp::now());
        let pilot = Shard::Pilot { submission, task, life };
        let holder = Holder {
            sweep: batch.sweep.clone(),
            pilot,
            job: call.job.clone(),
            process: Process::own(),
            node: call.node.clone(),
            since,
        };
        fs::write(&path, serde_json::to_vec(&holder)?).with_context(|| format!("cannot write {}", path.display()))?;
        let own = Pilot { holder, claims };
        own.end_earlier_lives(submission, task, life)?;
        Ok(own)
    }

    fn end_earlier_lives(&self, submission: u32, task: u32, life: u32) -> Result<()> {
        let is_earlier = |shard: Shard| {
            matches!(shard, Shard::Pilot { submission: s, task: t, life: l }
            if (s, t) == (submission, task) && l < life)
        };
        if life == 0 {
            return Ok(());
        }
        for (id, Claim { copy, is_over }) in self.claims.all() {
            let is_its = |holder: Holder| holder.sweep == self.holder.sweep && is_earlier(holder.pilot);
            if !is_over && self.claims.holder(&id, copy).is_some_and(is_its) {
                // Why it was begun again is not known here, and no fault of the run.
                self.claims.end(&id, copy, &Over::given_back("its job began again".to_owned(), None))?;
            }
        }
        Ok(())
    }
}

/// What a pilot trains with.
pub struct Means<'a> {
    pub store: &'a Store,
    pub batch: &'a Batch,
    pub terms: &'a Terms,
    pub entries: Vec<Entry>,
    /// The run of its task, where it has one of its own.
    pub only: Option<RunId>,
    pub worker: PathBuf,
    pub slots: Vec<Slot>,
    pub commit: String,
    pub interrupts: Interrupts,
    /// How long it may train; runs under way then go to a checkpoint.
    pub time: Option<Duration>,
}

/// Trains what it can claim. How it ended, and whether work is left that nobody has.
///
/// # Errors
/// As `local::run`; the folder cannot be read.
pub fn work(
    pilot: &Pilot,
    means: Means,
    observer: &mut dyn Observer,
    orders: &mut dyn Director,
) -> Result<(Finish, bool)> {
    let Means { store, batch, terms, entries, only, worker, slots, commit, interrupts, time } = means;
    let seconds = |seconds: Option<f64>| seconds.map(Duration::from_secs_f64);
    let limits = Limits {
        max_fail: None,
        timeout: seconds(terms.timeout),
        stall: seconds(terms.stall),
        budget: time,
        oom_fails: terms.oom_fails,
        fuse: terms.fuse as usize,
    };
    let copies: RefCell<HashMap<RunId, u32>> = RefCell::default();
    let by_id: HashMap<&RunId, &Entry> = entries.iter().map(|entry| (&entry.job.id, entry)).collect();
    let job = |id: &RunId| -> Result<Job> {
        let entry = by_id.get(id).with_context(|| format!("run {id} is none of this sweep"))?;
        let copy = copies.borrow().get(id).copied().unwrap_or(1);
        let folder = std::path::absolute(store.attempt_folder(id, copy))?;
        Ok(Job { folder, copy: Some(copy), ..entry.job.clone() })
    };
    let at_once = slots.len() * terms.fuse as usize;
    let (mut error, mut done, mut is_too_late) = (None, HashSet::new(), false);
    let mut taker = Taker {
        pilot,
        store,
        batch,
        entries: entries.iter().filter(|entry| only.as_ref().is_none_or(|only| entry.job.id == *only)).collect(),
        copies: &copies,
        done: &mut done,
        is_too_late: &mut is_too_late,
        at_once,
        time,
        looked: None,
        asked: None,
        error: &mut error,
    };
    let job_and_node = format!("{} on {}", pilot.holder.job, pilot.holder.process.host);
    let shard = Some(pilot.holder.pilot);
    let options = Options { worker, slots, commit, limits, interrupts, shard, job: Some(job_and_node) };
    // Orders first: what is cancelled is not claimed.
    let mut both = Directors(vec![orders, &mut taker]);
    let summary = local::run(Vec::new(), &job, store, &batch.sweep, &options, observer, Some(&mut both));
    // Also after an error: what has no record is given back.
    for (id, copy) in copies.borrow().iter() {
        if !has_ended(store, id, by_id.get(id).map_or(1, |entry| entry.ticket.attempt)) {
            let over = match &summary {
                Ok(summary) => {
                    let step = by_id.get(id).and_then(|entry| newest_step(&entry.job, *copy));
                    Over::given_back(format!("given back: {}", summary.finish.in_words()), step)
                }
                Err(error) => {
                    let why = format!("its job could not go on: {error:#}");
                    Over { why, blameless: true, ..Over::by(Ending::Failed) }
                }
            };
            pilot.claims.end(id, *copy, &over)?;
        }
    }
    if let Some(error) = error {
        return Err(error);
    }
    let claimed = pilot.claims.all();
    let is_left = |entry: &&Entry| {
        claimed.get(&entry.job.id).is_none_or(|claim| claim.is_over)
            && !has_ended(store, &entry.job.id, entry.ticket.attempt)
    };
    let mut ours = entries.iter().filter(|entry| only.as_ref().is_none_or(|only| entry.job.id == *only));
    let is_left = ours.any(|entry| is_left(&entry));
    let finish = match summary?.finish {
        // It could have done more, but not in its time.
        Finish::Complete if is_too_late => Finish::OutOfTime,
        finish => finish,
    };
    Ok((finish, is_left))
}

/// The step of a copy's newest checkpoint.
fn newest_step(job: &Job, copy: u32) -> Option<u32> {
    let folder = checkpoint_folder(&job.cache, &checkpoints_of(&job.id, Some(copy)));
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).max()
}

/// Whether a run has a record of this attempt or a later one: a run that is tried again has one of the attempt before.
pub fn has_ended(store: &Store, id: &RunId, attempt: u32) -> bool {
    match store.read(id) {
        Ok(Some(record)) => record.outcome().is_some() || record.made.attempt >= attempt,
        Ok(None) => false,
        // What lies there is no record; whoever reports it says so.
        Err(_) => true,
    }
}
