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
