//! Which runs go on one device together: as many as its memory holds, by what runs of their footprint took.
//!
//! A run of a footprint that nobody has measured gets the device for itself; what it takes tells how many of its like
//! fit. The order of work stays: a run that does not fit yet waits for its device, and nothing overtakes it there.

use super::running::Running;
use super::slot::{Seat, Slot};
use super::{Command, State, Worker};
use crate::device::packing;
use crate::record::Provenance;
use crate::schedule::queue::{Ease, Ticket};

impl State {
    /// MiB that a run takes, where one like it was measured.
    fn need(&self, ticket: &Ticket) -> Option<u32> {
        self.footprints.get(&ticket.footprint).copied()
    }

    /// Whether a run, the first of so many side by side, gets the device of a slot for itself: what several take together
    /// nobody has measured.
    pub(super) fn goes_alone(&self, slot: usize, ticket: &Ticket, of: usize) -> bool {
        let unknown = self.slots[slot].place.room.is_some() && (of > 1 || self.need(ticket).is_none());
        unknown || ticket.ease >= Ease::Alone
    }

    /// Whether a run may start in a slot beside what is on its device. Idle workers that stand in its way are ended.
    pub(super) fn make_room(&mut self, slot: usize, ticket: &Ticket, of: usize, out: &mut Vec<Command>) -> bool {
        let alone = self.goes_alone(slot, ticket, of);
        let is_busy = |other: &Slot| matches!(other.seat, Seat::Running(_) | Seat::Leaving);
        if self.others(slot).any(is_busy) && (alone || !self.fits(slot, ticket, is_busy)) {
            return false;
        }
        if !alone && self.fits(slot, ticket, |other| !matches!(other.seat, Seat::Empty)) {
            return true;
        }
        let device = self.slots[slot].place.device;
        let mut is_clear = true;
        for (index, other) in self.slots.iter_mut().enumerate().filter(|&(index, _)| index != slot) {
            if other.place.device == device && matches!(other.seat, Seat::Idle | Seat::Starting) {
                other.seat = Seat::Leaving;
                is_clear = false;
                out.push(Command::Kill(Worker { slot: index, life: other.life }));
            }
        }
        is_clear
    }

    /// Whether one more worker on the device of a slot would get a run: where memory decides, workers come one by one.
    pub(super) fn may_start_on(&self, slot: usize) -> bool {
        if self.slots[slot].place.room.is_none() {
            return true;
        }
        let is_free = |other: &Slot| matches!(other.seat, Seat::Starting | Seat::Idle);
        let is_busy = |other: &Slot| matches!(other.seat, Seat::Running(_) | Seat::Leaving);
        if self.others(slot).any(is_free) {
            return false;
        }
        let alone = |ticket: &Ticket| self.goes_alone(slot, ticket, self.side_by_side(ticket));
        let fits = |ticket: &Ticket| !alone(ticket) && self.fits(slot, ticket, is_busy);
        !self.others(slot).any(is_busy) || self.queue.iter().next().is_some_and(fits)
    }

    /// Whether a run fits beside those others on its device that count.
    fn fits(&self, slot: usize, ticket: &Ticket, counts: impl Fn(&Slot) -> bool) -> bool {
        let place = &self.slots[slot];
        let Some(room) = place.place.room else { return true };
        let need = self.need(ticket).unwrap_or_default().max(place.held);
        packing::fits(room, self.others(slot).filter(|other| counts(other)).map(|other| other.held), need)
    }

    /// The other slots on the device of one.
    fn others(&self, slot: usize) -> impl Iterator<Item = &Slot> {
        let device = self.slots[slot].place.device;
        let all = self.slots.iter().enumerate();
        all.filter(move |&(index, other)| index != slot && other.place.device == device).map(|(_, other)| other)
    }

    /// What a worker has of its device's memory from now on: as long as nobody has measured it, all.
    pub(super) fn hold_memory(&mut self, slot: usize, ticket: &Ticket, of: usize) {
        let whole = self.slots[slot].place.room.unwrap_or_default();
        let need = self.need(ticket).filter(|_| of == 1).unwrap_or(whole);
        let held = &mut self.slots[slot].held;
        *held = need.max(*held);
    }

    /// Learns from a run what runs of its footprint take.
    pub(super) fn weigh(&mut self, slot: usize, running: &Running, made: &Provenance) {
        let Some(peak) = made.peak_device_memory_mib.map(|mib| mib.ceil() as u32) else { return };
        self.slots[slot].held = peak;
        // A smaller pass says nothing about a whole one, nor several runs about one.
        if !matches!(running.ticket.ease, Ease::MicroBatch(_)) && running.of == 1 {
            let known = self.footprints.entry(running.ticket.footprint).or_default();
            *known = peak.max(*known);
        }
    }
}
