//! The directory of a zip archive as torch.save writes it: records that are stored, not compressed.
//!
//! PKWARE's APPNOTE.TXT 6.3.10, sections 4.3.6 to 4.3.16 and 4.5.3. Read by hand because records are used where they
//! lie in the mapped file, and nothing may be allocated on the word of a damaged directory.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context, Result, ensure};

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const LOCATOR_64: u32 = 0x0706_4b50;

/// Stands for "see the 64-bit field".
const SEE_64: u64 = u32::MAX as u64;

/// What a file begins with that is a zip archive.
pub const MAGIC: &[u8] = b"PK\x03\x04";

/// The little-endian number of `N` bytes at a place.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let digits = bytes.get(at..)?.first_chunk::<N>()?;
    Some(digits.iter().rev().fold(0, |sum, &digit| sum << 8 | u64::from(digit)))
}

fn is(bytes: &[u8], at: usize, signature: u32) -> bool {
    number::<4>(bytes, at) == Some(u64::from(signature))
}

/// The records by name, each with its bytes.
///
/// # Errors
/// An archive that is cut or damaged; a record that is compressed or encrypted.
pub fn records(bytes: &[u8]) -> Result<BTreeMap<String, Range<usize>>> {
    let (count, mut at) = directory(bytes).context("its directory is missing: the file is cut")?;
    let mut records = BTreeMap::new();
    for _ in 0..count {
        let (name, data, next) = record(bytes, at)?;
        records.insert(name, data);
        at = next;
    }
    Ok(records)
}

/// How many records there are, and where their headers begin.
fn directory(bytes: &[u8]) -> Option<(u64, usize)> {
    let end = bytes.len().checked_sub(22).filter(|&at| is(bytes, at, END))?;
    let (mut count, mut begin) = (number::<2>(bytes, end + 10)?, number::<4>(bytes, end + 16)?);
    if let Some(locator) = end.checked_sub(20).filter(|&at| is(bytes, at, LOCATOR_64)) {
        let end = usize::try_from(number::<8>(bytes, locator + 8)?).ok()?;
        let end = Some(end).filter(|&at| at < locator && is(bytes, at, END_64))?;
        (count, begin) = (number::<8>(bytes, end + 32)?, number::<8>(bytes, end + 48)?);
    }
    Some((count, usize::try_from(begin).ok()?))
}

/// Name and bytes of the record whose header in the directory is at `at`, and where the next header is.
fn record(bytes: &[u8], at: usize) -> Result<(String, Range<usize>, usize)> {
    let damaged = || format!("its directory is damaged at byte {at}");
    let header = bytes.get(at..).filter(|header| is(header, 0, CENTRAL)).with_context(damaged)?;
    let short = |at| number::<2>(header, at).with_context(damaged);
    let long = |at| number::<4>(header, at).with_context(damaged);
    let (name_len, extra_len, comment_len) = (short(28)? as usize, short(30)? as usize, short(32)? as usize);
    let name = header.get(46..46 + name_len).with_context(damaged)?;
    let name = std::str::from_utf8(name).ok().with_context(damaged)?.to_owned();
    ensure!(short(8)? & 1 == 0, "its record {name} is encrypted");
    ensure!(
        short(10)? == 0,
        "its record {name} is compressed, which torch.save never does; save it by torch.save again"
    );
    let extra = header.get(46 + name_len..46 + name_len + extra_len).with_context(damaged)?;
    let mut wide = extra_64(extra);
    let mut full = |number: u64| if number == SEE_64 { wide.next().with_context(damaged) } else { Ok(number) };
    // In this order: the size twice, as stored it is the same, then the place.
    let (size, _, local) = (full(long(24)?)?, full(long(20)?)?, full(long(42)?)?);
    let data = data(bytes, local, size).with_context(|| format!("its record {name} is cut or damaged"))?;
    Ok((name, data, at + 46 + name_len + extra_len + comment_len))
}

/// The 64-bit numbers of a header, in order.
fn extra_64(mut extra: &[u8]) -> impl Iterator<Item = u64> {
    let mut numbers: &[u8] = &[];
    while let (Some(kind), Some(len)) = (number::<2>(extra, 0), number::<2>(extra, 2)) {
        let Some(field) = extra.get(4..4 + len as usize) else { break };
        if kind == 1 {
            numbers = field;
        }
        extra = &extra[4 + len as usize..];
    }
    numbers.chunks_exact(8).filter_map(|chunk| number::<8>(chunk, 0))
}

/// Where the bytes of a record lie whose own header is at `local`.
fn data(bytes: &[u8], local: u64, size: u64) -> Option<Range<usize>> {
    let header = bytes.get(usize::try_from(local).ok()?..).filter(|header| is(header, 0, LOCAL))?;
    let before = 30 + number::<2>(header, 26)? as usize + number::<2>(header, 28)? as usize;
    let from = usize::try_from(local).ok()?.checked_add(before)?;
    let to = from.checked_add(usize::try_from(size).ok()?)?;
    (to <= bytes.len()).then_some(from..to)
}
