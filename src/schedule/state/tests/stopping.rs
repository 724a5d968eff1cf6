//! Interrupts, holds, and a time that is up.

use super::*;

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
