//! The variance of a masked SGD step, measured: Theorem 1.
//!
//! The step is Δ = −η/p · M ⊙ g, M Bernoulli(p), g the gradient of a batch. For two batches a and b,
//! E ½‖Δₐ − Δᵦ‖² = tr Cov Δ, so that pairs measure it without a mean to estimate. The closed form needs only the unmasked
//! gradients of the same pairs: tr Σ from ½‖gₐ − gᵦ‖² and ‖μ‖² from gₐ·gᵦ.

use anyhow::Result;
use tch::{Tensor, no_grad};

use super::Stage;
use super::sharpness::{dot, norm};
use crate::arena::Values;
use crate::method::{Vector, stream};
use crate::plan::VarianceSettings;
use crate::record::UpdateVariance;
use crate::task::batch::epoch_order;

/// tr Cov(M ⊙ g / p) for every p, where training began (a fresh head of the run's seed) and where it ended.
///
/// # Errors
/// [`crate::train::PutAside`].
pub fn measure(stage: &mut Stage, settings: &VarianceSettings) -> Result<Vec<UpdateVariance>> {
    let end = stage.subject.arena.theta.copy();
    let mut all = at(stage, settings, "end")?;
    stage.subject.reset(stage.run.seed, &stage.run.recipe);
    let start = at(stage, settings, "start");
    stage.put_back(&end);
    all.splice(0..0, start?);
    Ok(all)
}

fn at(stage: &mut Stage, settings: &VarianceSettings, point: &str) -> Result<Vec<UpdateVariance>> {
    let (rates, seed) = (&settings.p, stage.run.seed);
    let mut measured = vec![0.0; rates.len()];
    let (mut noise, mut signal) = (0.0, 0.0);
    let batches = batches(stage, settings.batches as usize);
    for (number, pair) in batches.chunks_exact(2).enumerate() {
        let [a, b] = [0, 1].map(|which| stage.gradient(&pair[which]).1);
        noise += norm(&(&a - &b)).powi(2) / 2.0;
        signal += dot(&a, &b);
        for (place, &p) in rates.iter().enumerate() {
            let masked = |g: &Tensor, which: u64| -> Tensor {
                let draw = (number as u64 * 2 + which) * rates.len() as u64 + place as u64;
                let Values(mask) = Values(g.shallow_clone()).bernoulli(stream(seed, "update variance", draw), p, 0);
                mask * g / p
            };
            measured[place] += no_grad(|| norm(&(masked(&a, 0) - masked(&b, 1)))).powi(2) / 2.0;
        }
        stage.go_on()?;
    }
    let pairs = (batches.len() / 2) as f64;
    let (noise, signal) = (noise / pairs, signal / pairs);
    let line = |(&p, sum): (&f64, f64)| UpdateVariance {
        at: point.to_owned(),
        p,
        measured: sum / pairs,
        closed: noise / p + (1.0 - p) / p * signal,
        batches: batches.len() as u32,
    };
    Ok(rates.iter().zip(measured).map(line).collect())
}

/// The first batches of the run's training, epoch after epoch until there are enough. The short one at the end of an
/// epoch is left out: its gradient has another variance.
fn batches(stage: &Stage, count: usize) -> Vec<Vec<u32>> {
    let size = (stage.run.recipe.batch_size as usize).min(stage.picked.len());
    let of_epoch = |epoch: u32| {
        let order = epoch_order(stage.picked.len(), stage.run.seed, epoch, true);
        let rows: Vec<u32> = order.into_iter().map(|i| stage.picked[i as usize]).collect();
        rows.chunks_exact(size).map(<[u32]>::to_vec).collect::<Vec<_>>()
    };
    (0..).flat_map(of_epoch).take(count).collect()
}
