//! A place for one worker, and who sits there.

use super::STRIKES;
use super::running::Running;
use crate::record::Provenance;
use crate::schedule::queue::Ticket;

/// Where a slot is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// Slots with one number share a device and its memory.
    pub device: usize,
    /// MiB of the device that runs may take together; `None` where their number alone is bound.
    pub room: Option<u32>,
}

#[derive(Debug, Default)]
pub(super) struct Slot {
    pub place: Place,
    pub life: u32,
    pub seat: Seat,
    /// Workers that died in a row before they were ready.
    pub strikes: u32,
    /// MiB that its process has taken of the device: it gives nothing back while it lives.
    pub held: u32,
    /// A run of its process found no memory: the process goes with its last run.
    pub spoiled: bool,
    /// A pause was asked for, and not answered yet.
    pub pausing: bool,
    /// A run that waits until there is room for it on the device.
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
    /// One, or several side by side.
    Running(Vec<Running>),
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

    /// What runs here.
    pub fn runs(&self) -> &[Running] {
        match &self.seat {
            Seat::Running(runs) => runs,
            _ => &[],
        }
    }

    pub fn runs_mut(&mut self) -> &mut [Running] {
        match &mut self.seat {
            Seat::Running(runs) => runs,
            _ => &mut [],
        }
    }

    /// Whether a run has, or waits for, the whole device.
    pub fn has_device_alone(&self) -> bool {
        self.waiting.is_some() || self.runs().iter().any(|running| running.alone)
    }
}
