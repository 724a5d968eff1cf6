//! `sweep doctor`: what is there, what is missing, and the command that mends it.

pub mod cluster;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::run::take_lock;
use super::workspace::{Inputs, Workspace, results_root};
use super::{Exit, Places, devices, print};
use crate::device::card::gib;
use crate::device::{self, Card, Device, Leases, cpu, visible};
use crate::disk::{bytes, free_bytes, leftovers, usage};
use crate::model;
use crate::plan::RunId;
use crate::record::lock::Beside;
use crate::record::store::Store;
use crate::spec::cluster::Executor;
use crate::task;

/// Free space under which a sweep may not get far.
const LITTLE_DISK_GIB: f64 = 2.0;
/// Free memory under which even small models may not train, bytes.
const LITTLE_MEMORY: u64 = 2 << 30;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    places: Places,
    /// Remove from the results what no run needs any more
    #[arg(long)]
    clean: bool,
    /// Look at a cluster too, by a tiny job on one of its nodes: slurm
    #[arg(long, value_name = "WHERE")]
    executor: Option<Executor>,
    /// The sweep file whose [run.slurm] says how jobs are asked for
    #[arg(long, value_name = "FILE")]
    sweep: Option<PathBuf>,
}

struct Finding {
    good: bool,
    what: String,
    /// The command that mends it.
    mend: Option<&'static str>,
}

fn good(what: String) -> Finding {
    Finding { good: true, what, mend: None }
}

fn bad(what: String, mend: &'static str) -> Finding {
    Finding { good: false, what, mend: Some(mend) }
}

pub fn main(arguments: &Arguments) -> Result<Exit> {
    let mut findings = libtorch();
    let bf16 =
        if cpu::has_bf16() { "has bf16 instructions" } else { "has no bf16 instructions: expect no speed of bf16" };
    findings.push(good(format!("the CPU {bf16}")));
    findings.extend(cards());
    findings.extend(leases());
    findings.push(memory());
    findings.extend(models(&arguments.places));
    findings.extend(data(&arguments.places));
    let store = Store::new(results_root(&arguments.places, None));
    findings.push(disk(store.root()));
    findings.extend(cache(&store, arguments.clean)?);
    if arguments.executor == Some(Executor::Slurm) {
        let asked = match &arguments.sweep {
            Some(file) => Workspace::open(file, &arguments.places, None, Inputs::MayLack)?.sweep.run.slurm,
            None => None,
        };
        findings.extend(cluster::findings(store.root(), &asked.unwrap_or_default())?);
    }
    let missing = findings.iter().filter(|f| !f.good).count();
    for finding in findings {
        print(&format!("{}  {}", if finding.good { "ok     " } else { "missing" }, finding.what))?;
        if let Some(mend) = finding.mend {
            print(&format!("         mend it: {mend}"))?;
        }
    }
    print(&match missing {
        0 => "everything is there: `sweep run sweeps/quickstart.toml`".to_owned(),
        n => format!("{n} missing"),
    })?;
    Ok(if missing == 0 { Exit::Done } else { Exit::Usage })
}

fn libtorch() -> Vec<Finding> {
    let probed = devices::worker_program().and_then(|worker| devices::probe(&worker));
    match probed {
        Ok(probe) => {
            let mut findings = vec![good(format!("libtorch {}", probe.libtorch))];
            findings.extend(probe.devices.iter().map(|device| {
                let gib = |bytes: u64| bytes as f64 / (1u64 << 30) as f64;
                let memory =
                    device.memory.map(|(free, total)| format!(", {:.1} of {:.1} GiB free", gib(free), gib(total)));
                good(format!("device {}: {}{}", device.name, device.hardware, memory.unwrap_or_default()))
            }));
            if devices::has_driver() && !probe.devices.iter().any(|device| device.name.starts_with("cuda")) {
                let what = "an NVIDIA driver is here, but libtorch has no CUDA".to_owned();
                findings.push(bad(
                    what,
                    "SWEEP_LIBTORCH=full make setup, or LD_LIBRARY_PATH at the lib folder of a torch 2.11.0 with CUDA",
                ));
            }
            findings
        }
        Err(error) => vec![bad(format!("libtorch: {error:#}"), "make setup build")],
    }
}

/// The cards as the driver knows them, whoever may see them, and who is on them.
fn cards() -> Vec<Finding> {
    let Some(cards) = device::cards() else { return Vec::new() };
    let all = cards.look();
    let variable = devices::variable();
    let seen = Device::of_cards(&visible::visible(variable.as_deref(), &all));
    let mut findings = Vec::new();
    if let (Some(variable), false) = (&variable, all.is_empty()) {
        let (count, of) = (seen.len(), all.len());
        findings.push(good(format!("CUDA_VISIBLE_DEVICES={variable} shows {count} of {of} cards to this program")));
    }
    for card in &all {
        let label = seen.iter().find(|device| device.key() == card.uuid).map(|device| device.label.as_str());
        findings.push(good(card_line(card, label.unwrap_or("hidden"))));
        let on = |tenant: &device::Tenant| good(format!("  on it: {}", tenant.describe()));
        findings.extend(card.tenants.iter().map(on));
    }
    findings
}

/// `card cuda:0: NVIDIA H100, GPU-1f3a…, 79.1 of 80.0 GiB free, 34 °C, 7 % busy`.
fn card_line(card: &Card, label: &str) -> String {
    let memory = card.memory.map(|memory| format!("{} of {} GiB free", gib(memory.free), gib(memory.total)));
    let temperature = card.temperature.map(|degrees| format!("{degrees} °C"));
    let busy = card.utilisation.map(|percent| format!("{percent} % busy"));
    let facts: Vec<String> =
        [Some(card.name.clone()), Some(card.uuid.clone()), memory, temperature, busy].into_iter().flatten().collect();
    format!("card {label}: {}", facts.join(", "))
}

/// Sweeps of this user that hold slots of devices now.
fn leases() -> Vec<Finding> {
    match Leases::open() {
        Ok(leases) => {
            let holders = leases.holders().into_iter();
            holders.map(|by| good(format!("slot {} of {} is held by {}", by.slot, by.label, by.describe()))).collect()
        }
        Err(error) => vec![bad(format!("leases of devices: {error:#}"), "export XDG_RUNTIME_DIR=~/.cache")],
    }
}

fn memory() -> Finding {
    let (free, total) = cpu::memory();
    let what = format!("memory: {} of {} GiB free", gib(free), gib(total));
    if free < LITTLE_MEMORY { bad(what, "end other programs, or lower slots_per_device in [run]") } else { good(what) }
}

fn models(places: &Places) -> Vec<Finding> {
    let roots: Vec<PathBuf> = places.models.iter().cloned().chain([PathBuf::from("models")]).collect();
    let mut findings = Vec::new();
    for root in &roots {
        let Ok(entries) = std::fs::read_dir(root) else { continue };
        let mut folders: Vec<PathBuf> =
            entries.flatten().map(|e| e.path()).filter(|p| p.join("config.json").is_file()).collect();
        folders.sort();
        for folder in folders {
            findings.push(match model::check(&folder) {
                Ok(config) => {
                    good(format!("model {}: {}, {} layers", folder.display(), config.model_type, config.layers))
                }
                Err(error) => bad(format!("model {error:#}"), "fetch the model again, or remove its folder"),
            });
        }
    }
    if findings.is_empty() {
        let places: Vec<String> = roots.iter().map(|r| r.display().to_string()).collect();
        findings.push(bad(format!("no model under {}", places.join(", ")), "make setup"));
    }
    findings
}

fn data(places: &Places) -> Vec<Finding> {
    let roots: Vec<PathBuf> = places.data.iter().cloned().chain([PathBuf::from("data")]).collect();
    let (there, absent): (Vec<&str>, Vec<&str>) =
        task::names().into_iter().partition(|name| task::resolve(name, &roots).is_ok());
    let looked: Vec<String> = roots.iter().map(|r| r.display().to_string()).collect();
    let mut findings = Vec::new();
    if there.is_empty() {
        findings.push(bad(format!("no data under {}", looked.join(", ")), "make setup"));
    } else {
        findings.push(good(format!("data for {}", there.join(", "))));
    }
    if !absent.is_empty() {
        // Not everybody needs every data set, so this is no fault.
        findings.push(good(format!(
            "(no data for {}; lay the files in the GLUE layout under --data or SWEEP_DATA)",
            absent.join(", ")
        )));
    }
    findings
}

fn disk(results: &Path) -> Finding {
    let place = results.ancestors().find(|p| p.is_dir()).unwrap_or(Path::new("."));
    match free_gib(place) {
        Some(free) if free < LITTLE_DISK_GIB => {
            bad(format!("disk: {free:.1} GiB free for results"), "free some space, or point --results at another disk")
        }
        Some(free) => good(format!("disk: {free:.1} GiB free for results")),
        None => good("disk: free space unknown".to_owned()),
    }
}

/// What the cache of the results takes by kind, and what of it may go.
fn cache(store: &Store, clean: bool) -> Result<Vec<Finding>> {
    let parts = usage(&store.cache());
    if parts.is_empty() {
        return Ok(Vec::new());
    }
    let kinds: Vec<String> = parts
        .iter()
        .map(|part| {
            let what = match part.name.as_str() {
                "trained" => format!("{} trained models", part.entries),
                "checkpoints" => format!("checkpoints of {} runs", part.entries),
                "fisher" => "Fisher scores".to_owned(),
                "tokens" => "tokenized data".to_owned(),
                other => other.to_owned(),
            };
            format!("{what} {}", bytes(part.bytes))
        })
        .collect();
    let all: u64 = parts.iter().map(|part| part.bytes).sum();
    let mut findings = vec![good(format!("{} takes {}: {}", store.cache().display(), bytes(all), kinds.join(", ")))];
    let mut asked: HashSet<RunId> = HashSet::new();
    for name in store.sweeps()? {
        asked.extend(store.manifest(&name)?.into_iter().flat_map(|manifest| manifest.runs).map(|(id, _)| id));
    }
    let left = leftovers(store, &asked);
    if left.is_empty() {
        return Ok(findings);
    }
    let mut whys: Vec<&str> = left.iter().map(|left| left.why).collect();
    whys.sort_unstable();
    let mut counted: Vec<String> = Vec::new();
    for group in whys.chunk_by(|a, b| a == b) {
        counted.push(format!("{} {}", group.len(), group[0]));
    }
    let size = bytes(left.iter().map(|left| left.bytes).sum());
    let what = format!("{} checkpoints and models that no run needs, {size}: {}", left.len(), counted.join(", "));
    if clean {
        // Nobody may be about to write what looks left over.
        let _lock = take_lock(store, "doctor", None, Beside::Nobody)?;
        left.iter().for_each(super::disk::remove);
        findings.push(good(format!("removed {what}")));
    } else {
        findings.push(good(format!("{what}; `sweep doctor --clean` removes them")));
    }
    Ok(findings)
}

fn free_gib(place: &Path) -> Option<f64> {
    free_bytes(place).map(|bytes| bytes as f64 / (1u64 << 30) as f64)
}
