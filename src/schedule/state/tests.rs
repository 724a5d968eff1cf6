//! Scripts of events with the exact commands that must follow, and nothing else.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::record::Outcome;

fn id(n: usize) -> RunId {
    RunId(format!("{n:020}"))
}

fn state(runs: usize, slots: usize) -> State {
    State::new((0..runs).map(|n| (id(n), 1)), slots)
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
    Exit { how: "killed by signal 11".into(), tail: "boom".into() }
}

fn shown_ready(slot: usize) -> Command {
    Command::Show(Note::Ready { slot, device: "cpu".into(), device_name: "a chip".into() })
}

/// Run `n` goes to a worker.
fn handed(worker: Worker, n: usize) -> Vec<Command> {
    vec![
        Command::Append(What::Started { id: id(n), slot: worker.slot, attempt: 1 }),
        Command::Train(worker, id(n)),
        Command::Show(Note::Started { slot: worker.slot, id: id(n) }),
    ]
}

fn ended(slot: usize, n: usize, end: End, made: Provenance, how: &str, seconds: f64) -> Vec<Command> {
    vec![
        Command::Write(id(n), Box::new(end.clone()), Box::new(made)),
        Command::Append(What::Ended { id: id(n), how: how.into(), seconds }),
        Command::Show(Note::Ended { slot, id: id(n), end: Box::new(end), seconds }),
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
        assert_eq!(state.on(event, at(99)), []);
    }
}

#[test]
fn two_runs_on_one_slot_go_one_after_the_other() {
    let mut state = state(2, 1);
    let w = worker(0, 1);
    assert_eq!(state.start(), [Command::Spawn(w)]);
    assert_eq!(state.on(Event::From(w, ready()), at(1)), [vec![shown_ready(0)], handed(w, 0)].concat());
    let phase = Message::Phase { id: id(0), name: "train".into() };
    let shown = Command::Show(Note::Phase { slot: 0, id: id(0), name: "train".into() });
    assert_eq!(state.on(Event::From(w, phase), at(2)), [shown]);
    let step = Message::Step { id: id(0), step: 1, of: 9, loss: 0.5, examples_per_second: 10.0 };
    let shown = Note::Step { slot: 0, id: id(0), step: 1, of: 9, loss: 0.5, examples_per_second: 10.0 };
    assert_eq!(state.on(Event::From(w, step), at(3)), [Command::Show(shown)]);
    assert_eq!(state.on(Event::From(w, done(0)), at(5)), [was_done(0, 0, 4.0), handed(w, 1)].concat());
    assert_eq!(
        state.on(Event::From(w, done(1)), at(6)),
        [was_done(0, 1, 1.0), finished(2, 0, 0, Finish::Complete)].concat()
    );
    nothing_else(state);
}

#[test]
fn no_more_workers_than_runs_and_no_run_no_worker() {
    assert_eq!(state(2, 9).start(), [Command::Spawn(worker(0, 1)), Command::Spawn(worker(1, 1))]);
    let mut nothing = state(0, 2);
    assert_eq!(nothing.start(), finished(0, 0, 0, Finish::Complete));
    nothing_else(nothing);
}

#[test]
fn a_run_named_twice_is_done_once() {
    let mut state = State::new([(id(0), 1), (id(0), 1)], 2);
    assert_eq!(state.start(), [Command::Spawn(worker(0, 1))]);
    state.on(Event::From(worker(0, 1), ready()), at(0));
    let end = state.on(Event::From(worker(0, 1), done(0)), at(1));
    assert_eq!(end.last(), Some(&Command::Finish(Finish::Complete)));
    nothing_else(state);
}

#[test]
fn a_dead_worker_fails_its_run_and_is_replaced() {
    let mut state = state(2, 1);
    let (first, second) = (worker(0, 1), worker(0, 2));
    state.start();
    state.on(Event::From(first, ready()), at(1));
    state.on(Event::From(first, Message::Phase { id: id(0), name: "train".into() }), at(3));
    let made = Provenance {
        device: "cpu".into(),
        device_name: "a chip".into(),
        libtorch: "2.11.0".into(),
        threads: 2,
        attempt: 1,
        seconds: BTreeMap::from([("load".into(), 2.0), ("train".into(), 4.0)]),
        ..Provenance::default()
    };
    let end = End::Failed(Failure::Crashed { tail: "boom\n(killed by signal 11)".into() });
    assert_eq!(
        state.on(Event::Exited(first, killed()), at(7)),
        [ended(0, 0, end, made, "crashed", 6.0), vec![Command::Spawn(second)]].concat()
    );
    // Late words of the dead one change nothing.
    assert_eq!(state.on(Event::From(first, done(0)), at(8)), []);
    assert_eq!(state.on(Event::From(first, ready()), at(8)), []);
    assert_eq!(state.on(Event::Exited(first, killed()), at(8)), []);
    assert_eq!(state.on(Event::From(second, ready()), at(9)), [vec![shown_ready(0)], handed(second, 1)].concat());
    assert_eq!(
        state.on(Event::From(second, done(1)), at(10)),
        [was_done(0, 1, 1.0), finished(1, 1, 0, Finish::Complete)].concat()
    );
    nothing_else(state);
}

#[test]
fn the_last_run_may_crash_too() {
    let mut state = state(1, 1);
    state.start();
    state.on(Event::From(worker(0, 1), ready()), at(0));
    let commands = state.on(Event::Exited(worker(0, 1), killed()), at(1));
    assert_eq!(commands[3..], finished(0, 1, 0, Finish::Complete));
    nothing_else(state);
}

#[test]
fn an_answer_of_the_wrong_run_is_ignored() {
    let mut state = state(2, 1);
    state.start();
    let w = worker(0, 1);
    assert_eq!(state.on(Event::From(w, done(0)), at(0)), [], "nothing was handed out yet");
    state.on(Event::From(w, ready()), at(0));
    for message in [done(1), ready(), Message::Paused { id: id(1), step: 3 }] {
        assert_eq!(state.on(Event::From(w, message), at(1)), []);
    }
    assert_eq!(state.on(Event::From(worker(7, 1), done(0)), at(1)), [], "no such slot");
    assert_eq!(state.on(Event::From(w, done(0)), at(1)), [was_done(0, 0, 1.0), handed(w, 1)].concat());
    assert_eq!(state.on(Event::From(w, done(0)), at(1)), [], "a run ends once");
}

#[test]
fn a_failed_run_is_a_record_and_the_worker_lives_on() {
    let mut state = state(2, 1);
    let w = worker(0, 1);
    state.start();
    state.on(Event::From(w, ready()), at(0));
    let failure = Failure::Diverged { step: 3 };
    let message = Message::Failed { id: id(0), failure: failure.clone(), made: Box::new(own()) };
    assert_eq!(
        state.on(Event::From(w, message), at(2)),
        [ended(0, 0, End::Failed(failure), own(), "diverged", 2.0), handed(w, 1)].concat()
    );
}

#[test]
fn a_slot_without_luck_is_given_up_and_the_others_go_on() {
    let mut state = state(3, 2);
    state.start();
    let good = worker(1, 1);
    state.on(Event::From(good, ready()), at(0));
    assert_eq!(state.on(Event::Exited(worker(0, 1), killed()), at(1)), [Command::Spawn(worker(0, 2))]);
    assert_eq!(state.on(Event::Exited(worker(0, 2), killed()), at(2)), [Command::Spawn(worker(0, 3))]);
    let commands = state.on(Event::Exited(worker(0, 3), killed()), at(3));
    assert!(
        matches!(&commands[..], [Command::Show(Note::Warning(text))]
            if text.contains("slot 0 is given up") && text.contains("killed by signal 11: boom")),
        "{commands:?}"
    );
    for n in 0..2 {
        state.on(Event::From(good, done(n)), at(4));
    }
    let commands = state.on(Event::From(good, done(2)), at(5));
    assert_eq!(commands[3..], finished(3, 0, 0, Finish::Complete));
    nothing_else(state);
}

#[test]
fn without_any_worker_the_sweep_ends_with_the_reason() {
    let mut state = state(2, 1);
    state.start();
    state.on(Event::Exited(worker(0, 1), killed()), at(1));
    // One that was ready in between wipes the slate, even if it dies with its run.
    state.on(Event::From(worker(0, 2), ready()), at(1));
    state.on(Event::Exited(worker(0, 2), killed()), at(2));
    for life in 3..5 {
        let next = Command::Spawn(worker(0, life + 1));
        assert_eq!(state.on(Event::Exited(worker(0, life), killed()), at(2)), [next]);
    }
    assert_eq!(state.on(Event::Exited(worker(0, 5), killed()), at(3)), finished(0, 1, 1, Finish::NoWorkers(killed())));
    nothing_else(state);
}

#[test]
fn an_interrupt_pauses_what_runs_and_starts_nothing() {
    let mut state = state(4, 3);
    state.start();
    for slot in 0..2 {
        state.on(Event::From(worker(slot, 1), ready()), at(0));
    }
    let interrupted = Command::Show(Note::Interrupted { running: 2 });
    assert_eq!(
        state.on(Event::Interrupt, at(1)),
        [Command::Pause(worker(0, 1)), Command::Pause(worker(1, 1)), interrupted]
    );
    // The third was still starting: it gets nothing.
    assert_eq!(state.on(Event::From(worker(2, 1), ready()), at(1)), [shown_ready(2)]);
    assert_eq!(
        state.on(Event::From(worker(0, 1), Message::Paused { id: id(0), step: 7 }), at(2)),
        [
            Command::Append(What::Paused { id: id(0), step: 7 }),
            Command::Show(Note::Paused { slot: 0, id: id(0), step: 7 })
        ]
    );
    // The other reached its end before it saw the order.
    assert_eq!(
        state.on(Event::From(worker(1, 1), done(1)), at(3)),
        [was_done(1, 1, 3.0), finished(1, 0, 3, Finish::Interrupted)].concat()
    );
    nothing_else(state);
}

#[test]
fn a_worker_that_dies_while_pausing_is_not_replaced() {
    let mut state = state(2, 1);
    state.start();
    state.on(Event::From(worker(0, 1), ready()), at(0));
    state.on(Event::Interrupt, at(1));
    let commands = state.on(Event::Exited(worker(0, 1), killed()), at(2));
    assert_eq!(commands[3..], finished(0, 1, 1, Finish::Interrupted));
    nothing_else(state);
}

#[test]
fn a_second_interrupt_stops_at_once() {
    let mut state = state(3, 2);
    state.start();
    state.on(Event::From(worker(0, 1), ready()), at(0));
    state.on(Event::Interrupt, at(1));
    let kills = vec![Command::Kill(worker(0, 1)), Command::Kill(worker(1, 1))];
    assert_eq!(state.on(Event::Interrupt, at(1)), [kills, finished(0, 0, 3, Finish::Interrupted)].concat());
    nothing_else(state);
}

#[test]
fn an_interrupt_before_the_first_run_ends_it() {
    let mut state = state(1, 1);
    state.start();
    let interrupted = Command::Show(Note::Interrupted { running: 0 });
    assert_eq!(state.on(Event::Interrupt, at(0)), [vec![interrupted], finished(0, 0, 1, Finish::Interrupted)].concat());
    nothing_else(state);
}

/// Plays random events, sensible and senseless ones, and watches what the state does with the runs.
#[derive(Default)]
struct Watch {
    trains: HashMap<RunId, Worker>,
    writes: HashMap<RunId, usize>,
    finishes: usize,
}

impl Watch {
    fn see(&mut self, commands: &[Command]) {
        for command in commands {
            assert_eq!(self.finishes, 0, "{command:?} after the end");
            match command {
                Command::Train(worker, id) => {
                    assert!(self.trains.insert(id.clone(), *worker).is_none(), "{id} was handed out twice");
                }
                Command::Write(id, ..) => {
                    assert!(self.trains.contains_key(id), "{id} ended without having started");
                    *self.writes.entry(id.clone()).or_default() += 1;
                }
                Command::Finish(_) => self.finishes += 1,
                _ => {}
            }
        }
    }
}

proptest! {
    #[test]
    fn every_run_ends_at_most_once_and_none_is_lost(
        runs in 0usize..7,
        slots in 1usize..4,
        script in prop::collection::vec((0u8..16, 0usize..4, 0u32..5, 0usize..7), 0..120),
    ) {
        let mut state = state(runs, slots);
        let mut watch = Watch::default();
        watch.see(&state.start());
        for (second, (kind, slot, life, run)) in script.into_iter().enumerate() {
            // Mostly the slot's present worker and run; sometimes any.
            let place = state.slots.get(slot);
            let life = if life == 0 { second as u32 % 4 } else { place.map_or(1, |place| place.life) };
            let run = match place.map(|place| &place.seat) {
                Some(Seat::Running(running)) if run > 0 => running.id.clone(),
                _ => id(run),
            };
            let w = worker(slot, life);
            let event = match kind {
                0..5 => Event::From(w, ready()),
                5..11 => Event::From(w, Message::Done { id: run, outcome: Box::new(outcome()), made: Box::new(own()) }),
                11 => Event::From(w, Message::Paused { id: run, step: 1 }),
                12..15 => Event::Exited(w, killed()),
                _ if second % 5 == 0 => Event::Interrupt,
                _ => Event::From(w, Message::Phase { id: run, name: "train".into() }),
            };
            watch.see(&state.on(event, at(second as u64)));
        }
        prop_assert!(watch.writes.values().all(|&times| times == 1));
        // Every run is in the queue, under way, put aside, or has its one record.
        let running = state.slots.iter().filter(|slot| matches!(slot.seat, Seat::Running(_))).count();
        let counts = state.counts();
        prop_assert_eq!(counts.done + counts.failed, watch.writes.len());
        prop_assert_eq!(counts.done + counts.failed + counts.paused + running + state.queue.len(), runs);
        // And whatever came before, workers that answer bring it to an end.
        for second in 0..1000u64 {
            if watch.finishes > 0 { break }
            for slot in 0..slots {
                let w = worker(slot, state.slots[slot].life);
                let message = match &state.slots[slot].seat {
                    Seat::Running(running) => {
                        Message::Done { id: running.id.clone(), outcome: Box::new(outcome()), made: Box::new(own()) }
                    }
                    _ => ready(),
                };
                watch.see(&state.on(Event::From(w, message), at(200 + second)));
            }
        }
        prop_assert_eq!(watch.finishes, 1);
    }
}

#[test]
fn a_worker_that_ran_out_of_memory_says_so_with_its_last_words() {
    for (tail, said) in [
        (
            "step 3\nCUDA out of memory. Tried to allocate 2.00 GiB\nstack",
            Some("CUDA out of memory. Tried to allocate 2.00 GiB"),
        ),
        (
            "DefaultCPUAllocator: can't allocate memory: you tried",
            Some("DefaultCPUAllocator: can't allocate memory: you tried"),
        ),
        ("index out of range", None),
    ] {
        match (cause(&Exit { how: "killed by signal 6".into(), tail: tail.into() }), said) {
            (Failure::OutOfMemory { message }, Some(said)) => assert_eq!(message, said),
            (Failure::Crashed { tail }, None) => assert_eq!(tail, "index out of range\n(killed by signal 6)"),
            (other, _) => panic!("{tail}: {other:?}"),
        }
    }
}
