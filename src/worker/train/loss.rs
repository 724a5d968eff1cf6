//! What training minimises: cross-entropy over classes, squared error for a regression.

use tch::{Kind, Reduction, Tensor};

/// What a batch should give: class indices `[B]` int64, or values `[B]` fp32.
pub enum Labels {
    Classes(Tensor),
    Values(Tensor),
}

impl Labels {
    /// Examples in the batch.
    pub fn len(&self) -> i64 {
        let (Labels::Classes(labels) | Labels::Values(labels)) = self;
        labels.size()[0]
    }
}

/// Mean over the batch, as the sequence-classification models of transformers. `logits` is `[B, labels]`.
pub fn mean(logits: &Tensor, labels: &Labels) -> Tensor {
    reduced(logits, labels, Reduction::Mean)
}

/// What these examples add to the mean over a batch of `of`.
pub fn share(logits: &Tensor, labels: &Labels, of: usize) -> Tensor {
    let mean = mean(logits, labels);
    if labels.len() == of as i64 { mean } else { mean * (labels.len() as f64 / of as f64) }
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

/// How far two predictions lie apart, summed over the batch: KL(p‖q) + KL(q‖p) of the classes, or the squared difference
/// of the values. `a` and `b` are logits `[B, labels]`.
pub fn divergence(a: &Tensor, b: &Tensor, labels: &Labels) -> Tensor {
    match labels {
        Labels::Classes(_) => {
            let (p, q) = (a.log_softmax(-1, Kind::Float), b.log_softmax(-1, Kind::Float));
            // Σ p(log p − log q) + q(log q − log p)
            ((p.exp() - q.exp()) * (&p - &q)).sum(Kind::Float)
        }
        Labels::Values(_) => a.mse_loss(b, Reduction::Sum),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// torch: F.kl_div(q.log_softmax(-1), p.log_softmax(-1), log_target=True, reduction="sum") both ways, of the logits
    /// [[1, 0], [.2, -.4]] and [[.8, .1], [0, -.1]]: 0.0389787977 + 0.0402210037.
    #[test]
    fn divergences_are_those_of_pytorch() {
        let a = Tensor::from_slice(&[1.0f32, 0.0, 0.2, -0.4]).view([2, 2]);
        let b = Tensor::from_slice(&[0.8f32, 0.1, 0.0, -0.1]).view([2, 2]);
        let classes = Labels::Classes(Tensor::from_slice(&[0i64, 1]));
        let found = divergence(&a, &b, &classes).double_value(&[]);
        assert!((found - 0.079_199_801_4).abs() < 1e-7, "{found}");
        let values = Labels::Values(Tensor::from_slice(&[0f32, 1.0]));
        let column = |x: &Tensor| x.narrow(1, 0, 1);
        let found = divergence(&column(&a), &column(&b), &values).double_value(&[]);
        assert!((found - 0.08).abs() < 1e-7, "{found}");
        assert_eq!((classes.len(), values.len()), (2, 2));
    }
}
