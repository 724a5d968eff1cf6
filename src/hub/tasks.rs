//! The data of a task from the hub into a data folder, in the layout of its official release.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::permissions::readable;
use super::rows::{Converted, convert};
use super::sets::{self, File, Set};
use super::{Error, Hub, Reference, Remote, Watch};

/// Where the hub keeps what it has itself converted to parquet, for repositories that hold something else.
const CONVERTED: &str = "refs/convert/parquet";

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrote {
    pub path: PathBuf,
    pub rows: usize,
    /// Texts in which tabs or line ends became blanks.
    pub softened: usize,
}

/// What became of a task.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct WroteTask {
    pub folder: PathBuf,
    pub files: Vec<Wrote>,
    /// Files that were there, and were left as they were.
    pub kept: Vec<String>,
    /// That came over the network.
    pub bytes: u64,
}

impl Hub {
    /// Fetches the data of a built-in task and writes the files of its release under a data folder. A file that is
    /// there stays as it is.
    ///
    /// # Errors
    /// What could not be fetched, does not fit, or cannot be written; files written before are whole.
    pub fn fetch_task(&self, task: &str, data: &Path, watch: &dyn Watch) -> Result<WroteTask, Error> {
        let mut wrote = WroteTask::default();
        for set in sets::of(task) {
            let root = group_folder(data, set);
            wrote.folder.clone_from(&root);
            let (there, missing): (Vec<&File>, Vec<&File>) =
                set.files.iter().partition(|file| root.join(file.path).exists());
            wrote.kept.extend(there.iter().map(|file| file.path.to_owned()));
            if missing.is_empty() {
                continue;
            }
            let about = self.with_parquet(set, watch)?;
            for file in missing {
                let choose = |there: &[String]| parquet_of(set, file, there);
                let (fetched, parquet) = self.fetch_files(&about, &choose, watch)?;
                wrote.bytes += fetched.bytes;
                let Converted { text, rows, softened } =
                    convert(file, set.layout, &parquet).map_err(|why| Error::Unfit { about: about.clone(), why })?;
                let path = root.join(file.path);
                match write_new(&path, &text) {
                    Ok(()) => wrote.files.push(Wrote { path, rows, softened }),
                    // Another process was faster, with the same rows.
                    Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                        wrote.kept.push(file.path.to_owned());
                    }
                    Err(source) => return Err(Error::Data { path, source }),
                }
            }
        }
        Ok(wrote)
    }

    /// The parquet files that [`Hub::fetch_task`] would bring, with their sizes.
    pub fn describe_task(&self, task: &str, data: &Path, watch: &dyn Watch) -> Result<Vec<Remote>, Error> {
        let mut remotes = Vec::new();
        for set in sets::of(task) {
            let missing = missing_of(set, data);
            if missing.is_empty() {
                continue;
            }
            let about = self.with_parquet(set, watch)?;
            let choose = |there: &[String]| {
                let files = missing.iter().map(|file| parquet_of(set, file, there)).collect::<Result<Vec<_>, _>>()?;
                Ok(files.concat())
            };
            remotes.extend(self.describe_files(&about, &choose, watch)?);
        }
        Ok(remotes)
    }

    /// The revision of a data set that holds parquet files.
    fn with_parquet(&self, set: &Set, watch: &dyn Watch) -> Result<Reference, Error> {
        let main = Reference::dataset(set.repo, "main");
        let there = self.names(&main, watch)?;
        let has = set.files.iter().all(|file| !set.parquet(file.split, &there).is_empty());
        Ok(if has { main } else { main.at(CONVERTED) })
    }
}

fn parquet_of(set: &Set, file: &File, there: &[String]) -> Result<Vec<String>, String> {
    let files = set.parquet(file.split, there);
    match files.is_empty() {
        true => Err(format!("parquet file of {}/{} (for {})", set.config, file.split, file.path)),
        false => Ok(files),
    }
}

/// A task that has been fetched in part: the folder that its release lies in, going by its development set, and the
/// test files that are not there. `None` for one that is whole, and for one whose files are not those of a fetch.
pub fn fetched_in_part(task: &str, dev: &Path) -> Option<(PathBuf, Vec<&'static str>)> {
    let files = || sets::of(task).flat_map(|set| set.files);
    let own = files().map(|file| Path::new(file.path)).find(|path| dev.ends_with(path))?;
    let root = dev.ancestors().nth(own.components().count())?;
    let missing: Vec<&File> = sets::of(task).flat_map(|set| missing_of(set, root)).collect();
    let is_fetched = !missing.is_empty() && missing.iter().all(|file| file.split.starts_with("test"));
    is_fetched.then(|| (root.to_owned(), missing.iter().map(|file| file.path).collect()))
}

fn missing_of(set: &'static Set, data: &Path) -> Vec<&'static File> {
    let root = group_folder(data, set);
    set.files.iter().filter(|file| !root.join(file.path).exists()).collect()
}

/// `data/glue`, or the data folder itself where it is called so or holds the release's folder.
fn group_folder(data: &Path, set: &Set) -> PathBuf {
    let is_group = data.file_name().is_some_and(|name| name == set.group);
    let folders = set.files.iter().filter_map(|file| Path::new(file.path).parent());
    let holds = |folder: &Path| data.join(folder).is_dir();
    if is_group || folders.into_iter().any(holds) { data.to_owned() } else { data.join(set.group) }
}

/// Writes a file at once and whole; one that is there is an error.
fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new().permissions(readable()).tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    Ok(())
}
