//! `[run]`: where and how a sweep runs, without a say in the results.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use jiff::SignedDuration;
use toml::de::DeValue;

use super::cluster::{self, Commands, Executor, Slurm};
use super::fault::{Fault, suggestion};
use super::number::{Domain, Number, Standard, Value};
use super::table::{Entry, Table, checked, kind, value};

#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunTable {
    /// `None` is "auto".
    pub devices: Option<Vec<String>>,
    /// `None` is one on a GPU, and "auto" on a CPU.
    pub slots_per_device: Option<Slots>,
    /// Most runs that are trained side by side in one program; `None` is one.
    pub fuse: Option<u32>,
    /// Score the dev set after a run's last step alone.
    pub scores_at_end: bool,
    /// Share a GPU by NVIDIA's multi-process service.
    pub mps: bool,
    /// Too little memory fails a run at once.
    pub oom_fails: bool,
    pub max_fail: Option<MaxFail>,
    /// Of one run.
    pub timeout: Option<Duration>,
    /// Longest silence of a run's worker; `None` is the standard.
    pub stall: Option<Duration>,
    pub time_budget: Option<Duration>,
    pub order: Order,
    /// Time between two checkpoints of a running run; `None` is the standard, zero is never.
    pub checkpoint_every: Option<Duration>,
    pub data: Vec<String>,
    pub models: Vec<String>,
    /// Which trained models stay; `None` keeps all where the sweep has stages, and none elsewhere.
    pub keep: Option<Keep>,
    /// Bytes of free space below which the sweep waits; `None` is the standard.
    pub min_free: Option<u64>,
    /// A command that hears how the sweep ended.
    pub notify: Option<String>,
    /// Write event files for TensorBoard while runs train.
    pub tensorboard: bool,
    pub results: Option<String>,
    pub reports: Option<String>,
    pub executor: Executor,
    pub slurm: Option<Slurm>,
    pub command: Option<Commands>,
}

/// Worker processes on one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slots {
    /// As many as memory allows, or as are fastest, measured.
    Auto,
    Count(u32),
}

/// Failed runs that end a sweep.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MaxFail {
    Count(usize),
    /// Of the runs that this call does.
    Share(f64),
}

impl MaxFail {
    /// How many of so many runs; at least one.
    pub fn of(self, runs: usize) -> usize {
        match self {
            MaxFail::Count(count) => count,
            MaxFail::Share(share) => ((share * runs as f64).ceil() as usize).max(1),
        }
    }
}

impl FromStr for MaxFail {
    type Err = String;

    fn from_str(text: &str) -> Result<MaxFail, String> {
        let wrong = || format!("\"{text}\" is neither a count from 1 nor a share such as 10%");
        match text.trim().strip_suffix('%') {
            Some(percent) => {
                let percent: f64 = percent.trim().parse().map_err(|_| wrong())?;
                (percent > 0.0 && percent <= 100.0).then_some(MaxFail::Share(percent / 100.0)).ok_or_else(wrong)
            }
            None => match text.trim().parse() {
                Ok(count @ 1..) => Ok(MaxFail::Count(count)),
                _ => Err(wrong()),
            },
        }
    }
}

/// Which runs go first, of one priority.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// Every cell's first seed before its second: the cheapest answer to every question first.
    #[default]
    Seeds,
    /// All seeds of a cell together, cells as in the file.
    Cells,
    /// As `Seeds`, and of one seed the quick ones first.
    Shortest,
}

impl Order {
    const NAMES: [(&'static str, Order); 3] =
        [("seeds", Order::Seeds), ("cells", Order::Cells), ("shortest", Order::Shortest)];
}

/// Which trained models stay in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    None,
    /// Every run's last state.
    Last,
    /// The best so many runs of each cell, by dev score.
    Best(u32),
}

/// A span of time as people write it: `90s`, `2h 30m`, `1 day`.
///
/// # Errors
/// Anything else, and what is negative or not finite.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is no span of time; write 90s, 15m, 2h, 2h 30m");
    // Days and weeks have no fixed length in general; here they are for clocks that run on.
    let text_in_hours = match text.trim().strip_suffix('d').and_then(|days| days.trim().parse::<f64>().ok()) {
        Some(days) => format!("{}s", (days * 86_400.0).round()),
        None => text.trim().to_owned(),
    };
    let span: SignedDuration = text_in_hours.parse().map_err(|_| wrong())?;
    Duration::try_from(span).map_err(|_| wrong())
}

/// `[run]` of a sweep file.
pub(super) fn read(table: Table) -> RunTable {
    let (executor, slurm, command) = cluster::executor(&table);
    let run = RunTable {
        devices: devices(&table),
        slots_per_device: slots(&table),
        fuse: fuse(&table),
        scores_at_end: word(&table, "scores", &[("each epoch", false), ("end", true)]).unwrap_or(false),
        mps: super::stages::flag(&table, "mps").unwrap_or(false),
        oom_fails: word(&table, "oom", &[("ease", false), ("fail", true)]).unwrap_or(false),
        max_fail: max_fail(&table),
        timeout: time(&table, "timeout"),
        stall: time(&table, "stall"),
        time_budget: time(&table, "time_budget"),
        order: word(&table, "order", &Order::NAMES).unwrap_or_default(),
        checkpoint_every: checkpoint_every(&table),
        data: table.texts("data").unwrap_or_default(),
        models: table.texts("models").unwrap_or_default(),
        keep: keep(&table),
        min_free: min_free(&table),
        notify: table.text("notify"),
        tensorboard: super::stages::flag(&table, "tensorboard").unwrap_or(false),
        results: table.text("results"),
        reports: table.text("reports"),
        executor,
        slurm,
        command,
    };
    table.finish();
    run
}

/// `[run] devices`; `None` is "auto".
fn devices(table: &Table) -> Option<Vec<String>> {
    let devices = table.placed_texts("devices")?;
    let help = "write devices = \"auto\", or a list of \"cpu\", \"cuda:0\", \"GPU-<uuid>\", \"MIG-<uuid>\"";
    if let (true, Some(entry)) = (devices.is_empty(), table.get("devices")) {
        table.faults().add(Fault::new(entry.span(), "devices is empty", "nothing to train on").help(help));
    }
    let alone = devices.len() == 1;
    for (device, span) in &devices {
        let index = device.strip_prefix("cuda:").and_then(|index| index.parse::<u32>().ok());
        let is_number = index.is_some_and(|index| *device == format!("cuda:{index}"));
        let is_gpu = is_number || ["GPU-", "MIG-"].iter().any(|kind| device.len() > 4 && device.starts_with(kind));
        if device == "auto" && !alone {
            table.faults().add(Fault::new(span.clone(), "\"auto\" stands alone", "among other devices").help(help));
        } else if !["auto", "cpu"].contains(&device.as_str()) && !is_gpu {
            let title = format!("\"{device}\" is no device");
            table.faults().add(Fault::new(span.clone(), title, "not known").help(help));
        }
    }
    let devices: Vec<String> = devices.into_iter().map(|(device, _)| device).collect();
    (devices != ["auto"]).then_some(devices)
}

/// `slots_per_device`: a count, or "auto".
fn slots(table: &Table) -> Option<Slots> {
    let number = Number {
        name: "slots_per_device",
        what: "worker processes on a device",
        domain: Domain::Whole { from: 1, to: 256 },
        standard: Standard::Absent("auto"),
    };
    let entry = table.get("slots_per_device")?;
    if matches!(entry.get_ref(), DeValue::String(word) if word == "auto") {
        return Some(Slots::Auto);
    }
    match checked(&number, entry, table.faults())? {
        Value::Whole(n) => Some(Slots::Count(n as u32)),
        _ => None,
    }
}

/// Most runs in one program.
pub const FUSE: u32 = 64;

fn fuse(table: &Table) -> Option<u32> {
    let number = Number {
        name: "fuse",
        what: "runs that are trained side by side in one program",
        domain: Domain::Whole { from: 1, to: i64::from(FUSE) },
        standard: Standard::Absent("1"),
    };
    match checked(&number, table.get("fuse")?, table.faults())? {
        Value::Whole(n) => Some(n as u32),
        _ => None,
    }
}

/// One of a few words.
pub(super) fn word<T: Copy>(table: &Table, key: &str, words: &[(&str, T)]) -> Option<T> {
    let text = table.text(key)?;
    let found = words.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
    if found.is_none() {
        let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        let title = format!("{key} in [run] must be one of {}", names.join(", "));
        wrong::<T>(table, key, title, suggestion(&text, names));
    }
    found
}

fn time(table: &Table, key: &str) -> Option<Duration> {
    let text = table.text(key)?;
    match duration(&text) {
        Ok(time) if !time.is_zero() => Some(time),
        Ok(_) => wrong(table, key, format!("{key} in [run] must be longer than nothing"), "write 90s, 15m, 2h".into()),
        Err(why) => wrong(table, key, format!("{key} in [run] must be a span of time"), why),
    }
}

/// A span of time, or "off".
fn checkpoint_every(table: &Table) -> Option<Duration> {
    match table.get("checkpoint_every")?.get_ref() {
        DeValue::String(word) if word == "off" => Some(Duration::ZERO),
        _ => time(table, "checkpoint_every"),
    }
}

fn max_fail(table: &Table) -> Option<MaxFail> {
    let text = match value(table.get("max_fail")?.get_ref()) {
        Some(Value::Whole(n)) => n.to_string(),
        Some(Value::Word(text)) => text,
        _ => String::new(),
    };
    let title = "max_fail in [run] must be a count of runs, or a share of them";
    match text.parse() {
        Ok(most) => Some(most),
        Err(why) => wrong(table, "max_fail", title.to_owned(), why),
    }
}

fn keep(table: &Table) -> Option<Keep> {
    let entry = table.get("keep")?;
    match entry.get_ref() {
        DeValue::Boolean(true) => return Some(Keep::Last),
        DeValue::Boolean(false) => return Some(Keep::None),
        DeValue::String(word) if word == "none" => return Some(Keep::None),
        DeValue::String(word) if word == "last" => return Some(Keep::Last),
        DeValue::Table(inner) => {
            let rule = Table::new("keep in [run]", inner, table.faults());
            let best = rule.get("best").and_then(best);
            rule.finish();
            if let Some(best) = best {
                return Some(Keep::Best(best));
            }
        }
        _ => {}
    }
    let title = "keep in [run] must be \"none\", \"last\" or { best = 3 }".to_owned();
    wrong(table, "keep", title, "last keeps every trained model, best the k of each cell that score best".into())
}

fn best(entry: &Entry) -> Option<u32> {
    match value(entry.get_ref()) {
        Some(Value::Whole(k @ 1..)) => u32::try_from(k).ok(),
        _ => None,
    }
}

fn min_free(table: &Table) -> Option<u64> {
    let text = table.text("min_free")?;
    match text.parse::<ByteSize>() {
        Ok(size) => Some(size.as_u64()),
        Err(_) => {
            let help = "write 500 MB, 2 GB, 1 GiB".to_owned();
            wrong(table, "min_free", "min_free in [run] must be an amount of space".to_owned(), help)
        }
    }
}

pub(super) fn wrong<T>(table: &Table, key: &str, title: String, help: String) -> Option<T> {
    let entry = table.get(key)?;
    table.faults().add(Fault::new(entry.span(), title, format!("this is {}", kind(entry.get_ref()))).help(help));
    None
}

impl fmt::Display for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Slots::Auto => f.write_str("auto"),
            Slots::Count(n) => write!(f, "{n}"),
        }
    }
}

impl FromStr for Slots {
    type Err = String;

    fn from_str(text: &str) -> Result<Slots, String> {
        match text.parse() {
            _ if text == "auto" => Ok(Slots::Auto),
            Ok(count @ 1..=256) => Ok(Slots::Count(count)),
            _ => Err("a count from 1 to 256, or auto".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use toml::de::DeTable;

    use super::super::table::Collector;
    use super::*;

    fn of(text: &str) -> (RunTable, Vec<String>) {
        let faults = Collector::default();
        let root = DeTable::parse(text).unwrap();
        let run = read(Table::new("[run]", root.get_ref(), &faults));
        (run, faults.into_faults().into_iter().map(|fault| fault.title).collect())
    }

    #[test]
    fn every_key_is_read() {
        let (run, faults) = of("devices = [\"cpu\"]\nslots_per_device = \"auto\"\nmps = true\noom = \"fail\"\n\
             max_fail = \"10%\"\ntimeout = \"2h 30m\"\nstall = \"90s\"\ntime_budget = \"2d\"\norder = \"cells\"\n\
             checkpoint_every = \"off\"\nkeep = { best = 2 }\nmin_free = \"2 GiB\"\nnotify = \"cat\"\ntensorboard = true");
        assert_eq!(faults, [""; 0]);
        assert_eq!((run.slots_per_device, run.mps, run.oom_fails), (Some(Slots::Auto), true, true));
        assert_eq!(run.max_fail, Some(MaxFail::Share(0.1)));
        assert_eq!((run.timeout, run.stall), (Some(Duration::from_secs(9000)), Some(Duration::from_secs(90))));
        assert_eq!((run.time_budget, run.order), (Some(Duration::from_secs(172_800)), Order::Cells));
        assert_eq!((run.checkpoint_every, run.keep), (Some(Duration::ZERO), Some(Keep::Best(2))));
        assert_eq!((run.min_free, run.notify.as_deref(), run.tensorboard), (Some(2 << 30), Some("cat"), true));
        assert_eq!((MaxFail::Share(0.1).of(95), MaxFail::Share(0.001).of(3), MaxFail::Count(4).of(2)), (10, 1, 4));
    }

    #[test]
    fn what_cannot_be_meant_is_told() {
        for (text, said) in [
            ("max_fail = 0", "max_fail in [run] must be a count"),
            ("max_fail = \"110%\"", "max_fail in [run] must be a count"),
            ("timeout = \"soon\"", "timeout in [run] must be a span of time"),
            ("timeout = 5", "timeout in [run] must be a text"),
            ("timeout = \"0s\"", "timeout in [run] must be longer than nothing"),
            ("timeout = \"-2h\"", "timeout in [run] must be a span of time"),
            ("oom = \"retry\"", "oom in [run] must be one of ease, fail"),
            ("order = \"seed\"", "order in [run] must be one of seeds, cells, shortest"),
            ("keep = \"all\"", "keep in [run] must be"),
            ("keep = { best = 0 }", "keep in [run] must be"),
            ("min_free = \"much\"", "min_free in [run] must be an amount"),
            ("slots_per_device = 0", "slots_per_device must be"),
            ("max_fails = 3", "unknown key \"max_fails\" in [run]"),
        ] {
            let (_, faults) = of(text);
            assert!(faults.len() == 1 && faults[0].starts_with(said), "{text}: {faults:?}");
        }
    }
}
