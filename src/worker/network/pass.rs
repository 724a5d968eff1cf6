//! One forward pass: what stands in for weights and activations, and where parameters met their input.

use tch::{Kind, Tensor};

use super::draws::Draws;
use super::tape::Tape;

/// What may stand in for weights and activations of a forward pass.
pub trait Hooks {
    /// The weight of a linear layer, given its part and its own weight.
    fn weight(&self, part: usize, weight: &Tensor) -> Option<Tensor>;

    /// The input `[N, H]` of a layer.
    fn hidden(&self, layer: usize, input: Tensor) -> Tensor;

    /// The word embeddings `[N, H]`.
    fn words(&self, words: Tensor) -> Tensor;
}

/// Where parameters met their input: what the per-example gradients are made from.
pub struct Site {
    pub kind: SiteKind,
    /// Parts: the weight and, where there is one, the bias; or the tables.
    pub parts: Vec<usize>,
    /// What went in, `[N, in]`; for tables their sum.
    pub input: Tensor,
    /// What came out, `[N, out]`, still in the graph.
    pub output: Tensor,
}

pub enum SiteKind {
    /// Rows of tables, added up; the ids `[N]` by which each was looked up.
    Tables(Vec<Tensor>),
    Linear,
    LayerNorm {
        eps: f64,
    },
    /// What went in is no example's own: a table that all share.
    Shared,
}

/// Whether dropout is on, what stands in, and the sites met if somebody wants them.
pub struct Pass<'a> {
    pub train: bool,
    /// What matrix products are computed in, fp32 or bf16. In bf16 their factors are rounded where they are used, and
    /// what lies between two products may stay bf16. All else is fp32 as under PyTorch's autocast on a GPU: weights,
    /// embeddings, residual sums, layer norms, softmax, logits.
    pub precision: Kind,
    pub hooks: Option<&'a dyn Hooks>,
    pub sites: Option<Vec<Site>>,
    /// Where dropout is drawn from.
    pub draws: Draws,
    /// Where layers leave their inputs instead of keeping their activations.
    pub tape: Option<Tape>,
}

impl<'a> Pass<'a> {
    /// Passes with equal keys draw the same dropout.
    pub fn train(hooks: Option<&'a dyn Hooks>, key: u64) -> Pass<'a> {
        Pass { train: true, precision: Kind::Float, hooks, sites: None, draws: Draws::new(key), tape: None }
    }

    pub fn evaluate(hooks: Option<&'a dyn Hooks>) -> Pass<'a> {
        Pass { train: false, ..Pass::train(hooks, 0) }
    }

    pub fn record_sites() -> Pass<'a> {
        Pass { sites: Some(Vec::new()), ..Pass::evaluate(None) }
    }

    pub fn in_precision(self, precision: Kind) -> Pass<'a> {
        Pass { precision, ..self }
    }

    /// A factor of a matrix product, in the pass's precision.
    pub(super) fn round(&self, x: &Tensor) -> Tensor {
        x.to_kind(self.precision)
    }

    /// a·b in the pass's precision.
    pub(super) fn product(&self, a: &Tensor, b: &Tensor) -> Tensor {
        self.round(a).matmul(&self.round(b))
    }

    pub(super) fn note(&mut self, kind: impl FnOnce() -> SiteKind, parts: &[usize], x: &Tensor, y: &Tensor) {
        if let Some(sites) = &mut self.sites {
            let (input, output) = (x.shallow_clone(), y.shallow_clone());
            sites.push(Site { kind: kind(), parts: parts.to_vec(), input, output });
        }
    }

    pub(super) fn words(&self, words: Tensor) -> Tensor {
        match self.hooks {
            Some(hooks) => hooks.words(words),
            None => words,
        }
    }

    /// A weight, or what stands in for it.
    pub(super) fn weight(&self, part: usize, weight: &Tensor) -> Tensor {
        self.hooks.and_then(|hooks| hooks.weight(part, weight)).unwrap_or_else(|| weight.shallow_clone())
    }
}
