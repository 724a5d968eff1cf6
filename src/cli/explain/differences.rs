//! What makes two runs of the same settings two runs.

use crate::plan::{Input, Run, RunId};

/// A line for each content that changed between a run of an id and another.
pub fn differences(id: &RunId, then: &Run, now: &Run) -> Vec<String> {
    let mut said = Vec::new();
    let mut compare = |what: String, then: &Input, now: &Input| {
        if then.hash != now.hash {
            let hash = |hash: &str| if hash.is_empty() { "unknown".to_owned() } else { format!("{hash:.10}") };
            said.push(format!(
                "since run {id:.10}, {what} changed: {} then, {} now",
                hash(&then.hash),
                hash(&now.hash)
            ));
        }
    };
    compare(format!("the data of task {}", now.task.name), &then.task, &now.task);
    compare(format!("the content of model {}", now.model.name), &then.model, &now.model);
    let inputs = |run: &Run| -> Vec<Input> {
        let probed = run.after.probe.iter().flat_map(|probe| probe.tasks.clone());
        run.after.eval.iter().map(|eval| eval.task.clone()).chain(probed).chain(run.after.transfer.clone()).collect()
    };
    for (then, now) in inputs(then).iter().zip(inputs(now)) {
        compare(format!("the data of {}, on which it is scored besides", now.name), then, &now);
    }
    if said.is_empty() && then.id() != *id {
        said.push(format!("run {id:.10} was made by an earlier version of sweep, which gave other numbers"));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::example;

    #[test]
    fn what_changed_is_named() {
        let run = example::record("rte", "vanilla", None, 1, 0.6).run;
        let id = run.id();
        assert_eq!(differences(&id, &run, &run), [""; 0]);
        let mut other = run.clone();
        other.task.hash = "0123456789abcdef".into();
        other.model.hash.clear();
        let said = differences(&id, &run, &other);
        assert_eq!(said.len(), 2);
        assert!(said[0].contains("the data of task rte changed") && said[0].ends_with("0123456789 now"), "{said:?}");
        assert!(said[1].contains("the content of model") && said[1].ends_with("unknown now"), "{said:?}");
        let old = RunId("00000000000000000000".into());
        assert!(differences(&old, &run, &run)[0].contains("an earlier version of sweep"));
    }
}
