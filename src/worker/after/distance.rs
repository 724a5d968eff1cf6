//! How far training led each layer from the pre-trained point.

use tch::{Kind, Tensor, no_grad};

use super::transfer::merged;
use crate::arena::{Stretch, Values};
use crate::method::{Combination, Role};
use crate::record::Distance;
use crate::train::Subject;

/// ‖θ − θ⁰‖ and ‖θ⁰‖ of the embeddings, of every layer and of the pooler, what adapters add counted in. Parts that the
/// checkpoint has no value for are left out.
pub fn by_layer(subject: &Subject, method: &Combination<Values>) -> Vec<Distance> {
    let mut layers: Vec<(String, f64, f64)> = Vec::new();
    for (part, theta) in merged(subject, method).filter(|(part, _)| part.pretrained) {
        let name = match (part.role, part.layer()) {
            (Role::Embeddings, _) => "embeddings".to_owned(),
            (Role::Pooler, _) => "pooler".to_owned(),
            (Role::Encoder, Some(layer)) => layer.to_string(),
            _ => continue,
        };
        let square = |x: Tensor| no_grad(|| x.to_kind(Kind::Double).square().sum(Kind::Double)).double_value(&[]);
        let start = part.shaped(&subject.arena.start);
        let (moved, from) = (square(theta - &start), square(start));
        match layers.iter_mut().find(|(held, ..)| *held == name) {
            Some(held) => (held.1, held.2) = (held.1 + moved, held.2 + from),
            None => layers.push((name, moved, from)),
        }
    }
    let distance =
        |(layer, moved, from): (String, f64, f64)| Distance { layer, moved: moved.sqrt(), from: from.sqrt() };
    layers.into_iter().map(distance).collect()
}
