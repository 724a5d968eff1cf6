//! What lies in the cache and no run needs any more.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::folder_bytes;
use crate::plan::RunId;
use crate::record::store::Store;
use crate::record::{Class, End};

/// Something that may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    pub path: PathBuf,
    pub bytes: u64,
    pub why: &'static str,
}

/// Checkpoints of runs that are over or that no sweep asks for, and what a process that was killed had begun to write.
/// `asked` are the runs of all sweeps of these results. A record that cannot be read keeps its run's checkpoints.
pub fn leftovers(store: &Store, asked: &HashSet<RunId>) -> Vec<Leftover> {
    let mut found = Vec::new();
    let mut add = |path: PathBuf, why| {
        let bytes = folder_bytes(&path);
        found.push(Leftover { path, bytes, why });
    };
    for (name, path) in entries(&store.cache().join("checkpoints")) {
        // `<id>.<pid>.tmp` is how the program once called a checkpoint that it was writing.
        if name.ends_with(".tmp") {
            if is_dead(&name) {
                add(path, "half written");
            }
            continue;
        }
        // `<id>.<copy>` is that of one copy of a run.
        let id = RunId(name.split('.').next().unwrap_or_default().to_owned());
        match store.read(&id) {
            Ok(Some(record)) if is_over(&record.end) => add(path, "of a run that is over"),
            Ok(None) if !asked.contains(&id) => add(path, "of no sweep"),
            _ => {}
        }
    }
    for (name, path) in entries(&store.cache().join("trained")) {
        if name.ends_with(".tmp") && is_dead(&name) {
            add(path, "half written");
        }
    }
    found
}

/// Whether the process that a draft is called after, `<id>.<pid>.tmp`, is gone.
fn is_dead(name: &str) -> bool {
    let pid = name.rsplit('.').nth(1).and_then(|pid| pid.parse::<u32>().ok());
    pid.is_none_or(|pid| !Path::new("/proc").join(pid.to_string()).exists())
}

/// Whether a run never goes on from its checkpoint.
fn is_over(end: &End) -> bool {
    match end {
        End::Done(_) => true,
        End::Failed(failure) => failure.class() == Class::Diverged,
        End::Stopped(_) => false,
    }
}

fn entries(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut entries: Vec<_> =
        entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path())).collect();
    entries.sort();
    entries
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::plan::{Choice, Input, Recipe, Run};
    use crate::record::{FORMAT, Failure, Outcome, Provenance, Record, Rung, Stopped};

    #[test]
    fn only_what_no_run_goes_on_from_is_left_over() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        let run = |seed: u64| Run {
            task: Input { name: "rte".into(), hash: "a".into() },
            model: Input { name: "tiny".into(), hash: "b".into() },
            mode: "vanilla".into(),
            method: Choice { name: "vanilla".into(), numbers: Default::default() },
            recipe: Recipe::default(),
            seed,
            after: Default::default(),
        };
        let stopped = Stopped {
            rule: "asha".into(),
            at: Rung { step: 1, of: 9, metric: "accuracy".into(), dev: Default::default(), halves: None },
        };
        let ends = [
            End::Done(Outcome::default()),
            End::Failed(Failure::Diverged { step: 1 }),
            End::Failed(Failure::Crashed { tail: String::new() }),
            End::Stopped(stopped),
        ];
        let place = |name: &str| store.cache().join("checkpoints").join(name);
        for (seed, end) in ends.into_iter().enumerate() {
            let run = run(seed as u64);
            let record = Record { format: FORMAT, id: run.id(), run, end, made: Provenance::default() };
            store.write(&record).unwrap();
            fs::create_dir_all(place(&record.id.0).join("7")).unwrap();
            fs::write(place(&record.id.0).join("7/state.safetensors"), [0; 100]).unwrap();
        }
        let (waiting, strange) = (run(8).id(), run(9).id());
        let damaged = run(10).id();
        for id in [&waiting, &strange, &damaged] {
            fs::create_dir_all(place(&id.0)).unwrap();
        }
        fs::create_dir_all(store.run_folder(&damaged)).unwrap();
        fs::write(store.run_folder(&damaged).join("record.json"), b"{").unwrap();
        fs::create_dir_all(store.cache().join("trained/abc.4999999.tmp")).unwrap();
        let alive = format!("trained/abc.{}.tmp", std::process::id());
        fs::create_dir_all(store.cache().join(alive)).unwrap();
        fs::create_dir_all(store.cache().join("trained/abc")).unwrap();

        let asked = HashSet::from([waiting]);
        let mut found: Vec<(String, u64, &str)> = leftovers(&store, &asked)
            .into_iter()
            .map(|l| (l.path.file_name().unwrap().to_string_lossy().into_owned(), l.bytes, l.why))
            .collect();
        found.sort();
        let mut expected = vec![
            (run(0).id().0, 100, "of a run that is over"),
            (run(1).id().0, 100, "of a run that is over"),
            (strange.0, 0, "of no sweep"),
            ("abc.4999999.tmp".to_owned(), 0, "half written"),
        ];
        expected.sort();
        assert_eq!(found, expected);
    }
}
