//! The learning rate over a run: linear warm-up from zero, then linear decay to zero.

/// As transformers' `get_linear_schedule_with_warmup`.
pub struct Schedule {
    peak: f64,
    warm: f64,
    total: f64,
}

impl Schedule {
    /// `warmup` is the share of `total` steps, rounded up, over which the rate rises.
    pub fn new(peak: f64, warmup: f64, total: u32) -> Schedule {
        Schedule { peak, warm: (warmup * f64::from(total)).ceil(), total: f64::from(total) }
    }

    /// The rate of a step, counted from 1. The first step of a warm-up has rate 0.
    pub fn rate(&self, step: u32) -> f64 {
        let before = f64::from(step - 1);
        let share = if before < self.warm {
            before / self.warm
        } else {
            ((self.total - before) / (self.total - self.warm).max(1.0)).max(0.0)
        };
        self.peak * share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// transformers.get_linear_schedule_with_warmup(optimizer, 2, 6), base rate 1.
    #[test]
    fn rates_are_those_of_transformers() {
        let schedule = Schedule::new(1.0, 0.3, 6);
        let rates: Vec<f64> = (1..=6).map(|step| schedule.rate(step)).collect();
        assert_eq!(rates, [0.0, 0.5, 1.0, 0.75, 0.5, 0.25]);
    }

    #[test]
    fn without_warmup_the_first_step_has_the_peak_rate() {
        assert_eq!(Schedule::new(2e-5, 0.0, 10).rate(1), 2e-5);
    }
}
