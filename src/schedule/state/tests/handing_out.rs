//! Runs reach workers, one after the other.

use super::*;

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

#[test]
fn a_part_of_a_run_takes_its_share_of_the_time() {
    let part = |n, share| Ticket { share, until: Some(5), estimate: Some(100.0), ..Ticket::new(id(n)) };
    let mut state = State::new([part(0, 0.25), part(1, 0.5)], slots(1), Limits::default());
    let w = worker(0, 1);
    assert_eq!(state.eta(at(0)), Some(75.0));
    state.start();
    state.see(Event::From(w, ready()), at(0));
    let rung = Rung { step: 5, of: 20, metric: "f1".into(), dev: Scores::new(), halves: None };
    let reached = Message::Reached { id: id(0), rung: Box::new(rung), made: Box::new(own()) };
    state.see(Event::From(w, reached), at(30));
    assert_eq!(state.eta(at(30)), Some(60.0), "a whole run takes 120 s");
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
    let rung = Rung { step: 5, of: 9, metric: "f1".into(), dev: Scores::new(), halves: None };
    let at_rung = || Box::new(rung.clone());
    let reached = |n| Message::Reached { id: id(n), rung: at_rung(), made: Box::new(half_way()) };
    let train = |n, until| Command::Train(w, vec![Errand { id: id(n), attempt: 1, until, micro_batch: None }]);
    let commands = state.see(Event::From(w, reached(0)), at(1));
    assert_eq!(commands[0], Command::Append(What::Reached { id: id(0), rung: at_rung() }));
    assert!(commands.contains(&train(1, Some(5))), "{commands:?}");
    assert!(!state.see(Event::From(w, reached(1)), at(2)).iter().any(|c| matches!(c, Command::Finish(_))));
    assert!(state.is_idle());
    // The first goes on to its end, a third run is added, the second is ended.
    let commands = state.see(Event::Admit(vec![Ticket { until: None, ..first }, Ticket::new(id(2))]), at(3));
    assert!(commands.contains(&train(0, None)), "{commands:?}");
    let end = End::Stopped(Stopped { rule: "asha".into(), at: rung.clone() });
    let retired = |n: usize, made: Provenance| {
        [
            Command::Write(id(n), Box::new(end.clone()), Box::new(made)),
            Command::Append(What::Ended { id: id(n), how: "stopped".into(), seconds: 0.0 }),
            Command::Show(Note::Retired { id: id(n), rule: "asha".into() }),
        ]
    };
    // With what its worker said of itself.
    assert_eq!(state.see(Event::Retire(id(1), Box::new(end.clone())), at(3)), retired(1, half_way()));
    assert_eq!(state.see(Event::Retire(id(0), Box::new(end.clone())), at(3)), [], "it runs");
    // One that was parked when an earlier coordinator went.
    let made = Provenance { attempt: 1, ..Provenance::default() };
    assert_eq!(state.see(Event::Retire(id(7), Box::new(end.clone())), at(3)), retired(7, made));
    // Its worker counts the time before it was parked, by its checkpoint.
    assert_eq!(state.see(Event::From(w, done(0)), at(4)), [was_done(0, 0, 1.0), handed(w, 2)].concat());
    assert_eq!(state.see(Event::From(w, done(2)), at(5)), was_done(0, 2, 1.0), "the rule may have more");
    let counts = Counts { done: 2, stopped: 2, total: 4, ..Counts::default() };
    assert_eq!((state.see(Event::Close, at(5)), state.counts()), (finished(2, 0, 0, Finish::Complete), counts));
    nothing_else(state);
}
