//! What is shown while jobs train, and what other terminals ask meanwhile.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::super::super::complain;
use crate::cluster::State;
use crate::cluster::batch::{Batch, Entry, Terms};
use crate::cluster::lead::{Look, Wish, cancel};
use crate::record::control::{self, Answer, Request};
use crate::record::live::{self, Counts, EngineJob, Live};
use crate::record::process::Process;
use crate::record::store::Store;
use crate::schedule::Interrupts;

/// The progress bar on a terminal, lines elsewhere, and the live file.
pub(super) struct Screen<'a> {
    store: &'a Store,
    batch: &'a Batch,
    entries: &'a [Entry],
    live: Live,
    bar: ProgressBar,
    total: usize,
    written: Option<Instant>,
    said: String,
}

impl<'a> Screen<'a> {
    pub(super) fn new(store: &'a Store, batch: &'a Batch, terms: &Terms, entries: &'a [Entry]) -> Screen<'a> {
        let total = entries.len();
        let started = format!("{:.3}", jiff::Timestamp::now());
        let live = Live {
            process: Process::own(),
            sweep: batch.sweep.clone(),
            shard: None,
            heartbeat: started.clone(),
            started,
            counts: Counts { total, ..Counts::default() },
            waiting: total,
            seconds_left: None,
            held: None,
            slots: Vec::new(),
            job: None,
            engine: Some(terms.engine.clone()),
            jobs: Vec::new(),
            ended: None,
        };
        let bar = ProgressBar::new(total as u64);
        if let Ok(style) = ProgressStyle::with_template("{bar:30.green} {pos}/{len}  {msg}") {
            bar.set_style(style);
        }
        let mut screen =
            Screen { store, batch, entries, live, bar, total: entries.len(), written: None, said: String::new() };
        // Before the first job begins: it leaves a sweep alone that runs without the cluster.
        screen.write();
        screen
    }

    pub(super) fn show(&mut self, look: &Look, interrupts: &Interrupts) -> Wish {
        for news in &look.news {
            self.bar.suspend(|| complain(news));
        }
        let count = |state: State| look.jobs.iter().filter(|seen| seen.state == state).count();
        let done = self.total - look.left;
        let (running, waiting) = (count(State::Running), count(State::Waiting));
        let said = format!("{} under way, {running} jobs run, {waiting} wait", look.claimed);
        self.bar.set_position(done as u64);
        self.bar.set_message(said.clone());
        let line = format!("{done}/{} ended, {said}", self.total);
        if self.bar.is_hidden() && line != self.said {
            complain(&line);
        }
        self.said = line;
        self.live.counts.done = done;
        self.live.waiting = look.left - look.claimed;
        let is_open = |state: State| !matches!(state, State::Ended(_));
        self.live.jobs = look
            .jobs
            .iter()
            .filter(|seen| is_open(seen.state))
            .map(|seen| EngineJob { id: seen.id.to_string(), state: seen.said.clone(), node: seen.node.clone() })
            .collect();
        if self.written.is_none_or(|written| written.elapsed() >= Duration::from_secs(1)) {
            self.write();
        }
        self.wish(interrupts)
    }

    fn wish(&self, interrupts: &Interrupts) -> Wish {
        let mut wish = if interrupts.is_any() { Wish::Leave } else { Wish::Nothing };
        for letter in control::letters(self.store, &self.live.sweep, &self.live.process) {
            let answer = match &letter.request {
                Request::Stop => {
                    wish = Wish::Stop;
                    let say =
                        "it submits no more; jobs that wait are cancelled, and those that run go on to a checkpoint";
                    Answer { done: true, say: say.to_owned() }
                }
                Request::Cancel(id) => {
                    let entry = self.entries.iter().find(|entry| entry.job.id == *id);
                    let done = entry.is_some_and(|entry| cancel(self.store, self.batch, entry).unwrap_or(false));
                    let say = if done {
                        "no job had taken it; its record says that it was cancelled"
                    } else {
                        "a job of the cluster has it, or it has ended"
                    };
                    Answer { done, say: say.to_owned() }
                }
                Request::Where(id) => {
                    let is_ours = self.entries.iter().any(|entry| entry.job.id == *id);
                    Answer { done: is_ours, say: "no job has it now: it waits for one, or has ended".to_owned() }
                }
            };
            control::answer(&letter, &answer);
        }
        wish
    }

    /// A live file that cannot be written harms no run.
    fn write(&mut self) {
        self.live.heartbeat = format!("{:.3}", jiff::Timestamp::now());
        let _ = live::write(self.store, &self.live);
        self.written = Some(Instant::now());
    }

    pub(super) fn end(&mut self, how: &str) {
        self.bar.finish_and_clear();
        self.live.ended = Some(how.to_owned());
        self.write();
    }
}
