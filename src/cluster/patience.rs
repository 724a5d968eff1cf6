//! How long to wait before an engine is asked again: a login node is shared, and so is its controller.

use std::time::Duration;

const SHORTEST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(60);

/// How long a job must be unknown to the engine before it is gone. A test that kills a controller need not wait a minute:
/// SWEEP_MISSING_AFTER says it in seconds.
pub fn missing() -> Duration {
    let said = std::env::var("SWEEP_MISSING_AFTER").ok().and_then(|text| text.parse().ok());
    said.map_or(LONGEST, Duration::from_secs)
}

/// Grows from two seconds to a minute while nothing happens.
#[derive(Debug, Clone)]
pub struct Patience(Duration);

impl Default for Patience {
    fn default() -> Patience {
        Patience(SHORTEST)
    }
}

impl Patience {
    /// How long now; the next time is half as long again.
    pub fn pause(&mut self) -> Duration {
        let now = self.0;
        self.0 = (now * 3 / 2).min(LONGEST);
        now
    }

    /// Something happened: more may follow soon.
    pub fn news(&mut self) {
        self.0 = SHORTEST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_minute_and_begin_anew_with_news() {
        let mut patience = Patience::default();
        let waits: Vec<f64> = (0..12).map(|_| patience.pause().as_secs_f64()).collect();
        assert_eq!((waits[0], waits[1], waits[11]), (2.0, 3.0, 60.0));
        assert!(waits.is_sorted());
        patience.news();
        assert_eq!(patience.pause(), SHORTEST);
    }
}
