//! How far training led each layer from the pre-trained point.

use rayon::prelude::*;
use tch::{Device, Kind, Tensor, no_grad};

use super::transfer::merged;
use crate::arena::{Stretch, Values, slice};
use crate::method::{Combination, Role};
use crate::record::Distance;
use crate::train::Subject;

/// Entries that one thread sums up at a time.
const CHUNK: usize = 1 << 14;

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
        let (moved, from) = squares(theta.detach(), part.shaped(&subject.arena.start));
        match layers.iter_mut().find(|(held, ..)| *held == name) {
            Some(held) => (held.1, held.2) = (held.1 + moved, held.2 + from),
            None => layers.push((name, moved, from)),
        }
    }
    let distance =
        |(layer, moved, from): (String, f64, f64)| Distance { layer, moved: moved.sqrt(), from: from.sqrt() };
    layers.into_iter().map(distance).collect()
}

/// ‖θ − θ⁰‖² and ‖θ⁰‖² of a part, summed in fp64.
fn squares(mut theta: Tensor, mut start: Tensor) -> (f64, f64) {
    if theta.device() != Device::Cpu || !theta.is_contiguous() {
        let square = |x: Tensor| no_grad(|| x.to_kind(Kind::Double).square().sum(Kind::Double)).double_value(&[]);
        return (square(theta - &start), square(start));
    }
    let chunks = slice(&mut theta).par_chunks(CHUNK).zip(slice(&mut start).par_chunks(CHUNK));
    let of_chunk = |(theta, start): (&[f32], &[f32])| {
        let pairs = theta.iter().zip(start).map(|(&theta, &start)| (f64::from(theta), f64::from(start)));
        pairs.fold((0.0, 0.0), |(moved, from), (theta, start)| {
            (moved + (theta - start) * (theta - start), from + start * start)
        })
    };
    // In order, so that no number of threads changes the sums.
    let sums: Vec<(f64, f64)> = chunks.map(of_chunk).collect();
    sums.into_iter().fold((0.0, 0.0), |(moved, from), (m, f)| (moved + m, from + f))
}
