//! How many steps a run has, and which settings tell runs apart.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::plan::Run;

/// Training steps of a run, as the worker counts them; `None` where it trains on all examples of a task whose number is
/// not known.
pub fn steps(run: &Run, examples: &BTreeMap<String, u32>) -> Option<u32> {
    let recipe = &run.recipe;
    let known = examples.get(&run.task.name).copied();
    let used = match (recipe.train_size, known) {
        (Some(size), Some(all)) => size.min(all),
        (Some(size), None) => size,
        (None, all) => all?,
    };
    let per_epoch = used.div_ceil(recipe.batch_size.max(1));
    Some(per_epoch.saturating_mul(recipe.epochs).min(recipe.max_steps.unwrap_or(u32::MAX)))
}

/// Everything that determines a run but its seed, as name and value in a fixed order. Two modes that are one run have the
/// same.
pub(super) fn settings(run: &Run) -> Vec<(String, String)> {
    let json = |value: serde_json::Result<Value>| value.unwrap_or_default();
    let fields = |value: serde_json::Result<Value>| -> Vec<(String, String)> {
        let fields = json(value).as_object().cloned().unwrap_or_default();
        fields.into_iter().map(|(name, value)| (name, value.to_string())).collect()
    };
    let mut all = vec![
        ("task".to_owned(), format!("{} {}", run.task.name, run.task.hash)),
        ("model".to_owned(), run.model.hash.clone()),
        ("method".to_owned(), run.method.name.clone()),
        ("after".to_owned(), json(serde_json::to_value(&run.after)).to_string()),
    ];
    all.extend(fields(serde_json::to_value(&run.method.numbers)));
    all.extend(fields(serde_json::to_value(&run.recipe)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stop::example;

    #[test]
    fn steps_are_those_of_the_worker() {
        let mut run = example::run("rte", "vanilla", 1);
        let examples = BTreeMap::from([("rte".to_owned(), 100)]);
        (run.recipe.batch_size, run.recipe.epochs) = (16, 3);
        assert_eq!(steps(&run, &examples), Some(21));
        run.recipe.train_size = Some(33);
        assert_eq!(steps(&run, &examples), Some(9));
        assert_eq!(steps(&run, &BTreeMap::new()), Some(9));
        run.recipe.train_size = Some(1000);
        assert_eq!(steps(&run, &examples), Some(21));
        run.recipe.max_steps = Some(5);
        assert_eq!(steps(&run, &examples), Some(5));
        run.recipe.train_size = None;
        assert_eq!(steps(&run, &BTreeMap::new()), None);
    }

    #[test]
    fn settings_leave_out_the_seed_and_the_name_of_the_mode() {
        let one = example::run("rte", "child-d", 1);
        let mut other = Run { mode: "mine".into(), seed: 9, ..one.clone() };
        assert_eq!(settings(&one), settings(&other));
        other.method.numbers.insert("p".into(), 0.2.into());
        assert_ne!(settings(&one), settings(&other));
    }
}
