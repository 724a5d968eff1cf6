//! Tensors in a file of torch.save: a zip archive, or the stream that torch before 1.6 wrote.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use anyhow::{Context, Result, bail, ensure};

use super::pickle::{self, Pickle, Storage, Value, View};
use super::{Entry, archive};

/// The pickled number that begins the stream of torch before 1.6.
const OLD_MAGIC: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";

/// Keys under which training programs keep the tensors of the model among other things.
const NESTED: &[&str] = &["state_dict", "model_state_dict", "model", "module"];

/// Where the tensors of a file lie, by name.
///
/// # Errors
/// A file that is cut, damaged or something else; a pickle that holds more than tensors; a tensor beyond its storage.
pub fn read(bytes: &[u8]) -> Result<BTreeMap<String, Entry>> {
    if bytes.starts_with(archive::MAGIC) {
        zip(bytes)
    } else if bytes.starts_with(OLD_MAGIC) {
        stream(bytes)
    } else {
        bail!("it is damaged or no file of torch.save; fetch it again")
    }
}

fn zip(bytes: &[u8]) -> Result<BTreeMap<String, Entry>> {
    let records = archive::records(bytes)?;
    let folder = records.keys().find_map(|name| name.strip_suffix("data.pkl")).map(str::to_owned);
    let folder = folder.context("it is a zip archive without a data.pkl, so torch.save did not write it")?;
    if let Some(order) = records.get(&format!("{folder}byteorder")) {
        ensure!(&bytes[order.clone()] == b"little", "it was written on a big-endian machine; save it again on another");
    }
    let pickle = pickle::read(&bytes[records[&format!("{folder}data.pkl")].clone()])?;
    tensors(&pickle, |storage| {
        let name = format!("{folder}data/{}", storage.key);
        records.get(&name).cloned().with_context(|| format!("its record {name} is missing"))
    })
}

/// Five pickles (magic number, version, the writer's machine, the object, keys in order), then every storage behind the
/// number of its entries.
fn stream(bytes: &[u8]) -> Result<BTreeMap<String, Entry>> {
    let mut at = OLD_MAGIC.len();
    let mut next = || -> Result<Pickle> {
        let pickle = pickle::read(&bytes[at..])?;
        at += pickle.len;
        Ok(pickle)
    };
    let (version, _machine, object, keys) = (next()?, next()?, next()?, next()?);
    ensure!(version.top == Value::Int(1001), "it has a version of torch.save that nobody knows");
    let Value::List(list) = keys.top else { bail!("its list of storages is missing") };
    let known: HashMap<&str, &Storage> = object.storages.iter().map(|storage| (storage.key, storage)).collect();
    let mut places: HashMap<&str, Range<usize>> = HashMap::new();
    for key in &keys.lists[list] {
        let Value::Text(key) = key else { bail!("its list of storages is damaged") };
        let storage = known.get(key).with_context(|| format!("its storage {key} is of no tensor"))?;
        let cut = || format!("its storage {key} is cut");
        let count = bytes[at..].first_chunk::<8>().with_context(cut)?;
        ensure!(
            u64::from_le_bytes(*count) == storage.len as u64,
            "its storage {key} has another length than its tensors"
        );
        let from = at + 8;
        let len = storage.len.checked_mul(storage.dtype.bitsize() / 8).with_context(cut)?;
        at = from.checked_add(len).filter(|&to| to <= bytes.len()).with_context(cut)?;
        places.insert(key, from..at);
    }
    tensors(&object, |storage| {
        places.get(storage.key).cloned().with_context(|| format!("its storage {} is missing", storage.key))
    })
}

/// The tensors of the dictionary, given where each storage lies.
fn tensors(pickle: &Pickle, place: impl Fn(&Storage) -> Result<Range<usize>>) -> Result<BTreeMap<String, Entry>> {
    let Value::Dict(mut dict) = pickle.top else { bail!("it holds no dictionary of tensors") };
    let is_tensor = |(_, value): &(Value, Value)| matches!(value, Value::Tensor(_));
    if !pickle.dicts[dict].iter().any(is_tensor) {
        let under = |key: &&str| match pickle.dicts[dict].iter().find(|(name, _)| *name == Value::Text(key)) {
            Some((_, Value::Dict(inner))) => Some(*inner),
            _ => None,
        };
        dict = NESTED.iter().find_map(under).context("it holds no tensor")?;
    }
    let mut found = BTreeMap::new();
    for (name, value) in &pickle.dicts[dict] {
        let (Value::Text(name), Value::Tensor(view)) = (name, value) else { continue };
        let view = &pickle.views[*view];
        let storage = &pickle.storages[view.storage];
        let within =
            locate(view, storage, place(storage)?).with_context(|| format!("{name} lies beyond its storage"))?;
        found.insert((*name).to_owned(), within);
    }
    ensure!(!found.is_empty(), "it holds no tensor");
    Ok(found)
}

/// A view as bytes of the file; `None` where it reaches beyond its storage.
fn locate(view: &View, storage: &Storage, place: Range<usize>) -> Option<Entry> {
    let size = storage.dtype.bitsize() / 8;
    let end = storage.len.checked_mul(size).filter(|&len| len <= place.len())? + place.start;
    let begin = view.offset.checked_mul(size)?.checked_add(place.start).filter(|&begin| begin <= end)?;
    let found = |bytes, strides| Some(Entry { dtype: storage.dtype, shape: view.shape.clone(), bytes, strides });
    if view.shape.contains(&0) {
        return found(begin..begin, None);
    }
    // The stride of a dimension of one entry says nothing.
    let strides = view.shape.iter().zip(&view.strides).map(|(&n, &stride)| if n == 1 { 0 } else { stride });
    let strides: Vec<usize> = strides.collect();
    let (mut count, mut last, mut is_dense) = (1usize, 0usize, true);
    for (&n, &stride) in view.shape.iter().zip(&strides).rev() {
        is_dense &= n == 1 || stride == count;
        last = last.checked_add((n - 1).checked_mul(stride)?)?;
        count = count.checked_mul(n)?;
    }
    let needed = last.checked_add(1)?.checked_mul(size)?;
    (needed <= end - begin).then_some(())?;
    if is_dense { found(begin..begin + needed, None) } else { found(begin..end, Some(strides)) }
}
