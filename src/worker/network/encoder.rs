//! An encoder with a sequence-classification head, its parameters leaves of an arena. Equal to transformers'
//! `…ForSequenceClassification` of its family, parameter by parameter.

use tch::Tensor;

use super::body::{self, Body, Step};
use super::head::HeadLayers;
use super::input::Input;
use super::pass::Pass;
use crate::arena::{Arena, Shape};
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
    pub fn over(arena: &Arena, config: Config) -> Encoder {
        Encoder { body: body::over(arena, &config), head: HeadLayers::over(arena, &config), config }
    }

    /// Logits, `[B, labels]`.
    pub fn forward(&self, input: &Input, pass: &mut Pass) -> Tensor {
        self.pass(input, pass, |head, x, step| head.forward(x, step))
    }

    /// What stands for each example where the head begins, `[B, H]`.
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
        let mut x = self.body.embed(&mut step);
        for number in 0..self.body.layers() {
            if let Some(hooks) = step.pass.hooks {
                x = hooks.hidden(number, x);
            }
            x = self.body.layer(number, &x, &mut step);
        }
        let x = self.body.finish(x, &mut step);
        end(&self.head, &x, &mut step)
    }
}
