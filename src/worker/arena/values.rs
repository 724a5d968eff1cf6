//! Tensors in the arithmetic that methods are written in.

use tch::{Kind, Tensor, no_grad};

use super::random;
use crate::method::Vector;

/// A tensor as methods see it.
pub struct Values(pub Tensor);

impl Vector for Values {
    fn plus(&self, other: &Values) -> Values {
        Values(&self.0 + &other.0)
    }

    fn minus(&self, other: &Values) -> Values {
        Values(&self.0 - &other.0)
    }

    fn times(&self, other: &Values) -> Values {
        Values(&self.0 * &other.0)
    }

    fn divided_by(&self, other: &Values) -> Values {
        Values(&self.0 / &other.0)
    }

    fn scaled(&self, factor: f64) -> Values {
        Values(&self.0 * factor)
    }

    fn over(&self, divisor: f64) -> Values {
        Values(&self.0 / divisor)
    }

    fn shifted(&self, number: f64) -> Values {
        Values(&self.0 + number)
    }

    fn abs(&self) -> Values {
        Values(self.0.abs())
    }

    fn exp(&self) -> Values {
        Values(self.0.exp())
    }

    fn at_least(&self, least: f64) -> Values {
        Values(self.0.clamp_min(least))
    }

    fn product(&self, other: &Values) -> Values {
        Values(self.0.matmul(&other.0))
    }

    fn std(&self) -> f64 {
        if self.0.numel() < 2 { 0.0 } else { no_grad(|| self.0.to_kind(Kind::Double).std(true)).double_value(&[]) }
    }

    fn detached(&self) -> Values {
        Values(self.0.detach())
    }

    fn stretch(&self, offset: i64, len: i64) -> Values {
        Values(self.0.narrow(0, offset, len))
    }

    fn put(&mut self, offset: i64, values: &Values) {
        no_grad(|| self.0.narrow(0, offset, values.0.numel() as i64).copy_(&values.0));
    }

    fn row(&self) -> Values {
        Values(self.0.select(0, 0))
    }

    fn width(&self) -> i64 {
        self.0.size().last().copied().unwrap_or(1)
    }

    fn shaped(&self, other: &Values) -> Values {
        Values(self.0.reshape(other.0.size()))
    }

    fn bernoulli(&self, key: u64, p: f64, offset: i64) -> Values {
        Values(random::bernoulli(&self.0, key, p, offset))
    }

    fn uniform(&self, key: u64, offset: i64) -> Values {
        Values(random::uniform(&self.0, key, offset))
    }

    fn normal(&self, key: u64, offset: i64) -> Values {
        Values(random::normal(&self.0, key, offset))
    }
}
