//! Which runs may be trained side by side in one program: those of one model, task and recipe that differ in what changes
//! no shape — seed, learning rate, method and its numbers.

use std::collections::HashMap;

use super::workspace::Workspace;
use crate::method::{Combination, Hook, List, Method};
use crate::model::{Config, Family};
use crate::plan::Run;

/// The models of a sweep that can be fused, by name.
pub struct Fusible<'a>(HashMap<&'a str, bool>);

impl<'a> Fusible<'a> {
    pub fn of(workspace: &'a Workspace) -> Fusible<'a> {
        // A config that cannot be read is told of elsewhere.
        let is_bert = |config: Config| matches!(config.family, Family::Bert(_));
        let can = |folder: &std::path::Path| Config::read(folder).is_ok_and(is_bert);
        Fusible(workspace.models.iter().map(|(name, folder)| (name.as_str(), can(folder))).collect())
    }

    /// Equal for runs that may be trained side by side; `None` where a run is trained alone.
    pub fn key(&self, run: &Run) -> Option<String> {
        let is_plain = run.after.is_empty() && run.recipe.micro_batch.is_none() && !run.recipe.gradient_checkpointing;
        let method = Combination::<List>::build(&run.method).ok()?;
        // A loss of several passes, and weights beside those of the model, are made for one run.
        let passes_once = !method.has(Hook::Loss) && !method.has(Hook::Adapted);
        if !is_plain || !passes_once || !*self.0.get(run.model.name.as_str())? {
            return None;
        }
        let mut recipe = run.recipe.clone();
        recipe.lr = 0.0;
        // Rates of dropout are those of the whole group; a method may name them by the length of the run.
        let dropout = [1, u32::MAX].map(|steps| format!("{:?}", method.dropout(steps)));
        let shared = (&run.model.hash, &run.task.name, &run.task.hash, &recipe, dropout);
        serde_json::to_string(&shared).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::plan::{Choice, Input, Recipe};

    fn run(mode: &str, change: impl FnOnce(&mut Run)) -> Run {
        let input = || Input { name: "x".into(), hash: "h".into() };
        let parts: Vec<&str> = mode.split('+').collect();
        let known = crate::method::METHODS.iter().filter(|method| parts.contains(&method.name));
        let numbers: BTreeMap<String, serde_json::Value> = known
            .flat_map(|method| method.numbers)
            .filter_map(|number| Some((number.name.to_owned(), number.standard.value()?.json())))
            .collect();
        let mut run = Run {
            task: input(),
            model: input(),
            mode: mode.into(),
            method: Choice { name: mode.into(), numbers },
            recipe: Recipe::default(),
            seed: 1,
            after: Default::default(),
        };
        change(&mut run);
        run
    }

    #[test]
    fn seed_rate_and_numbers_may_differ_and_nothing_that_has_a_shape() {
        let fusible = Fusible([("x", true), ("other", false)].into());
        let key = |run: &Run| fusible.key(run);
        let plain = key(&run("vanilla", |_| {}));
        assert!(plain.is_some());
        assert_eq!(key(&run("vanilla", |run| run.seed = 7)), plain);
        assert_eq!(key(&run("vanilla", |run| run.recipe.lr = 1.0)), plain);
        assert_eq!(key(&run("child-d", |_| {})), plain);
        assert_eq!(key(&run("child-f", |run| drop(run.method.numbers.insert("p".into(), 0.9.into())))), plain);
        for other in [
            run("vanilla", |run| run.recipe.batch_size = 8),
            run("vanilla", |run| run.recipe.epochs = 1),
            run("vanilla", |run| run.recipe.dropout = Some(0.2)),
            run("vanilla", |run| run.task.hash = "another".into()),
            // Its dropout is another.
            run("mixout", |_| {}),
        ] {
            let found = key(&other);
            assert!(found.is_some() && found != plain, "{other:?}");
        }
        for alone in [
            run("r3f", |_| {}),
            run("lora", |_| {}),
            run("child-d+r-drop", |_| {}),
            run("vanilla", |run| run.recipe.gradient_checkpointing = true),
            run("vanilla", |run| run.recipe.micro_batch = Some(4)),
            run("vanilla", |run| run.model.name = "other".into()),
            run("vanilla", |run| run.model.name = "unknown".into()),
        ] {
            assert_eq!(key(&alone), None, "{alone:?}");
        }
    }
}
