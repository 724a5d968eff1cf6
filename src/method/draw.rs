//! Random numbers as pure functions of (key, position): no state, and the same however the positions are cut into
//! stretches and whatever number of threads works on them.
//!
//! Two neighbouring positions share one 64-bit word, 32 bits each. The functions are compiled once for each width of
//! vector that a processor may have, because a mask for every parameter is drawn at every step: with 512 bits it takes a
//! tenth of the time (`cargo bench --bench methods`).

use multiversion::multiversion;

/// SplitMix64's output function: a bijection of 64 bits that passes BigCrush when fed a counter
/// (Steele, Lea and Flood, OOPSLA 2014).
#[inline(always)]
fn scramble(counter: u64) -> u64 {
    let mut z = counter.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Calls `write(entries, word)` for every word of the positions from `offset` on. `entries` are two, or one where a
/// stretch begins or ends inside a word; then the word is shifted so that the first entry has its low 32 bits.
#[inline(always)]
fn words(key: u64, offset: u64, out: &mut [f32], mut write: impl FnMut(&mut [f32], u64)) {
    let split = out.len().min((offset % 2) as usize);
    let (head, body) = out.split_at_mut(split);
    if !head.is_empty() {
        write(head, scramble(key.wrapping_add(offset / 2)) >> 32);
    }
    let first = key.wrapping_add(offset.div_ceil(2));
    let (pairs, tail) = body.as_chunks_mut::<2>();
    let count = pairs.len() as u64;
    for (word, pair) in pairs.iter_mut().enumerate() {
        write(pair, scramble(first.wrapping_add(word as u64)));
    }
    if !tail.is_empty() {
        write(tail, scramble(first.wrapping_add(count)));
    }
}

/// Zeros and ones, Bernoulli(p) to within 2⁻³³; p = 1 keeps every entry.
pub fn bernoulli(key: u64, p: f64, offset: u64, out: &mut [f32]) {
    scaled_bernoulli(key, p, 1.0, offset, out);
}

/// The same, with `value` instead of ones.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw", "x86_64+avx2"))]
pub fn scaled_bernoulli(key: u64, p: f64, value: f32, offset: u64, out: &mut [f32]) {
    let threshold = (p * 2f64.powi(32)).round() as u64;
    words(key, offset, out, |entries, word| {
        for (lane, entry) in entries.iter_mut().enumerate() {
            let is_kept = (word >> (32 * lane)) & 0xFFFF_FFFF < threshold;
            *entry = f32::from(u8::from(is_kept)) * value;
        }
    });
}

/// Uniform in [0, 1), multiples of 2⁻²⁴.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw", "x86_64+avx2"))]
pub fn uniform(key: u64, offset: u64, out: &mut [f32]) {
    words(key, offset, out, |entries, word| {
        for (lane, entry) in entries.iter_mut().enumerate() {
            let bits = (word >> (32 * lane)) as u32;
            *entry = (bits >> 8) as f32 * 2f32.powi(-24);
        }
    });
}

/// Standard normal: Box and Muller's transform of the two halves of a scrambled word, each position its own.
pub fn normal(key: u64, offset: u64, out: &mut [f32]) {
    for (i, entry) in out.iter_mut().enumerate() {
        let word = scramble(key.wrapping_add(offset + i as u64));
        let radius = ((word >> 32) as f32 + 1.0) * 2f32.powi(-32);
        let angle = (word as u32) as f32 * 2f32.powi(-32) * std::f32::consts::TAU;
        *entry = (-2.0 * radius.min(1.0).ln()).sqrt() * angle.cos();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::stream;

    type Draw = fn(u64, u64, &mut [f32]);
    const ALL: [Draw; 3] = [|key, offset, out| bernoulli(key, 0.3, offset, out), uniform, normal];

    fn draw(kind: Draw, key: u64, offset: u64, len: usize) -> Vec<f32> {
        let mut out = vec![0.0; len];
        kind(key, offset, &mut out);
        out
    }

    fn kept(key: u64, p: f64, len: usize) -> Vec<f32> {
        let mut out = vec![0.0; len];
        bernoulli(key, p, 0, &mut out);
        out
    }

    #[test]
    fn draws_do_not_depend_on_how_the_positions_are_cut() {
        for kind in ALL {
            let whole = draw(kind, 7, 0, 1001);
            for cut in [0, 1, 2, 3, 400, 401, 1000] {
                let parts = [draw(kind, 7, 0, cut), draw(kind, 7, cut as u64, 1001 - cut)].concat();
                assert_eq!(whole, parts, "cut at {cut}");
            }
            assert_ne!(draw(kind, 8, 0, 1001), whole);
        }
    }

    #[test]
    fn the_kept_share_is_p() {
        for p in [0.001, 0.1, 0.3, 0.9] {
            let n = 1 << 20;
            let kept: f64 = kept(stream(1, "mask", 5), p, n).iter().map(|&x| f64::from(x)).sum();
            let sigma = (p * (1.0 - p) * n as f64).sqrt();
            assert!((kept - p * n as f64).abs() < 5.0 * sigma, "p {p}: {kept} of {n}");
        }
    }

    #[test]
    fn neighbouring_entries_are_independent() {
        let mask = kept(11, 0.5, 1 << 18);
        let both = mask.windows(2).filter(|w| w[0] == 1.0 && w[1] == 1.0).count() as f64;
        assert!((both / mask.len() as f64 - 0.25).abs() < 0.005, "{both}");
    }

    #[test]
    fn p_of_one_keeps_all_and_steps_differ() {
        assert!(kept(3, 1.0, 4096).iter().all(|&x| x == 1.0));
        assert_ne!(kept(stream(1, "mask", 1), 0.5, 64), kept(stream(1, "mask", 2), 0.5, 64));
    }

    /// Mean, variance and fourth moment of many draws, and the correlation of neighbours, beside the closed form.
    #[test]
    fn moments_are_those_of_the_distributions() {
        let n = 1 << 20;
        for (kind, mean, variance, fourth) in
            [(uniform as Draw, 0.5, 1.0 / 12.0, 1.0 / 80.0), (normal as Draw, 0.0, 1.0, 3.0)]
        {
            let x: Vec<f64> = draw(kind, stream(3, "noise", 1), 0, n).into_iter().map(f64::from).collect();
            let moment = |power: i32| x.iter().map(|x| (x - mean).powi(power)).sum::<f64>() / n as f64;
            let beside: f64 = x.windows(2).map(|w| (w[0] - mean) * (w[1] - mean)).sum::<f64>() / n as f64;
            assert!(x.iter().all(|x| x.is_finite()));
            assert!(moment(1).abs() < 5.0 * (variance / n as f64).sqrt(), "mean {}", moment(1));
            assert!((moment(2) / variance - 1.0).abs() < 0.01, "variance {}", moment(2));
            assert!((moment(4) / fourth - 1.0).abs() < 0.02, "fourth moment {}", moment(4));
            assert!((beside / variance).abs() < 0.005, "correlation {}", beside / variance);
        }
    }
}
