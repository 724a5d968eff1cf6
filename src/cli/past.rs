//! What the records of a results folder tell of a plan, without the numbers in them: a hundred thousand whole records
//! would fill a gigabyte.

use std::collections::{HashMap, HashSet};

use anyhow::Result;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::speeds::Speeds;
use crate::device::peak::{Peaks, Shape};
use crate::plan::{Run, RunId};
use crate::record::bulk::View;
use crate::record::store::Store;
use crate::record::{End, Failure, Provenance, Record, Scores};

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
    /// It was trained side by side with others, so neither time nor memory says anything of one alone.
    in_group: bool,
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
        let ended = match record.end {
            End::Done(outcome) => Ended::Done(outcome.score()),
            End::Failed(failure) => Ended::Failed(failure),
            End::Stopped(_) => Ended::Stopped,
        };
        Glance::new(&record.run, ended, &record.made)
    }

    /// Skips over the epochs and what else an outcome holds, which is most of the text.
    fn parse(text: &[u8]) -> Option<Glance> {
        #[derive(Deserialize)]
        struct Text {
            run: Run,
            end: EndOfText,
            made: Provenance,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case")]
        enum EndOfText {
            Done { metric: String, dev: Scores },
            Failed(Failure),
            Stopped(IgnoredAny),
        }
        let Text { run, end, made } = serde_json::from_slice(text).ok()?;
        let ended = match end {
            EndOfText::Done { metric, dev } => Ended::Done(dev.get(&metric).copied().flatten()),
            EndOfText::Failed(failure) => Ended::Failed(failure),
            EndOfText::Stopped(_) => Ended::Stopped,
        };
        Some(Glance::new(&run, ended, &made))
    }
}

impl Glance {
    fn new(run: &Run, ended: Ended, made: &Provenance) -> Glance {
        Glance {
            ended,
            attempt: made.attempt,
            settings: run.settings_key(),
            speeds: Speeds::keys(run),
            seconds: made.total_seconds(),
            in_group: !made.group.is_empty(),
            on_gpu: made.device.starts_with("cuda"),
            shape: Shape::of(run, made.micro_batch),
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
        let is_done = |glance: &&Glance| matches!(glance.ended, Ended::Done(_)) && !glance.in_group;
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::plan::{Choice, Input, Recipe};
    use crate::record::{FORMAT, Outcome, Rung, Stopped};

    fn record(seed: u64, end: End, seconds: f64) -> Record {
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
        let made = Provenance {
            device: "cpu".into(),
            seconds: [("train".to_owned(), seconds)].into(),
            peak_device_memory_mib: Some(700.0),
            attempt: 2,
            ..Provenance::default()
        };
        Record { format: FORMAT, id: run.id(), run, end, made }
    }

    fn all() -> [Record; 3] {
        let dev: Scores = [("accuracy".to_owned(), Some(0.75))].into();
        let done = Outcome { metric: "accuracy".into(), dev: dev.clone(), steps: 7, ..Outcome::default() };
        let at = Rung { step: 3, of: 7, metric: "accuracy".into(), dev, halves: None };
        [
            record(1, End::Done(done), 10.0),
            record(2, End::Failed(Failure::Diverged { step: 3 }), 1000.0),
            record(3, End::Stopped(Stopped { rule: "asha".into(), at }), 5.0),
        ]
    }

    #[test]
    fn a_glance_at_the_text_sees_what_a_whole_record_holds() {
        for record in all() {
            let text = serde_json::to_vec(&record).unwrap();
            assert_eq!(Glance::parse(&text), Some(Glance::of(record)));
        }
        assert_eq!(Glance::parse(b"{}"), None);
    }

    #[test]
    fn only_what_reached_its_end_tells_of_time_and_memory() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().join("results"));
        let records = all();
        records.iter().for_each(|record| store.write(record).unwrap());
        let past = Past::read(&store, "cpu").unwrap();
        let first = &records[0].run;
        assert_eq!(past.speeds.estimate(Speeds::keys(first)), Some(10.0));
        assert_eq!(past.peaks.get(&Shape::of(first, None)), Some(700.0));
        assert_eq!(past.get(&records[0].id).unwrap().ended, Ended::Done(Some(0.75)));
        assert_eq!(past.get(&records[1].id).unwrap().failure(), Some(&Failure::Diverged { step: 3 }));
        assert_eq!((past.iter().count(), past.is_empty()), (3, false));
        assert!(past.knows(&first.settings_key()) && !past.knows("others"));
        let elsewhere = Past::read(&store, "cuda").unwrap();
        assert_eq!(elsewhere.speeds.estimate(Speeds::keys(first)), None);
    }
}
