//! Which process this is, so that another one can tell later whether it still lives.
//!
//! A pid alone does not say it: after a reboot, or a week, the number belongs to a stranger. With the moment at which the
//! process began and the boot that it lived in, it does.

use std::fs;

use serde::{Deserialize, Serialize};

/// A process of some machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub pid: u32,
    pub host: String,
    /// When it began, in the kernel's clock ticks after boot; 0 if unknown.
    #[serde(default)]
    pub began: u64,
    /// The kernel's name for this boot of the machine.
    #[serde(default)]
    pub boot: String,
    /// The kernel's name for the pids that it counts among: those of a container are others than the machine's.
    #[serde(default)]
    pub pids: String,
}

/// What can be said of a process from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    Alive,
    Dead,
    /// It is, or was, one of another machine or container, where nobody here can look.
    Elsewhere,
}

impl Process {
    /// This one.
    pub fn own() -> Process {
        let pid = std::process::id();
        Process { pid, host: host(), began: began(pid).unwrap_or_default(), boot: boot(), pids: pids() }
    }

    pub fn life(&self) -> Life {
        self.life_among(&Process::own(), began(self.pid))
    }

    /// As seen by a process `here`, to which a process of this number began at `found`.
    fn life_among(&self, here: &Process, found: Option<u64>) -> Life {
        if self.host != here.host || self.pids != here.pids {
            return Life::Elsewhere;
        }
        let is_it = found.is_some_and(|found| self.began == 0 || self.began == found);
        if self.boot == here.boot && is_it { Life::Alive } else { Life::Dead }
    }
}

/// What this machine calls itself.
pub fn host() -> String {
    read("/proc/sys/kernel/hostname").unwrap_or_else(|| "this host".to_owned())
}

fn boot() -> String {
    read("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

fn pids() -> String {
    fs::read_link("/proc/self/ns/pid").map_or_else(|_| String::new(), |name| name.to_string_lossy().into_owned())
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// When a living process began, in ticks after boot; of one that ended and waits to be reaped, nothing.
fn began(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    began_of(&stat)
}

/// Of `pid (name) state ppid …`; the name may hold blanks and brackets. proc(5): the start time is the 22nd field.
fn began_of(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?;
    if matches!(state, "Z" | "X") { None } else { fields.nth(18)?.parse().ok() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn this_process_lives_and_one_that_ended_does_not() {
        let own = Process::own();
        assert!(own.began > 0 && !own.boot.is_empty() && !own.pids.is_empty(), "{own:?}");
        assert_eq!(own.life(), Life::Alive);
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let ended = Process { pid: child.id(), began: 0, ..own };
        // Not reaped yet, or reaped: dead in both.
        while ended.life() == Life::Alive {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert_eq!(ended.life(), Life::Dead);
    }

    #[test]
    fn a_number_alone_is_not_enough() {
        let here = Process { pid: 9, host: "a".into(), began: 100, boot: "b".into(), pids: "p".into() };
        let of = |change: &dyn Fn(&mut Process), found| {
            let mut then = here.clone();
            change(&mut then);
            then.life_among(&here, found)
        };
        assert_eq!(of(&|_| {}, Some(100)), Life::Alive);
        assert_eq!(of(&|_| {}, None), Life::Dead);
        assert_eq!(of(&|_| {}, Some(7000)), Life::Dead, "a stranger has the number now");
        assert_eq!(of(&|p| p.boot = "before".into(), Some(100)), Life::Dead, "the machine was started anew");
        assert_eq!(of(&|p| p.began = 0, Some(7000)), Life::Alive, "an older version did not say when it began");
        assert_eq!(of(&|p| p.host = "z".into(), None), Life::Elsewhere);
        assert_eq!(of(&|p| p.pids = "q".into(), None), Life::Elsewhere);
    }

    #[test]
    fn the_start_is_read_behind_any_name() {
        let rest = "S 1 9 9 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 81234 1000 2000";
        assert_eq!(began_of(&format!("7 (a) b (c) {rest}")), Some(81234));
        assert_eq!(began_of(&format!("7 (sh) Z{}", &rest[1..])), None);
        assert_eq!(began_of("7 (sh"), None);
        assert_eq!(began_of("7 (sh) S 1"), None);
    }
}
