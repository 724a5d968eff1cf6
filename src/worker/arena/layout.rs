//! Which stretch of the flat tensor is which parameter. The order is a fact: it is saved with every mask.

use tch::Tensor;

/// Part of the model that a parameter belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Embeddings,
    /// A transformer layer: what a child network is chosen from.
    Encoder,
    Pooler,
    Head,
}

/// A parameter as a model declares it.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// Name in the checkpoint, without the family's prefix: `encoder.layer.0.attention.self.query.weight`.
    pub name: String,
    pub shape: Vec<i64>,
    pub role: Role,
    /// Weight decay applies: neither bias nor layer norm.
    pub decays: bool,
}

/// A parameter with its place in the arena.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    pub name: String,
    pub shape: Vec<i64>,
    pub role: Role,
    pub decays: bool,
    pub offset: i64,
    pub len: i64,
}

impl Segment {
    /// This segment's entries of a tensor of the arena's length, as a flat view.
    pub fn of(&self, flat: &Tensor) -> Tensor {
        flat.narrow(0, self.offset, self.len)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    pub segments: Vec<Segment>,
    /// P, entries in all.
    pub len: i64,
}

impl Layout {
    /// Lays the parameters one behind the other, in the given order.
    pub fn new(shapes: Vec<Shape>) -> Layout {
        let mut len = 0;
        let segments = shapes
            .into_iter()
            .map(|Shape { name, shape, role, decays }| {
                let segment = Segment { name, len: shape.iter().product(), shape, role, decays, offset: len };
                len += segment.len;
                segment
            })
            .collect();
        Layout { segments, len }
    }

    pub fn index(&self, name: &str) -> Option<usize> {
        self.segments.iter().position(|s| s.name == name)
    }

    /// The encoder's segments: the entries that a child network is chosen from, in order.
    pub fn encoder(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(|s| s.role == Role::Encoder)
    }

    /// E, entries in the encoder.
    pub fn encoder_len(&self) -> i64 {
        self.encoder().map(|s| s.len).sum()
    }

    /// Joins the encoder's entries of a tensor of the arena's length: `[P]` → `[E]`.
    pub fn gather_encoder(&self, flat: &Tensor) -> Tensor {
        Tensor::cat(&self.encoder().map(|s| s.of(flat)).collect::<Vec<_>>(), 0)
    }

    /// Writes `[E]` values over the encoder's entries of a `[P]` tensor.
    pub fn scatter_encoder(&self, values: &Tensor, flat: &Tensor) {
        let mut from = 0;
        for segment in self.encoder() {
            segment.of(flat).copy_(&values.narrow(0, from, segment.len));
            from += segment.len;
        }
    }
}
