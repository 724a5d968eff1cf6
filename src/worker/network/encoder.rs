//! An encoder with a sequence-classification head, its parameters leaves of an arena. Equal to transformers'
//! `…ForSequenceClassification` of its family, parameter by parameter.

use tch::{Kind, Tensor, no_grad};

use super::body::{self, Body, Step};
use super::head::HeadLayers;
use super::input::Input;
use super::pass::Pass;
use super::tape::Tape;
use crate::arena::{Parameters, Shape};
use crate::model::{Config, Parameter};

/// The parameters of a model with a head of `labels` outputs, as the arena lays them out.
pub fn shapes(config: &Config, labels: i64) -> Vec<Shape> {
    let shape = |Parameter { name, shape, role, decays, .. }| Shape { name, shape, role, decays };
    config.parameters(labels).into_iter().map(shape).collect()
}

pub struct Encoder {
    pub config: Config,
    body: Box<dyn Body>,
    head: HeadLayers,
}

impl Encoder {
    /// Builds the layers over an arena laid out by `shapes(config, …)`.
    pub fn over(parameters: &dyn Parameters, config: Config) -> Encoder {
        Encoder { body: body::over(parameters, &config), head: HeadLayers::over(parameters, &config), config }
    }

    /// Logits, `[B, labels]`, fp32.
    pub fn forward(&self, input: &Input, pass: &mut Pass) -> Tensor {
        self.pass(input, pass, |head, x, step| head.forward(x, step))
    }

    /// What stands for each example where the head begins, `[B, H]`, fp32.
    pub fn pooled(&self, input: &Input, pass: &mut Pass) -> Tensor {
        self.pass(input, pass, |head, x, step| head.pooled(x, step))
    }

    fn pass(
        &self,
        input: &Input,
        pass: &mut Pass,
        end: impl FnOnce(&HeadLayers, &Tensor, &mut Step) -> Tensor,
    ) -> Tensor {
        let rates = self.config.dropout;
        let shared = self.body.share(input, &rates, pass);
        let mut step = Step { input, shared: &shared, rates, pass };
        let x = self.body.embed(&mut step);
        let x = match step.pass.tape.take() {
            None => (0..self.body.layers()).fold(x, |x, number| self.layer(number, x, &mut step)),
            Some(tape) => {
                let layer = |number, x| no_grad(|| self.layer(number, x, &mut step));
                let (tape, x) = tape.record(x, self.body.layers(), layer);
                step.pass.tape = Some(tape);
                x
            }
        };
        step.pass.draws.enter(u64::MAX);
        let x = self.body.finish(x, &mut step);
        let ended = end(&self.head, &x, &mut step).to_kind(Kind::Float);
        if let Some(tape) = &mut pass.tape {
            tape.shared = shared;
        }
        ended
    }

    /// A layer, and what changes its input on the way in. The last one gives what the head reads, and no more.
    fn layer(&self, number: usize, x: Tensor, step: &mut Step) -> Tensor {
        step.pass.draws.enter(number as u64 + 1);
        let x = match step.pass.hooks {
            Some(hooks) => hooks.hidden(number, x),
            None => x,
        };
        match self.head.rows(step.input).filter(|_| number + 1 == self.body.layers()) {
            Some(rows) => self.body.last_layer(&x, rows, step),
            None => self.body.layer(number, &x, step),
        }
    }

    /// What a layer gave in the pass that a tape is of, in the graph: `x` is its input from the tape.
    pub fn replay(&self, tape: &Tape, number: usize, x: &Tensor, input: &Input, pass: &mut Pass) -> Tensor {
        let mut step = Step { input, shared: &tape.shared, rates: self.config.dropout, pass };
        self.layer(number, x.shallow_clone(), &mut step)
    }
}
