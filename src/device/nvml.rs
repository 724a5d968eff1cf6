//! The cards that NVML, the library behind `nvidia-smi`, knows. It is loaded at run time, so the program starts where
//! there is none.

use std::ffi::OsStr;

use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::{Device, Nvml};

use super::card::{Card, Cards, Memory, Tenant};

/// Machines without the packages for developers have the first name alone.
const LIBRARIES: [&str; 2] = ["libnvidia-ml.so.1", "libnvidia-ml.so"];

struct Machine(Nvml);

/// The cards of this machine; `None` where NVML cannot be loaded or does not start.
pub fn cards() -> Option<Box<dyn Cards>> {
    let load = |library: &&str| Nvml::builder().lib_path(OsStr::new(library)).init().ok();
    LIBRARIES.iter().find_map(load).map(|nvml| Box::new(Machine(nvml)) as Box<dyn Cards>)
}

impl Cards for Machine {
    fn look(&self) -> Vec<Card> {
        let mut cards = Vec::new();
        for index in 0..self.0.device_count().unwrap_or(0) {
            // A card that fell off the bus has no handle, and one that we may not use has none either.
            let Ok(device) = self.0.device_by_index(index) else { continue };
            let Some(whole) = card(&device, index, None) else { continue };
            match device.mig_mode() {
                Ok(mode) if mode.current != 0 => cards.extend(instances(&device, index, &whole)),
                // Cards that cannot be cut answer with an error.
                _ => cards.push(whole),
            }
        }
        cards
    }
}

fn instances(device: &Device, index: u32, whole: &Card) -> Vec<Card> {
    let numbers = 0..device.mig_device_count().unwrap_or(0);
    let parts = numbers.filter_map(|number| device.mig_device_by_index(number).ok());
    let cards = parts.filter_map(|part| card(&part, index, Some(whole)));
    cards.collect()
}

fn card(device: &Device, index: u32, whole: Option<&Card>) -> Option<Card> {
    let memory = device.memory_info().ok();
    let mut card = Card {
        uuid: device.uuid().ok()?,
        parent: whole.map(|card| card.uuid.clone()),
        index,
        name: device.name().or_else(|error| whole.map(|card| card.name.clone()).ok_or(error)).ok()?,
        memory: memory.map(|of| Memory { free: of.free, used: of.used, total: of.total }),
        temperature: device.temperature(TemperatureSensor::Gpu).ok(),
        utilisation: device.utilization_rates().ok().map(|rates| rates.gpu),
        tenants: Vec::new(),
    };
    if let Some(whole) = whole {
        // An instance has no sensor of its own.
        card.temperature = card.temperature.or(whole.temperature);
    }
    // Clients of MPS stand in a list of their own.
    let lists = [device.running_compute_processes(), device.mps_running_compute_processes()];
    for process in lists.into_iter().flatten().flatten() {
        let memory = match process.used_gpu_memory {
            UsedGpuMemory::Used(bytes) => Some(bytes),
            UsedGpuMemory::Unavailable => None,
        };
        if !card.tenants.iter().any(|tenant| tenant.pid == process.pid) {
            card.tenants.push(Tenant { pid: process.pid, memory });
        }
    }
    Some(card)
}
