//! What the records of a results folder tell of a plan, without the numbers in them: a hundred thousand whole records
//! would fill a gigabyte.

use std::collections::{HashMap, HashSet};

use anyhow::Result;

use super::speeds::Speeds;
use crate::device::peak::{Peaks, Shape};
use crate::plan::RunId;
use crate::record::bulk::View;
use crate::record::store::Store;
use crate::record::{End, Failure, Record};

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    /// With its headline dev score, where that is defined.
    Done(Option<f64>),
    Failed(Failure),
    Stopped,
}

/// What a plan wants to know of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Glance {
    pub ended: Ended,
    pub attempt: u32,
    /// `Run::settings_key` of its run.
    pub settings: String,
    /// `Speeds::keys` of its run, and what it took in all.
    speeds: [u64; 2],
    seconds: f64,
    on_gpu: bool,
    /// What decides about memory, and the most that it took of a GPU's, MiB.
    shape: Shape,
    peak: Option<f64>,
}

impl Glance {
    pub fn failure(&self) -> Option<&Failure> {
        match &self.ended {
            Ended::Failed(failure) => Some(failure),
            Ended::Done(_) | Ended::Stopped => None,
        }
    }
}

impl View for Glance {
    fn of(record: Record) -> Glance {
        let score = record.score();
        let Record { run, end, made, .. } = record;
        Glance {
            ended: match end {
                End::Done(_) => Ended::Done(score),
                End::Failed(failure) => Ended::Failed(failure),
                End::Stopped(_) => Ended::Stopped,
            },
            attempt: made.attempt,
            settings: run.settings_key(),
            speeds: Speeds::keys(&run),
            seconds: made.total_seconds(),
            on_gpu: made.device.starts_with("cuda"),
            shape: Shape::of(&run, made.micro_batch),
            peak: made.peak_device_memory_mib,
        }
    }
}

/// All records of a results folder, as a plan sees them.
pub struct Past {
    records: HashMap<RunId, Glance>,
    settings: HashSet<String>,
    /// Of runs on the kind of device that the plan is for.
    pub speeds: Speeds,
    pub peaks: Peaks,
}

impl Past {
    /// `device` is the kind that the plan is for, `cpu` or `cuda`.
    ///
    /// # Errors
    /// One file that is no record.
    pub fn read(store: &Store, device: &str) -> Result<Past> {
        let ids = store.ids()?;
        let glances: Vec<Option<Glance>> = store.view_each(&ids)?;
        let records: HashMap<RunId, Glance> =
            ids.into_iter().zip(glances).filter_map(|(id, glance)| Some((id, glance?))).collect();
        let (mut speeds, mut peaks) = (Speeds::default(), Peaks::default());
        let is_done = |glance: &&Glance| matches!(glance.ended, Ended::Done(_));
        for Glance { speeds: keys, seconds, on_gpu, shape, peak, .. } in records.values().filter(is_done) {
            if *on_gpu == (device == "cuda") {
                speeds.add(*keys, *seconds);
            }
            if let Some(peak) = peak {
                peaks.add(*shape, *peak);
            }
        }
        let settings = records.values().map(|glance| glance.settings.clone()).collect();
        Ok(Past { records, settings, speeds, peaks })
    }

    pub fn get(&self, id: &RunId) -> Option<&Glance> {
        self.records.get(id)
    }

    /// In no order.
    pub fn iter(&self) -> impl Iterator<Item = (&RunId, &Glance)> {
        self.records.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether there is a record of the same settings, whatever content their names stood for.
    pub fn knows(&self, settings: &str) -> bool {
        self.settings.contains(settings)
    }
}
