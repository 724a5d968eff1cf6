//! AdamW in the form of Hugging Face's own optimizer (transformers 4, `AdamW`), over the arena.
//!
//! m ← β₁m + (1−β₁)g,  v ← β₂v + (1−β₂)g²,  Δ = m / (√v + ε),
//! θ ← θ − η·√(1−β₂ᵗ)/(1−β₁ᵗ)·Δ,  then θ ← θ − ηλ·D⊙θ.
//!
//! ε is added to the uncorrected √v, and decay acts after the update on the updated θ.

use rayon::prelude::*;
use tch::{Device, Tensor, no_grad};

use crate::arena::{Arena, Values};
use crate::method::{Block, Combination, Hook, Method, Moment};
use crate::plan::Recipe;

/// Entries that one thread updates at a time.
const CHUNK: usize = 1 << 14;

pub struct Adam {
    /// First and second moments, `[P]`.
    pub m: Tensor,
    pub v: Tensor,
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
    max_grad_norm: f64,
}

impl Adam {
    pub fn new(arena: &Arena, recipe: &Recipe) -> Adam {
        Adam {
            m: arena.theta.zeros_like(),
            v: arena.theta.zeros_like(),
            beta1: recipe.beta1,
            beta2: recipe.beta2,
            eps: recipe.eps,
            weight_decay: recipe.weight_decay,
            max_grad_norm: recipe.max_grad_norm,
        }
    }

    /// One update of θ. `norm` is the gradient's global norm; the method sees the gradient clipped by it.
    pub fn step(&mut self, arena: &mut Arena, method: &mut Combination<Values>, rate: f64, norm: f64, at: Moment) {
        let clip = if self.max_grad_norm > 0.0 { (self.max_grad_norm / (norm + 1e-6)).min(1.0) } else { 1.0 };
        let t = f64::from(at.step);
        let scaled = rate * (1.0 - self.beta2.powf(t)).sqrt() / (1.0 - self.beta1.powf(t));
        no_grad(|| {
            if [Hook::Step, Hook::Pull, Hook::Rate].iter().any(|&hook| method.has(hook)) {
                return self.update_blocks(arena, method, clip, scaled, rate, at);
            }
            let mut clip = clip;
            if method.has(Hook::Gradient) {
                for place in arena.blocks() {
                    let _ = seen(&arena.block(place, at, rate), &arena.gradient, method, clip);
                }
                clip = 1.0;
            }
            if arena.device() == Device::Cpu {
                self.update_slices(arena, clip, scaled, rate)
            } else {
                self.update_tensors(arena, clip, scaled, rate)
            }
        });
    }

    /// The equations block by block, with the method's say in each.
    fn update_blocks(
        &mut self,
        arena: &mut Arena,
        method: &mut Combination<Values>,
        clip: f64,
        scaled: f64,
        rate: f64,
        at: Moment,
    ) {
        for place in arena.blocks() {
            let share = method.rate(&arena.layout.parts[place.0]);
            let (rate, scaled) = (rate * share, scaled * share);
            let block = arena.block(place, at, rate);
            let stretch = |flat: &Tensor| flat.narrow(0, block.offset, block.len);
            let g = seen(&block, &arena.gradient, method, clip);
            let direction = self.direction(&g, stretch(&self.m), stretch(&self.v), scaled);
            let mut theta = stretch(&arena.theta);
            let Values(step) = method.step(&block, &Values(g), Values(direction));
            theta -= step;
            if let Some(Values(pull)) = method.pull(&block).filter(|_| block.part.pretrained) {
                theta -= match &arena.held {
                    Some(held) => pull * stretch(held),
                    None => pull,
                };
            }
            let decayed = &theta * stretch(&arena.decay) * (rate * self.weight_decay);
            theta -= decayed;
        }
    }

    /// Both moments of a block one step on, and ηΔ, all `[len]`.
    fn direction(&self, g: &Tensor, mut m: Tensor, mut v: Tensor, scaled: f64) -> Tensor {
        if g.device() != Device::Cpu {
            return self.direction_of_tensors(g, m, v, scaled);
        }
        let (b1, b2, eps, scaled) = (self.beta1 as f32, self.beta2 as f32, self.eps as f32, scaled as f32);
        let (fresh1, fresh2) = ((1.0 - self.beta1) as f32, (1.0 - self.beta2) as f32);
        let (mut step, mut g) = (g.empty_like(), g.shallow_clone());
        let moments = slice(&mut m).iter_mut().zip(slice(&mut v));
        for (((m, v), g), step) in moments.zip(slice(&mut g)).zip(slice(&mut step)) {
            *m = *m * b1 + *g * fresh1;
            *v = *v * b2 + *g * *g * fresh2;
            *step = *m / (v.sqrt() + eps) * scaled;
        }
        step
    }

    /// The same by the equations as they stand above.
    fn direction_of_tensors(&self, g: &Tensor, mut m: Tensor, mut v: Tensor, scaled: f64) -> Tensor {
        m *= self.beta1;
        m += g * (1.0 - self.beta1);
        v *= self.beta2;
        v += g.square() * (1.0 - self.beta2);
        m / (v.sqrt() + self.eps) * scaled
    }

    /// The equations over whole tensors: what a GPU runs.
    fn update_tensors(&mut self, arena: &mut Arena, clip: f64, scaled: f64, rate: f64) {
        if clip < 1.0 {
            arena.gradient *= clip;
        }
        let (m, v) = (self.m.shallow_clone(), self.v.shallow_clone());
        arena.theta -= self.direction_of_tensors(&arena.gradient, m, v, scaled);
        let decayed = &arena.theta * &arena.decay * (rate * self.weight_decay);
        arena.theta -= decayed;
    }

    /// The same equations entry by entry, in one trip through memory: on a CPU the memory is what takes time.
    fn update_slices(&mut self, arena: &mut Arena, clip: f64, scaled: f64, rate: f64) {
        let (b1, b2, eps) = (self.beta1 as f32, self.beta2 as f32, self.eps as f32);
        let (fresh1, fresh2) = ((1.0 - self.beta1) as f32, (1.0 - self.beta2) as f32);
        let (clip, scaled, decay) = (clip as f32, scaled as f32, (rate * self.weight_decay) as f32);
        let Arena { theta, gradient, decay: decays, .. } = arena;
        let (theta, m, v) = (slice(theta), slice(&mut self.m), slice(&mut self.v));
        let chunks = theta.par_chunks_mut(CHUNK).zip(m.par_chunks_mut(CHUNK)).zip(v.par_chunks_mut(CHUNK));
        let inputs = slice(gradient).par_chunks(CHUNK).zip(slice(decays).par_chunks(CHUNK));
        chunks.zip(inputs).for_each(|(((theta, m), v), (g, d))| {
            for ((((theta, m), v), g), d) in theta.iter_mut().zip(m).zip(v).zip(g).zip(d) {
                let g = g * clip;
                *m = *m * b1 + g * fresh1;
                *v = *v * b2 + g * g * fresh2;
                *theta -= *m / (v.sqrt() + eps) * scaled;
                *theta -= *theta * d * decay;
            }
        });
    }
}

/// What the moments see of a block of the gradient, clipped: written back over it.
fn seen(block: &Block<Values>, gradient: &Tensor, method: &mut Combination<Values>, clip: f64) -> Tensor {
    let mut target = block.of(&Values(gradient.shallow_clone())).0;
    if clip < 1.0 {
        target *= clip;
    }
    let Values(seen) = method.gradient(block, Values(target.shallow_clone()));
    if seen.data_ptr() != target.data_ptr() {
        target.copy_(&seen);
    }
    target
}

/// The numbers of a contiguous fp32 tensor on the CPU, such as every tensor of an arena is.
fn slice(tensor: &mut Tensor) -> &mut [f32] {
    debug_assert!(tensor.is_contiguous() && tensor.kind() == tch::Kind::Float && tensor.device() == Device::Cpu);
    // SAFETY: contiguous fp32 CPU memory of `numel` entries, borrowed mutably for as long as the slice lives. Leaves
    // alias it, but nothing reads them during an update.
    unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast(), tensor.numel()) }
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;
    use crate::arena::{Layout, Shape};
    use crate::method::Role;
    use crate::plan::Choice;

    fn arena(theta: &[f32]) -> Arena {
        let shape = Shape { name: "w".into(), shape: vec![theta.len() as i64], role: Role::Encoder, decays: true };
        let mut arena = Arena::new(Layout::new(vec![shape]), Device::Cpu);
        arena.fill(0, &Tensor::from_slice(theta));
        arena
    }

    fn recipe() -> Recipe {
        Recipe { weight_decay: 0.01, max_grad_norm: 0.0, ..Recipe::default() }
    }

    fn method(name: &str, numbers: &[(&str, serde_json::Value)]) -> Combination<Values> {
        let numbers = numbers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        Combination::build(&Choice { name: name.into(), numbers }).expect("a method")
    }

    fn at(step: u32) -> Moment {
        Moment { seed: 1, step, steps: 10, pass: 0, token: 0 }
    }

    fn numbers_of(tensor: &Tensor) -> Vec<f32> {
        Vec::try_from(tensor).expect("floats")
    }

    /// Two steps by hand, from the equations in NumPy: lr 0.1, β (0.9, 0.999), ε 1e-8, λ 0.01.
    #[test]
    fn two_steps_are_those_of_the_equations() {
        let mut arena = arena(&[1.0, -2.0]);
        let mut adam = Adam::new(&arena, &recipe());
        for (step, gradient, expected) in
            [(1, [0.6f32, 0.0], [0.899_100_05f32, -1.998]), (2, [0.0, 0.4], [0.831_262_2, -2.070_341])]
        {
            arena.gradient.copy_(&Tensor::from_slice(&gradient));
            adam.step(&mut arena, &mut method("vanilla", &[]), 0.1, 0.0, at(step));
            for (found, expected) in numbers_of(&arena.theta).iter().zip(expected) {
                assert!((found - expected).abs() < 1e-6, "step {step}: {found} instead of {expected}");
            }
        }
    }

    #[test]
    fn slices_and_tensors_give_the_same() {
        let start: Vec<f32> = (0..40_000).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect();
        let (mut one, mut other) = (arena(&start), arena(&start));
        let (mut a, mut b) = (Adam::new(&one, &recipe()), Adam::new(&other, &recipe()));
        for step in 1..=5 {
            let gradient = Tensor::from_slice(&start).roll([step], [0]).to_kind(Kind::Float);
            one.gradient.copy_(&gradient);
            other.gradient.copy_(&gradient);
            no_grad(|| {
                a.update_slices(&mut one, 0.5, 0.01, 0.02);
                b.update_tensors(&mut other, 0.5, 0.01, 0.02);
            });
        }
        let apart = (&one.theta - &other.theta).abs().max().double_value(&[]);
        assert!(apart < 1e-6, "{apart}");
        assert_ne!(numbers_of(&one.theta), start);
    }

    /// A method whose step is Adam's own takes the way over blocks to the same numbers.
    #[test]
    fn blocks_and_slices_give_the_same_bit_for_bit() {
        let start: Vec<f32> = (0..40_000).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect();
        let numbers = [("layer_decay", 1.0.into())];
        let (mut one, mut other) = (arena(&start), arena(&start));
        let (mut a, mut b) = (Adam::new(&one, &recipe()), Adam::new(&other, &recipe()));
        for step in 1..=5 {
            let gradient = Tensor::from_slice(&start).roll([i64::from(step)], [0]);
            one.gradient.copy_(&gradient);
            other.gradient.copy_(&gradient);
            a.step(&mut one, &mut method("vanilla", &[]), 0.01, 0.0, at(step));
            b.step(&mut other, &mut method("llrd", &numbers), 0.01, 0.0, at(step));
        }
        assert!(one.theta.equal(&other.theta));
        assert_ne!(numbers_of(&one.theta), start);
    }

    #[test]
    fn a_gradient_beyond_the_norm_is_clipped_before_the_moments_see_it() {
        let mut arena = arena(&[0.0, 0.0]);
        let mut adam = Adam::new(&arena, &Recipe { max_grad_norm: 1.0, ..recipe() });
        arena.gradient.copy_(&Tensor::from_slice(&[2.0f32, 0.0]));
        adam.step(&mut arena, &mut method("vanilla", &[]), 0.1, 2.0, at(1));
        assert!((numbers_of(&adam.m)[0] - 0.099_999_95).abs() < 1e-7, "{:?}", numbers_of(&adam.m));
    }
}
