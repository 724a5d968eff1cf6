//! The runs of a sweep as exports want them: each with its record, its logged steps and a name for its folder.

use anyhow::Result;

use super::ending::{Kind, ending};
use super::place::places;
use crate::frame::{Step, read_steps};
use crate::plan::RunId;
use crate::record::Record;
use crate::record::store::{Manifest, Store};

pub struct Runs<'a> {
    store: &'a Store,
    pub manifest: &'a Manifest,
    places: Vec<String>,
}

/// A run that has ended.
pub struct Entry<'a> {
    /// `rte/child-d p=0.3/seed-1`, unique among the runs of the sweep.
    pub place: &'a str,
    pub record: Record,
    pub steps: Vec<Step>,
    /// Why its steps could not be read.
    pub trouble: Option<String>,
}

impl<'a> Runs<'a> {
    pub fn of(store: &'a Store, manifest: &'a Manifest) -> Runs<'a> {
        Runs { store, manifest, places: places(&manifest.runs) }
    }

    /// All of the plan, whether they have ended or not.
    pub fn len(&self) -> usize {
        self.manifest.runs.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn id(&self, index: usize) -> &RunId {
        &self.manifest.runs[index].0
    }

    /// The run at this place of the plan; `None` where it has no record yet.
    ///
    /// # Errors
    /// A record that cannot be read. Steps that cannot be read are no error: a worker that died may leave half a line.
    pub fn read(&self, index: usize, with_steps: bool) -> Result<Option<Entry<'_>>> {
        let (id, run) = &self.manifest.runs[index];
        let Some(record) = self.store.read(id)? else { return Ok(None) };
        // Another sweep may have made the record and call model or mode by other names.
        let record = Record { run: run.clone(), ..record };
        let (mut steps, mut trouble) = (Vec::new(), None);
        if with_steps {
            match read_steps(&self.store.run_folder(id)) {
                Ok(read) => steps = read,
                Err(error) => trouble = Some(format!("{error:#}")),
            }
        }
        Ok(Some(Entry { place: &self.places[index], record, steps, trouble }))
    }
}

/// What an export did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Runs written, and those among them that have no result.
    pub written: usize,
    pub without_result: usize,
    /// Runs of the plan that have no record yet.
    pub waiting: usize,
    /// Steps that could not be read, and why.
    pub troubles: Vec<String>,
}

impl Told {
    pub fn of(entry: &Entry) -> Told {
        let without_result = usize::from(ending(&entry.record.end).kind != Kind::Done);
        Told { written: 1, without_result, waiting: 0, troubles: entry.trouble.clone().into_iter().collect() }
    }

    pub fn waiting() -> Told {
        Told { waiting: 1, ..Told::default() }
    }

    pub fn add(&mut self, other: Told) {
        self.written += other.written;
        self.without_result += other.without_result;
        self.waiting += other.waiting;
        self.troubles.extend(other.troubles);
    }
}
