//! The diagonal of the Fisher information, two ways.
//!
//! **Per example**, the paper's equation: F = (1/N) Σⱼ gⱼ², gⱼ the gradient of example j's own loss. No example is
//! sent backward alone. For a linear layer y = xWᵀ + b the gradient of example j is δⱼᵀxⱼ, where δⱼ = ∂Lⱼ/∂y is what
//! one backward pass of the *summed* loss leaves in j's rows, because the examples of a batch do not meet. So one
//! forward and one backward pass to the activations serve a whole batch, and each layer adds Σⱼ (δⱼᵀxⱼ)². A layer
//! norm y = x̂⊙w + b gives Σⱼ (Σₜ δⱼₜ⊙x̂ⱼₜ)², a bias Σⱼ (Σₜ δⱼₜ)², and row i of an embedding table (Σ δⱼₜ over the
//! tokens t of example j that look it up)². Where a parameter meets the tokens more than once (ALBERT's shared layers) or
//! something other than tokens (relative positions in XLNet and DeBERTa), every example is sent backward alone.
//!
//! **Per batch**, the authors' program: the squared gradient of the batch mean, each tensor clipped by itself.
//!
//! Both are fp32 whatever the run's precision is: which entries are the largest is a matter of small differences.

use tch::{Kind, Tensor, no_grad};

use super::gradient::Step;
use super::subject::Subject;
use super::{PutAside, loss};
use crate::arena::{Stretch, Values};
use crate::method::{Combination, Moment, Part, Role};
use crate::network::{Pass, Site, SiteKind};
use crate::plan::{Choice, Recipe};
use crate::task::Tokens;
use crate::task::batch::{Batch, by_length};

/// What the per-example route scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub enum Scope {
    /// The encoder, which a child network is chosen from.
    Encoder,
    /// Every parameter.
    Whole,
}

/// Examples in a batch of the per-example route; changes speed, not the result.
const ROWS: usize = 16;

/// Mean squared per-example gradient over `picked` examples, dropout off: `[P]`, zeros outside the scope.
///
/// # Errors
/// `PutAside` as soon as `pause` says so.
pub fn per_example(
    subject: &Subject,
    tokens: &Tokens,
    picked: &[u32],
    scope: Scope,
    pause: &mut dyn FnMut() -> bool,
) -> Result<Tensor, PutAside> {
    let flat = subject.arena.theta.zeros_like();
    let chosen: std::collections::HashSet<u32> = picked.iter().copied().collect();
    let order: Vec<u32> = by_length(tokens).into_iter().filter(|i| chosen.contains(i)).collect();
    let scored: Vec<&Part> = subject.arena.layout.parts.iter().filter(|part| scope.takes(part)).collect();
    for rows in order.chunks(ROWS) {
        if pause() {
            return Err(PutAside);
        }
        let batch = Batch::of(tokens, rows, subject.pad());
        let input = subject.input(&batch);
        let mut pass = Pass::record_sites();
        let logits = subject.encoder.forward(&input, &mut pass);
        let is_scored = |site: &Site| scope.takes(&subject.arena.layout.parts[site.parts[0]]);
        let sites: Vec<Site> = pass.sites.unwrap_or_default().into_iter().filter(is_scored).collect();
        if !meets_each_once(&sites, &scored) {
            drop((logits, sites));
            add_one_by_one(subject, tokens, rows, &scored, &flat);
            continue;
        }
        let total = loss::sum(&logits, &subject.labels(&batch));
        let outputs: Vec<&Tensor> = sites.iter().map(|site| &site.output).collect();
        let deltas = Tensor::run_backward(&[total], &outputs, false, false);
        no_grad(|| {
            for (site, delta) in sites.iter().zip(&deltas) {
                // Pooler and head see one token of each example.
                let one = vec![1; batch.lengths.len()];
                let sees_one = delta.size()[0] == one.len() as i64;
                let lengths = if sees_one { &one } else { &batch.lengths };
                match &site.kind {
                    SiteKind::Tables(ids) => add_squares_of_tables(subject, site, ids, delta, lengths, &flat),
                    SiteKind::Linear | SiteKind::LayerNorm { .. } => add_squares(subject, site, delta, lengths, &flat),
                    SiteKind::Shared => unreachable!("it was looked for"),
                }
            }
        });
    }
    Ok(no_grad(|| flat / picked.len() as f64))
}

impl Scope {
    fn takes(self, part: &Part) -> bool {
        self == Scope::Whole || part.role == Role::Encoder
    }
}

/// Whether the sites hold every parameter once. Where layers share one, or where it meets something other than the tokens
/// of an example, an example's gradient is no product of what went in and what came back.
fn meets_each_once(sites: &[Site], parts: &[&Part]) -> bool {
    if sites.iter().any(|site| matches!(site.kind, SiteKind::Shared)) {
        return false;
    }
    let mut met: Vec<usize> = sites.iter().flat_map(|site| site.parts.iter().copied()).collect();
    met.sort_unstable();
    met.iter().copied().eq(parts.iter().map(|part| part.index))
}

/// Sends every example backward alone.
fn add_one_by_one(subject: &Subject, tokens: &Tokens, rows: &[u32], parts: &[&Part], flat: &Tensor) {
    let leaves: Vec<Tensor> = parts.iter().map(|part| subject.arena.leaf(part.index)).collect();
    for row in rows {
        let batch = Batch::of(tokens, &[*row], subject.pad());
        let logits = subject.encoder.forward(&subject.input(&batch), &mut Pass::evaluate(None));
        let total = loss::sum(&logits, &subject.labels(&batch));
        let gradients = Tensor::run_backward(&[total], &leaves, false, false);
        no_grad(|| {
            for (part, gradient) in parts.iter().zip(gradients).filter(|(_, gradient)| gradient.defined()) {
                let _ = part.shaped(flat).addcmul_(&gradient, &gradient);
            }
        });
    }
}

/// Adds each example's squared gradient at a site. `delta` is `[N, out]`, the examples one behind the other.
fn add_squares(subject: &Subject, site: &Site, delta: &Tensor, lengths: &[usize], flat: &Tensor) {
    let layout = &subject.arena.layout;
    let weight = &layout.parts[site.parts[0]];
    let normed = match site.kind {
        SiteKind::LayerNorm { eps } => {
            Some(delta * site.input.layer_norm::<Tensor>(weight.shape.as_slice(), None, None, eps, false))
        }
        SiteKind::Linear | SiteKind::Tables(_) | SiteKind::Shared => None,
    };
    let mut weight = weight.shaped(flat);
    let mut bias = site.parts.get(1).map(|&bias| layout.parts[bias].of(flat));
    let mut from = 0;
    // One example at a time in one place, so that its gradient is squared while still in the cache.
    let place = weight.empty_like();
    for &length in lengths {
        let length = length as i64;
        let own = |whole: &Tensor| whole.narrow(0, from, length);
        let gradient = match &normed {
            None => own(delta).transpose(0, 1).matmul_out(&place, &own(&site.input)), // [out, t] × [t, in] → [out, in]
            Some(normed) => own(normed).sum_dim_intlist(0, false, Kind::Float),       // [t, H] → [H]
        };
        let _ = weight.addcmul_(&gradient, &gradient);
        if let Some(bias) = &mut bias {
            let gradient = own(delta).sum_dim_intlist(0, false, Kind::Float); // [t, out] → [out]
            let _ = bias.addcmul_(&gradient, &gradient);
        }
        from += length;
    }
}

/// The same for tables, `ids` `[N]` the rows of each, whose sum has gradient `delta` `[N, H]`.
fn add_squares_of_tables(
    subject: &Subject,
    site: &Site,
    ids: &[Tensor],
    delta: &Tensor,
    lengths: &[usize],
    flat: &Tensor,
) {
    let hidden = delta.size()[1];
    for (&part, ids) in site.parts.iter().zip(ids) {
        let table = subject.arena.layout.parts[part].shaped(flat);
        let mut from = 0;
        for &length in lengths {
            let length = length as i64;
            // Rows that the example looks up, and for each of its tokens which of them.
            let (rows, places, _) = ids.narrow(0, from, length).internal_unique2(true, true, false);
            let sums = Tensor::zeros([rows.size()[0], hidden], (Kind::Float, delta.device()));
            let gradient = sums.index_add(0, &places, &delta.narrow(0, from, length)); // [t, H] → [rows, H]
            let _ = table.shallow_clone().index_add_(0, &rows, &gradient.square());
            from += length;
        }
    }
}

/// Mean squared gradient of a recipe's batches, each tensor clipped to its norm, dropout on: `[P]`, zeros outside the
/// encoder.
///
/// `order` are the examples in the order of the pass; a short last batch weighs as much as a full one.
///
/// # Errors
/// `PutAside` as soon as `pause` says so.
pub fn per_batch(
    subject: &mut Subject,
    tokens: &Tokens,
    order: &[u32],
    recipe: &Recipe,
    seed: u64,
    pause: &mut dyn FnMut() -> bool,
) -> Result<Tensor, PutAside> {
    let flat = subject.arena.theta.zeros_like();
    let (batch_size, max_norm) = (recipe.batch_size as usize, recipe.max_grad_norm);
    let batches = order.len().div_ceil(batch_size);
    let plain = Choice { name: "vanilla".into(), numbers: Default::default() };
    let plain = Combination::<Values>::build(&plain).expect("vanilla has no numbers");
    for (index, picks) in order.chunks(batch_size).enumerate() {
        if pause() {
            return Err(PutAside);
        }
        let at = Moment { seed, step: index as u32, steps: batches as u32, pass: 0, token: 0 };
        let batch = Step { tokens, picks, recipe, precision: Kind::Float, dropout: "fisher dropout", at };
        batch.gradient(subject, &plain);
        no_grad(|| {
            for part in subject.arena.layout.encoder() {
                let gradient = part.of(&subject.arena.gradient);
                let norm = gradient.norm().double_value(&[]);
                let clip = if max_norm > 0.0 { (max_norm / (norm + 1e-6)).min(1.0) } else { 1.0 };
                // In its place: the next batch writes its own there.
                let mut scaled = gradient;
                scaled *= clip / (batches as f64).sqrt();
                let _ = part.of(&flat).addcmul_(&scaled, &scaled);
            }
        });
    }
    Ok(flat)
}

#[cfg(test)]
mod tests {
    use super::super::example::{Example, run};
    use super::*;

    fn subject(example: &Example) -> Subject {
        example.subject(&run("vanilla", &[]))
    }

    /// The equation as it stands: every example sent backward alone.
    fn one_at_a_time(subject: &mut Subject, tokens: &Tokens, picked: &[u32]) -> Tensor {
        let mut sum = subject.arena.theta.zeros_like();
        for &example in picked {
            let batch = Batch::of(tokens, &[example], subject.pad());
            let logits = subject.encoder.forward(&subject.input(&batch), &mut Pass::evaluate(None));
            let loss = loss::mean(&logits, &subject.labels(&batch));
            subject.arena.backward(&loss);
            sum += subject.arena.gradient.square();
        }
        sum / picked.len() as f64
    }

    /// To 1e-5 of each tensor's scores, embeddings, pooler and head included.
    #[test]
    fn the_batched_route_equals_one_example_at_a_time() {
        for (what, make) in [("classes", Example::classes as fn() -> Example), ("values", Example::values)] {
            let example = make();
            let (mut subject, tokens) = (subject(&example), &example.data.train);
            let picked: Vec<u32> = (0..tokens.len() as u32).step_by(3).collect();
            let expected = one_at_a_time(&mut subject, tokens, &picked);
            let found = per_example(&subject, tokens, &picked, Scope::Whole, &mut || false).expect("scores");
            // The key's bias has no gradient at all but for rounding: softmax does not see it.
            let least = 1e-6 * expected.norm().double_value(&[]);
            let mut tensors = 0;
            for part in &subject.arena.layout.parts {
                let (found, expected) = (part.of(&found), part.of(&expected));
                let apart = (&found - &expected).norm().double_value(&[]) / (expected.norm().double_value(&[]) + least);
                assert!(apart < 1e-5, "{what}, {}: {apart}", part.name);
                tensors += 1;
            }
            assert_eq!(tensors, 41);
            let encoder = per_example(&subject, tokens, &picked, Scope::Encoder, &mut || false).expect("scores");
            for part in &subject.arena.layout.parts {
                let scores = part.of(&encoder);
                let expected = if part.role == Role::Encoder { part.of(&found) } else { scores.zeros_like() };
                assert!(scores.equal(&expected), "{}", part.name);
            }
        }
    }

    #[test]
    fn a_pass_stops_when_asked_to() {
        let example = Example::classes();
        let (subject, tokens) = (subject(&example), &example.data.train);
        let mut batches = 0;
        let mut third = || {
            batches += 1;
            batches == 3
        };
        let picked: Vec<u32> = (0..tokens.len() as u32).collect();
        assert!(per_example(&subject, tokens, &picked, Scope::Encoder, &mut third).is_err());
        assert_eq!(batches, 3);
    }

    #[test]
    fn the_authors_route_clips_each_tensor() {
        let example = Example::classes();
        let (mut subject, tokens) = (subject(&example), &example.data.train);
        let recipe = |max_grad_norm| Recipe { batch_size: 8, max_grad_norm, dropout: Some(0.0), ..Recipe::default() };
        subject.reset(1, &recipe(0.0));
        let order: Vec<u32> = (0..16).collect();
        let loose = per_batch(&mut subject, tokens, &order, &recipe(0.0), 1, &mut || false).expect("scores");
        let tight = per_batch(&mut subject, tokens, &order, &recipe(1e-3), 1, &mut || false).expect("scores");
        let segments = subject.arena.layout.encoder().len() as f64;
        // No tensor's squared gradient can sum to more than the square of the limit.
        assert!(tight.sum(Kind::Double).double_value(&[]) <= segments * 1e-6 * 1.001);
        assert!(loose.sum(Kind::Double).double_value(&[]) > tight.sum(Kind::Double).double_value(&[]) * 10.0);
    }
}
