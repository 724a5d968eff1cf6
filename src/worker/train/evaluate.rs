//! Scores of the model as it stands, on every dev set of a task.

use tch::{Device, Kind, Tensor, no_grad};

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
    /// The same over the examples at even and at odd places.
    pub halves: [Scores; 2],
    /// Every dev set's predictions are all one class or one constant.
    pub collapsed: bool,
    pub examples: u32,
    /// Every output of the model is a number.
    pub finite: bool,
}

/// Scores at most `most` examples of each dev set.
pub fn dev(task: &Task, subject: &Subject, method: &Combination<Values>, data: &Loaded, most: Option<u32>) -> Scored {
    score(task, data, most, |tokens, rows| predict(subject, method, tokens, rows))
}

/// Scores predictions on at most `most` examples of each dev set. `predict` gives class indices or values of the
/// examples at some rows, in their order; NaN where there is none.
pub fn score(task: &Task, data: &Loaded, most: Option<u32>, predict: impl Fn(&Tokens, &[u32]) -> Vec<f32>) -> Scored {
    let mut scored =
        Scored { scores: Scores::new(), halves: Default::default(), collapsed: true, examples: 0, finite: true };
    for (suffix, tokens) in &data.dev {
        // No run's seed: every run is scored on the same examples.
        let rows = sample(tokens.len(), most.map_or(usize::MAX, |n| n as usize), 0);
        let predictions = predict(tokens, &rows);
        scored.finite &= predictions.iter().all(|p| p.is_finite());
        let labels: Vec<f32> = rows.iter().map(|&row| tokens.labels[row as usize]).collect();
        scored.collapsed &= collapsed(&predictions);
        for (half, scores) in scored.halves.iter_mut().enumerate() {
            let of_half = |all: &[f32]| all.iter().skip(half).step_by(2).copied().collect::<Vec<f32>>();
            scores.extend(task.score(suffix, &of_half(&predictions), &of_half(&labels)));
        }
        scored.scores.extend(task.score(suffix, &predictions, &labels));
        scored.examples += rows.len() as u32;
    }
    scored
}

/// Class indices or values of the examples `rows`, in their order; NaN where the model's output is not finite.
pub fn predict(subject: &Subject, method: &Combination<Values>, tokens: &Tokens, rows: &[u32]) -> Vec<f32> {
    let mut predictions = vec![0f32; rows.len()];
    by_batch(subject, method, tokens, rows, &mut |slots, logits| {
        for (&slot, value) in slots.iter().zip(decided(logits, subject.is_regression())) {
            predictions[slot] = value;
        }
    });
    predictions
}

/// Logits of every example, `[labels]` each, in their order.
pub fn logits(subject: &Subject, method: &Combination<Values>, tokens: &Tokens) -> Vec<Vec<f32>> {
    let rows: Vec<u32> = (0..tokens.len() as u32).collect();
    let mut all = vec![Vec::new(); rows.len()];
    by_batch(subject, method, tokens, &rows, &mut |slots, logits| {
        let (count, width) = logits.size2().expect("[B, labels]");
        let mut flat = vec![0f32; (count * width) as usize];
        let values = logits.to_kind(Kind::Float).to_device(Device::Cpu).contiguous();
        values.copy_data(&mut flat, (count * width) as usize);
        for (&slot, row) in slots.iter().zip(flat.chunks(width as usize)) {
            all[slot] = row.to_vec();
        }
    });
    all
}

/// Calls `visit` for each batch with the places in `rows` of its examples, and their logits `[B, labels]`.
fn by_batch(
    subject: &Subject,
    method: &Combination<Values>,
    tokens: &Tokens,
    rows: &[u32],
    visit: &mut dyn FnMut(&[usize], &Tensor),
) {
    let in_pass = InPass { method, arena: &subject.arena, at: None, words: None };
    // By length, so that attention spends next to nothing on padding.
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(tokens.length(rows[i] as usize)));
    for slots in order.chunks(ROWS) {
        let picks: Vec<u32> = slots.iter().map(|&i| rows[i]).collect();
        let batch = Batch::of(tokens, &picks, subject.pad());
        let mut pass = Pass::evaluate(in_pass.hooks()).in_precision(subject.precision);
        let logits = no_grad(|| subject.encoder.forward(&subject.input(&batch), &mut pass));
        visit(slots, &logits);
    }
}

/// What logits `[B, labels]` say: class indices, or values; NaN where one is not finite.
pub fn decided(logits: &Tensor, is_regression: bool) -> Vec<f32> {
    let values = if is_regression { logits.squeeze_dim(-1) } else { logits.argmax(-1, false) };
    let finite = logits.isfinite().all_dim(-1, false);
    let values = values.to_kind(Kind::Float).masked_fill(&finite.logical_not(), f64::NAN).to_device(Device::Cpu);
    (0..values.numel() as i64).map(|i| values.double_value(&[i]) as f32).collect()
}
