//! Carries out what other terminals ask of a running sweep.

use std::collections::HashMap;
use std::time::Duration;

use super::local::Director;
use super::state::{Event, Note, State};
use crate::plan::RunId;
use crate::record::control::{self, Answer, Letter, Request};
use crate::record::process::Process;
use crate::record::store::Store;

/// A director that takes its orders from files.
pub struct Orders<'a> {
    store: &'a Store,
    sweep: &'a str,
    own: Process,
    looked: Option<Duration>,
    /// Running runs that are being cancelled, with who asked for it.
    ending: HashMap<RunId, Vec<Letter>>,
}

/// How often the folder is looked at.
const EVERY: Duration = Duration::from_millis(100);

impl<'a> Orders<'a> {
    /// Takes away what was left to coordinators that are gone; `living` are the others that work on this sweep.
    pub fn new(store: &'a Store, sweep: &'a str, living: &[Process]) -> Orders<'a> {
        control::sweep_out(store, sweep, living);
        Orders::of_one_among_many(store, sweep)
    }

    /// The same beside others, whose letters stay.
    pub fn of_one_among_many(store: &'a Store, sweep: &'a str) -> Orders<'a> {
        Orders { store, sweep, own: Process::own(), looked: None, ending: HashMap::new() }
    }

    fn carry_out(&mut self, letter: Letter, state: &State, events: &mut Vec<Event>) {
        match &letter.request {
            Request::Stop => {
                events.push(Event::Interrupt);
                let say = "it starts no more runs; those that run go on to their next checkpoint".to_owned();
                control::answer(&letter, &Answer { done: true, say });
            }
            Request::Where(id) => control::answer(&letter, &whereabouts(id, state)),
            Request::Cancel(id) if state.is_running(id) => {
                events.push(Event::Cancel(id.clone()));
                // Answered when it has ended; the file goes now, so that it is not carried out twice.
                self.ending.entry(id.clone()).or_default().push(letter);
            }
            Request::Cancel(id) if state.place_in_queue(id).is_some() || state.is_parked(id) => {
                events.push(Event::Cancel(id.clone()));
                let say = "it had not started; its record says that it was cancelled".to_owned();
                control::answer(&letter, &Answer { done: true, say });
            }
            Request::Cancel(_) => {
                let say = "it neither runs nor waits here: it ended already, or this call does not do it".to_owned();
                control::answer(&letter, &Answer { done: false, say });
            }
        }
    }
}

impl Director for Orders<'_> {
    fn say(&mut self, state: &State, now: Duration) -> Vec<Event> {
        if self.looked.is_some_and(|then| now.saturating_sub(then) < EVERY) {
            return Vec::new();
        }
        self.looked = Some(now);
        let mut events = Vec::new();
        for letter in control::letters(self.store, self.sweep, &self.own) {
            let is_known = self.ending.values().flatten().any(|known| *known == letter);
            if !is_known {
                self.carry_out(letter, state, &mut events);
            }
        }
        events
    }

    fn note(&mut self, note: &Note) {
        if let Note::Ended { id, .. } = note
            && let Some(letters) = self.ending.remove(id)
        {
            let say = "it was stopped; its record says that it was cancelled".to_owned();
            letters.iter().for_each(|letter| control::answer(letter, &Answer { done: true, say: say.clone() }));
        }
    }
}

/// Where a run of a sweep under way stands.
fn whereabouts(id: &RunId, state: &State) -> Answer {
    let say = if state.is_running(id) {
        "it runs at this moment".to_owned()
    } else if state.is_parked(id) {
        "it is at a checkpoint, and a rule of [stop] decides whether it goes on".to_owned()
    } else if let Some((before, ticket)) = state.place_in_queue(id) {
        let mut say = match before {
            0 => "it is the next to start".to_owned(),
            1 => "1 run starts before it".to_owned(),
            n => format!("{n} runs start before it"),
        };
        if ticket.priority != 0 {
            say += &format!("; its priority is {}", ticket.priority);
        }
        if ticket.attempt > 1 {
            say += &format!("; this would be attempt {}", ticket.attempt);
        }
        if let Some(seconds) = ticket.estimate {
            say += &format!("; it takes about {seconds:.0} s, by earlier runs of its kind");
        }
        match state.held() {
            Some(why) => say + &format!("; but nothing starts now: {why}"),
            None => say,
        }
    } else {
        return Answer { done: false, say: "it is not among the runs of this call".to_owned() };
    };
    Answer { done: true, say }
}
