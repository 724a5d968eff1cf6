//! Scripts of events with the exact commands that must follow, and nothing else.
#![allow(clippy::unwrap_used)]

mod any_order;
mod endings;
mod handing_out;
mod memory;
mod model;
mod stopping;

use std::collections::BTreeMap;

use super::*;
use crate::record::{Failure, Outcome, Rung, Scores, Stopped};
use crate::schedule::Ease;

fn id(n: usize) -> RunId {
    RunId(format!("{n:020}"))
}

/// Slots that share one device.
fn slots(n: usize) -> Vec<Place> {
    vec![Place::default(); n]
}

fn with(runs: usize, on: usize, limits: Limits) -> State {
    State::new((0..runs).map(|n| Ticket::new(id(n))), slots(on), limits)
}

fn state(runs: usize, slots: usize) -> State {
    with(runs, slots, Limits::default())
}

impl State {
    /// As `on`, without the guess how long the rest takes, which a test of its own holds.
    fn see(&mut self, event: Event, now: Duration) -> Vec<Command> {
        let mut commands = self.on(event, now);
        for command in &mut commands {
            if let Command::Show(Note::Ended { left, .. }) = command {
                *left = None;
            }
        }
        commands
    }
}

fn worker(slot: usize, life: u32) -> Worker {
    Worker { slot, life }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ready() -> Message {
    Message::Ready { device: "cpu".into(), device_name: "a chip".into(), libtorch: "2.11.0".into(), threads: 2 }
}

fn outcome() -> Outcome {
    Outcome {
        metric: "accuracy".into(),
        dev: BTreeMap::from([("accuracy".into(), Some(0.5))]),
        epochs: Vec::new(),
        collapsed: false,
        steps: 9,
        train_examples: 8,
        dev_examples: 4,
        mask: None,
        ..Outcome::default()
    }
}

/// What a worker says of itself with its result.
fn own() -> Provenance {
    Provenance { device: "cpu".into(), attempt: 1, ..Provenance::default() }
}

fn done(n: usize) -> Message {
    Message::Done { id: id(n), outcome: Box::new(outcome()), made: Box::new(own()) }
}

fn killed() -> Exit {
    Exit { how: "killed by signal 11".into(), signal: Some(11), tail: "boom".into() }
}

fn shown_ready(slot: usize) -> Command {
    Command::Show(Note::Ready { slot, device: "cpu".into(), device_name: "a chip".into() })
}

/// Run `n` goes to a worker.
fn handed(worker: Worker, n: usize) -> Vec<Command> {
    handed_again(worker, n, 1, None)
}

fn handed_again(worker: Worker, n: usize, attempt: u32, micro_batch: Option<u32>) -> Vec<Command> {
    vec![
        Command::Append(What::Started { id: id(n), slot: worker.slot, attempt }),
        Command::Train(worker, vec![Errand { id: id(n), attempt, until: None, micro_batch }]),
        Command::Show(Note::Started { slot: worker.slot, id: id(n), attempt }),
    ]
}

fn put_back(slot: usize, n: usize, attempt: u32, failure: Failure, next: &str) -> Vec<Command> {
    let how = failure.class().name().to_owned();
    vec![
        Command::Append(What::PutBack { id: id(n), attempt, how, next: next.into() }),
        Command::Show(Note::PutBack { slot, id: id(n), failure: Box::new(failure), next: next.into() }),
    ]
}

fn crash() -> Failure {
    Failure::Crashed { tail: "boom\n(killed by signal 11)".into() }
}

const AGAIN: &str = "again in a new process";

fn ended(slot: usize, n: usize, end: End, made: Provenance, how: &str, seconds: f64) -> Vec<Command> {
    vec![
        Command::Write(id(n), Box::new(end.clone()), Box::new(made)),
        Command::Append(What::Ended { id: id(n), how: how.into(), seconds }),
        Command::Show(Note::Ended { slot, id: id(n), end: Box::new(end), seconds, left: None }),
    ]
}

fn was_done(slot: usize, n: usize, seconds: f64) -> Vec<Command> {
    ended(slot, n, End::Done(outcome()), own(), "done", seconds)
}

fn finished(done: usize, failed: usize, left: usize, finish: Finish) -> Vec<Command> {
    vec![Command::Append(What::Finished { done, failed, left }), Command::Finish(finish)]
}

/// After the end, nothing makes the state do anything.
fn nothing_else(mut state: State) {
    for event in [
        Event::From(worker(0, 1), ready()),
        Event::From(worker(0, 1), done(0)),
        Event::Exited(worker(0, 1), killed()),
        Event::Interrupt,
    ] {
        assert_eq!(state.see(event, at(99)), []);
    }
}

fn failed(n: usize, failure: Failure) -> Message {
    Message::Failed { id: id(n), failure, made: Box::new(own()) }
}

fn oom() -> Failure {
    Failure::OutOfMemory { message: "no memory".into() }
}
