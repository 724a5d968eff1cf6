//! What was run and by what, as pairs of a name and a value.

use std::collections::{BTreeMap, HashSet};

use crate::frame::{Record, Study, duration};

pub struct Fact {
    pub name: &'static str,
    pub value: String,
}

/// What the sweep is made of. Facts without a value are left out, here and in [`provenance`].
pub fn facts(study: &Study, records: &[Record]) -> Vec<Fact> {
    let runs = || study.planned.iter().map(|(_, run)| run);
    let mut seeds: Vec<u64> = runs().map(|r| r.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    let seeds = match seeds[..] {
        [] => String::new(),
        [first, .., last] if last - first + 1 == seeds.len() as u64 => format!("{first} to {last}"),
        _ => listed(seeds.iter().map(u64::to_string)),
    };
    let total: f64 = records.iter().map(|r| r.made.total_seconds()).sum();
    let facts = [
        Fact { name: "tasks", value: listed(runs().map(|r| r.task.name.clone())) },
        Fact { name: "model", value: listed(runs().map(|r| r.model.name.clone())) },
        Fact { name: "modes", value: listed(runs().map(|r| r.mode.clone())) },
        Fact { name: "seeds", value: seeds },
        Fact { name: "devices", value: listed(records.iter().map(device)) },
        Fact { name: "commit", value: listed(records.iter().map(|r| short(&r.made.commit))) },
        Fact { name: "time of all runs", value: if records.is_empty() { String::new() } else { duration(total) } },
    ];
    facts.into_iter().filter(|f| !f.value.is_empty()).collect()
}

/// Programs, devices, data and models that the records name.
pub fn provenance(records: &[Record]) -> Vec<Fact> {
    let started = || records.iter().map(|r| r.made.started.clone()).filter(|s| !s.is_empty());
    let mut phases: BTreeMap<&str, f64> = BTreeMap::new();
    for (phase, seconds) in records.iter().flat_map(|r| &r.made.seconds) {
        *phases.entry(phase).or_default() += seconds;
    }
    let phases: Vec<String> = phases.iter().map(|(phase, s)| format!("{phase} {}", duration(*s))).collect();
    let peak = records.iter().map(|r| r.made.peak_memory_mib).fold(0.0, f64::max);
    let facts = [
        Fact { name: "sweep", value: listed(records.iter().map(|r| r.made.version.clone())) },
        Fact { name: "commit", value: listed(records.iter().map(|r| r.made.commit.clone())) },
        Fact { name: "libtorch", value: listed(records.iter().map(|r| r.made.libtorch.clone())) },
        Fact { name: "threads a run", value: listed(records.iter().map(|r| r.made.threads.to_string())) },
        Fact { name: "first run started", value: started().min().unwrap_or_default() },
        Fact { name: "last run started", value: started().max().unwrap_or_default() },
        Fact { name: "time by phase", value: phases.join(", ") },
        Fact { name: "peak memory", value: if peak > 0.0 { format!("{peak:.0} MiB") } else { String::new() } },
        Fact { name: "data (hash)", value: listed(records.iter().map(|r| hashed(&r.run.task.name, &r.run.task.hash))) },
        Fact {
            name: "model (hash)",
            value: listed(records.iter().map(|r| hashed(&r.run.model.name, &r.run.model.hash))),
        },
    ];
    facts.into_iter().filter(|f| !f.value.is_empty()).collect()
}

/// Distinct values in order of appearance, with commas; of very many the first.
fn listed(values: impl Iterator<Item = String>) -> String {
    let mut seen: HashSet<String> = HashSet::new();
    let mut first: Vec<String> = Vec::new();
    for value in values.filter(|v| !v.is_empty()) {
        if seen.contains(&value) {
            continue;
        }
        if first.len() < MOST_LISTED {
            first.push(value.clone());
        }
        seen.insert(value);
    }
    match seen.len() - first.len() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

const MOST_LISTED: usize = 40;

fn device(record: &Record) -> String {
    let made = &record.made;
    if made.device_name.is_empty() { made.device.clone() } else { format!("{} ({})", made.device, made.device_name) }
}

/// The first digits of a commit, and the `+` that marks a changed tree.
fn short(commit: &str) -> String {
    let digits: String = commit.chars().take_while(|c| *c != '+').take(12).collect();
    if commit.ends_with('+') { digits + "+" } else { digits }
}

fn hashed(name: &str, hash: &str) -> String {
    format!("{name} {}", hash.chars().take(12).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn very_many_values_are_counted() {
        let many = (0..100).chain(0..100).map(|i| i.to_string());
        assert!(listed(many).ends_with(", 38, 39 and 60 more"));
        assert_eq!(listed(["b", "a", "", "b"].map(str::to_owned).into_iter()), "b, a");
    }

    #[test]
    fn a_commit_keeps_its_mark() {
        assert_eq!(short("0123456789abcdef+"), "0123456789ab+");
        assert_eq!(short(""), "");
    }
}
