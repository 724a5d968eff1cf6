//! How sharp the loss is where training ended: the claim of Theorem 2, measured.

use anyhow::Result;
use tch::{Kind, Tensor, no_grad};

use super::Stage;
use crate::arena::Values;
use crate::method::{Vector, stream};
use crate::plan::SharpnessSettings;
use crate::record::Sharpness;
use crate::task::batch::sample;

/// Length of the step over which gradients are differenced. In fp32 a shorter one drowns in rounding, a longer one in
/// third derivatives.
const STEP: f64 = 1e-2;

/// The power iteration ends when the eigenvalue changes by less than this share.
const TOLERANCE: f64 = 1e-2;

/// The largest Hessian eigenvalue by power iteration, and how the loss rises around θ. θ is as before afterwards.
///
/// Hessian-vector products are central differences of gradients, (∇L(θ + rv) − ∇L(θ − rv)) / 2r: they need no second
/// derivative of any layer.
///
/// # Errors
/// [`crate::train::PutAside`].
pub fn measure(stage: &mut Stage, settings: &SharpnessSettings) -> Result<Sharpness> {
    let chosen = sample(stage.picked.len(), settings.examples as usize, 0);
    let rows: Vec<u32> = chosen.into_iter().map(|i| stage.picked[i as usize]).collect();
    let centre = stage.subject.arena.theta.copy();
    let seed = stage.run.seed;

    let (loss, gradient) = stage.gradient(&rows);
    let ascent = {
        let length = norm(&gradient).max(f64::MIN_POSITIVE);
        step(stage, &centre, &gradient, settings.rho / length);
        stage.loss(&rows) - loss
    };
    let mut rises = 0.0;
    for direction in 0..settings.directions {
        let noise = Values(centre.shallow_clone()).normal(stream(seed, "sharpness", u64::from(direction)), 0).0;
        step(stage, &centre, &noise, settings.sigma);
        rises += stage.loss(&rows) - loss;
        stage.go_on().inspect_err(|_| stage.put_back(&centre))?;
    }

    let mut v = Values(centre.shallow_clone()).normal(stream(seed, "power iteration", 0), 0).0;
    let (mut eigenvalue, mut residual, mut iterations) = (0.0, f64::INFINITY, 0);
    while iterations < settings.iterations && residual > TOLERANCE {
        let length = norm(&v);
        let _ = no_grad(|| v.g_div_scalar_(length.max(f64::MIN_POSITIVE)));
        step(stage, &centre, &v, STEP);
        let (_, ahead) = stage.gradient(&rows);
        step(stage, &centre, &v, -STEP);
        let (_, behind) = stage.gradient(&rows);
        let product = no_grad(|| (ahead - behind) / (2.0 * STEP));
        let found = dot(&v, &product);
        residual = (found - eigenvalue).abs() / found.abs().max(f64::MIN_POSITIVE);
        (eigenvalue, v) = (found, product);
        iterations += 1;
        stage.go_on().inspect_err(|_| stage.put_back(&centre))?;
    }
    stage.put_back(&centre);
    Ok(Sharpness {
        loss,
        examples: rows.len() as u32,
        eigenvalue,
        residual,
        iterations,
        rho: settings.rho,
        rise_ascent: ascent,
        sigma: settings.sigma,
        rise_random: rises / f64::from(settings.directions),
        directions: settings.directions,
    })
}

/// θ ← centre + length · direction
fn step(stage: &mut Stage, centre: &Tensor, direction: &Tensor, length: f64) {
    no_grad(|| stage.subject.arena.theta.copy_(&(centre + direction * length)));
}

impl Stage<'_> {
    pub fn put_back(&mut self, theta: &Tensor) {
        no_grad(|| self.subject.arena.theta.copy_(theta));
    }
}

pub fn norm(x: &Tensor) -> f64 {
    no_grad(|| x.norm().to_kind(Kind::Double)).double_value(&[])
}

pub fn dot(a: &Tensor, b: &Tensor) -> f64 {
    no_grad(|| a.dot(b).to_kind(Kind::Double)).double_value(&[])
}
