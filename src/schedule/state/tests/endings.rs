//! Failures and deaths.

use super::*;

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

/// Runs 0 to n − 1, all of one kind, side by side in one slot.
fn group(n: usize, slots_: usize) -> (State, Vec<Worker>) {
    let ticket = |n: usize| Ticket { fuse: Some(0), ..Ticket::new(id(n)) };
    let limits = Limits { fuse: n, ..Limits::default() };
    let mut state = State::new((0..n + 1).map(ticket), slots(slots_), limits);
    state.start();
    let workers: Vec<Worker> = (0..slots_).map(|slot| worker(slot, 1)).collect();
    let commands = state.see(Event::From(workers[0], ready()), at(0));
    let errand = |n| Errand { id: id(n), attempt: 1, until: None, micro_batch: None };
    let train = Command::Train(workers[0], (0..n).map(errand).collect());
    assert!(commands.contains(&train), "{commands:?}");
    (state, workers)
}

#[test]
fn runs_side_by_side_end_one_by_one_and_their_worker_is_free_after_the_last() {
    let (mut state, workers) = group(3, 1);
    let w = workers[0];
    let diverged = Failure::Diverged { step: 4 };
    let failed = Message::Failed { id: id(1), failure: diverged.clone(), made: Box::new(own()) };
    let commands = state.see(Event::From(w, failed), at(9));
    assert_eq!(commands, ended(0, 1, End::Failed(diverged), own(), "diverged", 3.0));
    assert!(!state.see(Event::From(w, done(0)), at(12)).iter().any(|c| matches!(c, Command::Train(..))));
    let commands = state.see(Event::From(w, done(2)), at(12));
    assert!(commands.iter().any(|c| matches!(c, Command::Train(_, errands) if errands.len() == 1)), "{commands:?}");
    assert_eq!(state.eta(at(12)), Some(4.0), "a third of 12 s is what one of them took");
}

#[test]
fn a_group_whose_worker_dies_is_tried_run_by_run() {
    for (event, next) in [
        (Event::Exited(worker(0, 1), killed()), AGAIN),
        (
            Event::From(worker(0, 1), Message::Failed { id: id(0), failure: oom(), made: Box::new(own()) }),
            "again, by itself",
        ),
    ] {
        let (mut state, workers) = group(2, 1);
        let mut commands = state.see(event, at(1));
        commands.extend(state.see(Event::Exited(workers[0], killed()), at(1)));
        let put_back: Vec<&Command> =
            commands.iter().filter(|c| matches!(c, Command::Append(What::PutBack { .. }))).collect();
        assert_eq!(put_back.len(), 2, "{commands:?}");
        assert!(
            matches!(put_back[0], Command::Append(What::PutBack { next: said, .. }) if said == next),
            "{put_back:?}"
        );
        let commands = state.see(Event::From(worker(0, 2), ready()), at(2));
        assert!(commands.iter().any(|c| matches!(c, Command::Train(_, errands) if errands.len() == 1)), "{commands:?}");
    }
}

#[test]
fn cancelling_one_of_a_group_lets_the_others_go_on() {
    let (mut state, workers) = group(3, 1);
    assert_eq!(state.see(Event::Cancel(id(1)), at(1)), [Command::Kill(workers[0])]);
    let commands = state.see(Event::Exited(workers[0], killed()), at(2));
    let written: Vec<&RunId> =
        commands.iter().filter_map(|c| if let Command::Write(id, ..) = c { Some(id) } else { None }).collect();
    assert_eq!(written, [&id(1)]);
    assert!(commands.contains(&Command::Show(Note::Regrouped { slot: 0, id: id(0) })), "{commands:?}");
    let commands = state.see(Event::From(worker(0, 2), ready()), at(3));
    let together = |c: &Command| matches!(c, Command::Train(_, errands) if errands.len() == 3);
    assert!(commands.iter().any(together), "{commands:?}");
}

#[test]
fn two_of_a_group_that_are_cancelled_at_once_both_are() {
    let (mut state, workers) = group(3, 1);
    state.see(Event::Cancel(id(0)), at(1));
    state.see(Event::Cancel(id(1)), at(1));
    let commands = state.see(Event::Exited(workers[0], killed()), at(2));
    let written = commands.iter().filter(|c| matches!(c, Command::Write(..))).count();
    assert_eq!((written, state.left_waiting()), (2, 2), "{commands:?}");
}

#[test]
fn every_slot_gets_its_share_of_a_kind_and_nothing_overtakes_a_priority() {
    let ticket = |n: usize| Ticket { fuse: Some(0), priority: i32::from(n < 4), ..Ticket::new(id(n)) };
    let limits = Limits { fuse: 8, ..Limits::default() };
    let mut state = State::new((0..6).map(ticket), slots(2), limits);
    state.start();
    let trained = |commands: Vec<Command>| -> Vec<Vec<RunId>> {
        let of = |c: Command| match c {
            Command::Train(_, errands) => Some(errands.into_iter().map(|errand| errand.id).collect()),
            _ => None,
        };
        commands.into_iter().filter_map(of).collect()
    };
    let first = trained(state.see(Event::From(worker(0, 1), ready()), at(0)));
    assert_eq!(first, [[id(0), id(1), id(2)]]);
    // Three are left, of which one has the higher priority.
    let second = trained(state.see(Event::From(worker(1, 1), ready()), at(0)));
    assert_eq!(second, [[id(3)]]);
}

#[test]
fn a_timeout_is_that_of_one_run_and_a_group_that_breaks_it_is_tried_run_by_run() {
    let ticket = |n: usize| Ticket { fuse: Some(0), ..Ticket::new(id(n)) };
    let limits = Limits { fuse: 2, timeout: Some(Duration::from_secs(10)), ..Limits::default() };
    let mut state = State::new((0..2).map(ticket), slots(1), limits);
    state.start();
    let w = worker(0, 1);
    state.see(Event::From(w, ready()), at(0));
    assert_eq!(state.see(Event::Tick, at(19)), []);
    assert_eq!(state.see(Event::Tick, at(21)), [Command::Kill(w)]);
    let commands = state.see(Event::Exited(w, killed()), at(22));
    assert!(!commands.iter().any(|c| matches!(c, Command::Write(..))), "{commands:?}");
    assert_eq!(state.left_waiting(), 2);
}

#[test]
fn a_group_is_paused_as_a_whole() {
    let (mut state, workers) = group(2, 1);
    assert!(state.see(Event::Hold("a reason".into()), at(1)).contains(&Command::Pause(workers[0])));
    for n in [0, 1] {
        let commands = state.see(Event::From(workers[0], Message::Paused { id: id(n), step: 3 }), at(2));
        assert!(!commands.contains(&Command::Kill(workers[0])), "it was asked");
    }
    let commands = state.see(Event::Release, at(3));
    assert!(commands.iter().any(|c| matches!(c, Command::Train(_, errands) if errands.len() == 2)), "{commands:?}");
}
