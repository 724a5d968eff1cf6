//! A checkpoint into an arena: every tensor accounted for, both ways.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use safetensors::{Dtype, SafeTensors};
use tch::{Kind, Tensor};

use crate::arena::Arena;
use crate::method::{Role, stream};
use crate::model::Config;

/// Where a checkpoint's tensors went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Parts that the checkpoint has no value for, to be drawn: head, pooler.
    pub fresh: Vec<usize>,
    /// Tensors of the file that fine-tuning does not use: pre-training heads, buffers.
    pub unused: Vec<String>,
}

/// Loads `model.safetensors` of `folder` into the arena.
///
/// # Errors
/// A file that cannot be read or is damaged; a tensor missing, unexpected or of another shape, by name. Only pooler
/// and head may be missing.
pub fn load(arena: &mut Arena, config: &Config, folder: &Path) -> Result<Account> {
    let path = folder.join("model.safetensors");
    let file = std::fs::File::open(&path)
        .with_context(|| format!("cannot open {}: a model folder holds model.safetensors", path.display()))?;
    // SAFETY: the map is read-only; a file changed under it would be a wrong weight, not a wrong access beyond it.
    let map = unsafe { memmap2::Mmap::map(&file) }.with_context(|| format!("cannot map {}", path.display()))?;
    let tensors = SafeTensors::deserialize(&map)
        .with_context(|| format!("{} is damaged or no safetensors file; fetch it again", path.display()))?;
    fill(arena, config, &tensors).with_context(|| format!("{} does not fit its config.json", path.display()))
}

fn fill(arena: &mut Arena, config: &Config, tensors: &SafeTensors) -> Result<Account> {
    let mut stored: BTreeMap<String, &str> = BTreeMap::new();
    for name in tensors.names() {
        let short = name.strip_prefix(config.prefix()).unwrap_or(name);
        // Older checkpoints call a layer norm's weight gamma and its bias beta.
        let short = short.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias");
        if let Some(twin) = stored.insert(short, name) {
            bail!("tensors {twin} and {name} are the same parameter");
        }
    }
    let mut faults = Vec::new();
    let mut fresh = Vec::new();
    for index in 0..arena.layout.parts.len() {
        let part = arena.layout.parts[index].clone();
        match stored.remove(part.name.as_str()) {
            Some(name) => {
                let view = tensors.tensor(name)?;
                let shape: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
                if shape == part.shape {
                    arena.fill(index, &tensor(view.dtype(), &shape, view.data()).with_context(|| name.to_owned())?);
                } else if part.role == Role::Head {
                    // A head for another task: its shape says so.
                    fresh.push(index);
                } else {
                    faults.push(format!("{name} has shape {shape:?}, expected {:?}", part.shape));
                }
            }
            None if matches!(part.role, Role::Head | Role::Pooler) => fresh.push(index),
            // Of the method's making.
            None if part.role == Role::Adapter => {}
            None => faults.push(format!("{} is missing", part.name)),
        }
    }
    let head = |index: &usize| arena.layout.parts[*index].role == Role::Head;
    // Half a head is no head: where the weight is fresh, the bias of the other task goes too.
    if fresh.iter().any(head) {
        fresh.extend((0..arena.layout.parts.len()).filter(head));
        fresh.sort_unstable();
        fresh.dedup();
    }
    let (unused, unexpected): (Vec<&str>, Vec<&str>) = stored.values().partition(|name| is_unused(config, name));
    faults.extend(unexpected.iter().map(|name| format!("{name} is unexpected")));
    ensure!(faults.is_empty(), "{}", faults.join("; "));
    Ok(Account { fresh, unused: unused.into_iter().map(str::to_owned).collect() })
}

/// Whether fine-tuning has no use for a tensor of a checkpoint: a head of pre-training, a buffer.
fn is_unused(config: &Config, name: &str) -> bool {
    let short = name.strip_prefix(config.prefix()).unwrap_or(name);
    config.unused().iter().any(|start| short.starts_with(start)) || name.ends_with("position_ids")
}

/// Draws fresh parameters as transformers initialises them: weights from N(0, σ²), σ the config's initializer_range or
/// what the family has for the logits' weights, biases 0, layer norms 1. `purpose` names the stream of the draw.
pub fn draw(arena: &mut Arena, config: &Config, fresh: &[usize], seed: u64, purpose: &str) {
    let makes_logits = |name: &str| name.strip_suffix(".weight") == Some(config.head.projection);
    for &index in fresh {
        let part = arena.layout.parts[index].clone();
        tch::manual_seed(stream(seed, purpose, index as u64) as i64);
        let zeros = Tensor::zeros(part.shape.as_slice(), (Kind::Float, tch::Device::Cpu));
        let values = match (part.decays, part.is_bias()) {
            (true, _) => {
                zeros.randn_like() * if makes_logits(&part.name) { config.head_range } else { config.initializer_range }
            }
            (false, true) => zeros,
            (false, false) => zeros.ones_like(),
        };
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use safetensors::tensor::{TensorView, serialize};
    use tch::Device;

    use super::*;
    use crate::arena::{Layout, gather};
    use crate::network::encoder::shapes;

    fn tiny() -> (Config, Arena, HashMap<String, Vec<usize>>) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/tiny-bert");
        let config = Config::read(&folder).expect("a config");
        let arena = Arena::new(Layout::new(shapes(&config, 2)), Device::Cpu);
        let stored = arena.layout.parts.iter();
        let stored = stored.map(|s| (s.name.clone(), s.shape.iter().map(|&n| n as usize).collect())).collect();
        (config, arena, stored)
    }

    /// A checkpoint of ones with these tensors, loaded.
    fn load_ones(arena: &mut Arena, stored: &HashMap<String, Vec<usize>>) -> Result<Account> {
        let ones: HashMap<&String, Vec<u8>> =
            stored.iter().map(|(name, shape)| (name, 1f32.to_le_bytes().repeat(shape.iter().product()))).collect();
        let views = stored.iter().map(|(name, shape)| {
            (name.clone(), TensorView::new(Dtype::F32, shape.clone(), &ones[name]).expect("a tensor"))
        });
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("model.safetensors"), serialize(views, None)?)?;
        load(arena, &tiny().0, folder.path())
    }

    #[test]
    fn prefixes_old_names_and_pretraining_heads_are_accounted_for() {
        let (_, mut arena, mut stored) = tiny();
        let stored: HashMap<_, _> = stored
            .drain()
            .filter(|(name, _)| !name.starts_with("classifier"))
            .map(|(name, shape)| (format!("bert.{}", name.replace("LayerNorm.weight", "LayerNorm.gamma")), shape))
            .chain([("cls.predictions.bias".to_owned(), vec![72]), ("embeddings.position_ids".to_owned(), vec![1, 64])])
            .collect();
        let account = load_ones(&mut arena, &stored).expect("a checkpoint");
        let fresh: Vec<&str> = account.fresh.iter().map(|&i| arena.layout.parts[i].name.as_str()).collect();
        assert_eq!(fresh, ["classifier.weight", "classifier.bias"]);
        assert_eq!(account.unused.len(), 2);
        let encoder = gather(&arena.layout.encoder(), &arena.theta);
        assert_eq!(encoder.min().double_value(&[]), 1.0);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let (_, mut arena, whole) = tiny();
        let mut changed = |change: fn(&mut HashMap<String, Vec<usize>>)| {
            let mut stored = whole.clone();
            change(&mut stored);
            format!("{:#}", load_ones(&mut arena, &stored).expect_err("a bad checkpoint"))
        };
        let query = "encoder.layer.0.attention.self.query.weight";
        let missing = changed(|s| drop(s.remove("encoder.layer.0.attention.self.query.weight")));
        assert!(missing.contains(&format!("{query} is missing")), "{missing}");
        let shape = changed(|s| drop(s.insert("encoder.layer.0.attention.self.query.weight".into(), vec![48, 47])));
        assert!(shape.contains("has shape [48, 47], expected [48, 48]"), "{shape}");
        let surplus = changed(|s| drop(s.insert("encoder.layer.2.output.dense.bias".into(), vec![48])));
        assert!(surplus.contains("encoder.layer.2.output.dense.bias is unexpected"), "{surplus}");
    }

    #[test]
    fn the_layout_has_as_many_parameters_as_the_config_says() {
        let (config, arena, _) = tiny();
        assert_eq!(arena.layout.len, crate::model::count(&config.parameters(2)));
    }

    #[test]
    fn a_damaged_file_is_said_to_be_damaged() {
        let (_, mut arena, _) = tiny();
        let folder = tempfile::tempdir().expect("a folder");
        for content in [&b""[..], b"no tensors here", &[255; 64]] {
            std::fs::write(folder.path().join("model.safetensors"), content).expect("a file");
            let error = format!("{:#}", load(&mut arena, &tiny().0, folder.path()).expect_err("a damaged file"));
            assert!(error.contains("damaged") || error.contains("cannot map"), "{error}");
        }
    }

    #[test]
    fn a_fresh_head_is_the_seeds_and_has_the_configs_spread() {
        let _alone = crate::train::example::alone();
        let (config, mut arena, _) = tiny();
        let index = arena.layout.index("pooler.dense.weight").expect("a pooler");
        let bias = arena.layout.index("pooler.dense.bias").expect("a pooler");
        let mut drawn = |seed| {
            draw(&mut arena, &config, &[index, bias], seed, "head");
            (arena.leaf(index).detach().copy(), arena.leaf(bias).detach().copy())
        };
        let ((one, zero), (again, _), (other, _)) = (drawn(1), drawn(1), drawn(2));
        assert!(one.equal(&again) && !one.equal(&other));
        assert_eq!(zero.abs().max().double_value(&[]), 0.0);
        let spread = one.std(true).double_value(&[]);
        assert!((spread - config.initializer_range).abs() < 0.001, "{spread}");
    }
}
