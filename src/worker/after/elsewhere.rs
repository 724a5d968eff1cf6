//! The trained model on another task, as it stands.

use anyhow::Result;

use super::Stage;
use crate::plan::Eval;
use crate::record::{Elsewhere, Way};
use crate::train::evaluate;

/// Scores the model on a task, its classes mapped. At most `dev_size` examples of each dev set.
///
/// # Errors
/// The task's data is not there.
pub fn score(stage: &mut Stage, eval: &Eval) -> Result<Elsewhere> {
    let (task, data) = stage.stages.task(&eval.task.name)?;
    // A class that stands for none of the task's is one that no example has.
    let none = task.labels.outputs() as f32;
    let map = |class: f32| match eval.classes.get(class as usize) {
        Some(mapped) if class.is_finite() => mapped.map_or(none, |class| class as f32),
        _ => class,
    };
    let scored = evaluate::score(task, data, stage.run.recipe.dev_size, |tokens, rows| {
        evaluate::predict(stage.subject, stage.method, tokens, rows).into_iter().map(map).collect()
    });
    Ok(Elsewhere {
        task: task.name.clone(),
        way: Way::Eval,
        metric: eval.metric.clone(),
        dev: scored.scores,
        collapsed: scored.collapsed,
        train_examples: 0,
        dev_examples: scored.examples,
        source_after: None,
    })
}
