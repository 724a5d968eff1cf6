//! Random numbers as tensors, pure functions of (key, position): `method::draw` on a CPU, and arithmetic on tensors
//! where the tensor lies on a GPU. Neither touches the generator that dropout draws from.

use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

use super::slice;
use crate::method::draw;

/// Entries that one thread draws at a time.
const CHUNK: usize = 1 << 16;

/// Zeros and ones, Bernoulli(p), in the shape of `like`, fp32. p = 1 keeps every entry.
pub fn bernoulli(like: &Tensor, key: u64, p: f64, offset: i64) -> Tensor {
    if like.device() == Device::Cpu {
        return drawn(like, |out| draw::bernoulli(key, p, offset as u64, out));
    }
    below(&bits(like, key, offset, 0), p)
}

/// What dropout multiplies `like` by, on a CPU: 1/keep with probability `keep`, else 0.
pub fn dropout(like: &Tensor, key: u64, keep: f64) -> Tensor {
    let mut mask = Tensor::empty(like.size(), (Kind::Float, Device::Cpu));
    let draw = |(chunk, out): (usize, &mut [f32])| {
        draw::scaled_bernoulli(key, keep, (1.0 / keep) as f32, (chunk * CHUNK) as u64, out);
    };
    let numbers = slice(&mut mask);
    match numbers.len() <= CHUNK {
        true => draw((0, numbers)),
        false => numbers.par_chunks_mut(CHUNK).enumerate().for_each(draw),
    }
    mask.to_kind(like.kind())
}

/// Uniform in [0, 1), in the shape of `like`, fp32.
pub fn uniform(like: &Tensor, key: u64, offset: i64) -> Tensor {
    if like.device() == Device::Cpu {
        return drawn(like, |out| draw::uniform(key, offset as u64, out));
    }
    // 24 bits, so that no value rounds up to 1.
    (bits(like, key, offset, 0).bitwise_right_shift_tensor_scalar_(8) * 2f64.powi(-24)).to_kind(Kind::Float)
}

/// Standard normal, in the shape of `like`, fp32.
pub fn normal(like: &Tensor, key: u64, offset: i64) -> Tensor {
    if like.device() == Device::Cpu {
        return drawn(like, |out| draw::normal(key, offset as u64, out));
    }
    normal_of_bits(&bits(like, key, offset, 0), &bits(like, key, offset, 1))
}

/// Ones where 32 bits are below p. Compared as whole numbers: fp32 has no room for the bits next to 2³².
fn below(bits: &Tensor, p: f64) -> Tensor {
    bits.less((p * 2f64.powi(32)).round() as i64).to_kind(Kind::Float)
}

fn drawn(like: &Tensor, fill: impl FnOnce(&mut [f32])) -> Tensor {
    let mut numbers = vec![0f32; like.numel()];
    fill(&mut numbers);
    Tensor::from_slice(&numbers).view_as(like)
}

/// Box and Muller's transform of two tensors of 32 bits.
fn normal_of_bits(radius: &Tensor, angle: &Tensor) -> Tensor {
    let radius = ((radius + 1) * 2f64.powi(-32)).to_kind(Kind::Float).clamp_max(1.0);
    let angle = (angle * (2f64.powi(-32) * std::f64::consts::TAU)).to_kind(Kind::Float);
    (radius.log() * -2.0).sqrt() * angle.cos()
}

/// 32 random bits for each entry of `like`, int64: two rounds of a bijection of 32 bits (Wellons' lowbias32), the
/// second keyed by the other half of the key. `lane` gives another draw of the same entry.
fn bits(like: &Tensor, key: u64, offset: i64, lane: u64) -> Tensor {
    const LOW: i64 = 0xFFFF_FFFF;
    let round = |x: Tensor| -> Tensor {
        let x = x.bitwise_xor_tensor(&x.bitwise_right_shift_tensor_scalar(16));
        let x = (x * 0x7FEB_352D_i64).bitwise_and(LOW);
        let x = x.bitwise_xor_tensor(&x.bitwise_right_shift_tensor_scalar(15));
        let x = (x * 0x846C_A68B_i64).bitwise_and(LOW);
        x.bitwise_xor_tensor(&x.bitwise_right_shift_tensor_scalar(16))
    };
    let key = key.wrapping_add(lane.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let (high, low) = ((key >> 32) as i64, (key as i64) & LOW);
    let positions = Tensor::arange_start(offset, offset + like.numel() as i64, (Kind::Int64, like.device()));
    let x = round((positions + low).bitwise_and(LOW));
    round((x + high).bitwise_and(LOW)).view_as(like)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropout_keeps_the_sum_and_draws_alike_in_any_number_of_pieces() {
        let like = Tensor::zeros([3, 70_001], (Kind::Float, Device::Cpu));
        let mask = dropout(&like, 9, 0.9);
        assert_eq!((mask.size(), mask.kind()), (like.size(), Kind::Float));
        assert!((mask.mean(Kind::Double).double_value(&[]) - 1.0).abs() < 0.003);
        let kept = mask.ne(0.0).to_kind(Kind::Float);
        assert!(mask.equal(&(kept * f64::from(1.0f32 / 0.9))));
        let few = dropout(&like.narrow(0, 0, 1).narrow(1, 0, 1000), 9, 0.9);
        assert!(few.equal(&mask.narrow(0, 0, 1).narrow(1, 0, 1000)));
        assert!(!mask.equal(&dropout(&like, 10, 0.9)));
        assert_eq!(dropout(&like.to_kind(Kind::BFloat16), 9, 0.9).kind(), Kind::BFloat16);
    }

    /// What a GPU computes, computed here: moments, independence of cut and lane.
    #[test]
    fn arithmetic_on_tensors_draws_as_well() {
        let like = Tensor::zeros([1 << 20], (Kind::Float, Device::Cpu));
        let draw = bits(&like, 0x1234_5678_9ABC_DEF0, 0, 0);
        let last = Tensor::from_slice(&[0xFFFF_FFFF_i64, 0xFFFF_FF80]);
        assert_eq!(below(&last, 1.0).sum(Kind::Float).double_value(&[]), 2.0, "p = 1 keeps every entry");
        let kept = below(&draw, 0.3).mean(Kind::Double).double_value(&[]);
        assert!((kept - 0.3).abs() < 0.002, "{kept}");
        let share = (&draw * 2f64.powi(-32)).to_kind(Kind::Double);
        assert!((share.mean(Kind::Double).double_value(&[]) - 0.5).abs() < 0.002);
        assert!((share.var(true).double_value(&[]) * 12.0 - 1.0).abs() < 0.01);
        let parts = [
            bits(&like.narrow(0, 0, 401), 0x1234_5678_9ABC_DEF0, 0, 0),
            bits(&like.narrow(0, 0, 600), 0x1234_5678_9ABC_DEF0, 401, 0),
        ];
        assert!(Tensor::cat(&parts, 0).equal(&draw.narrow(0, 0, 1001)));
        let other = bits(&like, 0x1234_5678_9ABC_DEF0, 0, 1);
        let normal = normal_of_bits(&draw, &other).to_kind(Kind::Double);
        assert!(normal.isfinite().all().int64_value(&[]) == 1);
        let moment = |power: f64| normal.pow_tensor_scalar(power).mean(Kind::Double).double_value(&[]);
        assert!(moment(1.0).abs() < 0.005 && (moment(2.0) - 1.0).abs() < 0.01 && (moment(4.0) - 3.0).abs() < 0.06);
        let beside = (normal.narrow(0, 0, 1000) * normal.narrow(0, 1, 1000)).mean(Kind::Double);
        assert!(beside.double_value(&[]).abs() < 0.15);
    }
}
