//! A share of a sweep: of n coordinators, the k-th does the runs whose ids fall to it; or what a job of a cluster takes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::plan::RunId;

/// More processes than this on one results folder help nobody.
const MOST: u32 = 1000;

/// `k/n`, k from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Shard {
    /// The k-th of n shares of the runs.
    Part { k: u32, n: u32 },
    /// Whatever runs a job of a cluster takes from the folder: `pilot 3-0.1`, the task of a submission, and how often it
    /// was begun before.
    Pilot { submission: u32, task: u32, life: u32 },
}

impl Shard {
    /// Into how many shares it is split, where it is one of a split.
    pub fn of(self) -> Option<u32> {
        match self {
            Shard::Part { n, .. } => Some(n),
            Shard::Pilot { .. } => None,
        }
    }

    /// Whether coordinators of both may work at one time, since no run is in both.
    pub fn is_apart(self, other: Shard) -> bool {
        self.of().is_some() && self.of() == other.of() && self != other
    }

    /// Whether a run falls to this share. It depends on the run alone, so a grid that grows moves no run. What a pilot
    /// takes is said by its claims alone; it may take any.
    pub fn takes(self, id: &RunId) -> bool {
        let Shard::Part { k, n } = self else { return true };
        // An id is the beginning of a hash, so its digits are spread evenly; what is no id falls to the first.
        let digits = id.0.get(..15).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0);
        digits % u64::from(n) == u64::from(k - 1)
    }

    /// The name of a file that each share has for itself: `events.jsonl` as `events-2-of-4.jsonl`.
    pub fn file(shard: Option<Shard>, stem: &str, ending: &str) -> String {
        match shard {
            Some(Shard::Part { k, n }) => format!("{stem}-{k}-of-{n}.{ending}"),
            Some(Shard::Pilot { submission, task, life }) => {
                format!("{stem}-pilot-{submission}-{task}-{life}.{ending}")
            }
            None => format!("{stem}.{ending}"),
        }
    }

    /// The share whose file it is, by the name.
    pub fn of_file(name: &str, stem: &str, ending: &str) -> Option<Shard> {
        let share = name.strip_prefix(stem)?.strip_prefix('-')?.strip_suffix(ending)?.strip_suffix('.')?;
        let shard = match share.strip_prefix("pilot-") {
            Some(pilot) => Shard::pilot(pilot, '-')?,
            None => {
                let (k, n) = share.split_once("-of-")?;
                format!("{k}/{n}").parse().ok()?
            }
        };
        (Shard::file(Some(shard), stem, ending) == name).then_some(shard)
    }

    /// Whether a file is one of those that [`Shard::file`] names, of a share or of the whole.
    pub fn is_file_of(name: &str, stem: &str, ending: &str) -> bool {
        name == Shard::file(None, stem, ending) || Shard::of_file(name, stem, ending).is_some()
    }

    /// `3-0.1`, or with another sign before the last number.
    fn pilot(text: &str, sign: char) -> Option<Shard> {
        let (place, life) = text.rsplit_once(sign)?;
        let (submission, task) = place.split_once('-')?;
        Some(Shard::Pilot { submission: submission.parse().ok()?, task: task.parse().ok()?, life: life.parse().ok()? })
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Shard, String> {
        let parts = text.split_once('/').and_then(|(k, n)| Some((k.trim().parse().ok()?, n.trim().parse().ok()?)));
        match parts {
            Some((k, n)) if (1..=n).contains(&k) && n <= MOST => Ok(Shard::Part { k, n }),
            _ => {
                Err(format!("\"{text}\" is no share; write k/n with k from 1 to n, such as 2/4 for the second of four"))
            }
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shard::Part { k, n } => write!(f, "{k}/{n}"),
            Shard::Pilot { submission, task, life } => write!(f, "pilot {submission}-{task}.{life}"),
        }
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> String {
        shard.to_string()
    }
}

impl TryFrom<String> for Shard {
    type Error = String;

    fn try_from(text: String) -> Result<Shard, String> {
        let pilot = text.strip_prefix("pilot ").and_then(|pilot| Shard::pilot(pilot, '.'));
        pilot.map_or_else(|| text.parse(), Ok)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_run_falls_to_exactly_one_share(id in "[0-9a-f]{20}|.{0,20}", n in 1u32..40) {
            let id = RunId(id);
            let takers = (1..=n).filter(|&k| Shard::Part { k, n }.takes(&id)).count();
            prop_assert_eq!(takers, 1);
        }
    }

    #[test]
    fn shares_are_about_equal() {
        let ids: Vec<RunId> =
            (0..4000u32).map(|n| RunId(blake3::hash(&n.to_le_bytes()).to_hex()[..20].into())).collect();
        for k in 1..=4 {
            let taken = ids.iter().filter(|id| Shard::Part { k, n: 4 }.takes(id)).count();
            assert!((900..1100).contains(&taken), "{k}/4 takes {taken} of 4000");
        }
    }

    #[test]
    fn a_share_is_read_and_what_is_none_is_told() {
        let shard: Shard = "2/4".parse().unwrap();
        assert_eq!((shard, shard.to_string().as_str()), (Shard::Part { k: 2, n: 4 }, "2/4"));
        for text in ["0/4", "5/4", "1/0", "2", "a/b", "-1/2", "1/1001", ""] {
            let error = text.parse::<Shard>().unwrap_err();
            assert!(error.contains("2/4 for the second of four"), "{error}");
        }
        assert_eq!(serde_json::from_str::<Shard>("\"2/4\"").unwrap(), shard);
        let pilot = Shard::Pilot { submission: 3, task: 0, life: 1 };
        assert_eq!(serde_json::to_string(&pilot).unwrap(), "\"pilot 3-0.1\"");
        assert_eq!(serde_json::from_str::<Shard>("\"pilot 3-0.1\"").unwrap(), pilot);
        assert!("pilot 3-0.1".parse::<Shard>().is_err(), "nobody asks for one by hand");
    }

    #[test]
    fn files_of_shares_are_told_from_others() {
        assert_eq!(Shard::file(None, "events", "jsonl"), "events.jsonl");
        assert_eq!(Shard::file(Some(Shard::Part { k: 2, n: 4 }), "events", "jsonl"), "events-2-of-4.jsonl");
        for (name, is) in [
            ("events.jsonl", true),
            ("events-2-of-4.jsonl", true),
            ("events-pilot-3-0-1.jsonl", true),
            ("events-pilot-3-0.jsonl", false),
            ("events-pilot-03-0-1.jsonl", false),
            ("events-5-of-4.jsonl", false),
            ("events-02-of-4.jsonl", false),
            ("events-old.jsonl", false),
            (".events.jsonl.new", false),
            ("eventsjsonl", false),
        ] {
            assert_eq!(Shard::is_file_of(name, "events", "jsonl"), is, "{name}");
        }
    }
}
