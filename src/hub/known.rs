//! Checkpoints that people fine-tune, by name: what `sweep models` lists and what a misspelt name is compared with.

/// Repository names as people write them.
pub const NAMES: &[&str] = &["bert-base-uncased", "bert-base-cased"];

/// The known name that was probably meant by another one, if one is near enough.
pub fn nearest(name: &str) -> Option<&'static str> {
    let (meant, distance) = NAMES
        .iter()
        .filter(|known| **known != name)
        .map(|known| (*known, strsim::damerau_levenshtein(&name.to_lowercase(), &known.to_lowercase())))
        .min_by_key(|(_, distance)| *distance)?;
    (distance <= 1 + name.chars().count() / 8).then_some(meant)
}

/// About what fetching a known model brings: its parameters in single precision.
pub fn bytes_of(_name: &str) -> Option<u64> {
    None
}
