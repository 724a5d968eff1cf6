//! The sequence-classification heads of transformers: which token they read and what lies before the logits.

use super::activation::Activation;
use super::parameter::Parameters;
use crate::method::Role;

/// What of the last hidden states `[B, T, H]` the head reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Summary {
    /// The first token of each example.
    First,
    /// The last one.
    Last,
    /// The mean over its tokens.
    Mean,
}

/// The layer between the summary and the logits.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    /// `pooler.dense`, `classifier.dense`, …
    pub name: &'static str,
    pub has_bias: bool,
    pub activation: Activation,
    /// A layer norm behind the activation, and whether it has a bias.
    pub norm: Option<(&'static str, bool)>,
    /// `Role::Pooler` where checkpoints of pre-training have it, `Role::Head` where it begins with fine-tuning.
    pub role: Role,
    /// The base model holds it, so that its stored name has the base model's prefix.
    pub in_base: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    pub summary: Summary,
    pub dense: Option<Dense>,
    /// The linear layer that makes the logits: `classifier`, `classifier.out_proj`, `logits_proj`.
    pub projection: &'static str,
}

impl Head {
    /// Whether a parameter's stored name has no prefix of the base model.
    pub(super) fn holds(&self, name: &str) -> bool {
        let below = |layer: &str| name.strip_prefix(layer).is_some_and(|rest| rest.starts_with('.'));
        below(self.projection)
            || self
                .dense
                .as_ref()
                .is_some_and(|d| !d.in_base && (below(d.name) || d.norm.is_some_and(|(norm, _)| below(norm))))
    }

    pub(super) fn add_to(&self, parameters: &mut Parameters, hidden: i64, labels: i64) {
        if let Some(dense) = &self.dense {
            parameters.head(dense.role);
            match dense.has_bias {
                true => parameters.linear(dense.name, hidden, hidden),
                false => parameters.matrix(dense.name, hidden, hidden),
            };
            match dense.norm {
                Some((norm, true)) => _ = parameters.norm(norm, hidden),
                Some((norm, false)) => _ = parameters.scale(norm, hidden),
                None => {}
            }
        }
        parameters.head(Role::Head).linear(self.projection, labels, hidden);
    }
}
