//! How busy this machine is.

use std::fs;

/// What the kernel says of processors and memory.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Load {
    /// Share of the processors' time that was used since the last look, 0 to 1.
    pub busy: Option<f64>,
    /// Processes that ran or wanted to, over the last minute.
    pub average: Option<f64>,
    /// GiB in use, of how many.
    pub memory: Option<(f64, f64)>,
}

/// Looks again and again, since a share needs two looks.
#[derive(Debug, Default)]
pub struct Meter {
    /// Ticks of all processors so far: busy, and all.
    before: Option<(u64, u64)>,
    last: Load,
}

impl Meter {
    pub fn look(&mut self) -> Load {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let now = ticks(&text("/proc/stat"));
        let share = |((busy, all), (busy_before, all_before)): ((u64, u64), (u64, u64))| {
            let passed = all.checked_sub(all_before).filter(|&passed| passed > 0)?;
            Some(busy.saturating_sub(busy_before) as f64 / passed as f64)
        };
        let busy = now.zip(self.before).and_then(share).or(self.last.busy);
        self.before = now.or(self.before);
        let average = text("/proc/loadavg").split(' ').next().and_then(|word| word.parse().ok());
        self.last = Load { busy, average, memory: memory(&text("/proc/meminfo")) };
        self.last
    }
}

/// Of the first line of /proc/stat, proc(5): user, nice, system, idle, iowait, irq, softirq, steal.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let numbers: Vec<u64> = line.split_whitespace().take(8).filter_map(|word| word.parse().ok()).collect();
    let all: u64 = numbers.iter().sum();
    let idle = numbers.get(3)? + numbers.get(4)?;
    Some((all - idle, all))
}

fn memory(info: &str) -> Option<(f64, f64)> {
    let gib = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib / f64::from(1 << 20))
    };
    let total = gib("MemTotal")?;
    Some((total - gib("MemAvailable")?, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_read() {
        assert_eq!(ticks("cpu  10 1 5 80 4 0 0 0 7 7\ncpu0 1 1 1 1\n"), Some((16, 100)));
        assert_eq!(ticks("intr 1"), None);
        let info = "MemTotal:        8388608 kB\nMemFree:  1 kB\nMemAvailable:    6291456 kB\n";
        assert_eq!(memory(info), Some((2.0, 8.0)));
        assert_eq!(memory(""), None);
    }

    #[test]
    fn a_share_needs_two_looks() {
        let mut meter = Meter::default();
        assert_eq!(meter.look().busy, None);
        meter.before = Some((0, 0));
        let load = meter.look();
        assert!(load.busy.is_some_and(|busy| (0.0..=1.0).contains(&busy)) && load.memory.is_some(), "{load:?}");
    }
}
