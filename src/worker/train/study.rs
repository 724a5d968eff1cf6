//! What a method may ask of its run: the child network, from the cache where it was made before.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use tch::Tensor;

use super::subject::Subject;
use super::{Listener, Places, fisher};
use crate::arena::{Values, select};
use crate::method::{Fisher, Pick, Study, stream};
use crate::plan::{NUMERICS, Run};
use crate::record::MaskNote;
use crate::record::mask::{Mask, Segment};
use crate::task::batch::epoch_order;
use crate::task::{Loaded, Task};

pub struct RunStudy<'a> {
    run: &'a Run,
    task: &'a Task,
    subject: &'a mut Subject,
    data: &'a Loaded,
    picked: &'a [u32],
    places: &'a Places,
    listener: &'a mut dyn Listener,
    note: Option<MaskNote>,
}

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
}

#[derive(Serialize)]
struct PerBatchKey {
    batch_size: u32,
    max_grad_norm: f64,
    dropout: Option<f64>,
    shuffle: bool,
    seed: u64,
}

impl<'a> RunStudy<'a> {
    pub fn new(
        run: &'a Run,
        task: &'a Task,
        subject: &'a mut Subject,
        data: &'a Loaded,
        picked: &'a [u32],
        places: &'a Places,
        listener: &'a mut dyn Listener,
    ) -> RunStudy<'a> {
        RunStudy { run, task, subject, data, picked, places, listener, note: None }
    }

    /// Which mask the method asked for, if any.
    pub fn into_note(self) -> Option<MaskNote> {
        self.note
    }

    fn fisher_key(&self, kind: Fisher, seed: u64) -> String {
        let recipe = &self.run.recipe;
        let key = FisherKey {
            numerics: NUMERICS,
            model: &self.run.model.hash,
            data: &self.data.hash,
            task: &self.task.name,
            train_size: recipe.train_size,
            sample_seed: recipe.train_size.map(|_| self.run.seed),
            max_length: recipe.max_length,
            head_seed: (!self.subject.has_stored_head()).then_some(seed),
            per_batch: (kind == Fisher::PerBatch).then_some(PerBatchKey {
                batch_size: recipe.batch_size,
                max_grad_norm: recipe.max_grad_norm,
                dropout: recipe.dropout,
                shuffle: recipe.shuffle,
                seed,
            }),
        };
        hash(&key)
    }

    /// The scores `[E]`, from the cache or made now.
    fn scores(&mut self, kind: Fisher, seed: u64, key: &str) -> Result<Vec<f32>> {
        let folder = self.places.cache.join("fisher");
        let path = folder.join(format!("{key}.f32"));
        if let Some(scores) = read_scores(&path) {
            return Ok(scores);
        }
        let (run, recipe) = (self.run, &self.run.recipe);
        if seed != run.seed {
            self.subject.reset(seed, recipe.dropout);
        }
        let mut pause = || self.listener.pause();
        let scores = match kind {
            Fisher::PerExample => fisher::per_example(self.subject, &self.data.train, self.picked, &mut pause),
            Fisher::PerBatch => {
                let order = epoch_order(self.picked.len(), stream(seed, "fisher", 0), 0, recipe.shuffle);
                let order: Vec<u32> = order.into_iter().map(|i| self.picked[i as usize]).collect();
                let (batch, norm) = (recipe.batch_size as usize, recipe.max_grad_norm);
                fisher::per_batch(self.subject, &self.data.train, &order, batch, norm, seed, &mut pause)
            }
        }?;
        if seed != run.seed {
            self.subject.reset(run.seed, recipe.dropout);
        }
        let scores: Vec<f32> = Vec::try_from(&scores.to_device(tch::Device::Cpu))?;
        ensure!(
            select::rankable(&scores),
            "the Fisher information is not finite: the gradients of the pre-trained model overflow on this data"
        );
        write_scores(&path, &scores)?;
        Ok(scores)
    }

    fn make(&mut self, kind: Fisher, seed: u64, pick: Pick, fisher_key: &str) -> Result<Mask> {
        let scores = self.scores(kind, seed, fisher_key)?;
        let kept: Vec<bool> = match pick {
            Pick::Share(p) => select::top_k(&scores, (p * scores.len() as f64).round() as usize),
            Pick::Percentile(p) => {
                let threshold = select::quantile(&scores, 1.0 - p);
                scores.iter().map(|&s| f64::from(s) >= threshold).collect()
            }
        };
        let layout = &self.subject.arena.layout;
        let segments = layout.encoder().map(|s| Segment { name: s.name.clone(), len: s.len as u64 }).collect();
        Mask::from_bools(segments, &kept)
    }
}

impl Study<Values> for RunStudy<'_> {
    fn decay_within(&mut self, mask: &Values) {
        let _ = self.subject.arena.decay.g_mul_(&mask.0);
    }

    fn child(&mut self, kind: Fisher, head_seed: Option<u64>, pick: Pick) -> Result<Values> {
        let seed = head_seed.unwrap_or(self.run.seed);
        let fisher_key = self.fisher_key(kind, seed);
        let (rule, p) = match pick {
            Pick::Share(p) => ("share", p),
            Pick::Percentile(p) => ("percentile", p),
        };
        let key = hash(&(&fisher_key, rule, p));
        let path = self.places.masks.join(format!("{key}.mask"));
        // Of several workers that want one Fisher pass, one makes it and the others wait for its result.
        let _turn = take_turn(&self.places.cache.join("fisher"), &fisher_key)?;
        let mask = match path.is_file().then(|| Mask::read(&path)).transpose() {
            Ok(Some(mask)) => mask,
            // Absent or damaged: a mask is made from what determines it, so it can always be made again.
            Ok(None) | Err(_) => {
                let mask = self.make(kind, seed, pick, &fisher_key)?;
                fs::create_dir_all(&self.places.masks)
                    .with_context(|| format!("cannot make {}", self.places.masks.display()))?;
                mask.write(&path)?;
                mask
            }
        };
        let expected = self.subject.arena.layout.encoder_len() as u64;
        if mask.len() != expected {
            bail!("the mask {} covers {} entries, the encoder has {expected}; remove it", path.display(), mask.len());
        }
        self.note = Some(MaskNote { key, kept: mask.kept(), of: mask.len() });
        let values: Vec<f32> = (0..mask.len()).map(|i| f32::from(u8::from(mask.get(i)))).collect();
        let arena = &self.subject.arena;
        let whole = arena.theta.ones_like();
        arena.layout.scatter_encoder(&Tensor::from_slice(&values).to_device(arena.device()), &whole);
        Ok(Values(whole))
    }
}

fn hash(key: &impl Serialize) -> String {
    let text = serde_json::to_vec(key).expect("keys hold only numbers and words");
    blake3::hash(&text).to_hex()[..20].to_owned()
}

/// Held until dropped; the kernel frees it should this process die.
fn take_turn(folder: &Path, key: &str) -> Result<File> {
    let path: PathBuf = folder.join(format!("{key}.lock"));
    let take = || -> std::io::Result<File> {
        fs::create_dir_all(folder)?;
        let file = File::create(&path)?;
        file.lock()?;
        Ok(file)
    };
    take().with_context(|| format!("cannot lock {}", path.display()))
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

fn write_scores(path: &Path, scores: &[f32]) -> Result<()> {
    let body: Vec<u8> = scores.iter().flat_map(|s| s.to_le_bytes()).collect();
    let draft = path.with_extension(format!("{}.tmp", std::process::id()));
    let write = || -> std::io::Result<()> {
        fs::write(&draft, [blake3::hash(&body).as_bytes().as_slice(), &body].concat())?;
        fs::rename(&draft, path)
    };
    let written = write();
    if written.is_err() {
        // A full disk should not keep the half that went in.
        let _ = fs::remove_file(&draft);
    }
    written.with_context(|| format!("cannot write the Fisher scores {}", path.display()))
}
