//! The layers that all families are made of, their parameters leaves of an arena.

use tch::{Device, Kind, Tensor};

use super::pass::{Pass, SiteKind};
use crate::arena::{self, Parameters};
use crate::model::Activation;

/// A part of the arena and its leaf: in the part's own shape, or, of several runs in one, `[R, …]`.
pub struct Leaf {
    pub part: usize,
    pub tensor: Tensor,
}

/// A part that is a table `[V, E]`, and the leaf of each run.
pub struct Table {
    part: usize,
    tables: Vec<Tensor>,
}

/// Finds leaves by their names.
pub struct Leaves<'a>(pub &'a dyn Parameters);

impl Leaves<'_> {
    /// # Panics
    /// If the arena was not laid out by the config that names it.
    pub fn leaf(&self, name: &str) -> Leaf {
        let part = self.part(name);
        Leaf { part, tensor: self.0.leaf(part) }
    }

    fn part(&self, name: &str) -> usize {
        self.0.layout().index(name).unwrap_or_else(|| unreachable!("{name} is in the layout"))
    }

    fn leaf_if_any(&self, name: &str) -> Option<Leaf> {
        self.0.layout().index(name).map(|part| Leaf { part, tensor: self.0.leaf(part) })
    }

    /// `<name>.weight`, a table.
    pub fn table(&self, name: &str) -> Table {
        let part = self.part(&format!("{name}.weight"));
        Table { part, tables: self.0.tables(part) }
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
    /// `[out, in]`, or `[R, out, in]`.
    weight: Leaf,
    bias: Option<Leaf>,
    parts: Vec<usize>,
}

impl Linear {
    /// `[N, in]` → `[N, out]`; of several runs in one `[R·N, in]` → `[R·N, out]`.
    pub fn forward(&self, x: &Tensor, pass: &mut Pass) -> Tensor {
        self.apply(x, SiteKind::Linear, pass)
    }

    /// The same of rows that all examples share.
    pub fn forward_shared(&self, x: &Tensor, pass: &mut Pass) -> Tensor {
        self.apply(x, SiteKind::Shared, pass)
    }

    fn apply(&self, x: &Tensor, kind: SiteKind, pass: &mut Pass) -> Tensor {
        let weight = pass.round(&pass.weight(self.weight.part, &self.weight.tensor));
        let bias = self.bias.as_ref().map(|bias| pass.round(&bias.tensor));
        let y = match weight.size()[..] {
            [runs, out, inner] => {
                let rows = pass.round(x).view([runs, -1, inner]); // [R·N, in] → [R, N, in]
                let columns = weight.transpose(1, 2);
                let y = match bias {
                    Some(bias) => bias.unsqueeze(1).baddbmm(&rows, &columns, 1.0, 1.0), // [R, N, out]
                    None => rows.bmm(&columns),
                };
                y.view([-1, out])
            }
            _ => pass.round(x).linear(&weight, bias),
        };
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
        let x32 = x.to_kind(Kind::Float);
        let y = match weight.size()[..] {
            [runs, width] => {
                let normed = x32.layer_norm::<Tensor>([width], None, None, self.eps, false).view([runs, -1, width]);
                let scaled = normed * weight.unsqueeze(1); // [R, N, H] × [R, 1, H]
                let y = match bias {
                    Some(bias) => scaled + bias.unsqueeze(1),
                    None => scaled,
                };
                y.view([-1, width]) // [R·N, H]
            }
            _ => x32.layer_norm(weight.size(), Some(weight), bias, self.eps, false),
        };
        pass.note(|| kind, &self.parts, x, &y);
        y
    }
}

/// Looks words up, and adds the rows of other tables, each with its own ids: `[N, H]`.
pub fn embed(words: &Table, ids: &Tensor, others: &[(&Table, Tensor)], pass: &mut Pass) -> Tensor {
    // On a CPU the gradient is that of the rows looked up; a GPU passes over a whole table in no time.
    let by_rows = pass.train && ids.device() == Device::Cpu;
    let embedded = pass.words(words.look_up(ids, by_rows));
    let embedded = others.iter().fold(embedded, |sum, (table, ids)| sum + table.look_up(ids, false));
    let parts: Vec<usize> = std::iter::once(words.part).chain(others.iter().map(|(table, _)| table.part)).collect();
    let all_ids = || std::iter::once(ids).chain(others.iter().map(|(_, ids)| ids)).map(Tensor::shallow_clone);
    pass.note(|| SiteKind::Tables(all_ids().collect()), &parts, &embedded, &embedded);
    embedded
}

impl Table {
    /// The rows at `ids` `[N]`, or `[R·N]`, each run's in its own table: `[N, E]`. The gradient is a sparse tensor of these
    /// rows, or a whole table.
    fn look_up(&self, ids: &Tensor, by_rows: bool) -> Tensor {
        let look_up = |table: &Tensor, ids: &Tensor| Tensor::embedding(table, ids, -1, false, by_rows);
        match &self.tables[..] {
            [table] => look_up(table, ids),
            tables => {
                let own = ids.chunk(tables.len() as i64, 0);
                let rows: Vec<Tensor> = tables.iter().zip(&own).map(|(table, ids)| look_up(table, ids)).collect();
                Tensor::cat(&rows, 0)
            }
        }
    }
}

/// Token types within a table: a model with one type counts all texts as the first.
pub fn types_within(types: &Tensor, table: &Table) -> Tensor {
    types.clamp_max(table.tables[0].size()[0] - 1)
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
