//! What a method may ask of its run: the child network, from the cache where it was made before.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use tch::{Kind, Tensor, no_grad};

use super::fisher::Scope;
use super::subject::Subject;
use super::{Listener, Places, fisher};
use crate::arena::{Stretch, Values, gather, scatter};
use crate::method::{Fisher, METHODS, Part, Pick, Role, Study, draw, select, stream};
use crate::plan::{NUMERICS, Run};
use crate::record::MaskNote;
use crate::record::mask::{Mask, Segment};
use crate::task::batch::epoch_order;
use crate::task::{Loaded, Task};

pub struct RunStudy<'a> {
    pub run: &'a Run,
    pub task: &'a Task,
    pub subject: &'a mut Subject,
    pub data: &'a Loaded,
    pub picked: &'a [u32],
    pub steps: u32,
    pub places: &'a Places,
    pub listener: &'a mut dyn Listener,
    /// Which mask the method asked for, if any.
    pub note: Option<MaskNote>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<StartKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    samples: Option<u32>,
}

#[derive(Serialize)]
struct PerBatchKey {
    batch_size: u32,
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
    fn fisher_key(&self, kind: Fisher, seed: u64, samples: Option<u32>) -> String {
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
    fn scores(&mut self, kind: Fisher, scope: Scope, seed: u64, samples: Option<u32>, key: &str) -> Result<Vec<f32>> {
        let folder = self.places.cache.join("fisher");
        let path = folder.join(format!("{key}.f32"));
        if let Some(scores) = read_scores(&path) {
            return Ok(scores);
        }
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
                let (batch, norm) = (recipe.batch_size as usize, recipe.max_grad_norm);
                fisher::per_batch(self.subject, tokens, &order, batch, norm, seed, &mut pause)
            }
        }?;
        if let Some(own) = own_head {
            no_grad(|| self.subject.arena.theta.copy_(&own));
        }
        let parts: Vec<&Part> = self.subject.arena.layout.parts.iter().filter(|part| is_masked(part, scope)).collect();
        let scores: Vec<f32> = Vec::try_from(&gather(&parts, &scores).to_device(tch::Device::Cpu))?;
        ensure!(
            select::rankable(&scores),
            "the Fisher information is not finite: the gradients of the pre-trained model overflow on this data"
        );
        write_scores(&path, &scores)?;
        Ok(scores)
    }

    /// The mask of a key over the parts of a scope, from its file or made now; ones in all other parts.
    fn mask(
        &mut self,
        key: String,
        turn: &str,
        scope: Scope,
        make: impl FnOnce(&mut Self) -> Result<Vec<bool>>,
    ) -> Result<Values> {
        let path = self.places.masks.join(format!("{key}.mask"));
        // Of several workers that want one Fisher pass, one makes it and the others wait for its result.
        let _turn = take_turn(&self.places.cache.join("fisher"), turn)?;
        let mask = match path.is_file().then(|| Mask::read(&path)).transpose() {
            Ok(Some(mask)) => mask,
            // Absent or damaged: a mask is made from what determines it, so it can always be made again.
            Ok(None) | Err(_) => {
                let kept = make(self)?;
                let mask = Mask::from_bools(self.segments(scope), &kept)?;
                fs::create_dir_all(&self.places.masks)
                    .with_context(|| format!("cannot make {}", self.places.masks.display()))?;
                mask.write(&path)?;
                mask
            }
        };
        if mask.segments != self.segments(scope) {
            bail!("the mask {} covers other tensors than this model has; remove it", path.display());
        }
        self.note = Some(MaskNote { key, kept: mask.kept(), of: mask.len() });
        let values: Vec<f32> = (0..mask.len()).map(|i| f32::from(u8::from(mask.get(i)))).collect();
        let arena = &self.subject.arena;
        let whole = arena.theta.ones_like();
        let parts: Vec<&Part> = arena.layout.parts.iter().filter(|part| is_masked(part, scope)).collect();
        scatter(&parts, &Tensor::from_slice(&values).to_device(arena.device()), &whole);
        Ok(Values(whole))
    }

    fn segments(&self, scope: Scope) -> Vec<Segment> {
        let parts = self.subject.arena.layout.parts.iter().filter(|part| is_masked(part, scope));
        parts.map(|part| Segment { name: part.name.clone(), len: part.len as u64 }).collect()
    }
}

/// The parts that a mask of a scope covers: of the whole model all but the head, which is always trained.
fn is_masked(part: &Part, scope: Scope) -> bool {
    match scope {
        Scope::Encoder => part.role == Role::Encoder,
        Scope::Whole => !matches!(part.role, Role::Head | Role::Adapter),
    }
}

impl Study<Values> for RunStudy<'_> {
    fn parts(&self) -> Vec<Part> {
        self.subject.arena.layout.parts.clone()
    }

    fn seed(&self) -> u64 {
        self.run.seed
    }

    fn steps(&self) -> u32 {
        self.steps
    }

    fn entries(&self) -> i64 {
        self.subject.arena.layout.len
    }

    fn zeros(&self, len: i64) -> Values {
        Values(self.subject.arena.theta.new_zeros([len], (Kind::Float, self.subject.arena.device())))
    }

    fn theta(&self) -> Values {
        Values(self.subject.arena.theta.copy())
    }

    fn theta_of(&self, part: &Part) -> Values {
        Values(self.subject.theta_of(part))
    }

    fn set_theta(&mut self, part: &Part, values: &Values) {
        self.subject.arena.fill(part.index, &values.0);
    }

    fn draw_anew(&mut self, part: &Part) {
        self.subject.draw_anew(part.index, self.run.seed);
    }

    fn scale_decay(&mut self, part: &Part, factor: f64) {
        let _ = no_grad(|| part.of(&self.subject.arena.decay).g_mul_scalar_(factor));
    }

    fn train_only(&mut self, trained: &dyn Fn(&Part) -> bool) {
        self.subject.arena.train_only(trained);
    }

    fn hold(&mut self, mask: &Values) {
        let arena = &mut self.subject.arena;
        let _ = no_grad(|| arena.decay.g_mul_(&mask.0));
        arena.held = Some(match arena.held.take() {
            Some(held) => held * &mask.0,
            None => mask.0.shallow_clone(),
        });
    }

    fn child(&mut self, kind: Fisher, head_seed: Option<u64>, pick: Pick) -> Result<Values> {
        let seed = head_seed.unwrap_or(self.run.seed);
        let fisher_key = self.fisher_key(kind, seed, None);
        let (rule, p) = match pick {
            Pick::Share(p) => ("share", p),
            Pick::Percentile(p) => ("percentile", p),
            Pick::LowestShare(p) => ("lowest share", p),
            Pick::LowestPercentile(p) => ("lowest percentile", p),
        };
        self.mask(hash(&(&fisher_key, rule, p)), &fisher_key, Scope::Encoder, |study| {
            let scores = study.scores(kind, Scope::Encoder, seed, None, &fisher_key)?;
            let count = (p * scores.len() as f64).round() as usize;
            let from = |threshold: f64| scores.iter().map(|&s| f64::from(s) >= threshold).collect();
            let up_to = |threshold: f64| scores.iter().map(|&s| f64::from(s) <= threshold).collect();
            Ok(match pick {
                Pick::Share(_) => select::top_k(&scores, count),
                Pick::Percentile(_) => from(select::quantile(&scores, 1.0 - p)),
                Pick::LowestShare(_) => select::bottom_k(&scores, count),
                Pick::LowestPercentile(_) => up_to(select::quantile(&scores, p)),
            })
        })
    }

    fn random_child(&mut self, mask_seed: Option<u64>, p: f64) -> Result<Values> {
        let seed = mask_seed.unwrap_or(self.run.seed);
        let key = hash(&("random", NUMERICS, &self.run.model.hash, seed, p));
        self.mask(key.clone(), &key, Scope::Encoder, |study| {
            let entries: i64 = study.subject.arena.layout.encoder().iter().map(|part| part.len).sum();
            // The largest of so many random numbers are a random choice.
            let mut scores = vec![0f32; entries as usize];
            draw::uniform(stream(seed, "child-random", 0), 0, &mut scores);
            Ok(select::top_k(&scores, (p * entries as f64).round() as usize))
        })
    }

    fn fish(&mut self, samples: u32, keep: f64) -> Result<Values> {
        let seed = self.run.seed;
        let parts = &self.subject.arena.layout.parts;
        let head: i64 = parts.iter().filter(|part| part.role == Role::Head).map(|part| part.len).sum();
        let all: i64 = parts.iter().filter(|part| part.role != Role::Adapter).map(|part| part.len).sum();
        let count = (keep * all as f64) as i64 - head;
        ensure!(
            count > 0,
            "keep = {keep} is {} of {all} parameters, and the head alone has {head}: set keep above {:.6}",
            (keep * all as f64) as i64,
            (head + 1) as f64 / all as f64
        );
        let fisher_key = self.fisher_key(Fisher::PerExample, seed, Some(samples));
        self.mask(hash(&(&fisher_key, "fish", keep)), &fisher_key, Scope::Whole, |study| {
            let scores = study.scores(Fisher::PerExample, Scope::Whole, seed, Some(samples), &fisher_key)?;
            Ok(select::top_k(&scores, count as usize))
        })
    }

    fn largest(&self, scores: &Values, share: f64) -> Values {
        let numbers: Vec<f32> = Vec::try_from(&scores.0.to_device(tch::Device::Cpu)).unwrap_or_default();
        let count = (share * numbers.len() as f64).ceil() as usize;
        let border = select::kth_largest(&numbers, count.clamp(1, numbers.len()));
        Values(no_grad(|| scores.0.greater_equal(f64::from(border)).to_kind(Kind::Float)))
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
