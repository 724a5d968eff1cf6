//! What is kept current while runs train: the progress display, the live file, event files, frames.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::super::notify::FailedRun;
use super::super::workspace::Workspace;
use super::super::{progress, study};
use crate::record::store::Store;
use crate::record::{End, lock};
use crate::schedule::state::State;
use crate::schedule::{Keeper, Note, Observer};
use crate::task::Task;
use crate::tracker;

/// Frames are rewritten as runs end, but not more often than this.
const FRAMES_EVERY: Duration = Duration::from_secs(60);
/// Nor so often that more than one part of so many of the time goes into it: those of 100,000 runs take seconds.
const FRAMES_SHARE: u32 = 50;

/// Event files that grow while runs train, under `results/<sweep>/tensorboard`.
fn tensorboard(workspace: &Workspace) -> tracker::Live {
    let (store, name) = (&workspace.store, &workspace.sweep.name);
    let metrics = workspace.tasks.values().flat_map(Task::score_names).collect();
    let folder = store.sweep_folder(name).join("tensorboard");
    tracker::Live::new(name, &workspace.runs, &metrics, folder, store.runs())
}

/// The progress display, event files for TensorBoard, the frames kept current, and the failures for the end.
pub(super) struct Screen<'a> {
    pub(super) progress: progress::Progress,
    pub(super) live: Keeper<'a>,
    tensorboard: Option<tracker::Live>,
    pub(super) failures: Vec<FailedRun>,
    store: &'a Store,
    name: &'a str,
    /// When frames were last written, and how long to wait from then.
    written: Instant,
    pause: Duration,
}

impl<'a> Screen<'a> {
    pub(super) fn new(workspace: &'a Workspace, progress: progress::Progress, live: Keeper<'a>) -> Screen<'a> {
        Screen {
            progress,
            live,
            tensorboard: workspace.sweep.run.tensorboard.then(|| tensorboard(workspace)),
            failures: Vec::new(),
            store: &workspace.store,
            name: &workspace.sweep.name,
            written: Instant::now(),
            pause: FRAMES_EVERY,
        }
    }
}

impl Observer for Screen<'_> {
    fn note(&mut self, note: &Note) {
        if let Note::Ended { id, end, .. } = note
            && let End::Failed(failure) = end.as_ref()
        {
            self.failures.push(FailedRun {
                id: id.clone(),
                run: self.live.label(id),
                cause: failure.cause().to_owned(),
                message: failure.sentence(),
            });
        }
        self.progress.note(note);
        self.live.note(note);
        if let Some(warning) = self.tensorboard.as_mut().and_then(|live| live.note(note)) {
            self.progress.note(&Note::Warning(warning));
        }
        if matches!(note, Note::Ended { .. }) && self.written.elapsed() > self.pause {
            let start = Instant::now();
            // What cannot be written now is written, or said, at the end.
            let _ = write_frames(self.store, self.name);
            self.written = Instant::now();
            self.pause = FRAMES_EVERY.max(start.elapsed() * FRAMES_SHARE);
        }
    }

    fn beat(&mut self, state: &State, now: Duration) {
        self.progress.beat(state, now);
        self.live.beat(state, now);
    }
}
/// Frames are of all records, so where several coordinators write them, one at a time does, and the last one that ends
/// sees all.
pub(super) fn write_frames(store: &Store, name: &str) -> Result<()> {
    let _turn = lock::turn(&store.sweep_folder(name).join(".frames.lock"));
    study::write_frames(store, name)
}
