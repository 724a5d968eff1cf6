//! Which devices this machine has, and which of them a sweep trains on.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result};

use super::Refusal;
use crate::device::{self, Card, Cards, Device, Kind, choose, cpu, visible};
use crate::protocol::Probe;
use crate::schedule::Slot;
use crate::spec::RunTable;

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
        None => has_driver() && !variable().is_some_and(|variable| hides_all(&variable)),
    };
    if gpu { "cuda" } else { "cpu" }
}

/// What CUDA_VISIBLE_DEVICES says.
pub fn variable() -> Option<String> {
    std::env::var("CUDA_VISIBLE_DEVICES").ok()
}

fn hides_all(variable: &str) -> bool {
    let first = variable.split(',').next().unwrap_or_default().trim();
    first.is_empty() || first.starts_with("-") || first == "NoDevFiles"
}

pub fn has_driver() -> bool {
    Path::new("/proc/driver/nvidia/version").exists()
}

/// The devices of a sweep.
pub struct Found {
    pub devices: Vec<Device>,
    /// The driver's word on the cards, where it has one.
    pub cards: Option<Arc<dyn Cards>>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// The devices that are asked for: by `--devices`, else by `[run] devices`, else every GPU, else the CPU.
///
/// # Errors
/// A device that is not there, with those that are.
pub fn find(worker: &Path, asked: Option<&str>, run: &RunTable) -> Result<Found> {
    let asked: Option<Vec<String>> = match asked {
        Some("auto") | None => run.devices.clone().filter(|_| asked.is_none()),
        Some(list) => Some(list.split(',').map(|device| device.trim().to_owned()).collect()),
    };
    // Then neither driver nor trainer need be asked.
    let only_cpu = asked.as_ref().is_some_and(|asked| asked.iter().all(|device| device == "cpu"));
    let cards: Option<Arc<dyn Cards>> = if only_cpu { None } else { device::cards().map(Arc::from) };
    let all: Vec<Card> = cards.as_ref().map(|cards| cards.look()).unwrap_or_default();
    let variable = variable();
    let mut gpus = Device::of_cards(&visible::visible(variable.as_deref(), &all));
    let mut notes = Vec::new();
    let unseen = all.is_empty() && !only_cpu && (has_driver() || asked.is_some());
    if unseen || !gpus.is_empty() {
        let probe = probe(worker)?;
        let of_libtorch: Vec<Device> = probe.devices.into_iter().filter_map(of_probe).collect();
        if unseen {
            gpus = of_libtorch;
        } else if of_libtorch.is_empty() {
            if asked.is_none() {
                notes.push(format!(
                    "{} cannot be used: libtorch has no CUDA, so the CPU trains. `sweep doctor` says how to mend it",
                    gpus.iter().map(Device::describe).collect::<Vec<_>>().join(", ")
                ));
            }
            gpus.clear();
        }
    }
    let devices = choose(asked.as_deref(), &gpus, &all, variable.as_deref()).map_err(|no| Refusal(no.to_string()))?;
    Ok(Found { devices, cards, notes })
}

/// A GPU that only the trainer can tell of.
fn of_probe(probed: crate::protocol::ProbedDevice) -> Option<Device> {
    let number = probed.name.strip_prefix("cuda:")?.parse().ok()?;
    Some(Device { label: probed.name, kind: Kind::Unseen { number, hardware: probed.hardware } })
}

/// A slot on a device, with all that its worker must know to find it, and no lease.
pub fn slot(device: &Device, threads: u32) -> Slot {
    let mut slot = Slot::new(&device.for_worker(), threads);
    if let Some(card) = device.card() {
        (slot.label, slot.hardware, slot.env) = (device.label.clone(), card.name.clone(), device.environment());
    }
    slot
}

/// A slot for one worker, which gets all cores, as the commands about trained models want it.
///
/// # Errors
/// A device that is not there.
pub fn one_slot(worker: &Path, asked: Option<&str>, run: &RunTable) -> Result<Slot> {
    let found = find(worker, asked, run)?;
    let device =
        found.devices.first().ok_or_else(|| Refusal("there is no device; --device cpu names one".to_owned()))?;
    Ok(slot(device, cpu::cores() as u32))
}
