//! How long earlier runs took.

use std::collections::HashMap;

use crate::plan::{Precision, Run};
use crate::record::Record;

/// Mean duration of earlier runs, by what mostly decides it: task, model, kind of device, how much is trained, and the
/// method; of all methods where this one has not been run yet.
pub struct Speeds(HashMap<SpeedKey, (f64, u32)>);

/// What mostly decides how long a run takes: task, model, method if it counts, training and dev examples, epochs, steps, tokens, how layers compute, and the stages.
pub type SpeedKey = (String, String, Option<String>, [Option<u32>; 3], [u32; 3], (Precision, bool), String);

impl Speeds {
    /// From the records made on a kind of device, `cpu` or `cuda`.
    pub fn of(records: &[Record], device: &str) -> Speeds {
        let mut speeds: HashMap<SpeedKey, (f64, u32)> = HashMap::new();
        for record in records.iter().filter(|r| r.outcome().is_some() && r.made.device.starts_with(device)) {
            for method in [Some(record.run.method.name.clone()), None] {
                let (sum, n) = speeds.entry(Speeds::key(&record.run, method)).or_default();
                *sum += record.made.total_seconds();
                *n += 1;
            }
        }
        Speeds(speeds)
    }

    pub fn key(run: &Run, method: Option<String>) -> SpeedKey {
        let stages = serde_json::to_string(&run.after).unwrap_or_default();
        let recipe = &run.recipe;
        let amounts = [recipe.train_size, recipe.dev_size, recipe.max_steps];
        let sizes = [recipe.epochs, recipe.batch_size, recipe.max_length];
        (
            run.task.name.clone(),
            run.model.name.clone(),
            method,
            amounts,
            sizes,
            (recipe.precision, recipe.gradient_checkpointing),
            stages,
        )
    }

    /// Seconds; `None` where no record is like it.
    pub fn estimate(&self, run: &Run) -> Option<f64> {
        let known = |method: Option<String>| self.0.get(&Speeds::key(run, method));
        known(Some(run.method.name.clone())).or_else(|| known(None)).map(|(sum, n)| sum / f64::from(*n))
    }
}
