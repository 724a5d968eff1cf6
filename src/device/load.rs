//! How busy each device is now, for people who watch.

use super::card::Cards;
use super::cpu::{self, Times};
use super::{Device, visible};

/// What the workers of this program are called by the system.
const WORKER: &str = "sweep-worker";

/// One device at one moment; `None` is what the machine does not say.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// `cpu`, `cuda:0`.
    pub label: String,
    /// What the hardware calls itself.
    pub hardware: String,
    /// Bytes of memory: the card's own, or the system's.
    pub used: Option<u64>,
    pub total: Option<u64>,
    /// Share of its time, 0 to 1.
    pub utilisation: Option<f64>,
    /// Degrees Celsius.
    pub temperature: Option<u32>,
    /// Of the CPU: processes that ran or wanted to, over the last minute.
    pub average: Option<f64>,
    /// Processes on a card that are no workers of a sweep, in words.
    pub others: Vec<String>,
}

/// Looks at the devices again and again.
pub struct Loads {
    cards: Option<Box<dyn Cards>>,
    before: Option<Times>,
}

impl Loads {
    /// Of this machine. NVML, where there is one, stays loaded as long as this lives.
    pub fn new() -> Loads {
        Loads::of(super::cards())
    }

    fn of(cards: Option<Box<dyn Cards>>) -> Loads {
        Loads { cards, before: Times::now() }
    }

    /// The CPU, and the GPUs that CUDA_VISIBLE_DEVICES shows. The CPU's share is that since the last look.
    pub fn look(&mut self) -> Vec<Load> {
        let now = Times::now();
        let busy = now.zip(self.before).and_then(|(now, before)| now.busy_since(before));
        self.before = now;
        let (free, total) = cpu::memory();
        let mut loads = vec![Load {
            label: "cpu".to_owned(),
            hardware: cpu::name(),
            used: (total > 0).then(|| total - free),
            total: (total > 0).then_some(total),
            utilisation: busy,
            temperature: None,
            average: cpu::load_average(),
            others: Vec::new(),
        }];
        let cards = self.cards.as_ref().map(|cards| cards.look()).unwrap_or_default();
        let variable = std::env::var("CUDA_VISIBLE_DEVICES").ok();
        loads.extend(Device::of_cards(&visible::visible(variable.as_deref(), &cards)).iter().filter_map(load));
        loads
    }
}

impl Default for Loads {
    fn default() -> Loads {
        Loads::new()
    }
}

fn load(device: &Device) -> Option<Load> {
    let card = device.card()?;
    let is_worker = |pid: u32| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
        name.is_ok_and(|name| name.trim() == WORKER)
    };
    Some(Load {
        label: device.label.clone(),
        hardware: card.name.clone(),
        used: card.memory.map(|memory| memory.used),
        total: card.memory.map(|memory| memory.total),
        utilisation: card.utilisation.map(|percent| f64::from(percent) / 100.0),
        temperature: card.temperature,
        average: None,
        others: card.tenants.iter().filter(|tenant| !is_worker(tenant.pid)).map(|tenant| tenant.describe()).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::card::testing::{Fake, card, with_memory};
    use super::*;
    use crate::device::{Card, Tenant};

    #[test]
    fn the_cpu_comes_first_and_then_the_cards() {
        let tenants = vec![Tenant { pid: u32::MAX, memory: None }];
        let busy = Card { temperature: Some(61), utilisation: Some(50), tenants, ..card(0, "GPU-aa11") };
        let mut loads = Loads::of(Some(Box::new(Fake(vec![with_memory(busy, 8, 80)]))));
        let looked = loads.look();
        let [cpu, card] = looked.as_slice() else { panic!("{looked:?}") };
        assert_eq!((cpu.label.as_str(), cpu.temperature), ("cpu", None));
        assert!(cpu.used < cpu.total);
        assert_eq!((card.label.as_str(), card.hardware.as_str()), ("cuda:0", "NVIDIA H100"));
        assert_eq!((card.used, card.total), (Some(8 << 30), Some(80 << 30)));
        assert_eq!((card.utilisation, card.temperature), (Some(0.5), Some(61)));
        assert_eq!(card.others, ["someone (process 4294967295)"]);
        assert_eq!(Loads::of(None).look().len(), 1);
    }
}
