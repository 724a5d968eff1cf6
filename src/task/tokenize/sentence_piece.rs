//! A SentencePiece `.model`: the few fields of its protobuf that decide about ids.
//!
//! Field numbers are those of sentencepiece_model.proto in the repository of SentencePiece.

use anyhow::{Context, Result, bail, ensure};

/// What a `.model` holds.
#[derive(Debug, Default, PartialEq)]
pub struct SentencePiece {
    /// Text, log probability and kind of each piece, in the order of ids.
    pub pieces: Vec<(String, f32, Kind)>,
    /// Id of the unknown piece.
    pub unknown: usize,
    /// The compiled rules of the normalizer; empty where text stays as it is.
    pub charsmap: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Comes out of text by probability alone. Unknown, unused and byte pieces are of no other interest here.
    Plain,
    /// `<s>` and its like, which no text makes.
    Control,
    /// Cut out of a text before anything else.
    UserDefined,
}

/// One field: its number and what it holds.
enum Field<'a> {
    Number(u64, u64),
    Bytes(u64, &'a [u8]),
    Float(u64, f32),
}

impl SentencePiece {
    /// # Errors
    /// The bytes are no such model, with the place of the first fault.
    pub fn parse(bytes: &[u8]) -> Result<SentencePiece> {
        let mut model = SentencePiece::default();
        each(bytes, |field| {
            match field {
                Field::Bytes(1, piece) => model.pieces.push(parse_piece(piece)?),
                Field::Bytes(2, trainer) => each(trainer, |field| {
                    if let Field::Number(40, id) = field {
                        model.unknown = usize::try_from(id).context("the unknown piece has a negative id")?;
                    }
                    Ok(())
                })?,
                Field::Bytes(3, normalizer) => each(normalizer, |field| {
                    if let Field::Bytes(2, charsmap) = field {
                        model.charsmap = charsmap.to_vec();
                    }
                    Ok(())
                })?,
                _ => {}
            }
            Ok(())
        })
        .context("it is no SentencePiece model, or cut or damaged")?;
        ensure!(!model.pieces.is_empty(), "it is no SentencePiece model: it holds no pieces");
        Ok(model)
    }
}

fn parse_piece(bytes: &[u8]) -> Result<(String, f32, Kind)> {
    let (mut text, mut score, mut kind) = (String::new(), 0.0, Kind::Plain);
    each(bytes, |field| {
        match field {
            Field::Bytes(1, piece) => text = std::str::from_utf8(piece).context("a piece is no UTF-8 text")?.to_owned(),
            Field::Float(2, value) => score = value,
            Field::Number(3, 3) => kind = Kind::Control,
            Field::Number(3, 4) => kind = Kind::UserDefined,
            _ => {}
        }
        Ok(())
    })?;
    Ok((text, score, kind))
}

/// Calls `take` with every field of a message, in order.
fn each<'a>(bytes: &'a [u8], mut take: impl FnMut(Field<'a>) -> Result<()>) -> Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let at = bytes.len() - rest.len();
        let field = next(&mut rest).with_context(|| format!("at byte {at} of {}", bytes.len()))?;
        take(field)?;
    }
    Ok(())
}

fn next<'a>(rest: &mut &'a [u8]) -> Result<Field<'a>> {
    let tag = varint(rest)?;
    let number = tag >> 3;
    ensure!(number > 0, "a field has number 0");
    Ok(match tag & 7 {
        0 => Field::Number(number, varint(rest)?),
        // A double: none of the fields that are read.
        1 => Field::Bytes(number, cut(rest, 8)?),
        2 => {
            let length = varint(rest)?;
            Field::Bytes(number, cut(rest, length)?)
        }
        5 => Field::Float(number, f32::from_le_bytes(cut(rest, 4)?.try_into().expect("four bytes"))),
        kind => bail!("a field has the unknown wire type {kind}"),
    })
}

fn varint(rest: &mut &[u8]) -> Result<u64> {
    let mut value = 0;
    for place in 0..10 {
        let [byte] = *cut(rest, 1)? else { unreachable!("one byte") };
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            return Ok(value);
        }
    }
    bail!("a number is longer than ten bytes")
}

fn cut<'a>(rest: &mut &'a [u8], length: u64) -> Result<&'a [u8]> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let (head, tail) = rest.split_at_checked(length).context("it ends within a field")?;
    *rest = tail;
    Ok(head)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    /// Two pieces, an unknown id and a charsmap, with fields of every wire type between them.
    fn example() -> Vec<u8> {
        let mut piece = b"\x0a\x03\xe2\x96\x81".to_vec();
        piece.push(0x15);
        piece.extend((-1.5f32).to_le_bytes());
        let mut bytes = vec![0x0a, piece.len() as u8];
        bytes.extend(&piece);
        bytes.extend(b"\x0a\x07\x0a\x03<s>\x18\x03");
        bytes.extend(b"\x12\x0c\xc0\x02\x01\x59\0\0\0\0\0\0\0\0");
        bytes.extend(b"\x1a\x04\x12\x02ab");
        bytes
    }

    #[test]
    fn the_fields_that_decide_are_read() {
        let model = SentencePiece::parse(&example()).unwrap();
        let pieces = vec![("\u{2581}".to_owned(), -1.5, Kind::Plain), ("<s>".to_owned(), 0.0, Kind::Control)];
        assert_eq!(model, SentencePiece { pieces, unknown: 1, charsmap: b"ab".to_vec() });
    }

    #[test]
    fn what_is_no_model_says_so() {
        let fault = |bytes: &[u8]| format!("{:#}", SentencePiece::parse(bytes).unwrap_err());
        assert!(fault(b"").contains("holds no pieces"));
        assert!(fault(b"<!DOCTYPE html>").contains("no SentencePiece model"));
        assert!(fault(&example()[..6]).contains("ends within a field"));
        assert!(fault(&[0x0a, 0x03, 0x0a, 0x01, 0xff]).contains("no UTF-8"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..60), at in 0usize..40, bit in 0u8..8) {
            let _ = SentencePiece::parse(&bytes);
            bytes = example();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            let _ = SentencePiece::parse(&bytes);
        }
    }
}
