//! What `[stop]` says of the runs of a sweep, from records and event log.

use std::collections::HashMap;

use anyhow::Result;

use super::study;
use super::workspace::Workspace;
use crate::plan::{Run, RunId};
use crate::record::log::{self, Event};
use crate::record::store::Store;
use crate::record::{Failure, Record};
use crate::schedule::{self, Ticket};
use crate::spec::Stop;
use crate::stop::{Fate, Known, Rule, Sweep, known};

/// The rule of a sweep file and the runs that it is about.
pub struct Early {
    tune: Vec<String>,
    /// Of `asha` the runs that the call is about, which race among themselves; of `decided` all, since they share the chance
    /// of a false call.
    runs: Vec<(RunId, Run)>,
    /// What of them has ended, and what happened so far by the event log.
    records: Vec<Record>,
    events: Vec<Event>,
}

impl Early {
    /// `None` where the sweep has no rule.
    ///
    /// # Errors
    /// The event log or a record cannot be read.
    pub fn of(workspace: &Workspace) -> Result<Option<Early>> {
        let Some(stop) = &workspace.sweep.stop else { return Ok(None) };
        let is_meant = |run: &Run| !stop.is_a_race() || workspace.takes(run);
        let log = workspace.store.sweep_folder(&workspace.sweep.name).join("events.jsonl");
        let runs: Vec<(RunId, Run)> = workspace.runs.iter().filter(|(_, run)| is_meant(run)).cloned().collect();
        let records: Vec<Option<Record>> = workspace.store.view_each(runs.iter().map(|(id, _)| id))?;
        Ok(Some(Early {
            tune: workspace.sweep.tune.iter().map(|axis| axis.name.clone()).collect(),
            runs,
            records: records.into_iter().flatten().collect(),
            events: log::read(&log)?.events,
        }))
    }

    fn sweep<'a>(&'a self, workspace: &'a Workspace) -> Option<Sweep<'a>> {
        let (stop, select) = (workspace.sweep.stop.as_ref()?, workspace.sweep.select);
        Some(Sweep { stop, select, tune: &self.tune, examples: &workspace.examples, runs: &self.runs })
    }

    /// `is_again` says of which failed runs the failure does not count, since they are tried again.
    fn known(&self, sweep: &Sweep, is_again: impl Fn(&Failure, &RunId) -> bool) -> HashMap<RunId, Known> {
        let counts = |record: &&Record| !record.failure().is_some_and(|failure| is_again(failure, &record.id));
        known(self.records.iter().filter(counts), &self.events, sweep)
    }

    pub fn fates(&self, workspace: &Workspace, is_again: impl Fn(&Failure, &RunId) -> bool) -> HashMap<RunId, Fate> {
        let Some(sweep) = self.sweep(workspace) else { return HashMap::new() };
        Rule::new(&sweep).fates(&self.known(&sweep, is_again))
    }

    /// What plays the rule over the runs of these tickets, and those of them to begin with.
    pub fn director<'a>(
        &'a self,
        workspace: &'a Workspace,
        is_again: impl Fn(&Failure, &RunId) -> bool,
        tickets: Vec<Ticket>,
    ) -> (Option<schedule::Early<'a>>, Vec<Ticket>) {
        let Some(sweep) = self.sweep(workspace) else { return (None, tickets) };
        let known = self.known(&sweep, is_again);
        let (early, first) = schedule::Early::new(sweep, known, &self.events, tickets);
        (Some(early), first)
    }
}

/// How many runs of a recorded sweep are not needed, since their comparisons are decided.
///
/// # Errors
/// Records that cannot be read.
pub fn not_needed(store: &Store, sweep: &str) -> Result<usize> {
    let Some(manifest) = store.manifest(sweep)? else { return Ok(0) };
    let Some(stop) = manifest.stop.as_ref().filter(|stop| !stop.is_a_race()) else { return Ok(0) };
    let (select, tune, examples, runs) = (manifest.select, &manifest.tune, &manifest.examples, &manifest.runs);
    let sweep = Sweep { stop, select, tune, examples, runs };
    let known = known(&study::records(store, &manifest)?, &[], &sweep);
    Ok(Rule::new(&sweep).fates(&known).values().filter(|fate| **fate == Fate::Spared).count())
}

/// What the plan's numbers leave open.
pub fn in_words(stop: &Stop) -> String {
    match stop {
        Stop::Asha(asha) => format!(
            "[stop] asha: of {} settings about 1 is trained to its end, the others less, so all takes less than that",
            asha.eta.saturating_pow(asha.rungs)
        ),
        Stop::Decided(decided) => format!(
            "[stop] decided: runs after the first {} seeds are done only while a comparison is open, so all may take less",
            decided.first
        ),
    }
}
