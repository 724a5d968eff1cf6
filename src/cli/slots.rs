//! Slots for the workers of a sweep: how many on each device, each with its lease.

use std::sync::Arc;

use anyhow::Result;

use super::Refusal;
use super::devices::{self, Found};
use crate::device::card::gib;
use crate::device::lease::{Holder, runtime_folder};
use crate::device::mps::Mps;
use crate::device::{Card, Device, Gauge, Lease, Leases, cpu, packing};
use crate::schedule::Slot;
use crate::spec::Slots;

/// How many lease numbers of a CPU are tried before it is thought to be full.
const MOST_CPU_LEASES: usize = 4096;

/// Slots that are ours, and what the user should know about them.
pub struct Taken {
    pub slots: Vec<Slot>,
    pub notes: Vec<String>,
    /// Ends with the last sweep that uses it.
    pub mps: Option<Mps>,
}

/// What a sweep wants of its devices.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// The sweep's name, for those who find its leases.
    pub sweep: &'a str,
    /// `None` is one worker on a GPU, and on the CPU what `auto` does.
    pub per_device: Option<Slots>,
    /// Workers on the CPU where no number is given.
    pub cpu_workers: usize,
    pub runs: usize,
    pub mps: bool,
}

impl Wish<'_> {
    /// Workers on a device at most, and whether its memory decides how many of them work.
    pub fn of(&self, device: &Device, gpus: usize) -> (usize, bool) {
        match self.per_device {
            Some(Slots::Count(count)) => (count as usize, false),
            _ if !device.is_gpu() => (self.cpu_workers, false),
            Some(Slots::Auto) if device.card().is_some_and(|card| card.memory.is_some()) => {
                // Each worker needs a core to keep its GPU busy.
                let most = packing::MOST.min(cpu::cores() / gpus.max(1)).min(self.runs);
                (most.max(1), true)
            }
            Some(Slots::Auto) | None => (1, false),
        }
    }
}

impl Wish<'_> {
    /// Workers on all devices at most.
    pub fn total(&self, found: &Found) -> usize {
        let gpus = found.devices.iter().filter(|device| device.is_gpu()).count();
        found.devices.iter().map(|device| self.of(device, gpus).0).sum()
    }
}

/// Takes the slots of a sweep.
///
/// # Errors
/// Other sweeps hold every device; the folder of leases cannot be used.
pub fn take(found: &Found, wish: Wish) -> Result<Taken> {
    let leases = Leases::open()?;
    let (mut slots, mut notes): (Vec<Slot>, Vec<String>) = (Vec::new(), found.notes.clone());
    let mut busy = Vec::new();
    let gpus = found.devices.iter().filter(|device| device.is_gpu()).count();
    for device in &found.devices {
        let (count, by_memory) = wish.of(device, gpus);
        let (own, held) = if device.is_gpu() {
            these(&leases, device, wish.sweep, 0..count)?
        } else {
            cpu_leases(&leases, device, wish.sweep, count)?
        };
        notes.extend(shared(device, own.len(), count, &held));
        if own.is_empty() {
            busy.push(format!("{} by {}", device.describe(), people(&held)));
            continue;
        }
        notes.extend(device.card().and_then(|card| neighbours(device, card)));
        slots.extend(own.into_iter().map(|lease| on(found, device, by_memory, lease)));
    }
    if slots.is_empty() {
        let say = format!(
            "every device is taken: {}. Wait for it, name other devices with --devices, or let more runs share one \
             with --slots-per-device",
            busy.join("; ")
        );
        return Err(Refusal(say).into());
    }
    // The workers of all devices share the cores: those of a GPU tokenize with them.
    let threads = (cpu::cores() / slots.len()).max(1) as u32;
    slots.iter_mut().for_each(|slot| slot.threads = threads);
    let mps = if wish.mps { service(&mut slots, &mut notes) } else { None };
    Ok(Taken { slots, notes, mps })
}

/// What `take` would take, in words; `why` tells of the CPU's number.
pub fn sketch(found: &Found, wish: Wish, why: &str) -> Vec<String> {
    let gpus = found.devices.iter().filter(|device| device.is_gpu()).count();
    let counts: Vec<(usize, bool)> = found.devices.iter().map(|device| wish.of(device, gpus)).collect();
    let threads = (cpu::cores() / wish.total(found).max(1)).max(1);
    let unit = if threads == 1 { "thread" } else { "threads" };
    let one = |(device, (count, by_memory)): (&Device, &(usize, bool))| {
        let how = match (by_memory, device.is_gpu() || why.is_empty()) {
            (true, _) => format!("up to {count} × {threads} {unit}, as its memory allows"),
            (false, true) => format!("{count} × {threads} {unit}"),
            (false, false) => format!("{count} × {threads} {unit}, {why}"),
        };
        format!("{} ({how})", device.label)
    };
    found.devices.iter().zip(&counts).map(one).collect()
}

/// The leases of these numbers that are free, and who has the others.
fn these(
    leases: &Leases,
    device: &Device,
    sweep: &str,
    numbers: impl Iterator<Item = usize>,
) -> Result<(Vec<Lease>, Vec<Option<Holder>>)> {
    let (mut own, mut held) = (Vec::new(), Vec::new());
    for number in numbers {
        match leases.take(device.key(), &device.label, number, sweep)? {
            Ok(lease) => own.push(lease),
            Err(holder) => held.push(holder),
        }
    }
    Ok((own, held))
}

/// A CPU can always be shared, so taken numbers are passed over.
fn cpu_leases(
    leases: &Leases,
    device: &Device,
    sweep: &str,
    count: usize,
) -> Result<(Vec<Lease>, Vec<Option<Holder>>)> {
    let (mut own, mut held) = (Vec::new(), Vec::new());
    for number in 0..MOST_CPU_LEASES {
        if own.len() == count {
            break;
        }
        let (more, others) = these(leases, device, sweep, std::iter::once(number))?;
        own.extend(more);
        held.extend(others);
    }
    Ok((own, held))
}

fn on(found: &Found, device: &Device, by_memory: bool, lease: Lease) -> Slot {
    let mut slot = devices::slot(device, 1);
    slot.lease = Some(Arc::new(lease));
    if let (Some(cards), Some(card)) = (&found.cards, device.card())
        && let Some(memory) = card.memory
    {
        slot.gauge = Some(Gauge::new(cards.clone(), &card.uuid, memory.used));
        slot.room = by_memory.then(|| packing::room(memory.free));
    }
    slot
}

/// What other sweeps on a device mean for this one.
fn shared(device: &Device, own: usize, wanted: usize, held: &[Option<Holder>]) -> Option<String> {
    if held.is_empty() {
        return None;
    }
    let (name, people) = (&device.label, people(held));
    Some(match own {
        _ if !device.is_gpu() => {
            format!("the CPU is shared with {people}, {} of its workers: each goes slower", held.len())
        }
        0 => format!("{name} is left out: {people} trains on it"),
        _ => format!("{name} is shared with {people}: {own} of {wanted} slots are left for this sweep"),
    })
}

/// Each sweep once.
fn people(held: &[Option<Holder>]) -> String {
    let mut named: Vec<String> = Vec::new();
    for holder in held {
        let text = holder.as_ref().map_or_else(|| "a sweep that is just starting".to_owned(), Holder::describe);
        if !named.contains(&text) {
            named.push(text);
        }
    }
    named.join(" and ")
}

/// Who else computes on a card, and what is left of its memory.
fn neighbours(device: &Device, card: &Card) -> Option<String> {
    if card.tenants.is_empty() {
        return None;
    }
    let who: Vec<String> = card.tenants.iter().map(|tenant| tenant.describe()).collect();
    let left = card.memory.map(|memory| {
        format!(": {} of {} GiB are free, and this sweep uses no more", gib(memory.free), gib(memory.total))
    });
    Some(format!("{} is also used by {}{}", device.describe(), who.join(", "), left.unwrap_or_default()))
}

/// NVIDIA's multi-process service for the slots on GPUs. Without it runs on one GPU take turns, which is slower and
/// changes no result, so the sweep goes on.
fn service(slots: &mut [Slot], notes: &mut Vec<String>) -> Option<Mps> {
    if slots.iter().all(|slot| slot.device == "cpu") {
        notes.push("mps = true has no effect: no GPU is used".to_owned());
        return None;
    }
    let started = runtime_folder().and_then(|folder| Ok(Mps::start(&folder.join("mps"))?));
    match started {
        Ok(mps) => {
            let gpus = slots.iter_mut().filter(|slot| slot.device != "cpu");
            gpus.for_each(|slot| slot.env.extend(mps.environment()));
            Some(mps)
        }
        Err(why) => {
            notes.push(format!(
                "mps = true, but there is no multi-process service: {why:#}. Runs on one GPU take turns"
            ));
            None
        }
    }
}
