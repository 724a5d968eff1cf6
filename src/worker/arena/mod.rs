//! All trainable parameters of a run in one flat tensor θ, with its gradient g beside it.
//!
//! Layers hold *leaves*: detached views of θ with gradient on, so writing to θ moves the model, and every
//! fine-tuning method is a few vector equations over θ and g. Equations run in blocks that stay in the cache: over
//! the whole tensor at once the temporaries alone would cost several times the arithmetic.

mod layout;
mod random;
pub mod select;
mod values;

use tch::{Device, Kind, Tensor, no_grad};

pub use layout::{Layout, Role, Shape};
pub use values::Values;

/// Values in a block on a CPU: 64 KiB, so that a block and its temporaries stay in a core's cache, and little enough
/// that libtorch does not spread each operation over threads.
const CPU_BLOCK: i64 = 1 << 14;

pub struct Arena {
    pub layout: Layout,
    /// θ, `[P]`, fp32.
    pub theta: Tensor,
    /// g, `[P]`, fp32.
    pub gradient: Tensor,
    /// D, `[P]`: 1 where weight decay applies, 0 where it does not. A method that freezes entries clears them here.
    pub decay: Tensor,
    leaves: Vec<Tensor>,
}

/// A stretch of the arena: entries of g as a view, written through.
pub struct Block {
    /// Index of its first entry in the arena.
    pub offset: i64,
    pub gradient: Tensor,
}

impl Block {
    pub fn len(&self) -> i64 {
        self.gradient.numel() as i64
    }
}

impl Arena {
    /// An arena of zeros.
    pub fn new(layout: Layout, device: Device) -> Arena {
        let zeros = || Tensor::zeros([layout.len], (Kind::Float, device));
        let (theta, gradient, decay) = (zeros(), zeros(), zeros());
        for segment in layout.segments.iter().filter(|s| s.decays) {
            let _ = segment.of(&decay).fill_(1.0);
        }
        let leaves = layout
            .segments
            .iter()
            .map(|s| s.of(&theta).view(s.shape.as_slice()).detach().set_requires_grad(true))
            .collect();
        Arena { layout, theta, gradient, decay, leaves }
    }

    pub fn device(&self) -> Device {
        self.theta.device()
    }

    /// The leaf of a segment, in its own shape.
    pub fn leaf(&self, segment: usize) -> Tensor {
        self.leaves[segment].shallow_clone()
    }

    /// Writes `values` (any float kind, the segment's shape) into θ.
    pub fn fill(&mut self, segment: usize, values: &Tensor) {
        let segment = &self.layout.segments[segment];
        no_grad(|| segment.of(&self.theta).view(segment.shape.as_slice()).copy_(values));
    }

    /// g ← ∂loss/∂θ. `loss` is a scalar. A leaf that the loss does not depend on has gradient zero.
    pub fn backward(&mut self, loss: &Tensor) {
        let gradients = Tensor::run_backward(&[loss], &self.leaves, false, false);
        no_grad(|| {
            for (segment, gradient) in self.layout.segments.iter().zip(gradients) {
                let mut target = segment.of(&self.gradient);
                if gradient.defined() {
                    target.copy_(&gradient.view([-1]));
                } else {
                    let _ = target.zero_();
                }
            }
        });
    }

    /// The arena cut into blocks, in order. On a GPU the whole arena is one block.
    pub fn blocks(&self) -> impl Iterator<Item = Block> + '_ {
        let size = if self.device() == Device::Cpu { CPU_BLOCK } else { self.layout.len.max(1) };
        (0..self.layout.len).step_by(size as usize).map(move |offset| {
            let len = size.min(self.layout.len - offset);
            Block { offset, gradient: self.gradient.narrow(0, offset, len) }
        })
    }
}
