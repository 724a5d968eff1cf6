//! Who trains which run: `results/cluster/claims/<run>.<copy>`, made once and by one of many who try, and `.over` beside it once that is
//! known to be over.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::{Ending, once};
use crate::plan::RunId;
use crate::record::process::Process;
use crate::record::shard::Shard;
use crate::record::store::{Store, replace};

#[derive(Debug, Clone)]
pub struct Claims {
    folder: PathBuf,
}

/// Who made a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The sweep whose job it is: a run may be asked for by several.
    pub sweep: String,
    pub pilot: Shard,
    /// The engine's name of its job.
    pub job: String,
    pub process: Process,
    /// What the engine calls its node, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// RFC 3339, UTC.
    pub since: String,
}

/// Why a claim is over though its run has no record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Over {
    pub why: String,
    /// The job's end, where that is what it was over by; absent where the pilot gave the run back itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// The pilot could train nothing at all: no fault of this run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub blameless: bool,
    /// The step of the newest checkpoint, where the pilot gave the run back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u32>,
}

impl Over {
    /// Over by the end of its job.
    pub fn by(ending: Ending) -> Over {
        Over { why: ending.in_words().to_owned(), ending: Some(ending), blameless: false, step: None }
    }

    /// Given back by its pilot.
    pub fn given_back(why: String, step: Option<u32>) -> Over {
        Over { why, ending: None, blameless: false, step }
    }
}

/// The claims of a run: the newest one counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claim {
    /// 1 for the first.
    pub copy: u32,
    pub is_over: bool,
}

impl Claims {
    pub fn of(store: &Store) -> Claims {
        Claims { folder: store.cluster().join("claims") }
    }

    /// Takes away the claims of a run.
    pub fn clear(&self, id: &RunId, copy: u32) {
        for copy in 1..=copy {
            let _ = fs::remove_file(self.path(id, copy));
            let _ = fs::remove_file(self.folder.join(format!("{id}.{copy}.over")));
        }
    }

    fn path(&self, id: &RunId, copy: u32) -> PathBuf {
        self.folder.join(format!("{id}.{copy}"))
    }

    /// The newest claim of every run that has one.
    pub fn all(&self) -> BTreeMap<RunId, Claim> {
        let mut found: BTreeMap<RunId, Claim> = BTreeMap::new();
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let (name, is_over) = match name.strip_suffix(".over") {
                Some(name) => (name.to_owned(), true),
                None => (name, false),
            };
            // What is being written begins with a dot.
            let Some((id, copy)) = name.split_once('.').filter(|(id, _)| !id.is_empty()) else { continue };
            let Ok(copy) = copy.parse::<u32>() else { continue };
            let claim = found.entry(RunId(id.to_owned())).or_default();
            if copy > claim.copy {
                *claim = Claim { copy, is_over };
            } else if copy == claim.copy {
                claim.is_over |= is_over;
            }
        }
        found
    }

    /// Claims a copy of a run; whether it is ours.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn take(&self, id: &RunId, copy: u32, holder: &Holder) -> Result<bool> {
        once::make(&self.path(id, copy), &serde_json::to_vec(holder)?)
    }

    /// Who holds a copy; nothing where the file cannot be read.
    pub fn holder(&self, id: &RunId, copy: u32) -> Option<Holder> {
        serde_json::from_slice(&fs::read(self.path(id, copy)).ok()?).ok()
    }

    /// Says that a copy is over, so that the next one may be claimed.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn end(&self, id: &RunId, copy: u32, over: &Over) -> Result<()> {
        replace(&self.folder.join(format!("{id}.{copy}.over")), &serde_json::to_vec(over)?)
    }

    /// How a copy was over; nothing where it is not.
    pub fn over(&self, id: &RunId, copy: u32) -> Option<Over> {
        serde_json::from_slice(&fs::read(self.folder.join(format!("{id}.{copy}.over"))).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn holder(task: u32) -> Holder {
        let pilot = Shard::Pilot { submission: 1, task, life: 0 };
        let (sweep, job) = ("glue".into(), format!("12_{task}"));
        Holder { sweep, pilot, job, process: Process::own(), node: None, since: "now".into() }
    }

    #[test]
    fn of_many_who_try_one_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let claims = Claims::of(&Store::new(folder.path()));
        let id = RunId("ab12".into());
        let takers: usize = std::thread::scope(|scope| {
            let one = |task| {
                let (claims, id) = (&claims, &id);
                scope.spawn(move || usize::from(claims.take(id, 1, &holder(task)).unwrap()))
            };
            let all: Vec<_> = (0..16).map(one).collect();
            all.into_iter().map(|taker| taker.join().unwrap()).sum()
        });
        assert_eq!(takers, 1);
        assert_eq!(fs::read_dir(folder.path().join("cluster/claims")).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn the_newest_copy_counts_and_says_how_the_others_ended() {
        let folder = tempfile::tempdir().unwrap();
        let claims = Claims::of(&Store::new(folder.path()));
        assert!(claims.all().is_empty());
        let id = RunId("ab12".into());
        assert!(claims.take(&id, 1, &holder(0)).unwrap());
        assert_eq!(claims.all()[&id], Claim { copy: 1, is_over: false });
        let over = Over::by(Ending::NodeFailed);
        claims.end(&id, 1, &over).unwrap();
        assert_eq!(claims.all()[&id], Claim { copy: 1, is_over: true });
        assert!(claims.take(&id, 2, &holder(3)).unwrap());
        assert_eq!(claims.all()[&id], Claim { copy: 2, is_over: false });
        assert_eq!(
            (claims.over(&id, 1), claims.over(&id, 2), claims.holder(&id, 2)),
            (Some(over), None, Some(holder(3)))
        );
    }
}
