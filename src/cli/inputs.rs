//! Where the models and data of a sweep are found: a folder of one's own first, then the hub's cache; and how they get
//! here.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::workspace::{Absent, Inputs, Workspace, roots};
use super::{Places, Refusal, complain};
use crate::hub::{self, Hub, Reference, Settings, Snapshot, Watch, bytes};
use crate::model::{self, Config};
use crate::schedule::Interrupts;
use crate::spec::{Faults, ModelFault};
use crate::task::{self, Task};

/// A model on this machine.
pub struct Found {
    pub folder: PathBuf,
    /// `google-bert/bert-base-cased@<commit>`, where it came from the hub.
    pub origin: Option<String>,
    /// In the hub's cache, where it came from the hub.
    snapshot: Option<Snapshot>,
}

/// The hub as the environment and `--offline` describe it.
///
/// # Errors
/// A variable that cannot be meant.
pub fn hub(offline: bool) -> Result<Hub> {
    Settings::from_env(offline).map(Hub::new).map_err(refusal)
}

/// An error of the hub's, as the user's to mend; his own wish to stop stays what it is.
pub fn refusal(error: hub::Error) -> anyhow::Error {
    if matches!(error, hub::Error::Stopped) { error.into() } else { Refusal(error.to_string()).into() }
}

/// Finds a model by its folder, by its name under one of the roots, or by its name on the hub in the hub's cache.
///
/// # Errors
/// Where it was looked for, and what gets it.
pub fn find_model(name: &str, roots: &[PathBuf], offline: bool) -> Result<Found, ModelFault> {
    let local = match model::find(name, roots) {
        Ok(folder) => return Ok(Found { folder, origin: None, snapshot: None }),
        Err(error) => format!("{error:#}"),
    };
    let Some(about) = Reference::model(name) else { return Err(ModelFault::Unknown(local)) };
    let settings = Settings::from_env(offline).map_err(|error| ModelFault::Unusable(error.to_string()))?;
    let (cache, is_off) = (settings.cache.display().to_string(), settings.offline);
    if let Some(snapshot) = Hub::new(settings).cached(&about) {
        let origin = format!("{}@{}", about.repo, snapshot.commit);
        return Ok(Found { folder: snapshot.folder.clone(), origin: Some(origin), snapshot: Some(snapshot) });
    }
    let looked: Vec<String> = roots.iter().map(|root| root.join(name).display().to_string()).collect();
    let size = hub::known::bytes_of(&about.repo).map_or_else(String::new, |n| format!(" (about {})", bytes(n)));
    let meant = match hub::known::nearest(&about.repo) {
        Some(near) if size.is_empty() => format!("did you mean \"{near}\"? "),
        _ => String::new(),
    };
    let remedy = match is_off {
        true => "the network is switched off by --offline or HF_HUB_OFFLINE; `sweep fetch` elsewhere fills the cache"
            .to_owned(),
        false => format!("`sweep fetch` or `sweep run` gets it from the hub{size}"),
    };
    Err(ModelFault::Absent(format!(
        "{meant}looked for in {name}, {}, and in the hub's cache {cache}; {remedy}",
        looked.join(", ")
    )))
}

/// Finds a model and checks it as far as it goes without computing.
///
/// # Errors
/// Where it was looked for, or what is wrong with it, and what mends it.
pub fn usable_model(name: &str, roots: &[PathBuf], offline: bool) -> Result<(Found, Config), ModelFault> {
    let found = find_model(name, roots, offline)?;
    let why = match model::check(&found.folder) {
        Ok(config) => return Ok((found, config)),
        Err(error) => format!("{error:#}"),
    };
    match found.snapshot {
        Some(snapshot) if snapshot.is_damaged() => Err(ModelFault::Damaged(format!(
            "{why}; it has changed since it came from the hub: `sweep fetch` or `sweep run` gets it again"
        ))),
        _ => Err(ModelFault::Unusable(why)),
    }
}

/// Opens a sweep, and first gets from the hub what it lacks and the hub has.
///
/// # Errors
/// Every fault of the file, before anything is fetched; then what could not be fetched.
pub fn open(file: &Path, places: &Places, only: Option<&str>, interrupts: &Interrupts) -> Result<Workspace> {
    let faults = match Workspace::open(file, places, only, Inputs::Needed) {
        Ok(workspace) => return Ok(workspace),
        Err(faults) if faults.is::<Faults>() => faults,
        Err(error) => return Err(error),
    };
    let hub = hub(places.offline)?;
    if hub.is_offline() {
        return Err(faults);
    }
    // What is wrong besides would still be wrong after an hour of fetching.
    let Ok(draft) = Workspace::open(file, places, only, Inputs::MayLack) else { return Err(faults) };
    let wanted: Vec<&Absent> =
        draft.lacking.iter().map(|lacking| &lacking.what).filter(|what| draft.needs(what)).collect();
    if wanted.is_empty() || !wanted.iter().all(|what| is_on_hub(what)) {
        return Err(faults);
    }
    for what in wanted {
        match fetch(&hub, what, &draft.data, &Screen::new(interrupts)) {
            Ok(got) => complain(&got.line),
            Err(stopped) if matches!(stopped.downcast_ref(), Some(hub::Error::Stopped)) => return Err(stopped),
            // A misspelt name is best seen in its place.
            Err(why) => {
                complain(&format!("cannot fetch {what}: {why:#}"));
                return Err(faults);
            }
        }
    }
    Workspace::open(file, places, only, Inputs::Needed)
}

/// What has been fetched, in a line, and the bytes that came.
pub struct Got {
    pub line: String,
    pub bytes: u64,
}

fn is_on_hub(what: &Absent) -> bool {
    match what {
        Absent::Model(name) => Reference::model(name).is_some(),
        Absent::Task(name) => hub::sets::of(name).next().is_some(),
        Absent::Nothing => false,
    }
}

/// Gets a model into the hub's cache, or a task's files into the first data folder.
///
/// # Errors
/// Why not, in a sentence.
pub fn fetch(hub: &Hub, what: &Absent, data: &[PathBuf], watch: &dyn Watch) -> Result<Got> {
    match what {
        Absent::Model(name) => {
            let about = Reference::model(name).ok_or_else(|| {
                Refusal(format!("\"{name}\" is no name of a model on the hub, nor a folder with a config.json"))
            })?;
            let fetched = hub.fetch_model(&about, watch).map_err(refusal)?;
            let (files, came) = (fetched.files, bytes(fetched.bytes));
            let line = format!(
                "fetched  model {about}: {files} files, {came}, commit {:.10}, in {}",
                fetched.snapshot.commit,
                fetched.snapshot.folder.display()
            );
            Ok(Got { line, bytes: fetched.bytes })
        }
        Absent::Task(name) => {
            let root = fetch_root(name, data);
            let written = hub.fetch_task(name, &root, watch).map_err(refusal)?;
            let rows: usize = written.files.iter().map(|file| file.rows).sum();
            let softened: usize = written.files.iter().map(|file| file.softened).sum();
            let kept = written.kept.len();
            let mut line = format!(
                "fetched  task {name}: {} files with {rows} rows, {}, in {}",
                written.files.len(),
                bytes(written.bytes),
                written.folder.display()
            );
            if softened > 0 {
                line += &format!("; tabs and line ends in {softened} texts became blanks");
            }
            if kept > 0 {
                line += &format!("; left as they were: {}", written.kept.join(", "));
            }
            Ok(Got { line, bytes: written.bytes })
        }
        Absent::Nothing => Err(Refusal("there is nothing to fetch".to_owned()).into()),
    }
}

/// The data folders of a call without a sweep file.
pub fn data_roots(places: &Places) -> Vec<PathBuf> {
    roots(places.data.as_deref(), &[], Path::new("."), "data")
}

/// The model folders of a call without a sweep file.
pub fn model_roots(places: &Places) -> Vec<PathBuf> {
    roots(places.models.as_deref(), &[], Path::new("."), "models")
}

/// A built-in task whose files are here.
///
/// # Errors
/// No such task, or one that is neither here nor on the hub.
pub fn find_task(name: &str, data: &[PathBuf]) -> Result<Option<Task>, Refusal> {
    match task::resolve(name, data) {
        Ok(task) => Ok(Some(task)),
        Err(task::Error::Missing { .. }) if hub::sets::of(name).next().is_some() => Ok(None),
        Err(error) => Err(Refusal(format!("{:#}", anyhow::Error::from(error)))),
    }
}

/// Where a built-in task's files lie, and those of its release that a fetch would add.
pub fn fetched_in_part(task: &Task) -> Option<(PathBuf, Vec<&'static str>)> {
    hub::fetched_in_part(&task.name, &task.dev.first()?.source.path)
}

/// The folder that a task's files are written below: where the others are, else the first data folder.
pub fn fetch_root(name: &str, data: &[PathBuf]) -> PathBuf {
    let there = task::resolve(name, data).ok().and_then(|task| fetched_in_part(&task));
    let root = there.map(|(root, _)| root).or_else(|| data.first().cloned());
    root.unwrap_or_else(|| PathBuf::from("data"))
}

/// A bar for the file that is being fetched; elsewhere than on a terminal, a line for each.
pub struct Screen {
    bar: RefCell<Option<ProgressBar>>,
    interrupts: Interrupts,
}

impl Screen {
    pub fn new(interrupts: &Interrupts) -> Screen {
        Screen { bar: RefCell::new(None), interrupts: interrupts.clone() }
    }
}

impl Watch for Screen {
    fn begin(&self, file: &str, size: u64, have: u64) {
        let target = ProgressDrawTarget::stderr_with_hz(10);
        if target.is_hidden() {
            let rest = if have > 0 { format!(", {} of them here", bytes(have)) } else { String::new() };
            return complain(&format!("fetching {file}, {}{rest}", bytes(size)));
        }
        let form =
            "{bar:12} {decimal_bytes:>9} of {decimal_total_bytes:9} {decimal_bytes_per_sec:>12} {eta:>4}  {wide_msg}";
        let style = ProgressStyle::with_template(form).expect("a fixed template").progress_chars("━╸─");
        let bar = ProgressBar::with_draw_target(Some(size), target).with_style(style).with_position(have);
        bar.set_message(file.to_owned());
        // The bytes that were here took no time.
        bar.reset_eta();
        *self.bar.borrow_mut() = Some(bar);
    }

    fn gain(&self, bytes: u64) {
        if let Some(bar) = self.bar.borrow().as_ref() {
            bar.inc(bytes);
        }
    }

    fn restart(&self) {
        if let Some(bar) = self.bar.borrow().as_ref() {
            bar.set_position(0);
        }
    }

    fn end(&self) {
        if let Some(bar) = self.bar.borrow_mut().take() {
            bar.finish_and_clear();
        }
    }

    fn is_stopped(&self) -> bool {
        self.interrupts.is_any()
    }

    fn note(&self, text: &str) {
        match self.bar.borrow().as_ref() {
            Some(bar) => bar.suspend(|| complain(text)),
            None => complain(text),
        }
    }
}
