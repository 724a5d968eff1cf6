//! Random masks as pure functions of (key, position).

use tch::{Device, Kind, Tensor};

/// SplitMix64's output function: a bijection of 64 bits that passes BigCrush when fed a counter
/// (Steele, Lea and Flood, OOPSLA 2014).
fn scramble(counter: u64) -> u64 {
    let mut z = counter.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A Bernoulli(p) mask of zeros and ones for the arena's entries `offset..offset + len`, `[len]` fp32.
///
/// On a CPU entry i depends on (key, i) alone, not on how the arena is cut or how many threads work. Two entries share
/// one 64-bit draw, 32 bits each, so the probability is p to within 2⁻³³; p = 1 keeps every entry. `offset` must be
/// even (blocks are). A GPU, where the arena is one block, draws from its own generator, seeded by the key.
pub fn mask(key: u64, p: f64, offset: i64, len: i64, device: Device) -> Tensor {
    if device != Device::Cpu {
        tch::manual_seed(key.wrapping_add(offset as u64) as i64);
        return Tensor::rand([len], (Kind::Float, device)).less(p).to_kind(Kind::Float);
    }
    let threshold = (p * 2f64.powi(32)).round() as u64;
    let mut mask = vec![0f32; len as usize];
    let first = offset as u64 / 2;
    for (word, entries) in mask.chunks_mut(2).enumerate() {
        let draw = scramble(key.wrapping_add(first + word as u64));
        for (lane, entry) in entries.iter_mut().enumerate() {
            *entry = f32::from(u8::from((draw >> (32 * lane)) & 0xFFFF_FFFF < threshold));
        }
    }
    Tensor::from_slice(&mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(key: u64, p: f64, offset: i64, len: i64) -> Vec<f32> {
        Vec::try_from(mask(key, p, offset, len, Device::Cpu)).expect("floats")
    }

    #[test]
    fn a_mask_does_not_depend_on_how_the_arena_is_cut() {
        let whole = draw(7, 0.3, 0, 1000);
        let parts = [draw(7, 0.3, 0, 400), draw(7, 0.3, 400, 600)].concat();
        assert_eq!(whole, parts);
    }

    #[test]
    fn the_kept_share_is_p() {
        for p in [0.001, 0.1, 0.3, 0.9] {
            let n = 1 << 20;
            let kept: f64 = draw(crate::method::stream(1, "mask", 5), p, 0, n).iter().map(|&x| f64::from(x)).sum();
            let sigma = (p * (1.0 - p) * n as f64).sqrt();
            assert!((kept - p * n as f64).abs() < 5.0 * sigma, "p {p}: {kept} of {n}");
        }
    }

    #[test]
    fn neighbouring_entries_are_independent() {
        let mask = draw(11, 0.5, 0, 1 << 18);
        let both = mask.windows(2).filter(|w| w[0] == 1.0 && w[1] == 1.0).count() as f64;
        assert!((both / mask.len() as f64 - 0.25).abs() < 0.005, "{both}");
    }

    #[test]
    fn p_of_one_keeps_all_and_steps_differ() {
        assert!(draw(3, 1.0, 0, 4096).iter().all(|&x| x == 1.0));
        assert_ne!(
            draw(crate::method::stream(1, "mask", 1), 0.5, 0, 64),
            draw(crate::method::stream(1, "mask", 2), 0.5, 0, 64)
        );
    }
}
