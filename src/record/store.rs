//! Where records lie, and how they get there without ever being half there.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use super::rows::{Rows, holds};
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
///
/// `Runs` is how they are held: owned, borrowed from a plan while it is written, or as ids alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest<Runs = Vec<(RunId, Run)>> {
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
    pub runs: Runs,
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

    pub(super) fn record_path(&self, id: &RunId) -> PathBuf {
        self.run_folder(id).join("record.json")
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
        replace_json(&self.record_path(&record.id), record)
    }

    /// The record of a run, or `None` where it has not ended yet.
    ///
    /// # Errors
    /// A file that is there and is no record.
    pub fn read(&self, id: &RunId) -> Result<Option<Record>> {
        read_json(&self.record_path(id), "Delete this file, and `sweep run` does the run again; or restore it.")
    }

    /// Puts a record into another folder than its run's.
    pub(super) fn write_into(&self, folder: &Path, record: &Record) -> Result<()> {
        replace_json(&folder.join("record.json"), record)
    }

    /// The record in another folder than its run's.
    pub(super) fn read_from(&self, folder: &Path) -> Result<Option<Record>> {
        read_json(&folder.join("record.json"), "Delete this file.")
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

    /// Puts a sweep's manifest in its folder, in place of an older one; says whether that was another one.
    pub fn write_manifest<Runs: Serialize>(&self, manifest: &Manifest<Runs>) -> Result<bool> {
        let path = self.manifest_path(&manifest.name);
        let write = |to: &mut dyn Write| {
            manifest.serialize(&mut serde_json::Serializer::with_formatter(&mut *to, Rows::default()))?;
            to.write_all(b"\n")
        };
        let is_new = !holds(&path, write);
        if is_new {
            replace_by(&path, write)?;
        }
        Ok(is_new)
    }

    /// The manifest that the last `sweep run` of this sweep left.
    pub fn manifest(&self, name: &str) -> Result<Option<Manifest>> {
        read_json(&self.manifest_path(name), MEND_MANIFEST)
    }

    /// The ids of the same runs, and whether a rule ends work early, for who asks no more: what runs are takes longer to
    /// read than whether they are done.
    pub fn planned(&self, name: &str) -> Result<Option<(Vec<RunId>, bool)>> {
        let manifest: Option<Manifest<Vec<(RunId, IgnoredAny)>>> = read_json(&self.manifest_path(name), MEND_MANIFEST)?;
        let ids = |runs: Vec<(RunId, IgnoredAny)>| runs.into_iter().map(|(id, _)| id).collect();
        Ok(manifest.map(|manifest| (ids(manifest.runs), manifest.stop.is_some())))
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

const MEND_MANIFEST: &str = "Delete this file, and `sweep run` writes it anew; or restore it.";

fn replace_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value).with_context(|| format!("cannot write {}", path.display()))?;
    text.push(b'\n');
    replace(path, &text)
}

/// Replaces a file as a whole: temporary file, sync, rename, sync of the folder. Missing folders are made.
/// The temporary name is fixed, so that a crash leaves at most one of them behind; of several writers each waits its turn.
pub fn replace(path: &Path, content: &[u8]) -> Result<()> {
    replace_by(path, |to| to.write_all(content))
}

/// The same for what is made while it is written.
fn replace_by(path: &Path, write: impl Fn(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        bail!("{} is no place for a file", path.display());
    };
    make_folder(folder)?;
    let temporary = folder.join(format!(".{}.new", name.to_string_lossy()));
    let write = || {
        failpoint::pass("replace");
        let mut file = BufWriter::with_capacity(1 << 16, create_alone(&temporary)?);
        write(&mut file)?;
        // Kept open, and so locked, until the file is in its place.
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        failpoint::pass("rename");
        fs::rename(&temporary, path)?;
        failpoint::pass("renamed");
        sync_folder(folder)
    };
    write().map_err(|error: io::Error| {
        // Best effort: what is left there does no harm, and the error that matters is the first one.
        let _ = fs::remove_file(&temporary);
        explain(error, path)
    })
}

/// An empty file that no other writer has: two coordinators of shares may write one manifest.
fn create_alone(path: &Path) -> io::Result<File> {
    loop {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        // Where the file system knows no locks, writers are as careful as they were.
        let _ = file.lock();
        // While we waited, the one before us may have renamed this file to its place.
        let is_there = fs::metadata(path).is_ok_and(|found| file.metadata().is_ok_and(|own| own.ino() == found.ino()));
        if is_there {
            file.set_len(0)?;
            return Ok(file);
        }
    }
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

/// Waits until the names in a folder are on the disk.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}

/// Says what an error of the file system means to the user, and what to do.
pub fn explain(error: io::Error, path: &Path) -> anyhow::Error {
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
pub(super) mod tests {
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

    pub fn record(seed: u64) -> Record {
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
    fn writers_of_one_file_wait_for_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manifest.json");
        std::thread::scope(|scope| {
            for letter in [b'a', b'b', b'c'] {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..30 {
                        replace(path, &vec![letter; 50_000]).unwrap();
                        let found = fs::read(path).unwrap();
                        assert!(found.len() == 50_000 && found.iter().all(|byte| *byte == found[0]));
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
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
