//! All trainable parameters of a run in one flat tensor θ, with its gradient g beside it.
//!
//! Layers hold *leaves*: detached views of θ with gradient on, so writing to θ moves the model, and every
//! fine-tuning method is a few vector equations over θ and g. Equations run in blocks that stay in the cache: over
//! the whole tensor at once the temporaries alone would cost several times the arithmetic.

mod fused;
mod layout;
mod live;
mod random;
mod values;

use tch::{Device, Kind, Tensor, no_grad};

use crate::method::{Block, Moment, Part};

pub use fused::Fused;
pub use layout::{Layout, Shape, Stretch, gather, scatter};
pub use live::{Live, norm, pieces, rows_other_than_zero};
pub use random::dropout;
pub use values::Values;

/// What layers are made over: the parameters of a run, or of several runs in one.
pub trait Parameters {
    fn layout(&self) -> &Layout;

    /// The leaf of a part in its own shape, or, of R runs, `[R, …]`.
    fn leaf(&self, part: usize) -> Tensor;

    /// Of a part that is a table, the leaf of each run.
    fn tables(&self, part: usize) -> Vec<Tensor>;
}

/// Values in a block on a CPU: 64 KiB, so that a block and its temporaries stay in a core's cache, and little enough
/// that libtorch does not spread each operation over threads.
const CPU_BLOCK: i64 = 1 << 14;

/// The numbers of a contiguous fp32 tensor on the CPU, such as every tensor of an arena is.
pub fn slice(tensor: &mut Tensor) -> &mut [f32] {
    debug_assert!(tensor.is_contiguous() && tensor.kind() == Kind::Float && tensor.device() == Device::Cpu);
    // SAFETY: contiguous fp32 CPU memory of `numel` entries, borrowed mutably for as long as the slice lives. Leaves may
    // alias it, but nothing reads them during an update.
    unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast(), tensor.numel()) }
}

pub struct Arena {
    pub layout: Layout,
    /// θ, `[P]`, fp32.
    pub theta: Tensor,
    /// θ⁰, `[P]`: θ as the checkpoint has it; zeros where it has none.
    pub start: Tensor,
    /// g, `[P]`, fp32.
    pub gradient: Tensor,
    /// Which entries of g may be other than zero.
    pub live: Live,
    /// How strongly weight decay applies to each part: 1 or 0 unless a method says otherwise. D is that, and 0 at entries
    /// that may not move.
    decay: Vec<f64>,
    /// Entries that may move, `[P]` zeros and ones; `None` is all.
    held: Option<Tensor>,
    /// D as a whole, `[P]`, once somebody asked.
    decays: Option<Tensor>,
    leaves: Vec<Tensor>,
}

impl Arena {
    /// An arena of zeros.
    pub fn new(layout: Layout, device: Device) -> Arena {
        let zeros = || Tensor::zeros([layout.len], (Kind::Float, device));
        let (theta, gradient, start) = (zeros(), zeros(), zeros());
        Arena::over(layout, theta, gradient, start)
    }

    /// An arena whose θ and θ⁰ somebody is about to write: to zero gigabytes first takes time. g is written, or cleared, by
    /// the first backward pass.
    pub fn unwritten(layout: Layout, device: Device) -> Arena {
        let empty = || Tensor::empty([layout.len], (Kind::Float, device));
        let (theta, gradient, start) = (empty(), empty(), empty());
        Arena::over(layout, theta, gradient, start)
    }

    /// An arena in which θ, g and θ⁰ lie in tensors that are there, `[P]` each.
    fn over(layout: Layout, theta: Tensor, gradient: Tensor, start: Tensor) -> Arena {
        let decay = vec![0.0; layout.parts.len()];
        let leaf = |part: &Part| part.shaped(&theta).detach().set_requires_grad(true);
        let leaves = layout.parts.iter().map(leaf).collect();
        let live = Live::all(&layout);
        let mut arena = Arena { layout, theta, start, gradient, live, decay, held: None, decays: None, leaves };
        arena.free();
        arena
    }

    /// Everything is trained, and decays as its kind of parameter does.
    pub fn free(&mut self) {
        (self.held, self.decays) = (None, None);
        for (part, leaf) in self.layout.parts.iter().zip(&self.leaves) {
            self.decay[part.index] = f64::from(u8::from(part.decays));
            let _ = leaf.set_requires_grad(true);
        }
    }

    /// These parts alone are trained; the others have no gradient and do not decay.
    pub fn train_only(&mut self, trained: &dyn Fn(&Part) -> bool) {
        self.decays = None;
        for (part, leaf) in self.layout.parts.iter().zip(&self.leaves) {
            if !trained(part) {
                let _ = leaf.set_requires_grad(false);
                self.decay[part.index] = 0.0;
                no_grad(|| drop(part.of(&self.gradient).zero_()));
                self.live.set_all(part.index);
            }
        }
    }

    /// D ← factor·D within a part.
    pub fn scale_decay(&mut self, part: usize, factor: f64) {
        self.decay[part] *= factor;
        self.decays = None;
    }

    /// Entries outside a mask `[P]` may not move, by decay either; nor those that an earlier one left out.
    pub fn hold(&mut self, mask: &Tensor) {
        self.held = Some(match self.held.take() {
            Some(held) => held * mask,
            None => mask.shallow_clone(),
        });
        self.decays = None;
    }

    /// D of a part but for entries that are held, and which those are, `[P]`.
    pub fn decay_of(&self, part: usize) -> f64 {
        self.decay[part]
    }

    pub fn held(&self) -> Option<&Tensor> {
        self.held.as_ref()
    }

    /// D of every entry, `[P]`.
    pub fn decays(&mut self) -> Tensor {
        let whole = self.decays.take().unwrap_or_else(|| {
            let whole = self.theta.ones_like();
            for part in &self.layout.parts {
                let _ = part.of(&whole).fill_(self.decay[part.index]);
            }
            match &self.held {
                Some(held) => whole * held,
                None => whole,
            }
        });
        self.decays = Some(whole.shallow_clone());
        whole
    }

    pub fn device(&self) -> Device {
        self.theta.device()
    }

    /// The leaf of a part, in its own shape.
    pub fn leaf(&self, part: usize) -> Tensor {
        self.leaves[part].shallow_clone()
    }

    fn is_trained(&self, part: usize) -> bool {
        self.leaves[part].requires_grad()
    }

    /// Writes `values` (any float kind, the part's entries in any shape) into θ.
    pub fn fill(&mut self, part: usize, values: &Tensor) {
        let part = &self.layout.parts[part];
        no_grad(|| part.shaped(&self.theta).copy_(&values.reshape(part.shape.as_slice())));
    }

    /// g ← ∂loss/∂θ. `loss` is a scalar. A leaf that the loss does not depend on has gradient zero.
    pub fn backward(&mut self, loss: &Tensor) {
        self.flow_back(loss, &[], true);
    }

    /// g ← 0.
    pub fn clear(&mut self) {
        no_grad(|| {
            for part in &self.layout.parts {
                self.live.clear(part.index, &mut part.shaped(&self.gradient));
            }
        });
    }

    /// g ← g + ∂loss/∂θ: `loss` is a further part of what g is the gradient of. Gives ∂loss/∂x of other leaves x, which
    /// is undefined where the loss does not depend on one.
    pub fn backward_too(&mut self, loss: &Tensor, others: &[&Tensor]) -> Vec<Tensor> {
        self.flow_back(loss, others, false)
    }

    /// Puts ∂loss/∂θ into g, or adds it there.
    fn flow_back(&mut self, loss: &Tensor, others: &[&Tensor], anew: bool) -> Vec<Tensor> {
        let parts = self.layout.parts.iter().zip(&self.leaves);
        let (trained, mut leaves): (Vec<&Part>, Vec<&Tensor>) = parts.filter(|(_, leaf)| leaf.requires_grad()).unzip();
        leaves.extend(others);
        let mut gradients = Tensor::run_backward(&[loss], &leaves, false, false);
        let flows = gradients.split_off(trained.len());
        no_grad(|| {
            for (part, gradient) in trained.into_iter().zip(gradients) {
                let mut target = part.shaped(&self.gradient);
                let is_dense = gradient.defined() && !gradient.is_sparse();
                if anew && !is_dense {
                    self.live.clear(part.index, &mut target);
                }
                if is_dense {
                    self.live.set_all(part.index);
                    match anew {
                        true => target.copy_(&gradient),
                        false => target += gradient,
                    }
                } else if gradient.defined() {
                    self.live.add(part.index, &mut target, &gradient);
                }
            }
        });
        flows
    }

    /// The parts that are trained.
    pub fn trained(&self) -> impl Iterator<Item = &Part> {
        self.layout.parts.iter().filter(|part| self.is_trained(part.index))
    }

    /// Where blocks of the trained parts begin and end, in order; none reaches over a part's border. On a GPU every
    /// part is one block.
    pub fn blocks(&self) -> Vec<(usize, i64, i64)> {
        let size = if self.device() == Device::Cpu { CPU_BLOCK } else { i64::MAX };
        let cut = |part: &Part| {
            let (index, end) = (part.index, part.offset + part.len);
            let starts = (part.offset..end).step_by(size.min(part.len.max(1)) as usize);
            starts.map(move |offset| (index, offset, size.min(end - offset))).collect::<Vec<_>>()
        };
        self.trained().flat_map(cut).collect()
    }

    /// A block as methods see it.
    pub fn block(&self, (part, offset, len): (usize, i64, i64), moment: Moment, rate: f64) -> Block<'_, Values> {
        let stretch = |flat: &Tensor| Values(flat.narrow(0, offset, len));
        Block {
            part: &self.layout.parts[part],
            offset,
            len,
            theta: stretch(&self.theta),
            start: stretch(&self.start),
            moment,
            rate,
        }
    }
}

impl Parameters for Arena {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn leaf(&self, part: usize) -> Tensor {
        Arena::leaf(self, part)
    }

    fn tables(&self, part: usize) -> Vec<Tensor> {
        vec![self.leaf(part)]
    }
}
