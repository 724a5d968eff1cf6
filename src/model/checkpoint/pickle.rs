//! A reader of the pickles that torch.save writes, which executes nothing.
//!
//! A pickle is a program that may call anything. This machine knows the opcodes of protocol 2 that torch.save uses and
//! the few names that a dictionary of tensors needs; everything else is refused by name. Python's Lib/pickletools.py
//! describes the opcodes, torch/_utils.py what tensors are rebuilt from.
//!
//! Values lie in tables and refer to each other by their index, so that no file, however nested, can overflow the stack
//! or take more memory than a fixed multiple of its own size.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};
use safetensors::Dtype;

/// A value; what is not needed for tensors is `Other`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    Int(i64),
    Text(&'a str),
    Tuple(usize),
    List(usize),
    Dict(usize),
    Global(Global),
    Storage(usize),
    Tensor(usize),
    Other,
}

/// The names of Python that a pickle may hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Dtype),
    /// `torch.float32` and the like, as a value among others.
    Dtype,
}

/// Entries of one kind under a key of the archive.
#[derive(Debug)]
pub struct Storage<'a> {
    pub dtype: Dtype,
    pub key: &'a str,
    /// Entries.
    pub len: usize,
}

/// A view of a storage: entry (i, j, …) is at `offset + i·strides[0] + j·strides[1] + …`.
#[derive(Debug)]
pub struct View {
    pub storage: usize,
    pub offset: usize,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}

/// A pickle that was read.
#[derive(Debug)]
pub struct Pickle<'a> {
    pub top: Value<'a>,
    /// Bytes that it took.
    pub len: usize,
    pub dicts: Vec<Vec<(Value<'a>, Value<'a>)>>,
    pub lists: Vec<Vec<Value<'a>>>,
    pub tuples: Vec<Vec<Value<'a>>>,
    pub storages: Vec<Storage<'a>>,
    pub views: Vec<View>,
}

/// The name of Python behind a module and a word.
fn global(module: &str, name: &str) -> Result<Global> {
    Ok(match (module, name) {
        ("collections", "OrderedDict") => Global::OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2") => Global::RebuildTensor,
        ("torch._utils", "_rebuild_parameter") => Global::RebuildParameter,
        ("torch", "FloatStorage") => Global::Storage(Dtype::F32),
        ("torch", "HalfStorage") => Global::Storage(Dtype::F16),
        ("torch", "BFloat16Storage") => Global::Storage(Dtype::BF16),
        ("torch", "DoubleStorage") => Global::Storage(Dtype::F64),
        ("torch", "LongStorage") => Global::Storage(Dtype::I64),
        ("torch", "IntStorage") => Global::Storage(Dtype::I32),
        ("torch", "ShortStorage") => Global::Storage(Dtype::I16),
        ("torch", "CharStorage") => Global::Storage(Dtype::I8),
        ("torch", "ByteStorage") => Global::Storage(Dtype::U8),
        ("torch", "BoolStorage") => Global::Storage(Dtype::BOOL),
        ("torch", "float32" | "float16" | "bfloat16" | "float64" | "int64" | "int32") => Global::Dtype,
        _ => bail!(
            "its pickle asks for {module}.{name}, which tensors do not need; it may hold code, and none was run. If you \
             trust it, load it in Python and save the tensors alone: safetensors.torch.save_file(model.state_dict(), \
             \"model.safetensors\")"
        ),
    })
}

/// Reads one pickle at the beginning of some bytes.
///
/// # Errors
/// A pickle that is cut or damaged, or that is more than tensors, texts, numbers, lists and dictionaries.
pub fn read(bytes: &[u8]) -> Result<Pickle<'_>> {
    let empty = || Pickle {
        top: Value::Other,
        len: 0,
        dicts: Vec::new(),
        lists: Vec::new(),
        tuples: Vec::new(),
        storages: Vec::new(),
        views: Vec::new(),
    };
    let mut machine =
        Machine { bytes, at: 0, stack: Vec::new(), marks: Vec::new(), memo: HashMap::new(), made: empty() };
    while machine.step()? {}
    machine.made.top = machine.pop()?;
    machine.made.len = machine.at;
    Ok(machine.made)
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value<'a>>,
    /// Where the stack stood when a mark was set.
    marks: Vec<usize>,
    memo: HashMap<u64, Value<'a>>,
    made: Pickle<'a>,
}

impl<'a> Machine<'a> {
    /// Carries out one opcode; false is the end.
    fn step(&mut self) -> Result<bool> {
        let at = self.at;
        match self.take(1)?[0] {
            b'.' => return Ok(false), // STOP
            0x80 => {
                // PROTO
                let protocol = self.number::<1>()?;
                ensure!(protocol == 2, "its pickle has protocol {protocol}; torch.save writes protocol 2");
            }
            b'(' => self.marks.push(self.stack.len()),           // MARK
            b'N' | 0x88 | 0x89 => self.stack.push(Value::Other), // NONE, NEWTRUE, NEWFALSE
            b'K' => self.push_int::<1>()?,                       // BININT1
            b'M' => self.push_int::<2>()?,                       // BININT2
            b'J' => {
                // BININT
                let number = self.number::<4>()? as u32 as i32;
                self.stack.push(Value::Int(number.into()));
            }
            0x8a => {
                // LONG1
                let len = self.number::<1>()? as usize;
                let digits = self.take(len)?;
                self.stack.push(if len <= 8 { Value::Int(long(digits)) } else { Value::Other });
            }
            b'G' => {
                // BINFLOAT
                self.take(8)?;
                self.stack.push(Value::Other);
            }
            b'X' => {
                // BINUNICODE
                let len = self.number::<4>()? as usize;
                let text = std::str::from_utf8(self.take(len)?).context("its pickle has a text that is not UTF-8")?;
                self.stack.push(Value::Text(text));
            }
            b')' => self.tuple(0)?, // EMPTY_TUPLE
            0x85 => self.tuple(1)?, // TUPLE1
            0x86 => self.tuple(2)?, // TUPLE2
            0x87 => self.tuple(3)?, // TUPLE3
            b't' => {
                // TUPLE
                let values = self.since_mark()?;
                self.push_tuple(values);
            }
            b']' => {
                // EMPTY_LIST
                self.stack.push(Value::List(self.made.lists.len()));
                self.made.lists.push(Vec::new());
            }
            b'a' => {
                // APPEND
                let value = self.pop()?;
                self.extend_list(vec![value])?;
            }
            b'e' => {
                // APPENDS
                let values = self.since_mark()?;
                self.extend_list(values)?;
            }
            b'}' => self.push_dict(), // EMPTY_DICT
            b's' => {
                // SETITEM
                let (value, key) = (self.pop()?, self.pop()?);
                self.extend_dict(&[key, value])?;
            }
            b'u' => {
                // SETITEMS
                let values = self.since_mark()?;
                self.extend_dict(&values)?;
            }
            b'c' => {
                // GLOBAL
                let (module, name) = (self.line()?, self.line()?);
                self.stack.push(Value::Global(global(module, name)?));
            }
            b'Q' => self.storage()?, // BINPERSID
            b'R' => self.reduce()?,  // REDUCE
            b'b' => {
                // BUILD: an ordered dictionary's attributes
                self.pop()?;
                ensure!(matches!(self.stack.last(), Some(Value::Dict(_))), "its pickle sets what is no attribute");
            }
            b'q' => self.keep::<1>()?,   // BINPUT
            b'r' => self.keep::<4>()?,   // LONG_BINPUT
            b'h' => self.recall::<1>()?, // BINGET
            b'j' => self.recall::<4>()?, // LONG_BINGET
            code => bail!("its pickle has opcode {code:#04x} at byte {at}, which torch.save does not write"),
        }
        Ok(true)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let taken = self.bytes[self.at..].get(..len).context("its pickle is cut")?;
        self.at += len;
        Ok(taken)
    }

    /// A little-endian number of `N` bytes.
    fn number<const N: usize>(&mut self) -> Result<u64> {
        Ok(self.take(N)?.iter().rev().fold(0, |sum, &digit| sum << 8 | u64::from(digit)))
    }

    fn line(&mut self) -> Result<&'a str> {
        let len = self.bytes[self.at..].iter().position(|&byte| byte == b'\n').context("its pickle is cut")?;
        let line = self.take(len + 1)?;
        std::str::from_utf8(&line[..len]).context("its pickle has a name that is not UTF-8")
    }

    fn pop(&mut self) -> Result<Value<'a>> {
        let floor = self.marks.last().copied().unwrap_or(0);
        ensure!(self.stack.len() > floor, "its pickle is damaged: it takes a value that is not there");
        self.stack.pop().context("its pickle is damaged")
    }

    fn since_mark(&mut self) -> Result<Vec<Value<'a>>> {
        let mark = self.marks.pop().context("its pickle is damaged: a mark is missing")?;
        Ok(self.stack.split_off(mark))
    }

    fn push_int<const N: usize>(&mut self) -> Result<()> {
        let number = self.number::<N>()?;
        self.stack.push(Value::Int(number as i64));
        Ok(())
    }

    fn tuple(&mut self, len: usize) -> Result<()> {
        let mut values = (0..len).map(|_| self.pop()).collect::<Result<Vec<_>>>()?;
        values.reverse();
        self.push_tuple(values);
        Ok(())
    }

    fn push_tuple(&mut self, values: Vec<Value<'a>>) {
        self.stack.push(Value::Tuple(self.made.tuples.len()));
        self.made.tuples.push(values);
    }

    fn push_dict(&mut self) {
        self.stack.push(Value::Dict(self.made.dicts.len()));
        self.made.dicts.push(Vec::new());
    }

    fn extend_list(&mut self, values: Vec<Value<'a>>) -> Result<()> {
        let Some(Value::List(list)) = self.stack.last() else { bail!("its pickle appends to what is no list") };
        self.made.lists[*list].extend(values);
        Ok(())
    }

    fn extend_dict(&mut self, values: &[Value<'a>]) -> Result<()> {
        let Some(Value::Dict(dict)) = self.stack.last() else {
            bail!("its pickle sets an item of what is no dictionary")
        };
        let (pairs, rest) = values.as_chunks::<2>();
        ensure!(rest.is_empty(), "its pickle has a key without a value");
        self.made.dicts[*dict].extend(pairs.iter().map(|&[key, value]| (key, value)));
        Ok(())
    }

    fn keep<const N: usize>(&mut self) -> Result<()> {
        let key = self.number::<N>()?;
        let value = *self.stack.last().context("its pickle keeps a value that is not there")?;
        self.memo.insert(key, value);
        Ok(())
    }

    fn recall<const N: usize>(&mut self) -> Result<()> {
        let key = self.number::<N>()?;
        let value = *self.memo.get(&key).context("its pickle recalls a value that was never kept")?;
        self.stack.push(value);
        Ok(())
    }

    fn pop_tuple(&mut self) -> Result<usize> {
        match self.pop()? {
            Value::Tuple(tuple) => Ok(tuple),
            _ => bail!("its pickle is damaged: a tuple is missing"),
        }
    }

    /// `("storage", torch.FloatStorage, key, device, entries)`, in old files with the place of a view behind it.
    fn storage(&mut self) -> Result<()> {
        let tuple = self.pop_tuple()?;
        let (dtype, key, len) = match self.made.tuples[tuple].as_slice() {
            [Value::Text("storage"), Value::Global(Global::Storage(dtype)), Value::Text(key), _, Value::Int(len)]
            | [
                Value::Text("storage"),
                Value::Global(Global::Storage(dtype)),
                Value::Text(key),
                _,
                Value::Int(len),
                Value::Other,
            ] => (*dtype, *key, *len),
            _ => bail!("its pickle refers to something that is no storage of numbers"),
        };
        let len = usize::try_from(len).context("its pickle has a storage of less than no entries")?;
        self.stack.push(Value::Storage(self.made.storages.len()));
        self.made.storages.push(Storage { dtype, key, len });
        Ok(())
    }

    fn reduce(&mut self) -> Result<()> {
        let (arguments, function) = (self.pop_tuple()?, self.pop()?);
        match (function, self.made.tuples[arguments].as_slice()) {
            (Value::Global(Global::OrderedDict), []) => self.push_dict(),
            (
                Value::Global(Global::RebuildTensor),
                &[Value::Storage(storage), Value::Int(offset), Value::Tuple(shape), Value::Tuple(strides), ..],
            ) => {
                let (shape, strides) = (self.sizes(shape)?, self.sizes(strides)?);
                let offset = usize::try_from(offset).context("its pickle has a tensor before its storage")?;
                ensure!(shape.len() == strides.len(), "its pickle has a tensor with dimensions without strides");
                self.stack.push(Value::Tensor(self.made.views.len()));
                self.made.views.push(View { storage, offset, shape, strides });
            }
            (Value::Global(Global::RebuildParameter), &[tensor @ Value::Tensor(_), ..]) => self.stack.push(tensor),
            _ => bail!("its pickle calls something with arguments that torch.save does not write"),
        }
        Ok(())
    }

    fn sizes(&self, tuple: usize) -> Result<Vec<usize>> {
        let size = |value: &Value| match value {
            Value::Int(size) => usize::try_from(*size).context("its pickle has a negative size"),
            _ => bail!("its pickle has a size that is no number"),
        };
        self.made.tuples[tuple].iter().map(size).collect()
    }
}

/// A little-endian number of up to 8 bytes in two's complement.
fn long(digits: &[u8]) -> i64 {
    let sign = if digits.last().is_some_and(|&last| last >= 0x80) { -1 } else { 0 };
    digits.iter().rev().fold(sign, |sum, &digit| sum << 8 | i64::from(digit))
}
