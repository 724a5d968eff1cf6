//! A sweep in MLflow's file store: an experiment for the sweep, a run for each run.
//! Source: mlflow/store/tracking/file_store.py of MLflow 3.

use std::fmt::Write;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;
use rayon::prelude::*;

use super::ending::{Kind, ending};
use super::runs::{Entry, Runs, Told};
use super::series::{self, Clock, Point};
use super::settings::{settings, word};

/// A tag that says from which record a run was made; what is as it was is not written again, so that tags and notes
/// made in MLflow stay.
const MADE_FROM: &str = "sweep.record";

/// Writes all runs that have ended into a file store. The same run has the same id whenever it is exported.
///
/// # Errors
/// Records that cannot be read, files that cannot be written.
pub fn export(runs: &Runs, store: &Path) -> Result<Told> {
    let store = std::path::absolute(store)?;
    let name = &runs.manifest.name;
    let experiment = match experiment_of(&store, name) {
        Some(folder) => folder,
        None => {
            let id = digits(name);
            let folder = store.join(&id);
            write(&folder.join("meta.yaml"), &experiment_meta(&folder, &id, name))?;
            folder
        }
    };
    let one = |index: usize| -> Result<Told> {
        let Some(entry) = runs.read(index, true)? else { return Ok(Told::waiting()) };
        put(&experiment, name, &entry)?;
        Ok(Told::of(&entry))
    };
    let written: Result<Vec<Told>> = (0..runs.len()).into_par_iter().map(one).collect();
    let mut told = Told::default();
    written?.into_iter().for_each(|one| told.add(one));
    Ok(told)
}

/// The folder of the experiment that has this name already, made by us or by MLflow.
fn experiment_of(store: &Path, name: &str) -> Option<PathBuf> {
    let folders = fs::read_dir(store).ok()?.flatten().map(|entry| entry.path());
    let mut folders: Vec<PathBuf> = folders.filter(|folder| folder.join("meta.yaml").is_file()).collect();
    folders.sort();
    folders.into_iter().find(|folder| {
        let meta = fs::read_to_string(folder.join("meta.yaml")).unwrap_or_default();
        let named = meta.lines().find_map(|line| line.strip_prefix("name:"));
        named.is_some_and(|named| named.trim().trim_matches(['"', '\'']) == name)
    })
}

/// An experiment's id from its name: 18 digits, as MLflow draws them.
fn digits(name: &str) -> String {
    let hash = blake3::hash(name.as_bytes());
    let bytes: [u8; 8] = std::array::from_fn(|i| hash.as_bytes()[i]);
    (u64::from_le_bytes(bytes) % 900_000_000_000_000_000 + 100_000_000_000_000_000).to_string()
}

/// A run's id in MLflow, 32 hexadecimal digits: another sweep's run of the same settings is another run there.
fn uuid(sweep: &str, id: &str) -> String {
    blake3::hash(format!("{sweep}/{id}").as_bytes()).to_hex()[..32].to_owned()
}

fn put(experiment: &Path, sweep: &str, entry: &Entry) -> Result<()> {
    let record = &entry.record;
    let uuid = uuid(sweep, &record.id.0);
    let folder = experiment.join(&uuid);
    let mut text = serde_json::to_vec_pretty(record)?;
    let steps = serde_json::to_vec(&entry.steps)?;
    let mark = blake3::hash(&[&text[..], entry.place.as_bytes(), &steps].concat()).to_hex().to_string();
    let tags = folder.join("tags");
    if fs::read_to_string(tags.join(MADE_FROM)).is_ok_and(|there| there == mark) {
        return Ok(());
    }
    // Numbers of an earlier record are none of this one. Tags of other people stay.
    for part in ["metrics", "params"] {
        match fs::remove_dir_all(folder.join(part)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot replace {}", folder.join(part).display()));
            }
            _ => {}
        }
        make(&folder.join(part))?;
    }
    let clock = Clock::of(record);
    let experiment_id = experiment.file_name().unwrap_or_default().to_string_lossy().into_owned();
    write(&folder.join("meta.yaml"), &run_meta(&folder, &experiment_id, &uuid, entry, &clock))?;
    for (name, value) in settings(&record.run) {
        write(&folder.join("params").join(name), &word(&value))?;
    }
    let mut points = series::of_steps(&entry.steps, &clock);
    points.extend(series::of_end(&record.end, &clock));
    points.extend(series::costs(record, &clock));
    for (tag, lines) in by_tag(points) {
        write(&folder.join("metrics").join(tag), &lines)?;
    }
    text.push(b'\n');
    make(&folder.join("artifacts"))?;
    write(&folder.join("artifacts/record.json"), &String::from_utf8_lossy(&text))?;
    make(&tags)?;
    for (name, value) in tags_of(entry).into_iter().filter(|(_, value)| !value.is_empty()) {
        write(&tags.join(name), &value)?;
    }
    // The last, so that an export that was cut off is made up for by the next.
    write(&tags.join(MADE_FROM), &mark)
}

/// The file of each metric: a line a step, of time in milliseconds, value, step.
fn by_tag(points: Vec<Point>) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = Vec::new();
    let mut sorted = points;
    sorted.sort_by(|a, b| (&a.tag, a.step).cmp(&(&b.tag, b.step)));
    for Point { tag, step, value, time } in sorted {
        let value = if value.is_nan() { "nan".to_owned() } else { format!("{value:?}") };
        let line = format!("{} {value} {step}\n", millis(time));
        match files.last_mut().filter(|(last, _)| *last == tag) {
            Some((_, lines)) => *lines += &line,
            None => files.push((tag, line)),
        }
    }
    files
}

fn tags_of(entry: &Entry) -> Vec<(&'static str, String)> {
    let record = &entry.record;
    let (made, ending, metric) = (&record.made, ending(&record.end), series::metric(&record.end));
    let note = match &ending.why {
        Some(why) => format!("{}\n\n{}: {why}", record.run.label(), ending.word),
        None => record.run.label(),
    };
    vec![
        ("mlflow.runName", entry.place.to_owned()),
        ("mlflow.note.content", note),
        ("mlflow.source.name", "sweep".to_owned()),
        ("mlflow.source.type", "LOCAL".to_owned()),
        ("mlflow.source.git.commit", made.commit.trim_end_matches('+').to_owned()),
        ("sweep.id", record.id.0.clone()),
        ("sweep.status", ending.word.to_owned()),
        ("sweep.reason", ending.why.unwrap_or_default()),
        ("sweep.metric", metric.unwrap_or_default().to_owned()),
        ("sweep.collapsed", record.outcome().map(|outcome| outcome.collapsed.to_string()).unwrap_or_default()),
        ("sweep.version", made.version.clone()),
        ("sweep.libtorch", made.libtorch.clone()),
        ("sweep.device", format!("{} {}", made.device, made.device_name).trim().to_owned()),
        ("sweep.attempt", made.attempt.to_string()),
        ("sweep.micro_batch", made.micro_batch.map(|rows| rows.to_string()).unwrap_or_default()),
    ]
}

fn experiment_meta(folder: &Path, id: &str, name: &str) -> String {
    let now = Timestamp::now().as_millisecond().to_string();
    yaml(&[
        ("artifact_location", quoted(&uri(folder))),
        ("creation_time", now.clone()),
        ("experiment_id", quoted(id)),
        ("last_update_time", now),
        ("lifecycle_stage", "active".to_owned()),
        ("name", quoted(name)),
    ])
}

fn run_meta(folder: &Path, experiment: &str, uuid: &str, entry: &Entry, clock: &Clock) -> String {
    // RunStatus of MLflow.
    let status = match ending(&entry.record.end).kind {
        Kind::Done => 3,
        Kind::Failed => 4,
        Kind::Ended => 5,
    };
    yaml(&[
        ("artifact_uri", quoted(&uri(&folder.join("artifacts")))),
        ("end_time", millis(clock.ended).to_string()),
        ("entry_point_name", quoted("")),
        ("experiment_id", quoted(experiment)),
        ("lifecycle_stage", "active".to_owned()),
        ("run_id", quoted(uuid)),
        ("run_name", quoted(entry.place)),
        ("run_uuid", quoted(uuid)),
        ("source_name", quoted("")),
        ("source_type", "4".to_owned()),
        ("source_version", quoted("")),
        ("start_time", millis(clock.began).to_string()),
        ("status", status.to_string()),
        ("tags", "[]".to_owned()),
        ("user_id", quoted("")),
    ])
}

fn yaml(fields: &[(&str, String)]) -> String {
    fields.iter().map(|(name, value)| format!("{name}: {value}\n")).collect()
}

/// A JSON string is a YAML string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn millis(time: f64) -> i64 {
    (time * 1e3).round() as i64
}

fn uri(path: &Path) -> String {
    let mut uri = "file://".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => uri.push(*byte as char),
            byte => {
                // Writing to a string cannot fail.
                let _ = write!(uri, "%{byte:02X}");
            }
        }
    }
    uri
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    make(path.parent().unwrap_or(Path::new(".")))?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_of_the_form_that_mlflow_draws_and_do_not_change() {
        assert_eq!((digits("glue").len(), uuid("glue", "3f2a").len()), (18, 32));
        assert_eq!((digits("glue"), uuid("glue", "3f2a")), (digits("glue"), uuid("glue", "3f2a")));
        assert_ne!(uuid("glue", "3f2a"), uuid("larger", "3f2a"));
    }

    #[test]
    fn a_metric_has_a_file_with_its_steps_in_order() {
        let point = |tag: &str, step, value| Point { tag: tag.to_owned(), step, value, time: 1.5 };
        let files = by_tag(vec![point("b", 2, 1e-7), point("a/c", 1, f64::NAN), point("b", 1, f64::INFINITY)]);
        let expected = [("a/c", "1500 nan 1\n"), ("b", "1500 inf 1\n1500 1e-7 2\n")];
        assert_eq!(files, expected.map(|(tag, lines)| (tag.to_owned(), lines.to_owned())));
        assert_eq!(uri(Path::new("/a b/é%")), "file:///a%20b/%C3%A9%25");
        assert_eq!(quoted("a\"b: #"), "\"a\\\"b: #\"");
    }
}
