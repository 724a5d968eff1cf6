//! A sweep's records gathered: for frames, figures and the report.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use crate::frame::{self, Study};
use crate::record::mask::{Mask, Overlap, overlap};
use crate::record::store::{Manifest, Store};
use crate::record::{Provenance, Record};

/// Rewrites `runs.parquet`, `runs.csv` and `overlaps.csv` of a sweep from its records and masks.
///
/// # Errors
/// Records that cannot be read, files that cannot be written.
pub fn write_frames(store: &Store, name: &str) -> Result<()> {
    let Some(manifest) = store.manifest(name)? else { return Ok(()) };
    let folder = store.sweep_folder(name);
    let records = records(store, &manifest)?;
    frame::write(&frame::runs(&records)?, &folder)?;
    let Overlaps { found: overlaps, .. } = overlaps(store, name, &records)?;
    if !overlaps.is_empty() {
        let mut csv = csv::Writer::from_writer(Vec::new());
        for overlap in &overlaps {
            csv.serialize(overlap)?;
        }
        frame::replace(&folder.join("overlaps.csv"), &csv.into_inner()?)?;
    }
    Ok(())
}

/// All that the report of a sweep is made from.
///
/// # Errors
/// Records that cannot be read.
pub fn gather(store: &Store, manifest: Manifest) -> Result<Study> {
    let records = records(store, &manifest)?;
    let overlaps = overlaps(store, &manifest.name, &records)?;
    Ok(Study {
        name: manifest.name,
        question: manifest.question,
        tune: manifest.tune,
        select: manifest.select,
        paper: manifest.paper,
        planned: manifest.runs,
        folder: Some(store.runs()),
        warnings: [different_origins(&records), overlaps.warnings()].concat(),
        overlaps: overlaps.found,
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

/// What is known of the overlaps that figures show.
#[derive(Default)]
struct Overlaps {
    found: Vec<Overlap>,
    /// Pairs left out, because a mask of theirs is absent or unreadable.
    left_out: usize,
    /// Mask files that are not there.
    absent: usize,
    /// Mask files that are there and are of no use, by name, with the reason.
    unreadable: Vec<(String, String)>,
}

impl Overlaps {
    /// `None` where the mask is absent or unreadable, which is noted.
    fn mask(&mut self, store: &Store, key: &str) -> Option<Mask> {
        let name = format!("{key}.mask");
        let path = store.masks().join(&name);
        if !path.exists() {
            self.absent += 1;
            return None;
        }
        // The error's own words name the whole path, which means nothing to a reader elsewhere.
        Mask::read(&path).map_err(|error| self.unreadable.push((name, error.root_cause().to_string()))).ok()
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<String> = Vec::new();
        for (name, why) in &self.unreadable {
            warnings.push(format!("The mask file {name} cannot be read: {why}."));
        }
        if self.left_out > 0 {
            warnings.push(format!(
                "{} of {} overlaps of child networks are left out (mask files absent: {}, unreadable: {}).",
                self.left_out,
                self.left_out + self.found.len(),
                self.absent,
                self.unreadable.len()
            ));
        }
        warnings
    }
}

/// Overlaps of the masks that figures compare: as written down before, else from the masks where they lie here.
fn overlaps(store: &Store, name: &str, records: &[Record]) -> Result<Overlaps> {
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
    let mut all = Overlaps::default();
    let mut masks: BTreeMap<String, Option<Mask>> = BTreeMap::new();
    for (a, b) in frame::mask_pairs(records) {
        if let Some(overlap) = known.remove(&(a.clone(), b.clone())) {
            all.found.push(overlap);
            continue;
        }
        for key in [&a, &b] {
            if !masks.contains_key(key) {
                masks.insert(key.clone(), all.mask(store, key));
            }
        }
        match (&masks[&a], &masks[&b]) {
            (Some(first), Some(second)) => all.found.push(overlap((&a, first), (&b, second))?),
            _ => all.left_out += 1,
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::frame::example;
    use crate::record::mask::Segment;
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
            Manifest { format: 1, name: "x".into(), question: None, tune, select: Select::Dev, paper: None, runs },
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

    #[test]
    fn masks_that_are_absent_or_damaged_are_told() {
        let tasks = ["rte", "mrpc", "cola"];
        let records: Vec<Record> = tasks
            .iter()
            .map(|task| {
                let mut record = example::record(task, "child-d", Some(0.5), 1, 0.6);
                example::put_mask(&mut record, task, 2, 4);
                record
            })
            .collect();
        let (_folder, store) = store();
        let mask = Mask::from_fn(vec![Segment { name: "w".into(), len: 4 }], |i| i < 2);
        for task in tasks {
            mask.write(&store.masks().join(format!("{task}.mask"))).unwrap();
        }
        assert_eq!(gathered(&store, &records).warnings, Vec::<String>::new());

        std::fs::remove_file(store.masks().join("rte.mask")).unwrap();
        let cola = store.masks().join("cola.mask");
        let half = std::fs::read(&cola).unwrap();
        std::fs::write(&cola, &half[..half.len() - 3]).unwrap();
        let study = gathered(&store, &records);
        assert!(study.overlaps.is_empty());
        assert!(study.warnings[0].starts_with("The mask file cola.mask cannot be read: it is cut off or damaged"));
        assert_eq!(
            study.warnings[1],
            "3 of 3 overlaps of child networks are left out (mask files absent: 1, unreadable: 1)."
        );
    }
}
