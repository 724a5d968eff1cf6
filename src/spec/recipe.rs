//! The settings of `[train]`. Each may also be an axis of `[grid]` or `[tune]`.

use super::number::{Domain, Number, Standard};

const fn number(name: &'static str, what: &'static str, domain: Domain, standard: Standard) -> Number {
    Number { name, what, domain, standard }
}

const COUNT: Domain = Domain::Whole { from: 1, to: u32::MAX as i64 };

/// Every setting that determines a run's result besides task, model, method and seed.
pub const RECIPE: &[Number] = &[
    number("epochs", "passes over the training set", COUNT, Standard::Whole(3)),
    number("max_steps", "ends training after so many steps", COUNT, Standard::Absent("all steps of the epochs")),
    number("train_size", "training examples used, a nested sample by seed", COUNT, Standard::Absent("all examples")),
    number("dev_size", "dev examples scored, the same for every run", COUNT, Standard::Absent("all examples")),
    number("batch_size", "examples in a step", COUNT, Standard::Whole(16)),
    number(
        "micro_batch",
        "examples in one forward and backward pass, of which a step sums up as many as its batch needs",
        COUNT,
        Standard::Absent("the whole batch"),
    ),
    number(
        "max_length",
        "tokens after which a text is cut, special tokens included",
        Domain::Whole { from: 4, to: 1 << 20 },
        Standard::Whole(128),
    ),
    number("lr", "peak learning rate", Domain::Real { above: 0.0, up_to: 1.0 }, Standard::Real(2e-5)),
    number(
        "warmup",
        "share of the steps over which the learning rate rises",
        Domain::RealBelow { from: 0.0, below: 1.0 },
        Standard::Real(0.1),
    ),
    number(
        "weight_decay",
        "decoupled weight decay, biases and layer norms spared",
        Domain::RealBelow { from: 0.0, below: f64::MAX },
        Standard::Real(0.01),
    ),
    number("beta1", "decay of Adam's first moment", Domain::RealBelow { from: 0.0, below: 1.0 }, Standard::Real(0.9)),
    number(
        "beta2",
        "decay of Adam's second moment",
        Domain::RealBelow { from: 0.0, below: 1.0 },
        Standard::Real(0.999),
    ),
    number(
        "eps",
        "added to the root of Adam's second moment",
        Domain::Real { above: 0.0, up_to: 1.0 },
        Standard::Real(1e-8),
    ),
    number(
        "max_grad_norm",
        "global norm to which the gradient is clipped; 0 is off",
        Domain::RealBelow { from: 0.0, below: f64::MAX },
        Standard::Real(1.0),
    ),
    number(
        "dropout",
        "replaces every dropout rate of the model",
        Domain::RealBelow { from: 0.0, below: 1.0 },
        Standard::Absent("the model's own rates"),
    ),
    number("shuffle", "a new order of the training set for each epoch", Domain::Flag, Standard::Flag(true)),
    number(
        "precision",
        "of the forward and backward pass, fp32, tf32 (on a GPU) or bf16; weights and optimizer are always fp32",
        Domain::Word(&["fp32", "tf32", "bf16"]),
        Standard::Word("fp32"),
    ),
    number(
        "gradient_checkpointing",
        "makes a layer's activations again in the backward pass: less memory for a second forward pass",
        Domain::Flag,
        Standard::Flag(false),
    ),
];

/// Written in `[train]` too, but without a say in the result.
pub const LOG_EVERY: Number = number(
    "log_every",
    "writes every n-th step to the run's steps.csv; 0 writes none",
    Domain::Whole { from: 0, to: u32::MAX as i64 },
    Standard::Whole(0),
);

pub const SEED: Number = number(
    "seed",
    "seed of head, data order, dropout and draws",
    Domain::Whole { from: 0, to: i64::MAX },
    Standard::Whole(1),
);
