//! `sweep fetch FILE`: all that a sweep needs from the hub, so that it runs where there is no network.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::inputs::{self, Screen, data_roots, fetch, fetch_root, find_task, model_roots, usable_model};
use super::workspace::{Absent, Inputs, Lacking, Workspace};
use super::{Exit, Places, Refusal, complain, print};
use crate::hub::{self, Hub, Reference, Watch, bytes};
use crate::schedule::Interrupts;
use crate::spec::ModelFault;
use crate::task::Task;

#[derive(clap::Args)]
pub struct Arguments {
    /// The sweep file
    #[arg(required_unless_present_any = ["model", "task"])]
    file: Option<PathBuf>,
    #[command(flatten)]
    places: Places,
    /// A model of the hub: NAME or ORG/NAME, with @REVISION for a branch, a tag or a commit
    #[arg(long, value_name = "NAME")]
    model: Vec<String>,
    /// A built-in task whose data are on the hub
    #[arg(long, value_name = "NAME")]
    task: Vec<String>,
    /// Say what is here and what would be fetched; fetch nothing
    #[arg(long)]
    dry_run: bool,
}

/// What a call asks for: what is here, with where it lies, and what is not.
#[derive(Default)]
struct Wanted {
    here: Vec<String>,
    absent: Vec<Absent>,
    /// What no fetch can mend, with what is wrong.
    broken: Vec<String>,
    data: Vec<PathBuf>,
}

impl Wanted {
    /// Notes a task that runs can be trained on; its test set may have stayed away, when a fetch was stopped.
    fn take_task(&mut self, task: &Task, is_enough: bool) {
        let missing = match inputs::fetched_in_part(task) {
            Some((_, missing)) if is_enough => format!(" (without {})", missing.join(", ")),
            Some(_) => return self.absent.push(Absent::Task(task.name.clone())),
            None => String::new(),
        };
        let folder = task.dev.first().and_then(|dev| dev.source.path.parent());
        let folder = folder.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
        self.here.push(format!("task {}: {}{missing}", task.name, folder.display()));
    }
}

pub fn main(arguments: &Arguments) -> Result<Exit> {
    let hub = inputs::hub(arguments.places.offline)?;
    let wanted = wanted(arguments, hub.is_offline())?;
    for line in &wanted.here {
        print(&format!("here     {line}"))?;
    }
    for line in &wanted.broken {
        complain(&format!("failed   {line}"));
    }
    let screen = Screen::new(&Interrupts::from_signals()?);
    let (mut fetched, mut failed, mut came) = (0, wanted.broken.len(), 0);
    for what in &wanted.absent {
        let got = if arguments.dry_run {
            describe(&hub, what, &wanted.data, &screen)
        } else {
            fetch(&hub, what, &wanted.data, &screen)
        };
        match got {
            Ok(got) => {
                print(&got.line)?;
                fetched += 1;
                came += got.bytes;
            }
            Err(why) if why.is::<hub::Error>() => return Err(why),
            Err(why) => {
                complain(&format!("failed   {what}: {why}"));
                failed += 1;
            }
        }
    }
    let here = wanted.here.len();
    print(&match arguments.dry_run {
        true => format!("{here} here, {fetched} to fetch, {failed} cannot be fetched; nothing was fetched"),
        false => format!("{here} here, {fetched} fetched, {failed} failed; {} came over the network", bytes(came)),
    })?;
    Ok(if failed == 0 { Exit::Done } else { Exit::Usage })
}

fn wanted(arguments: &Arguments, is_offline: bool) -> Result<Wanted> {
    let places = &arguments.places;
    let mut wanted = Wanted { data: data_roots(places), ..Wanted::default() };
    if let Some(file) = &arguments.file {
        let workspace = Workspace::open(file, places, None, Inputs::MayLack)?;
        let models = workspace.models.iter().map(|(name, folder)| format!("model {name}: {}", folder.display()));
        wanted.here.extend(models);
        for task in workspace.tasks.values().chain(workspace.others.all()) {
            let is_own = workspace.sweep.tasks.iter().any(|own| own.name == task.name);
            wanted.take_task(task, is_own || is_offline);
        }
        wanted.data = workspace.data;
        for Lacking { what, why } in workspace.lacking {
            match what {
                Absent::Nothing => wanted.broken.push(why),
                what => wanted.absent.push(what),
            }
        }
    }
    for name in &arguments.model {
        match usable_model(name, &model_roots(places), places.offline) {
            Ok((found, _)) => wanted.here.push(format!("model {name}: {}", found.folder.display())),
            Err(ModelFault::Absent(_) | ModelFault::Damaged(_)) => wanted.absent.push(Absent::Model(name.clone())),
            Err(ModelFault::Unknown(why) | ModelFault::Unusable(why)) => {
                wanted.broken.push(format!("model {name}: {why}"));
            }
        }
    }
    for name in &arguments.task {
        match find_task(name, &wanted.data)? {
            Some(task) => wanted.take_task(&task, is_offline),
            None => wanted.absent.push(Absent::Task(name.clone())),
        }
    }
    wanted.here.sort();
    wanted.here.dedup();
    wanted.absent.sort();
    wanted.absent.dedup();
    wanted.broken.sort();
    wanted.broken.dedup();
    Ok(wanted)
}

/// What a fetch would bring, as far as the hub says it.
fn describe(hub: &Hub, what: &Absent, data: &[PathBuf], watch: &dyn Watch) -> Result<inputs::Got> {
    let (files, size) = match what {
        Absent::Model(name) => {
            let about = Reference::model(name).ok_or_else(|| Refusal(format!("\"{name}\" is no name on the hub")))?;
            let remotes = hub.describe_model(&about, watch).map_err(inputs::refusal)?;
            (remotes.len(), remotes.iter().map(|remote| remote.size).sum())
        }
        Absent::Task(name) => {
            let remotes = hub.describe_task(name, &fetch_root(name, data), watch).map_err(inputs::refusal)?;
            (remotes.len(), remotes.iter().map(|remote| remote.size).sum())
        }
        Absent::Nothing => (0, 0),
    };
    Ok(inputs::Got { line: format!("to fetch {what}: {files} files, {}", bytes(size)), bytes: size })
}
