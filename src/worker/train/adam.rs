//! AdamW in the form of Hugging Face's own optimizer (transformers 4, `AdamW`), over the arena.
//!
//! m ← β₁m + (1−β₁)g,  v ← β₂v + (1−β₂)g²,  Δ = m / (√v + ε),
//! θ ← θ − η·√(1−β₂ᵗ)/(1−β₁ᵗ)·Δ,  then θ ← θ − ηλ·D⊙θ.
//!
//! ε is added to the uncorrected √v, and decay acts after the update on the updated θ.

use tch::{Tensor, no_grad};

use crate::arena::{Arena, Values};
use crate::method::{Block, Method, Moment};
use crate::plan::Recipe;

pub struct Adam {
    /// First and second moments, `[P]`.
    pub m: Tensor,
    pub v: Tensor,
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
    max_grad_norm: f64,
}

impl Adam {
    pub fn new(arena: &Arena, recipe: &Recipe) -> Adam {
        Adam {
            m: arena.theta.zeros_like(),
            v: arena.theta.zeros_like(),
            beta1: recipe.beta1,
            beta2: recipe.beta2,
            eps: recipe.eps,
            weight_decay: recipe.weight_decay,
            max_grad_norm: recipe.max_grad_norm,
        }
    }

    /// One update of θ. `norm` is the gradient's global norm; the method sees the gradient clipped by it.
    pub fn step(&mut self, arena: &Arena, method: &dyn Method<Values>, rate: f64, norm: f64, at: Moment) {
        let t = f64::from(at.step);
        let scaled = rate * (1.0 - self.beta2.powf(t)).sqrt() / (1.0 - self.beta1.powf(t));
        let clip = if self.max_grad_norm > 0.0 { (self.max_grad_norm / (norm + 1e-6)).min(1.0) } else { 1.0 };
        no_grad(|| {
            for mut block in arena.blocks() {
                let gradient = if clip < 1.0 { &block.gradient * clip } else { block.gradient.shallow_clone() };
                let at_block = Block { offset: block.offset, len: block.len() };
                let Values(g) = method.gradient(at_block, Values(gradient), at);
                let (mut m, mut v) = (block.of(&self.m), block.of(&self.v));
                m *= self.beta1;
                m += &g * (1.0 - self.beta1);
                v *= self.beta2;
                v += g.square() * (1.0 - self.beta2);
                let delta = m / (v.sqrt() + self.eps);
                block.theta -= delta * scaled;
                if self.weight_decay > 0.0 {
                    let decayed = &block.theta * &block.decay * (rate * self.weight_decay);
                    block.theta -= decayed;
                }
            }
        });
    }
}
