//! A parameter and its place among all parameters of a run.

/// Part of the model that a parameter belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Embeddings,
    /// A transformer layer: what a child network is chosen from.
    Encoder,
    Pooler,
    Head,
    /// Added by a method; no checkpoint has it.
    Adapter,
}

/// One tensor of the model, a stretch of the arena in which all of them lie.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Its place in the order of the parameters.
    pub index: usize,
    /// Name in the checkpoint, without the family's prefix: `encoder.layer.0.attention.self.query.weight`.
    pub name: String,
    pub shape: Vec<i64>,
    pub role: Role,
    /// Weight decay applies: neither bias nor layer norm.
    pub decays: bool,
    /// The checkpoint has a value for it: θ⁰ is known.
    pub pretrained: bool,
    /// Index of its first entry in the arena.
    pub offset: i64,
    pub len: i64,
}

impl Part {
    /// The transformer layer, counted from the embeddings: the first number in the name. `None` outside the encoder.
    pub fn layer(&self) -> Option<usize> {
        let mut words = self.name.split('.').filter(|_| self.role == Role::Encoder);
        words.find_map(|word| word.parse().ok())
    }

    pub fn is_bias(&self) -> bool {
        self.name.ends_with("bias")
    }

    /// The weight of a linear layer of the encoder or the pooler: `[out, in]`, or `[in, heads, out per head]` in XLNet's
    /// attention.
    pub fn is_linear_weight(&self) -> bool {
        let is_matrix = self.decays && self.shape.len() >= 2 && !self.name.ends_with("seg_embed");
        is_matrix && matches!(self.role, Role::Encoder | Role::Pooler)
    }
}

/// A matrix that a method adds beside a part.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapter {
    /// Behind the part's name: `lora_A.weight`.
    pub suffix: &'static str,
    pub shape: Vec<i64>,
}

/// What planning knows of a model and its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Size {
    /// Layers of the encoder.
    pub layers: usize,
    /// H, the width of a layer's input.
    pub hidden: i64,
    /// P, all parameters, the head's among them.
    pub parameters: i64,
    pub head: i64,
}
