//! A place for one worker, and what its worker is told about it.

use std::sync::Arc;

use crate::device::{Gauge, Lease};

#[derive(Debug, Clone, Default)]
pub struct Slot {
    /// The device as the worker finds it: `cpu`, `cuda:0`.
    pub device: String,
    pub threads: u32,
    /// The device as people know it, for records and screens: `cuda:2`; empty where the worker calls it the same.
    pub label: String,
    /// What the hardware calls itself; empty where the worker finds out.
    pub hardware: String,
    /// Added to the worker's environment.
    pub env: Vec<(String, String)>,
    /// The right to be there, held as long as a slot is.
    pub lease: Option<Arc<Lease>>,
    /// Shows what a worker took of the device's memory.
    pub gauge: Option<Gauge>,
    /// MiB that the runs of this sweep may take of the device together; `None` where their number is given.
    pub room: Option<u32>,
}

impl Slot {
    pub fn new(device: &str, threads: u32) -> Slot {
        Slot { device: device.to_owned(), threads, ..Slot::default() }
    }

    /// What people call its device. Slots of one name share a device.
    pub fn name(&self) -> &str {
        if self.label.is_empty() { &self.device } else { &self.label }
    }
}
