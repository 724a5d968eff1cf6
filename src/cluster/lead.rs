//! The coordinator on the login node: looks at the records, asks the engine, and does what `decide` says.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::batch::{Batch, Entry, Submission, Terms};
use super::claim::{Claim, Holder};
use super::decide::{Act, Left, Task, View, decide};
use super::patience::Patience;
use super::pilot::has_ended;
use super::{Ending, Engine, JobId, Seen, State, Submit, Trouble};
use crate::failpoint;
use crate::plan::RunId;
use crate::record::process::Process;
use crate::record::shard::Shard;
use crate::record::store::{Store, make_folder, replace};
use crate::record::{End, FORMAT, Failure, Provenance, Record};
use crate::spec::cluster::Mode;

/// How often records and the user are looked for between two questions to the engine.
const BEAT: Duration = Duration::from_millis(200);
/// Of so many runs all records are looked for on every beat.
const FEW: usize = 200;

/// What a script needs to know of its submission.
pub struct Script<'a> {
    pub number: u32,
    pub name: &'a str,
    pub tasks: u32,
    pub at_once: u32,
    pub exclude: &'a [String],
}

/// How the coordinator's work ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finish {
    /// Every run has a record.
    Complete,
    /// The user, or `--detach`, let the jobs alone.
    Left,
    /// The user stopped the sweep.
    Stopped,
    GivenUp(String),
}

/// What there is to show.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Look {
    pub left: usize,
    pub claimed: usize,
    pub jobs: Vec<Seen>,
    /// What happened since the last look, in sentences.
    pub news: Vec<String>,
}

/// What the coordinator is asked from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    Nothing,
    /// Leave, and let the jobs alone.
    Leave,
    /// Cancel what waits, and wait until what runs has come to a checkpoint.
    Stop,
}

pub struct Lead<'a> {
    pub engine: &'a dyn Engine,
    pub store: &'a Store,
    pub batch: &'a Batch,
    pub terms: &'a Terms,
    pub entries: &'a [Entry],
    pub script: &'a dyn Fn(&Script) -> String,
    pub at_once: u32,
    /// Leave as soon as jobs are submitted.
    pub is_detached: bool,
    state: Memory,
}

/// What is known from one question to the next.
#[derive(Default)]
struct Memory {
    done: HashSet<RunId>,
    missing: BTreeMap<(u32, u32), u32>,
    excluded: BTreeSet<String>,
    /// How much was claimed and done when a submission was made.
    progress: BTreeMap<u32, u32>,
    idle: usize,
    is_cancelled: bool,
    /// Jobs that were cancelled before this coordinator came, which says nothing about what is wanted now.
    cancelled_before: Option<HashSet<JobId>>,
    most_tasks: Option<u32>,
    said: BTreeMap<String, String>,
    news: Vec<String>,
}

impl<'a> Lead<'a> {
    pub fn new(
        engine: &'a dyn Engine,
        store: &'a Store,
        batch: &'a Batch,
        terms: &'a Terms,
        entries: &'a [Entry],
        script: &'a dyn Fn(&Script) -> String,
    ) -> Lead<'a> {
        let state = Memory::default();
        Lead { engine, store, batch, terms, entries, script, at_once: 1, is_detached: false, state }
    }

    /// Goes on until every run has a record, or nothing more can be done. `show` hears of every look and says what the
    /// user wants; it is called often.
    ///
    /// # Errors
    /// The folder cannot be read or written.
    pub fn lead(&mut self, show: &mut dyn FnMut(&Look) -> Wish) -> Result<Finish> {
        let mut patience = Patience::default();
        let mut look = Look::default();
        let mut is_stopping = false;
        self.batch.go_on();
        loop {
            let left = self.left()?;
            if left.is_empty() {
                self.cancel_waiting()?;
                for (_, submission) in
                    self.batch.submitted()?.into_iter().filter(|(_, submission)| submission.is_open())
                {
                    self.batch
                        .write(&Submission { closed: Some("every run had its record".to_owned()), ..submission })?;
                }
                return Ok(Finish::Complete);
            }
            let before = (left.len(), look.jobs.clone());
            let jobs = self.ask()?;
            let acts = if is_stopping || jobs.is_none() {
                Vec::new()
            } else {
                decide(&self.view(&left, jobs.as_deref().unwrap_or_default())?)
            };
            if let Some(jobs) = jobs {
                look.jobs = jobs;
            }
            (look.left, look.claimed) = (left.len(), left.iter().filter(|left| left.holder.is_some()).count());
            if !acts.is_empty() || before != (left.len(), look.jobs.clone()) {
                patience.news();
            }
            let is_idle = acts.is_empty();
            for act in acts {
                if let Some(finish) = self.carry_out(act)? {
                    look.news = std::mem::take(&mut self.state.news);
                    show(&look);
                    return Ok(finish);
                }
            }
            look.news = std::mem::take(&mut self.state.news);
            let wish = show(&look);
            look.news.clear();
            let is_known = self.batch.submitted()?.values().filter(|s| s.is_open()).all(|s| s.id.is_some());
            if wish == Wish::Leave || (self.is_detached && is_idle && is_known && !is_stopping) {
                return Ok(Finish::Left);
            }
            if wish == Wish::Stop && !is_stopping {
                is_stopping = true;
                self.stop()?;
            }
            let at_work = |seen: &Seen| matches!(seen.state, State::Running | State::Unknown);
            if is_stopping && !look.jobs.iter().any(at_work) {
                return Ok(Finish::Stopped);
            }
            // Deeds are looked at again soon; else the engine is left alone for a while.
            let pause = if is_idle { patience.pause() } else { BEAT };
            if self.wait(pause, left.len(), &look, show, &mut is_stopping)? {
                return Ok(Finish::Left);
            }
        }
    }

    /// Waits, but not longer than until a run ends or the user wants something; whether he wants to leave.
    fn wait(
        &mut self,
        pause: Duration,
        left: usize,
        look: &Look,
        show: &mut dyn FnMut(&Look) -> Wish,
        is_stopping: &mut bool,
    ) -> Result<bool> {
        let start = Instant::now();
        while start.elapsed() < pause {
            thread::sleep(BEAT);
            match show(look) {
                Wish::Nothing => {}
                Wish::Leave => return Ok(true),
                Wish::Stop if *is_stopping => {}
                Wish::Stop => {
                    *is_stopping = true;
                    self.stop()?;
                    return Ok(false);
                }
            }
            // The last records are worth a look: then there is nothing to wait for.
            if left <= FEW && self.count_left() == 0 {
                break;
            }
        }
        Ok(false)
    }

    fn count_left(&mut self) -> usize {
        let (store, done) = (self.store, &mut self.state.done);
        let is_left = |entry: &&'a Entry| {
            let (id, attempt) = (&entry.job.id, entry.ticket.attempt);
            let has = done.contains(id) || has_ended(store, id, attempt);
            if has {
                done.insert(id.clone());
            }
            !has
        };
        self.entries.iter().filter(is_left).count()
    }

    /// The runs without a record, in the order of work.
    fn left(&mut self) -> Result<Vec<Left>> {
        self.count_left();
        let claims = self.batch.claims();
        let all = claims.all();
        let one = |entry: &Entry| {
            let id = entry.job.id.clone();
            let claim = all.get(&id).cloned().unwrap_or_default();
            let is_held = claim.copy > 0 && !claim.is_over;
            let holder = if is_held { claims.holder(&id, claim.copy).map(|holder| holder.pilot) } else { None };
            let past = claims.past(&id, claim.copy);
            Left { id, copy: claim.copy, holder, past }
        };
        Ok(self.entries.iter().filter(|entry| !self.state.done.contains(&entry.job.id)).map(one).collect())
    }

    /// What the engine knows of the jobs that are open; nothing where it does not answer.
    fn ask(&mut self) -> Result<Option<Vec<Seen>>> {
        let open: Vec<Submission> = self.batch.submitted()?.into_values().filter(Submission::is_open).collect();
        if open.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let names: Vec<String> = open.iter().map(|open| open.name.clone()).collect();
        let mut found = match self.engine.list(&names) {
            Ok(found) => found,
            Err(trouble) => {
                self.tell(
                    "engine",
                    &format!("{} does not answer: {trouble}; it is asked again", self.engine.describe()),
                );
                return Ok(None);
            }
        };
        self.state.said.remove("engine");
        let tasks = || open.iter().flat_map(|open| (0..open.tasks).map(move |task| (open, task)));
        if tasks().any(|(open, task)| find(&found, open, task).is_none())
            && let Ok(past) = self.engine.past(&names)
        {
            found = super::slurm::joined(found, past);
        }
        for (open, task) in tasks() {
            match find(&found, open, task) {
                Some(seen) => {
                    self.state.missing.remove(&(open.number, task));
                    if open.id.is_none() && !seen.id.job.is_empty() {
                        let known = Submission { id: Some(seen.id.job.clone()), ..open.clone() };
                        self.batch.write(&known)?;
                    }
                }
                None => *self.state.missing.entry((open.number, task)).or_default() += 1,
            }
        }
        let is_cancelled = |seen: &&Seen| seen.state == State::Ended(Ending::Cancelled);
        let now: HashSet<JobId> = found.iter().filter(is_cancelled).map(|seen| seen.id.clone()).collect();
        let before = self.state.cancelled_before.get_or_insert_with(|| now.clone());
        self.state.is_cancelled |= now.iter().any(|id| !before.contains(id));
        for seen in &found {
            if seen.state == State::Unknown {
                let say = format!("job {} is {}, which says nothing here; it is asked again", seen.id, seen.said);
                self.tell(&seen.id.to_string(), &say);
            }
        }
        Ok(Some(found))
    }

    fn view(&self, left: &[Left], jobs: &[Seen]) -> Result<View> {
        let open: Vec<Submission> = self.batch.submitted()?.into_values().filter(Submission::is_open).collect();
        let mut tasks = Vec::new();
        for open in &open {
            for task in 0..open.tasks {
                if let Some(seen) = find(jobs, open, task) {
                    tasks.push(Task { submission: open.number, task, state: seen.state, node: seen.node.clone() });
                }
            }
        }
        let excluded = &self.state.excluded;
        tasks.iter_mut().for_each(|task| task.node = task.node.take().filter(|node| !excluded.contains(node)));
        Ok(View {
            left: left.to_vec(),
            tasks,
            open,
            missing: self.state.missing.clone(),
            at_once: self.at_once,
            most_tasks: self.state.most_tasks.unwrap_or_else(|| self.engine.most_tasks()),
            is_array: self.terms.mode == Mode::Array,
            idle: self.state.idle,
            takes: self.terms.slots.unwrap_or(1) * self.terms.fuse,
            is_cancelled: self.state.is_cancelled,
        })
    }

    /// Runs that have ended, and claims that did not come to nothing: more than before says that jobs train.
    fn progress(&self) -> u32 {
        let claims = self.batch.claims();
        let of_run = |(id, claim): (&RunId, &Claim)| {
            let past = claims.past(id, claim.copy);
            let futile = past.iter().filter(|over| matches!(over.ending, Some(Ending::Failed | Ending::Completed)));
            claim.copy.saturating_sub(futile.count() as u32)
        };
        claims.all().iter().map(of_run).sum::<u32>() + self.state.done.len() as u32
    }

    fn carry_out(&mut self, act: Act) -> Result<Option<Finish>> {
        match act {
            Act::Release(id, copy, over) => {
                self.tell(&id.0, &format!("run {id:.10}: {}; it goes on in another job", over.why));
                self.batch.claims().end(&id, copy, &over)?;
            }
            Act::Exclude(node) => {
                self.tell(&node, &format!("node {node} failed and gets no more jobs of this sweep"));
                self.state.excluded.insert(node);
            }
            Act::Close(number, why) => {
                let is_idle = self.state.progress.get(&number).is_some_and(|before| *before == self.progress());
                self.state.idle = if is_idle { self.state.idle + 1 } else { 0 };
                if let Some(submission) = self.batch.submitted()?.remove(&number) {
                    self.batch.write(&Submission { closed: Some(why), ..submission })?;
                }
            }
            Act::Again(number) => {
                if let Some(submission) = self.batch.submitted()?.remove(&number) {
                    self.state.missing.retain(|(of, _), _| *of != number);
                    return self.submit(submission);
                }
            }
            Act::Submit(tasks, runs) => {
                let number = self.batch.submitted()?.keys().max().map_or(1, |last| last + 1);
                let name = format!("{}.{number}", self.terms.name);
                let made = format!("{:.0}", jiff::Timestamp::now());
                let submission = Submission { number, name, tasks, runs, made, id: None, closed: None };
                self.batch.write(&submission)?;
                self.state.progress.insert(number, self.progress());
                failpoint::pass("submission");
                return self.submit(submission);
            }
            Act::Fail(id, copy, ending, why) => self.fail(&id, copy, ending, &why)?,
            Act::GiveUp(why) => return Ok(Some(Finish::GivenUp(self.with_last_words(&why)))),
        }
        Ok(None)
    }

    /// Hands a submission that is written down to the engine.
    fn submit(&mut self, submission: Submission) -> Result<Option<Finish>> {
        let Submission { number, tasks, .. } = submission;
        let exclude: Vec<String> = self.state.excluded.iter().cloned().collect();
        let at_once = self.at_once.min(tasks);
        let text = (self.script)(&Script { number, name: &submission.name, tasks, at_once, exclude: &exclude });
        let script = self.batch.script(number);
        replace(&script, text.as_bytes())?;
        make_folder(self.batch.log(number, "0").parent().unwrap_or(Path::new(".")))?;
        let order =
            Submit { name: submission.name.clone(), script: std::path::absolute(script)?, tasks, at_once, exclude };
        let closed = |why: String| Submission { closed: Some(why), ..submission.clone() };
        match self.engine.submit(&order) {
            Ok(id) => {
                failpoint::pass("submitted");
                let jobs = if tasks == 1 { "a job".to_owned() } else { format!("{tasks} jobs") };
                self.tell("submitted", &format!("submitted {jobs} as {id}"));
                self.batch.write(&Submission { id: Some(id), ..submission })?;
            }
            // Whether it went through, its name tells.
            Err(Trouble::Silent(why)) => self.tell("submit", &format!("{why}; whether it went through is looked up")),
            Err(Trouble::TooMuch(why)) if tasks > 1 => {
                self.state.most_tasks = Some(tasks / 2);
                self.tell("submit", &format!("{why}; from now on at most {} jobs at once", tasks / 2));
                self.batch.write(&closed(why))?;
            }
            Err(Trouble::TooMuch(why))
                if self.batch.submitted()?.values().any(|s| s.is_open() && s.number != number) =>
            {
                self.tell("submit", &format!("{why}; it is tried again when others have ended"));
                self.batch.write(&closed(why))?;
            }
            Err(Trouble::TooMuch(why) | Trouble::Refused(why)) => {
                self.batch.write(&closed(why.clone()))?;
                return Ok(Some(Finish::GivenUp(why)));
            }
        }
        Ok(None)
    }

    fn fail(&mut self, id: &RunId, copy: u32, ending: Ending, why: &str) -> Result<()> {
        let Some(entry) = self.entries.iter().find(|entry| entry.job.id == *id) else { return Ok(()) };
        let failure = match ending {
            Ending::TimeLimit => Failure::TimedOut { message: why.to_owned() },
            Ending::Preempted => Failure::Preempted { tail: why.to_owned() },
            _ => Failure::Killed { tail: why.to_owned() },
        };
        publish(self.store, self.batch, entry, copy, failure)?;
        self.tell(&id.0, &format!("run {id:.10} failed: {why}"));
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        self.batch.stop()?;
        self.cancel_waiting()
    }

    /// Cancels the jobs that have not begun.
    fn cancel_waiting(&mut self) -> Result<()> {
        let Some(jobs) = self.ask()? else { return Ok(()) };
        let waiting: Vec<String> =
            jobs.iter().filter(|seen| seen.state == State::Waiting).map(|seen| seen.id.to_string()).collect();
        if !waiting.is_empty()
            && let Err(trouble) = self.engine.cancel(&waiting)
        {
            self.tell("cancel", &format!("jobs that wait cannot be cancelled: {trouble}"));
        }
        Ok(())
    }

    /// What the last jobs wrote before they ended: the reason stands there, if anywhere.
    fn with_last_words(&self, why: &str) -> String {
        let folder = self.batch.folder.join("log");
        let mut logs: Vec<_> = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
        logs.sort_by_key(|path| path.metadata().and_then(|data| data.modified()).ok());
        let Some(text) = logs.last().and_then(|path| std::fs::read_to_string(path).ok()) else { return why.to_owned() };
        let lines: Vec<&str> = text.lines().rev().take(8).collect();
        let last: Vec<&str> = lines.into_iter().rev().collect();
        format!("{why}. The last one wrote:\n{}\n(the logs lie in {})", last.join("\n"), folder.display())
    }

    /// News once: the same sentence about the same thing is not said again.
    fn tell(&mut self, about: &str, say: &str) {
        if self.state.said.insert(about.to_owned(), say.to_owned()).as_deref() != Some(say) {
            self.state.news.push(say.to_owned());
        }
    }
}

/// Cancels a run that no job has: it is claimed first, so that no job takes it meanwhile. Whether it was free.
///
/// # Errors
/// The folder cannot be written.
pub fn cancel(store: &Store, batch: &Batch, entry: &Entry) -> Result<bool> {
    let (id, claims) = (&entry.job.id, batch.claims());
    let before = claims.all().get(id).cloned().unwrap_or_default();
    if (before.copy > 0 && !before.is_over) || has_ended(store, id, entry.ticket.attempt) {
        return Ok(false);
    }
    let copy = before.copy + 1;
    let holder = Holder {
        pilot: Shard::Pilot { submission: 0, task: 0, life: 0 },
        job: "cancelled".to_owned(),
        process: Process::own(),
        since: format!("{:.0}", jiff::Timestamp::now()),
    };
    Ok(claims.take(id, copy, &holder)? && publish(store, batch, entry, copy, Failure::Cancelled)?)
}

/// The record of a run that no worker tells of.
fn publish(store: &Store, batch: &Batch, entry: &Entry, copy: u32, failure: Failure) -> Result<bool> {
    let id = entry.job.id.clone();
    let made = Provenance {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: format!("{:.3}", jiff::Timestamp::now()),
        attempt: entry.ticket.attempt + copy.saturating_sub(1),
        ..Provenance::default()
    };
    let folder = store.attempt_folder(&batch.sweep, &id, copy);
    store.publish(&Record { format: FORMAT, id, run: entry.job.run.clone(), end: End::Failed(failure), made }, &folder)
}

/// What the engine says of a task of a submission.
fn find<'s>(jobs: &'s [Seen], submission: &Submission, task: u32) -> Option<&'s Seen> {
    jobs.iter().find(|seen| {
        let is_its =
            seen.name == submission.name || (seen.name.is_empty() && submission.id.as_ref() == Some(&seen.id.job));
        is_its && seen.id.task.unwrap_or(0) == task
    })
}
