//! The core of the scheduler: events in, commands out. No clock, no process, no file, so that every order of events
//! can be tested.
//!
//! A slot is a place for one worker process on a device. Runs are handed out in the order of the queue. A worker that
//! dies is replaced; what becomes of its run says the policy for that class of failure.

mod memory;
mod note;
mod running;
mod slot;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

pub use note::{Command, Counts, Errand, Event, Exit, Finish, Note, Worker};
use running::Running;
pub use slot::Place;
use slot::{Seat, Slot};

use super::estimate::Measured;
use super::policy::{self, History, Next};
use super::queue::{Ease, Queue, Ticket};
use crate::plan::RunId;
use crate::protocol::Message;
use crate::record::log::What;
use crate::record::{Class, End, Failure, Provenance};

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
    /// Seconds by phase that runs under way took before they were parked.
    spent: HashMap<RunId, BTreeMap<String, f64>>,
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
            spent: HashMap::new(),
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

    /// Whether a run is under way.
    pub fn is_running(&self, id: &RunId) -> bool {
        self.slots.iter().filter_map(Slot::running).any(|running| running.ticket.id == *id)
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
        for (shape, count) in self.queue.shapes().filter(|&(_, count)| count > 0) {
            sum += count as f64 * self.measured.of_shape(shape, self.known.get(&shape).copied())?;
        }
        let mut longest: f64 = 0.0;
        for running in self.slots.iter().filter_map(Slot::running) {
            let rest = running.rest(now, self.measured.of(&running.ticket));
            let known = self.measured.of_shape(running.ticket.shape, None);
            let rest = rest.or_else(|| known.map(|mean| (mean - running.seconds_so_far(now)).max(0.0)))?;
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
            Event::Retire(id, end) => self.retire(&id, end, &mut out),
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
            Some((parked, made)) => {
                (ticket.attempt, ticket.ease) = (parked.attempt, parked.ease);
                self.spent.insert(ticket.id.clone(), made.seconds);
            }
            None => self.counts.total += 1,
        }
        self.admit(ticket);
    }

    /// What a worker said of itself, with the time that the run took before it was parked.
    fn with_spent(&mut self, id: &RunId, mut made: Provenance) -> Provenance {
        for (phase, seconds) in self.spent.remove(id).unwrap_or_default() {
            *made.seconds.entry(phase).or_default() += seconds;
        }
        made
    }

    fn hear(&mut self, worker: Worker, message: Message, now: Duration, out: &mut Vec<Command>) {
        let slot = worker.slot;
        if let Some(running) = self.slots[slot].running_mut() {
            running.heard = now;
        }
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
                    self.measured.add(running.ticket.shape, running.seconds_so_far(now));
                    self.weigh(slot, &running.ticket, &made);
                    self.end(slot, running, End::Done(*outcome), *made, now, out);
                }
            }
            Message::Failed { id, failure, made } => {
                // What a run that found no memory left behind on the device goes with its process.
                let is_oom = failure.class() == Class::Oom;
                let seat = if is_oom { Seat::Leaving } else { Seat::Idle };
                if let Some(running) = self.leave(slot, &id, seat) {
                    if is_oom {
                        out.push(Command::Kill(worker));
                    }
                    self.fail(slot, running, failure, *made, now, out);
                }
            }
            Message::Paused { id, step } => self.paused(worker, &id, step, out),
            Message::Reached { id, step, of, metric, dev, halves, made } => {
                if let Some(running) = self.leave(slot, &id, Seat::Idle) {
                    let made = self.with_spent(&id, *made);
                    self.parked.insert(id.clone(), (running.ticket, made));
                    out.push(Command::Append(What::Reached {
                        id: id.clone(),
                        step,
                        of,
                        metric: metric.clone(),
                        dev: dev.clone(),
                        halves: halves.clone(),
                    }));
                    out.push(Command::Show(Note::Reached { slot, id, step, of, metric, dev, halves }));
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
        self.slots[slot].running_mut().filter(|running| running.ticket.id == *id)
    }

    /// Takes a run off its worker, if it has it.
    fn leave(&mut self, slot: usize, id: &RunId, seat: Seat) -> Option<Running> {
        self.running(slot, id)?;
        match std::mem::replace(&mut self.slots[slot].seat, seat) {
            Seat::Running(running) => Some(*running),
            _ => None,
        }
    }

    fn paused(&mut self, worker: Worker, id: &RunId, step: u32, out: &mut Vec<Command>) {
        let slot = worker.slot;
        let asked = self.slots[slot].pausing;
        self.slots[slot].pausing = false;
        let seat = if asked { Seat::Idle } else { Seat::Leaving };
        let Some(running) = self.leave(slot, id, seat) else { return };
        out.push(Command::Append(What::Paused { id: id.clone(), step }));
        out.push(Command::Show(Note::Paused { slot, id: id.clone(), step }));
        if !asked {
            // Somebody told the worker itself to end; it does, and the run goes on in another.
            out.push(Command::Kill(worker));
        }
        if self.draining.is_some() {
            self.counts.paused += 1;
        } else {
            self.queue.push_front(running.ticket);
        }
    }

    /// A failed attempt: the end of its run, or another follows.
    fn fail(
        &mut self,
        slot: usize,
        running: Running,
        failure: Failure,
        made: Provenance,
        now: Duration,
        out: &mut Vec<Command>,
    ) {
        let class = failure.class();
        let shared = self.others_on(slot) > 0;
        let history = self.histories.entry(running.ticket.id.clone()).or_default();
        let next = policy::next(class, &running.ticket, history, shared || running.was_shared, !self.limits.oom_fails);
        if next == Next::Fail {
            return self.end(slot, running, End::Failed(failure), made, now, out);
        }
        let Ticket { id, attempt, .. } = &running.ticket;
        let next_in_words = policy::in_words(&next);
        out.push(Command::Append(What::PutBack {
            id: id.clone(),
            attempt: *attempt,
            how: class.name().to_owned(),
            next: next_in_words.clone(),
        }));
        out.push(Command::Show(Note::PutBack {
            slot,
            id: id.clone(),
            failure: Box::new(failure),
            next: next_in_words,
        }));
        let again = Ticket { attempt: attempt + 1, ..running.ticket.clone() };
        match next {
            // A sweep that is stopping leaves it for the next call.
            _ if self.draining.is_some() => self.counts.paused += 1,
            Next::Ease(ease @ Ease::Again) => self.queue.push(Ticket { ease, ..again }),
            Next::Ease(ease) => self.queue.push_front(Ticket { ease, ..again }),
            _ => self.queue.push_front(again),
        }
    }

    fn end(
        &mut self,
        slot: usize,
        running: Running,
        end: End,
        made: Provenance,
        now: Duration,
        out: &mut Vec<Command>,
    ) {
        let id = running.ticket.id.clone();
        self.histories.remove(&id);
        let seconds = running.seconds_so_far(now);
        let how = match &end {
            End::Done(_) => "done",
            End::Failed(failure) => failure.cause(),
            End::Stopped(_) => "stopped",
        };
        match &end {
            End::Done(_) => self.counts.done += 1,
            End::Failed(_) => self.counts.failed += 1,
            End::Stopped(_) => self.counts.stopped += 1,
        }
        self.judge_first(&end);
        let made = self.with_spent(&id, made);
        let end = Box::new(end);
        // The record first: a log that tells of an end without a record would lie.
        out.push(Command::Write(id.clone(), end.clone(), Box::new(made)));
        out.push(Command::Append(What::Ended { id: id.clone(), how: how.to_owned(), seconds }));
        let left = self.eta(now);
        out.push(Command::Show(Note::Ended { slot, id, end, seconds, left }));
        self.give_up_if_hopeless(out);
    }

    /// Keeps what the first runs died of, as long as all of them did. Divergence is a result, and cancelling no error.
    fn judge_first(&mut self, end: &End) {
        let Some(errors) = &mut self.first_errors else { return };
        match end {
            End::Failed(failure) if !matches!(failure.class(), Class::Diverged | Class::Cancelled) => {
                // Numbers, such as addresses and sizes, differ between deaths of one cause.
                let text = failure.sentence();
                let same = text.lines().next().unwrap_or_default().replace(|c: char| c.is_ascii_digit(), "");
                errors.push(format!("{}: {same}", failure.cause()));
            }
            _ => self.first_errors = None,
        }
        if self.first_errors.as_ref().is_some_and(|errors| errors.len() > FIRST) {
            self.first_errors = None;
        }
    }

    fn give_up_if_hopeless(&mut self, out: &mut Vec<Command>) {
        if self.draining.is_some() {
            return;
        }
        let failed = self.counts.failed;
        let why = match (&self.first_errors, self.limits.max_fail) {
            (_, Some(most)) if failed >= most.max(1) => format!("{failed} runs failed, and max_fail is {most}"),
            (Some(errors), _) if errors.len() == FIRST && errors.iter().all(|error| *error == errors[0]) => {
                format!("the first {FIRST} runs all failed alike")
            }
            _ => return,
        };
        // With nothing left there is nothing to give up.
        if !self.queue.is_empty() || self.is_anything_running() {
            self.drain(Finish::TooManyFailed(why), out);
        }
    }

    /// Starts nothing more, and asks what runs to come to a checkpoint.
    fn drain(&mut self, finish: Finish, out: &mut Vec<Command>) {
        let running = self.pause_all(out);
        out.push(Command::Show(Note::Stopping { why: finish.clone(), running }));
        self.draining = Some(finish);
    }

    /// How many run and were asked.
    fn pause_all(&mut self, out: &mut Vec<Command>) -> usize {
        let mut running = 0;
        for (index, slot) in self.slots.iter_mut().enumerate().filter(|(_, slot)| slot.running().is_some()) {
            running += 1;
            if !std::mem::replace(&mut slot.pausing, true) {
                out.push(Command::Pause(Worker { slot: index, life: slot.life }));
            }
        }
        running
    }

    fn interrupt(&mut self, out: &mut Vec<Command>) {
        if self.draining.is_none() {
            return self.drain(Finish::Interrupted, out);
        }
        let workers = self.slots.iter().enumerate().filter(|(_, slot)| !matches!(slot.seat, Seat::Empty));
        out.extend(workers.map(|(slot, found)| Command::Kill(Worker { slot, life: found.life })));
        self.finish(Finish::Interrupted, out);
    }

    /// Looks for runs that take too long, and whether time is up.
    fn watch(&mut self, now: Duration, out: &mut Vec<Command>) {
        let Limits { timeout, stall, budget, .. } = self.limits;
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let worker = Worker { slot: index, life: slot.life };
            let Some(running) = slot.running_mut().filter(|running| running.doom.is_none()) else { continue };
            let over =
                |limit: Option<Duration>, since: Duration| limit.filter(|&limit| now.saturating_sub(since) > limit);
            let why = if let Some(limit) = over(timeout, running.since) {
                format!("it took longer than timeout = {} allows", in_words(limit))
            } else if let Some(limit) = over(stall, running.heard) {
                format!("its worker said nothing for {} (stall)", in_words(limit))
            } else {
                continue;
            };
            running.doom = Some(Failure::TimedOut { message: why });
            out.push(Command::Kill(worker));
        }
        if self.draining.is_none() && budget.is_some_and(|budget| now >= budget) {
            self.drain(Finish::OutOfTime, out);
        }
    }

    fn cancel(&mut self, id: &RunId, out: &mut Vec<Command>) {
        let is_it = |slot: &&mut Slot| slot.waiting.as_ref().is_some_and(|ticket| ticket.id == *id);
        let reserved = self.slots.iter_mut().find(is_it).and_then(|slot| slot.waiting.take()).map(|ticket| *ticket);
        let parked = |state: &mut State| state.parked.remove(id).map(|(ticket, _)| ticket);
        let waiting = reserved.or_else(|| self.queue.take(id)).or_else(|| parked(self));
        if let Some(ticket) = waiting {
            self.counts.failed += 1;
            let made = Provenance { attempt: ticket.attempt, ..Provenance::default() };
            out.push(Command::Write(id.clone(), Box::new(End::Failed(Failure::Cancelled)), Box::new(made)));
            let how = Failure::Cancelled.cause().to_owned();
            out.push(Command::Append(What::Ended { id: id.clone(), how, seconds: 0.0 }));
            out.push(Command::Show(Note::Cancelled { id: id.clone() }));
            return;
        }
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let worker = Worker { slot: index, life: slot.life };
            if let Some(running) = slot.running_mut().filter(|running| running.ticket.id == *id) {
                running.doom = Some(Failure::Cancelled);
                out.push(Command::Kill(worker));
            }
        }
    }

    fn hold(&mut self, why: String, out: &mut Vec<Command>) {
        if self.held.is_some() || self.draining.is_some() {
            return;
        }
        let running = self.pause_all(out);
        out.push(Command::Append(What::Held { why: why.clone() }));
        out.push(Command::Show(Note::Held { why: why.clone(), running }));
        self.held = Some(why);
    }

    fn release(&mut self, out: &mut Vec<Command>) {
        if self.held.take().is_some() {
            out.push(Command::Append(What::Released));
            out.push(Command::Show(Note::Released));
        }
    }

    /// Ends a run that a rule wants no more of; it waits for its decision, or for its turn.
    fn retire(&mut self, id: &RunId, end: End, out: &mut Vec<Command>) {
        let of_queue = |ticket: Ticket| {
            let made = Provenance { attempt: ticket.attempt, ..Provenance::default() };
            (ticket, made)
        };
        let waits = self.parked.remove(id).or_else(|| self.queue.take(id).map(of_queue));
        let is_running = self.slots.iter().filter_map(Slot::running).any(|running| running.ticket.id == *id);
        let made = match waits {
            Some((_, made)) => made,
            None if is_running => return,
            // It was parked when an earlier coordinator went.
            None => {
                self.counts.total += 1;
                Provenance { attempt: 1, ..Provenance::default() }
            }
        };
        let how = match &end {
            End::Stopped(stopped) => stopped.rule.clone(),
            End::Done(_) => "done".to_owned(),
            End::Failed(failure) => failure.cause().to_owned(),
        };
        self.counts.stopped += 1;
        out.push(Command::Write(id.clone(), Box::new(end), Box::new(made)));
        out.push(Command::Append(What::Ended { id: id.clone(), how: "stopped".to_owned(), seconds: 0.0 }));
        out.push(Command::Show(Note::Retired { id: id.clone(), rule: how }));
    }

    fn bury(&mut self, worker: Worker, exit: &Exit, now: Duration, out: &mut Vec<Command>) {
        let slot = worker.slot;
        self.slots[slot].pausing = false;
        match std::mem::take(&mut self.slots[slot].seat) {
            Seat::Running(mut running) => {
                let failure = running.doom.take().unwrap_or_else(|| exit.cause());
                let made = Provenance {
                    seconds: running.seconds(now),
                    attempt: running.ticket.attempt,
                    micro_batch: running.ticket.micro_batch(),
                    ..self.slots[slot].made.clone()
                };
                self.fail(slot, *running, failure, made, now, out);
            }
            Seat::Starting => self.slots[slot].strikes += 1,
            Seat::Idle | Seat::Leaving | Seat::Empty => {}
        }
        if self.slots[slot].is_given_up()
            && let Some(ticket) = self.slots[slot].waiting.take()
        {
            self.queue.push_front(*ticket);
        }
        if self.slots[slot].is_given_up() && self.slots.iter().any(|slot| !slot.is_given_up()) {
            let said = if exit.tail.is_empty() { String::new() } else { format!(": {}", exit.tail) };
            out.push(Command::Show(Note::Warning(format!(
                "slot {slot} is given up: {STRIKES} workers in a row ended before they were ready, the last one {}{said}",
                exit.how
            ))));
        }
    }

    fn others_on(&self, slot: usize) -> usize {
        let device = self.slots[slot].place.device;
        let others =
            self.slots.iter().enumerate().filter(|&(index, other)| index != slot && other.place.device == device);
        others.filter(|(_, other)| other.running().is_some()).count()
    }

    /// Hands work to every worker that has none, and starts workers where there is more.
    fn feed(&mut self, now: Duration, out: &mut Vec<Command>) {
        if self.held.is_some() || self.draining.is_some() {
            return;
        }
        for slot in 0..self.slots.len() {
            if matches!(self.slots[slot].seat, Seat::Idle) {
                self.hand_out(slot, now, out);
            }
        }
        let starting = self.slots.iter().filter(|slot| matches!(slot.seat, Seat::Starting | Seat::Leaving)).count();
        let mut wanted = self.queue.len().saturating_sub(starting);
        for slot in 0..self.slots.len() {
            let is_free = matches!(self.slots[slot].seat, Seat::Empty) && !self.slots[slot].is_given_up();
            // The worker of a run that waits may have died meanwhile.
            let waits = self.slots[slot].waiting.is_some();
            let is_wanted = waits || (wanted > 0 && self.may_start_on(slot));
            if is_wanted && is_free && !self.is_reserved(slot) {
                wanted = wanted.saturating_sub(1);
                let place = &mut self.slots[slot];
                place.life += 1;
                place.held = 0;
                place.seat = Seat::Starting;
                out.push(Command::Spawn(Worker { slot, life: place.life }));
            }
        }
    }

    /// Whether a run has, or waits for, the whole device of a slot, and lies in another slot.
    fn is_reserved(&self, slot: usize) -> bool {
        let device = self.slots[slot].place.device;
        let same = |&(index, other): &(usize, &Slot)| index != slot && other.place.device == device;
        self.slots.iter().enumerate().filter(same).any(|(_, other)| other.has_device_alone())
    }

    fn hand_out(&mut self, slot: usize, now: Duration, out: &mut Vec<Command>) {
        if self.is_reserved(slot) {
            return;
        }
        let left = self.limits.budget.map(|budget| budget.saturating_sub(now).as_secs_f64());
        let measured = &self.measured;
        let in_time = |ticket: &Ticket| left.is_none_or(|left| measured.of(ticket).is_none_or(|takes| takes <= left));
        // What was reserved for this slot comes first.
        let next = match self.slots[slot].waiting.take() {
            Some(ticket) => Some(*ticket),
            None => self.queue.take_first(in_time),
        };
        let Some(ticket) = next else { return };
        if !self.make_room(slot, &ticket, out) {
            // The others on this device come to their ends first.
            self.slots[slot].waiting = Some(Box::new(ticket));
            return;
        }
        self.hold_memory(slot, &ticket);
        let id = ticket.id.clone();
        let errand =
            Errand { id: id.clone(), attempt: ticket.attempt, until: ticket.until, micro_batch: ticket.micro_batch() };
        out.push(Command::Append(What::Started { id: id.clone(), slot, attempt: ticket.attempt }));
        out.push(Command::Train(Worker { slot, life: self.slots[slot].life }, errand));
        out.push(Command::Show(Note::Started { slot, id, attempt: ticket.attempt }));
        let alone = self.goes_alone(slot, &ticket);
        self.slots[slot].seat = Seat::Running(Box::new(Running::new(ticket, alone, now)));
        let device = self.slots[slot].place.device;
        if self.others_on(slot) > 0 {
            let on_device = self.slots.iter_mut().filter(|other| other.place.device == device);
            on_device.filter_map(Slot::running_mut).for_each(|running| running.was_shared = true);
        }
    }

    fn is_anything_running(&self) -> bool {
        self.slots.iter().any(|slot| slot.running().is_some() || slot.waiting.is_some())
    }

    /// Ends the sweep if nothing runs and nothing will; `exit` is how the last worker died, if one just did.
    fn finish_if_over(&mut self, exit: &Exit, out: &mut Vec<Command>) {
        if self.finished || self.slots.iter().any(|slot| slot.running().is_some()) {
            return;
        }
        let finish = if let Some(finish) = self.draining.clone() {
            finish
        } else if self.held.is_some() {
            return;
        } else if self.queue.is_empty() && self.slots.iter().all(|slot| slot.waiting.is_none()) {
            if self.open {
                return; // the rule is about to say
            }
            if self.parked.is_empty() { Finish::Complete } else { Finish::Interrupted }
        } else if self.slots.iter().all(Slot::is_given_up) {
            Finish::NoWorkers(exit.clone())
        } else if self.is_out_of_time() {
            Finish::OutOfTime
        } else {
            return; // somebody is starting
        };
        self.finish(finish, out);
    }

    /// Whether workers wait, and nothing that is left fits into the time that is left.
    fn is_out_of_time(&self) -> bool {
        let coming = |slot: &Slot| matches!(slot.seat, Seat::Starting | Seat::Leaving) || slot.waiting.is_some();
        let has_idle = self.slots.iter().any(|slot| matches!(slot.seat, Seat::Idle));
        self.limits.budget.is_some() && has_idle && !self.slots.iter().any(coming)
    }

    fn finish(&mut self, finish: Finish, out: &mut Vec<Command>) {
        let Counts { done, failed, stopped, total, .. } = self.counts;
        let left = total - done - failed - stopped;
        out.push(Command::Append(What::Finished { done, failed, left }));
        out.push(Command::Finish(finish));
        self.finished = true;
    }
}

/// `90 s`, `15 min`, `2 h`.
fn in_words(limit: Duration) -> String {
    match limit.as_secs() {
        s if s >= 7200 && s % 3600 == 0 => format!("{} h", s / 3600),
        s if s >= 120 && s % 60 == 0 => format!("{} min", s / 60),
        _ => format!("{} s", limit.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests;
