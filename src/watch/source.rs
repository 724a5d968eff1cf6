//! What is known of a sweep, kept up to date from its files: records once, then the event logs as they grow, and what
//! coordinators say of themselves.

use std::collections::HashMap;
use std::fs;

use anyhow::Result;
use rayon::prelude::*;

use super::grid::{Grid, Mark};
use super::log::{Tail, Words};
use crate::device;
use crate::plan::{RunId, labels};
use crate::record::live::{Seen, Slot};
use crate::record::log::{self, What};
use crate::record::shard::Shard;
use crate::record::store::{Manifest, Store};
use crate::record::{Class, Record};

/// What is known at this moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    pub sweep: String,
    pub grid: Grid,
    pub labels: HashMap<RunId, String>,
    /// How runs ended, in a sentence.
    pub ends: HashMap<RunId, String>,
    /// The coordinators that ever worked on it.
    pub seen: Vec<Seen>,
    /// This machine's CPU and its GPUs.
    pub loads: Vec<device::Load>,
}

/// Reads them.
pub struct Source {
    store: Store,
    manifest: Manifest,
    facts: Facts,
    devices: device::Loads,
    /// The event logs by name, each with the beginning of a line that has not come whole.
    logs: HashMap<String, (Tail, Vec<u8>)>,
}

impl Source {
    /// # Errors
    /// A record that cannot be read.
    pub fn new(store: Store, manifest: Manifest) -> Result<Source> {
        let facts = Facts {
            sweep: manifest.name.clone(),
            grid: Grid::of(&manifest.runs),
            labels: labels(manifest.runs.iter().map(|(id, run)| (id, run))),
            ..Facts::default()
        };
        let devices = device::Loads::new();
        let mut source = Source { store, manifest, facts, devices, logs: HashMap::new() };
        source.find_logs(true)?;
        source.read_records()?;
        source.look()?;
        Ok(source)
    }

    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Brings the facts up to date; to be called about once a second.
    ///
    /// # Errors
    /// A file that is there and cannot be read.
    pub fn look(&mut self) -> Result<()> {
        self.find_logs(false)?;
        let mut events = Vec::new();
        for (tail, rest) in self.logs.values_mut() {
            match tail.look()? {
                Words::Nothing => {}
                Words::New(bytes) => rest.extend(bytes),
                Words::Anew(bytes) => *rest = bytes,
            }
            let whole = rest.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            let lines: Vec<u8> = rest.drain(..whole).collect();
            events.extend(lines.split_inclusive(|&byte| byte == b'\n').filter_map(log::event_of));
        }
        events.sort_by(|a, b| a.time.cmp(&b.time));
        // A coordinator that was killed may have left records that its log does not tell of.
        if events.iter().any(|event| matches!(event.what, What::Began { .. })) {
            self.read_manifest()?;
            self.read_records()?;
        }
        for event in events {
            match event.what {
                What::Started { id, .. } => self.facts.grid.set(&id, Mark::Running),
                What::Paused { id, .. } => self.facts.grid.set(&id, Mark::Paused),
                What::PutBack { id, .. } | What::Reached { id, .. } => self.facts.grid.set(&id, Mark::Waiting),
                What::Ended { id, .. } => self.read_record(&id)?,
                What::Began { .. } | What::Held { .. } | What::Released | What::Finished { .. } => {}
            }
        }
        self.facts.seen = self.store.seen(&self.facts.sweep, &self.store.holders());
        self.mark_running();
        self.facts.loads = self.devices.look();
        Ok(())
    }

    /// Looks for event logs that are new. At first they are read from their ends on: records say what was before.
    fn find_logs(&mut self, from_end: bool) -> Result<()> {
        let folder = self.store.sweep_folder(&self.facts.sweep);
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            if Shard::is_file_of(&name, "events", "jsonl") && !self.logs.contains_key(&name) {
                let mut tail = Tail::new(entry.path());
                if from_end {
                    tail.skip_to_last(0)?;
                }
                self.logs.insert(name, (tail, Vec::new()));
            }
        }
        Ok(())
    }

    /// The grid of a sweep file that was changed since.
    fn read_manifest(&mut self) -> Result<()> {
        let Some(manifest) = self.store.manifest(&self.facts.sweep)?.filter(|new| *new != self.manifest) else {
            return Ok(());
        };
        self.facts.grid = Grid::of(&manifest.runs);
        self.facts.labels = labels(manifest.runs.iter().map(|(id, run)| (id, run)));
        self.manifest = manifest;
        Ok(())
    }

    /// Marks all runs that have a record.
    fn read_records(&mut self) -> Result<()> {
        let (store, grid) = (&self.store, &self.facts.grid);
        let open: Vec<&RunId> = grid.ids().filter(|id| grid.get(id).is_some_and(|mark| !mark.is_end())).collect();
        let records: Result<Vec<Option<Record>>> = open.into_par_iter().map(|id| store.read(id)).collect();
        records?.into_iter().flatten().for_each(|record| self.mark(&record));
        Ok(())
    }

    fn read_record(&mut self, id: &RunId) -> Result<()> {
        if self.facts.grid.get(id).is_some()
            && let Some(record) = self.store.read(id)?
        {
            self.mark(&record);
        }
        Ok(())
    }

    fn mark(&mut self, record: &Record) {
        let (mark, how) = ended(record);
        self.facts.grid.set(&record.id, mark);
        self.facts.ends.insert(record.id.clone(), how);
    }

    /// A run is running as long as a living coordinator says so.
    fn mark_running(&mut self) {
        let at_work = self.facts.seen.iter().filter(|seen| seen.verdict.is_at_work());
        let running: Vec<RunId> =
            at_work.flat_map(|seen| &seen.live.slots).flat_map(Slot::runs).map(|run| run.id.clone()).collect();
        let is_stale = |id: &&RunId| self.facts.grid.get(id) == Some(Mark::Running) && !running.contains(id);
        let stale: Vec<RunId> = self.facts.grid.ids().filter(is_stale).cloned().collect();
        stale.iter().for_each(|id| self.facts.grid.set(id, Mark::Waiting));
        for id in &running {
            if self.facts.grid.get(id).is_some_and(|mark| !mark.is_end()) {
                self.facts.grid.set(id, Mark::Running);
            }
        }
    }
}

/// How a run stands by its record, and that in words.
pub fn ended(record: &Record) -> (Mark, String) {
    if let Some(failure) = record.failure() {
        let mark = if failure.class() == Class::Cancelled { Mark::Cancelled } else { Mark::Failed };
        let sentence = failure.sentence();
        return (mark, format!("{}: {}", failure.cause(), sentence.lines().next().unwrap_or_default()));
    }
    if let Some(stopped) = record.stopped() {
        return (
            Mark::Stopped,
            format!("stopped by {} at step {} of {}", stopped.rule, stopped.at.step, stopped.at.of),
        );
    }
    let metric = record.outcome().map_or("", |outcome| outcome.metric.as_str());
    let score = record.score().map_or_else(|| "undefined".to_owned(), |score| format!("{score:.4}"));
    let seconds = record.made.total_seconds();
    match record.outcome() {
        Some(outcome) if outcome.collapsed => (Mark::Collapsed, format!("collapsed: {metric} {score}, {seconds:.1} s")),
        _ => (Mark::Done, format!("done: {metric} {score}, {seconds:.1} s")),
    }
}
