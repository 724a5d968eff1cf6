//! The layers that all families are made of, their parameters leaves of an arena.

use tch::{Device, Kind, Tensor};

use super::pass::{Pass, SiteKind};
use crate::arena::{self, Arena};
use crate::model::Activation;

/// A part of the arena and its leaf.
pub struct Leaf {
    pub part: usize,
    pub tensor: Tensor,
}

/// Finds leaves by their names.
pub struct Leaves<'a>(pub &'a Arena);

impl Leaves<'_> {
    /// # Panics
    /// If the arena was not laid out by the config that names it.
    pub fn leaf(&self, name: &str) -> Leaf {
        let part = self.0.layout.index(name).unwrap_or_else(|| unreachable!("{name} is in the layout"));
        Leaf { part, tensor: self.0.leaf(part) }
    }

    fn leaf_if_any(&self, name: &str) -> Option<Leaf> {
        self.0.layout.index(name).map(|part| Leaf { part, tensor: self.0.leaf(part) })
    }

    /// `<name>.weight`, a table.
    pub fn table(&self, name: &str) -> Leaf {
        self.leaf(&format!("{name}.weight"))
    }

    /// `<name>.weight`, and `<name>.bias` where the family has one.
    pub fn linear(&self, name: &str) -> Linear {
        let (weight, bias) = (self.leaf(&format!("{name}.weight")), self.leaf_if_any(&format!("{name}.bias")));
        Linear { parts: parts(&weight, &bias), weight, bias }
    }

    /// The same of a layer norm.
    pub fn norm(&self, name: &str, eps: f64) -> LayerNorm {
        let (weight, bias) = (self.leaf(&format!("{name}.weight")), self.leaf_if_any(&format!("{name}.bias")));
        LayerNorm { parts: parts(&weight, &bias), weight, bias, eps }
    }
}

fn parts(weight: &Leaf, bias: &Option<Leaf>) -> Vec<usize> {
    std::iter::once(weight.part).chain(bias.as_ref().map(|bias| bias.part)).collect()
}

pub struct Linear {
    /// `[out, in]`.
    weight: Leaf,
    bias: Option<Leaf>,
    parts: Vec<usize>,
}

impl Linear {
    /// `[N, in]` → `[N, out]`.
    pub fn forward(&self, x: &Tensor, pass: &mut Pass) -> Tensor {
        self.apply(x, SiteKind::Linear, pass)
    }

    /// The same of rows that all examples share.
    pub fn forward_shared(&self, x: &Tensor, pass: &mut Pass) -> Tensor {
        self.apply(x, SiteKind::Shared, pass)
    }

    fn apply(&self, x: &Tensor, kind: SiteKind, pass: &mut Pass) -> Tensor {
        let weight = pass.round(&pass.weight(self.weight.part, &self.weight.tensor));
        let y = pass.round(x).linear(&weight, self.bias.as_ref().map(|bias| pass.round(&bias.tensor)));
        pass.note(|| kind, &self.parts, x, &y);
        y
    }
}

pub struct LayerNorm {
    weight: Leaf,
    bias: Option<Leaf>,
    parts: Vec<usize>,
    eps: f64,
}

impl LayerNorm {
    pub fn forward(&self, x: &Tensor, pass: &mut Pass) -> Tensor {
        self.apply(x, SiteKind::LayerNorm { eps: self.eps }, pass)
    }

    /// The same of rows that all examples share.
    pub fn forward_shared(&self, x: &Tensor, pass: &mut Pass) -> Tensor {
        self.apply(x, SiteKind::Shared, pass)
    }

    fn apply(&self, x: &Tensor, kind: SiteKind, pass: &mut Pass) -> Tensor {
        let (weight, bias) = (&self.weight.tensor, self.bias.as_ref().map(|bias| &bias.tensor));
        let y = x.to_kind(Kind::Float).layer_norm(weight.size(), Some(weight), bias, self.eps, false);
        pass.note(|| kind, &self.parts, x, &y);
        y
    }
}

/// Looks words up, and adds the rows of other tables, each with its own ids: `[N, H]`.
pub fn embed(words: &Leaf, ids: &Tensor, others: &[(&Leaf, Tensor)], pass: &mut Pass) -> Tensor {
    // On a CPU the gradient is that of the rows looked up; a GPU passes over a whole table in no time.
    let by_rows = pass.train && words.tensor.device() == Device::Cpu;
    let embedded = pass.words(look_up(&words.tensor, ids, by_rows));
    let embedded = others.iter().fold(embedded, |sum, (table, ids)| sum + look_up(&table.tensor, ids, false));
    let parts: Vec<usize> = std::iter::once(words.part).chain(others.iter().map(|(table, _)| table.part)).collect();
    let all_ids = || std::iter::once(ids).chain(others.iter().map(|(_, ids)| ids)).map(Tensor::shallow_clone);
    pass.note(|| SiteKind::Tables(all_ids().collect()), &parts, &embedded, &embedded);
    embedded
}

/// Rows of a table `[V, H]` at `ids` `[N]`: `[N, H]`. Its gradient is a sparse tensor of these rows, or a whole table.
fn look_up(table: &Tensor, ids: &Tensor, by_rows: bool) -> Tensor {
    Tensor::embedding(table, ids, -1, false, by_rows)
}

/// Token types within a table: a model with one type counts all texts as the first.
pub fn types_within(types: &Tensor, table: &Leaf) -> Tensor {
    types.clamp_max(table.tensor.size()[0] - 1)
}

/// Sets entries to zero by the draws of the pass, and scales up the others.
pub fn dropout(x: Tensor, rate: f64, pass: &Pass) -> Tensor {
    if !pass.train || rate <= 0.0 {
        return x;
    }
    let key = pass.draws.next();
    if x.device() == Device::Cpu {
        // libtorch draws by one thread alone.
        return &x * arena::dropout(&x, key, 1.0 - rate);
    }
    tch::manual_seed(key as i64);
    x.dropout(rate, true)
}

pub fn activate(activation: Activation, x: &Tensor) -> Tensor {
    match activation {
        Activation::Gelu => x.gelu("none"),
        Activation::GeluTanh => x.gelu("tanh"),
        Activation::Relu => x.relu(),
        Activation::Silu => x.silu(),
        Activation::Tanh => x.tanh(),
    }
}
