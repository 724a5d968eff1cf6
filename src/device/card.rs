//! What the driver says of a GPU, or of a MIG instance of one.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Something that CUDA can compute on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Card {
    /// `GPU-…`; `MIG-…` for an instance.
    pub uuid: String,
    /// Of an instance, the UUID of the GPU that it is a part of.
    pub parent: Option<String>,
    /// The number that `nvidia-smi` gives the GPU.
    pub index: u32,
    /// What the hardware calls itself.
    pub name: String,
    pub memory: Option<Memory>,
    /// Degrees Celsius.
    pub temperature: Option<u32>,
    /// Share of the time in which something ran on it, percent.
    pub utilisation: Option<u32>,
    /// Processes that compute on it, ours among them.
    pub tenants: Vec<Tenant>,
}

/// Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    pub free: u64,
    pub used: u64,
    pub total: u64,
}

/// A process on a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tenant {
    pub pid: u32,
    /// Bytes of the card's memory; the driver does not always say.
    pub memory: Option<u64>,
}

/// The GPUs of a machine: those of NVML, or those that a test makes up.
pub trait Cards: Send + Sync {
    /// All cards as they are now. GPUs that are cut into MIG instances are not among them, their instances are.
    fn look(&self) -> Vec<Card>;
}

impl Card {
    /// Processes on it that are none of `ours`.
    pub fn others<'a>(&'a self, ours: &'a [u32]) -> impl Iterator<Item = &'a Tenant> {
        self.tenants.iter().filter(move |tenant| !ours.contains(&tenant.pid))
    }
}

impl Tenant {
    /// `python of alice (process 4242, 8.0 GiB)`, as far as this system knows the process.
    pub fn describe(&self) -> String {
        let place = Path::new("/proc").join(self.pid.to_string());
        let name = std::fs::read_to_string(place.join("comm")).map(|name| name.trim().to_owned()).ok();
        let user = std::fs::metadata(&place).ok().map(|of| user_name(of.uid()));
        let who = match (name, user) {
            (Some(name), Some(user)) => format!("{name} of {user}"),
            // In a container the numbers of processes outside mean nothing.
            _ => "someone".to_owned(),
        };
        let memory = self.memory.map(|bytes| format!(", {} GiB", gib(bytes))).unwrap_or_default();
        format!("{who} (process {}{memory})", self.pid)
    }
}

/// Bytes in GiB, to a tenth.
pub fn gib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / (1u64 << 30) as f64)
}

fn user_name(uid: u32) -> String {
    let text = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        (id.parse() == Ok(uid)).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("user {uid}"))
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// A machine that a test makes up.
    pub struct Fake(pub Vec<Card>);

    impl Cards for Fake {
        fn look(&self) -> Vec<Card> {
            self.0.clone()
        }
    }

    pub fn card(index: u32, uuid: &str) -> Card {
        Card { uuid: uuid.into(), index, name: "NVIDIA H100".into(), ..Card::default() }
    }

    pub fn with_memory(mut card: Card, used_gib: u64, total_gib: u64) -> Card {
        let (used, total) = (used_gib << 30, total_gib << 30);
        card.memory = Some(Memory { free: total - used, used, total });
        card
    }

    /// Two whole GPUs, and one cut into two instances.
    pub fn machine() -> Vec<Card> {
        let instance = |uuid: &str| Card { parent: Some("GPU-cc33".into()), ..card(2, uuid) };
        vec![card(0, "GPU-aa11"), card(1, "GPU-ab22"), instance("MIG-0001"), instance("MIG-0002")]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_tenant_is_called_by_name_and_user() {
        let own = Tenant { pid: std::process::id(), memory: Some(3 << 29) };
        let said = own.describe();
        let name = std::fs::read_to_string("/proc/self/comm").unwrap();
        assert!(said.starts_with(&format!("{} of ", name.trim())), "{said}");
        assert!(said.ends_with(&format!("(process {}, 1.5 GiB)", std::process::id())), "{said}");
        // No process has this number.
        assert_eq!(Tenant { pid: u32::MAX, memory: None }.describe(), "someone (process 4294967295)");
    }

    #[test]
    fn our_own_processes_are_no_others() {
        let tenant = |pid| Tenant { pid, memory: None };
        let card = Card { tenants: vec![tenant(1), tenant(2), tenant(3)], ..Card::default() };
        assert_eq!(card.others(&[1, 3]).map(|t| t.pid).collect::<Vec<_>>(), [2]);
    }
}
