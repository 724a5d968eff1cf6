//! A checkpoint into an arena: every tensor accounted for, both ways.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use safetensors::{Dtype, SafeTensors};
use tch::{Kind, Tensor};

use crate::arena::{Arena, Role};
use crate::method::stream;
use crate::model::Config;

/// Prefixes under which checkpoints store the encoder.
const PREFIXES: &[&str] = &["bert."];

/// Heads of pre-training: in the file, and rightly not in the model.
const PRETRAINING_HEADS: &[&str] = &["cls."];

/// Where a checkpoint's tensors went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Segments that the checkpoint has no value for, to be drawn: head, pooler.
    pub fresh: Vec<usize>,
    /// Tensors of the file that fine-tuning does not use: pre-training heads, buffers.
    pub unused: Vec<String>,
}

/// Loads `model.safetensors` of `folder` into the arena.
///
/// # Errors
/// A file that cannot be read or is damaged; a tensor missing, unexpected or of another shape, by name. Only pooler
/// and head may be missing.
pub fn load(arena: &mut Arena, folder: &Path) -> Result<Account> {
    let path = folder.join("model.safetensors");
    let file = std::fs::File::open(&path)
        .with_context(|| format!("cannot open {}: a model folder holds model.safetensors", path.display()))?;
    // SAFETY: the map is read-only; a file changed under it would be a wrong weight, not a wrong access beyond it.
    let map = unsafe { memmap2::Mmap::map(&file) }.with_context(|| format!("cannot map {}", path.display()))?;
    let tensors = SafeTensors::deserialize(&map)
        .with_context(|| format!("{} is damaged or no safetensors file; fetch it again", path.display()))?;
    fill(arena, &tensors).with_context(|| format!("{} does not fit its config.json", path.display()))
}

fn fill(arena: &mut Arena, tensors: &SafeTensors) -> Result<Account> {
    let mut stored: BTreeMap<String, &str> = BTreeMap::new();
    for name in tensors.names() {
        let short = PREFIXES.iter().find_map(|p| name.strip_prefix(p)).unwrap_or(name);
        // Older checkpoints call a layer norm's weight gamma and its bias beta.
        let short = short.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias");
        if let Some(twin) = stored.insert(short, name) {
            bail!("tensors {twin} and {name} are the same parameter");
        }
    }
    let mut faults = Vec::new();
    let mut fresh = Vec::new();
    for index in 0..arena.layout.segments.len() {
        let segment = arena.layout.segments[index].clone();
        match stored.remove(segment.name.as_str()) {
            Some(name) => {
                let view = tensors.tensor(name)?;
                let shape: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
                if shape == segment.shape {
                    arena.fill(index, &tensor(view.dtype(), &shape, view.data()).with_context(|| name.to_owned())?);
                } else if segment.role == Role::Head {
                    // A head for another task: its shape says so.
                    fresh.push(index);
                } else {
                    faults.push(format!("{name} has shape {shape:?}, expected {:?}", segment.shape));
                }
            }
            None if matches!(segment.role, Role::Head | Role::Pooler) => fresh.push(index),
            None => faults.push(format!("{} is missing", segment.name)),
        }
    }
    let head = |index: &usize| arena.layout.segments[*index].role == Role::Head;
    // Half a head is no head: where the weight is fresh, the bias of the other task goes too.
    if fresh.iter().any(head) {
        fresh.extend((0..arena.layout.segments.len()).filter(head));
        fresh.sort_unstable();
        fresh.dedup();
    }
    let (unused, unexpected): (Vec<&str>, Vec<&str>) = stored
        .values()
        .partition(|name| PRETRAINING_HEADS.iter().any(|p| name.starts_with(p)) || name.ends_with(".position_ids"));
    faults.extend(unexpected.iter().map(|name| format!("{name} is unexpected")));
    ensure!(faults.is_empty(), "{}", faults.join("; "));
    Ok(Account { fresh, unused: unused.into_iter().map(str::to_owned).collect() })
}

/// Draws fresh parameters as transformers initialises them: weights from N(0, initializer_range²), biases zero.
pub fn draw(arena: &mut Arena, config: &Config, fresh: &[usize], seed: u64) {
    for &index in fresh {
        let segment = arena.layout.segments[index].clone();
        tch::manual_seed(stream(seed, "head", index as u64) as i64);
        let values = Tensor::zeros(segment.shape.as_slice(), (Kind::Float, tch::Device::Cpu));
        let values = if segment.decays { values.randn_like() * config.initializer_range } else { values };
        arena.fill(index, &values);
    }
}

fn tensor(dtype: Dtype, shape: &[i64], data: &[u8]) -> Result<Tensor> {
    let kind = match dtype {
        Dtype::F32 => Kind::Float,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::F64 => Kind::Double,
        other => bail!("stored as {other:?}; known are F32, F16, BF16 and F64"),
    };
    Ok(Tensor::f_from_data_size(data, shape, kind)?)
}
