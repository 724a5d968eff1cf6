//! Tensors in the arithmetic that methods are written in.

use tch::Tensor;

use super::random;
use crate::method::Vector;

/// A tensor as methods see it.
pub struct Values(pub Tensor);

impl Vector for Values {
    fn times(&self, other: &Values) -> Values {
        Values(&self.0 * &other.0)
    }

    fn over(&self, divisor: f64) -> Values {
        Values(&self.0 / divisor)
    }

    fn stretch(&self, offset: i64, len: i64) -> Values {
        Values(self.0.narrow(0, offset, len))
    }

    fn bernoulli(&self, key: u64, p: f64, offset: i64) -> Values {
        Values(random::mask(key, p, offset, self.0.numel() as i64, self.0.device()))
    }
}
