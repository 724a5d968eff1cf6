//! What runs of one shape took of a GPU's memory, by the records.

use std::collections::HashMap;

use crate::plan::{Precision, Run};
use crate::record::Record;

/// All that decides about a run's memory: model, examples in a pass, tokens, how layers compute, and the method.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shape {
    model: String,
    rows: usize,
    max_length: u32,
    precision: Precision,
    gradient_checkpointing: bool,
    method: String,
    stages: bool,
}

impl Shape {
    /// `micro_batch` stands in for the recipe's examples in a pass, where memory was too small for those.
    pub fn of(run: &Run, micro_batch: Option<u32>) -> Shape {
        let recipe = &run.recipe;
        Shape {
            model: run.model.hash.clone(),
            rows: micro_batch.map_or(recipe.rows(), |rows| rows as usize),
            max_length: recipe.max_length,
            precision: recipe.precision,
            gradient_checkpointing: recipe.gradient_checkpointing,
            method: run.method.name.clone(),
            stages: !run.after.is_empty(),
        }
    }
}

/// The most that a run of each shape took, MiB.
#[derive(Debug, Default)]
pub struct Peaks(HashMap<Shape, f64>);

impl Peaks {
    /// Of runs that were trained to their end.
    pub fn of(records: &[Record]) -> Peaks {
        let mut peaks = Peaks::default();
        for record in records.iter().filter(|record| record.outcome().is_some()) {
            if let Some(peak) = record.made.peak_device_memory_mib {
                let known = peaks.0.entry(Shape::of(&record.run, record.made.micro_batch)).or_insert(peak);
                *known = known.max(peak);
            }
        }
        peaks
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
    use crate::record::{End, FORMAT, Failure, Outcome, Provenance};

    fn record(run: Run, peak: Option<f64>, micro_batch: Option<u32>, is_done: bool) -> Record {
        let end = if is_done { End::Done(Outcome::default()) } else { End::Failed(Failure::Diverged { step: 1 }) };
        let made = Provenance { peak_device_memory_mib: peak, micro_batch, ..Provenance::default() };
        Record { format: FORMAT, id: run.id(), run, end, made }
    }

    #[test]
    fn the_most_that_a_run_of_a_shape_took_counts() {
        let peaks = Peaks::of(&[
            record(run(16), Some(900.0), None, true),
            record(Run { seed: 2, ..run(16) }, Some(950.0), None, true),
            record(Run { seed: 3, ..run(16) }, None, None, true),
            record(Run { seed: 4, ..run(16) }, Some(5000.0), None, false),
            // Of 32 examples, in passes of eight for want of memory.
            record(run(32), Some(600.0), Some(8), true),
        ]);
        let peak = |run: Run| peaks.get(&Shape::of(&run, None));
        assert_eq!((peak(run(16)), peak(run(32)), peak(run(8))), (Some(950.0), None, Some(600.0)));
        let longer = Run { recipe: Recipe { max_length: 256, ..run(16).recipe }, ..run(16) };
        assert_eq!(peak(longer), None);
        let micro = Run { recipe: Recipe { micro_batch: Some(16), ..run(64).recipe }, ..run(64) };
        assert_eq!(peak(micro), Some(950.0));
    }
}
