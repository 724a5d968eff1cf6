//! Which entries of a gradient may be other than zero: all, but for the rows of a table that no token looked up.
//!
//! A vocabulary is half of a small model, and a batch names a hundredth of it. What knows the rows need not pass over the
//! rest.

use std::ops::Range;

use rayon::prelude::*;
use tch::{Kind, Tensor};

use super::Layout;

/// Entries that one thread sums up at a time.
const CHUNK: usize = 1 << 14;

/// Of each part the rows that may be other than zero, rising; `None` is all.
#[derive(Debug)]
pub struct Live(Vec<Option<Vec<i64>>>);

impl Live {
    /// Everything, as long as nobody has looked.
    pub fn all(layout: &Layout) -> Live {
        Live(vec![None; layout.parts.len()])
    }

    /// Anything may stand in a part from now on.
    pub fn set_all(&mut self, part: usize) {
        self.0[part] = None;
    }

    pub fn rows(&self, part: usize) -> Option<&[i64]> {
        self.0[part].as_deref()
    }

    /// Zeroes a part's gradient `[V, H]`, as far as it is not zero.
    pub fn clear(&mut self, part: usize, gradient: &mut Tensor) {
        match &self.0[part] {
            Some(rows) if rows.is_empty() => {}
            Some(rows) => drop(gradient.index_fill_(0, &Tensor::from_slice(rows), 0.0)),
            None => drop(gradient.zero_()),
        }
        self.0[part] = Some(Vec::new());
    }

    /// Adds a sparse gradient, of rows of the part, to what stands there.
    pub fn add(&mut self, part: usize, gradient: &mut Tensor, sparse: &Tensor) {
        let indices = sparse.internal_indices().get(0); // [nnz]
        let _ = gradient.index_add_(0, &indices, &sparse.internal_values());
        if let Some(rows) = &mut self.0[part] {
            rows.extend(Vec::<i64>::try_from(&indices).expect("whole numbers"));
            rows.sort_unstable();
            rows.dedup();
        }
    }

    /// Stretches of the flat gradient that may be other than zero, rising.
    pub fn stretches(&self, layout: &Layout) -> Vec<Range<usize>> {
        let mut stretches: Vec<Range<usize>> = Vec::new();
        let mut add = |stretch: Range<usize>| match stretches.last_mut() {
            Some(last) if last.end == stretch.start => last.end = stretch.end,
            _ => stretches.push(stretch),
        };
        for (part, rows) in layout.parts.iter().zip(&self.0) {
            let (offset, len) = (part.offset as usize, part.len as usize);
            match rows {
                None => add(offset..offset + len),
                Some(rows) => {
                    let width = len / part.shape[0] as usize;
                    rows.iter().map(|&row| offset + row as usize * width).for_each(|from| add(from..from + width));
                }
            }
        }
        stretches
    }
}

/// Cuts stretches into pieces of a size that a thread works on at a time.
pub fn pieces(stretches: &[Range<usize>]) -> Vec<Range<usize>> {
    let cut = |stretch: &Range<usize>| {
        let end = stretch.end;
        stretch.clone().step_by(CHUNK).map(move |from| from..end.min(from + CHUNK)).collect::<Vec<_>>()
    };
    stretches.iter().flat_map(cut).collect()
}

/// The norm of numbers within stretches, the same for any number of threads.
pub fn norm(numbers: &[f32], stretches: &[Range<usize>]) -> f64 {
    let squares: Vec<f64> = pieces(stretches).into_par_iter().map(|piece| sum_of_squares(&numbers[piece])).collect();
    squares.iter().sum::<f64>().sqrt()
}

#[multiversion::multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn sum_of_squares(numbers: &[f32]) -> f64 {
    let mut lanes = [0f64; 16];
    let (whole, rest) = numbers.as_chunks::<16>();
    for chunk in whole {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += f64::from(x) * f64::from(x);
        }
    }
    lanes.iter().sum::<f64>() + rest.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>()
}

/// The rows of a table `[V, H]` in which some number is not zero.
pub fn rows_other_than_zero(table: &Tensor) -> Vec<bool> {
    let found = table.ne(0.0).any_dim(1, false).to_kind(Kind::Uint8);
    Vec::<u8>::try_from(found).expect("bytes").into_iter().map(|found| found != 0).collect()
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::arena::{Arena, Shape, slice};
    use crate::method::Role;

    /// A vector of 3, a table of 5 rows of 2, and a vector of 2.
    fn arena() -> Arena {
        let shape = |name: &str, shape: &[i64]| Shape {
            name: name.into(),
            shape: shape.to_vec(),
            role: Role::Embeddings,
            decays: true,
        };
        let layout = Layout::new(vec![shape("a", &[3]), shape("table", &[5, 2]), shape("z", &[2])]);
        let mut arena = Arena::new(layout, Device::Cpu);
        arena.fill(1, &Tensor::arange(10, (Kind::Float, Device::Cpu)));
        arena.fill(2, &Tensor::from_slice(&[1f32, 2.0]));
        arena
    }

    /// The squares of the rows looked up, and the sum of the last vector.
    fn loss(arena: &Arena, ids: &[i64], sparse: bool) -> Tensor {
        let rows = Tensor::embedding(&arena.leaf(1), &Tensor::from_slice(ids), -1, false, sparse);
        rows.square().sum(Kind::Float) + arena.leaf(2).sum(Kind::Float)
    }

    #[test]
    fn a_gradient_by_rows_is_that_of_the_whole_table_batch_after_batch() {
        let (mut by_rows, mut whole) = (arena(), arena());
        for ids in [&[1, 3, 1][..], &[4], &[0, 4]] {
            let (sparse, dense) = (loss(&by_rows, ids, true), loss(&whole, ids, false));
            by_rows.backward(&sparse);
            whole.backward(&dense);
            assert!(by_rows.gradient.equal(&whole.gradient), "{ids:?}");
            let mut rows = ids.to_vec();
            rows.sort_unstable();
            rows.dedup();
            assert_eq!(by_rows.live.rows(1), Some(&rows[..]));
            // Part 0 is met by no loss, so nothing is left of it; part 2 lies behind the table.
            let stretches = by_rows.live.stretches(&by_rows.layout);
            assert_eq!(stretches.last(), Some(&(if rows.contains(&4) { 11 } else { 13 }..15)), "{ids:?}");
            let found = norm(slice(&mut by_rows.gradient), &stretches);
            let expected = whole.gradient.norm().double_value(&[]);
            assert!((found / expected - 1.0).abs() < 1e-6, "{found} instead of {expected}");
        }
        // A further part of the loss comes on top.
        let (sparse, dense) = (loss(&by_rows, &[2, 4], true), loss(&whole, &[2, 4], false));
        by_rows.backward_too(&sparse, &[]);
        whole.backward_too(&dense, &[]);
        assert!(by_rows.gradient.equal(&whole.gradient));
        assert_eq!(by_rows.live.rows(1), Some(&[0, 2, 4][..]));
        by_rows.clear();
        assert_eq!(by_rows.gradient.abs().sum(Kind::Float).double_value(&[]), 0.0);
    }

    #[test]
    fn what_somebody_else_wrote_is_cleared_too() {
        let mut arena = arena();
        let of_rows = loss(&arena, &[1], true);
        arena.backward(&of_rows);
        let _ = arena.gradient.fill_(7.0);
        arena.live.set_all(1);
        let of_rows = loss(&arena, &[2], true);
        arena.backward(&of_rows);
        let numbers = Vec::<f32>::try_from(&arena.gradient).expect("floats");
        assert_eq!(numbers[3..13], [0.0, 0.0, 0.0, 0.0, 8.0, 10.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn a_norm_does_not_depend_on_how_stretches_are_cut() {
        let numbers: Vec<f32> = (0..100_000).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect();
        let exact = numbers.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        for stretches in [vec![0..99, 99..100_000], vec![0..7, 7..50_001, 50_001..100_000]] {
            assert!((norm(&numbers, &stretches) / exact - 1.0).abs() < 1e-12);
        }
        assert_eq!(norm(&numbers, &[]), 0.0);
    }
}
