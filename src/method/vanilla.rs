//! Full fine-tuning: every hook at its default.

use serde::Deserialize;

use super::{Info, Method, Vector};

pub const INFO: Info = Info {
    name: "vanilla",
    summary: "full fine-tuning with AdamW",
    equation: "θ ← θ − ηΔ,  Δ = Adam's direction for g = ∂L/∂θ",
    paper: "Devlin et al., BERT, NAACL 2019; Loshchilov and Hutter, Decoupled Weight Decay, ICLR 2019",
    choices: &[
        "ε is added to the uncorrected root of the second moment and decay acts after the update, as in transformers 4",
    ],
    numbers: &[],
    hooks: &[],
    claims: &[],
    against: &[],
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {}

pub struct Vanilla;

impl Vanilla {
    pub fn new(_: Numbers) -> Vanilla {
        Vanilla
    }
}

impl<V: Vector> Method<V> for Vanilla {}
