//! One row a score: every metric of every evaluation of a run, for questions that the one headline score cannot answer.

use anyhow::Result;
use polars::prelude::*;

use crate::record::{Outcome, Record, Scores};

/// Where a score comes from.
#[derive(Clone, Copy)]
struct Source<'a> {
    /// `dev` the whole dev set of the run's own task; `half` one half of it; `eval`, `probe`, `transfer` another task.
    way: &'static str,
    /// The task that was scored.
    task: &'a str,
    /// After this epoch; `None` at the end of the run.
    epoch: Option<u32>,
    /// `even` or `odd` places of the dev set.
    half: Option<&'static str>,
    /// The metric that tables show.
    headline: &'a str,
    examples: Option<u32>,
    /// After a transfer: the headline score on the run's own task.
    source_after: Option<f64>,
    scores: &'a Scores,
}

/// The scores of the runs in long form, in the order given; `sweeps` names the sweep of each record. Columns: `sweep`,
/// `id`, `task` (trained on), `model`, `mode`, `method`, `p`, `train_size`, `seed`, `way` (`dev`, `half`, `eval`,
/// `probe`, `transfer`), `eval_task`, `epoch` (null at the end of the run), `half` (`even`, `odd` or null), `metric`,
/// `headline` (whether tables show this metric), `score` (raw, null where undefined), `dev_examples`, `source_after`
/// (after a transfer: the headline score on the task trained on). A run without an outcome has no row.
pub fn evals(records: &[Record], sweeps: &[String]) -> Result<DataFrame> {
    let mut rows: Vec<(usize, Source, &str, Option<f64>)> = Vec::new();
    for (place, record) in records.iter().enumerate() {
        let Some(outcome) = record.outcome() else { continue };
        for source in sources(&record.run.task.name, outcome) {
            for (metric, score) in source.scores {
                rows.push((place, source, metric, score.filter(|s| s.is_finite())));
            }
        }
    }
    let run = |row: &(usize, Source, &str, Option<f64>)| &records[row.0].run;
    let columns = vec![
        Column::new("sweep".into(), rows.iter().map(|r| &*sweeps[r.0]).collect::<Vec<_>>()),
        Column::new("id".into(), rows.iter().map(|r| &*records[r.0].id.0).collect::<Vec<_>>()),
        Column::new("task".into(), rows.iter().map(|r| &*run(r).task.name).collect::<Vec<_>>()),
        Column::new("model".into(), rows.iter().map(|r| &*run(r).model.name).collect::<Vec<_>>()),
        Column::new("mode".into(), rows.iter().map(|r| &*run(r).mode).collect::<Vec<_>>()),
        Column::new("method".into(), rows.iter().map(|r| &*run(r).method.name).collect::<Vec<_>>()),
        Column::new("p".into(), rows.iter().map(|r| run(r).p()).collect::<Vec<_>>()),
        Column::new("train_size".into(), rows.iter().map(|r| run(r).recipe.train_size).collect::<Vec<_>>()),
        Column::new("seed".into(), rows.iter().map(|r| run(r).seed).collect::<Vec<_>>()),
        Column::new("way".into(), rows.iter().map(|r| r.1.way).collect::<Vec<_>>()),
        Column::new("eval_task".into(), rows.iter().map(|r| r.1.task).collect::<Vec<_>>()),
        Column::new("epoch".into(), rows.iter().map(|r| r.1.epoch).collect::<Vec<_>>()),
        Column::new("half".into(), rows.iter().map(|r| r.1.half).collect::<Vec<_>>()),
        Column::new("metric".into(), rows.iter().map(|r| r.2).collect::<Vec<_>>()),
        Column::new("headline".into(), rows.iter().map(|r| r.1.headline == r.2).collect::<Vec<_>>()),
        Column::new("score".into(), rows.iter().map(|r| r.3).collect::<Vec<_>>()),
        Column::new("dev_examples".into(), rows.iter().map(|r| r.1.examples).collect::<Vec<_>>()),
        Column::new("source_after".into(), rows.iter().map(|r| r.1.source_after).collect::<Vec<_>>()),
    ];
    Ok(DataFrame::new(rows.len(), columns)?)
}

/// Every evaluation of a run: each epoch, the end, the halves of the end, other tasks.
fn sources<'a>(task: &'a str, outcome: &'a Outcome) -> Vec<Source<'a>> {
    let end = Source {
        way: "dev",
        task,
        epoch: None,
        half: None,
        headline: &outcome.metric,
        examples: Some(outcome.dev_examples),
        source_after: None,
        scores: &outcome.dev,
    };
    let mut sources: Vec<Source> =
        outcome.epochs.iter().map(|e| Source { epoch: Some(e.epoch), scores: &e.dev, ..end }).collect();
    for (half, scores) in ["even", "odd"].into_iter().zip(outcome.halves.iter().flatten()) {
        // How many places a half has follows from the dev set: the even ones are never fewer.
        let examples = if half == "even" { outcome.dev_examples.div_ceil(2) } else { outcome.dev_examples / 2 };
        sources.push(Source { way: "half", half: Some(half), examples: Some(examples), scores, ..end });
    }
    for other in &outcome.elsewhere {
        sources.push(Source {
            way: other.way.word(),
            task: &other.task,
            headline: &other.metric,
            examples: Some(other.dev_examples),
            source_after: other.source_after,
            scores: &other.dev,
            ..end
        });
    }
    sources.push(end);
    sources
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::frame::example;
    use crate::record::{Elsewhere, End, Failure, Way};

    fn column<'a>(frame: &'a DataFrame, name: &str) -> Vec<AnyValue<'a>> {
        let column = frame.column(name).unwrap();
        (0..frame.height()).map(|row| column.get(row).unwrap()).collect()
    }

    #[test]
    fn every_evaluation_has_a_row_a_metric() {
        let mut record = example::record("mnli", "child-d", Some(0.3), 1, 0.6);
        let End::Done(outcome) = &mut record.end else { panic!("the example is a finished run") };
        outcome.dev = [("accuracy".to_owned(), Some(0.6)), ("f1".to_owned(), None)].into();
        outcome.dev_examples = 9;
        outcome.epochs.truncate(1);
        outcome.epochs[0].dev = [("accuracy".to_owned(), Some(f64::NAN))].into();
        let half = |score| [("accuracy".to_owned(), Some(score))].into();
        outcome.halves = Some([half(0.5), half(0.7)]);
        outcome.elsewhere.push(Elsewhere {
            task: "snli".into(),
            way: Way::Transfer,
            metric: "accuracy".into(),
            dev: [("accuracy".to_owned(), Some(0.8))].into(),
            collapsed: false,
            train_examples: 5,
            dev_examples: 7,
            source_after: Some(0.55),
        });
        let mut failed = example::record("mnli", "vanilla", None, 1, 0.0);
        failed.end = End::Failed(Failure::Diverged { step: 1 });
        let frame = evals(&[failed, record], &["a".into(), "b".into()]).unwrap();

        assert_eq!(frame.height(), 6, "an epoch, two halves, another task, and two metrics at the end");
        let words = |name: &str| -> Vec<String> { column(&frame, name).iter().map(|v| v.str_value().into()).collect() };
        assert_eq!(words("way"), ["dev", "half", "half", "transfer", "dev", "dev"]);
        assert_eq!(words("eval_task"), ["mnli", "mnli", "mnli", "snli", "mnli", "mnli"]);
        assert_eq!(words("half"), ["null", "even", "odd", "null", "null", "null"]);
        assert_eq!(words("epoch"), ["1", "null", "null", "null", "null", "null"]);
        assert_eq!(words("score"), ["null", "0.5", "0.7", "0.8", "0.6", "null"]);
        assert_eq!(words("headline"), ["true", "true", "true", "true", "true", "false"]);
        assert_eq!(words("dev_examples"), ["9", "5", "4", "7", "9", "9"]);
        assert_eq!(words("source_after"), ["null", "null", "null", "0.55", "null", "null"]);
        assert!(words("sweep").iter().all(|sweep| sweep == "b"));
    }

    #[test]
    fn no_records_make_an_empty_frame_with_every_column() {
        let frame = evals(&[], &[]).unwrap();
        assert_eq!(frame.height(), 0);
        assert!(frame.column("score").unwrap().f64().is_ok() && frame.column("way").unwrap().str().is_ok());
    }
}
