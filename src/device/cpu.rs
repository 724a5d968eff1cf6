//! The processor: its name, its cores, how busy it is.

use std::fs::read_to_string;

/// What it calls itself.
pub fn name() -> String {
    let info = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

/// Cores that this process may use: fewer than the machine has under taskset, Slurm or a container's limit.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Whether it multiplies bf16 by instructions of its own; without them bf16 is slower than fp32.
pub fn has_bf16() -> bool {
    let info = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags").or(line.strip_prefix("Features")));
    flags.is_some_and(|flags| flags.split_whitespace().any(|flag| ["avx512_bf16", "amx_bf16", "bf16"].contains(&flag)))
}

/// Free and total memory of the system, bytes; zero where it does not say.
pub fn memory() -> (u64, u64) {
    let info = read_to_string("/proc/meminfo").unwrap_or_default();
    let bytes = |key: &str| -> u64 {
        let line = info.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) << 10
    };
    (bytes("MemAvailable:"), bytes("MemTotal:"))
}

/// Processes that ran or wanted to, over the last minute.
pub fn load_average() -> Option<f64> {
    read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// Ticks since the machine started, of all cores together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    busy: u64,
    all: u64,
}

impl Times {
    /// `None` where the system does not say.
    pub fn now() -> Option<Times> {
        Times::parse(&read_to_string("/proc/stat").ok()?)
    }

    fn parse(stat: &str) -> Option<Times> {
        // user nice system idle iowait irq softirq steal; what follows is counted in user and nice already.
        let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let ticks: Vec<u64> = line.split_whitespace().take(8).filter_map(|ticks| ticks.parse().ok()).collect();
        let idle = ticks.get(3)? + ticks.get(4)?;
        let all: u64 = ticks.iter().sum();
        Some(Times { busy: all - idle, all })
    }

    /// The share of all cores that was busy since an earlier time, 0 to 1; `None` where no time has passed.
    pub fn busy_since(self, before: Times) -> Option<f64> {
        let all = self.all.checked_sub(before.all).filter(|&ticks| ticks > 0)?;
        Some((self.busy.saturating_sub(before.busy) as f64 / all as f64).min(1.0))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_busy_share_is_that_between_two_moments() {
        let before = Times::parse("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 2\n").unwrap();
        let after = Times::parse("cpu  160 0 70 810 60 0 0 0 0 0\n").unwrap();
        assert_eq!(after.busy_since(before), Some(0.8));
        assert_eq!(before.busy_since(before), None);
        assert_eq!(before.busy_since(after), None);
        assert_eq!(Times::parse("cpu 1 2"), None);
    }

    #[test]
    fn this_machine_says_what_it_has() {
        let (free, total) = memory();
        assert!(0 < free && free <= total);
        assert!(cores() >= 1 && !name().is_empty());
        assert!(Times::now().is_some() && load_average().is_some_and(|load| load >= 0.0));
    }
}
