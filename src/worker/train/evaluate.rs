//! Scores of the model as it stands, on every dev set of a task.

use tch::no_grad;

use super::subject::Subject;
use crate::network::Pass;
use crate::record::Scores;
use crate::task::batch::{Batch, by_length};
use crate::task::metric::collapsed;
use crate::task::{Loaded, Task, Tokens};

/// Examples in an evaluation batch.
const ROWS: usize = 64;

pub struct Scored {
    pub scores: Scores,
    /// Every dev set's predictions are all one class or one constant.
    pub collapsed: bool,
}

pub fn dev(task: &Task, subject: &Subject, data: &Loaded) -> Scored {
    let mut scores = Scores::new();
    let mut all_collapsed = true;
    for (suffix, tokens) in &data.dev {
        let predictions = predict(subject, tokens);
        all_collapsed &= collapsed(&predictions);
        scores.extend(task.score(suffix, &predictions, &tokens.labels));
    }
    Scored { scores, collapsed: all_collapsed }
}

/// Class indices or values, in the order of the file.
fn predict(subject: &Subject, tokens: &Tokens) -> Vec<f32> {
    let mut predictions = vec![0f32; tokens.len()];
    // By length, so that next to nothing is spent on padding.
    for rows in by_length(tokens).chunks(ROWS) {
        let batch = Batch::of(tokens, rows, subject.pad());
        let logits = no_grad(|| subject.encoder.forward(&subject.input(&batch), &mut Pass::evaluate()));
        let values = if subject.is_regression() { logits.squeeze_dim(-1) } else { logits.argmax(-1, false) };
        let values = values.to_kind(tch::Kind::Float).to_device(tch::Device::Cpu);
        for (i, &row) in rows.iter().enumerate() {
            predictions[row as usize] = values.double_value(&[i as i64]) as f32;
        }
    }
    predictions
}
