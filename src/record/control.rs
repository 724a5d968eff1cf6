//! Words from another terminal to a coordinator, as files: `<sweep>/control/<to>-<n>.json` asks, and `….answer` of the
//! same name answers. Files work wherever the results folder does, and need no port and no rights but those on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::process::Process;
use super::store::{Store, explain, make_folder};
use crate::plan::RunId;

/// What a coordinator can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Do no more of this run; its record says that it was cancelled.
    Cancel(RunId),
    /// Stop as Ctrl-C does.
    Stop,
    /// Say where this run stands.
    Where(RunId),
}

/// What became of it, in a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Whether it was carried out.
    pub done: bool,
    pub say: String,
}

/// A request that lies there, with the place of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    pub request: Request,
    path: PathBuf,
}

/// How often an answer is looked for.
const BEAT: Duration = Duration::from_millis(30);

/// Asks a coordinator of a sweep and waits for its answer; `None` where none comes within `patience`, and then the
/// request is taken back.
///
/// # Errors
/// The folder cannot be written.
pub fn ask(store: &Store, sweep: &str, to: &Process, request: &Request, patience: Duration) -> Result<Option<Answer>> {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let folder = folder(store, sweep);
    make_folder(&folder)?;
    let number = ASKED.fetch_add(1, Ordering::Relaxed);
    let own = Process::own();
    let path = folder.join(format!("{}{}-{}-{number}.json", address(to), plain(&own.host), own.pid));
    put(&path, request)?;
    let (answer, start) = (answer_path(&path), Instant::now());
    while start.elapsed() < patience {
        if let Some(found) = fs::read(&answer).ok().and_then(|text| serde_json::from_slice(&text).ok()) {
            let _ = fs::remove_file(&answer);
            return Ok(Some(found));
        }
        std::thread::sleep(BEAT);
    }
    let _ = fs::remove_file(&path);
    Ok(None)
}

/// The requests to a coordinator that lie there, oldest name first. What cannot be read is taken away.
pub fn letters(store: &Store, sweep: &str, to: &Process) -> Vec<Letter> {
    let Ok(entries) = fs::read_dir(folder(store, sweep)) else { return Vec::new() };
    let to = address(to);
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.starts_with(&to) && name.ends_with(".json")
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_ours).collect();
    paths.sort();
    let read = |path: PathBuf| match fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok()) {
        Some(request) => Some(Letter { request, path }),
        None => {
            let _ = fs::remove_file(&path);
            None
        }
    };
    paths.into_iter().filter_map(read).collect()
}

/// Answers a request and takes it away. Whoever asked may be gone, and a full disk is no reason to end a sweep: nothing
/// here fails.
pub fn answer(letter: &Letter, answer: &Answer) {
    let _ = put(&answer_path(&letter.path), answer);
    let _ = fs::remove_file(&letter.path);
}

/// Takes away what was left to coordinators that are gone, and answers that nobody fetched.
pub fn sweep_out(store: &Store, sweep: &str, living: &[Process]) {
    let living: Vec<String> = living.iter().map(address).collect();
    for entry in fs::read_dir(folder(store, sweep)).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !living.iter().any(|address| name.starts_with(address)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn folder(store: &Store, sweep: &str) -> PathBuf {
    store.sweep_folder(sweep).join("control")
}

/// The beginning of the names of files to a process.
fn address(process: &Process) -> String {
    format!("{}-{}-", plain(&process.host), process.pid)
}

/// A host's name as part of a file's.
fn plain(host: &str) -> String {
    host.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' }).collect()
}

fn answer_path(request: &Path) -> PathBuf {
    request.with_extension("answer")
}

/// Whole or not at all, but not synced: after a crash nobody waits for it.
fn put(path: &Path, what: &impl Serialize) -> Result<()> {
    let temporary = path.with_extension("new");
    let text = serde_json::to_vec(what)?;
    let write = || fs::write(&temporary, text).and_then(|()| fs::rename(&temporary, path));
    write().map_err(|error| explain(error, path))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of(pid: u32) -> Process {
        Process { pid, host: "a host".into(), ..Process::default() }
    }

    fn files(store: &Store) -> Vec<String> {
        let entries = fs::read_dir(folder(store, "glue")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_request_is_answered_by_the_one_it_is_for() {
        let place = tempfile::tempdir().unwrap();
        let store = Store::new(place.path());
        let request = Request::Cancel(RunId("12ab".into()));
        let said = Answer { done: true, say: "done".into() };
        let found = std::thread::scope(|scope| {
            let asking = scope.spawn(|| ask(&store, "glue", &of(7), &request, Duration::from_secs(20)).unwrap());
            let letter = loop {
                assert_eq!(letters(&store, "glue", &of(77)), [], "7 is not 77");
                if let Some(letter) = letters(&store, "glue", &of(7)).pop() {
                    break letter;
                }
            };
            assert_eq!(letter.request, request);
            answer(&letter, &said);
            asking.join().unwrap()
        });
        assert_eq!(found, Some(said));
        assert_eq!(files(&store), [""; 0]);
    }

    #[test]
    fn a_request_that_nobody_answers_is_taken_back() {
        let place = tempfile::tempdir().unwrap();
        let store = Store::new(place.path());
        assert_eq!(ask(&store, "glue", &of(7), &Request::Stop, Duration::ZERO).unwrap(), None);
        assert_eq!(files(&store), [""; 0]);
    }

    #[test]
    fn garbage_and_what_is_stale_goes() {
        let place = tempfile::tempdir().unwrap();
        let store = Store::new(place.path());
        let folder = folder(&store, "glue");
        fs::create_dir_all(&folder).unwrap();
        for name in ["a_host-7-x-1-0.json", "a_host-8-x-1-0.json", "a_host-9-x-1-0.answer", "a_host-9-x-1-0.new"] {
            fs::write(folder.join(name), b"{\"melt\":1}").unwrap();
        }
        assert_eq!(letters(&store, "glue", &of(7)), []);
        sweep_out(&store, "glue", &[of(8)]);
        assert_eq!(files(&store), ["a_host-8-x-1-0.json"]);
        assert_eq!(letters(&Store::new("nowhere"), "glue", &of(7)), []);
    }
}
