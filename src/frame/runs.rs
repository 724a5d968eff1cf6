//! One row a run: its settings, how it ended, what it cost.

use std::collections::BTreeSet;

use anyhow::Result;
use polars::prelude::*;

use crate::plan::{Run, is_rate};
use crate::record::{Outcome, Record};

/// The status of a run that a rule ended before its last step.
pub(super) const STOPPED: &str = "stopped";

/// The columns that make two runs the same setting: all but the seed.
pub const SETTING: [&str; 24] = [
    "task",
    "model",
    "mode",
    "method",
    "p",
    "numbers",
    "train_size",
    "dev_size",
    "epochs",
    "max_steps",
    "batch_size",
    "micro_batch",
    "max_length",
    "lr",
    "warmup",
    "weight_decay",
    "beta1",
    "beta2",
    "eps",
    "max_grad_norm",
    "dropout",
    "shuffle",
    "precision",
    "gradient_checkpointing",
];

/// The runs as a frame, in the order given. Scores are raw, as the metric gives them, and null where there is none;
/// `score_even` and `score_odd` are those of the halves of dev, each dev metric has a column `dev_<metric>`, each phase a column `seconds_<phase>`.
pub fn runs(records: &[Record]) -> Result<DataFrame> {
    let run = |f: fn(&Run) -> u32| -> Vec<u32> { records.iter().map(|r| f(&r.run)).collect() };
    let real = |f: fn(&Run) -> f64| -> Vec<f64> { records.iter().map(|r| f(&r.run)).collect() };
    let text = |f: &dyn Fn(&Record) -> String| -> Vec<String> { records.iter().map(f).collect() };
    let count = |f: fn(&Outcome) -> Option<u64>| -> Vec<Option<u64>> {
        records.iter().map(|r| r.outcome().and_then(f)).collect()
    };
    let mut columns = vec![
        Column::new("id".into(), text(&|r| r.id.0.clone())),
        Column::new("task".into(), text(&|r| r.run.task.name.clone())),
        Column::new("model".into(), text(&|r| r.run.model.name.clone())),
        Column::new("mode".into(), text(&|r| r.run.mode.clone())),
        Column::new("method".into(), text(&|r| r.run.method.name.clone())),
        Column::new("p".into(), records.iter().map(|r| r.run.p()).collect::<Vec<_>>()),
        Column::new("numbers".into(), text(&|r| numbers(&r.run))),
        Column::new("train_size".into(), records.iter().map(|r| r.run.recipe.train_size).collect::<Vec<_>>()),
        Column::new("dev_size".into(), records.iter().map(|r| r.run.recipe.dev_size).collect::<Vec<_>>()),
        Column::new("seed".into(), records.iter().map(|r| r.run.seed).collect::<Vec<_>>()),
        Column::new("epochs".into(), run(|r| r.recipe.epochs)),
        Column::new("max_steps".into(), records.iter().map(|r| r.run.recipe.max_steps).collect::<Vec<_>>()),
        Column::new("batch_size".into(), run(|r| r.recipe.batch_size)),
        Column::new("micro_batch".into(), records.iter().map(|r| r.run.recipe.micro_batch).collect::<Vec<_>>()),
        Column::new("max_length".into(), run(|r| r.recipe.max_length)),
        Column::new("lr".into(), real(|r| r.recipe.lr)),
        Column::new("warmup".into(), real(|r| r.recipe.warmup)),
        Column::new("weight_decay".into(), real(|r| r.recipe.weight_decay)),
        Column::new("beta1".into(), real(|r| r.recipe.beta1)),
        Column::new("beta2".into(), real(|r| r.recipe.beta2)),
        Column::new("eps".into(), real(|r| r.recipe.eps)),
        Column::new("max_grad_norm".into(), real(|r| r.recipe.max_grad_norm)),
        Column::new("dropout".into(), records.iter().map(|r| r.run.recipe.dropout).collect::<Vec<_>>()),
        Column::new("shuffle".into(), records.iter().map(|r| r.run.recipe.shuffle).collect::<Vec<_>>()),
        Column::new("precision".into(), text(&|r| r.run.recipe.precision.to_string())),
        Column::new(
            "gradient_checkpointing".into(),
            records.iter().map(|r| r.run.recipe.gradient_checkpointing).collect::<Vec<_>>(),
        ),
        Column::new("status".into(), text(&|r| status(r).to_owned())),
        Column::new("reason".into(), records.iter().map(reason).collect::<Vec<_>>()),
        Column::new("stopped_at".into(), records.iter().map(|r| r.stopped().map(|s| s.at.step)).collect::<Vec<_>>()),
        Column::new("stopped_score".into(), records.iter().map(stopped_score).collect::<Vec<_>>()),
        Column::new("metric".into(), records.iter().map(|r| r.outcome().map(|o| &*o.metric)).collect::<Vec<_>>()),
        Column::new("score".into(), records.iter().map(|r| r.score().filter(|s| s.is_finite())).collect::<Vec<_>>()),
        Column::new("score_even".into(), records.iter().map(|r| of_half(r, 0)).collect::<Vec<_>>()),
        Column::new("score_odd".into(), records.iter().map(|r| of_half(r, 1)).collect::<Vec<_>>()),
        Column::new("collapsed".into(), records.iter().map(|r| r.outcome().map(|o| o.collapsed)).collect::<Vec<_>>()),
        Column::new("steps".into(), count(|o| Some(o.steps.into()))),
        Column::new("train_examples".into(), count(|o| Some(o.train_examples.into()))),
        Column::new("dev_examples".into(), count(|o| Some(o.dev_examples.into()))),
        Column::new(
            "mask".into(),
            records.iter().map(|r| r.outcome()?.mask.as_ref().map(|m| &*m.key)).collect::<Vec<_>>(),
        ),
        Column::new("mask_kept".into(), count(|o| o.mask.as_ref().map(|m| m.kept))),
        Column::new("mask_of".into(), count(|o| o.mask.as_ref().map(|m| m.of))),
        Column::new("train_loss".into(), records.iter().map(last_loss).collect::<Vec<_>>()),
        Column::new("examples_per_second".into(), records.iter().map(speed).collect::<Vec<_>>()),
        Column::new("seconds".into(), records.iter().map(|r| r.made.total_seconds()).collect::<Vec<_>>()),
        Column::new("peak_memory_mib".into(), records.iter().map(|r| r.made.peak_memory_mib).collect::<Vec<_>>()),
        Column::new(
            "peak_device_memory_mib".into(),
            records.iter().map(|r| r.made.peak_device_memory_mib).collect::<Vec<_>>(),
        ),
        Column::new("device".into(), text(&|r| r.made.device.clone())),
        Column::new("device_name".into(), text(&|r| r.made.device_name.clone())),
        Column::new("threads".into(), records.iter().map(|r| r.made.threads).collect::<Vec<_>>()),
        Column::new("started".into(), text(&|r| r.made.started.clone())),
        Column::new("micro_batch_used".into(), records.iter().map(|r| r.made.micro_batch).collect::<Vec<_>>()),
        Column::new("attempt".into(), records.iter().map(|r| r.made.attempt).collect::<Vec<_>>()),
        Column::new("commit".into(), text(&|r| r.made.commit.clone())),
        Column::new("version".into(), text(&|r| r.made.version.clone())),
        Column::new("libtorch".into(), text(&|r| r.made.libtorch.clone())),
    ];
    let metrics: BTreeSet<&str> =
        records.iter().filter_map(Record::outcome).flat_map(|o| o.dev.keys().map(|k| &**k)).collect();
    for metric in metrics {
        let values = records.iter().map(|r| r.outcome()?.dev.get(metric).copied().flatten().filter(|s| s.is_finite()));
        columns.push(Column::new(format!("dev_{metric}").into(), values.collect::<Vec<_>>()));
    }
    let phases: BTreeSet<&str> = records.iter().flat_map(|r| r.made.seconds.keys().map(|k| &**k)).collect();
    for phase in phases {
        let values = records.iter().map(|r| r.made.seconds.get(phase).copied());
        columns.push(Column::new(format!("seconds_{phase}").into(), values.collect::<Vec<_>>()));
    }
    Ok(DataFrame::new(records.len(), columns)?)
}

/// `done`, the cause of a failure, or [`STOPPED`], which is neither.
fn status(record: &Record) -> &'static str {
    match (record.failure(), record.stopped()) {
        (Some(failure), _) => failure.cause(),
        (None, Some(_)) => STOPPED,
        (None, None) => "done",
    }
}

fn reason(record: &Record) -> Option<String> {
    let stopped =
        record.stopped().map(|s| format!("stopped early by {}, at step {} of {}", s.rule, s.at.step, s.at.of));
    record.failure().map(|failure| failure.sentence()).or(stopped)
}

/// The headline score at the step where a rule stopped the run: no score of the run that was asked for.
fn stopped_score(record: &Record) -> Option<f64> {
    record.stopped()?.at.score().filter(|s| s.is_finite())
}

/// The method's numbers but what the column `p` says, as `fidelity=paper steps=3`.
pub(super) fn numbers(run: &Run) -> String {
    let is_told = |name: &str| run.p().is_some() && is_rate(name);
    let shown =
        run.method.numbers.iter().filter(|(name, _)| !is_told(name)).map(|(name, value)| match value.as_str() {
            Some(word) => format!("{name}={word}"),
            None => format!("{name}={value}"),
        });
    shown.collect::<Vec<_>>().join(" ")
}

/// The headline score over the even (0) or odd (1) places of the dev set.
fn of_half(record: &Record, half: usize) -> Option<f64> {
    let outcome = record.outcome()?;
    let scores = &outcome.halves.as_ref()?[half];
    scores.get(&outcome.metric).copied().flatten().filter(|s| s.is_finite())
}

fn last_loss(record: &Record) -> Option<f64> {
    record.outcome()?.epochs.last().map(|e| e.loss).filter(|l| l.is_finite())
}

/// Training examples a second, over the phase `train`.
fn speed(record: &Record) -> Option<f64> {
    let outcome = record.outcome()?;
    let recipe = &record.run.recipe;
    let seconds = record.made.seconds.get("train").copied().filter(|s| *s > 0.0)?;
    // The last batch of an epoch may be short, so whole epochs are counted by examples and the rest by steps.
    let by_epochs = u64::from(outcome.train_examples) * u64::from(recipe.epochs);
    let by_steps = u64::from(outcome.steps) * u64::from(recipe.batch_size);
    Some(by_epochs.min(by_steps) as f64 / seconds)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::frame::example;
    use crate::record::End;

    #[test]
    fn one_row_a_run_with_nulls_where_nothing_is() {
        let study = example::nasty();
        let records = study.records_in_order();
        let frame = runs(&records).unwrap();
        assert_eq!(frame.height(), records.len());
        for (i, record) in records.iter().enumerate() {
            assert_eq!(frame.column("score").unwrap().f64().unwrap().get(i), record.score());
            assert_eq!(frame.column("p").unwrap().f64().unwrap().get(i), record.run.p());
            let status = frame.column("status").unwrap().str().unwrap().get(i).unwrap();
            assert_eq!(status, record.failure().map_or("done", |f| f.cause()));
        }
        for name in SETTING {
            assert!(frame.column(name).is_ok(), "{name}");
        }
        assert!(frame.column("dev_pearson").is_ok() && frame.column("seconds_train").is_ok());
    }

    #[test]
    fn no_records_make_an_empty_frame_with_every_column() {
        let frame = runs(&[]).unwrap();
        assert_eq!(frame.height(), 0);
        assert!(frame.column("score").unwrap().f64().is_ok());
    }

    #[test]
    fn speed_counts_examples_not_padded_batches() {
        let mut record = example::record("rte", "vanilla", None, 1, 0.5);
        record.made.seconds = [("train".to_owned(), 10.0)].into();
        let End::Done(outcome) = &mut record.end else { unreachable!("the example is a finished run") };
        (outcome.train_examples, outcome.steps) = (100, 21);
        (record.run.recipe.epochs, record.run.recipe.batch_size) = (3, 16);
        assert_eq!(speed(&record), Some(30.0));
        record.run.recipe.max_steps = Some(21);
        assert_eq!(speed(&record), Some(30.0), "21 steps of at most 16 examples are three epochs of 100");
    }
}
