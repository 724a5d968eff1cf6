//! Records of runs that no worker tells of: cancelled before a job had them, or given up.

use anyhow::Result;

use crate::cluster::batch::{Batch, Entry};
use crate::cluster::claim::{Claims, Holder};
use crate::cluster::pilot::has_ended;
use crate::record::process::Process;
use crate::record::shard::Shard;
use crate::record::store::Store;
use crate::record::{End, FORMAT, Failure, Provenance, Record};

/// Cancels a run that no job has: it is claimed first, so that no job takes it meanwhile. Whether it was free.
///
/// # Errors
/// The folder cannot be written.
pub fn cancel(store: &Store, batch: &Batch, entry: &Entry) -> Result<bool> {
    let (id, claims) = (&entry.job.id, Claims::of(store));
    let before = claims.all().get(id).cloned().unwrap_or_default();
    if (before.copy > 0 && !before.is_over) || has_ended(store, id, entry.ticket.attempt) {
        return Ok(false);
    }
    let copy = before.copy + 1;
    let holder = Holder {
        sweep: batch.sweep.clone(),
        pilot: Shard::Pilot { submission: 0, task: 0, life: 0 },
        job: "cancelled".to_owned(),
        process: Process::own(),
        node: None,
        since: format!("{:.0}", jiff::Timestamp::now()),
    };
    Ok(claims.take(id, copy, &holder)? && publish(store, entry, copy, Failure::Cancelled)?)
}

/// The record of a run that no worker tells of.
pub(super) fn publish(store: &Store, entry: &Entry, copy: u32, failure: Failure) -> Result<bool> {
    let id = entry.job.id.clone();
    let made = Provenance {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: format!("{:.3}", jiff::Timestamp::now()),
        attempt: entry.ticket.attempt + copy.saturating_sub(1),
        ..Provenance::default()
    };
    let folder = store.attempt_folder(&id, copy);
    store.publish(&Record { format: FORMAT, id, run: entry.job.run.clone(), end: End::Failed(failure), made }, &folder)
}
