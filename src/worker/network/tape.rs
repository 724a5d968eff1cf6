//! Gradient checkpointing: of each layer its input alone is kept, and the layer runs again when its gradient is due.
//!
//! Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016, <https://arxiv.org/abs/1604.06174>.

use tch::Tensor;

use super::body::Shared;

/// What one forward pass leaves for its backward pass.
pub struct Tape {
    /// What the pass drew its dropout from: a layer that runs again draws alike.
    pub key: u64,
    pub(super) shared: Shared,
    /// What the embeddings gave, `[N, H]`, in their graph.
    pub first: Tensor,
    /// The input of each layer, cut off from all before it.
    pub inputs: Vec<Tensor>,
    /// What the last layer gave: a leaf of the graph of all that follows.
    pub last: Tensor,
}

impl Tape {
    /// An empty tape of a pass that draws from a key.
    pub fn new(key: u64) -> Tape {
        Tape { key, shared: Vec::new(), first: Tensor::new(), inputs: Vec::new(), last: Tensor::new() }
    }

    /// Sends `x` `[N, H]` through the layers, each of which keeps nothing. Gives the last one's output too.
    pub fn record(self, x: Tensor, layers: usize, mut layer: impl FnMut(usize, Tensor) -> Tensor) -> (Tape, Tensor) {
        let mut inputs = Vec::with_capacity(layers);
        let mut hidden = x.detach();
        for number in 0..layers {
            inputs.push(hidden.shallow_clone());
            hidden = layer(number, hidden);
        }
        let last = hidden.detach().set_requires_grad(true);
        (Tape { first: x, inputs, last: last.shallow_clone(), ..self }, last)
    }
}
