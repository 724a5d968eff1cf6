//! Made-up studies whose runs measured everything that a run can.

use super::{good, noise, record, study};
use crate::frame::{Study, mask_pairs, mask_uses};
use crate::record::parts::PartOverlap;
use crate::record::{Distance, Elsewhere, End, Outcome, Record, Sharpness, UpdateVariance, Way};

/// [`good`] at the full training size, with every measurement, six layers and the parts of all overlaps.
pub fn measured(tasks: usize, seeds: u64) -> Study {
    let mut study = good(tasks, seeds, &[None]);
    study.records.iter_mut().for_each(|record| measure(record, 6));
    let uses = mask_uses(&study.records);
    for (i, pair) in mask_pairs(&uses).iter().enumerate() {
        let (a, b) = pair.keys();
        let layers = (0..6).map(|layer| layer.to_string());
        let places = layers.flat_map(|layer| [(layer.clone(), "query"), (layer, "output")]);
        let places = [("embeddings".to_owned(), "embeddings")].into_iter().chain(places);
        for (n, (layer, kind)) in places.chain([("pooler".to_owned(), "pooler")]).enumerate() {
            let kept = 300 + (100.0 * noise(i as u64, n as u64)) as u64;
            let shared = kept / 2 + (n as u64) * 4;
            let (a, b, layer, kind) = (a.to_owned(), b.to_owned(), layer.clone(), kind.to_owned());
            study.overlap_parts.push(PartOverlap {
                a,
                b,
                layer,
                kind,
                shared,
                kept_a: kept,
                kept_b: kept + 20,
                of: 1000,
            });
        }
    }
    study
}

/// Vanilla and so many modes without a reserve rate, of long names, on one task of a model of 24 layers.
pub fn measured_modes(modes: usize, seeds: u64) -> Study {
    let names = (1..=modes).map(|i| format!("llrd+r-drop with a long name, number {i}"));
    let mut records = Vec::new();
    for (m, mode) in ["vanilla".to_owned()].into_iter().chain(names).enumerate() {
        for seed in 1..=seeds {
            let mut made = record("movies-rating", &mode, None, seed, 0.6 + 0.02 * noise(seed, m as u64));
            measure(&mut made, 24);
            records.push(made);
        }
    }
    study(records)
}

fn measure(record: &mut Record, layers: usize) {
    let (seed, p, score) = (record.run.seed, record.run.p().unwrap_or(1.0), record.score());
    let salt = record.run.mode.bytes().map(u64::from).sum::<u64>() + (p * 100.0) as u64;
    let End::Done(outcome) = &mut record.end else { return };
    let wave = |salt: u64| 1.0 + 0.1 * noise(seed, salt);
    outcome.elsewhere =
        [(Way::Eval, "snli"), (Way::Eval, "sick"), (Way::Probe, "cola"), (Way::Probe, "rte"), (Way::Transfer, "mrpc")]
            .into_iter()
            .zip(1..)
            .map(|((way, task), i)| Elsewhere {
                task: task.to_owned(),
                way,
                metric: if task == "cola" { "matthews" } else { "accuracy" }.to_owned(),
                dev: [
                    ("accuracy".to_owned(), Some(0.6 * wave(salt + i))),
                    ("matthews".to_owned(), Some(0.3 * wave(salt + 2 * i))),
                ]
                .into(),
                collapsed: false,
                train_examples: 100,
                dev_examples: 80,
                source_after: score.filter(|_| way == Way::Transfer).map(|score| score - 0.04),
            })
            .collect();
    let middle = (0..layers).map(|layer| layer.to_string());
    let names = ["embeddings".to_owned()].into_iter().chain(middle).chain(["pooler".to_owned()]);
    outcome.distance = names
        .enumerate()
        .map(|(i, layer)| {
            let moved = p * (0.2 + 0.02 * i as f64) * wave(salt + i as u64);
            Distance { layer, moved, from: 20.0 + i as f64 }
        })
        .collect();
    outcome.sharpness = Some(Sharpness {
        loss: 0.3,
        examples: 128,
        eigenvalue: 40.0 * (0.5 + p) * wave(salt),
        residual: 1e-3,
        iterations: 20,
        rho: 0.05,
        rise_ascent: 0.02 * (0.5 + p) * wave(salt + 1),
        sigma: 1e-3,
        rise_random: 3e-5 * (0.5 + p) * wave(salt + 2),
        directions: 8,
    });
    outcome.variance = variances(outcome, salt, seed);
}

/// tr Σ = 0.4 and ‖μ‖² = 2 before training, a tenth and a fiftieth of that after it.
fn variances(outcome: &Outcome, salt: u64, seed: u64) -> Vec<UpdateVariance> {
    let points = [("start", 0.4, 2.0, 0), ("end", 0.04, 0.04, salt)];
    let at = |(at, noise_of, mean, salt): (&str, f64, f64, u64)| {
        let rates = [0.1, 0.3, 0.5, 1.0].into_iter();
        let made = rates.map(move |p| {
            let closed = (noise_of / p + (1.0 - p) / p * mean) * (1.0 + 0.3 * noise(seed, salt));
            let measured = closed * (1.0 + 0.05 * noise(seed, salt + (p * 10.0) as u64 + 1));
            UpdateVariance { at: at.to_owned(), p, measured, closed, batches: outcome.steps }
        });
        made.collect::<Vec<_>>()
    };
    points.into_iter().flat_map(at).collect()
}
