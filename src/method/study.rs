//! What a run lets its method see and ask for.

use anyhow::Result;

use super::part::Part;

/// Where a pass over a batch stands in its run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// The run's seed.
    pub seed: u64,
    /// Counted from 1.
    pub step: u32,
    /// Steps of the whole run.
    pub steps: u32,
    /// Forward passes over these examples before this one.
    pub pass: u32,
    /// Tokens of the step's batch before those of its micro-batch: noise on activations begins there, so that a batch
    /// has the same in whole and in parts.
    pub token: i64,
}

/// A stretch of one parameter while the optimizer walks over them all; every vector has `len` entries.
pub struct Block<'a, V> {
    pub part: &'a Part,
    /// Index of its first entry in the arena.
    pub offset: i64,
    pub len: i64,
    /// θ as it stands.
    pub theta: V,
    /// θ⁰, the checkpoint's value; zeros where `part.pretrained` is false.
    pub start: V,
    pub moment: Moment,
    /// η of this step.
    pub rate: f64,
}

impl<V: super::Vector> Block<'_, V> {
    /// The block's entries of a vector over the whole arena.
    pub fn of(&self, whole: &V) -> V {
        whole.stretch(self.offset, self.len)
    }
}

/// What a method may ask of its run: before the first step, and at each step before the forward pass.
///
/// Vectors over the whole arena have P entries, those over a part have the part's.
pub trait Study<V> {
    /// Every parameter, in the arena's order.
    fn parts(&self) -> Vec<Part>;

    /// The run's seed.
    fn seed(&self) -> u64;

    /// P, entries of the arena.
    fn entries(&self) -> i64;

    /// Zeros, `[len]`.
    fn zeros(&self, len: i64) -> V;

    /// A copy of θ, `[P]`.
    fn theta(&self) -> V;

    /// A part of θ in its own shape, as a view.
    fn theta_of(&self, part: &Part) -> V;

    /// Writes a part of θ; `values` has the part's entries.
    fn set_theta(&mut self, part: &Part, values: &V);

    /// Draws a part anew as a fresh layer is: weights from N(0, initializer_range²), biases 0, norms 1. It no longer
    /// has a pre-trained value.
    fn draw_anew(&mut self, part: &Part);

    /// D ← factor·D within a part.
    fn scale_decay(&mut self, part: &Part, factor: f64);

    /// Only these parts are trained; all others have no gradient, no decay and no share in the gradient's norm.
    fn train_only(&mut self, trained: &dyn Fn(&Part) -> bool);

    /// Entries outside the mask `[P]` do not move, by decay or pull either.
    fn hold(&mut self, mask: &V);

    /// The child network chosen by Fisher information: zeros and ones over the arena, `[P]`, ones outside the encoder.
    /// Made once for all runs that share what it depends on, and kept as an artifact.
    ///
    /// # Errors
    /// Scores that are not finite, files that cannot be written.
    fn child(&mut self, fisher: Fisher, head_seed: Option<u64>, pick: Pick) -> Result<V>;

    /// A child network of round(p·E) entries of the encoder drawn at random, otherwise as `child`.
    ///
    /// # Errors
    /// Files that cannot be written.
    fn random_child(&mut self, mask_seed: Option<u64>, p: f64) -> Result<V>;

    /// FISH mask: the int(keep·P) − H entries outside the head with the largest sum of squared per-example gradients
    /// over `samples` training examples; the head's H are ones besides. `[P]`.
    ///
    /// # Errors
    /// As `child`; a head that alone is more than keep·P.
    fn fish(&mut self, samples: u32, keep: f64) -> Result<V>;

    /// Marks the entries of a part's scores that reach the ceil(share·n)-th largest, ties included: zeros and ones.
    fn largest(&self, scores: &V, share: f64) -> V;
}

/// Which estimate of the diagonal of the Fisher information.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fisher {
    /// The mean over examples of the squared gradient, dropout off: the paper's equation.
    PerExample,
    /// The mean over batches of the squared batch gradient, each tensor clipped, dropout on: the authors' program.
    PerBatch,
}

/// Which entries are kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pick {
    /// The largest: exactly round(p·E), ties to the lower index.
    Share(f64),
    /// The largest: all that reach the 100·(1 − p)-th percentile, ties included.
    Percentile(f64),
    /// The smallest: exactly round(p·E), ties to the lower index.
    LowestShare(f64),
    /// The smallest: all up to the 100·p-th percentile, ties included.
    LowestPercentile(f64),
}

/// Values that stand beside a weight of the forward pass.
pub trait Leaves<V> {
    /// θ⁰ of a part, in its shape.
    fn start(&self, part: &Part) -> V;

    /// A part that the method itself added beside this one, by its suffix, in its shape; gradients flow to it.
    fn adapter(&self, part: &Part, suffix: &str) -> V;
}

/// Forward passes over a step's batch, or over a micro-batch of it, from which the loss is made. All vectors are in the
/// graph. Of a micro-batch it is the share of the batch's loss: what the shares add up to is minimised.
pub trait Passes<V> {
    /// Logits `[B, labels]` of a pass in training mode; each has dropout and noise of its own.
    fn pass(&mut self) -> V;

    /// The same, with the word embeddings `[N, H]` changed on their way in.
    fn pass_with(&mut self, words: &dyn Fn(&V) -> V) -> V;

    /// The task's loss, summed over these examples and divided by B: cross-entropy, or squared error for a regression.
    fn loss(&mut self, logits: &V) -> V;

    /// How far the predictions of two passes lie apart, summed over these examples: KL(p‖q) + KL(q‖p), or the squared
    /// difference for a regression.
    fn divergence(&mut self, a: &V, b: &V) -> V;

    /// B, the examples of the whole batch.
    fn examples(&self) -> f64;
}
