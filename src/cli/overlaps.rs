//! Overlaps of a sweep's child networks: as written down before, else counted from the masks where they lie here.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::frame::{self, Between, MaskPair};
use crate::record::Record;
use crate::record::mask::{Mask, Overlap, overlap};
use crate::record::parts::{PartOverlap, overlap_parts};
use crate::record::store::Store;

/// What is known of the overlaps that figures show.
#[derive(Default)]
pub struct Overlaps {
    pub found: Vec<Overlap>,
    /// The same by layer and kind; none of pairs counted by an older version whose masks are no longer here.
    pub parts: Vec<PartOverlap>,
    /// What the reader of a report should know.
    pub warnings: Vec<String>,
}

/// Overlaps of the child networks that figures compare.
///
/// # Errors
/// Files of overlaps that are damaged, masks of two models under one model's name.
pub fn gather(store: &Store, name: &str, records: &[Record]) -> Result<Overlaps> {
    let folder = store.sweep_folder(name);
    let mut known: HashMap<(String, String), Overlap> = HashMap::new();
    for row in rows::<Overlap>(&folder.join("overlaps.csv"))? {
        known.insert((row.a.clone(), row.b.clone()), row);
    }
    let mut known_parts: HashMap<(String, String), Vec<PartOverlap>> = HashMap::new();
    for row in rows::<PartOverlap>(&folder.join("overlap_parts.csv"))? {
        known_parts.entry((row.a.clone(), row.b.clone())).or_default().push(row);
    }
    let uses = frame::mask_uses(records);
    let mut seen = HashSet::new();
    let pairs: Vec<MaskPair> = frame::mask_pairs(&uses).into_iter().filter(|pair| seen.insert(pair.keys())).collect();
    let owned = |(a, b): (&str, &str)| (a.to_owned(), b.to_owned());
    let (told, to_count): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|pair| {
        let keys = owned(pair.keys());
        known.contains_key(&keys) && known_parts.contains_key(&keys)
    });
    let mut all = Overlaps::default();
    let mut masks = Masks::new(store, &to_count);
    let mut left_out = 0;
    let of_tasks = told.iter().chain(&to_count).filter(|pair| pair.between == Between::Tasks).count();
    for pair in told.iter().chain(&to_count) {
        let (a, b) = pair.keys();
        let keys = owned((a, b));
        let (mut found, mut parts) = (known.remove(&keys), known_parts.remove(&keys));
        if found.is_none() || parts.is_none() {
            if let Some((first, second)) = masks.both(a, b) {
                found = Some(overlap((a, first), (b, second))?);
                parts = Some(overlap_parts((a, first), (b, second))?);
            }
            masks.done(a, b);
        }
        // Results of an older version have no pairs of seeds, which is no loss that a reader must be warned of.
        left_out += usize::from(found.is_none() && pair.between == Between::Tasks);
        all.found.extend(found);
        all.parts.extend(parts.into_iter().flatten());
    }
    for (name, why) in &masks.unreadable {
        all.warnings.push(format!("The mask file {name} cannot be read: {why}."));
    }
    if left_out > 0 {
        all.warnings.push(format!(
            "{left_out} of {of_tasks} overlaps of child networks are left out (mask files absent: {}, unreadable: {}).",
            masks.absent,
            masks.unreadable.len()
        ));
    }
    Ok(all)
}

/// Writes `overlaps.csv` and `overlap_parts.csv` into the folder, where there is something to write.
pub fn write(overlaps: &Overlaps, folder: &Path) -> Result<()> {
    write_rows(&overlaps.found, &folder.join("overlaps.csv"))?;
    write_rows(&overlaps.parts, &folder.join("overlap_parts.csv"))
}

fn write_rows<T: Serialize>(rows: &[T], path: &Path) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut csv = csv::Writer::from_writer(Vec::new());
    for row in rows {
        csv.serialize(row)?;
    }
    frame::replace(path, &csv.into_inner()?)
}

/// The rows of a file; none where there is no file.
fn rows<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let mut reader = csv::Reader::from_path(path).with_context(|| format!("cannot read {}", path.display()))?;
    let rows: Result<Vec<T>, csv::Error> = reader.deserialize().collect();
    rows.with_context(|| format!("{} is damaged; remove it and run the sweep again", path.display()))
}

/// The masks that pairs are counted from. They are large, so each is let go after the last pair that needs it.
struct Masks<'a> {
    store: &'a Store,
    /// By key, the pairs still to come.
    needed: HashMap<&'a str, usize>,
    /// By key; `None` where the file is absent or of no use.
    held: HashMap<&'a str, Option<Mask>>,
    /// Files that are not there.
    absent: usize,
    /// Files that are there and of no use, by name, with the reason.
    unreadable: Vec<(String, String)>,
}

impl<'a> Masks<'a> {
    fn new(store: &'a Store, pairs: &[MaskPair<'a>]) -> Masks<'a> {
        let mut needed = HashMap::new();
        for (a, b) in pairs.iter().map(MaskPair::keys) {
            [a, b].into_iter().for_each(|key| *needed.entry(key).or_default() += 1);
        }
        Masks { store, needed, held: HashMap::new(), absent: 0, unreadable: Vec::new() }
    }

    fn both(&mut self, a: &'a str, b: &'a str) -> Option<(&Mask, &Mask)> {
        for key in [a, b] {
            if !self.held.contains_key(key) {
                let mask = self.read(key);
                self.held.insert(key, mask);
            }
        }
        Some((self.held.get(a)?.as_ref()?, self.held.get(b)?.as_ref()?))
    }

    fn read(&mut self, key: &str) -> Option<Mask> {
        let name = format!("{key}.mask");
        let path = self.store.masks().join(&name);
        if !path.exists() {
            self.absent += 1;
            return None;
        }
        // The error's own words name the whole path, which means nothing to a reader elsewhere.
        Mask::read(&path).map_err(|error| self.unreadable.push((name, error.root_cause().to_string()))).ok()
    }

    fn done(&mut self, a: &str, b: &str) {
        for key in [a, b] {
            if let Some(left) = self.needed.get_mut(key) {
                *left -= 1;
                if *left == 0 {
                    self.held.remove(key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::frame::example;
    use crate::record::mask::Segment;

    const TASKS: [&str; 3] = ["rte", "mrpc", "cola"];

    /// Two seeds of three tasks and their mask files.
    fn study() -> (tempfile::TempDir, Store, Vec<Record>) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        let mut records = Vec::new();
        for seed in [1, 2] {
            for (t, task) in TASKS.iter().enumerate() {
                let key = format!("{task}-{seed}");
                let mut record = example::record(task, "child-d", Some(0.5), seed, 0.6);
                example::put_mask(&mut record, &key, 2, 4);
                records.push(record);
                let cover = vec![Segment { name: "encoder.layer.0.attention.self.query.weight".into(), len: 4 }];
                let from = t as u64 % 2 + seed - 1;
                let mask = Mask::from_fn(cover, |i| i >= from && i < from + 2);
                mask.write(&store.masks().join(format!("{key}.mask"))).unwrap();
            }
        }
        (folder, store, records)
    }

    #[test]
    fn overlaps_are_counted_once_and_then_read_without_the_masks() {
        let (_folder, store, records) = study();
        let counted = gather(&store, "x", &records).unwrap();
        assert_eq!((counted.found.len(), counted.parts.len()), (2 * 3 + 3, 2 * 3 + 3));
        let part = counted.parts.iter().find(|p| (&*p.a, &*p.b) == ("mrpc-1", "rte-1")).unwrap();
        assert_eq!((&*part.layer, &*part.kind, part.shared, part.kept_a, part.of), ("0", "query", 1, 2, 4));
        write(&counted, &store.sweep_folder("x")).unwrap();
        std::fs::remove_dir_all(store.masks()).unwrap();
        let read = gather(&store, "x", &records).unwrap();
        assert_eq!((&read.found, &read.parts, read.warnings.len()), (&counted.found, &counted.parts, 0));
    }

    #[test]
    fn results_of_an_older_version_have_overlaps_of_tasks_alone() {
        let (_folder, store, records) = study();
        let mut counted = gather(&store, "x", &records).unwrap();
        counted.found.retain(|o| o.a.ends_with("-1") == o.b.ends_with("-1"));
        counted.parts.clear();
        write(&counted, &store.sweep_folder("x")).unwrap();
        let mended = gather(&store, "x", &records).unwrap();
        assert_eq!((mended.found.len(), mended.parts.len()), (9, 9), "the masks are still here");
        std::fs::remove_dir_all(store.masks()).unwrap();
        let read = gather(&store, "x", &records).unwrap();
        assert_eq!((read.found.len(), read.parts.len(), read.warnings.len()), (6, 0, 0));
    }

    #[test]
    fn masks_that_are_absent_or_damaged_are_told() {
        let (_folder, store, records) = study();
        let records = &records[..3];
        assert!(gather(&store, "x", records).unwrap().warnings.is_empty());
        std::fs::remove_file(store.masks().join("rte-1.mask")).unwrap();
        let cola = store.masks().join("cola-1.mask");
        let half = std::fs::read(&cola).unwrap();
        std::fs::write(&cola, &half[..half.len() - 3]).unwrap();
        let told = gather(&store, "x", records).unwrap();
        assert!(told.found.is_empty() && told.parts.is_empty());
        assert!(told.warnings[0].starts_with("The mask file cola-1.mask cannot be read: it is cut off or damaged"));
        assert_eq!(
            told.warnings[1],
            "3 of 3 overlaps of child networks are left out (mask files absent: 1, unreadable: 1)."
        );
    }

    #[test]
    fn a_damaged_file_of_overlaps_is_named() {
        let (_folder, store, records) = study();
        let path = store.sweep_folder("x").join("overlap_parts.csv");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "a,b,layer,kind,shared,kept_a,kept_b,of\nx,y,0,query,1,2,3\n").unwrap();
        let Err(error) = gather(&store, "x", &records) else { panic!("a row is cut off") };
        assert!(format!("{error:#}").contains("overlap_parts.csv is damaged; remove it"), "{error:#}");
    }
}
