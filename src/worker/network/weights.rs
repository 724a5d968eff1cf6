//! A checkpoint's tensors into an arena, and fresh ones where it has none.

use std::path::Path;

use anyhow::{Context, Result, bail};
use tch::{Kind, Tensor};

use crate::arena::Arena;
use crate::method::stream;
use crate::model::checkpoint::Dtype;
use crate::model::{Account, Checkpoint, Config};

/// Loads the weights of `folder` into θ of an arena that begins with the parameters of the config with a head of `labels`
/// outputs.
///
/// # Errors
/// Weights that cannot be read or do not fit the config, by file and tensor.
pub fn load(arena: &mut Arena, config: &Config, labels: i64, folder: &Path) -> Result<Account> {
    let checkpoint = Checkpoint::open(folder)?;
    let account = Account::of(&checkpoint, config, labels)?;
    for (index, name) in &account.stored {
        let entry = checkpoint.entry(name).with_context(|| format!("{name} is gone"))?;
        let shape = arena.layout.parts[*index].shape.clone();
        let data = checkpoint.data(name)?;
        arena.fill(*index, &tensor(entry.dtype, &shape, &data).with_context(|| name.clone())?);
    }
    Ok(account)
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

/// The values as a tensor that lives no longer than `data`: of a large model even a passing copy takes time.
fn tensor(dtype: Dtype, shape: &[i64], data: &[u8]) -> Result<Tensor> {
    let kind = match dtype {
        Dtype::F32 => Kind::Float,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::F64 => Kind::Double,
        other => bail!("stored as {other:?}, which no weight is read from"),
    };
    let is_aligned = (data.as_ptr() as usize).is_multiple_of(kind.elt_size_in_bytes());
    let count: i64 = shape.iter().product();
    if !is_aligned || data.len() != count as usize * kind.elt_size_in_bytes() {
        return Ok(Tensor::f_from_data_size(data, shape, kind)?);
    }
    let strides: Vec<i64> = (1..=shape.len()).map(|from| shape[from..].iter().product()).collect();
    // SAFETY: as many values as the shape has lie there, aligned; `load` copies them while `data` is there.
    Ok(unsafe { Tensor::f_from_blob(data.as_ptr(), shape, &strides, kind, tch::Device::Cpu) }?)
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

    /// A checkpoint with these tensors, every entry of them one value, loaded.
    fn load_filled(
        arena: &mut Arena,
        stored: &HashMap<String, Vec<usize>>,
        kind: Dtype,
        value: &[u8],
    ) -> Result<Account> {
        let filled: HashMap<&String, Vec<u8>> =
            stored.iter().map(|(name, shape)| (name, value.repeat(shape.iter().product()))).collect();
        let views = stored.iter().map(|(name, shape)| {
            (name.clone(), TensorView::new(kind, shape.clone(), &filled[name]).expect("a tensor"))
        });
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("model.safetensors"), serialize(views, None)?)?;
        load(arena, &tiny().0, 2, folder.path())
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
        let account = load_filled(&mut arena, &stored, Dtype::F32, &1f32.to_le_bytes()).expect("a checkpoint");
        let fresh: Vec<&str> = account.fresh.iter().map(|&i| arena.layout.parts[i].name.as_str()).collect();
        assert_eq!(fresh, ["classifier.weight", "classifier.bias"]);
        assert_eq!(account.unused.len(), 2);
        let encoder = gather(&arena.layout.encoder(), &arena.theta);
        assert_eq!(encoder.min().double_value(&[]), 1.0);
    }

    #[test]
    fn every_kind_of_float_is_the_same_weight() {
        let (_, mut arena, stored) = tiny();
        for (kind, minus_two) in [
            (Dtype::F32, &(-2f32).to_le_bytes()[..]),
            (Dtype::F64, &(-2f64).to_le_bytes()),
            (Dtype::F16, &[0, 0xc0]),
            (Dtype::BF16, &[0, 0xc0]),
        ] {
            let _ = arena.theta.zero_();
            load_filled(&mut arena, &stored, kind, minus_two).expect("a checkpoint");
            assert!(arena.theta.eq(-2).all().int64_value(&[]) == 1, "{kind:?}");
        }
    }

    #[test]
    fn the_layout_has_as_many_parameters_as_the_config_says() {
        let (config, arena, _) = tiny();
        assert_eq!(arena.layout.len, crate::model::count(&config.parameters(2)));
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
