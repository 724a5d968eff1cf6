//! How child networks overlap in each layer, or in each kind of matrix, against what chance would give.

use std::collections::HashMap;

use super::{Between, MaskPair, PartOverlap};

/// Along what an encoder is cut into parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    Layer,
    Kind,
}

impl Axis {
    fn of(self, part: &PartOverlap) -> &str {
        match self {
            Axis::Layer => &part.layer,
            Axis::Kind => &part.kind,
        }
    }
}

/// Means over the pairs of child networks that both keep something of the part.
#[derive(Debug, Clone, PartialEq)]
pub struct PartRate {
    /// `embeddings`, `0`, … or `query`, ….
    pub part: String,
    pub between: Between,
    pub pairs: usize,
    /// Shared entries of those that the smaller mask keeps of the part, in [0, 1].
    pub rate: f64,
    /// The rate expected of masks that keep as many entries of the part as these do.
    pub chance_within: f64,
    /// The rate expected of masks that keep as many entries of the whole encoder as these do, spread evenly: what the
    /// rate exceeds this by beyond `chance_within` comes from both masks favouring the same part.
    pub chance_overall: f64,
    /// Standard deviation over the pairs of rate − chance_within; `None` below two pairs.
    pub std_within: Option<f64>,
}

/// The rates of every part and kind of pair, parts in the order of the encoder. Pairs of which no parts are known are
/// passed over.
pub fn part_rates<'a>(
    pairs: impl IntoIterator<Item = MaskPair<'a>>,
    known: &HashMap<(&str, &str), Vec<&PartOverlap>>,
    axis: Axis,
) -> Vec<PartRate> {
    /// Of one pair: rate, chance within, chance overall.
    type Rates = [f64; 3];
    let mut found: Vec<(String, Between, Vec<Rates>)> = Vec::new();
    for pair in pairs {
        let Some(parts) = known.get(&pair.keys()) else { continue };
        let mut sums: Vec<PartOverlap> = Vec::new();
        for part in parts {
            match sums.iter_mut().find(|sum| axis.of(sum) == axis.of(part)) {
                Some(sum) => sum.add(part),
                None => sums.push((*part).clone()),
            }
        }
        let all = |f: fn(&PartOverlap) -> u64| sums.iter().map(f).sum::<u64>();
        let overall = all(|s| s.kept_a).max(all(|s| s.kept_b)) as f64 / all(|s| s.of).max(1) as f64;
        for sum in &sums {
            let (Some(rate), Some(within)) = (sum.rate(), sum.rate_by_chance()) else { continue };
            let part = axis.of(sum);
            let rates = [rate, within, overall];
            match found.iter_mut().find(|(name, between, _)| name == part && *between == pair.between) {
                Some((.., all)) => all.push(rates),
                None => found.push((part.to_owned(), pair.between, vec![rates])),
            }
        }
    }
    let mut rates: Vec<PartRate> =
        found.into_iter().map(|(part, between, rates)| mean(part, between, &rates)).collect();
    rates.sort_by_key(|rate| (place(&rate.part), rate.between));
    rates
}

/// Orders parts: embeddings, the layers by number, what lies behind them; kinds are alike and stay in their order.
pub fn place(part: &str) -> (u8, u32) {
    match (part, part.parse()) {
        ("embeddings", _) => (0, 0),
        (_, Ok(layer)) => (1, layer),
        ("pooler", _) => (3, 0),
        ("other", _) => (4, 0),
        _ => (2, 0),
    }
}

fn mean(part: String, between: Between, rates: &[[f64; 3]]) -> PartRate {
    let n = rates.len() as f64;
    let [rate, chance_within, chance_overall] = [0, 1, 2].map(|i| rates.iter().map(|r| r[i]).sum::<f64>() / n);
    let excess = rate - chance_within;
    let squares: f64 = rates.iter().map(|r| (r[0] - r[1] - excess).powi(2)).sum();
    let std_within = (rates.len() > 1).then(|| (squares / (n - 1.0)).sqrt());
    PartRate { part, between, pairs: rates.len(), rate, chance_within, chance_overall, std_within }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::frame::{example, mask_pairs, mask_uses};

    fn part(keys: (&str, &str), layer: &str, kind: &str, [shared, kept_a, kept_b, of]: [u64; 4]) -> PartOverlap {
        let (a, b) = (keys.0.to_owned(), keys.1.to_owned());
        PartOverlap { a, b, layer: layer.to_owned(), kind: kind.to_owned(), shared, kept_a, kept_b, of }
    }

    #[test]
    fn rates_and_both_expectations_by_hand() {
        let mut records = Vec::new();
        for (task, seed, key) in [("rte", 1, "a"), ("mrpc", 1, "b"), ("rte", 2, "c"), ("mrpc", 2, "d")] {
            let mut record = example::record(task, "child-d", Some(0.3), seed, 0.5);
            example::put_mask(&mut record, key, 30, 100);
            records.push(record);
        }
        let parts = [
            part(("a", "b"), "10", "query", [10, 20, 20, 40]),
            part(("a", "b"), "2", "query", [1, 6, 5, 30]),
            part(("a", "b"), "2", "key", [1, 4, 5, 30]),
            part(("c", "d"), "10", "query", [5, 20, 10, 40]),
            // Nothing is kept of layer 2 by the one: it has no rate there.
            part(("c", "d"), "2", "query", [0, 10, 0, 60]),
            part(("a", "c"), "10", "query", [20, 20, 20, 40]),
        ];
        let mut known: HashMap<(&str, &str), Vec<&PartOverlap>> = HashMap::new();
        for part in &parts {
            known.entry((&part.a, &part.b)).or_default().push(part);
        }
        let uses = mask_uses(&records);
        let rates = part_rates(mask_pairs(&uses), &known, Axis::Layer);
        let told: Vec<_> = rates.iter().map(|r| (&*r.part, r.between, r.pairs)).collect();
        assert_eq!(told, [("2", Between::Tasks, 1), ("10", Between::Tasks, 2), ("10", Between::Seeds, 1)]);
        // Layer 2: 2 shared of 10 and 10, of 60; the whole keeps 30 of 100.
        let near = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(near(rates[0].rate, 0.2) && near(rates[0].chance_within, 10.0 / 60.0));
        assert!(near(rates[0].chance_overall, 0.3) && rates[0].std_within.is_none());
        // Layer 10: 10/20 less 20/40 and 5/10 less 20/40 are nothing more than chance.
        assert!(near(rates[1].rate, 0.5) && near(rates[1].chance_within, 0.5));
        assert!(near(rates[1].std_within.unwrap(), 0.0));
        assert!(near(rates[2].rate - rates[2].chance_within, 0.5) && near(rates[2].chance_overall, 0.5));

        let kinds = part_rates(mask_pairs(&uses), &known, Axis::Kind);
        let told: Vec<_> = kinds.iter().map(|r| (&*r.part, r.between, r.pairs)).collect();
        assert_eq!(told, [("query", Between::Tasks, 2), ("key", Between::Tasks, 1), ("query", Between::Seeds, 1)]);
    }
}
