//! Plain numbers in the arithmetic that methods are written in: for checking settings and for numbers worked by hand.

use super::draw;
use super::vector::Vector;

/// Numbers with a row length: a flat vector is one row, a matrix `[out, in]` has rows of `in`.
#[derive(Debug, Clone, PartialEq)]
pub struct List {
    pub numbers: Vec<f64>,
    pub columns: usize,
}

impl List {
    pub fn flat(numbers: &[f64]) -> List {
        List { numbers: numbers.to_vec(), columns: numbers.len() }
    }

    pub fn matrix(columns: usize, numbers: &[f64]) -> List {
        List { numbers: numbers.to_vec(), columns }
    }

    fn map(&self, f: impl FnMut(&f64) -> f64) -> List {
        List { numbers: self.numbers.iter().map(f).collect(), columns: self.columns }
    }

    fn with(&self, other: &List, f: impl Fn(f64, f64) -> f64) -> List {
        let pairs = self.numbers.iter().zip(other.numbers.iter().cycle());
        List { numbers: pairs.map(|(a, b)| f(*a, *b)).collect(), columns: self.columns }
    }

    fn drawn(&self, fill: impl FnOnce(&mut [f32])) -> List {
        let mut out = vec![0f32; self.numbers.len()];
        fill(&mut out);
        List { numbers: out.into_iter().map(f64::from).collect(), columns: self.columns }
    }
}

impl Vector for List {
    fn plus(&self, other: &List) -> List {
        self.with(other, |a, b| a + b)
    }

    fn minus(&self, other: &List) -> List {
        self.with(other, |a, b| a - b)
    }

    fn times(&self, other: &List) -> List {
        self.with(other, |a, b| a * b)
    }

    fn divided_by(&self, other: &List) -> List {
        self.with(other, |a, b| a / b)
    }

    fn scaled(&self, factor: f64) -> List {
        self.map(|x| x * factor)
    }

    fn over(&self, divisor: f64) -> List {
        self.map(|x| x / divisor)
    }

    fn shifted(&self, number: f64) -> List {
        self.map(|x| x + number)
    }

    fn abs(&self) -> List {
        self.map(|x| x.abs())
    }

    fn exp(&self) -> List {
        self.map(|x| x.exp())
    }

    fn at_least(&self, least: f64) -> List {
        self.map(|x| x.max(least))
    }

    fn product(&self, other: &List) -> List {
        let rows = self.numbers.chunks(self.columns);
        let entry = |row: &[f64], column: usize| -> f64 {
            row.iter().enumerate().map(|(i, x)| x * other.numbers[i * other.columns + column]).sum()
        };
        let numbers = rows.flat_map(|row| (0..other.columns).map(move |column| entry(row, column))).collect();
        List { numbers, columns: other.columns }
    }

    fn std(&self) -> f64 {
        let n = self.numbers.len() as f64;
        if n < 2.0 {
            return 0.0;
        }
        let mean = self.numbers.iter().sum::<f64>() / n;
        (self.numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt()
    }

    fn detached(&self) -> List {
        self.clone()
    }

    fn stretch(&self, offset: i64, len: i64) -> List {
        List::flat(&self.numbers[offset as usize..(offset + len) as usize])
    }

    fn put(&mut self, offset: i64, values: &List) {
        self.numbers[offset as usize..offset as usize + values.numbers.len()].copy_from_slice(&values.numbers);
    }

    fn row(&self) -> List {
        List::flat(&self.numbers[..self.columns])
    }

    fn width(&self) -> i64 {
        self.columns as i64
    }

    fn shaped(&self, other: &List) -> List {
        List { numbers: self.numbers.clone(), columns: other.columns }
    }

    fn bernoulli(&self, key: u64, p: f64, offset: i64) -> List {
        self.drawn(|out| draw::bernoulli(key, p, offset as u64, out))
    }

    fn uniform(&self, key: u64, offset: i64) -> List {
        self.drawn(|out| draw::uniform(key, offset as u64, out))
    }

    fn normal(&self, key: u64, offset: i64) -> List {
        self.drawn(|out| draw::normal(key, offset as u64, out))
    }
}
