//! A place for one worker, and who sits there.

use super::STRIKES;
use super::running::Running;
use crate::record::Provenance;
use crate::schedule::queue::{Ease, Ticket};

/// Where a slot is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// Slots with one number share a device and its memory.
    pub device: usize,
}

#[derive(Debug, Default)]
pub(super) struct Slot {
    pub place: Place,
    pub life: u32,
    pub seat: Seat,
    /// Workers that died in a row before they were ready.
    pub strikes: u32,
    /// A pause was asked for, and not answered yet.
    pub pausing: bool,
    /// A run that waits until no other is on the device.
    pub waiting: Option<Box<Ticket>>,
    /// What the worker said of itself when it was ready.
    pub made: Provenance,
}

#[derive(Debug, Default)]
pub(super) enum Seat {
    /// No process.
    #[default]
    Empty,
    Starting,
    Idle,
    Running(Box<Running>),
    /// A process that is about to end, and gets nothing more.
    Leaving,
}

impl Slot {
    pub fn at(place: Place) -> Slot {
        Slot { place, ..Slot::default() }
    }

    pub fn is_given_up(&self) -> bool {
        self.strikes >= STRIKES && matches!(self.seat, Seat::Empty)
    }

    pub fn running(&self) -> Option<&Running> {
        match &self.seat {
            Seat::Running(running) => Some(running),
            _ => None,
        }
    }

    pub fn running_mut(&mut self) -> Option<&mut Running> {
        match &mut self.seat {
            Seat::Running(running) => Some(running),
            _ => None,
        }
    }

    /// Whether a run has, or waits for, the whole device.
    pub fn has_device_alone(&self) -> bool {
        self.waiting.is_some() || self.running().is_some_and(|running| running.ticket.ease >= Ease::Alone)
    }
}
