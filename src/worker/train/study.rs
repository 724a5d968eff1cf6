//! What a method may ask of its run: the child network, from the cache where it was made before.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use tch::{Kind, Tensor, no_grad};

use super::fisher::Scope;
use super::scores::{hash, is_masked};
use super::subject::Subject;
use super::{Listener, Places};
use crate::arena::{Values, scatter};
use crate::method::{Fisher, Part, Pick, Role, Study, draw, select, stream};
use crate::plan::{NUMERICS, Run};
use crate::record::MaskNote;
use crate::record::mask::{Mask, Segment};
use crate::task::{Loaded, Task};

pub struct RunStudy<'a> {
    pub run: &'a Run,
    pub task: &'a Task,
    pub subject: &'a mut Subject,
    pub data: &'a Loaded,
    pub picked: &'a [u32],
    pub places: &'a Places,
    pub listener: &'a mut dyn Listener,
    /// Which mask the method asked for, if any.
    pub note: Option<MaskNote>,
}

impl RunStudy<'_> {
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

impl Study<Values> for RunStudy<'_> {
    fn parts(&self) -> Vec<Part> {
        self.subject.arena.layout.parts.clone()
    }

    fn seed(&self) -> u64 {
        self.run.seed
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
        self.subject.arena.scale_decay(part.index, factor);
    }

    fn train_only(&mut self, trained: &dyn Fn(&Part) -> bool) {
        self.subject.arena.train_only(trained);
    }

    fn hold(&mut self, mask: &Values) {
        self.subject.arena.hold(&mask.0);
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
