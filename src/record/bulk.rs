//! Many records at once: those that the pack has from there, the others from their files.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::Result;
use rayon::prelude::*;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::pack::{self, Entry, Pack, Stamp};
use super::store::Store;
use super::{Provenance, Record};
use crate::plan::{Run, RunId};

/// Fewer new records than these are not worth a write.
const WORTH_PACKING: usize = 64;
/// Records read from their files at a time, so that memory does not grow with their number.
const CHUNK: usize = 2048;
/// Outdated entries that a pack may have besides as many as are in use, before it is made anew.
const MOST_OUTDATED: usize = 1024;

/// What somebody wants to know of a record.
pub trait View: Clone + Send {
    fn of(record: Record) -> Self;

    /// The same from a record's JSON, where that is quicker. The text was that of a record when it was packed; `None` sends
    /// the reader to the file.
    fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok().map(Self::of)
    }
}

impl View for Record {
    fn of(record: Record) -> Record {
        record
    }
}

/// A record but for its run, which the asker knows: it is a third of the text.
#[derive(Debug, Clone, Deserialize)]
pub struct Unnamed {
    format: u32,
    id: RunId,
    end: super::End,
    made: Provenance,
}

impl Unnamed {
    pub fn with(self, run: Run) -> Record {
        let Unnamed { format, id, end, made } = self;
        Record { format, id, run, end, made }
    }
}

impl View for Unnamed {
    fn of(record: Record) -> Unnamed {
        let Record { format, id, end, made, .. } = record;
        Unnamed { format, id, end, made }
    }

    fn parse(text: &[u8]) -> Option<Unnamed> {
        serde_json::from_slice(text).ok()
    }
}

/// How a run ended, without its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Done { collapsed: bool },
    Failed,
    Stopped,
}

impl View for Ending {
    fn of(record: Record) -> Ending {
        match record.outcome() {
            Some(outcome) => Ending::Done { collapsed: outcome.collapsed },
            None if record.failure().is_some() => Ending::Failed,
            None => Ending::Stopped,
        }
    }

    /// Skips over the rest of the text, which takes a fraction of the time.
    fn parse(text: &[u8]) -> Option<Ending> {
        #[derive(Deserialize)]
        struct Glance {
            end: End,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case")]
        enum End {
            Done(Done),
            Failed(IgnoredAny),
            Stopped(IgnoredAny),
        }
        #[derive(Deserialize)]
        struct Done {
            collapsed: bool,
        }
        let Glance { end } = serde_json::from_slice(text).ok()?;
        Some(match end {
            End::Done(Done { collapsed }) => Ending::Done { collapsed },
            End::Failed(_) => Ending::Failed,
            End::Stopped(_) => Ending::Stopped,
        })
    }
}

impl Store {
    /// Every record there is, sorted by id.
    ///
    /// # Errors
    /// One file that is no record.
    pub fn read_all(&self) -> Result<Vec<Record>> {
        self.view_all()
    }

    /// Of every record there is, sorted by id, what somebody wants to know.
    ///
    /// # Errors
    /// One file that is no record.
    pub fn view_all<T: View>(&self) -> Result<Vec<T>> {
        let ids = self.ids()?;
        Ok(self.view_each(&ids)?.into_iter().flatten().collect())
    }

    /// The same of these runs, in their order; `None` where a run has not ended yet.
    ///
    /// # Errors
    /// One file that is no record.
    pub fn view_each<'a, T: View>(&self, ids: impl IntoIterator<Item = &'a RunId>) -> Result<Vec<Option<T>>> {
        self.view_each_at(ids.into_iter().collect(), SystemTime::now())
    }

    fn view_each_at<T: View>(&self, ids: Vec<&RunId>, now: SystemTime) -> Result<Vec<Option<T>>> {
        let stamps: Vec<Option<Stamp>> =
            ids.par_iter().with_min_len(512).map(|id| Stamp::of(&self.record_path(id))).collect();
        let path = self.pack_path();
        let pack = Pack::open(&path);
        let mut found: Vec<Option<T>> = Vec::new();
        found.resize_with(ids.len(), || None);
        let Packed { views, sound, outdated } = packed(&pack, &ids, &stamps);
        let is_spent = outdated > views.len() + MOST_OUTDATED;
        for (place, view) in views {
            found[place] = Some(view);
        }

        let missing: Vec<usize> = (0..ids.len()).filter(|&i| stamps[i].is_some() && found[i].is_none()).collect();
        let mut writer = None;
        if missing.len() >= WORTH_PACKING {
            writer = pack.writer(&path, if is_spent { 0 } else { sound });
        }
        for chunk in missing.chunks(CHUNK) {
            let records: Result<Vec<Option<Record>>> = chunk.par_iter().map(|&place| self.read(ids[place])).collect();
            for (&place, record) in chunk.iter().zip(records?) {
                let Some(record) = record else { continue };
                if let (Some(open), Some(stamp)) = (&mut writer, stamps[place])
                    && stamp.is_settled(now)
                {
                    let text = serde_json::to_vec(&record)?;
                    if open.add(&Entry { id: &ids[place].0, stamp, text: &text }).is_none() {
                        writer = None;
                    }
                }
                found[place] = Some(T::of(record));
            }
        }
        // What cannot be packed is read again the next time.
        let _ = writer.as_mut().map(pack::Writer::flush);
        Ok(found)
    }

    /// Holds the records of the folder once more, quick to read; can be deleted.
    fn pack_path(&self) -> PathBuf {
        self.cache().join("records.pack")
    }
}

/// What a pack says about some runs.
struct Packed<T> {
    /// Each with its place among the runs.
    views: Vec<(usize, T)>,
    /// Blocks before the first damaged one.
    sound: usize,
    /// Entries whose file has changed since, or is gone.
    outdated: usize,
}

fn packed<T: View>(pack: &Pack, ids: &[&RunId], stamps: &[Option<Stamp>]) -> Packed<T> {
    let mut places: HashMap<&str, usize> = HashMap::with_capacity(ids.len());
    for (place, id) in ids.iter().enumerate() {
        places.entry(&id.0).or_insert(place);
    }
    let read = |index: usize| -> Option<(Vec<(usize, T)>, usize)> {
        let block = pack.block(index)?;
        let (mut views, mut outdated) = (Vec::new(), 0);
        for entry in pack::entries(&block) {
            let Some(&place) = places.get(entry.id) else { continue };
            match (stamps[place] == Some(entry.stamp)).then(|| T::parse(entry.text)).flatten() {
                Some(view) => views.push((place, view)),
                None => outdated += 1,
            }
        }
        Some((views, outdated))
    };
    let blocks: Vec<_> = (0..pack.blocks()).into_par_iter().map(read).collect();
    let sound = blocks.iter().take_while(|block| block.is_some()).count();
    let mut all = Packed { views: Vec::new(), sound, outdated: 0 };
    for (views, outdated) in blocks.into_iter().flatten() {
        all.views.extend(views);
        all.outdated += outdated;
    }
    all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs::{self, File};
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::plan::{Choice, Input, Recipe};
    use crate::record::{End, FORMAT, Outcome};

    fn record(seed: u64) -> Record {
        let input = || Input { name: "rte".into(), hash: "a".into() };
        let run = Run {
            task: input(),
            model: input(),
            mode: "vanilla".into(),
            method: Choice { name: "vanilla".into(), numbers: Default::default() },
            recipe: Recipe::default(),
            seed,
            after: Default::default(),
        };
        let end = End::Done(Outcome { metric: "accuracy".into(), steps: 7, ..Outcome::default() });
        Record { format: FORMAT, id: run.id(), run, end, made: Provenance::default() }
    }

    /// So many records, and a moment at which their files count as left alone.
    fn filled(count: u64) -> (tempfile::TempDir, Store, Vec<Record>, SystemTime) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().join("results"));
        let mut records: Vec<Record> = (1..=count).map(record).collect();
        records.iter().for_each(|record| put(&store, record));
        records.sort_by(|a, b| a.id.cmp(&b.id));
        (folder, store, records, SystemTime::now() + Duration::from_secs(3600))
    }

    /// Not through `write`: many syncs take their time.
    fn put(store: &Store, record: &Record) {
        fs::create_dir_all(store.run_folder(&record.id)).unwrap();
        fs::write(store.record_path(&record.id), serde_json::to_vec(record).unwrap()).unwrap();
    }

    fn all(store: &Store, now: SystemTime) -> Vec<Record> {
        let ids = store.ids().unwrap();
        store.view_each_at(ids.iter().collect(), now).unwrap().into_iter().flatten().collect()
    }

    /// What the pack alone answers for.
    fn from_pack(store: &Store) -> Vec<Record> {
        let ids = store.ids().unwrap();
        let ids: Vec<&RunId> = ids.iter().collect();
        let stamps: Vec<Option<Stamp>> = ids.iter().map(|id| Stamp::of(&store.record_path(id))).collect();
        let mut views = packed(&Pack::open(&store.pack_path()), &ids, &stamps).views;
        views.sort_by_key(|(place, _)| *place);
        views.into_iter().map(|(_, record)| record).collect()
    }

    #[test]
    fn records_come_from_the_pack_once_they_were_read() {
        let (_folder, store, records, now) = filled(200);
        assert_eq!(all(&store, SystemTime::now()), records);
        assert_eq!(from_pack(&store), [], "files that were just written may change unseen");
        assert_eq!(all(&store, now), records);
        assert_eq!(from_pack(&store), records);
        let size = fs::metadata(store.pack_path()).unwrap().len();
        assert_eq!(all(&store, now), records);
        assert_eq!(fs::metadata(store.pack_path()).unwrap().len(), size, "nothing was missing");

        let done = Some(Ending::Done { collapsed: false });
        let ids: Vec<&RunId> = records.iter().map(|record| &record.id).collect();
        assert_eq!(store.view_each::<Ending>(ids.clone()).unwrap(), vec![done; 200]);
        let unnamed: Vec<Option<Unnamed>> = store.view_each(ids).unwrap();
        let named = unnamed.into_iter().zip(&records).map(|(found, record)| found.unwrap().with(record.run.clone()));
        assert_eq!(named.collect::<Vec<_>>(), records);
        let nobody = RunId("nobody".into());
        assert_eq!(store.view_each::<Record>([&nobody, &records[7].id]).unwrap(), [None, Some(records[7].clone())]);
    }

    #[test]
    fn what_is_done_to_a_record_by_hand_is_noticed() {
        let (_folder, store, mut records, now) = filled(100);
        all(&store, now);
        // Of the same length, in place, with its old date.
        let path = store.record_path(&records[3].id);
        let date = fs::metadata(&path).unwrap().modified().unwrap();
        std::thread::sleep(Duration::from_millis(20));
        records[3].made.threads = records[3].made.threads % 9 + 1;
        let length = fs::metadata(&path).unwrap().len();
        fs::write(&path, serde_json::to_vec(&records[3]).unwrap()).unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(date).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), length);
        // Another file in its place; one gone; one new; one damaged.
        records[5].made.attempt = 7;
        store.write(&records[5]).unwrap();
        fs::remove_file(store.record_path(&records[9].id)).unwrap();
        records.remove(9);
        let added = record(1000);
        put(&store, &added);
        records.push(added);
        records.sort_by(|a, b| a.id.cmp(&b.id));
        assert_eq!(all(&store, now), records);
        fs::write(store.record_path(&records[1].id), b"{").unwrap();
        let error = store.view_all::<Ending>().unwrap_err().to_string();
        assert!(error.contains("record.json is damaged"), "{error}");
    }

    #[test]
    fn a_pack_that_is_cut_damaged_newer_or_strange_changes_no_answer() {
        let (_folder, store, records, now) = filled(100);
        all(&store, now);
        let path = store.pack_path();
        let whole = fs::read(&path).unwrap();
        let mut newer = whole.clone();
        newer[8] = 9;
        let sum = crc32fast::hash(&newer[..12]).to_le_bytes();
        newer[12..16].copy_from_slice(&sum);
        let mut damaged = whole.clone();
        damaged[whole.len() / 2] ^= 1;
        let kept = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            assert_eq!(all(&store, now), records);
            fs::read(&path).unwrap() == bytes
        };
        assert!(kept(&whole));
        assert!(kept(&newer), "it is another program's");
        for bytes in
            [&whole[..whole.len() - 1], &whole[..20], &whole[..3], &damaged, b"", &[0; 4096], b"{\"format\": 1}"]
        {
            assert!(!kept(bytes), "{} bytes are mended", bytes.len());
            assert_eq!(from_pack(&store), records, "{} bytes", bytes.len());
        }
    }

    #[test]
    fn a_copied_folder_begins_a_new_pack_and_outdated_entries_go() {
        let (_folder, store, records, now) = filled(1200);
        all(&store, now);
        let size = fs::metadata(store.pack_path()).unwrap().len();
        for record in &records {
            let path = store.record_path(&record.id);
            fs::rename(&path, path.with_extension("old")).unwrap();
            fs::copy(path.with_extension("old"), &path).unwrap();
        }
        assert_eq!(all(&store, now), records);
        assert_eq!(from_pack(&store), records);
        assert!(fs::metadata(store.pack_path()).unwrap().len() < size * 3 / 2, "the old entries are gone");
    }

    #[test]
    fn readers_at_once_and_one_that_may_not_write_all_answer() {
        let (_folder, store, records, now) = filled(300);
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..8).map(|_| scope.spawn(|| all(&store, now))).collect();
            assert!(readers.into_iter().all(|reader| reader.join().unwrap() == records));
        });
        assert_eq!(from_pack(&store), records);

        // Another process writes: the lock is taken.
        fs::remove_file(store.pack_path()).unwrap();
        let held = File::create(store.pack_path()).unwrap();
        held.lock().unwrap();
        assert_eq!(all(&store, now), records);
        assert_eq!(held.metadata().unwrap().len(), 0);
        drop(held);
        // No cache folder can be made where a file lies, and none below /proc.
        fs::remove_dir_all(store.cache()).unwrap();
        fs::write(store.cache(), b"a file").unwrap();
        assert_eq!(all(&store, now), records);
        assert!(
            Pack::open(Path::new("/proc/none/records.pack")).writer(Path::new("/proc/none/records.pack"), 0).is_none()
        );
    }
}
