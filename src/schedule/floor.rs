//! A sweep waits while its disk is nearly full: a record that cannot be written is worth more than an hour.

use std::time::Duration;

use super::local::Director;
use super::state::{Event, State};
use crate::disk::bytes;

/// How often free space is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Holds the sweep when less than `least` bytes are free, and lets it go on when a tenth more than that is.
pub struct Floor<'a> {
    /// Bytes free where results lie; `None` where the system does not say.
    free: Box<dyn Fn() -> Option<u64> + 'a>,
    least: u64,
    looked: Option<Duration>,
    holds: bool,
}

impl<'a> Floor<'a> {
    pub fn new(least: u64, free: impl Fn() -> Option<u64> + 'a) -> Floor<'a> {
        Floor { free: Box::new(free), least, looked: None, holds: false }
    }

    fn look(&mut self, is_held: bool) -> Option<Event> {
        let free = (self.free)()?;
        let enough = self.least.saturating_add(self.least / 10);
        if !self.holds && !is_held && free < self.least {
            self.holds = true;
            return Some(Event::Hold(format!(
                "only {} are free where results lie, and min_free is {}; it goes on when {} are free",
                bytes(free),
                bytes(self.least),
                bytes(enough)
            )));
        }
        if self.holds && free >= enough {
            self.holds = false;
            return Some(Event::Release);
        }
        None
    }
}

impl Director for Floor<'_> {
    fn say(&mut self, state: &State, now: Duration) -> Vec<Event> {
        if self.looked.is_some_and(|at| now.saturating_sub(at) < LOOK) {
            return Vec::new();
        }
        self.looked = Some(now);
        self.look(state.held().is_some()).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::schedule::Limits;

    #[test]
    fn a_sweep_is_held_below_the_floor_and_let_go_above_it() {
        let (free, asked) = (Cell::new(Some(5_000)), Cell::new(0));
        let mut floor = Floor::new(1_000, || {
            asked.set(asked.get() + 1);
            free.get()
        });
        let state = State::new([], [], Limits::default());
        let mut said = |tenths: u64| match &floor.say(&state, Duration::from_millis(100 * tenths))[..] {
            [] => "nothing".to_owned(),
            [Event::Hold(why)] => why.clone(),
            [Event::Release] => "release".to_owned(),
            other => panic!("{other:?}"),
        };
        assert_eq!(said(0), "nothing");
        free.set(Some(999));
        assert_eq!((said(5), asked.get()), ("nothing".to_owned(), 1), "not on every beat");
        let why = said(10);
        assert!(why.contains("only 999 bytes are free") && why.contains("min_free is 1.0 kB"), "{why}");
        free.set(Some(1_050));
        assert_eq!((said(20), asked.get()), ("nothing".to_owned(), 3), "a little above the floor");
        free.set(Some(1_100));
        assert_eq!(said(30), "release");
        free.set(None);
        assert_eq!(said(40), "nothing", "where the system does not say, nothing is held");
    }
}
