//! JSON with a line for each entry of its outer lists: readable, and half as long as with a line for each value.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use serde_json::ser::Formatter;

/// Values deeper than this stay on the line of what they belong to.
const DEEPEST: usize = 2;

#[derive(Default)]
pub(super) struct Rows {
    depth: usize,
    is_empty: bool,
}

impl Rows {
    fn open<W: ?Sized + Write>(&mut self, to: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.is_empty = true;
        to.write_all(bracket)
    }

    fn next<W: ?Sized + Write>(&mut self, to: &mut W, is_first: bool) -> io::Result<()> {
        if !is_first {
            to.write_all(b",")?;
        }
        if self.depth <= DEEPEST { self.line(to) } else { Ok(()) }
    }

    fn close<W: ?Sized + Write>(&mut self, to: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth -= 1;
        if self.depth < DEEPEST && !self.is_empty {
            self.line(to)?;
        }
        self.is_empty = false;
        to.write_all(bracket)
    }

    fn line<W: ?Sized + Write>(&self, to: &mut W) -> io::Result<()> {
        to.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| to.write_all(b"  "))
    }
}

impl Formatter for Rows {
    fn begin_array<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.open(to, b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.close(to, b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        self.next(to, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, _to: &mut W) -> io::Result<()> {
        self.is_empty = false;
        Ok(())
    }

    fn begin_object<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.open(to, b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.close(to, b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        self.next(to, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        to.write_all(if self.depth <= DEEPEST { b": " } else { b":" })
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _to: &mut W) -> io::Result<()> {
        self.is_empty = false;
        Ok(())
    }
}

/// Whether a file holds what would be written, compared as it is made, so that neither is ever in memory as a whole.
pub(super) fn holds(path: &Path, write: impl Fn(&mut dyn Write) -> io::Result<()>) -> bool {
    let Ok(file) = File::open(path) else { return false };
    let mut compared = io::BufWriter::with_capacity(1 << 16, Compared { file });
    if write(&mut compared).is_err() {
        return false;
    }
    let Ok(mut compared) = compared.into_inner() else { return false };
    matches!(compared.file.read(&mut [0]), Ok(0))
}

struct Compared {
    file: File,
}

impl Write for Compared {
    fn write(&mut self, expected: &[u8]) -> io::Result<usize> {
        let mut found = vec![0; expected.len()];
        self.file.read_exact(&mut found)?;
        if found == expected { Ok(found.len()) } else { Err(io::ErrorKind::InvalidData.into()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde::Serialize;
    use serde_json::{Value, json};

    use super::*;

    fn text(value: &Value) -> String {
        let mut text = Vec::new();
        value.serialize(&mut serde_json::Serializer::with_formatter(&mut text, Rows::default())).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_run_is_a_line() {
        let value = json!({"a": 1, "none": [], "runs": [["x", {"seed": 1, "p": [1, 2]}], ["y", {}]], "z": {"k": "v"}});
        let expected = r#"{
  "a": 1,
  "none": [],
  "runs": [
    ["x",{"p":[1,2],"seed":1}],
    ["y",{}]
  ],
  "z": {
    "k": "v"
  }
}"#;
        assert_eq!(text(&value), expected);
        assert_eq!(serde_json::from_str::<Value>(expected).unwrap(), value);
    }

    #[test]
    fn a_file_is_compared_to_its_last_byte() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let content = "0123456789".repeat(20_000);
        let write = |to: &mut dyn Write| to.write_all(content.as_bytes());
        assert!(!holds(&path, write), "it is not there");
        let (longer, shorter) = (format!("{content}0"), &content[1..]);
        let other = content.replacen("9", "8", 15_000).replacen("8", "9", 14_999);
        for (held, is_same) in
            [(content.as_str(), true), (&longer, false), (shorter, false), (&other, false), ("", false)]
        {
            std::fs::write(&path, held).unwrap();
            assert_eq!(holds(&path, write), is_same, "{} bytes", held.len());
        }
    }
}
