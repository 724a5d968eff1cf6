//! The loss of a batch and its gradient, from as many micro-batches as the recipe cuts it into.

use tch::Kind;

use super::hooks::StepPasses;
use super::subject::Subject;
use crate::arena::Values;
use crate::method::{Combination, Method, Moment, stream};
use crate::plan::Recipe;
use crate::task::Tokens;
use crate::task::batch::Batch;

/// What a gradient is taken of, and how.
pub struct Step<'a> {
    pub tokens: &'a Tokens,
    /// The examples of the batch.
    pub picks: &'a [u32],
    pub recipe: &'a Recipe,
    pub precision: Kind,
    /// Names the stream that dropout is drawn from.
    pub dropout: &'static str,
    /// Where the batch stands in the run.
    pub at: Moment,
}

impl Step<'_> {
    /// g ← ∂L/∂θ of the whole batch. Gives L, the method's loss.
    pub fn gradient(&self, subject: &mut Subject, method: &Combination<Values>) -> f64 {
        let (mut loss, mut at) = (0.0, self.at);
        for (number, picks) in self.picks.chunks(self.recipe.rows()).enumerate() {
            let batch = Batch::of(self.tokens, picks, subject.pad());
            // A stream of its own for each micro-batch, so that neither the method's draws nor a resumption shifts it.
            let place = u64::from(at.step) | (number as u64) << 32;
            tch::manual_seed(stream(at.seed, self.dropout, place) as i64);
            let (input, labels) = (subject.input(&batch), subject.labels(&batch));
            let (of, precision) = (self.picks.len(), self.precision);
            let mut passes = StepPasses { subject, method, input: &input, labels: &labels, of, precision, at };
            let Values(share) = method.loss(&mut passes, at);
            if number == 0 {
                subject.arena.backward(&share);
            } else {
                subject.arena.backward_too(&share);
            }
            loss += share.double_value(&[]);
            at.token += batch.lengths.iter().sum::<usize>() as i64;
        }
        loss
    }
}
