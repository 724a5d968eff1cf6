//! What runs are called side by side.

use std::collections::HashMap;

use super::{Run, RunId};

/// Each run in words, without the model's name where there is but one.
pub fn labels<'a>(runs: impl IntoIterator<Item = (&'a RunId, &'a Run)> + Clone) -> HashMap<RunId, String> {
    let first = runs.clone().into_iter().next().map(|(_, run)| run.model.clone());
    let is_one = runs.clone().into_iter().all(|(_, run)| Some(&run.model) == first.as_ref());
    let label = |run: &Run| match is_one {
        true => run.label().replacen(&format!(" · {}", run.model.name), "", 1),
        false => run.label(),
    };
    runs.into_iter().map(|(id, run)| (id.clone(), label(run))).collect()
}
