//! How much of a card's memory a worker has taken.
//!
//! libtorch gives no memory back to the card while its process lives, so one look after a run shows the most that the
//! process ever had.

use std::fmt;
use std::sync::Arc;

use super::card::Cards;
use super::peak::Shape;

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

/// Follows one worker process from run to run.
#[derive(Debug)]
pub struct Meter {
    gauge: Gauge,
    pid: u32,
    /// What its runs were like, as long as they were all alike, and the most that was seen so far.
    before: Option<(Option<Shape>, f64)>,
}

impl Meter {
    pub fn new(gauge: Gauge, pid: u32) -> Meter {
        Meter { gauge, pid, before: None }
    }

    /// MiB that several runs side by side took: what comes after them took at most that, or more.
    pub fn after_group(&mut self, alone: bool) -> Option<f64> {
        let taken = self.gauge.taken_by(self.pid, alone)?;
        let most = self.before.take().map_or(taken, |(_, most)| most.max(taken));
        self.before = Some((None, most));
        Some(taken)
    }

    /// MiB that a run of this shape took, which has just ended. `None` where an earlier run of another shape may have
    /// taken it, and where the card does not say.
    pub fn after(&mut self, shape: Shape, alone: bool) -> Option<f64> {
        let taken = self.gauge.taken_by(self.pid, alone)?;
        match &mut self.before {
            Some((kind, most)) => {
                let grew = taken > *most;
                let same = kind.as_ref() == Some(&shape);
                *most = most.max(taken);
                if !same {
                    *kind = None;
                }
                (grew || same).then_some(taken)
            }
            None => {
                self.before = Some((Some(shape), taken));
                Some(taken)
            }
        }
    }
}

impl fmt::Debug for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gauge({})", self.uuid)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::card::testing::{Fake, card, with_memory};
    use super::super::peak::testing::run;
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

    /// Cards of which a process takes more from look to look, in GiB.
    struct Growing(Mutex<Vec<u64>>);

    impl Cards for Growing {
        fn look(&self) -> Vec<Card> {
            let gib = self.0.lock().map_or(0, |mut looks| looks.remove(0));
            let tenants = vec![Tenant { pid: 7, memory: Some(gib << 30) }];
            vec![Card { tenants, ..card(0, "GPU-aa11") }]
        }
    }

    #[test]
    fn what_an_earlier_run_of_another_shape_took_is_not_laid_to_a_later_one() {
        let shape = |rows| Shape::of(&run(rows), None);
        let gauge = Gauge::new(Arc::new(Growing(Mutex::new(vec![2, 2, 2, 5, 5]))), "GPU-aa11", 0);
        let mut meter = Meter::new(gauge, 7);
        let mut after = |rows| meter.after(shape(rows), true).map(|mib| mib / 1024.0);
        assert_eq!((after(16), after(16)), (Some(2.0), Some(2.0)));
        // A smaller one: it may have taken less. A larger one took more than there was.
        assert_eq!((after(8), after(32), after(32)), (None, Some(5.0), None));
    }
}
