//! From `--devices auto|cpu|cuda:0,cuda:2|GPU-…|MIG-…` to devices.

use thiserror::Error;

use super::card::Card;

/// A device that workers train on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// What people call it: `cpu`, `cuda:0` as the visible cards are counted.
    pub label: String,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Cpu,
    /// A card that the driver told us of.
    Card(Box<Card>),
    /// A GPU that libtorch alone knows, by its number: there is no NVML here.
    Unseen {
        number: u32,
        hardware: String,
    },
}

impl Device {
    pub fn cpu() -> Device {
        Device { label: "cpu".to_owned(), kind: Kind::Cpu }
    }

    /// The visible cards, in CUDA's order.
    pub fn of_cards(visible: &[Card]) -> Vec<Device> {
        let kinds = visible.iter().map(|card| Kind::Card(Box::new(card.clone())));
        kinds.enumerate().map(|(number, kind)| Device { label: format!("cuda:{number}"), kind }).collect()
    }

    pub fn card(&self) -> Option<&Card> {
        match &self.kind {
            Kind::Card(card) => Some(card),
            Kind::Cpu | Kind::Unseen { .. } => None,
        }
    }

    pub fn is_gpu(&self) -> bool {
        self.kind != Kind::Cpu
    }

    /// What a lease on it is called: the same for every process of this machine.
    pub fn key(&self) -> &str {
        self.card().map_or(&self.label, |card| &card.uuid)
    }

    /// `--device` of a worker, which sees no other card.
    pub fn for_worker(&self) -> String {
        match &self.kind {
            Kind::Cpu => "cpu".to_owned(),
            Kind::Card(_) => "cuda:0".to_owned(),
            Kind::Unseen { number, .. } => format!("cuda:{number}"),
        }
    }

    /// What a worker's environment says of it.
    pub fn environment(&self) -> Vec<(String, String)> {
        let of_card = |card: &Card| ("CUDA_VISIBLE_DEVICES".to_owned(), card.uuid.clone());
        self.card().map(of_card).into_iter().collect()
    }

    /// `cuda:0 (NVIDIA H100, GPU-1f3a…)`.
    pub fn describe(&self) -> String {
        match &self.kind {
            Kind::Cpu => self.label.clone(),
            Kind::Card(card) => format!("{} ({}, {})", self.label, card.name, shortened(&card.uuid)),
            Kind::Unseen { hardware, .. } => format!("{} ({hardware})", self.label),
        }
    }
}

/// As much of a UUID as people compare.
fn shortened(uuid: &str) -> String {
    match uuid.char_indices().nth(12) {
        Some((at, _)) => format!("{}…", &uuid[..at]),
        None => uuid.to_owned(),
    }
}

/// A device that cannot be trained on, and those that can.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unknown {
    #[error("no device \"{asked}\" on this machine; it has {there}. `sweep doctor` says more")]
    Absent { asked: String, there: String },
    #[error(
        "\"{asked}\" is on this machine, but CUDA_VISIBLE_DEVICES={variable} hides it; to see are {there}. Change that \
         variable, or name one of these"
    )]
    Hidden { asked: String, variable: String, there: String },
    #[error("\"{asked}\" begins the UUIDs of several devices: {those}. Write more of it")]
    Ambiguous { asked: String, those: String },
    #[error(
        "\"{asked}\" and \"{before}\" are one device, {device}. Name it once; `--slots-per-device 2` trains two runs at \
         a time on it"
    )]
    Twice { asked: String, before: String, device: String },
}

/// The devices of a list, in its order; without a list every visible GPU, or the CPU where there is none.
///
/// `gpus` are the visible ones, `all` every card of the machine, `variable` what CUDA_VISIBLE_DEVICES says.
///
/// # Errors
/// A name that stands for no visible device, for several, or for one that was named before.
pub fn choose(
    asked: Option<&[String]>,
    gpus: &[Device],
    all: &[Card],
    variable: Option<&str>,
) -> Result<Vec<Device>, Unknown> {
    let Some(asked) = asked else {
        return Ok(if gpus.is_empty() { vec![Device::cpu()] } else { gpus.to_vec() });
    };
    let there = || {
        let names = [Device::cpu()].iter().chain(gpus).map(Device::describe).collect::<Vec<_>>();
        names.join(", ")
    };
    let mut chosen: Vec<(&String, Device)> = Vec::new();
    for name in asked {
        let named: Vec<Device> = match name.as_str() {
            "cpu" => vec![Device::cpu()],
            _ => gpus.iter().filter(|gpu| answers(gpu, name)).cloned().collect(),
        };
        let device = match named.as_slice() {
            [device] => device.clone(),
            [] => {
                let asked = name.clone();
                let hidden = is_uuid(name) && all.iter().any(|card| card.uuid.starts_with(name.as_str()));
                return Err(match (hidden, variable) {
                    (true, Some(variable)) => Unknown::Hidden { asked, variable: variable.to_owned(), there: there() },
                    _ => Unknown::Absent { asked, there: there() },
                });
            }
            several => {
                let those = several.iter().map(|device| device.key().to_owned()).collect::<Vec<_>>().join(", ");
                return Err(Unknown::Ambiguous { asked: name.clone(), those });
            }
        };
        if let Some((before, _)) = chosen.iter().find(|(_, other)| other.key() == device.key()) {
            let device = device.describe();
            return Err(Unknown::Twice { asked: name.clone(), before: (*before).clone(), device });
        }
        chosen.push((name, device));
    }
    Ok(chosen.into_iter().map(|(_, device)| device).collect())
}

fn is_uuid(name: &str) -> bool {
    name.starts_with("GPU-") || name.starts_with("MIG-")
}

fn answers(gpu: &Device, name: &str) -> bool {
    if is_uuid(name) {
        return gpu.card().is_some_and(|card| card.uuid.starts_with(name));
    }
    gpu.label == name
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::card::testing::machine;
    use super::super::visible::visible;
    use super::*;

    fn chosen(variable: Option<&str>, asked: &[&str]) -> Result<Vec<String>, String> {
        let all = machine();
        let gpus = Device::of_cards(&visible(variable, &all));
        let asked: Vec<String> = asked.iter().map(|name| (*name).to_owned()).collect();
        let list = (!asked.is_empty()).then_some(asked.as_slice());
        match choose(list, &gpus, &all, variable) {
            Ok(devices) => Ok(devices.iter().map(|device| format!("{}={}", device.label, device.key())).collect()),
            Err(unknown) => Err(unknown.to_string()),
        }
    }

    #[test]
    fn names_follow_what_is_visible() {
        let auto = chosen(None, &[]).unwrap();
        assert_eq!(auto, ["cuda:0=GPU-aa11", "cuda:1=GPU-ab22", "cuda:2=MIG-0001", "cuda:3=MIG-0002"]);
        assert_eq!(chosen(Some(""), &[]).unwrap(), ["cpu=cpu"]);
        // The second card of the machine is the first one that is visible.
        assert_eq!(chosen(Some("1"), &["cuda:0", "cpu"]).unwrap(), ["cuda:0=GPU-ab22", "cpu=cpu"]);
        assert_eq!(chosen(None, &["GPU-ab", "MIG-0002"]).unwrap(), ["cuda:1=GPU-ab22", "cuda:3=MIG-0002"]);
    }

    #[test]
    fn a_worker_sees_its_card_alone() {
        let device = Device::of_cards(&machine()).remove(3);
        assert_eq!(device.for_worker(), "cuda:0");
        assert_eq!(device.environment(), [("CUDA_VISIBLE_DEVICES".to_owned(), "MIG-0002".to_owned())]);
        assert_eq!((Device::cpu().for_worker().as_str(), Device::cpu().environment().len()), ("cpu", 0));
        let unseen = Device { label: "cuda:1".into(), kind: Kind::Unseen { number: 1, hardware: "NVIDIA A2".into() } };
        assert_eq!((unseen.for_worker().as_str(), unseen.environment().len(), unseen.key()), ("cuda:1", 0, "cuda:1"));
    }

    #[test]
    fn what_cannot_be_had_is_said_with_what_can() {
        let said = chosen(Some("1"), &["cuda:1"]).unwrap_err();
        assert!(
            said.contains("no device \"cuda:1\"") && said.contains("cpu, cuda:0 (NVIDIA H100, GPU-ab22)"),
            "{said}"
        );
        let said = chosen(Some("1"), &["GPU-aa11"]).unwrap_err();
        assert!(said.contains("CUDA_VISIBLE_DEVICES=1 hides it"), "{said}");
        let said = chosen(None, &["GPU-a"]).unwrap_err();
        assert!(said.contains("GPU-aa11, GPU-ab22"), "{said}");
        let said = chosen(None, &["cuda:0", "GPU-aa11"]).unwrap_err();
        assert!(said.contains("are one device") && said.contains("--slots-per-device 2"), "{said}");
    }
}
