//! What waits to be done, in the order of work.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::plan::RunId;

/// A run that waits, with all that the scheduler need know of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ticket {
    pub id: RunId,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// The higher, the sooner; of equals the order in which they came.
    pub priority: i32,
    /// Runs of one shape take about as long as each other.
    pub shape: u32,
    /// Seconds, by earlier records.
    pub estimate: Option<f64>,
    /// Runs of one footprint take as much of a device's memory as each other.
    pub footprint: u32,
    /// MiB of a device, by earlier records.
    pub memory: Option<u32>,
    /// Examples in one forward and backward pass, as the recipe has it.
    pub rows: u32,
    /// Train to this step only, where a rule wants to decide there.
    pub until: Option<u32>,
    /// How much of a whole run that is, in (0, 1].
    pub share: f64,
    pub ease: Ease,
    /// Runs of one number may be trained side by side in one program; `None` is trained alone.
    pub fuse: Option<u32>,
}

impl Ticket {
    /// A first attempt at a whole run of standard priority.
    pub fn new(id: RunId) -> Ticket {
        Ticket {
            id,
            attempt: 1,
            priority: 0,
            shape: 0,
            estimate: None,
            footprint: 0,
            memory: None,
            rows: 16,
            until: None,
            share: 1.0,
            ease: Ease::None,
            fuse: None,
        }
    }

    /// The number that it shares with those that it may be trained side by side with; `None` where it is trained alone.
    pub fn kind(&self) -> Option<u32> {
        self.fuse.filter(|_| self.until.is_none() && self.ease == Ease::None)
    }
}

/// What is made easier for a run that found too little memory. Each step includes those before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Ease {
    #[default]
    None,
    /// The same again, behind all others, when other runs may have left the device.
    Again,
    /// No other run on the device.
    Alone,
    /// Alone, and with passes of so many examples; a step sums up as many passes as its batch needs.
    MicroBatch(u32),
}

/// Where a ticket stands: turned priority, then order of arrival.
type Place = (i32, u64);

#[derive(Debug, Default)]
pub struct Queue {
    tickets: BTreeMap<Place, Ticket>,
    places: HashMap<RunId, Place>,
    /// How many wait of each shape, and how many whole runs they come to.
    shapes: HashMap<u32, (usize, f64)>,
    /// How many wait of each kind that may be trained side by side.
    kinds: HashMap<u32, usize>,
    next: u64,
}

impl Queue {
    pub fn is_empty(&self) -> bool {
        self.tickets.is_empty()
    }

    pub fn len(&self) -> usize {
        self.tickets.len()
    }

    /// Behind all others of its priority. A run that waits already is not put in twice.
    pub fn push(&mut self, ticket: Ticket) {
        self.next += 1;
        self.insert((-ticket.priority, self.next), ticket);
    }

    /// Before all others, of whatever priority: it had its turn once.
    pub fn push_front(&mut self, ticket: Ticket) {
        self.next += 1;
        let before = self.tickets.first_key_value().map_or(0, |((turned, _), _)| turned.saturating_sub(1));
        self.insert((before.min(-ticket.priority), self.next), ticket);
    }

    fn insert(&mut self, place: Place, ticket: Ticket) {
        if self.places.contains_key(&ticket.id) {
            return;
        }
        let (count, runs) = self.shapes.entry(ticket.shape).or_default();
        *count += 1;
        *runs += ticket.share;
        if let Some(kind) = ticket.kind() {
            *self.kinds.entry(kind).or_default() += 1;
        }
        self.places.insert(ticket.id.clone(), place);
        self.tickets.insert(place, ticket);
    }

    /// The first ticket that meets a condition, and takes it out.
    pub fn take_first(&mut self, fits: impl Fn(&Ticket) -> bool) -> Option<Ticket> {
        let place = *self.tickets.iter().find(|(_, ticket)| fits(ticket))?.0;
        self.remove(place)
    }

    pub fn take(&mut self, id: &RunId) -> Option<Ticket> {
        let place = *self.places.get(id)?;
        self.remove(place)
    }

    fn remove(&mut self, place: Place) -> Option<Ticket> {
        let ticket = self.tickets.remove(&place)?;
        self.places.remove(&ticket.id);
        if let Some((count, runs)) = self.shapes.get_mut(&ticket.shape) {
            *count -= 1;
            *runs = if *count == 0 { 0.0 } else { *runs - ticket.share };
        }
        if let Some(count) = ticket.kind().and_then(|kind| self.kinds.get_mut(&kind)) {
            *count -= 1;
        }
        Some(ticket)
    }

    /// How many wait of a kind that may be trained side by side.
    pub fn of_kind(&self, kind: u32) -> usize {
        self.kinds.get(&kind).copied().unwrap_or_default()
    }

    /// The shapes of what waits, and how many whole runs it comes to.
    pub fn shapes(&self) -> impl Iterator<Item = (u32, f64)> {
        self.shapes.iter().filter(|(_, (count, _))| *count > 0).map(|(&shape, &(_, runs))| (shape, runs))
    }

    /// In the order of work.
    pub fn iter(&self) -> impl Iterator<Item = &Ticket> {
        self.tickets.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(name: &str, priority: i32) -> Ticket {
        Ticket { priority, ..Ticket::new(RunId(name.into())) }
    }

    fn order(queue: &Queue) -> String {
        queue.iter().map(|ticket| ticket.id.0.clone()).collect()
    }

    #[test]
    fn priority_goes_before_arrival_and_what_was_put_back_before_both() {
        let mut queue = Queue::default();
        for (name, priority) in [("a", 0), ("b", 5), ("c", 0), ("d", -1), ("b", 9)] {
            queue.push(ticket(name, priority));
        }
        assert_eq!((order(&queue).as_str(), queue.len()), ("bacd", 4));
        let taken = queue.take(&RunId("c".into())).expect("it waits");
        queue.push_front(taken);
        assert_eq!(order(&queue), "cbad");
        queue.push_front(ticket("e", 0));
        assert_eq!(order(&queue), "ecbad");
        assert_eq!(queue.take(&RunId("x".into())), None);
        let first = queue.take_first(|ticket| ticket.priority < 0).map(|ticket| ticket.id.0);
        assert_eq!((first.as_deref(), order(&queue).as_str()), (Some("d"), "ecba"));
        assert_eq!(queue.shapes().collect::<Vec<_>>(), [(0, 4.0)]);
        queue.push(Ticket { share: 0.25, ..ticket("f", 0) });
        assert_eq!(queue.shapes().collect::<Vec<_>>(), [(0, 4.25)]);
    }
}
