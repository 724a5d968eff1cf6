//! The loss of a batch and its gradient, from as many micro-batches as the recipe cuts it into.

use tch::{Kind, Tensor};

use super::hooks::{InPass, StepPasses};
use super::subject::Subject;
use crate::arena::Values;
use crate::method::{Combination, Method, Moment, Role, stream};
use crate::network::{Input, Pass, Tape};
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
            let dropout = stream(at.seed, self.dropout, u64::from(at.step) | (number as u64) << 32);
            let (input, labels) = (subject.input(&batch), subject.labels(&batch));
            let (of, precision) = (self.picks.len(), self.precision);
            let tapes = self.recipe.gradient_checkpointing.then(Vec::new);
            let mut passes =
                StepPasses { subject, method, input: &input, labels: &labels, of, precision, dropout, at, tapes };
            let Values(share) = method.loss(&mut passes, at);
            match passes.tapes {
                Some(tapes) => {
                    if number == 0 {
                        subject.arena.clear();
                    }
                    self.rewind(subject, method, &share, &input, tapes);
                }
                None if number == 0 => subject.arena.backward(&share),
                None => drop(subject.arena.backward_too(&share, &[])),
            }
            loss += share.double_value(&[]);
            at.token += batch.lengths.iter().sum::<usize>() as i64;
        }
        loss
    }

    /// g ← g + ∂share/∂θ through passes whose layers kept their inputs alone: the last layer first, each runs again.
    fn rewind(
        &self,
        subject: &mut Subject,
        method: &Combination<Values>,
        share: &Tensor,
        input: &Input,
        tapes: Vec<(Moment, Tape)>,
    ) {
        let below_head = subject.arena.trained().filter(|part| !matches!(part.role, Role::Head | Role::Pooler));
        // Below this layer nothing is trained. What is in no layer, or an adapter, may lie anywhere.
        let lowest = below_head.map(|part| part.layer().unwrap_or(0)).min().unwrap_or(usize::MAX);
        let lasts: Vec<&Tensor> = tapes.iter().map(|(_, tape)| &tape.last).collect();
        let flows = subject.arena.backward_too(share, &lasts);
        for ((at, tape), mut flow) in tapes.iter().zip(flows).rev() {
            for number in (lowest..tape.inputs.len()).rev() {
                let has_more_below = number > lowest || (number == 0 && tape.first.requires_grad());
                let x = tape.inputs[number].detach().set_requires_grad(has_more_below);
                let y = {
                    let in_pass = InPass { method, arena: &subject.arena, at: Some(*at), words: None };
                    let mut pass = Pass::train(in_pass.hooks(), tape.key).in_precision(self.precision);
                    subject.encoder.replay(tape, number, &x, input, &mut pass)
                };
                if !y.requires_grad() {
                    break;
                }
                // Its gradient at y is what has come down to y.
                let root = (y * &flow).sum(Kind::Float);
                match has_more_below {
                    true => flow = subject.arena.backward_too(&root, &[&x]).swap_remove(0),
                    false => drop(subject.arena.backward_too(&root, &[])),
                }
            }
            if lowest == 0 && tape.first.requires_grad() {
                subject.arena.backward_too(&(&tape.first * flow).sum(Kind::Float), &[]);
            }
        }
    }
}
