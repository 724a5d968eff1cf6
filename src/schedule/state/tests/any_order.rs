//! Whatever happens in whatever order, no run is lost and none ends twice.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

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
                Command::Train(worker, errands) => {
                    assert!(!errands.is_empty());
                    let had = self.had.entry(*worker).or_default();
                    *had = errands.iter().map(|errand| takes(&errand.id)).sum::<u32>().max(*had);
                    for Errand { id, attempt, .. } in errands {
                        assert!(self.under_way.insert(id.clone(), *worker).is_none(), "{id} runs twice at once");
                        assert!(!self.writes.contains_key(id), "{id} has a record, and runs again");
                        let last = self.attempts.insert(id.clone(), *attempt);
                        assert!(last.is_none_or(|last| last <= *attempt), "attempts only grow");
                    }
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
        let running: Vec<&[Running]> = here.iter().map(|slot| slot.runs()).filter(|runs| !runs.is_empty()).collect();
        if running.iter().any(|runs| runs[0].alone) {
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
        fuse in 1usize..4,
        script in prop::collection::vec((0u8..26, 0usize..4, 0u32..5, 0usize..7), 0..120),
    ) {
        // Three kinds of runs, of which one was measured before.
        let ticket = |n: usize| {
            let (kind, memory) = (n as u32 % 3, n.is_multiple_of(3).then_some(9));
            Ticket { rows: 4, footprint: kind, memory, fuse: (kind > 0).then_some(kind), ..Ticket::new(id(n)) }
        };
        let tickets = (0..runs).map(ticket);
        let places: Vec<Place> = places.into_iter().map(|device| Place { device, room: rooms[device] }).collect();
        let slots = places.len();
        let mut state = State::new(tickets, places, Limits { fuse, ..Limits::default() });
        let mut watch = Watch::default();
        watch.see(&state.start());
        for (second, (kind, slot, life, run)) in script.into_iter().enumerate() {
            // Mostly the slot's present worker and run; sometimes any.
            let place = state.slots.get(slot);
            let life = if life == 0 { second as u32 % 4 } else { place.map_or(1, |place| place.life) };
            let number = run;
            let runs = place.map_or(&[][..], Slot::runs);
            let run = match runs.get(second % runs.len().max(1)) {
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
        let running = state.slots.iter().flat_map(Slot::runs).count();
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
                    Seat::Running(runs) => Event::From(w, done_and_weighed(runs[0].ticket.id.clone(), second % 4 != 0)),
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
