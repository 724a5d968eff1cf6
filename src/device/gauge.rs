//! How much of a card's memory a worker has taken.
//!
//! libtorch gives no memory back to the card while its process lives, so one look after a run shows the most that the
//! process ever had.

use std::fmt;
use std::sync::Arc;

use super::card::Cards;

/// Looks at one card for the workers of one sweep.
#[derive(Clone)]
pub struct Gauge {
    cards: Arc<dyn Cards>,
    uuid: String,
    /// Bytes that were taken before the first worker started.
    before: u64,
}

impl Gauge {
    pub fn new(cards: Arc<dyn Cards>, uuid: &str, before: u64) -> Gauge {
        Gauge { cards, uuid: uuid.to_owned(), before }
    }

    /// MiB of a process; `alone` says that the sweep has no other on the card. `None` where that cannot be told.
    pub fn taken_by(&self, pid: u32, alone: bool) -> Option<f64> {
        let card = self.cards.look().into_iter().find(|card| card.uuid == self.uuid)?;
        let of_process = card.tenants.iter().find(|tenant| tenant.pid == pid).and_then(|tenant| tenant.memory);
        // In a container processes have other numbers than the driver knows. Then all that came since is ours.
        let since = || alone.then_some(card.memory?.used.checked_sub(self.before)?);
        let bytes = of_process.or_else(since).filter(|&bytes| bytes > 0)?;
        Some((bytes as f64 / f64::from(1 << 20)).ceil())
    }
}

impl fmt::Debug for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gauge({})", self.uuid)
    }
}

#[cfg(test)]
mod tests {
    use super::super::card::testing::{Fake, card, with_memory};
    use super::*;
    use crate::device::{Card, Tenant};

    #[test]
    fn the_process_counts_where_it_is_known_and_else_what_came_since() {
        let tenants = vec![Tenant { pid: 7, memory: Some(3 << 30) }, Tenant { pid: 8, memory: None }];
        let card = with_memory(Card { tenants, ..card(0, "GPU-aa11") }, 9, 80);
        let gauge = Gauge::new(Arc::new(Fake(vec![card])), "GPU-aa11", 2 << 30);
        assert_eq!(gauge.taken_by(7, false), Some(3.0 * 1024.0));
        assert_eq!(gauge.taken_by(8, true), Some(7.0 * 1024.0));
        assert_eq!(gauge.taken_by(9, true), Some(7.0 * 1024.0));
        // Whose memory it is cannot be told.
        assert_eq!((gauge.taken_by(8, false), gauge.taken_by(9, false)), (None, None));
        let gone = Gauge::new(Arc::new(Fake(Vec::new())), "GPU-aa11", 0);
        assert_eq!(gone.taken_by(7, true), None);
    }
}
