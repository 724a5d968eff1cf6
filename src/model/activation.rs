//! Activations by their names in Hugging Face configs.

use anyhow::{Result, bail};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    Gelu,
    /// GELU by its tanh approximation.
    GeluTanh,
    Relu,
    Silu,
    Tanh,
}

const NAMES: &[(&str, Activation)] = &[
    ("gelu", Activation::Gelu),
    ("gelu_new", Activation::GeluTanh),
    ("gelu_pytorch_tanh", Activation::GeluTanh),
    ("gelu_fast", Activation::GeluTanh),
    ("relu", Activation::Relu),
    ("silu", Activation::Silu),
    ("swish", Activation::Silu),
    ("tanh", Activation::Tanh),
];

impl Activation {
    /// # Errors
    /// An unknown name; `key` is the config's key that holds it.
    pub fn parse(key: &str, name: &str) -> Result<Activation> {
        match NAMES.iter().find(|(known, _)| *known == name) {
            Some((_, activation)) => Ok(*activation),
            None => {
                let known: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
                bail!("{key} \"{name}\" is not known; known are: {}", known.join(", "))
            }
        }
    }
}
