//! A sweep's records gathered: for frames, figures and the report.

use std::collections::BTreeMap;

use anyhow::Result;

use super::overlaps;
use crate::frame::{self, Study};
use crate::plan::{Run, RunId};
use crate::record::bulk::Unnamed;
use crate::record::store::{Manifest, Store};
use crate::record::{Provenance, Record};

/// Rewrites `runs.parquet`, `runs.csv`, `overlaps.csv` and `overlap_parts.csv` of a sweep from its records and masks.
///
/// # Errors
/// Records that cannot be read, files that cannot be written.
pub fn write_frames(store: &Store, name: &str) -> Result<()> {
    let Some(manifest) = store.manifest(name)? else { return Ok(()) };
    let folder = store.sweep_folder(name);
    let records = records(store, &manifest)?;
    frame::write(&frame::runs(&records)?, &folder)?;
    overlaps::write(&overlaps::gather(store, name, &records)?, &folder)
}

/// All that the report of a sweep is made from.
///
/// # Errors
/// Records that cannot be read.
pub fn gather(store: &Store, manifest: Manifest) -> Result<Study> {
    let mut study = without_overlaps(store, manifest)?;
    let overlaps = overlaps::gather(store, &study.name, &study.records)?;
    study.warnings.extend(overlaps.warnings);
    (study.overlaps, study.overlap_parts) = (overlaps.found, overlaps.parts);
    Ok(study)
}

/// The same without the overlaps of child networks, which tables and comparisons do not need.
///
/// # Errors
/// Records that cannot be read.
pub fn without_overlaps(store: &Store, manifest: Manifest) -> Result<Study> {
    let records = records(store, &manifest)?;
    Ok(Study {
        name: manifest.name,
        question: manifest.question,
        tune: manifest.tune,
        select: manifest.select,
        paper: manifest.paper,
        stop: manifest.stop,
        examples: manifest.examples,
        planned: manifest.runs,
        folder: Some(store.runs()),
        warnings: different_origins(&records),
        overlaps: Vec::new(),
        overlap_parts: Vec::new(),
        records,
    })
}

/// Scores compare only as far as they were made alike: a sentence for each way in which they were not.
fn different_origins(records: &[Record]) -> Vec<String> {
    let scored = || records.iter().filter(|r| r.outcome().is_some()).map(|r| &r.made);
    let device = |made: &Provenance| {
        let kind = made.device.split(':').next().unwrap_or_default();
        format!("{kind} {}", made.device_name).trim().to_owned()
    };
    let program = |made: &Provenance| {
        let commit: String = made.commit.chars().take(12).collect();
        let mark = if made.commit.ends_with('+') { "+" } else { "" };
        format!("{} {commit}{mark}", made.version).trim().to_owned()
    };
    [
        ("on", "different kinds of devices", counted(scored().map(device))),
        ("by", "different versions of sweep", counted(scored().map(program))),
        ("with", "different versions of libtorch", counted(scored().map(|made| made.libtorch.clone()))),
    ]
    .into_iter()
    .filter(|(.., kinds)| kinds.len() > 1)
    .map(|(how, what, kinds)| {
        let kinds: Vec<String> = kinds.into_iter().map(|(kind, runs)| format!("{runs} {how} {kind}")).collect();
        format!("Runs were made {how} {what} ({}); equal settings may score a little differently.", kinds.join(", "))
    })
    .collect()
}

/// How often each word occurs, in the order of the words; the empty one, where nothing is known, not at all.
fn counted(words: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for word in words.filter(|word| !word.is_empty()) {
        *counts.entry(word).or_default() += 1;
    }
    counts
}

/// The records of a sweep's runs in the order of its plan, each under the mode's name in this sweep.
///
/// # Errors
/// Records that cannot be read.
pub fn records(store: &Store, manifest: &Manifest) -> Result<Vec<Record>> {
    let found: Vec<Option<Unnamed>> = store.view_each(manifest.runs.iter().map(|(id, _)| id))?;
    // Another sweep may have made the record and call model or mode by other names.
    let named = |(record, (_, run)): (Option<Unnamed>, &(RunId, Run))| Some(record?.with(run.clone()));
    Ok(found.into_iter().zip(&manifest.runs).filter_map(named).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::frame::example;
    use crate::record::store::Select;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        (folder, store)
    }

    fn gathered(store: &Store, records: &[Record]) -> Study {
        for record in records {
            store.write(record).unwrap();
        }
        let runs = records.iter().map(|r| (r.id.clone(), r.run.clone())).collect();
        let tune = vec!["lr".to_owned()];
        gather(
            store,
            Manifest {
                format: 1,
                name: "x".into(),
                question: None,
                tune,
                select: Select::Dev,
                paper: None,
                models: BTreeMap::new(),
                stop: None,
                examples: BTreeMap::new(),
                runs,
            },
        )
        .unwrap()
    }

    #[test]
    fn runs_made_in_different_ways_are_told() {
        let records: Vec<Record> = (1..=3).map(|seed| example::record("rte", "vanilla", None, seed, 0.6)).collect();
        let (_folder, alike) = store();
        let study = gathered(&alike, &records);
        assert_eq!((study.warnings, study.tune), (Vec::<String>::new(), vec!["lr".to_owned()]));

        let mut different = records.clone();
        different[0].made.device = "cuda:1".into();
        different[0].made.device_name = "H200".into();
        // Another card of the same kind is no difference.
        different[1].made = Provenance { device: "cuda:0".into(), ..different[0].made.clone() };
        different[2].made.commit = "fedcba9876543210+".into();
        let (_folder, mixed) = store();
        assert_eq!(
            gathered(&mixed, &different).warnings,
            [
                "Runs were made on different kinds of devices (1 on cpu A processor, 2 on cuda H200); equal \
                 settings may score a little differently.",
                "Runs were made by different versions of sweep (2 by 0.1.0 0123456789ab, 1 by 0.1.0 \
                 fedcba987654+); equal settings may score a little differently.",
            ]
        );
    }
}
