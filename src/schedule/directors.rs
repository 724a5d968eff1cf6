//! Several directors as one.

use std::time::Duration;

use super::local::Director;
use super::state::{Event, Note, State};

/// Each is asked in turn, and told of all that happens.
pub struct Directors<'a>(pub Vec<&'a mut dyn Director>);

impl Director for Directors<'_> {
    fn say(&mut self, state: &State, now: Duration) -> Vec<Event> {
        self.0.iter_mut().flat_map(|director| director.say(state, now)).collect()
    }

    fn note(&mut self, note: &Note) {
        self.0.iter_mut().for_each(|director| director.note(note));
    }
}
