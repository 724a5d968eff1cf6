//! Keeps the live file of a sweep: what its coordinator does at this moment, for other terminals.

use std::time::{Duration, Instant};

use super::local::Observer;
use super::slot::Slot as Place;
use super::state::{Note, State};
use crate::plan::RunId;
use crate::record::live::{self, Counts, Live, Running, Slot};
use crate::record::process::Process;
use crate::record::shard::Shard;
use crate::record::store::Store;

/// How often the file is written when nothing but steps happen.
const EVERY: Duration = Duration::from_secs(1);
/// How soon after a change of another kind.
const SOON: Duration = Duration::from_millis(100);

/// An observer that writes what it sees.
pub struct Keeper<'a> {
    store: &'a Store,
    label: &'a dyn Fn(&RunId) -> String,
    live: Live,
    written: Instant,
    /// Something happened that a look from outside should see at once.
    is_news: bool,
}

impl<'a> Keeper<'a> {
    /// Of a sweep over slots; `label` calls a run by words.
    pub fn new(
        store: &'a Store,
        sweep: &str,
        shard: Option<Shard>,
        slots: &[Place],
        label: &'a dyn Fn(&RunId) -> String,
    ) -> Keeper<'a> {
        let slots = slots.iter().map(|slot| Slot { device: slot.name().to_owned(), ..Slot::default() }).collect();
        let started = now();
        let live = Live {
            process: Process::own(),
            sweep: sweep.to_owned(),
            shard,
            heartbeat: started.clone(),
            started,
            counts: Counts::default(),
            waiting: 0,
            seconds_left: None,
            held: None,
            slots,
            job: None,
            engine: None,
            jobs: Vec::new(),
            ended: None,
        };
        let mut keeper = Keeper { store, label, live, written: Instant::now(), is_news: true };
        keeper.write();
        keeper
    }

    /// The same, of a job of a cluster.
    pub fn of_job(mut self, job: &str) -> Keeper<'a> {
        self.live.job = Some(job.to_owned());
        let host = self.live.process.host.clone();
        self.live.slots.iter_mut().for_each(|slot| slot.device = format!("{}@{host}", slot.device));
        self.write();
        self
    }

    /// A run in words.
    pub fn label(&self, id: &RunId) -> String {
        (self.label)(id)
    }

    /// Says how the sweep ended; nothing is written after it.
    pub fn end(mut self, how: &str) {
        self.live.slots.iter_mut().for_each(|slot| (slot.run, slot.beside) = (None, Vec::new()));
        self.live.seconds_left = None;
        self.live.ended = Some(how.to_owned());
        self.write();
    }

    /// A live file that cannot be written harms no run: whoever looks sees the lock and an old heartbeat.
    fn write(&mut self) {
        self.live.heartbeat = now();
        let _ = live::write(self.store, &self.live);
        self.written = Instant::now();
        self.is_news = false;
    }

    fn running(&mut self, slot: usize, id: &RunId) -> Option<&mut Running> {
        self.live.slots.get_mut(slot)?.runs_mut().find(|running| running.id == *id)
    }

    fn leave(&mut self, slot: usize, id: &RunId) {
        if let Some(slot) = self.live.slots.get_mut(slot) {
            slot.remove(id);
        }
    }

    fn start(&mut self, slot: usize, id: &RunId, attempt: u32) {
        if self.live.slots.len() <= slot {
            self.live.slots.resize_with(slot + 1, Slot::default);
        }
        self.live.slots[slot].add(Running {
            id: id.clone(),
            label: (self.label)(id),
            attempt,
            since: now(),
            phase: "load".to_owned(),
            step: 0,
            of: 0,
            loss: None,
            examples_per_second: None,
            checkpoint: None,
        });
    }
}

impl Observer for Keeper<'_> {
    fn note(&mut self, note: &Note) {
        // A step alone is no news: there are hundreds a second.
        self.is_news |= !matches!(note, Note::Step { .. } | Note::Phase { .. } | Note::Checkpointed { .. });
        match note {
            Note::Ready { slot, device, device_name } => {
                if self.live.slots.len() <= *slot {
                    self.live.slots.resize_with(slot + 1, Slot::default);
                }
                let slot = &mut self.live.slots[*slot];
                if slot.device.is_empty() {
                    slot.device.clone_from(device);
                }
                slot.device_name = Some(device_name.clone());
            }
            Note::Started { slot, id, attempt } => self.start(*slot, id, *attempt),
            Note::Phase { slot, id, name } => {
                if let Some(running) = self.running(*slot, id) {
                    running.phase.clone_from(name);
                }
            }
            Note::Step { slot, id, step, of, loss, examples_per_second } => {
                if let Some(running) = self.running(*slot, id) {
                    (running.step, running.of) = (*step, *of);
                    // JSON has no word for what is not finite.
                    running.loss = loss.is_finite().then_some(*loss);
                    running.examples_per_second = examples_per_second.is_finite().then_some(*examples_per_second);
                }
            }
            Note::Checkpointed { slot, id, step } => {
                if let Some(running) = self.running(*slot, id) {
                    running.checkpoint = Some(*step);
                }
            }
            Note::Ended { slot, id, .. }
            | Note::Paused { slot, id, .. }
            | Note::Reached { slot, id, .. }
            | Note::Regrouped { slot, id }
            | Note::PutBack { slot, id, .. } => self.leave(*slot, id),
            Note::Held { why, .. } => self.live.held = Some(why.clone()),
            Note::Stopping { why, .. } => {
                self.live.held = Some(format!("{}; running runs go on to a checkpoint", why.in_words()))
            }
            Note::Released => self.live.held = None,
            Note::Cancelled { .. } | Note::Retired { .. } | Note::Warning(_) => {}
        }
    }

    fn beat(&mut self, state: &State, now: Duration) {
        let passed = self.written.elapsed();
        if passed < SOON || (!self.is_news && passed < EVERY) {
            return;
        }
        let counts = state.counts();
        self.live.counts = Counts {
            done: counts.done,
            failed: counts.failed,
            stopped: counts.stopped,
            paused: counts.paused,
            total: counts.total,
        };
        self.live.waiting = state.left_waiting();
        self.live.seconds_left = state.eta(now);
        self.write();
    }
}

/// RFC 3339, UTC.
fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}
