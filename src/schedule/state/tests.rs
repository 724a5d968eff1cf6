//! Scripts of events with the exact commands that must follow, and nothing else.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;

use super::*;
use crate::record::{Outcome, Scores, Stopped};

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
        Command::Train(worker, Errand { id: id(n), attempt, until: None, micro_batch }),
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

mod model;

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

#[test]
fn two_runs_on_one_slot_go_one_after_the_other() {
    let mut state = state(2, 1);
    let w = worker(0, 1);
    assert_eq!(state.start(), [Command::Spawn(w)]);
    assert_eq!(state.see(Event::From(w, ready()), at(1)), [vec![shown_ready(0)], handed(w, 0)].concat());
    let phase = Message::Phase { id: id(0), name: "train".into() };
    let shown = Command::Show(Note::Phase { slot: 0, id: id(0), name: "train".into() });
    assert_eq!(state.see(Event::From(w, phase), at(2)), [shown]);
    let step = Message::Step { id: id(0), step: 1, of: 9, loss: 0.5, examples_per_second: 10.0 };
    let shown = Note::Step { slot: 0, id: id(0), step: 1, of: 9, loss: 0.5, examples_per_second: 10.0 };
    assert_eq!(state.see(Event::From(w, step), at(3)), [Command::Show(shown)]);
    assert_eq!(state.see(Event::From(w, done(0)), at(5)), [was_done(0, 0, 4.0), handed(w, 1)].concat());
    assert_eq!(
        state.see(Event::From(w, done(1)), at(6)),
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
    let mut state = State::new([Ticket::new(id(0)), Ticket::new(id(0))], slots(2), Limits::default());
    assert_eq!(state.start(), [Command::Spawn(worker(0, 1))]);
    state.see(Event::From(worker(0, 1), ready()), at(0));
    let end = state.see(Event::From(worker(0, 1), done(0)), at(1));
    assert_eq!(end.last(), Some(&Command::Finish(Finish::Complete)));
    nothing_else(state);
}

#[test]
fn a_dead_worker_is_replaced_and_its_run_is_tried_once_more() {
    let mut state = state(2, 1);
    let (first, second, third) = (worker(0, 1), worker(0, 2), worker(0, 3));
    state.start();
    state.see(Event::From(first, ready()), at(1));
    state.see(Event::From(first, Message::Phase { id: id(0), name: "train".into() }), at(3));
    assert_eq!(
        state.see(Event::Exited(first, killed()), at(7)),
        [put_back(0, 0, 1, crash(), AGAIN), vec![Command::Spawn(second)]].concat()
    );
    // Late words of the dead one change nothing.
    assert_eq!(state.see(Event::From(first, done(0)), at(8)), []);
    assert_eq!(state.see(Event::From(first, ready()), at(8)), []);
    assert_eq!(state.see(Event::Exited(first, killed()), at(8)), []);
    let again = handed_again(second, 0, 2, None);
    assert_eq!(state.see(Event::From(second, ready()), at(9)), [vec![shown_ready(0)], again].concat());
    state.see(Event::From(second, Message::Phase { id: id(0), name: "train".into() }), at(11));
    let made = Provenance {
        device: "cpu".into(),
        device_name: "a chip".into(),
        libtorch: "2.11.0".into(),
        threads: 2,
        attempt: 2,
        seconds: BTreeMap::from([("load".into(), 2.0), ("train".into(), 4.0)]),
        ..Provenance::default()
    };
    assert_eq!(
        state.see(Event::Exited(second, killed()), at(15)),
        [ended(0, 0, End::Failed(crash()), made, "crashed", 6.0), vec![Command::Spawn(third)]].concat()
    );
    assert_eq!(state.see(Event::From(third, ready()), at(16)), [vec![shown_ready(0)], handed(third, 1)].concat());
    assert_eq!(
        state.see(Event::From(third, done(1)), at(17)),
        [was_done(0, 1, 1.0), finished(1, 1, 0, Finish::Complete)].concat()
    );
    nothing_else(state);
}

#[test]
fn the_last_run_may_crash_too() {
    let mut state = state(1, 1);
    state.start();
    for life in 1..=2 {
        state.see(Event::From(worker(0, life), ready()), at(0));
        let commands = state.see(Event::Exited(worker(0, life), killed()), at(1));
        match life {
            1 => assert_eq!(commands[2..], [Command::Spawn(worker(0, 2))]),
            _ => assert_eq!(commands[3..], finished(0, 1, 0, Finish::Complete)),
        }
    }
    nothing_else(state);
}

#[test]
fn an_answer_of_the_wrong_run_is_ignored() {
    let mut state = state(2, 1);
    state.start();
    let w = worker(0, 1);
    assert_eq!(state.see(Event::From(w, done(0)), at(0)), [], "nothing was handed out yet");
    state.see(Event::From(w, ready()), at(0));
    for message in [done(1), ready(), Message::Paused { id: id(1), step: 3 }] {
        assert_eq!(state.see(Event::From(w, message), at(1)), []);
    }
    assert_eq!(state.see(Event::From(worker(7, 1), done(0)), at(1)), [], "no such slot");
    assert_eq!(state.see(Event::From(w, done(0)), at(1)), [was_done(0, 0, 1.0), handed(w, 1)].concat());
    assert_eq!(state.see(Event::From(w, done(0)), at(1)), [], "a run ends once");
}

#[test]
fn a_failed_run_is_a_record_and_the_worker_lives_on() {
    let mut state = state(2, 1);
    let w = worker(0, 1);
    state.start();
    state.see(Event::From(w, ready()), at(0));
    let failure = Failure::Diverged { step: 3 };
    let message = Message::Failed { id: id(0), failure: failure.clone(), made: Box::new(own()) };
    assert_eq!(
        state.see(Event::From(w, message), at(2)),
        [ended(0, 0, End::Failed(failure), own(), "diverged", 2.0), handed(w, 1)].concat()
    );
}

#[test]
fn a_slot_without_luck_is_given_up_and_the_others_go_on() {
    let mut state = state(3, 2);
    state.start();
    let good = worker(1, 1);
    state.see(Event::From(good, ready()), at(0));
    assert_eq!(state.see(Event::Exited(worker(0, 1), killed()), at(1)), [Command::Spawn(worker(0, 2))]);
    assert_eq!(state.see(Event::Exited(worker(0, 2), killed()), at(2)), [Command::Spawn(worker(0, 3))]);
    let commands = state.see(Event::Exited(worker(0, 3), killed()), at(3));
    assert!(
        matches!(&commands[..], [Command::Show(Note::Warning(text))]
            if text.contains("slot 0 is given up") && text.contains("killed by signal 11: boom")),
        "{commands:?}"
    );
    for n in 0..2 {
        state.see(Event::From(good, done(n)), at(4));
    }
    let commands = state.see(Event::From(good, done(2)), at(5));
    assert_eq!(commands[3..], finished(3, 0, 0, Finish::Complete));
    nothing_else(state);
}

#[test]
fn without_any_worker_the_sweep_ends_with_the_reason() {
    let mut state = state(2, 1);
    state.start();
    state.see(Event::Exited(worker(0, 1), killed()), at(1));
    // One that was ready in between wipes the slate, even if it dies with its run.
    state.see(Event::From(worker(0, 2), ready()), at(1));
    state.see(Event::Exited(worker(0, 2), killed()), at(2));
    for life in 3..5 {
        let next = Command::Spawn(worker(0, life + 1));
        assert_eq!(state.see(Event::Exited(worker(0, life), killed()), at(2)), [next]);
    }
    assert_eq!(state.see(Event::Exited(worker(0, 5), killed()), at(3)), finished(0, 0, 2, Finish::NoWorkers(killed())));
    nothing_else(state);
}

#[test]
fn an_interrupt_pauses_what_runs_and_starts_nothing() {
    let mut state = state(4, 3);
    state.start();
    for slot in 0..2 {
        state.see(Event::From(worker(slot, 1), ready()), at(0));
    }
    let interrupted = Command::Show(Note::Stopping { why: Finish::Interrupted, running: 2 });
    assert_eq!(
        state.see(Event::Interrupt, at(1)),
        [Command::Pause(worker(0, 1)), Command::Pause(worker(1, 1)), interrupted]
    );
    // The third was still starting: it gets nothing.
    assert_eq!(state.see(Event::From(worker(2, 1), ready()), at(1)), [shown_ready(2)]);
    assert_eq!(
        state.see(Event::From(worker(0, 1), Message::Paused { id: id(0), step: 7 }), at(2)),
        [
            Command::Append(What::Paused { id: id(0), step: 7 }),
            Command::Show(Note::Paused { slot: 0, id: id(0), step: 7 })
        ]
    );
    // The other reached its end before it saw the order.
    assert_eq!(
        state.see(Event::From(worker(1, 1), done(1)), at(3)),
        [was_done(1, 1, 3.0), finished(1, 0, 3, Finish::Interrupted)].concat()
    );
    nothing_else(state);
}

#[test]
fn a_worker_that_dies_while_pausing_is_not_replaced() {
    let mut state = state(2, 1);
    state.start();
    state.see(Event::From(worker(0, 1), ready()), at(0));
    state.see(Event::Interrupt, at(1));
    let put_back = put_back(0, 0, 1, crash(), AGAIN);
    let commands = state.see(Event::Exited(worker(0, 1), killed()), at(2));
    assert_eq!(commands, [put_back, finished(0, 0, 2, Finish::Interrupted)].concat());
    nothing_else(state);
}

#[test]
fn a_second_interrupt_stops_at_once() {
    let mut state = state(3, 2);
    state.start();
    state.see(Event::From(worker(0, 1), ready()), at(0));
    state.see(Event::Interrupt, at(1));
    let kills = vec![Command::Kill(worker(0, 1)), Command::Kill(worker(1, 1))];
    assert_eq!(state.see(Event::Interrupt, at(1)), [kills, finished(0, 0, 3, Finish::Interrupted)].concat());
    nothing_else(state);
}

#[test]
fn an_interrupt_before_the_first_run_ends_it() {
    let mut state = state(1, 1);
    state.start();
    let interrupted = Command::Show(Note::Stopping { why: Finish::Interrupted, running: 0 });
    assert_eq!(
        state.see(Event::Interrupt, at(0)),
        [vec![interrupted], finished(0, 0, 1, Finish::Interrupted)].concat()
    );
    nothing_else(state);
}

fn failed(n: usize, failure: Failure) -> Message {
    Message::Failed { id: id(n), failure, made: Box::new(own()) }
}

fn oom() -> Failure {
    Failure::OutOfMemory { message: "no memory".into() }
}

#[test]
fn memory_is_eased_behind_the_others_then_alone_then_by_smaller_passes() {
    let mut state = state(3, 2);
    let (a, b) = (worker(0, 1), worker(1, 1));
    state.start();
    state.see(Event::From(a, ready()), at(0));
    state.see(Event::From(b, ready()), at(0));
    // Run 0 finds no memory while run 1 is there: behind run 2, in a new process.
    let behind = put_back(0, 0, 1, oom(), "again, behind the others");
    assert_eq!(state.see(Event::From(a, failed(0, oom())), at(1)), [vec![Command::Kill(a)], behind].concat());
    assert_eq!(state.see(Event::Exited(a, killed()), at(1)), [Command::Spawn(worker(0, 2))]);
    let a = worker(0, 2);
    assert_eq!(state.see(Event::From(a, ready()), at(1)), [vec![shown_ready(0)], handed(a, 2)].concat());
    assert_eq!(state.see(Event::From(a, done(2)), at(2)), [was_done(0, 2, 1.0), handed_again(a, 0, 2, None)].concat());
    // Again, and run 1 is still there: alone now, so it waits for run 1's end, and run 1's worker goes.
    let alone = put_back(0, 0, 2, oom(), "alone on its device");
    assert_eq!(state.see(Event::From(a, failed(0, oom())), at(3)), [vec![Command::Kill(a)], alone].concat());
    state.see(Event::Exited(a, killed()), at(3));
    let a = worker(0, 3);
    assert_eq!(state.see(Event::From(a, ready()), at(3)), [shown_ready(0)]);
    assert_eq!(state.see(Event::From(b, done(1)), at(9)), [was_done(1, 1, 9.0), vec![Command::Kill(b)]].concat());
    // Its memory is there when the process is gone, and nothing starts beside it.
    assert_eq!(state.see(Event::Exited(b, killed()), at(9)), handed_again(a, 0, 3, None));
    // Alone and still too large: half of sixteen, then a quarter.
    for (life, attempt, rows) in [(3, 3, 8), (4, 4, 4)] {
        let w = worker(0, life);
        let next = format!("alone, in passes of {rows} examples; the batch of a step stays as it is");
        let smaller = put_back(0, 0, attempt, oom(), &next);
        assert_eq!(state.see(Event::From(w, failed(0, oom())), at(10)), [vec![Command::Kill(w)], smaller].concat());
        assert_eq!(state.see(Event::Exited(w, killed()), at(10)), [Command::Spawn(worker(0, life + 1))]);
        let next = handed_again(worker(0, life + 1), 0, attempt + 1, Some(rows));
        assert_eq!(state.see(Event::From(worker(0, life + 1), ready()), at(10)), [vec![shown_ready(0)], next].concat());
    }
    assert_eq!(
        state.see(Event::From(worker(0, 5), done(0)), at(12)),
        [was_done(0, 0, 2.0), finished(3, 0, 0, Finish::Complete)].concat()
    );
    nothing_else(state);
}

#[test]
fn what_waits_for_a_whole_device_is_lost_neither_with_its_slot_nor_to_the_user() {
    let alone = |n| Ticket { ease: Ease::Alone, ..Ticket::new(id(n)) };
    let begin = || {
        let mut state = State::new([Ticket::new(id(1)), alone(0)], slots(2), Limits::default());
        state.start();
        state.see(Event::From(worker(0, 1), ready()), at(0));
        // Run 1 is on the device, so run 0 waits in slot 1.
        assert_eq!(state.see(Event::From(worker(1, 1), ready()), at(0)), [shown_ready(1)]);
        state
    };
    let mut state = begin();
    assert_eq!(state.see(Event::Exited(worker(1, 1), killed()), at(1)), [Command::Spawn(worker(1, 2))]);
    assert_eq!(state.see(Event::From(worker(1, 2), ready()), at(1)), [shown_ready(1)]);
    let commands = state.see(Event::From(worker(0, 1), done(1)), at(2));
    assert_eq!(commands[3..], [Command::Kill(worker(0, 1))]);
    assert_eq!(state.see(Event::Exited(worker(0, 1), killed()), at(2)), handed(worker(1, 2), 0));

    let mut state = begin();
    let commands = state.see(Event::Cancel(id(0)), at(1));
    assert!(
        matches!(&commands[0], Command::Write(run, end, _) if *run == id(0) && **end == End::Failed(Failure::Cancelled))
    );
    let commands = state.see(Event::From(worker(0, 1), done(1)), at(2));
    assert_eq!(commands[3..], finished(1, 1, 0, Finish::Complete));
}

#[test]
fn memory_may_be_forbidden_to_be_eased() {
    let mut state = with(2, 1, Limits { oom_fails: true, ..Limits::default() });
    let w = worker(0, 1);
    state.start();
    state.see(Event::From(w, ready()), at(0));
    let end = ended(0, 0, End::Failed(oom()), own(), "out of memory", 1.0);
    assert_eq!(state.see(Event::From(w, failed(0, oom())), at(1)), [vec![Command::Kill(w)], end].concat());
    assert_eq!(state.see(Event::Exited(w, killed()), at(1)), [Command::Spawn(worker(0, 2))]);
}

#[test]
fn a_run_that_takes_too_long_or_falls_silent_is_stopped() {
    let seconds = |n| Some(Duration::from_secs(n));
    let limits = Limits { timeout: seconds(100), stall: seconds(10), ..Limits::default() };
    let mut state = with(1, 1, limits);
    let w = worker(0, 1);
    state.start();
    state.see(Event::From(w, ready()), at(0));
    for second in 1..=12 {
        let step = Message::Step { id: id(0), step: second, of: 99, loss: 0.5, examples_per_second: 1.0 };
        state.see(Event::From(w, step), at(second.into()));
        assert_eq!(state.see(Event::Tick, at(second.into())), []);
    }
    assert_eq!(state.see(Event::Tick, at(22)), []);
    assert_eq!(state.see(Event::Tick, at(23)), [Command::Kill(w)]);
    assert_eq!(state.see(Event::Tick, at(24)), [], "killed once");
    let silent = Failure::TimedOut { message: "its worker said nothing for 10 s (stall)".into() };
    let w = worker(0, 2);
    assert_eq!(
        state.see(Event::Exited(worker(0, 1), killed()), at(24)),
        [put_back(0, 0, 1, silent, AGAIN), vec![Command::Spawn(w)]].concat()
    );
    state.see(Event::From(w, ready()), at(30));
    for second in 31..=130 {
        state.see(Event::From(w, Message::Phase { id: id(0), name: "train".into() }), at(second));
        assert_eq!(state.see(Event::Tick, at(second)), []);
    }
    state.see(Event::From(w, Message::Phase { id: id(0), name: "train".into() }), at(131));
    assert_eq!(state.see(Event::Tick, at(131)), [Command::Kill(w)]);
    let commands = state.see(Event::Exited(w, killed()), at(131));
    let long = Failure::TimedOut { message: "it took longer than timeout = 100 s allows".into() };
    assert!(matches!(&commands[0], Command::Write(_, end, _) if **end == End::Failed(long.clone())), "{commands:?}");
    assert_eq!(commands[3..], finished(0, 1, 0, Finish::Complete));
    nothing_else(state);
}

#[test]
fn a_run_can_be_cancelled_while_it_waits_and_while_it_runs() {
    let mut state = state(3, 1);
    let w = worker(0, 1);
    state.start();
    state.see(Event::From(w, ready()), at(0));
    let made = Provenance { attempt: 1, ..Provenance::default() };
    assert_eq!(
        state.see(Event::Cancel(id(1)), at(1)),
        [
            Command::Write(id(1), Box::new(End::Failed(Failure::Cancelled)), Box::new(made)),
            Command::Append(What::Ended { id: id(1), how: "cancelled".into(), seconds: 0.0 }),
            Command::Show(Note::Cancelled { id: id(1) }),
        ]
    );
    assert_eq!(state.see(Event::Cancel(id(1)), at(1)), [], "it is over");
    assert_eq!(state.see(Event::Cancel(id(0)), at(2)), [Command::Kill(w)]);
    let commands = state.see(Event::Exited(w, killed()), at(2));
    assert!(matches!(&commands[0], Command::Write(_, end, _) if **end == End::Failed(Failure::Cancelled)));
    assert_eq!(commands[3..], [Command::Spawn(worker(0, 2))]);
    state.see(Event::From(worker(0, 2), ready()), at(3));
    assert_eq!(
        state.see(Event::From(worker(0, 2), done(2)), at(4)),
        [was_done(0, 2, 1.0), finished(1, 2, 0, Finish::Complete)].concat()
    );
    nothing_else(state);
}

#[test]
fn what_is_held_goes_to_a_checkpoint_and_on_again() {
    let mut state = state(2, 1);
    let w = worker(0, 1);
    state.start();
    state.see(Event::From(w, ready()), at(0));
    let held = [
        Command::Pause(w),
        Command::Append(What::Held { why: "no room".into() }),
        Command::Show(Note::Held { why: "no room".into(), running: 1 }),
    ];
    assert_eq!(state.see(Event::Hold("no room".into()), at(1)), held);
    assert_eq!(state.see(Event::Hold("no room".into()), at(1)), [], "told once");
    let paused = [
        Command::Append(What::Paused { id: id(0), step: 7 }),
        Command::Show(Note::Paused { slot: 0, id: id(0), step: 7 }),
    ];
    assert_eq!(state.see(Event::From(w, Message::Paused { id: id(0), step: 7 }), at(2)), paused);
    assert_eq!(state.see(Event::Tick, at(3)), [], "it waits");
    let released = vec![Command::Append(What::Released), Command::Show(Note::Released)];
    assert_eq!(state.see(Event::Release, at(4)), [released, handed(w, 0)].concat());
    // An interrupt ends a sweep that is held, too.
    state.see(Event::Hold("no room".into()), at(5));
    state.see(Event::From(w, Message::Paused { id: id(0), step: 9 }), at(6));
    let stopping = Command::Show(Note::Stopping { why: Finish::Interrupted, running: 0 });
    assert_eq!(state.see(Event::Interrupt, at(7)), [vec![stopping], finished(0, 0, 2, Finish::Interrupted)].concat());
    nothing_else(state);
}

#[test]
fn a_worker_that_was_told_to_end_by_others_gives_its_run_to_the_next() {
    let mut state = state(1, 1);
    let w = worker(0, 1);
    state.start();
    state.see(Event::From(w, ready()), at(0));
    let commands = state.see(Event::From(w, Message::Paused { id: id(0), step: 3 }), at(1));
    assert_eq!(commands[2..], [Command::Kill(w)]);
    assert_eq!(state.see(Event::Exited(w, killed()), at(1)), [Command::Spawn(worker(0, 2))]);
    let again = state.see(Event::From(worker(0, 2), ready()), at(2));
    assert_eq!(again, [vec![shown_ready(0)], handed(worker(0, 2), 0)].concat());
}

#[test]
fn too_many_failures_end_the_sweep() {
    let mut state = with(9, 1, Limits { max_fail: Some(2), ..Limits::default() });
    let w = worker(0, 1);
    state.start();
    state.see(Event::From(w, ready()), at(0));
    let diverged = |n| Event::From(w, failed(n, Failure::Diverged { step: 3 }));
    state.see(diverged(0), at(1));
    state.see(Event::From(w, done(1)), at(1));
    let commands = state.see(diverged(2), at(1));
    let why = Finish::TooManyFailed("2 runs failed, and max_fail is 2".into());
    let stopping = Command::Show(Note::Stopping { why: why.clone(), running: 0 });
    assert_eq!(commands[3..], [vec![stopping], finished(1, 2, 6, why)].concat());
    nothing_else(state);
}

#[test]
fn three_first_runs_that_die_alike_end_the_sweep_at_once() {
    let refused = |n: usize| Failure::Refused { message: format!("data/x.tsv:{n}: no such column") };
    let mut alike = state(9, 1);
    let w = worker(0, 1);
    alike.start();
    alike.see(Event::From(w, ready()), at(0));
    alike.see(Event::From(w, failed(0, refused(0))), at(1));
    alike.see(Event::From(w, failed(1, refused(1))), at(1));
    let commands = alike.see(Event::From(w, failed(2, refused(2))), at(1));
    let why = Finish::TooManyFailed("the first 3 runs all failed alike".into());
    assert_eq!(commands.last(), Some(&Command::Finish(why)));
    nothing_else(alike);

    // One that is done, or dies of something else, or diverges: the sweep goes on.
    for other in [done(1), failed(1, Failure::Refused { message: "no labels".into() })] {
        let mut state = state(9, 1);
        state.start();
        state.see(Event::From(w, ready()), at(0));
        state.see(Event::From(w, failed(0, refused(0))), at(1));
        state.see(Event::From(w, other), at(1));
        for n in [2, 3, 4] {
            let commands = state.see(Event::From(w, failed(n, refused(n))), at(1));
            assert!(!matches!(commands.last(), Some(Command::Finish(_))), "{commands:?}");
        }
    }
    let mut state = state(9, 1);
    state.start();
    state.see(Event::From(w, ready()), at(0));
    for n in 0..8 {
        let commands = state.see(Event::From(w, failed(n, Failure::Diverged { step: 1 })), at(1));
        assert_eq!(commands[3..], handed(w, n + 1), "divergence is a result");
    }
}

#[test]
fn nothing_starts_that_does_not_fit_into_the_time_that_is_left() {
    let ticket = |n, seconds| Ticket { estimate: Some(seconds), shape: n as u32, ..Ticket::new(id(n)) };
    let limits = Limits { budget: Some(Duration::from_secs(100)), ..Limits::default() };
    let tickets = [ticket(0, 60.0), ticket(1, 90.0), ticket(2, 30.0), ticket(3, 30.0)];
    let mut state = State::new(tickets, slots(1), limits);
    let w = worker(0, 1);
    state.start();
    assert_eq!(state.see(Event::From(w, ready()), at(0)), [vec![shown_ready(0)], handed(w, 0)].concat());
    // 40 seconds are left: not for run 1.
    assert_eq!(state.see(Event::From(w, done(0)), at(60)), [was_done(0, 0, 60.0), handed(w, 2)].concat());
    assert_eq!(
        state.see(Event::From(w, done(2)), at(85)),
        [was_done(0, 2, 25.0), finished(2, 0, 2, Finish::OutOfTime)].concat()
    );
    nothing_else(state);

    // One that takes longer than it should goes to a checkpoint when time is up.
    let mut state = State::new([ticket(0, 60.0)], slots(1), limits);
    state.start();
    state.see(Event::From(w, ready()), at(0));
    assert_eq!(state.see(Event::Tick, at(99)), []);
    let stopping = Command::Show(Note::Stopping { why: Finish::OutOfTime, running: 1 });
    assert_eq!(state.see(Event::Tick, at(100)), [Command::Pause(w), stopping]);
    assert_eq!(state.see(Event::Tick, at(101)), []);
    let commands = state.see(Event::From(w, Message::Paused { id: id(0), step: 5 }), at(102));
    assert_eq!(commands[2..], finished(0, 0, 1, Finish::OutOfTime));
    nothing_else(state);
}

#[test]
fn a_rule_lets_runs_wait_sends_them_on_ends_them_and_adds_others() {
    let half_way = || Provenance { seconds: [("train".to_owned(), 7.0)].into(), attempt: 1, ..Provenance::default() };
    let first = Ticket { until: Some(5), ..Ticket::new(id(0)) };
    let second = Ticket { until: Some(5), ..Ticket::new(id(1)) };
    let mut state = State::new([first.clone(), second], slots(1), Limits::default()).open();
    let w = worker(0, 1);
    state.start();
    state.see(Event::From(w, ready()), at(0));
    let reached = |n| Message::Reached {
        id: id(n),
        step: 5,
        of: 9,
        metric: "f1".into(),
        dev: Scores::new(),
        halves: None,
        made: Box::new(half_way()),
    };
    let train = |n, until| Command::Train(w, Errand { id: id(n), attempt: 1, until, micro_batch: None });
    let commands = state.see(Event::From(w, reached(0)), at(1));
    assert_eq!(
        commands[0],
        Command::Append(What::Reached {
            id: id(0),
            step: 5,
            of: 9,
            metric: "f1".into(),
            dev: Scores::new(),
            halves: None
        })
    );
    assert!(commands.contains(&train(1, Some(5))), "{commands:?}");
    assert!(!state.see(Event::From(w, reached(1)), at(2)).iter().any(|c| matches!(c, Command::Finish(_))));
    assert!(state.is_idle());
    // The first goes on to its end, a third run is added, the second is ended.
    let commands = state.see(Event::Admit(vec![Ticket { until: None, ..first }, Ticket::new(id(2))]), at(3));
    assert!(commands.contains(&train(0, None)), "{commands:?}");
    let stopped =
        Stopped { rule: "asha".into(), step: 5, of: 9, metric: "f1".into(), dev: Scores::new(), halves: None };
    let end = End::Stopped(stopped);
    let retired = |n: usize, made: Provenance| {
        [
            Command::Write(id(n), Box::new(end.clone()), Box::new(made)),
            Command::Append(What::Ended { id: id(n), how: "stopped".into(), seconds: 0.0 }),
            Command::Show(Note::Retired { id: id(n), rule: "asha".into() }),
        ]
    };
    // With what its worker said of itself.
    assert_eq!(state.see(Event::Retire(id(1), end.clone()), at(3)), retired(1, half_way()));
    assert_eq!(state.see(Event::Retire(id(0), end.clone()), at(3)), [], "it runs");
    // One that was parked when an earlier coordinator went.
    let made = Provenance { attempt: 1, ..Provenance::default() };
    assert_eq!(state.see(Event::Retire(id(7), end.clone()), at(3)), retired(7, made));
    // Its worker counts the time before it was parked, by its checkpoint.
    assert_eq!(state.see(Event::From(w, done(0)), at(4)), [was_done(0, 0, 1.0), handed(w, 2)].concat());
    assert_eq!(state.see(Event::From(w, done(2)), at(5)), was_done(0, 2, 1.0), "the rule may have more");
    let counts = Counts { done: 2, stopped: 2, total: 4, ..Counts::default() };
    assert_eq!((state.see(Event::Close, at(5)), state.counts()), (finished(2, 0, 0, Finish::Complete), counts));
    nothing_else(state);
}

/// A run of this footprint, which took so much of its device.
fn done_with(n: usize, mib: f64) -> (Message, Provenance) {
    let made = Provenance { peak_device_memory_mib: Some(mib), ..own() };
    (Message::Done { id: id(n), outcome: Box::new(outcome()), made: Box::new(made.clone()) }, made)
}

#[test]
fn as_many_runs_share_a_device_as_one_that_was_alone_says_fit() {
    let tickets = (0..6).map(|n| Ticket::new(id(n)));
    let place = Place { device: 0, room: Some(100) };
    let mut state = State::new(tickets, vec![place; 4], Limits::default());
    let w = |slot| worker(slot, 1);
    // Nobody knows what they take: one worker, and one run.
    assert_eq!(state.start(), [Command::Spawn(w(0))]);
    assert_eq!(state.see(Event::From(w(0), ready()), at(0)), [vec![shown_ready(0)], handed(w(0), 0)].concat());
    let (first, made) = done_with(0, 39.5);
    let end = ended(0, 0, End::Done(outcome()), made, "done", 5.0);
    // 40 of 100: two fit. The second worker starts, and no third.
    let next = [handed(w(0), 1), vec![Command::Spawn(w(1))]].concat();
    assert_eq!(state.see(Event::From(w(0), first), at(5)), [end, next].concat());
    assert_eq!(state.see(Event::From(w(1), ready()), at(6)), [vec![shown_ready(1)], handed(w(1), 2)].concat());
    assert_eq!(state.see(Event::Tick, at(7)), []);
    // One takes more than those before it, so no second has room beside it.
    let (larger, made) = done_with(1, 61.0);
    let end = ended(0, 1, End::Done(outcome()), made, "done", 5.0);
    assert_eq!(state.see(Event::From(w(0), larger), at(10)), end);
    assert_eq!(
        state.see(Event::From(w(1), done(2)), at(11)),
        [was_done(1, 2, 5.0), vec![Command::Kill(w(1))]].concat()
    );
    assert_eq!(state.see(Event::Exited(w(1), killed()), at(11)), handed(w(0), 3));
}

#[test]
fn records_tell_what_runs_take_before_the_first_one_starts() {
    let tickets = (0..3).map(|n| Ticket { memory: Some(50), ..Ticket::new(id(n)) });
    let mut state = State::new(tickets, vec![Place { device: 0, room: Some(100) }; 3], Limits::default());
    state.start();
    for slot in 0..2 {
        let w = worker(slot, 1);
        let next = if slot == 0 { vec![Command::Spawn(worker(1, 1))] } else { Vec::new() };
        assert_eq!(
            state.see(Event::From(w, ready()), at(0)),
            [vec![shown_ready(slot)], handed(w, slot), next].concat()
        );
    }
}

#[test]
fn a_slot_may_be_added_later() {
    let mut state = state(2, 1);
    state.start();
    state.see(Event::From(worker(0, 1), ready()), at(0));
    assert_eq!(state.see(Event::Open(Place::default()), at(1)), [Command::Spawn(worker(1, 1))]);
    let second = worker(1, 1);
    assert_eq!(state.see(Event::From(second, ready()), at(2)), [vec![shown_ready(1)], handed(second, 1)].concat());
}

#[test]
fn the_time_left_is_that_of_what_waits_and_of_what_runs() {
    let ticket = |n, shape, estimate| Ticket { shape, estimate, ..Ticket::new(id(n)) };
    let tickets = [ticket(0, 0, Some(10.0)), ticket(1, 0, None), ticket(2, 1, None)];
    let mut state = State::new(tickets, slots(1), Limits::default());
    let w = worker(0, 1);
    assert_eq!(state.eta(at(0)), None, "nothing is known of the other shape");
    state.start();
    state.see(Event::From(w, ready()), at(0));
    // By its steps the run takes 20 seconds, four of which are over.
    for (second, step) in [(2, 10), (4, 20)] {
        let step = Message::Step { id: id(0), step, of: 100, loss: 0.5, examples_per_second: 1.0 };
        state.see(Event::From(w, step), at(second));
    }
    state.see(Event::From(w, done(0)), at(20));
    // Both shapes are taken to be as long as what was measured: one just began, one waits.
    assert_eq!(state.eta(at(20)), Some(40.0));
    assert_eq!(state.eta(at(25)), Some(35.0));
}

/// Plays random events, sensible and senseless ones, and watches what the state does with the runs.
#[derive(Default)]
struct Watch {
    under_way: HashMap<RunId, Worker>,
    attempts: HashMap<RunId, u32>,
    writes: HashMap<RunId, usize>,
    finishes: usize,
    /// MiB that each worker ever had of its device.
    had: HashMap<Worker, u32>,
}

impl Watch {
    fn see(&mut self, commands: &[Command]) {
        for command in commands {
            assert_eq!(self.finishes, 0, "{command:?} after the end");
            match command {
                Command::Train(worker, Errand { id, attempt, .. }) => {
                    assert!(self.under_way.insert(id.clone(), *worker).is_none(), "{id} runs twice at once");
                    let had = self.had.entry(*worker).or_default();
                    *had = takes(id).max(*had);
                    assert!(!self.writes.contains_key(id), "{id} has a record, and runs again");
                    let last = self.attempts.insert(id.clone(), *attempt);
                    assert!(last.is_none_or(|last| last <= *attempt), "attempts only grow");
                }
                Command::Append(What::Paused { id, .. } | What::PutBack { id, .. } | What::Reached { id, .. }) => {
                    assert!(self.under_way.remove(id).is_some(), "{id} did not run");
                }
                Command::Write(id, ..) => {
                    self.under_way.remove(id);
                    *self.writes.entry(id.clone()).or_default() += 1;
                }
                Command::Finish(_) => self.finishes += 1,
                _ => {}
            }
        }
    }
}

/// MiB that a run takes of its device.
fn takes(id: &RunId) -> u32 {
    id.0.parse::<usize>().map_or(0, |n| [9, 30, 56][n % 3])
}

/// A run of that kind is done, and it was seen what it took, or not.
fn done_and_weighed(id: RunId, seen: bool) -> Message {
    let made = Provenance { peak_device_memory_mib: seen.then(|| f64::from(takes(&id)) - 0.5), ..own() };
    Message::Done { id, outcome: Box::new(outcome()), made: Box::new(made) }
}

/// Processes that share a device fit into its room together, by the most that each ever had; who is alone, is.
fn memory_is_kept(state: &State, had: &HashMap<Worker, u32>) -> Result<(), TestCaseError> {
    for device in 0..2 {
        let here: Vec<&Slot> = state.slots.iter().filter(|slot| slot.place.device == device).collect();
        let running: Vec<&Running> = here.iter().filter_map(|slot| slot.running()).collect();
        if running.iter().any(|running| running.alone) {
            prop_assert_eq!(running.len(), 1);
            let others = here.iter().filter(|slot| matches!(slot.seat, Seat::Idle | Seat::Leaving)).count();
            prop_assert_eq!(others, 0, "an idle worker holds memory beside a run that must be alone");
        } else if let (Some(room), 2..) = (here.first().and_then(|slot| slot.place.room), running.len()) {
            let mut taken = 0;
            for (slot, found) in state.slots.iter().enumerate().filter(|(_, slot)| slot.place.device == device) {
                let is_alive = !matches!(found.seat, Seat::Empty);
                taken += had.get(&Worker { slot, life: found.life }).filter(|_| is_alive).unwrap_or(&0);
            }
            prop_assert!(taken <= room, "{taken} of {room} MiB");
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_run_ends_at_most_once_and_none_is_lost(
        runs in 0usize..7,
        places in prop::collection::vec(0usize..2, 1..4),
        rooms in prop::array::uniform2(prop::option::of(0u32..100)),
        script in prop::collection::vec((0u8..26, 0usize..4, 0u32..5, 0usize..7), 0..120),
    ) {
        // Three kinds of runs, of which one was measured before.
        let ticket = |n: usize| Ticket { rows: 4, footprint: n as u32 % 3, memory: n.is_multiple_of(3).then_some(9), ..Ticket::new(id(n)) };
        let tickets = (0..runs).map(ticket);
        let places: Vec<Place> = places.into_iter().map(|device| Place { device, room: rooms[device] }).collect();
        let slots = places.len();
        let mut state = State::new(tickets, places, Limits::default());
        let mut watch = Watch::default();
        watch.see(&state.start());
        for (second, (kind, slot, life, run)) in script.into_iter().enumerate() {
            // Mostly the slot's present worker and run; sometimes any.
            let place = state.slots.get(slot);
            let life = if life == 0 { second as u32 % 4 } else { place.map_or(1, |place| place.life) };
            let number = run;
            let run = match place.and_then(Slot::running) {
                Some(running) if run > 0 => running.ticket.id.clone(),
                _ => id(run),
            };
            let w = worker(slot, life);
            let event = match kind {
                0..5 => Event::From(w, ready()),
                5..11 => Event::From(w, done_and_weighed(run, second % 4 != 0)),
                11 => Event::From(w, Message::Paused { id: run, step: 1 }),
                12..15 => Event::Exited(w, killed()),
                15..18 => Event::From(w, Message::Failed { id: run, failure: oom(), made: Box::new(own()) }),
                18 => Event::From(w, Message::Failed { id: run, failure: crash(), made: Box::new(own()) }),
                19 => Event::Cancel(id(number)),
                20 => Event::Hold("a reason".into()),
                21..23 => Event::Release,
                23 => Event::Tick,
                _ if second % 5 == 0 => Event::Interrupt,
                _ => Event::From(w, Message::Phase { id: run, name: "train".into() }),
            };
            watch.see(&state.on(event, at(second as u64)));
            memory_is_kept(&state, &watch.had)?;
        }
        prop_assert!(watch.writes.values().all(|&times| times == 1));
        // Every run is in the queue, under way, put aside, or has its one record.
        let running = state.slots.iter().filter(|slot| slot.running().is_some()).count();
        let reserved = state.slots.iter().filter(|slot| slot.waiting.is_some()).count();
        let counts = state.counts();
        prop_assert_eq!(counts.done + counts.failed, watch.writes.len());
        let ended = counts.done + counts.failed + counts.paused;
        prop_assert_eq!(ended + running + reserved + state.queue.len(), runs);
        // And whatever came before, workers that answer bring it to an end.
        watch.see(&state.on(Event::Release, at(150)));
        for second in 0..1000u64 {
            if watch.finishes > 0 { break }
            for slot in 0..slots {
                let w = worker(slot, state.slots[slot].life);
                let event = match &state.slots[slot].seat {
                    Seat::Running(running) => Event::From(w, done_and_weighed(running.ticket.id.clone(), second % 4 != 0)),
                    Seat::Leaving => Event::Exited(w, killed()),
                    _ => Event::From(w, ready()),
                };
                watch.see(&state.on(event, at(200 + second)));
                memory_is_kept(&state, &watch.had)?;
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
        match (Exit { how: "killed by signal 6".into(), signal: Some(6), tail: tail.into() }.cause(), said) {
            (Failure::OutOfMemory { message }, Some(said)) => assert_eq!(message, said),
            (Failure::Crashed { tail }, None) => assert_eq!(tail, "index out of range\n(killed by signal 6)"),
            (other, _) => panic!("{tail}: {other:?}"),
        }
    }
}
