//! The core of the scheduler: events in, commands out. No clock, no process, no file, so that every order of events
//! can be tested.
//!
//! A slot is a place for one worker process on a device. Runs are handed out in the order of the queue. A worker that
//! dies is replaced; what becomes of its run says the policy for that class of failure.

mod endings;
mod handing_out;
mod memory;
mod note;
mod running;
mod slot;
mod stopping;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

pub use note::{Command, Counts, Errand, Event, Exit, Finish, Note, Worker};
use running::Running;
pub use slot::Place;
use slot::{Seat, Slot};

use super::estimate::Measured;
use super::policy::History;
use super::queue::{Queue, Ticket};
use crate::plan::RunId;
use crate::protocol::Message;
use crate::record::log::What;
use crate::record::{Class, End, Provenance};

/// Workers of one slot that may die in a row without ever becoming ready.
const STRIKES: u32 = 3;
/// So many first runs that die of one error say that all will.
const FIRST: usize = 3;

/// What a sweep may cost, and when it gives up.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    /// Failed runs that end the sweep.
    pub max_fail: Option<usize>,
    /// A run that takes longer than this is stopped.
    pub timeout: Option<Duration>,
    /// A run that says nothing for so long is stopped.
    pub stall: Option<Duration>,
    /// Nothing starts that would not end before this, counted from the start of the sweep.
    pub budget: Option<Duration>,
    /// Too little memory fails a run at once, instead of easing its conditions.
    pub oom_fails: bool,
    /// Most runs that are trained side by side in one program; 0 and 1 are one after the other.
    pub fuse: usize,
}

#[derive(Debug)]
pub struct State {
    queue: Queue,
    slots: Vec<Slot>,
    limits: Limits,
    /// Failures of runs that go on, so that no run is tried for ever.
    histories: HashMap<RunId, History>,
    /// Runs at a step where a rule decides about them, with what their last worker said of itself and of the time taken.
    parked: HashMap<RunId, (Ticket, Provenance)>,
    /// A rule may still admit runs, so an empty queue is not the end.
    open: bool,
    measured: Measured,
    /// Estimates by records, for shapes that this sweep has not measured yet.
    known: HashMap<u32, f64>,
    /// MiB of a device that a run of each footprint takes, where one was measured.
    footprints: HashMap<u32, u32>,
    /// What the first runs died of; `None` once one did not.
    first_errors: Option<Vec<String>>,
    counts: Counts,
    /// Why nothing starts for now.
    held: Option<String>,
    /// How it will end as soon as nothing runs any more.
    draining: Option<Finish>,
    finished: bool,
}

impl State {
    /// A sweep of runs over slots. A run named twice is done once.
    pub fn new(
        tickets: impl IntoIterator<Item = Ticket>,
        slots: impl IntoIterator<Item = Place>,
        limits: Limits,
    ) -> State {
        let mut state = State {
            queue: Queue::default(),
            slots: slots.into_iter().map(Slot::at).collect(),
            limits,
            histories: HashMap::new(),
            parked: HashMap::new(),
            open: false,
            measured: Measured::default(),
            known: HashMap::new(),
            footprints: HashMap::new(),
            first_errors: Some(Vec::new()),
            counts: Counts::default(),
            held: None,
            draining: None,
            finished: false,
        };
        let mut seen = HashSet::new();
        for ticket in tickets {
            if seen.insert(ticket.id.clone()) {
                state.admit(ticket);
                state.counts.total += 1;
            }
        }
        state
    }

    /// The same, where a rule may admit more runs until `Event::Close`.
    pub fn open(mut self) -> State {
        self.open = true;
        self
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Runs that wait, in the order of work.
    pub fn waiting(&self) -> impl Iterator<Item = &Ticket> {
        self.queue.iter()
    }

    /// How many wait.
    pub fn left_waiting(&self) -> usize {
        self.queue.len()
    }

    /// Why nothing starts for now, if so.
    pub fn held(&self) -> Option<&str> {
        self.held.as_deref()
    }

    /// Whether nothing starts any more.
    pub fn is_stopping(&self) -> bool {
        self.draining.is_some()
    }

    /// Whether a run is under way.
    pub fn is_running(&self, id: &RunId) -> bool {
        self.slots.iter().flat_map(Slot::runs).any(|running| running.ticket.id == *id)
    }

    /// Whether a run lies at a step where a rule decides about it.
    pub fn is_parked(&self, id: &RunId) -> bool {
        self.parked.contains_key(id)
    }

    /// How many runs start before one that waits, and its ticket.
    pub fn place_in_queue(&self, id: &RunId) -> Option<(usize, &Ticket)> {
        // One that waits for a whole device is out of the queue already.
        let reserved = self.slots.iter().filter_map(|slot| slot.waiting.as_deref());
        reserved.chain(self.queue.iter()).enumerate().find(|(_, ticket)| ticket.id == *id)
    }

    /// Whether nothing runs and nothing waits.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && !self.is_anything_running()
    }

    /// Seconds until the last run ends; `None` where no run of a kind that waits was ever measured.
    pub fn eta(&self, now: Duration) -> Option<f64> {
        let mut sum = 0.0;
        for (shape, runs) in self.queue.shapes() {
            sum += runs * self.measured.of_shape(shape, self.known.get(&shape).copied())?;
        }
        let mut longest: f64 = 0.0;
        // Those that run side by side end together.
        for running in self.slots.iter().filter_map(|slot| slot.runs().first()) {
            let rest = running.rest(now, self.measured.of(&running.ticket));
            let known = self.measured.of_shape(running.ticket.shape, None).map(|whole| whole * running.ticket.share);
            let rest = rest.or_else(|| running.rest(now, known))?;
            sum += rest;
            longest = longest.max(rest);
        }
        // Where memory decides, not every slot is used.
        let works =
            |slot: &&Slot| !slot.is_given_up() && (slot.place.room.is_none() || !matches!(slot.seat, Seat::Empty));
        let workers = self.slots.iter().filter(works).count().max(1);
        Some((sum / workers as f64).max(longest))
    }

    /// The first commands: a worker for every slot that there is work for.
    pub fn start(&mut self) -> Vec<Command> {
        let mut out = Vec::new();
        self.feed(Duration::ZERO, &mut out);
        self.finish_if_over(&Exit::default(), &mut out);
        out
    }

    /// What to do now that `event` happened, `now` after the start of the sweep.
    pub fn on(&mut self, event: Event, now: Duration) -> Vec<Command> {
        let mut out = Vec::new();
        if self.finished {
            return out;
        }
        let mut exit = Exit::default();
        match event {
            Event::From(worker, message) if self.knows(worker) => self.hear(worker, message, now, &mut out),
            Event::Exited(worker, how) if self.knows(worker) => {
                self.bury(worker, &how, now, &mut out);
                exit = how;
            }
            Event::From(..) | Event::Exited(..) => return out,
            Event::Interrupt => self.interrupt(&mut out),
            Event::Tick => self.watch(now, &mut out),
            Event::Cancel(id) => self.cancel(&id, &mut out),
            Event::Hold(why) => self.hold(why, &mut out),
            Event::Release => self.release(&mut out),
            Event::Admit(tickets) => tickets.into_iter().for_each(|ticket| self.readmit(ticket)),
            Event::Retire(id, end) => self.retire(&id, *end, &mut out),
            Event::Close => self.open = false,
            Event::Open(place) => self.slots.push(Slot::at(place)),
        }
        self.feed(now, &mut out);
        self.finish_if_over(&exit, &mut out);
        out
    }

    fn knows(&self, worker: Worker) -> bool {
        self.slots.get(worker.slot).is_some_and(|slot| slot.life == worker.life && !matches!(slot.seat, Seat::Empty))
    }

    fn admit(&mut self, ticket: Ticket) {
        if let Some(estimate) = ticket.estimate {
            self.known.entry(ticket.shape).or_insert(estimate);
        }
        if let Some(memory) = ticket.memory {
            self.footprints.entry(ticket.footprint).or_insert(memory);
        }
        self.queue.push(ticket);
    }

    /// A run that a rule adds, or one that waited for its decision and goes on.
    fn readmit(&mut self, mut ticket: Ticket) {
        match self.parked.remove(&ticket.id) {
            Some((parked, _)) => {
                (ticket.attempt, ticket.ease) = (parked.attempt, parked.ease);
            }
            None => self.counts.total += 1,
        }
        self.admit(ticket);
    }

    fn hear(&mut self, worker: Worker, message: Message, now: Duration, out: &mut Vec<Command>) {
        let slot = worker.slot;
        self.slots[slot].runs_mut().iter_mut().for_each(|running| running.heard = now);
        match message {
            Message::Ready { device, device_name, libtorch, threads } => {
                if !matches!(self.slots[slot].seat, Seat::Starting) {
                    return;
                }
                self.slots[slot].made = Provenance {
                    device: device.clone(),
                    device_name: device_name.clone(),
                    libtorch,
                    threads,
                    ..Provenance::default()
                };
                self.slots[slot].strikes = 0;
                self.slots[slot].seat = Seat::Idle;
                out.push(Command::Show(Note::Ready { slot, device, device_name }));
            }
            Message::Phase { id, name } => {
                if let Some(running) = self.running(slot, &id) {
                    running.phases.push((name.clone(), now));
                    out.push(Command::Show(Note::Phase { slot, id, name }));
                }
            }
            Message::Step { id, step, of, loss, examples_per_second } => {
                if let Some(running) = self.running(slot, &id) {
                    running.at_step(step, of, now);
                    out.push(Command::Show(Note::Step { slot, id, step, of, loss, examples_per_second }));
                }
            }
            Message::Checkpointed { id, step } => {
                if self.running(slot, &id).is_some() {
                    out.push(Command::Show(Note::Checkpointed { slot, id, step }));
                }
            }
            Message::Done { id, outcome, made } => {
                if let Some(running) = self.leave(slot, &id, Seat::Idle) {
                    self.dismiss_if_spoiled(worker, out);
                    self.measured.add(&running.ticket, running.share_so_far(now));
                    self.weigh(slot, &running, &made);
                    self.end(slot, running, End::Done(*outcome), *made, now, out);
                }
            }
            Message::Failed { id, failure, made } => {
                // What a run that found no memory left behind on the device goes with its process.
                self.slots[slot].spoiled |= failure.class() == Class::Oom;
                if let Some(running) = self.leave(slot, &id, Seat::Idle) {
                    self.dismiss_if_spoiled(worker, out);
                    self.fail(slot, running, failure, *made, now, out);
                }
            }
            Message::Paused { id, step } => self.paused(worker, &id, step, out),
            Message::Reached { id, rung, made } => {
                if let Some(running) = self.leave(slot, &id, Seat::Idle) {
                    self.measured.add(&running.ticket, running.share_so_far(now));
                    self.parked.insert(id.clone(), (running.ticket, *made));
                    out.push(Command::Append(What::Reached { id: id.clone(), rung: rung.clone() }));
                    out.push(Command::Show(Note::Reached { slot, id, rung }));
                }
            }
            // Answers to orders that a sweep does not give.
            Message::Opened
            | Message::Measured { .. }
            | Message::Logits { .. }
            | Message::Exported { .. }
            | Message::Refused { .. } => {}
        }
    }

    fn running(&mut self, slot: usize, id: &RunId) -> Option<&mut Running> {
        self.slots[slot].runs_mut().iter_mut().find(|running| running.ticket.id == *id)
    }

    /// Takes a run off its worker, if it has it; after the last one the worker sits in `seat`.
    fn leave(&mut self, slot: usize, id: &RunId, seat: Seat) -> Option<Running> {
        let Seat::Running(runs) = &mut self.slots[slot].seat else { return None };
        let place = runs.iter().position(|running| running.ticket.id == *id)?;
        let running = runs.remove(place);
        if runs.is_empty() {
            self.slots[slot].seat = seat;
        }
        Some(running)
    }

    /// Ends a worker whose last run is gone, if one of them found no memory.
    fn dismiss_if_spoiled(&mut self, worker: Worker, out: &mut Vec<Command>) {
        let slot = &mut self.slots[worker.slot];
        if slot.spoiled && matches!(slot.seat, Seat::Idle) {
            slot.seat = Seat::Leaving;
            out.push(Command::Kill(worker));
        }
    }

    fn paused(&mut self, worker: Worker, id: &RunId, step: u32, out: &mut Vec<Command>) {
        let slot = worker.slot;
        let asked = self.slots[slot].pausing;
        let seat = if asked { Seat::Idle } else { Seat::Leaving };
        let Some(running) = self.leave(slot, id, seat) else { return };
        // An answer is whole when all that run side by side gave it.
        let is_last = self.slots[slot].runs().is_empty();
        self.slots[slot].pausing &= !is_last;
        out.push(Command::Append(What::Paused { id: id.clone(), step }));
        out.push(Command::Show(Note::Paused { slot, id: id.clone(), step }));
        if !asked && is_last {
            // Somebody told the worker itself to end; it does, and the run goes on in another.
            out.push(Command::Kill(worker));
        }
        if self.draining.is_some() {
            self.counts.paused += 1;
        } else {
            self.queue.push_front(running.ticket);
        }
    }

    fn is_anything_running(&self) -> bool {
        self.slots.iter().any(|slot| !slot.runs().is_empty() || slot.waiting.is_some())
    }
}

#[cfg(test)]
mod tests;
