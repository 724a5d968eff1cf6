//! Which devices a sweep trains on, and in how many worker processes.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::Refusal;
use crate::protocol::Probe;
use crate::schedule::local::Slot;
use crate::spec::{RunTable, Slots as SlotCount};

/// Beyond this many cores a CPU gets one worker for every four: the runs of one machine share its memory.
const MOST_SINGLE_CORE_SLOTS: usize = 4;

/// The trainer program, which lies beside this one.
///
/// # Errors
/// It is not there.
pub fn worker_program() -> Result<PathBuf> {
    let here = std::env::current_exe().context("cannot find out where this program lies")?;
    let worker = here.with_file_name("sweep-worker");
    if !worker.is_file() {
        let say =
            format!("the trainer {} is missing; `make build` or `make install` makes both programs", worker.display());
        return Err(Refusal(say).into());
    }
    Ok(worker)
}

/// Asks the trainer what it can train on.
///
/// # Errors
/// The trainer does not start: libtorch is missing or another version.
pub fn probe(worker: &Path) -> Result<Probe> {
    let output =
        Command::new(worker).arg("--probe").output().with_context(|| format!("cannot start {}", worker.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let say = format!(
            "the trainer {} does not start; `make setup` fetches libtorch. It said: {}",
            worker.display(),
            said.trim()
        );
        return Err(Refusal(say).into());
    }
    serde_json::from_slice(&output.stdout).context("the trainer's answer cannot be read; build both programs anew")
}

/// The kind of device that a sweep would train on, as far as can be said without asking the trainer.
pub fn kind(asked: Option<&[String]>) -> &'static str {
    let gpu = match asked {
        Some(devices) => devices.iter().any(|device| device != "cpu"),
        None => has_driver(),
    };
    if gpu { "cuda" } else { "cpu" }
}

/// Whether this machine's CPU multiplies bf16 by instructions of its own; without them bf16 is slower than fp32.
pub fn cpu_has_bf16() -> bool {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags").or(line.strip_prefix("Features")));
    flags.is_some_and(|flags| flags.split_whitespace().any(|flag| ["avx512_bf16", "amx_bf16", "bf16"].contains(&flag)))
}

fn has_driver() -> bool {
    Path::new("/proc/driver/nvidia/version").exists()
}

/// The slots of a sweep: `--devices`, else `[run] devices`, else every GPU, else the CPU.
///
/// # Errors
/// A device that is not there, with those that are.
pub fn slots(worker: &Path, asked: Option<&str>, run: &RunTable, per_device: Option<SlotCount>) -> Result<Vec<Slot>> {
    let asked: Option<Vec<String>> = match asked {
        Some("auto") | None => run.devices.clone().filter(|_| asked.is_none()),
        Some(list) => Some(list.split(',').map(|device| device.trim().to_owned()).collect()),
    };
    // Most machines have no GPU, and then the answer is known without starting libtorch.
    let there: Vec<String> = match has_driver() || asked.iter().flatten().any(|device| device != "cpu") {
        true => probe(worker)?.devices.into_iter().map(|device| device.name).collect(),
        false => vec!["cpu".to_owned()],
    };
    let devices = match asked {
        Some(devices) => devices,
        None => {
            let gpus: Vec<String> = there.iter().filter(|name| *name != "cpu").cloned().collect();
            if gpus.is_empty() { vec!["cpu".to_owned()] } else { gpus }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut slots: Vec<Slot> = Vec::new();
    for device in devices {
        if !there.contains(&device) {
            let say = format!(
                "no device \"{device}\" on this machine; it has {}. `sweep doctor` says more",
                there.join(", ")
            );
            return Err(Refusal(say).into());
        }
        let automatic = match device.as_str() {
            // Processes of one thread together do more than one process of many threads: no thread waits for another.
            "cpu" if cores <= MOST_SINGLE_CORE_SLOTS => cores,
            "cpu" => (cores / 4).max(1),
            _ => 1,
        };
        let count = match per_device.or(run.slots_per_device) {
            Some(SlotCount::Count(n)) => n as usize,
            Some(SlotCount::Auto) | None => automatic,
        };
        slots.extend((0..count).map(|_| Slot { device: device.clone(), threads: 1 }));
    }
    // The workers of all devices share the cores: those of a GPU tokenize with them.
    let threads = (cores / slots.len().max(1)).max(1) as u32;
    slots.iter_mut().for_each(|slot| slot.threads = threads);
    Ok(slots)
}
