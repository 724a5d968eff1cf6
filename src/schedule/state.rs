//! The core of the scheduler: events in, commands out. No clock, no process, no file, so that every order of events
//! can be tested.
//!
//! A slot is a place for one worker process on a device. Runs are handed out in the order given, each at most once.
//! A worker that dies fails the run that it had and is replaced, and the sweep goes on.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use crate::plan::RunId;
use crate::protocol::Message;
use crate::record::log::What;
use crate::record::{End, Failure, Provenance};

/// Workers of one slot that may die in a row without ever becoming ready.
const STRIKES: u32 = 3;

/// One worker process: the `life`-th of its slot, so that late words of an earlier one are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Worker {
    pub slot: usize,
    pub life: u32,
}

/// How a worker process ended, in words, and the last lines of its log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exit {
    pub how: String,
    pub tail: String,
}

#[derive(Debug, Clone)]
pub enum Event {
    From(Worker, Message),
    /// The process is gone, or never came to be. Nothing more comes from it.
    Exited(Worker, Exit),
    /// The user asked to stop: at the next checkpoint, and now when asked again.
    Interrupt,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    Spawn(Worker),
    Train(Worker, RunId),
    Pause(Worker),
    Kill(Worker),
    /// The terminal record of a run; of a crashed one only the provenance that a coordinator can know.
    Write(RunId, Box<End>, Box<Provenance>),
    Append(What),
    Show(Note),
    /// Nothing is left to do; no command follows.
    Finish(Finish),
}

/// What an observer may want to show.
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    Ready {
        slot: usize,
        device: String,
        device_name: String,
    },
    Started {
        slot: usize,
        id: RunId,
    },
    Phase {
        slot: usize,
        id: RunId,
        name: String,
    },
    Step {
        slot: usize,
        id: RunId,
        step: u32,
        of: u32,
        loss: f64,
        examples_per_second: f64,
    },
    Ended {
        slot: usize,
        id: RunId,
        end: Box<End>,
        seconds: f64,
    },
    Paused {
        slot: usize,
        id: RunId,
        step: u32,
    },
    /// Nothing new starts; this many runs are still on their way to a checkpoint.
    Interrupted {
        running: usize,
    },
    Warning(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finish {
    Complete,
    Interrupted,
    /// In every slot, workers die before they are ready; how the last one did.
    NoWorkers(Exit),
}

/// How many runs ended which way so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub done: usize,
    pub failed: usize,
    pub paused: usize,
    pub total: usize,
}

#[derive(Debug)]
pub struct State {
    /// Run and attempt, in the order in which they are handed out.
    queue: VecDeque<(RunId, u32)>,
    slots: Vec<Slot>,
    counts: Counts,
    interrupted: bool,
    finished: bool,
}

#[derive(Debug, Default)]
struct Slot {
    life: u32,
    seat: Seat,
    /// Workers that died in a row before they were ready.
    strikes: u32,
    /// What the worker said of itself when it was ready.
    made: Provenance,
}

#[derive(Debug, Default)]
enum Seat {
    /// No process, now and from now on.
    #[default]
    Empty,
    Starting,
    Idle,
    Running(Running),
}

#[derive(Debug)]
struct Running {
    id: RunId,
    attempt: u32,
    since: Duration,
    /// Phases in the order entered, with the time of entry.
    phases: Vec<(String, Duration)>,
}

impl Running {
    /// Wall seconds per phase up to `now`.
    fn seconds(&self, now: Duration) -> BTreeMap<String, f64> {
        let ends = self.phases.iter().skip(1).map(|&(_, at)| at).chain([now]);
        let mut seconds = BTreeMap::new();
        for ((name, from), to) in self.phases.iter().zip(ends) {
            *seconds.entry(name.clone()).or_default() += to.saturating_sub(*from).as_secs_f64();
        }
        seconds
    }
}

impl State {
    /// A sweep of runs, each with its attempt (from 1), over a number of slots. A run named twice is done once.
    pub fn new(runs: impl IntoIterator<Item = (RunId, u32)>, slots: usize) -> State {
        let mut seen = HashSet::new();
        let queue: VecDeque<_> = runs.into_iter().filter(|(id, _)| seen.insert(id.clone())).collect();
        let counts = Counts { total: queue.len(), ..Counts::default() };
        let slots = (0..slots).map(|_| Slot::default()).collect();
        State { queue, slots, counts, interrupted: false, finished: false }
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The first commands: a worker for every slot that there is work for.
    pub fn start(&mut self) -> Vec<Command> {
        let mut out = Vec::new();
        for slot in 0..self.slots.len().min(self.queue.len()) {
            self.spawn(slot, &mut out);
        }
        self.finish_if_over(&Exit::default(), &mut out);
        out
    }

    /// What to do now that `event` happened, `now` after the start of the sweep.
    pub fn on(&mut self, event: Event, now: Duration) -> Vec<Command> {
        let mut out = Vec::new();
        if self.finished {
            return out;
        }
        match event {
            Event::From(worker, message) if self.knows(worker) => self.hear(worker, message, now, &mut out),
            Event::Exited(worker, exit) if self.knows(worker) => self.bury(worker, exit, now, &mut out),
            Event::From(..) | Event::Exited(..) => {}
            Event::Interrupt => self.interrupt(&mut out),
        }
        out
    }

    fn knows(&self, worker: Worker) -> bool {
        self.slots.get(worker.slot).is_some_and(|slot| slot.life == worker.life && !matches!(slot.seat, Seat::Empty))
    }

    fn hear(&mut self, worker: Worker, message: Message, now: Duration, out: &mut Vec<Command>) {
        let slot = worker.slot;
        match message {
            Message::Ready { device, device_name, libtorch, threads } => {
                if !matches!(self.slots[slot].seat, Seat::Starting) {
                    return;
                }
                let made = Provenance {
                    device: device.clone(),
                    device_name: device_name.clone(),
                    libtorch,
                    threads,
                    ..Provenance::default()
                };
                self.slots[slot] = Slot { seat: Seat::Idle, strikes: 0, made, ..self.slots[slot] };
                out.push(Command::Show(Note::Ready { slot, device, device_name }));
                self.hand_out(worker, now, out);
            }
            Message::Phase { id, name } => {
                if let Some(running) = self.running(slot, &id) {
                    running.phases.push((name.clone(), now));
                    out.push(Command::Show(Note::Phase { slot, id, name }));
                }
            }
            Message::Step { id, step, of, loss, examples_per_second } => {
                if self.running(slot, &id).is_some() {
                    out.push(Command::Show(Note::Step { slot, id, step, of, loss, examples_per_second }));
                }
            }
            Message::Done { id, outcome, made } => self.end(worker, &id, End::Done(*outcome), Some(*made), now, out),
            Message::Failed { id, failure, made } => {
                self.end(worker, &id, End::Failed(failure), Some(*made), now, out);
            }
            Message::Paused { id, step } => {
                if self.running(slot, &id).is_none() {
                    return;
                }
                self.counts.paused += 1;
                out.push(Command::Append(What::Paused { id: id.clone(), step }));
                out.push(Command::Show(Note::Paused { slot, id, step }));
                self.hand_out(worker, now, out);
            }
            Message::Checkpointed { .. } => {}
            // Answers to orders that a sweep does not give.
            Message::Opened | Message::Logits { .. } | Message::Exported { .. } | Message::Refused { .. } => {}
        }
    }

    fn running(&mut self, slot: usize, id: &RunId) -> Option<&mut Running> {
        match &mut self.slots[slot].seat {
            Seat::Running(running) if running.id == *id => Some(running),
            _ => None,
        }
    }

    /// Ends the run of a living worker, or, without a provenance of the worker's own, of a dead one.
    fn end(
        &mut self,
        worker: Worker,
        id: &RunId,
        end: End,
        made: Option<Provenance>,
        now: Duration,
        out: &mut Vec<Command>,
    ) {
        let slot = worker.slot;
        let known = self.slots[slot].made.clone();
        let Some(running) = self.running(slot, id) else { return };
        let alive = made.is_some();
        let made =
            made.unwrap_or_else(|| Provenance { seconds: running.seconds(now), attempt: running.attempt, ..known });
        let seconds = now.saturating_sub(running.since).as_secs_f64();
        let how = match &end {
            End::Done(_) => "done",
            End::Failed(failure) => failure.cause(),
        };
        match &end {
            End::Done(_) => self.counts.done += 1,
            End::Failed(_) => self.counts.failed += 1,
        }
        let end = Box::new(end);
        // The record first: a log that tells of an end without a record would lie.
        out.push(Command::Write(id.clone(), end.clone(), Box::new(made)));
        out.push(Command::Append(What::Ended { id: id.clone(), how: how.to_owned(), seconds }));
        out.push(Command::Show(Note::Ended { slot, id: id.clone(), end, seconds }));
        if alive {
            self.hand_out(worker, now, out);
        }
    }

    fn hand_out(&mut self, worker: Worker, now: Duration, out: &mut Vec<Command>) {
        let next = if self.interrupted { None } else { self.queue.pop_front() };
        let slot = &mut self.slots[worker.slot];
        let Some((id, attempt)) = next else {
            slot.seat = Seat::Idle;
            return self.finish_if_over(&Exit::default(), out);
        };
        let phases = vec![("load".to_owned(), now)];
        slot.seat = Seat::Running(Running { id: id.clone(), attempt, since: now, phases });
        out.push(Command::Append(What::Started { id: id.clone(), slot: worker.slot, attempt }));
        out.push(Command::Train(worker, id.clone()));
        out.push(Command::Show(Note::Started { slot: worker.slot, id }));
    }

    fn bury(&mut self, worker: Worker, exit: Exit, now: Duration, out: &mut Vec<Command>) {
        let slot = worker.slot;
        match &self.slots[slot].seat {
            Seat::Running(running) => {
                let id = running.id.clone();
                self.end(worker, &id, End::Failed(cause(&exit)), None, now, out);
            }
            Seat::Starting => self.slots[slot].strikes += 1,
            Seat::Idle | Seat::Empty => {}
        }
        self.slots[slot].seat = Seat::Empty;
        let unlucky = self.slots[slot].strikes >= STRIKES;
        if !self.queue.is_empty() && !self.interrupted && !unlucky {
            self.spawn(slot, out);
        } else if unlucky && self.slots.iter().any(|slot| !matches!(slot.seat, Seat::Empty)) {
            let said = if exit.tail.is_empty() { String::new() } else { format!(": {}", exit.tail) };
            out.push(Command::Show(Note::Warning(format!(
                "slot {slot} is given up: {STRIKES} workers in a row ended before they were ready, the last one {}{said}",
                exit.how
            ))));
        }
        self.finish_if_over(&exit, out);
    }

    fn spawn(&mut self, slot: usize, out: &mut Vec<Command>) {
        let place = &mut self.slots[slot];
        place.life += 1;
        place.seat = Seat::Starting;
        out.push(Command::Spawn(Worker { slot, life: place.life }));
    }

    fn interrupt(&mut self, out: &mut Vec<Command>) {
        let again = std::mem::replace(&mut self.interrupted, true);
        let workers = |wanted: fn(&Seat) -> bool| {
            let all = self.slots.iter().enumerate().filter(move |(_, slot)| wanted(&slot.seat));
            all.map(|(slot, found)| Worker { slot, life: found.life })
        };
        if again {
            out.extend(workers(|seat| !matches!(seat, Seat::Empty)).map(Command::Kill));
            self.finish(Finish::Interrupted, out);
        } else {
            let pauses: Vec<_> = workers(|seat| matches!(seat, Seat::Running(_))).map(Command::Pause).collect();
            let running = pauses.len();
            out.extend(pauses);
            out.push(Command::Show(Note::Interrupted { running }));
            self.finish_if_over(&Exit::default(), out);
        }
    }

    /// Ends the sweep if nothing runs and nothing will; `exit` is how the last worker died, if one just did.
    fn finish_if_over(&mut self, exit: &Exit, out: &mut Vec<Command>) {
        if self.slots.iter().any(|slot| matches!(slot.seat, Seat::Running(_))) {
            return;
        }
        let finish = if self.queue.is_empty() && self.counts.paused == 0 {
            Finish::Complete
        } else if self.interrupted || self.queue.is_empty() {
            Finish::Interrupted
        } else if self.slots.iter().all(|slot| matches!(slot.seat, Seat::Empty)) {
            Finish::NoWorkers(exit.clone())
        } else {
            return; // somebody is starting
        };
        self.finish(finish, out);
    }

    fn finish(&mut self, finish: Finish, out: &mut Vec<Command>) {
        let Counts { done, failed, total, .. } = self.counts;
        out.push(Command::Append(What::Finished { done, failed, left: total - done - failed }));
        out.push(Command::Finish(finish));
        self.finished = true;
    }
}

/// What killed a worker in the middle of a run, by its last words.
fn cause(exit: &Exit) -> Failure {
    // libtorch's own words on a GPU and on a CPU.
    let of_memory = |line: &&str| line.contains("out of memory") || line.contains("can't allocate memory");
    match exit.tail.lines().find(of_memory) {
        Some(line) => Failure::OutOfMemory { message: line.trim().to_owned() },
        None => Failure::Crashed { tail: format!("{}\n({})", exit.tail, exit.how).trim().to_owned() },
    }
}

#[cfg(test)]
mod tests;
