//! Where a method's hooks meet the run: in the forward pass, in the loss, and on the gradient before it is clipped.

use tch::{Device, Kind, Tensor, no_grad};

use super::loss::{self, Labels};
use super::subject::{Subject, adapter_name};
use crate::arena::{self, Arena, Stretch, Values, slice};
use crate::method::{Combination, Hook, Leaves, Method, Moment, Part, Passes, stream};
use crate::network::{Hooks, Input, Pass, Tape};

/// A method in one forward pass: of training at a moment, or of evaluation.
pub struct InPass<'a> {
    pub method: &'a Combination<Values>,
    pub arena: &'a Arena,
    pub at: Option<Moment>,
    /// What stands between the word embeddings and the encoder.
    pub words: Option<&'a dyn Fn(&Values) -> Values>,
}

impl InPass<'_> {
    /// Whether a pass without this would be the same.
    fn is_idle(&self) -> bool {
        let acts = self.at.is_some() && (self.method.has(Hook::Weight) || self.method.has(Hook::Hidden));
        !acts && self.words.is_none() && !self.method.has(Hook::Adapted)
    }

    pub fn hooks(&self) -> Option<&dyn Hooks> {
        if self.is_idle() { None } else { Some(self) }
    }
}

impl Hooks for InPass<'_> {
    fn weight(&self, part: usize, weight: &Tensor) -> Option<Tensor> {
        let part = &self.arena.layout.parts[part];
        let weight = Values(weight.shallow_clone());
        let adapted = self.method.adapted(part, &weight, self.arena);
        let trained = self.at.and_then(|at| self.method.weight(part, &weight, self.arena, at));
        adapted.or(trained).map(|Values(weight)| weight)
    }

    fn hidden(&self, layer: usize, input: Tensor) -> Tensor {
        match self.at {
            Some(at) => self.method.hidden(layer, Values(input), at).0,
            None => input,
        }
    }

    fn words(&self, words: Tensor) -> Tensor {
        match self.words {
            Some(change) => change(&Values(words)).0,
            None => words,
        }
    }
}

impl Leaves<Values> for Arena {
    fn start(&self, part: &Part) -> Values {
        Values(part.shaped(&self.start))
    }

    fn adapter(&self, part: &Part, suffix: &str) -> Values {
        let name = adapter_name(part, suffix);
        let index = self.layout.index(&name).unwrap_or_else(|| unreachable!("{name} was added with the model"));
        Values(self.leaf(index))
    }
}

/// The forward passes over a step's batch, or over a micro-batch of it.
pub struct StepPasses<'a> {
    pub subject: &'a Subject,
    pub method: &'a Combination<Values>,
    pub input: &'a Input,
    pub labels: &'a Labels,
    /// B, examples of the whole batch.
    pub of: usize,
    pub precision: Kind,
    /// What dropout is drawn from.
    pub dropout: u64,
    /// `pass` counts up.
    pub at: Moment,
    /// Of each pass, where activations are not kept: the moment it was of, and what it left.
    pub tapes: Option<Vec<(Moment, Tape)>>,
}

impl StepPasses<'_> {
    fn forward(&mut self, words: Option<&dyn Fn(&Values) -> Values>) -> Values {
        let in_pass = InPass { method: self.method, arena: &self.subject.arena, at: Some(self.at), words };
        let key = stream(self.dropout, "pass", u64::from(self.at.pass));
        let mut pass = Pass::train(in_pass.hooks(), key).in_precision(self.precision);
        pass.tape = self.tapes.as_ref().map(|_| Tape::new(key));
        let logits = self.subject.encoder.forward(self.input, &mut pass);
        let tapes = self.tapes.iter_mut().zip(pass.tape);
        tapes.for_each(|(tapes, tape)| tapes.push((self.at, tape)));
        self.at.pass += 1;
        Values(logits)
    }
}

impl Passes<Values> for StepPasses<'_> {
    fn pass(&mut self) -> Values {
        self.forward(None)
    }

    fn pass_with(&mut self, words: &dyn Fn(&Values) -> Values) -> Values {
        self.forward(Some(words))
    }

    fn loss(&mut self, logits: &Values) -> Values {
        Values(loss::share(&logits.0, self.labels, self.of))
    }

    fn divergence(&mut self, a: &Values, b: &Values) -> Values {
        Values(loss::divergence(&a.0, &b.0, self.labels))
    }

    fn examples(&self) -> f64 {
        self.of as f64
    }
}

/// Lets the method change the gradient as the backward pass left it.
pub fn raw(arena: &mut Arena, method: &mut Combination<Values>, at: Moment, rate: f64) {
    if !method.has(Hook::Raw) {
        return;
    }
    no_grad(|| {
        for place in arena.blocks() {
            let block = arena.block(place, at, rate);
            let mut target = block.of(&Values(arena.gradient.shallow_clone())).0;
            let Values(changed) = method.raw(&block, Values(target.shallow_clone()));
            if changed.data_ptr() != target.data_ptr() {
                target.copy_(&changed);
                arena.live.set_all(place.0);
            }
        }
    });
}

/// The global norm of the gradient.
pub fn norm(arena: &mut Arena) -> f64 {
    if arena.device() == Device::Cpu {
        let stretches = arena.live.stretches(&arena.layout);
        return arena::norm(slice(&mut arena.gradient), &stretches);
    }
    no_grad(|| arena.gradient.norm().to_kind(Kind::Double)).double_value(&[])
}
