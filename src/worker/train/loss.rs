//! What training minimises: cross-entropy over classes, squared error for a regression.

use tch::{Kind, Reduction, Tensor};

/// What a batch should give: class indices `[B]` int64, or values `[B]` fp32.
pub enum Labels {
    Classes(Tensor),
    Values(Tensor),
}

/// Mean over the batch, as the sequence-classification models of transformers. `logits` is `[B, labels]`.
pub fn mean(logits: &Tensor, labels: &Labels) -> Tensor {
    reduced(logits, labels, Reduction::Mean)
}

/// Sum over the batch: its gradient with respect to one example's activations is that example's own.
pub fn sum(logits: &Tensor, labels: &Labels) -> Tensor {
    reduced(logits, labels, Reduction::Sum)
}

fn reduced(logits: &Tensor, labels: &Labels, reduction: Reduction) -> Tensor {
    match labels {
        Labels::Classes(classes) => logits.cross_entropy_loss::<Tensor>(classes, None, reduction, -100, 0.0),
        Labels::Values(values) => logits.squeeze_dim(-1).to_kind(Kind::Float).mse_loss(values, reduction),
    }
}
