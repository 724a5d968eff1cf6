//! Loss and gradient over a set of training examples, without dropout, always in fp32: what is measured by differences
//! would drown in the rounding of bf16.

use tch::{Tensor, no_grad};

use super::Stage;
use crate::network::Pass;
use crate::task::batch::Batch;
use crate::train::hooks::InPass;
use crate::train::loss;

/// Examples in a pass.
const ROWS: usize = 32;

impl Stage<'_> {
    /// Mean loss over the examples at some rows of the training set.
    pub fn loss(&mut self, rows: &[u32]) -> f64 {
        let sum: f64 = self.passes(rows).iter().map(|picks| no_grad(|| self.summed(picks)).double_value(&[])).sum();
        sum / rows.len() as f64
    }

    /// Mean loss over the examples and its gradient, `[P]`.
    pub fn gradient(&mut self, rows: &[u32]) -> (f64, Tensor) {
        let mut sum = 0.0;
        let mut total = self.subject.arena.theta.zeros_like();
        for picks in self.passes(rows) {
            let loss = self.summed(&picks);
            self.subject.arena.backward(&loss);
            sum += loss.double_value(&[]);
            let _ = no_grad(|| total.g_add_(&self.subject.arena.gradient));
        }
        let n = rows.len() as f64;
        let _ = no_grad(|| total.g_div_scalar_(n));
        (sum / n, total)
    }

    /// Like lengths together, so that attention spends little on padding.
    fn passes(&self, rows: &[u32]) -> Vec<Vec<u32>> {
        let mut rows = rows.to_vec();
        rows.sort_by_key(|&row| std::cmp::Reverse(self.data.train.length(row as usize)));
        rows.chunks(ROWS).map(<[u32]>::to_vec).collect()
    }

    /// The loss summed over some examples.
    fn summed(&self, picks: &[u32]) -> Tensor {
        let subject = &*self.subject;
        let batch = Batch::of(&self.data.train, picks, subject.pad());
        let in_pass = InPass { method: self.method, arena: &subject.arena, at: None, words: None };
        let logits = subject.encoder.forward(&subject.input(&batch), &mut Pass::evaluate(in_pass.hooks()));
        loss::sum(&logits, &subject.labels(&batch))
    }
}
