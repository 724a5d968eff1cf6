//! The other tasks of a run as records of their own, so that tables, statistics and figures need not know of them.

use std::borrow::Cow;

use crate::record::{End, Outcome, Record, Way};

/// How a task is called that a run of another one was scored on: `mnli → snli`.
pub fn target_name(trained: &str, way: Way, task: &str) -> String {
    match way {
        Way::Eval => format!("{trained} → {task}"),
        Way::Probe => format!("{trained} ⇒ {task} (probe)"),
        Way::Transfer => format!("{trained} ⇒ {task}"),
    }
}

/// The task that a run was trained on, of a name that [`target_name`] may have made.
pub(super) fn trained_task(name: &str) -> &str {
    [" → ", " ⇒ "].iter().fold(name, |name, arrow| name.split(arrow).next().unwrap_or(name))
}

/// Every record, followed by one for each other task that it was scored on: same run, id and cost, with the scores of
/// that task. A run without an outcome stands once, under its own task. Costs are to be summed over `records` instead.
/// Where no run was scored elsewhere, these are the records themselves, not copied.
pub fn targets(records: &[Record]) -> Cow<'_, [Record]> {
    let is_elsewhere = |record: &Record| record.outcome().is_some_and(|outcome| !outcome.elsewhere.is_empty());
    if !records.iter().any(is_elsewhere) {
        return Cow::Borrowed(records);
    }
    let mut all = Vec::new();
    for record in records {
        all.push(record.clone());
        let Some(outcome) = record.outcome() else { continue };
        for elsewhere in &outcome.elsewhere {
            let mut other = record.clone();
            other.run.task.name = target_name(&record.run.task.name, elsewhere.way, &elsewhere.task);
            other.end = End::Done(Outcome {
                metric: elsewhere.metric.clone(),
                dev: elsewhere.dev.clone(),
                collapsed: elsewhere.collapsed,
                dev_examples: elsewhere.dev_examples,
                ..Outcome { elsewhere: Vec::new(), halves: None, epochs: Vec::new(), mask: None, ..outcome.clone() }
            });
            all.push(other);
        }
    }
    Cow::Owned(all)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::frame::example;
    use crate::record::Elsewhere;

    #[test]
    fn a_run_stands_for_each_task_that_it_was_scored_on() {
        let mut record = example::record("mnli", "vanilla", None, 1, 0.6);
        let End::Done(outcome) = &mut record.end else { panic!() };
        outcome.elsewhere.push(Elsewhere {
            task: "snli".into(),
            way: Way::Eval,
            metric: "accuracy".into(),
            dev: [("accuracy".to_owned(), Some(0.7))].into(),
            collapsed: false,
            train_examples: 0,
            dev_examples: 9,
            source_after: None,
        });
        let records = [record.clone()];
        let all = targets(&records);
        assert_eq!(all[0], record);
        assert_eq!((all[1].run.task.name.as_str(), all[1].score(), all.len()), ("mnli → snli", Some(0.7), 2));
        assert_eq!(all[1].id, record.id);
    }
}
