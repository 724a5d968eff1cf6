//! Scores of the model as it stands, on every dev set of a task.

use tch::{Device, Kind, no_grad};

use super::hooks::InPass;
use super::subject::Subject;
use crate::arena::Values;
use crate::method::Combination;
use crate::network::Pass;
use crate::record::Scores;
use crate::task::batch::{Batch, sample};
use crate::task::metric::collapsed;
use crate::task::{Loaded, Task, Tokens};

/// Examples in an evaluation batch.
const ROWS: usize = 64;

pub struct Scored {
    pub scores: Scores,
    /// Every dev set's predictions are all one class or one constant.
    pub collapsed: bool,
    pub examples: u32,
    /// Every output of the model is a number.
    pub finite: bool,
}

/// Scores at most `most` examples of each dev set.
pub fn dev(task: &Task, subject: &Subject, method: &Combination<Values>, data: &Loaded, most: Option<u32>) -> Scored {
    let mut scored = Scored { scores: Scores::new(), collapsed: true, examples: 0, finite: true };
    for (suffix, tokens) in &data.dev {
        // No run's seed: every run is scored on the same examples.
        let rows = sample(tokens.len(), most.map_or(usize::MAX, |n| n as usize), 0);
        let predictions = predict(subject, method, tokens, &rows);
        scored.finite &= predictions.iter().all(|p| p.is_finite());
        let labels: Vec<f32> = rows.iter().map(|&row| tokens.labels[row as usize]).collect();
        scored.collapsed &= collapsed(&predictions);
        scored.scores.extend(task.score(suffix, &predictions, &labels));
        scored.examples += rows.len() as u32;
    }
    scored
}

/// Class indices or values of the examples `rows`, in their order; NaN where the model's output is not finite.
fn predict(subject: &Subject, method: &Combination<Values>, tokens: &Tokens, rows: &[u32]) -> Vec<f32> {
    let in_pass = InPass { method, arena: &subject.arena, at: None, words: None };
    let mut predictions = vec![0f32; rows.len()];
    // By length, so that attention spends next to nothing on padding.
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(tokens.length(rows[i] as usize)));
    for slots in order.chunks(ROWS) {
        let picks: Vec<u32> = slots.iter().map(|&i| rows[i]).collect();
        let batch = Batch::of(tokens, &picks, subject.pad());
        let logits = no_grad(|| subject.encoder.forward(&subject.input(&batch), &mut Pass::evaluate(in_pass.hooks())));
        let values = if subject.is_regression() { logits.squeeze_dim(-1) } else { logits.argmax(-1, false) };
        let finite = logits.isfinite().all_dim(-1, false);
        let values = values.to_kind(Kind::Float).masked_fill(&finite.logical_not(), f64::NAN).to_device(Device::Cpu);
        for (i, &slot) in slots.iter().enumerate() {
            predictions[slot] = values.double_value(&[i as i64]) as f32;
        }
    }
    predictions
}
