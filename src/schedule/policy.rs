//! What follows a failure, by its class.

use super::queue::{Ease, Ticket};
use crate::record::Class;

/// A crash may be chance; two are not.
const CRASHES: u32 = 1;
/// What is not the run's fault may come often, but not for ever.
const MISHAPS: u32 = 5;

/// What a failed run was to this sweep so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct History {
    pub crashes: u32,
    pub mishaps: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The failure is the run's end.
    Fail,
    /// Once more, at once, in a new process.
    Retry,
    /// Behind all others, or under easier conditions.
    Ease(Ease),
}

/// Whether a run that failed is tried again, and how. `shared` says that other runs were on the device.
pub fn next(class: Class, ticket: &Ticket, history: &mut History, shared: bool, may_ease: bool) -> Next {
    let once_more = |count: &mut u32, most: u32| {
        *count += 1;
        if *count <= most { Next::Retry } else { Next::Fail }
    };
    match class {
        // The same would happen again.
        Class::Diverged | Class::BadData | Class::Cancelled => Next::Fail,
        Class::Timeout | Class::Crashed | Class::Killed | Class::Environment => {
            once_more(&mut history.crashes, CRASHES)
        }
        Class::Preempted | Class::DiskFull => once_more(&mut history.mishaps, MISHAPS),
        Class::Oom if !may_ease => Next::Fail,
        Class::Oom => ease(ticket, shared).map_or(Next::Fail, Next::Ease),
    }
}

/// The same for a run that was trained side by side with others: whose fault it was nobody knows, so it is tried alone
/// before anything is held against it.
pub fn next_of_group(class: Class) -> Next {
    match class {
        // These are the run's own.
        Class::Diverged | Class::BadData | Class::Cancelled => Next::Fail,
        Class::Oom => Next::Ease(Ease::None),
        Class::Timeout | Class::Crashed | Class::Killed | Class::Environment | Class::Preempted | Class::DiskFull => {
            Next::Retry
        }
    }
}

/// The next step of the ladder; `None` at its end.
fn ease(ticket: &Ticket, shared: bool) -> Option<Ease> {
    let smaller = |rows: u32| (rows > 1).then(|| Ease::MicroBatch(rows.div_ceil(2)));
    match ticket.ease {
        Ease::None if shared => Some(Ease::Again),
        Ease::Again if shared => Some(Ease::Alone),
        // It had the device to itself.
        Ease::None | Ease::Again | Ease::Alone => smaller(ticket.rows),
        Ease::MicroBatch(rows) => smaller(rows),
    }
}

/// What the next attempt does otherwise, for the log and the screen.
pub fn in_words(next: &Next) -> String {
    match next {
        Next::Fail => "nothing".to_owned(),
        Next::Retry => "again in a new process".to_owned(),
        Next::Ease(Ease::None) => "again, by itself".to_owned(),
        Next::Ease(Ease::Again) => "again, behind the others".to_owned(),
        Next::Ease(Ease::Alone) => "alone on its device".to_owned(),
        Next::Ease(Ease::MicroBatch(rows)) => {
            format!("alone, in passes of {rows} examples; the batch of a step stays as it is")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::RunId;

    fn ladder(mut ticket: Ticket, shared: bool) -> Vec<Ease> {
        let mut steps = Vec::new();
        while let Next::Ease(ease) = next(Class::Oom, &ticket, &mut History::default(), shared, true) {
            steps.push(ease);
            ticket.ease = ease;
        }
        steps
    }

    #[test]
    fn memory_is_eased_step_by_step_and_ends_at_one_example() {
        use Ease::{Again, Alone, MicroBatch};
        let ticket = Ticket { rows: 12, ..Ticket::new(RunId("a".into())) };
        let small = [MicroBatch(6), MicroBatch(3), MicroBatch(2), MicroBatch(1)];
        assert_eq!(ladder(ticket.clone(), true), [&[Again, Alone][..], &small].concat());
        assert_eq!(ladder(ticket.clone(), false), small);
        assert_eq!(ladder(Ticket { rows: 1, ..ticket.clone() }, false), []);
        assert_eq!(next(Class::Oom, &ticket, &mut History::default(), true, false), Next::Fail);
    }

    #[test]
    fn what_would_happen_again_is_not_tried_again_and_a_crash_once() {
        let ticket = Ticket::new(RunId("a".into()));
        let tries = |class: Class| {
            let mut history = History::default();
            (0..20).take_while(|_| next(class, &ticket, &mut history, true, true) == Next::Retry).count()
        };
        for class in [Class::Diverged, Class::BadData, Class::Cancelled] {
            assert_eq!(tries(class), 0, "{class}");
        }
        for class in [Class::Crashed, Class::Timeout, Class::Killed, Class::Environment] {
            assert_eq!(tries(class), 1, "{class}");
        }
        assert_eq!((tries(Class::Preempted), tries(Class::DiskFull)), (5, 5));
    }
}
