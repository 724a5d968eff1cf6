//! Which stretch of the flat tensor is which parameter. The order is a fact: it is saved with every mask.

use tch::Tensor;

use crate::method::{Part, Role};

/// A parameter as a model or a method declares it.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// Name in the checkpoint, without the family's prefix: `encoder.layer.0.attention.self.query.weight`.
    pub name: String,
    pub shape: Vec<i64>,
    pub role: Role,
    /// Weight decay applies: neither bias nor layer norm.
    pub decays: bool,
}

/// A part's entries of a tensor of the arena's length.
pub trait Stretch {
    /// As a flat view, `[len]`.
    fn of(&self, flat: &Tensor) -> Tensor;

    /// As a view in the part's own shape.
    fn shaped(&self, flat: &Tensor) -> Tensor;
}

impl Stretch for Part {
    fn of(&self, flat: &Tensor) -> Tensor {
        flat.narrow(0, self.offset, self.len)
    }

    fn shaped(&self, flat: &Tensor) -> Tensor {
        self.of(flat).view(self.shape.as_slice()) // [len] → the shape
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    pub parts: Vec<Part>,
    /// P, entries in all.
    pub len: i64,
}

impl Layout {
    /// Lays the parameters one behind the other, in the given order.
    pub fn new(shapes: Vec<Shape>) -> Layout {
        let mut offset = 0;
        let place = |(index, Shape { name, shape, role, decays }): (usize, Shape)| {
            let len = shape.iter().product();
            offset += len;
            Part { index, name, shape, role, decays, pretrained: role != Role::Adapter, offset: offset - len, len }
        };
        let parts = shapes.into_iter().enumerate().map(place).collect();
        Layout { parts, len: offset }
    }

    pub fn index(&self, name: &str) -> Option<usize> {
        self.parts.iter().position(|part| part.name == name)
    }

    /// The encoder's parts: the entries that a child network is chosen from, in order.
    pub fn encoder(&self) -> Vec<&Part> {
        self.parts.iter().filter(|part| part.role == Role::Encoder).collect()
    }
}

/// Joins the entries of some parts of a tensor of the arena's length.
pub fn gather(parts: &[&Part], flat: &Tensor) -> Tensor {
    Tensor::cat(&parts.iter().map(|part| part.of(flat)).collect::<Vec<_>>(), 0)
}

/// Writes joined values over the entries of some parts of a tensor of the arena's length.
pub fn scatter(parts: &[&Part], values: &Tensor, flat: &Tensor) {
    let mut from = 0;
    for part in parts {
        part.of(flat).copy_(&values.narrow(0, from, part.len));
        from += part.len;
    }
}
