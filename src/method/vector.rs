//! What equations are written in.

/// A stretch of fp32 numbers, one for each parameter or activation: a tensor in the worker, a plain list here.
///
/// Methods know no other arithmetic, so that one text serves every device, and this library needs no libtorch. Of two
/// operands the second may be shorter and is then repeated: a row `[in]` beside a matrix `[out, in]`.
pub trait Vector: Sized {
    /// `self + other`
    fn plus(&self, other: &Self) -> Self;

    /// `self − other`
    fn minus(&self, other: &Self) -> Self;

    /// `self ⊙ other`
    fn times(&self, other: &Self) -> Self;

    /// `self ⊘ other`
    fn divided_by(&self, other: &Self) -> Self;

    /// `self · factor`
    fn scaled(&self, factor: f64) -> Self;

    /// `self / divisor`
    fn over(&self, divisor: f64) -> Self;

    /// `self + number`, entry by entry.
    fn shifted(&self, number: f64) -> Self;

    fn abs(&self) -> Self;

    fn exp(&self) -> Self;

    /// `max(self, least)`, entry by entry.
    fn at_least(&self, least: f64) -> Self;

    /// The matrix product `[a, b] · [b, c]`.
    fn product(&self, other: &Self) -> Self;

    /// The sample's standard deviation; 0 below two entries.
    fn std(&self) -> f64;

    /// The same numbers, cut off from what they were computed from: no gradient flows back through them.
    fn detached(&self) -> Self;

    /// Entries `offset..offset + len` of a flat vector, as a view.
    fn stretch(&self, offset: i64, len: i64) -> Self;

    /// Writes `values` over the entries from `offset` on.
    fn put(&mut self, offset: i64, values: &Self);

    /// The first row `[in]` of a matrix `[out, in]`, as a view.
    fn row(&self) -> Self;

    /// Entries in a row, `in` of `[out, in]`.
    fn width(&self) -> i64;

    /// The same entries in the shape of `other`.
    fn shaped(&self, other: &Self) -> Self;

    /// Zeros and ones, Bernoulli(p), in the shape of `self`: a pure function of (key, p, position). The first entry has
    /// position `offset`.
    fn bernoulli(&self, key: u64, p: f64, offset: i64) -> Self;

    /// Uniform in [0, 1), in the shape of `self`, a pure function of (key, position).
    fn uniform(&self, key: u64, offset: i64) -> Self;

    /// Standard normal, in the shape of `self`, a pure function of (key, position).
    fn normal(&self, key: u64, offset: i64) -> Self;
}
