//! Where records lie, and how they get there without ever being half there.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rayon::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{FORMAT, Record};
use crate::failpoint;
use crate::plan::{Run, RunId};
pub use crate::spec::Select;
pub use crate::spec::stop::{Asha, Decided, Spending, Stop};

/// The folder of results: `runs/<id>/record.json` for every run of every sweep, `<sweep>/` for what belongs to one
/// sweep, `masks/` and `cache/` for artifacts.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

/// The runs that a sweep asked for, so that it can be reported without its inputs at hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub format: u32,
    /// The sweep's name.
    pub name: String,
    pub question: Option<String>,
    /// Names of the axes of `[tune]`.
    #[serde(default)]
    pub tune: Vec<String>,
    #[serde(default)]
    pub select: Select,
    /// The published table that the sweep asks about: `table2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paper: Option<String>,
    /// Models of the hub, each with the repository and the commit that it was: `google-bert/bert-base-cased@1d7b…`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<String, String>,
    /// What ends work before the whole grid is trained, and for it the training examples of each task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub examples: BTreeMap<String, u32>,
    /// In the order of the plan.
    pub runs: Vec<(RunId, Run)>,
}

impl Store {
    pub fn new(root: impl Into<PathBuf>) -> Store {
        Store { root: root.into() }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn run_folder(&self, id: &RunId) -> PathBuf {
        self.runs().join(&id.0)
    }

    pub fn sweep_folder(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub fn masks(&self) -> PathBuf {
        self.root.join("masks")
    }

    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    /// The folder with a folder for each run.
    pub fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }

    /// Puts a record in its run's folder; after a crash at any moment the old record or the new one is there.
    pub fn write(&self, record: &Record) -> Result<()> {
        replace_json(&self.run_folder(&record.id).join("record.json"), record)
    }

    /// The record of a run, or `None` where it has not ended yet.
    ///
    /// # Errors
    /// A file that is there and is no record.
    pub fn read(&self, id: &RunId) -> Result<Option<Record>> {
        let path = self.run_folder(id).join("record.json");
        read_json(&path, "Delete this file, and `sweep run` does the run again; or restore it.")
    }

    /// Every record there is, sorted by id.
    ///
    /// # Errors
    /// One file that is no record.
    pub fn read_all(&self) -> Result<Vec<Record>> {
        let ids = self.ids()?;
        let records: Result<Vec<Option<Record>>> = ids.par_iter().map(|id| self.read(id)).collect();
        Ok(records?.into_iter().flatten().collect())
    }

    /// The ids of the runs that have a folder, sorted.
    ///
    /// # Errors
    /// The folder cannot be read; one that is not there holds no run.
    pub fn ids(&self) -> Result<Vec<RunId>> {
        let runs = self.runs();
        let entries = match fs::read_dir(&runs) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(|| format!("cannot list the folder {}", runs.display())),
        };
        let mut ids = Vec::new();
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot list the folder {}", runs.display()))?;
            ids.extend(entry.file_name().into_string().ok().map(RunId));
        }
        ids.sort();
        Ok(ids)
    }

    /// Puts a sweep's manifest in its folder, in place of an older one.
    pub fn write_manifest(&self, manifest: &Manifest) -> Result<()> {
        replace_json(&self.manifest_path(&manifest.name), manifest)
    }

    /// The manifest that the last `sweep run` of this sweep left.
    pub fn manifest(&self, name: &str) -> Result<Option<Manifest>> {
        read_json(&self.manifest_path(name), "Delete this file, and `sweep run` writes it anew; or restore it.")
    }

    /// Names of the sweeps that were ever run here, sorted.
    ///
    /// # Errors
    /// The folder cannot be read; one that is not there holds no sweep.
    pub fn sweeps(&self) -> Result<Vec<String>> {
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(explain(error, &self.root)),
        };
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.filter(|name| self.manifest_path(name).is_file()).collect();
        names.sort();
        Ok(names)
    }

    fn manifest_path(&self, name: &str) -> PathBuf {
        self.sweep_folder(name).join("manifest.json")
    }
}

fn replace_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value).with_context(|| format!("cannot write {}", path.display()))?;
    text.push(b'\n');
    replace(path, &text)
}

/// Replaces a file as a whole: temporary file, sync, rename, sync of the folder. Missing folders are made.
/// One writer a file: the temporary name is fixed, so that a crash leaves at most one of them behind.
pub fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        bail!("{} is no place for a file", path.display());
    };
    make_folder(folder)?;
    let temporary = folder.join(format!(".{}.new", name.to_string_lossy()));
    let write = || {
        failpoint::pass("replace");
        let mut file = File::create(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        failpoint::pass("rename");
        fs::rename(&temporary, path)?;
        failpoint::pass("renamed");
        sync_folder(folder)
    };
    write().map_err(|error| {
        // Best effort: what is left there does no harm, and the error that matters is the first one.
        let _ = fs::remove_file(&temporary);
        explain(error, path)
    })
}

/// Makes a folder and those above it, durably: a synced file in a folder that itself is lost is lost.
pub fn make_folder(folder: &Path) -> Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent() {
        make_folder(above)?;
    }
    match fs::create_dir(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(explain(error, folder)),
        _ => {}
    }
    sync_folder(folder.parent().unwrap_or(folder)).map_err(|error| explain(error, folder))
}

fn sync_folder(folder: &Path) -> std::io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}

/// Says what an error of the file system means to the user, and what to do.
pub(super) fn explain(error: std::io::Error, path: &Path) -> anyhow::Error {
    let advice = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            ": no space left. Make room (the folder `cache` of the results can go) and start again"
        }
        ErrorKind::ReadOnlyFilesystem => ": the file system is read-only. Choose another folder",
        ErrorKind::PermissionDenied => {
            ": no permission. Change the permissions of this folder, or choose another folder"
        }
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => ": a file lies where a folder should be. Move it away",
        _ => "",
    };
    anyhow::Error::new(error).context(format!("cannot write {}{advice}", path.display()))
}

fn read_json<T: DeserializeOwned>(path: &Path, mend: &str) -> Result<Option<T>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        // A stray file among the run folders holds no record either.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    match serde_json::from_slice(&text) {
        Ok(value) => Ok(Some(value)),
        Err(error) => {
            #[derive(Deserialize)]
            struct Versioned {
                format: u32,
            }
            match serde_json::from_slice::<Versioned>(&text) {
                Ok(Versioned { format }) if format > FORMAT => bail!(
                    "{} was written by a newer version of sweep (format {format}; this one reads up to {FORMAT}). \
                     Update sweep.",
                    path.display()
                ),
                _ => bail!("{} is damaged ({error}). {mend}", path.display()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use super::*;
    use crate::plan::{Choice, Input, Recipe};
    use crate::record::{End, Failure, Provenance};

    fn run(seed: u64) -> Run {
        Run {
            task: Input { name: "rte".into(), hash: "a".into() },
            model: Input { name: "tiny".into(), hash: "b".into() },
            mode: "vanilla".into(),
            method: Choice { name: "vanilla".into(), numbers: BTreeMap::new() },
            recipe: Recipe::default(),
            seed,
            after: Default::default(),
        }
    }

    fn record(seed: u64) -> Record {
        let run = run(seed);
        let end = End::Failed(Failure::Diverged { step: 7 });
        Record { format: FORMAT, id: run.id(), run, end, made: Provenance::default() }
    }

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().join("results"));
        (folder, store)
    }

    #[test]
    fn a_record_comes_back_and_leaves_nothing_else_behind() {
        let (_folder, store) = store();
        let mut record = record(1);
        assert_eq!(store.read(&record.id).unwrap(), None);
        store.write(&record).unwrap();
        record.made.attempt = 2;
        store.write(&record).unwrap();
        assert_eq!(store.read(&record.id).unwrap().unwrap(), record);
        let names: Vec<_> =
            fs::read_dir(store.run_folder(&record.id)).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["record.json"]);
        assert!(fs::read_to_string(store.run_folder(&record.id).join("record.json")).unwrap().ends_with("}\n"));
    }

    #[test]
    fn a_temporary_file_of_a_killed_writer_is_no_record() {
        let (_folder, store) = store();
        let record = record(1);
        make_folder(&store.run_folder(&record.id)).unwrap();
        fs::write(store.run_folder(&record.id).join(".record.json.new"), b"{\"format\":1,").unwrap();
        assert_eq!(store.read(&record.id).unwrap(), None);
        assert_eq!(store.read_all().unwrap(), []);
        store.write(&record).unwrap();
        assert_eq!(store.read_all().unwrap(), [record]);
    }

    #[test]
    fn a_damaged_record_is_named_with_what_to_do() {
        let (_folder, store) = store();
        let record = record(1);
        store.write(&record).unwrap();
        let path = store.run_folder(&record.id).join("record.json");
        let whole = fs::read(&path).unwrap();
        for bytes in [&whole[..whole.len() / 2], b"", b"\0\0\0\0"] {
            fs::write(&path, bytes).unwrap();
            let message = store.read_all().unwrap_err().to_string();
            assert!(message.contains("record.json is damaged") && message.contains("sweep run"), "{message}");
        }
        fs::write(&path, br#"{"format": 99, "new": true}"#).unwrap();
        let message = store.read(&record.id).unwrap_err().to_string();
        assert!(message.contains("newer version of sweep (format 99"), "{message}");
    }

    #[test]
    fn ten_thousand_records_are_read_in_order() {
        let (_folder, store) = store();
        for seed in 0..10_000 {
            let record = record(seed);
            fs::create_dir_all(store.run_folder(&record.id)).unwrap();
            // Not through `write`: 10,000 syncs take their time.
            let text = serde_json::to_vec_pretty(&record).unwrap();
            fs::write(store.run_folder(&record.id).join("record.json"), text).unwrap();
        }
        fs::write(store.root().join("runs/.DS_Store"), b"").unwrap();
        let records = store.read_all().unwrap();
        assert_eq!(records.len(), 10_000);
        assert!(records.is_sorted_by(|a, b| a.id < b.id));
    }

    #[test]
    fn a_manifest_comes_back() {
        let (_folder, store) = store();
        assert_eq!(store.manifest("glue").unwrap(), None);
        let runs = vec![(run(2).id(), run(2)), (run(1).id(), run(1))];
        let manifest = Manifest {
            format: FORMAT,
            name: "glue".into(),
            question: Some("Why?".into()),
            tune: vec!["lr".into()],
            select: Select::Half,
            paper: Some("table2".into()),
            models: BTreeMap::from([("bert".into(), "org/bert@1d7b".into())]),
            stop: Some(Stop::Asha(Asha { eta: 3, rungs: 2 })),
            examples: BTreeMap::from([("rte".into(), 2490)]),
            runs,
        };
        store.write_manifest(&manifest).unwrap();
        assert_eq!(store.manifest("glue").unwrap(), Some(manifest.clone()));

        // One that an earlier version wrote names no axes of [tune].
        let path = store.sweep_folder("glue").join("manifest.json");
        let mut older: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        for key in ["tune", "select", "paper", "models", "stop", "examples"] {
            older.as_object_mut().unwrap().remove(key).unwrap();
        }
        fs::write(&path, older.to_string()).unwrap();
        assert_eq!(
            store.manifest("glue").unwrap(),
            Some(Manifest {
                tune: Vec::new(),
                select: Select::Dev,
                paper: None,
                models: BTreeMap::new(),
                stop: None,
                examples: BTreeMap::new(),
                ..manifest
            })
        );
    }

    #[test]
    fn a_replaced_file_has_the_permissions_of_any_other_and_no_second_file_stays() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (ordinary, replaced) = (folder.path().join("a"), folder.path().join("b"));
        fs::write(&ordinary, b"x").unwrap();
        replace(&replaced, b"older").unwrap();
        replace(&replaced, b"x").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ordinary), mode(&replaced));
        assert_eq!(fs::read(&replaced).unwrap(), b"x");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn trouble_with_the_folder_is_told_in_words() {
        let (folder, store) = store();
        fs::write(folder.path().join("results"), b"a file").unwrap();
        let message = format!("{:#}", store.write(&record(1)).unwrap_err());
        assert!(message.contains("a file lies where a folder should be"), "{message}");

        // The device that is always full.
        let error = fs::write("/dev/full", b"x").unwrap_err();
        let message = format!("{:#}", explain(error, Path::new("results/x")));
        assert!(message.contains("results/x: no space left. Make room"), "{message}");

        // /proc takes no new entries, from root neither.
        let message = format!("{:#}", Store::new("/proc/results").write(&record(1)).unwrap_err());
        assert!(message.contains("cannot write /proc/results"), "{message}");
        assert_eq!(Store::new(folder.path().join("nowhere")).read_all().unwrap(), []);
    }
}
