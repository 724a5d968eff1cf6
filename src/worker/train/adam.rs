//! AdamW in the form of Hugging Face's own optimizer (transformers 4, `AdamW`), over the arena.
//!
//! m ← β₁m + (1−β₁)g,  v ← β₂v + (1−β₂)g²,  Δ = m / (√v + ε),
//! θ ← θ − η·√(1−β₂ᵗ)/(1−β₁ᵗ)·Δ,  then θ ← θ − ηλ·D⊙θ.
//!
//! ε is added to the uncorrected √v, and decay acts after the update on the updated θ.

use std::ops::Range;

use rayon::prelude::*;
use tch::{Device, Tensor, no_grad};

use crate::arena::{self, Arena, Stretch, Values, rows_other_than_zero, slice};
use crate::method::{Block, Combination, Hook, Method, Moment};
use crate::plan::Recipe;

pub struct Adam {
    /// First and second moments, `[P]`.
    pub m: Tensor,
    pub v: Tensor,
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
    max_grad_norm: f64,
    /// Of each part, the rows whose moments may be other than zero; `None` is all.
    moved: Vec<Option<Vec<bool>>>,
}

impl Adam {
    pub fn new(arena: &Arena, recipe: &Recipe) -> Adam {
        Adam::over(arena, recipe, arena.theta.zeros_like(), arena.theta.zeros_like())
    }

    /// Over moments that are zero.
    fn over(arena: &Arena, recipe: &Recipe, m: Tensor, v: Tensor) -> Adam {
        Adam {
            m,
            v,
            beta1: recipe.beta1,
            beta2: recipe.beta2,
            eps: recipe.eps,
            weight_decay: recipe.weight_decay,
            max_grad_norm: recipe.max_grad_norm,
            moved: arena.layout.parts.iter().map(|part| Some(vec![false; part.shape[0] as usize])).collect(),
        }
    }

    /// The same as new, for another run over the same arena: the memory is there already, and most of a vocabulary has
    /// never moved.
    pub fn afresh(self, arena: &Arena, recipe: &Recipe) -> Adam {
        no_grad(|| {
            for (part, moved) in arena.layout.parts.iter().zip(&self.moved) {
                for whole in [&self.m, &self.v] {
                    match moved {
                        None => drop(part.of(whole).zero_()),
                        Some(rows) => {
                            let moved: Vec<i64> =
                                (0..).zip(rows).filter(|(_, moved)| **moved).map(|(row, _)| row).collect();
                            let rows = Tensor::from_slice(&moved).to_device(arena.device());
                            drop(part.shaped(whole).index_fill_(0, &rows, 0.0));
                        }
                    }
                }
            }
        });
        Adam::over(arena, recipe, self.m, self.v)
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
                    let (_, is_new) = seen(&arena.block(place, at, rate), &arena.gradient, method, clip);
                    if is_new {
                        arena.live.set_all(place.0);
                    }
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
        self.moved.fill(None);
        for place in arena.blocks() {
            let share = method.rate(&arena.layout.parts[place.0]);
            let (rate, scaled) = (rate * share, scaled * share);
            let block = arena.block(place, at, rate);
            let stretch = |flat: &Tensor| flat.narrow(0, block.offset, block.len);
            let (g, _) = seen(&block, &arena.gradient, method, clip);
            let direction = self.direction(&g, stretch(&self.m), stretch(&self.v), scaled);
            let mut theta = stretch(&arena.theta);
            let Values(step) = method.step(&block, &Values(g), Values(direction));
            theta -= step;
            if let Some(Values(pull)) = method.pull(&block).filter(|_| block.part.pretrained) {
                theta -= match arena.held() {
                    Some(held) => pull * stretch(held),
                    None => pull,
                };
            }
            let decayed = &theta * arena.decay_of(place.0) * (rate * self.weight_decay);
            theta -= match arena.held() {
                Some(held) => decayed * stretch(held),
                None => decayed,
            };
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
        self.moved.fill(None);
        if clip < 1.0 {
            arena.gradient *= clip;
        }
        let (m, v) = (self.m.shallow_clone(), self.v.shallow_clone());
        arena.theta -= self.direction_of_tensors(&arena.gradient, m, v, scaled);
        let decays = arena.decays();
        let decayed = &arena.theta * decays * (rate * self.weight_decay);
        arena.theta -= decayed;
    }

    /// The same equations entry by entry, in one trip through memory: on a CPU the memory is what takes time. Rows of a
    /// table that no token ever looked up have no moments, and only decay.
    fn update_slices(&mut self, arena: &mut Arena, clip: f64, scaled: f64, rate: f64) {
        let pieces = self.pieces(arena);
        let numbers = Numbers {
            betas: [self.beta1, self.beta2].map(|beta| beta as f32),
            fresh: [self.beta1, self.beta2].map(|beta| (1.0 - beta) as f32),
            eps: self.eps as f32,
            clip: clip as f32,
            scaled: scaled as f32,
            decay: (rate * self.weight_decay) as f32,
        };
        let mut held = arena.held().map(Tensor::shallow_clone);
        let held = held.as_mut().map(|held| &*slice(held));
        let (mut theta, mut m, mut v) = (slice(&mut arena.theta), slice(&mut self.m), slice(&mut self.v));
        let gradient = &*slice(&mut arena.gradient);
        let mut work = Vec::with_capacity(pieces.len());
        let mut at = 0;
        for (piece, kind) in pieces {
            let (gap, len) = (piece.start - at, piece.len());
            at = piece.end;
            work.push((take(&mut theta, gap, len), take(&mut m, gap, len), take(&mut v, gap, len), piece, kind));
        }
        work.into_par_iter().for_each(|(theta, m, v, piece, What { moves, decay })| {
            if moves {
                update(theta, m, v, &gradient[piece.clone()], numbers);
            }
            match held {
                Some(held) => decays_where(theta, &held[piece], decay, numbers.decay),
                None => decays(theta, decay, numbers.decay),
            }
        });
    }

    /// Pieces of θ in which something changes, rising, and what.
    fn pieces(&mut self, arena: &Arena) -> Vec<(Range<usize>, What)> {
        let mut stretches: Vec<(Range<usize>, What)> = Vec::new();
        let mut add = |stretch: Range<usize>, kind: What| match stretches.last_mut() {
            Some((last, of_last)) if last.end == stretch.start && *of_last == kind => last.end = stretch.end,
            _ => stretches.push((stretch, kind)),
        };
        for part in arena.trained() {
            let moved = &mut self.moved[part.index];
            match (arena.live.rows(part.index), moved.as_mut()) {
                (Some(live), Some(moved)) => live.iter().for_each(|&row| moved[row as usize] = true),
                _ => *moved = None,
            }
            let (offset, len) = (part.offset as usize, part.len as usize);
            let kind = |moves: bool| What { moves, decay: arena.decay_of(part.index) as f32 };
            let Some(moved) = moved else {
                add(offset..offset + len, kind(true));
                continue;
            };
            let width = len / moved.len();
            let mut from = offset;
            for alike in moved.chunk_by(|a, b| a == b) {
                let to = from + alike.len() * width;
                if alike[0] || part.decays {
                    add(from..to, kind(alike[0]));
                }
                from = to;
            }
        }
        let cut = |(stretch, kind): &(Range<usize>, What)| {
            let pieces = arena::pieces(std::slice::from_ref(stretch)).into_iter();
            pieces.map(|piece| (piece, *kind)).collect::<Vec<_>>()
        };
        stretches.iter().flat_map(cut).collect()
    }

    /// The moments were put back from elsewhere: looks where they are other than zero.
    pub fn look_again(&mut self, arena: &Arena) {
        for part in &arena.layout.parts {
            let rows = |flat: &Tensor| rows_other_than_zero(&part.of(flat).view([part.shape[0], -1])); // [V, H]
            let (m, v) = (rows(&self.m), rows(&self.v));
            self.moved[part.index] = Some(m.into_iter().zip(v).map(|(m, v)| m || v).collect());
        }
    }
}

/// What happens to a piece of θ.
#[derive(Clone, Copy, PartialEq)]
struct What {
    /// There is more to it than decay.
    moves: bool,
    /// D.
    decay: f32,
}

/// Leaves out the first `gap` numbers, and takes the next `len`.
fn take<'a>(whole: &mut &'a mut [f32], gap: usize, len: usize) -> &'a mut [f32] {
    let (_, rest) = std::mem::take(whole).split_at_mut(gap);
    let (own, rest) = rest.split_at_mut(len);
    *whole = rest;
    own
}

/// What an update of all entries has in common.
#[derive(Clone, Copy)]
struct Numbers {
    betas: [f32; 2],
    /// 1 − β.
    fresh: [f32; 2],
    eps: f32,
    clip: f32,
    scaled: f32,
    decay: f32,
}

#[multiversion::multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn update(theta: &mut [f32], m: &mut [f32], v: &mut [f32], gradient: &[f32], numbers: Numbers) {
    let Numbers { betas: [b1, b2], fresh: [fresh1, fresh2], eps, clip, scaled, .. } = numbers;
    for (((theta, m), v), g) in theta.iter_mut().zip(m).zip(v).zip(gradient) {
        let g = g * clip;
        *m = *m * b1 + g * fresh1;
        *v = *v * b2 + g * g * fresh2;
        *theta -= *m / (v.sqrt() + eps) * scaled;
    }
}

/// A piece that was updated lies in the cache by now.
#[multiversion::multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn decays(theta: &mut [f32], decay: f32, strength: f32) {
    if decay != 0.0 {
        theta.iter_mut().for_each(|theta| *theta -= *theta * decay * strength);
    }
}

#[multiversion::multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn decays_where(theta: &mut [f32], held: &[f32], decay: f32, strength: f32) {
    for (theta, held) in theta.iter_mut().zip(held) {
        *theta -= *theta * (decay * held) * strength;
    }
}

/// What the moments see of a block of the gradient, clipped: written back over it. Tells also whether the method had a say.
fn seen(block: &Block<Values>, gradient: &Tensor, method: &mut Combination<Values>, clip: f64) -> (Tensor, bool) {
    let mut target = block.of(&Values(gradient.shallow_clone())).0;
    if clip < 1.0 {
        target *= clip;
    }
    let Values(seen) = method.gradient(block, Values(target.shallow_clone()));
    let is_new = seen.data_ptr() != target.data_ptr();
    if is_new {
        target.copy_(&seen);
    }
    (target, is_new)
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

    /// Rows that nobody looked up take no part in an update but by decay, and come to the same numbers; also after the
    /// moments were put back from elsewhere.
    #[test]
    fn rows_left_out_are_as_if_they_had_been_updated() {
        let shape = Shape { name: "t".into(), shape: vec![50, 30], role: Role::Embeddings, decays: true };
        let start: Vec<f32> = (0..1500).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect();
        let new = || {
            let mut arena = Arena::new(Layout::new(vec![shape.clone()]), Device::Cpu);
            arena.fill(0, &Tensor::from_slice(&start));
            arena
        };
        let (mut one, mut other) = (new(), new());
        let (mut a, mut b) = (Adam::new(&one, &recipe()), Adam::new(&other, &recipe()));
        for (step, ids) in (1..).zip([&[3i64, 7, 3][..], &[7, 20], &[0], &[49, 3]]) {
            for (arena, sparse) in [(&mut one, true), (&mut other, false)] {
                let rows = Tensor::embedding(&arena.leaf(0), &Tensor::from_slice(ids), -1, false, sparse);
                arena.backward(&rows.square().sum(Kind::Float));
            }
            a.step(&mut one, &mut method("vanilla", &[]), 0.01, 0.0, at(step));
            b.step(&mut other, &mut method("vanilla", &[]), 0.01, 0.0, at(step));
            assert!(one.theta.equal(&other.theta), "step {step}");
            if step == 2 {
                let fresh = Adam::new(&one, &recipe());
                let held = std::mem::replace(&mut a, fresh);
                a.m.copy_(&held.m);
                a.v.copy_(&held.v);
                a.look_again(&one);
                assert_eq!(a.moved, held.moved);
            }
        }
        assert!(a.m.equal(&b.m) && a.v.equal(&b.v));
        let moved = a.moved[0].as_ref().map(|rows| rows.iter().filter(|&&moved| moved).count());
        assert_eq!((moved, &b.moved[0]), (Some(5), &None));
    }

    /// Whatever moved before, rows or all, is gone.
    #[test]
    fn afresh_is_as_new() {
        let shape = |name: &str| Shape { name: name.into(), shape: vec![9, 4], role: Role::Embeddings, decays: true };
        let mut arena = Arena::new(Layout::new(vec![shape("rows"), shape("all")]), Device::Cpu);
        let mut adam = Adam::new(&arena, &recipe());
        for step in 1..=2 {
            let look_up = |part: usize, sparse: bool| {
                Tensor::embedding(&arena.leaf(part), &Tensor::from_slice(&[3i64, 7]), -1, false, sparse)
            };
            let loss = (look_up(0, true) + 1.0).square().sum(Kind::Float)
                + (look_up(1, false) + 1.0).square().sum(Kind::Float);
            arena.backward(&loss);
            adam.step(&mut arena, &mut method("vanilla", &[]), 0.1, 0.0, at(step));
        }
        assert!(adam.moved[0].is_some() && adam.moved[1].is_none());
        assert!(adam.m.abs().sum(Kind::Float).double_value(&[]) > 0.0);
        let (fresh, new) = (adam.afresh(&arena, &recipe()), Adam::new(&arena, &recipe()));
        assert!(fresh.m.equal(&new.m) && fresh.v.equal(&new.v));
        assert_eq!(fresh.moved, new.moved);
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
