//! What runs of one shape took of a GPU's memory, by the records.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::plan::Run;

/// All that decides about a run's memory: a hash of model, examples in a pass, tokens, how layers compute, and the method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape(u64);

impl Shape {
    /// `micro_batch` stands in for the recipe's examples in a pass, where memory was too small for those.
    pub fn of(run: &Run, micro_batch: Option<u32>) -> Shape {
        let recipe = &run.recipe;
        let rows = micro_batch.map_or(recipe.rows(), |rows| rows as usize);
        let mut state = DefaultHasher::new();
        (&run.model.hash, &run.method.name, !run.after.is_empty()).hash(&mut state);
        (rows, recipe.max_length, recipe.precision, recipe.gradient_checkpointing).hash(&mut state);
        Shape(state.finish())
    }
}

/// The most that a run of each shape took, MiB.
#[derive(Debug, Default)]
pub struct Peaks(HashMap<Shape, f64>);

impl Peaks {
    /// Learns what a run took, MiB.
    pub fn add(&mut self, shape: Shape, peak: f64) {
        let known = self.0.entry(shape).or_insert(peak);
        *known = known.max(peak);
    }

    /// MiB; `None` where no run of this shape was measured.
    pub fn get(&self, shape: &Shape) -> Option<f64> {
        self.0.get(shape).copied()
    }
}

#[cfg(test)]
pub(super) mod testing {
    use crate::plan::{Choice, Input, Recipe, Run};

    /// A run with so many examples in a pass.
    pub fn run(rows: u32) -> Run {
        Run {
            task: Input { name: "rte".into(), hash: "a".into() },
            model: Input { name: "tiny".into(), hash: "b".into() },
            mode: "vanilla".into(),
            method: Choice { name: "vanilla".into(), numbers: Default::default() },
            recipe: Recipe { batch_size: rows, ..Recipe::default() },
            seed: 1,
            after: Default::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::run;
    use super::*;
    use crate::plan::Recipe;

    #[test]
    fn the_most_that_a_run_of_a_shape_took_counts() {
        let mut peaks = Peaks::default();
        peaks.add(Shape::of(&run(16), None), 950.0);
        peaks.add(Shape::of(&Run { seed: 2, ..run(16) }, None), 900.0);
        // Of 32 examples, in passes of eight for want of memory.
        peaks.add(Shape::of(&run(32), Some(8)), 600.0);
        let peak = |run: Run| peaks.get(&Shape::of(&run, None));
        assert_eq!((peak(run(16)), peak(run(32)), peak(run(8))), (Some(950.0), None, Some(600.0)));
        let longer = Run { recipe: Recipe { max_length: 256, ..run(16).recipe }, ..run(16) };
        assert_eq!(peak(longer), None);
        let micro = Run { recipe: Recipe { micro_batch: Some(16), ..run(64).recipe }, ..run(64) };
        assert_eq!(peak(micro), Some(950.0));
    }
}
