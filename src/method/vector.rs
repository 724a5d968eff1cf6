//! What equations are written in.

/// A stretch of fp32 numbers, one for each parameter: a tensor in the worker, a plain list in tests.
///
/// Methods know no other arithmetic, so that one text serves every device, and this library needs no libtorch.
pub trait Vector: Sized {
    /// `self ⊙ other`
    fn times(&self, other: &Self) -> Self;

    /// `self / divisor`
    fn over(&self, divisor: f64) -> Self;

    /// Entries `offset..offset + len`, as a view.
    fn stretch(&self, offset: i64, len: i64) -> Self;

    /// Zeros and ones, Bernoulli(p), for the entries of the arena from `offset` on, as many as `self` has: a pure
    /// function of (key, p, position).
    fn bernoulli(&self, key: u64, p: f64, offset: i64) -> Self;
}
