//! Who gets which run, and where a worker is started.

use std::time::Duration;

use super::running::Running;
use super::slot::{Seat, Slot};
use super::{Command, Errand, Note, State, Worker};
use crate::record::log::What;
use crate::schedule::estimate::Measured;
use crate::schedule::queue::Ticket;

impl State {
    /// Hands work to every worker that has none, and starts workers where there is more.
    pub(super) fn feed(&mut self, now: Duration, out: &mut Vec<Command>) {
        if self.held.is_some() || self.draining.is_some() {
            return;
        }
        for slot in 0..self.slots.len() {
            if matches!(self.slots[slot].seat, Seat::Idle) {
                self.hand_out(slot, now, out);
            }
        }
        let starting = self.slots.iter().filter(|slot| matches!(slot.seat, Seat::Starting | Seat::Leaving)).count();
        let mut wanted = self.queue.len().saturating_sub(starting);
        for slot in 0..self.slots.len() {
            let is_free = matches!(self.slots[slot].seat, Seat::Empty) && !self.slots[slot].is_given_up();
            // The worker of a run that waits may have died meanwhile.
            let waits = self.slots[slot].waiting.is_some();
            let is_wanted = waits || (wanted > 0 && self.may_start_on(slot));
            if is_wanted && is_free && !self.is_reserved(slot) {
                wanted = wanted.saturating_sub(1);
                let place = &mut self.slots[slot];
                place.life += 1;
                (place.held, place.spoiled, place.pausing) = (0, false, false);
                place.seat = Seat::Starting;
                out.push(Command::Spawn(Worker { slot, life: place.life }));
            }
        }
    }

    pub(super) fn hand_out(&mut self, slot: usize, now: Duration, out: &mut Vec<Command>) {
        if self.is_reserved(slot) {
            return;
        }
        let left = self.limits.budget.map_or(f64::INFINITY, |budget| budget.saturating_sub(now).as_secs_f64());
        let takes = |measured: &Measured, ticket: &Ticket| measured.of(ticket).unwrap_or(0.0);
        // What was reserved for this slot comes first.
        let next = match self.slots[slot].waiting.take() {
            Some(ticket) => Some(*ticket),
            None => self.queue.take_first(|ticket| takes(&self.measured, ticket) <= left),
        };
        let Some(ticket) = next else { return };
        let most = self.side_by_side(&ticket);
        let mut sum = takes(&self.measured, &ticket);
        let mut tickets = vec![ticket];
        while tickets.len() < most {
            let first = &tickets[0];
            // Among equals: nothing overtakes what matters more.
            let is_like = |next: &Ticket| next.kind() == first.kind() && next.priority == first.priority;
            let fits = |next: &Ticket| is_like(next) && sum + takes(&self.measured, next) <= left;
            let Some(next) = self.queue.take_first(fits) else { break };
            sum += takes(&self.measured, &next);
            tickets.push(next);
        }
        let of = tickets.len();
        if !self.make_room(slot, &tickets[0], of, out) {
            // The others on this device come to their ends first.
            tickets.drain(1..).rev().for_each(|ticket| self.queue.push_front(ticket));
            self.slots[slot].waiting = tickets.pop().map(Box::new);
            return;
        }
        self.hold_memory(slot, &tickets[0], of);
        let alone = self.goes_alone(slot, &tickets[0], of);
        // Dropout of a group depends on the order in it, and what is put aside comes back in any.
        tickets.sort_by(|a, b| a.id.cmp(&b.id));
        self.slots[slot].pausing = false;
        for ticket in &tickets {
            let (id, attempt) = (ticket.id.clone(), ticket.attempt);
            out.push(Command::Append(What::Started { id, slot, attempt }));
        }
        let errand = |ticket: &Ticket| Errand {
            id: ticket.id.clone(),
            attempt: ticket.attempt,
            until: ticket.until,
            micro_batch: ticket.micro_batch(),
        };
        let worker = Worker { slot, life: self.slots[slot].life };
        out.push(Command::Train(worker, tickets.iter().map(errand).collect()));
        for ticket in &tickets {
            let (id, attempt) = (ticket.id.clone(), ticket.attempt);
            out.push(Command::Show(Note::Started { slot, id, attempt }));
        }
        let runs = tickets.into_iter().map(|ticket| Running::new(ticket, of, alone, now));
        self.slots[slot].seat = Seat::Running(runs.collect());
        let device = self.slots[slot].place.device;
        if self.others_on(slot) > 0 {
            let on_device = self.slots.iter_mut().filter(|other| other.place.device == device);
            on_device.flat_map(Slot::runs_mut).for_each(|running| running.was_shared = true);
        }
    }

    /// How many runs would go side by side into a slot with this one, which is not in the queue: every slot gets its share.
    pub(super) fn side_by_side(&self, ticket: &Ticket) -> usize {
        let Some(kind) = ticket.kind().filter(|_| self.limits.fuse > 1) else { return 1 };
        let alive = self.slots.iter().filter(|slot| !slot.is_given_up()).count();
        (self.queue.of_kind(kind) + 1).div_ceil(alive.max(1)).min(self.limits.fuse)
    }

    /// Whether a run has, or waits for, the whole device of a slot, and lies in another slot.
    pub(super) fn is_reserved(&self, slot: usize) -> bool {
        let device = self.slots[slot].place.device;
        let same = |&(index, other): &(usize, &Slot)| index != slot && other.place.device == device;
        self.slots.iter().enumerate().filter(same).any(|(_, other)| other.has_device_alone())
    }

    pub(super) fn others_on(&self, slot: usize) -> usize {
        let device = self.slots[slot].place.device;
        let others =
            self.slots.iter().enumerate().filter(|&(index, other)| index != slot && other.place.device == device);
        others.filter(|(_, other)| !other.runs().is_empty()).count()
    }
}
