//! Made-up studies: one as a good sweep leaves it, one as nasty as they come.

mod measured;

pub use measured::{measured, measured_modes};

use super::{Cell, Study};
use crate::plan::{Choice, Input, Recipe, Run};
use crate::record::mask::Overlap;
use crate::record::store::Select;
use crate::record::{End, Epoch, FORMAT, Failure, MaskNote, Outcome, Provenance, Record};

/// A finished run with this headline score.
pub fn record(task: &str, mode: &str, p: Option<f64>, seed: u64, score: f64) -> Record {
    let numbers = p.map(|p| ("p".to_owned(), p.into())).into_iter().collect();
    let run = Run {
        task: Input { name: task.to_owned(), hash: "t".to_owned() },
        model: Input { name: "all-MiniLM-L6-v2".to_owned(), hash: "m".to_owned() },
        mode: mode.to_owned(),
        method: Choice { name: mode.to_owned(), numbers },
        recipe: Recipe::default(),
        seed,
        after: Default::default(),
    };
    let metric = if task.contains("rating") { "pearson" } else { "accuracy" };
    let dev = [(metric.to_owned(), Some(score)), ("other".to_owned(), None)].into();
    let outcome = Outcome {
        metric: metric.to_owned(),
        dev,
        epochs: vec![
            Epoch { epoch: 1, step: 5, loss: 0.6, dev: [(metric.to_owned(), Some(score - 0.1))].into() },
            Epoch { epoch: 2, step: 10, loss: 0.4, dev: [(metric.to_owned(), Some(score))].into() },
        ],
        collapsed: false,
        steps: 10,
        train_examples: 160,
        dev_examples: 80,
        mask: None,
        ..Outcome::default()
    };
    let made = Provenance {
        commit: "0123456789abcdef".to_owned(),
        version: "0.1.0".to_owned(),
        libtorch: "2.11.0".to_owned(),
        device: "cpu".to_owned(),
        device_name: "A processor".to_owned(),
        threads: 2,
        started: "2026-01-02T03:04:05Z".to_owned(),
        seconds: [("load".to_owned(), 1.0), ("train".to_owned(), 20.5)].into(),
        peak_memory_mib: 812.0,
        attempt: 1,
        ..Provenance::default()
    };
    Record { format: FORMAT, id: run.id(), run, end: End::Done(outcome), made }
}

/// A finished run that used this many training examples, as asked.
pub fn sized(mut record: Record, examples: u32) -> Record {
    record.run.recipe.train_size = Some(examples);
    if let End::Done(outcome) = &mut record.end {
        outcome.train_examples = examples;
    }
    record.id = record.run.id();
    record
}

pub fn put_mask(record: &mut Record, key: &str, kept: u64, of: u64) {
    if let End::Done(outcome) = &mut record.end {
        outcome.mask = Some(MaskNote { key: key.to_owned(), kept, of });
    }
}

/// One cell of task `rte`, with these scores by seed.
pub fn cell(mode: &str, scores: &[(u64, f64)]) -> Cell {
    let records: Vec<Record> = match scores {
        [] => vec![failed(record("rte", mode, None, 1, 0.0), Failure::Diverged { step: 3 })],
        scores => scores.iter().map(|(seed, score)| record("rte", mode, None, *seed, *score)).collect(),
    };
    let frame = super::runs(&records).and_then(|f| super::summary(&f)).expect("records make a frame");
    super::cells(&frame, &[]).expect("a summary has cells").remove(0)
}

fn failed(mut record: Record, failure: Failure) -> Record {
    record.end = End::Failed(failure);
    record
}

/// Small but lively numbers in [-1, 1], the same in every run.
fn noise(seed: u64, salt: u64) -> f64 {
    let hash = (seed + 1).wrapping_mul(salt + 17).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let hash = (hash ^ (hash >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (hash >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

/// A study of these records, all of them planned.
pub fn study(records: Vec<Record>) -> Study {
    Study {
        name: "example".to_owned(),
        question: Some("Does updating only a child network beat fine-tuning everything?".to_owned()),
        tune: Vec::new(),
        select: Select::Dev,
        paper: None,
        stop: None,
        examples: Default::default(),
        planned: records.iter().map(|r| (r.id.clone(), r.run.clone())).collect(),
        records,
        overlaps: Vec::new(),
        overlap_parts: Vec::new(),
        warnings: Vec::new(),
        folder: None,
    }
}

/// A whole sweep: these many tasks, three modes, several reserve rates, seeds and training sizes, with masks.
pub fn good(tasks: usize, seeds: u64, sizes: &[Option<u32>]) -> Study {
    const TASKS: [&str; 9] = [
        "movies-rating",
        "tweets-rating",
        "products-rating",
        "editorials-rating",
        "movies-polarity",
        "cola",
        "rte",
        "mrpc",
        "stsb",
    ];
    let mut records = Vec::new();
    for (t, task) in TASKS.iter().take(tasks).enumerate() {
        for size in sizes {
            let base = 0.6 + 0.03 * t as f64 + size.map_or(0.05, |n| 0.01 * f64::from(n).ln() - 0.05);
            for (mode, rates) in [
                ("vanilla", &[][..]),
                ("child-f", &[0.1, 0.2, 0.3, 0.5, 0.8][..]),
                ("child-d", &[0.1, 0.2, 0.3, 0.5, 0.8]),
            ] {
                let rates: Vec<Option<f64>> =
                    if rates.is_empty() { vec![None] } else { rates.iter().copied().map(Some).collect() };
                for p in rates {
                    for seed in 1..=seeds {
                        let bump =
                            p.map_or(0.0, |p| 0.02 - (p - 0.35).powi(2) * if mode == "child-d" { 0.1 } else { 0.2 });
                        let salt = t as u64 * 31 + mode.len() as u64 + p.map_or(0, |p| (p * 100.0) as u64);
                        let mut made = record(task, mode, p, seed, base + bump + 0.012 * noise(seed, salt));
                        if let Some(n) = size {
                            made = sized(made, *n);
                        }
                        if let (Some(p), "child-d") = (p, mode) {
                            put_mask(&mut made, &format!("{task}-{p}-{seed}-{size:?}"), (p * 1e7) as u64, 10_000_000);
                        }
                        records.push(made);
                    }
                }
            }
        }
    }
    let mut study = study(records);
    let uses = super::mask_uses(&study.records);
    let kept = |key: &String| uses.iter().find(|u| u.key == *key).map_or(0, |u| u.kept);
    study.overlaps = super::mask_pairs(&uses)
        .into_iter()
        .map(|pair| {
            let (a, b) = (pair.first.key.clone(), pair.second.key.clone());
            let (a_kept, b_kept) = (kept(&a), kept(&b));
            let share = 0.55 + 0.2 * noise(a.len() as u64 * 7 + b.len() as u64, a_kept / 1000);
            Overlap { a, b, a_kept, b_kept, both: (a_kept as f64 * share) as u64, of: 10_000_000 }
        })
        .collect();
    study
}

/// Names that break mark-up, runs that failed in every way, undefined scores, one seed, a run not yet done.
pub fn nasty() -> Study {
    let mut collapsed = record("<b>&\"rte_1\"", "vanilla_|x$", None, 1, 0.0);
    if let End::Done(outcome) = &mut collapsed.end {
        outcome.collapsed = true;
        outcome.dev = [("pearson".to_owned(), None), ("accuracy".to_owned(), None)].into();
    }
    let records = vec![
        record("<b>&\"rte_1\"", "vanilla", None, 1, 0.61),
        collapsed,
        record("<b>&\"rte_1\"", "child-d", Some(0.3), 1, 0.64),
        failed(record("<b>&\"rte_1\"", "child-d", Some(0.3), 2, 0.0), Failure::Diverged { step: 7 }),
        failed(record("movies-rating", "vanilla", None, 1, 0.0), Failure::Diverged { step: 9 }),
        failed(
            record("movies-rating", "child-d", Some(0.3), 1, 0.0),
            Failure::OutOfMemory { message: "tried to allocate 2 GiB <script>alert(1)</script>".to_owned() },
        ),
        failed(
            record("movies-rating", "child-d", Some(0.3), 2, 0.0),
            Failure::Crashed { tail: "line one\nline two".to_owned() },
        ),
        failed(
            record("movies-rating", "child-d", Some(1.0), 2, 0.0),
            Failure::Refused { message: "data/x.tsv:3: 2 fields, 3 expected".to_owned() },
        ),
        record("movies-rating", "child-d", Some(0.2), 2, -0.03),
    ];
    let mut study = study(records);
    let waiting = record("movies-rating", "child-f", Some(0.2), 2, 0.0);
    study.planned.push((waiting.id, waiting.run));
    study.warnings.push("1 record is <stale>".to_owned());
    study
}
