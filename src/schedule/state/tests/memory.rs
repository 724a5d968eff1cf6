//! Runs on one device, and what becomes of those that find no memory.

use super::*;

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
