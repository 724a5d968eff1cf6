//! The coordinator on the login node: looks at the records, asks the engine, and does what `decide` says.

mod ask;
mod ended;
mod runs;
mod submit;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

pub use ended::cancel;

use super::batch::{Batch, Entry, Submission, Terms};
use super::claim::{Claims, Holder, Over};
use super::decide::{Act, Left, Place, Task, View, decide};
use super::patience::{self, Patience};
use super::{Ending, Engine, JobId, Seen, State};
use crate::failpoint;
use crate::plan::RunId;
use crate::record::Failure;
use crate::record::store::Store;
use crate::spec::cluster::Mode;
use ask::Known;
use ended::publish;

/// How often the user is listened to between two questions to the engine.
const BEAT: Duration = Duration::from_millis(200);
/// How often it is looked whether the last runs have ended, where there are few.
const SOON: Duration = Duration::from_secs(1);
const FEW: usize = 200;
/// How long the engine is not asked for more jobs after it said that there are too many.
const FULL: Duration = Duration::from_secs(60);
/// How often one submission is tried that the engine never knew.
const TRIES: u32 = 3;

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
    /// Failed runs that end the sweep.
    pub max_fail: Option<usize>,
    /// Leave as soon as jobs are submitted.
    pub is_detached: bool,
    state: Memory,
}

/// What is known from one question to the next.
#[derive(Default)]
struct Memory {
    done: HashSet<RunId>,
    failed: usize,
    /// Files that never change once they are there.
    holders: HashMap<(RunId, u32), Holder>,
    overs: HashMap<(RunId, u32), Over>,
    /// Tasks that the engine does not know: how often in a row, and since when.
    missing: BTreeMap<Place, (u32, Instant)>,
    down: BTreeSet<String>,
    /// How much was claimed and done when a submission was made.
    progress: BTreeMap<u32, u32>,
    idle: usize,
    /// How often a submission was made again, and what the engine complained of last.
    tries: BTreeMap<u32, u32>,
    complaint: String,
    /// When the engine last wanted no more, and how many jobs were under way then.
    full: Option<(Instant, usize)>,
    most_tasks: Option<u32>,
    is_cancelled: bool,
    /// Jobs that were cancelled before this coordinator came, which says nothing about what is wanted now.
    cancelled_before: Option<HashSet<JobId>>,
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
        Lead { engine, store, batch, terms, entries, script, at_once: 1, max_fail: None, is_detached: false, state }
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
                self.close()?;
                return Ok(Finish::Complete);
            }
            if let Some(most) = self.max_fail.filter(|most| self.state.failed >= *most) {
                self.stop()?;
                return Ok(Finish::GivenUp(format!("{} runs failed, and max_fail is {most}", self.state.failed)));
            }
            let known = self.ask()?;
            let mut acts = Vec::new();
            if let Some(known) = known {
                let jobs: Vec<Seen> = known.values().cloned().collect();
                let is_news = jobs != look.jobs;
                if is_news {
                    patience.news();
                    self.look_at_nodes();
                }
                look.jobs = jobs;
                if !is_stopping {
                    acts = decide(&self.view(&left, &known)?);
                }
            }
            (look.left, look.claimed) = (left.len(), left.iter().filter(|left| left.held.is_some()).count());
            let is_idle = acts.is_empty();
            for act in acts {
                patience.news();
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
                continue;
            }
            let at_work = |seen: &Seen| matches!(seen.state, State::Running | State::Unknown);
            if is_stopping && !look.jobs.iter().any(at_work) {
                return Ok(Finish::Stopped);
            }
            // Deeds are looked at again soon; else the engine is left alone for a while.
            let pause = if is_idle { patience.pause() } else { BEAT };
            match self.wait(pause, &look, show) {
                Wish::Leave => return Ok(Finish::Left),
                Wish::Stop if !is_stopping => {
                    is_stopping = true;
                    self.stop()?;
                }
                Wish::Stop | Wish::Nothing => {}
            }
        }
    }

    /// Waits, but not longer than until the last runs end or the user wants something.
    fn wait(&mut self, pause: Duration, look: &Look, show: &mut dyn FnMut(&Look) -> Wish) -> Wish {
        let (start, mut looked) = (Instant::now(), Instant::now());
        while start.elapsed() < pause {
            thread::sleep(BEAT);
            let wish = show(look);
            if wish != Wish::Nothing {
                return wish;
            }
            if look.left <= FEW && looked.elapsed() >= SOON {
                looked = Instant::now();
                self.look_for_records();
                if self.state.done.len() == self.entries.len() {
                    break;
                }
            }
        }
        Wish::Nothing
    }

    fn view(&mut self, left: &[Left], known: &Known) -> Result<View> {
        let open: Vec<Submission> = self.batch.submitted()?.into_values().filter(Submission::is_open).collect();
        let task = |seen: &Seen| Task { state: seen.state, node: seen.node.clone() };
        let is_gone = |(count, since): &(u32, Instant)| *count >= 3 && since.elapsed() >= patience::missing();
        let gone = self.state.missing.iter().filter(|(_, missed)| is_gone(missed)).map(|(place, _)| *place).collect();
        let under_way = known.values().filter(|seen| !matches!(seen.state, State::Ended(_))).count();
        let is_full = |(since, then): &(Instant, usize)| since.elapsed() < FULL && under_way >= *then;
        self.state.full = self.state.full.filter(is_full);
        Ok(View {
            left: left.to_vec(),
            tasks: known.iter().map(|(place, seen)| (*place, task(seen))).collect(),
            begun: open.iter().map(|open| open.number).filter(|number| self.batch.has_begun(*number)).collect(),
            open,
            gone,
            down: self.state.down.clone(),
            excluded: self.batch.excluded(),
            at_once: self.at_once,
            most_tasks: self.state.most_tasks.unwrap_or_else(|| self.engine.most_tasks()),
            is_array: self.terms.mode == Mode::Array,
            idle: self.state.idle,
            takes: self.terms.slots.unwrap_or(1) * self.terms.fuse,
            is_full: self.state.full.is_some(),
            is_cancelled: self.state.is_cancelled,
        })
    }

    fn carry_out(&mut self, act: Act) -> Result<Option<Finish>> {
        match act {
            Act::Release(id, copy, over) => {
                // It may have ended between the look at its record and the engine's answer.
                self.look_for_records();
                if !self.state.done.contains(&id) {
                    self.tell(&id.0, &format!("run {id:.10}: {}; it goes on in another job", over.why));
                    Claims::of(self.store).end(&id, copy, &over)?;
                }
            }
            Act::Exclude(node) => {
                self.tell(&node, &format!("node {node} failed and gets no more jobs of this sweep"));
                self.batch.exclude(&node)?;
                let jobs: Vec<String> =
                    self.batch.submitted()?.into_values().filter(Submission::is_open).filter_map(|s| s.id).collect();
                if let Err(trouble) = self.engine.exclude(&jobs, &Vec::from_iter(self.batch.excluded())) {
                    self.tell("exclude", &format!("jobs that wait may still go there: {trouble}"));
                }
            }
            Act::Close(number, why) => {
                let progress = self.progress();
                let is_idle = self.state.progress.get(&number).is_some_and(|before| *before == progress);
                self.state.idle = if is_idle { self.state.idle + 1 } else { 0 };
                if let Some(submission) = self.batch.submitted()?.remove(&number) {
                    self.batch.write(&Submission { closed: Some(why), ..submission })?;
                }
            }
            Act::Again(number) => {
                let tries = self.state.tries.entry(number).or_insert(1);
                *tries += 1;
                if *tries > TRIES {
                    let complaint = &self.state.complaint;
                    return Ok(Some(Finish::GivenUp(format!(
                        "{TRIES} times no job came of a submission: {complaint}"
                    ))));
                }
                if let Some(submission) = self.batch.submitted()?.remove(&number) {
                    self.state.missing.retain(|(of, _), _| *of != number);
                    return self.submit(submission);
                }
            }
            Act::Submit { tasks, at_once, runs } => {
                let progress = self.progress();
                let number = self.batch.submitted()?.keys().max().map_or(1, |last| last + 1);
                let name = format!("{}-{number}-{}", self.terms.name, self.terms.sweep);
                let made = format!("{:.0}", jiff::Timestamp::now());
                let submission = Submission { number, name, tasks, at_once, runs, made, id: None, closed: None };
                // Where another coordinator was quicker, the next look sees what it did.
                if self.batch.create(&submission)? {
                    self.state.progress.insert(number, progress);
                    failpoint::pass("submission");
                    return self.submit(submission);
                }
            }
            Act::Fail(id, copy, ending, why) => self.fail(&id, copy, ending, &why)?,
            Act::GiveUp(why) => return Ok(Some(Finish::GivenUp(self.with_last_words(&why)))),
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
        publish(self.store, entry, copy, failure)?;
        self.tell(&id.0, &format!("run {id:.10} failed: {why}"));
        Ok(())
    }

    /// Nothing is to be looked for any more: jobs that have not begun are cancelled.
    fn close(&mut self) -> Result<()> {
        self.cancel_waiting()?;
        for submission in self.batch.submitted()?.into_values().filter(Submission::is_open) {
            self.batch.write(&Submission { closed: Some("every run had its record".to_owned()), ..submission })?;
        }
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        self.batch.stop()?;
        self.cancel_waiting()
    }

    /// Cancels the jobs that have not begun.
    fn cancel_waiting(&mut self) -> Result<()> {
        let Some(known) = self.ask()? else { return Ok(()) };
        let waiting: Vec<String> =
            known.values().filter(|seen| seen.state == State::Waiting).map(|seen| seen.id.to_string()).collect();
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
        let Some(text) = logs.last().and_then(|path| std::fs::read_to_string(path).ok()) else {
            return why.to_owned();
        };
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
