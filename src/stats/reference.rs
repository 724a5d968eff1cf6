//! Made by tests/reference/stats.py with SciPy, statsmodels, deepsig, rliable and autorank.

use serde::Deserialize;

#[derive(Deserialize)]
pub struct Reference {
    pub interval: Vec<MeanInterval>,
    pub paired: Vec<Paired>,
    pub two_samples: Vec<TwoSamples>,
    pub holm: Vec<Holm>,
    pub iqm: Vec<Iqm>,
    pub ranks: Vec<Ranked>,
    pub power: Vec<Needed>,
    pub power_at: Vec<PowerAt>,
}

#[derive(Deserialize)]
pub struct MeanInterval {
    pub values: Vec<f64>,
    pub low: f64,
    pub high: f64,
}

#[derive(Deserialize)]
pub struct Paired {
    pub differences: Vec<f64>,
    pub permutation: f64,
    pub wilcoxon: f64,
    pub effect: f64,
}

#[derive(Deserialize)]
pub struct TwoSamples {
    pub x: Vec<f64>,
    pub y: Vec<f64>,
    pub improvement: f64,
    pub improvement_rliable: f64,
    pub violation: f64,
    pub epsilon: f64,
}

#[derive(Deserialize)]
pub struct Holm {
    pub raw: Vec<f64>,
    pub adjusted: Vec<f64>,
}

#[derive(Deserialize)]
pub struct Iqm {
    pub tasks: Vec<Vec<f64>>,
    pub iqm: f64,
    pub low: f64,
    pub high: f64,
}

#[derive(Deserialize)]
pub struct Ranked {
    /// `[tasks][modes]`.
    pub rows: Vec<Vec<f64>>,
    pub ranks: Vec<f64>,
    pub statistic: f64,
    pub p: f64,
    pub cd: f64,
}

#[derive(Deserialize)]
pub struct Needed {
    pub effect: f64,
    pub needed: f64,
}

#[derive(Deserialize)]
pub struct PowerAt {
    pub effect: f64,
    pub n: usize,
    pub power: f64,
}

pub fn all() -> Reference {
    serde_json::from_str(include_str!("../../tests/reference/stats.json")).expect("the reference is read")
}

/// Made by tests/reference/sequential.py with SciPy.
#[derive(Deserialize)]
pub struct Sequential {
    pub looks: Vec<Looks>,
    /// p of Student's test of the differences of each [`Paired`].
    pub student: Vec<f64>,
}

#[derive(Deserialize)]
pub struct Looks {
    pub spending: super::Spending,
    pub alpha: f64,
    /// Pairs at each look, and at the last planned one.
    pub information: Vec<u32>,
    pub of: u32,
    /// Two-sided, of each look.
    pub levels: Vec<f64>,
}

pub fn sequential() -> Sequential {
    serde_json::from_str(include_str!("../../tests/reference/sequential.json")).expect("the reference is read")
}
