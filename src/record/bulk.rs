//! Many records at once: those that the pack has from there, the others from their files.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::Result;
use rayon::prelude::*;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Record;
use super::pack::{self, Entry, Pack, Stamp};
use super::store::Store;
use crate::plan::RunId;

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
        let ids: Vec<&RunId> = ids.into_iter().collect();
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
        let now = SystemTime::now();
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
