//! A child network: which entries of the encoder are trained, one bit an entry, and how two of them overlap.
//!
//! The file is a line `sweep-mask 1`, a line of JSON that names the segments, the words little-endian, and a BLAKE3
//! checksum of everything before it.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

const MAGIC: &[u8] = b"sweep-mask ";
const VERSION: &[u8] = b"1\n";
const CHECKSUM: usize = blake3::OUT_LEN;

/// A named tensor that the mask covers, flattened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    pub name: String,
    /// Entries.
    pub len: u64,
}

/// One bit for every entry of the segments, joined in their order; a set bit is an entry that is trained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    pub segments: Vec<Segment>,
    /// Entry `i` is bit `i % 64` of word `i / 64`; the bits behind the last entry are zero.
    pub bits: Vec<u64>,
}

impl Mask {
    /// The mask whose entry `i` is `keep(i)`.
    pub fn from_fn(segments: Vec<Segment>, mut keep: impl FnMut(u64) -> bool) -> Mask {
        let len = entries(&segments);
        let bits = (0..len.div_ceil(64))
            .map(|word| {
                let first = word * 64;
                let last = len.min(first + 64);
                (first..last).fold(0, |bits, i| bits | (u64::from(keep(i)) << (i - first)))
            })
            .collect();
        Mask { segments, bits }
    }

    /// The mask with these entries; an error if there are not as many as the segments hold.
    pub fn from_bools(segments: Vec<Segment>, kept: &[bool]) -> Result<Mask> {
        let len = entries(&segments);
        ensure!(kept.len() as u64 == len, "a mask over {len} entries was given {} values", kept.len());
        Ok(Mask::from_fn(segments, |i| kept[i as usize]))
    }

    /// Whether entry `i` is trained; false behind the last entry.
    pub fn get(&self, i: u64) -> bool {
        self.bits.get((i / 64) as usize).is_some_and(|word| word >> (i % 64) & 1 == 1)
    }

    /// Entries that are trained.
    pub fn kept(&self) -> u64 {
        self.bits.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// Entries in all.
    pub fn len(&self) -> u64 {
        entries(&self.segments)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes the file whole or not at all: temporary file, sync, rename.
    pub fn write(&self, path: &Path) -> Result<()> {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let mut file = tempfile::Builder::new()
            .prefix(".mask-")
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .with_context(|| format!("cannot write in {}", folder.display()))?;
        file.write_all(&self.to_bytes())
            .and_then(|()| file.as_file().sync_all())
            .with_context(|| format!("cannot write {}", path.display()))?;
        file.persist(path).with_context(|| format!("cannot write {}", path.display()))?;
        // The rename itself must survive a power cut.
        File::open(folder).and_then(|f| f.sync_all()).with_context(|| format!("cannot sync {}", folder.display()))
    }

    /// Reads a file that [`Mask::write`] wrote; one that is cut off or damaged is an error that says so.
    pub fn read(path: &Path) -> Result<Mask> {
        let bytes = fs::read(path).with_context(|| format!("cannot read the mask {}", path.display()))?;
        Mask::from_bytes(&bytes)
            .with_context(|| format!("the mask {} is of no use; delete it and it is made anew", path.display()))
    }

    fn to_bytes(&self) -> Vec<u8> {
        let header = serde_json::to_vec(&self.segments).expect("segments hold only names and lengths");
        let mut bytes = [MAGIC, VERSION, &header, b"\n"].concat();
        bytes.extend(self.bits.iter().flat_map(|word| word.to_le_bytes()));
        let sum = blake3::hash(&bytes);
        bytes.extend_from_slice(sum.as_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Result<Mask> {
        let Some(rest) = bytes.strip_prefix(MAGIC) else { bail!("this is no mask file") };
        let Some(rest) = rest.strip_prefix(VERSION) else { bail!("it is of a version that this program cannot read") };
        let split = rest.len().checked_sub(CHECKSUM).context("it is cut off")?;
        let (body, sum) = rest.split_at(split);
        let end = body.iter().position(|&b| b == b'\n').context("it is cut off or damaged: its header has no end")?;
        if blake3::hash(&bytes[..bytes.len() - CHECKSUM]).as_bytes() != sum {
            bail!("it is cut off or damaged: the checksum does not match");
        }
        let segments: Vec<Segment> =
            serde_json::from_slice(&body[..end]).context("its header is no list of segments")?;
        let len = segments.iter().try_fold(0u64, |sum, s| sum.checked_add(s.len)).context("its lengths overflow")?;
        let words = &body[end + 1..];
        ensure!(
            words.len() as u64 == len.div_ceil(64) * 8,
            "its header names {len} entries, but {} bytes of bits follow",
            words.len()
        );
        let (words, _) = words.as_chunks::<8>();
        Ok(Mask { segments, bits: words.iter().map(|word| u64::from_le_bytes(*word)).collect() })
    }
}

fn entries(segments: &[Segment]) -> u64 {
    segments.iter().map(|s| s.len).sum()
}

/// How two child networks of one encoder overlap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overlap {
    /// Mask keys.
    pub a: String,
    pub b: String,
    pub a_kept: u64,
    pub b_kept: u64,
    /// Entries that both keep.
    pub both: u64,
    /// Entries in all.
    pub of: u64,
}

/// Counts the entries of two masks, named by their keys. An error if they do not cover the same tensors.
pub fn overlap((a, first): (&str, &Mask), (b, second): (&str, &Mask)) -> Result<Overlap> {
    alike((a, first), (b, second))?;
    let both = first.bits.iter().zip(&second.bits).map(|(x, y)| u64::from((x & y).count_ones())).sum();
    Ok(Overlap { a: a.to_owned(), b: b.to_owned(), a_kept: first.kept(), b_kept: second.kept(), both, of: first.len() })
}

/// An error if two masks do not cover the same tensors.
pub(super) fn alike((a, first): (&str, &Mask), (b, second): (&str, &Mask)) -> Result<()> {
    if first.segments != second.segments {
        let differs = first.segments.iter().zip(&second.segments).find(|(x, y)| x != y);
        let place = differs.map_or(String::new(), |(x, y)| {
            format!(": one has {} of {} entries where the other has {} of {}", x.name, x.len, y.name, y.len)
        });
        bail!("the masks {a} and {b} cover different tensors{place}; only masks of one model can be compared");
    }
    Ok(())
}

impl Overlap {
    /// Shared entries of the union, in [0, 1]; `None` if both are empty.
    pub fn jaccard(&self) -> Option<f64> {
        share(self.both, self.a_kept + self.b_kept - self.both)
    }

    /// Shared entries of the smaller mask, in [0, 1]; `None` if it is empty.
    pub fn rate(&self) -> Option<f64> {
        share(self.both, self.a_kept.min(self.b_kept))
    }

    /// The Jaccard index expected of two masks of these sizes drawn at random.
    pub fn jaccard_by_chance(&self) -> Option<f64> {
        let (a, b) = (share(self.a_kept, self.of)?, share(self.b_kept, self.of)?);
        let union = a + b - a * b;
        (union > 0.0).then(|| a * b / union)
    }

    /// The overlap rate expected of two masks of these sizes drawn at random: the density of the larger.
    pub fn rate_by_chance(&self) -> Option<f64> {
        share(self.a_kept.max(self.b_kept), self.of)
    }
}

pub(super) fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn one(len: usize) -> Vec<Segment> {
        vec![Segment { name: "encoder.w".into(), len: len as u64 }]
    }

    fn mask(kept: &[bool]) -> Mask {
        Mask::from_bools(one(kept.len()), kept).unwrap()
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(kept in prop::collection::vec(any::<bool>(), 0..300), cut in 0usize..300) {
            let cut = cut.min(kept.len());
            let segments = vec![
                Segment { name: "a".into(), len: cut as u64 },
                Segment { name: "b".into(), len: (kept.len() - cut) as u64 },
            ];
            let mask = Mask::from_bools(segments, &kept).unwrap();
            prop_assert_eq!(mask.kept(), kept.iter().filter(|k| **k).count() as u64);
            for (i, k) in kept.iter().enumerate() {
                prop_assert_eq!(mask.get(i as u64), *k);
            }
            prop_assert!(!mask.get(kept.len() as u64), "nothing lies behind the last entry");
            prop_assert_eq!(Mask::from_bytes(&mask.to_bytes()).unwrap(), mask);
        }

        #[test]
        fn any_damage_is_noticed(
            kept in prop::collection::vec(any::<bool>(), 1..200),
            place in any::<prop::sample::Index>(),
            flip in 1u8..,
        ) {
            let good = mask(&kept).to_bytes();
            let at = place.index(good.len());
            let mut bad = good.clone();
            bad[at] ^= flip;
            prop_assert!(Mask::from_bytes(&bad).is_err());
            prop_assert!(Mask::from_bytes(&good[..at]).is_err());
        }

        #[test]
        fn overlap_counts_sets(pairs in prop::collection::vec(any::<(bool, bool)>(), 1..300)) {
            let (a, b): (Vec<bool>, Vec<bool>) = pairs.iter().copied().unzip();
            let found = overlap(("a", &mask(&a)), ("b", &mask(&b))).unwrap();
            let both = pairs.iter().filter(|(x, y)| *x && *y).count() as f64;
            let either = pairs.iter().filter(|(x, y)| *x || *y).count() as f64;
            prop_assert_eq!(found.both as f64, both);
            prop_assert_eq!(found.jaccard(), (either > 0.0).then_some(both / either));
            let own = overlap(("a", &mask(&a)), ("a", &mask(&a))).unwrap();
            prop_assert_eq!(own.rate(), (own.a_kept > 0).then_some(1.0));
        }
    }

    #[test]
    fn random_masks_meet_chance() {
        // A multiplicative hash of the position stands in for a random draw.
        let draw = |salt: u64, p: f64| {
            Mask::from_fn(one(200_000), move |i| {
                let hash = (i + 1).wrapping_mul(salt).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                let hash = (hash ^ (hash >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                ((hash >> 11) as f64 / (1u64 << 53) as f64) < p
            })
        };
        let found = overlap(("a", &draw(3, 0.3)), ("b", &draw(7, 0.2))).unwrap();
        assert!((found.jaccard().unwrap() - found.jaccard_by_chance().unwrap()).abs() < 0.01, "{found:?}");
        assert!((found.rate().unwrap() - found.rate_by_chance().unwrap()).abs() < 0.01, "{found:?}");
        assert!((found.jaccard_by_chance().unwrap() - 0.06 / 0.44).abs() < 0.01);
    }

    #[test]
    fn the_file_is_written_whole_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("masks/abc.mask");
        let written = mask(&[true, false, true]);
        written.write(&path).unwrap();
        written.write(&path).unwrap();
        assert_eq!(Mask::read(&path).unwrap(), written);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_bad_file_is_named_and_explained() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc.mask");
        let whole = mask(&[true; 100]).to_bytes();
        let cases: [(&[u8], &str); 4] = [
            (b"", "no mask file"),
            (b"sweep-mask 9\n[]\n", "version"),
            (b"sweep-mask 1\n[", "cut off"),
            (&whole[..whole.len() - 1], "cut off or damaged"),
        ];
        for (bytes, expected) in cases {
            fs::write(&path, bytes).unwrap();
            let error = format!("{:#}", Mask::read(&path).unwrap_err());
            assert!(error.contains("abc.mask") && error.contains(expected), "{error}");
        }
        assert!(format!("{:#}", Mask::read(Path::new("none.mask")).unwrap_err()).contains("none.mask"));
    }

    #[test]
    fn masks_of_two_models_are_not_compared() {
        let other = Mask::from_bools(vec![Segment { name: "other".into(), len: 2 }], &[true, true]).unwrap();
        let error = overlap(("x", &mask(&[true, true])), ("y", &other)).unwrap_err().to_string();
        assert!(error.contains("encoder.w of 2") && error.contains("other of 2"), "{error}");
        assert!(Mask::from_bools(one(3), &[true]).is_err());
    }
}
