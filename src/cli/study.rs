//! A sweep's records gathered: for frames, figures and the report.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use anyhow::{Context, Result};

use crate::frame::{self, Study};
use crate::record::Record;
use crate::record::mask::{Mask, Overlap, overlap};
use crate::record::store::{Manifest, Store};

/// Rewrites `runs.parquet`, `runs.csv` and `overlaps.csv` of a sweep from its records and masks.
///
/// # Errors
/// Records that cannot be read, files that cannot be written.
pub fn write_frames(store: &Store, name: &str) -> Result<()> {
    let Some(manifest) = store.manifest(name)? else { return Ok(()) };
    let folder = store.sweep_folder(name);
    let records = records(store, &manifest)?;
    frame::write(&frame::runs(&records)?, &folder)?;
    let overlaps = overlaps(store, name, &records)?;
    if !overlaps.is_empty() {
        let mut csv = csv::Writer::from_writer(Vec::new());
        for overlap in &overlaps {
            csv.serialize(overlap)?;
        }
        frame::write_file(&folder.join("overlaps.csv"), &csv.into_inner()?)?;
    }
    Ok(())
}

/// All that the report of a sweep is made from.
///
/// # Errors
/// Records that cannot be read.
pub fn gather(store: &Store, manifest: &Manifest) -> Result<Study> {
    let records = records(store, manifest)?;
    Ok(Study {
        name: manifest.name.clone(),
        question: manifest.question.clone(),
        planned: manifest.runs.clone(),
        overlaps: overlaps(store, &manifest.name, &records)?,
        records,
        warnings: Vec::new(),
    })
}

/// The records of a sweep's runs, each under the mode's name in this sweep.
fn records(store: &Store, manifest: &Manifest) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    for (id, run) in &manifest.runs {
        if let Some(mut record) = store.read(id)? {
            // Another sweep may have made the record and call model or mode by other names.
            record.run = run.clone();
            records.push(record);
        }
    }
    Ok(records)
}

/// Overlaps of the masks that figures compare: from the masks where they lie here, else as written down before.
fn overlaps(store: &Store, name: &str, records: &[Record]) -> Result<Vec<Overlap>> {
    let path = store.sweep_folder(name).join("overlaps.csv");
    let mut known: BTreeMap<(String, String), Overlap> = BTreeMap::new();
    if path.is_file() {
        let mut reader = csv::Reader::from_path(&path).with_context(|| format!("cannot read {}", path.display()))?;
        for row in reader.deserialize() {
            let overlap: Overlap =
                row.with_context(|| format!("{} is damaged; remove it and run the sweep again", path.display()))?;
            known.insert((overlap.a.clone(), overlap.b.clone()), overlap);
        }
    }
    let pairs: BTreeSet<(String, String)> = frame::mask_pairs(records).into_iter().collect();
    let mut masks: HashMap<&str, Option<Mask>> = HashMap::new();
    let mut found = Vec::new();
    for pair in &pairs {
        if let Some(overlap) = known.remove(pair) {
            found.push(overlap);
            continue;
        }
        for key in [&pair.0, &pair.1] {
            masks.entry(key).or_insert_with(|| read_mask(&store.masks().join(format!("{key}.mask"))));
        }
        if let (Some(Some(a)), Some(Some(b))) = (masks.get(pair.0.as_str()), masks.get(pair.1.as_str())) {
            found.push(overlap((&pair.0, a), (&pair.1, b))?);
        }
    }
    Ok(found)
}

/// `None` where the mask is not on this machine, or damaged: then its overlaps are left out of the figure.
fn read_mask(path: &Path) -> Option<Mask> {
    Mask::read(path).ok()
}
