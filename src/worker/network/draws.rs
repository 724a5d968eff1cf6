//! Where a forward pass draws its dropout from.

use std::cell::Cell;

use crate::method::stream;

/// A stream of its own for each layer of a pass, so that a layer that runs again draws what it drew.
pub struct Draws {
    pass: u64,
    layer: Cell<u64>,
    /// Draws so far in this layer.
    count: Cell<u64>,
}

impl Draws {
    pub fn new(pass: u64) -> Draws {
        Draws { pass, layer: Cell::new(0), count: Cell::new(0) }
    }

    /// A layer begins: 0 is what lies before the first one.
    pub fn enter(&self, layer: u64) {
        self.layer.set(layer);
        self.count.set(0);
    }

    /// The key of the next draw.
    pub fn next(&self) -> u64 {
        let count = self.count.replace(self.count.get() + 1);
        stream(stream(self.pass, "layer", self.layer.get()), "dropout", count)
    }
}
