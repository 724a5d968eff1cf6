//! How long earlier runs took.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::plan::Run;

/// Mean duration of earlier runs, by what mostly decides it: task, model, how much is trained, how layers compute, the
/// stages, and the method; of all methods where this one has not been run yet.
#[derive(Default)]
pub struct Speeds(HashMap<u64, (f64, u32)>);

impl Speeds {
    /// Counts a run that took so many seconds.
    pub fn add(&mut self, keys: [u64; 2], seconds: f64) {
        for key in keys {
            let (sum, n) = self.0.entry(key).or_default();
            *sum += seconds;
            *n += 1;
        }
    }

    /// Hashes of what decides how long a run takes: with its method, and without.
    pub fn keys(run: &Run) -> [u64; 2] {
        let recipe = &run.recipe;
        let mut state = DefaultHasher::new();
        (&run.task.name, &run.model.name, recipe.train_size, recipe.dev_size, recipe.max_steps).hash(&mut state);
        (recipe.epochs, recipe.batch_size, recipe.max_length).hash(&mut state);
        (recipe.precision, recipe.gradient_checkpointing).hash(&mut state);
        if !run.after.is_empty() {
            serde_json::to_string(&run.after).unwrap_or_default().hash(&mut state);
        }
        let any = state.finish();
        run.method.name.hash(&mut state);
        [state.finish(), any]
    }

    /// Seconds; `None` where no record is like it.
    pub fn estimate(&self, keys: [u64; 2]) -> Option<f64> {
        let (sum, n) = keys.iter().find_map(|key| self.0.get(key))?;
        Some(sum / f64::from(*n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Choice, Input, Recipe};

    #[test]
    fn a_method_that_was_never_run_takes_what_the_others_took() {
        let input = |name: &str| Input { name: name.into(), hash: String::new() };
        let run = |task: &str, method: &str| Run {
            task: input(task),
            model: input("tiny"),
            mode: method.into(),
            method: Choice { name: method.into(), numbers: Default::default() },
            recipe: Recipe::default(),
            seed: 1,
            after: Default::default(),
        };
        let mut speeds = Speeds::default();
        speeds.add(Speeds::keys(&run("rte", "vanilla")), 10.0);
        speeds.add(Speeds::keys(&Run { seed: 2, ..run("rte", "vanilla") }), 20.0);
        speeds.add(Speeds::keys(&run("rte", "child-d")), 60.0);
        let estimate = |run: Run| speeds.estimate(Speeds::keys(&run));
        assert_eq!(estimate(run("rte", "vanilla")), Some(15.0));
        assert_eq!(estimate(run("rte", "child-d")), Some(60.0));
        assert_eq!(estimate(run("rte", "mixout")), Some(30.0));
        assert_eq!(estimate(run("cola", "vanilla")), None);
        let longer = Run { recipe: Recipe { epochs: 9, ..Recipe::default() }, ..run("rte", "vanilla") };
        assert_eq!(estimate(longer), None);
    }
}
