//! The arenas of several runs in one tensor `[R, P]`, so that one pass goes through the models of all of them.
//!
//! Wang et al., Horizontally Fused Training Array, MLSys 2021, <https://arxiv.org/abs/2102.02344>. A run's arena is a row:
//! whatever is done to one run is done as if it were alone, and only the passes forward and backward are of all.

use tch::{Kind, Tensor, no_grad};

use super::{Arena, Layout, Parameters, Stretch};
use crate::method::{Part, Role};

/// Entries of which a row is a multiple: a GPU's products want their factors aligned.
const ROW: usize = 64;

pub struct Fused {
    layout: Layout,
    /// g and θ of each run, `[R, P]` and some columns of nobody, fp32.
    gradient: Tensor,
    theta: Tensor,
    leaves: Vec<Leaves>,
}

/// The leaves of a part: of all runs, `[R, …]`, or of each run. A table's gradient may be sparse, which no view can be.
enum Leaves {
    Whole(Tensor),
    Each(Vec<Tensor>),
}

impl Fused {
    /// Room for R runs of an arena's layout, on its device.
    pub fn like(arena: &Arena, runs: usize) -> Fused {
        let layout = arena.layout.clone();
        let width = (layout.len as usize).next_multiple_of(ROW) as i64;
        let zeros = || Tensor::zeros([runs as i64, width], (Kind::Float, arena.device()));
        let (theta, gradient) = (zeros(), zeros());
        let leaf = |tensor: Tensor| tensor.detach().set_requires_grad(true);
        let of_part = |part: &Part| match is_table(part) {
            true => Leaves::Each((0..runs as i64).map(|run| leaf(part.shaped(&theta.get(run)))).collect()),
            false => Leaves::Whole(leaf(of_all(part, &theta))),
        };
        let leaves = layout.parts.iter().map(of_part).collect();
        Fused { layout, gradient, theta, leaves }
    }

    /// The arena of a run, counted from 0: a row of this one, with the θ⁰ of another.
    pub fn row(&self, run: usize, like: &Arena) -> Arena {
        let row = |whole: &Tensor| whole.get(run as i64).narrow(0, 0, self.layout.len);
        let (theta, gradient) = (row(&self.theta), row(&self.gradient));
        Arena::over(self.layout.clone(), theta, gradient, like.start.shallow_clone())
    }

    /// g ← ∂loss/∂θ of every run, where `loss` is the sum of theirs. `rows` are the arenas of all runs.
    pub fn backward(&self, loss: &Tensor, rows: &mut [&mut Arena]) {
        let leaves = self.leaves.iter().flat_map(|leaves| match leaves {
            Leaves::Whole(leaf) => std::slice::from_ref(leaf),
            Leaves::Each(leaves) => leaves,
        });
        let mut gradients = Tensor::run_backward(&[loss], &leaves.collect::<Vec<_>>(), false, false).into_iter();
        no_grad(|| {
            for (part, leaves) in self.layout.parts.iter().zip(&self.leaves) {
                match leaves {
                    Leaves::Each(_) => {
                        for (row, gradient) in rows.iter_mut().zip(gradients.by_ref()) {
                            row.take(part.index, gradient);
                        }
                    }
                    Leaves::Whole(_) => {
                        let gradient = gradients.next().filter(Tensor::defined);
                        if let Some(gradient) = &gradient {
                            of_all(part, &self.gradient).copy_(gradient);
                        }
                        for row in rows.iter_mut() {
                            row.live.set_all(part.index);
                            if gradient.is_none() || !row.is_trained(part.index) {
                                row.live.clear(part.index, &mut part.shaped(&row.gradient));
                            }
                        }
                    }
                }
            }
        });
    }
}

impl Arena {
    /// A part's gradient, dense, sparse or undefined, in place of what stood there.
    fn take(&mut self, part: usize, gradient: Tensor) {
        let is_trained = self.is_trained(part);
        let mut target = self.layout.parts[part].shaped(&self.gradient);
        if gradient.defined() && !gradient.is_sparse() && is_trained {
            self.live.set_all(part);
            target.copy_(&gradient);
            return;
        }
        self.live.clear(part, &mut target);
        if gradient.defined() && is_trained {
            self.live.add(part, &mut target, &gradient);
        }
    }
}

impl Parameters for Fused {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn leaf(&self, part: usize) -> Tensor {
        match &self.leaves[part] {
            Leaves::Whole(leaf) => leaf.shallow_clone(),
            Leaves::Each(_) => unreachable!("{} is a table", self.layout.parts[part].name),
        }
    }

    fn tables(&self, part: usize) -> Vec<Tensor> {
        match &self.leaves[part] {
            Leaves::Each(leaves) => leaves.iter().map(Tensor::shallow_clone).collect(),
            Leaves::Whole(_) => unreachable!("{} is no table", self.layout.parts[part].name),
        }
    }
}

/// Whether a part is looked up by rows.
fn is_table(part: &Part) -> bool {
    part.role == Role::Embeddings && part.shape.len() == 2 && part.name.ends_with("_embeddings.weight")
}

/// A part of every run as a view of `[R, P]`, `[R, …]`.
fn of_all(part: &Part, whole: &Tensor) -> Tensor {
    let shape: Vec<i64> = whole.size().into_iter().take(1).chain(part.shape.iter().copied()).collect();
    whole.narrow(1, part.offset, part.len).view(shape.as_slice()) // [R, len] → [R, …]
}
