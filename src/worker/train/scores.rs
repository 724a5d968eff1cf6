//! Fisher scores of a run: what they depend on, made once and kept in the cache.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use tch::no_grad;

use super::fisher::{self, Scope};
use super::study::RunStudy;
use crate::arena::gather;
use crate::method::{Fisher, METHODS, Part, Role, select, stream};
use crate::network::rounding::Exact;
use crate::plan::NUMERICS;
use crate::task::batch::epoch_order;

/// All that the scores depend on, and nothing else: runs that differ in p, learning rate or epochs share them.
#[derive(Serialize)]
struct FisherKey<'a> {
    numerics: u32,
    model: &'a str,
    data: &'a str,
    task: &'a str,
    train_size: Option<u32>,
    sample_seed: Option<u64>,
    max_length: u32,
    head_seed: Option<u64>,
    per_batch: Option<PerBatchKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<StartKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    samples: Option<u32>,
}

#[derive(Serialize)]
struct PerBatchKey {
    batch_size: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    micro_batch: Option<u32>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    gradient_checkpointing: bool,
    max_grad_norm: f64,
    dropout: [f64; 3],
    shuffle: bool,
    seed: u64,
}

/// What moved θ away from the pre-trained point before the pass.
#[derive(Serialize)]
struct StartKey {
    /// Names and numbers of the methods that did.
    methods: Vec<(String, String, serde_json::Value)>,
    seed: u64,
}

impl RunStudy<'_> {
    pub fn fisher_key(&self, kind: Fisher, seed: u64, samples: Option<u32>) -> String {
        let recipe = &self.run.recipe;
        let key = FisherKey {
            numerics: NUMERICS,
            model: &self.run.model.hash,
            data: &self.data.hash,
            task: &self.task.name,
            train_size: recipe.train_size,
            // A few examples of all are a sample by seed too.
            sample_seed: recipe.train_size.or(samples).map(|_| self.run.seed),
            max_length: recipe.max_length,
            head_seed: (!self.subject.has_stored_head()).then_some(seed),
            per_batch: (kind == Fisher::PerBatch).then_some(PerBatchKey {
                batch_size: recipe.batch_size,
                micro_batch: recipe.micro_batch,
                gradient_checkpointing: recipe.gradient_checkpointing,
                max_grad_norm: recipe.max_grad_norm,
                dropout: self.subject.dropout(),
                shuffle: recipe.shuffle,
                seed,
            }),
            start: self.start_key(),
            samples,
        };
        hash(&key)
    }

    fn start_key(&self) -> Option<StartKey> {
        let method = &self.run.method;
        let moves = |part: &&str| METHODS.iter().any(|known| known.name == *part && known.moves_start());
        let numbers = method.parts().filter(moves).flat_map(|part| {
            let known = METHODS.iter().filter(move |known| known.name == part).flat_map(|known| known.numbers);
            known.filter_map(move |n| Some((part.to_owned(), n.name.to_owned(), method.number(part, n.name)?.clone())))
        });
        let methods: Vec<_> = numbers.collect();
        (!methods.is_empty()).then_some(StartKey { methods, seed: self.run.seed })
    }

    /// The scores of some parts, joined, from the cache or made now.
    pub fn scores(
        &mut self,
        kind: Fisher,
        scope: Scope,
        seed: u64,
        samples: Option<u32>,
        key: &str,
    ) -> Result<Vec<f32>> {
        let folder = self.places.cache.join("fisher");
        let path = folder.join(format!("{key}.f32"));
        if let Some(scores) = read_scores(&path) {
            return Ok(scores);
        }
        let _exact = Exact::new();
        let (run, recipe) = (self.run, &self.run.recipe);
        let own_head = (seed != run.seed).then(|| self.subject.arena.theta.copy());
        if own_head.is_some() {
            self.subject.draw_head(seed);
        }
        let mut pause = || self.listener.pause();
        let tokens = &self.data.train;
        let scores = match kind {
            Fisher::PerExample => {
                let order = match samples {
                    // In an order of its own, whether or not training shuffles.
                    Some(_) => epoch_order(self.picked.len(), stream(seed, "fisher", 0), 0, true),
                    None => (0..self.picked.len() as u32).collect(),
                };
                let most = samples.map_or(usize::MAX, |n| n as usize);
                let picked: Vec<u32> = order.into_iter().take(most).map(|i| self.picked[i as usize]).collect();
                fisher::per_example(self.subject, tokens, &picked, scope, &mut pause)
            }
            Fisher::PerBatch => {
                let order = epoch_order(self.picked.len(), stream(seed, "fisher", 0), 0, recipe.shuffle);
                let order: Vec<u32> = order.into_iter().map(|i| self.picked[i as usize]).collect();
                fisher::per_batch(self.subject, tokens, &order, recipe, seed, &mut pause)
            }
        }?;
        if let Some(own) = own_head {
            no_grad(|| self.subject.arena.theta.copy_(&own));
        }
        let parts: Vec<&Part> = self.subject.arena.layout.parts.iter().filter(|part| is_masked(part, scope)).collect();
        let joined = gather(&parts, &scores).to_device(tch::Device::Cpu);
        // Of a large model each of these is a gigabyte.
        drop(scores);
        let scores: Vec<f32> = Vec::try_from(&joined)?;
        drop(joined);
        ensure!(
            select::rankable(&scores),
            "the Fisher information is not finite: the gradients of the pre-trained model overflow on this data"
        );
        write_scores(&path, &scores)?;
        Ok(scores)
    }
}

/// The parts that a mask of a scope covers: of the whole model all but the head, which is always trained.
pub fn is_masked(part: &Part, scope: Scope) -> bool {
    match scope {
        Scope::Encoder => part.role == Role::Encoder,
        Scope::Whole => !matches!(part.role, Role::Head | Role::Adapter),
    }
}

/// 20 hexadecimal digits of the hash of a key.
pub fn hash(key: &impl Serialize) -> String {
    let text = serde_json::to_vec(key).expect("keys hold only numbers and words");
    blake3::hash(&text).to_hex()[..20].to_owned()
}

/// Scores as little-endian floats behind their hash; `None` where the file is absent, cut or damaged.
fn read_scores(path: &Path) -> Option<Vec<f32>> {
    let bytes = fs::read(path).ok()?;
    let (sum, body) = bytes.split_at_checked(blake3::OUT_LEN)?;
    if blake3::hash(body).as_bytes() != sum {
        return None;
    }
    Some(body.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
}

/// Scores that are turned into bytes at a time.
const PIECE: usize = 1 << 20;

fn write_scores(path: &Path, scores: &[f32]) -> Result<()> {
    let mut sum = blake3::Hasher::new();
    let bytes = |piece: &[f32]| -> Vec<u8> { piece.iter().flat_map(|s| s.to_le_bytes()).collect() };
    for piece in scores.chunks(PIECE) {
        sum.update(&bytes(piece));
    }
    let draft = path.with_extension(format!("{}.tmp", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&draft)?;
        file.write_all(sum.finalize().as_bytes())?;
        scores.chunks(PIECE).try_for_each(|piece| file.write_all(&bytes(piece)))?;
        fs::rename(&draft, path)
    };
    let written = write();
    if written.is_err() {
        // A full disk should not keep the half that went in.
        let _ = fs::remove_file(&draft);
    }
    written.with_context(|| format!("cannot write the Fisher scores {}", path.display()))
}
