//! Data files to rows of text and label. Every malformed row is named by its line.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::Path;

use super::{Column, Error, Fault, Format, Labels, Source, Task, hint};

/// How many malformed rows of a file are described; the others are counted.
const FAULTS_SHOWN: usize = 5;

/// One example.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// One sentence, or the two of a pair.
    pub text: Vec<String>,
    /// Class index, or value.
    pub label: f32,
}

/// All rows of a file in file order, without those that the task leaves out.
pub fn rows(task: &Task, source: &Source) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    let columns: Vec<&Column> = task.text.iter().chain([&task.label]).collect();
    each(&source.path, source.format, &columns, task.skip_torn, |mut fields| {
        let label = fields.pop().unwrap_or_default();
        if let Some(label) = value(&label, &task.labels, task.skip.as_deref())? {
            rows.push(Row { text: fields.into_iter().map(Cow::into_owned).collect(), label });
        }
        Ok(())
    })?;
    if rows.is_empty() {
        return Err(Error::File { path: source.path.clone(), message: "holds no rows to use".to_owned() });
    }
    Ok(rows)
}

/// The text columns of a file of which only texts are wanted, by its ending: tsv, csv or jsonl. It has a header where
/// the columns go by name.
pub fn texts(path: &Path, ending: &str, columns: &[Column]) -> Result<Vec<Vec<String>>, Error> {
    let header = columns.iter().any(|column| matches!(column, Column::Name(_)));
    let format = match ending {
        "jsonl" => Format::Jsonl,
        "csv" => Format::Csv { header },
        _ => Format::Tsv { header },
    };
    let columns: Vec<&Column> = columns.iter().collect();
    let mut rows = Vec::new();
    each(path, format, &columns, false, |fields| {
        rows.push(fields.into_iter().map(Cow::into_owned).collect());
        Ok(())
    })?;
    Ok(rows)
}

/// One text a line, or `count` of them with tabs between. `path` is what messages call the file.
pub fn lines_of_texts(path: &Path, bytes: &[u8], count: usize) -> Result<Vec<Vec<String>>, Error> {
    let (mut rows, mut faults, mut more) = (Vec::new(), Vec::new(), 0);
    for (line, record) in records(content(bytes), Format::Tsv { header: false }, &[]) {
        let fields = record.and_then(|fields| match fields.len() {
            n if n == count => Ok(fields),
            n => Err(format!("texts with tabs between: {n} found, {count} expected")),
        });
        match fields {
            Ok(fields) => rows.push(fields.into_iter().map(Cow::into_owned).collect()),
            Err(message) if faults.len() < FAULTS_SHOWN => faults.push(Fault { line, message }),
            Err(_) => more += 1,
        }
    }
    if faults.is_empty() { Ok(rows) } else { Err(Error::Rows { path: path.to_owned(), faults, more }) }
}

/// The distinct words of a label column, in numeric order where all are numbers, else in alphabetic order.
pub(super) fn distinct(source: &Source, column: &Column, skip: Option<&str>) -> Result<Vec<String>, Error> {
    let mut words = BTreeSet::new();
    each(&source.path, source.format, &[column], false, |fields| {
        words.extend(fields.into_iter().map(Cow::into_owned));
        Ok(())
    })?;
    let mut words: Vec<String> = words.into_iter().filter(|word| Some(word.as_str()) != skip).collect();
    if words.iter().all(|word| word.parse::<f64>().is_ok()) {
        let number = |word: &String| word.parse::<f64>().unwrap_or(f64::NAN);
        words.sort_by(|a, b| number(a).total_cmp(&number(b)));
    }
    Ok(words)
}

/// The first row's fields: the header, where the file has one.
pub(super) fn first_row(path: &Path, format: Format) -> Result<Vec<String>, Error> {
    let bytes = read(path)?;
    match records(content(&bytes), format, &[]).next() {
        Some((_, Ok(fields))) => Ok(fields.into_iter().map(Cow::into_owned).collect()),
        Some((line, Err(message))) => {
            Err(Error::Rows { path: path.to_owned(), faults: vec![Fault { line, message }], more: 0 })
        }
        None => Err(Error::File { path: path.to_owned(), message: "the file is empty".to_owned() }),
    }
}

/// Class index or value of a label as written; `None` where the row is to be left out.
fn value(label: &str, labels: &Labels, skip: Option<&str>) -> Result<Option<f32>, String> {
    if skip == Some(label) {
        return Ok(None);
    }
    let number = || match label.trim().parse::<f64>() {
        Ok(number) if (number as f32).is_finite() => Ok(number),
        _ => Err(format!("the label `{}` is not a finite number", shown(label))),
    };
    match labels {
        Labels::Classes(words) => match words.iter().position(|word| word == label) {
            Some(class) => Ok(Some(class as f32)),
            None => {
                let hint = hint(label, words.iter().map(String::as_str));
                Err(format!("the label `{}` is not among the known ones: {}{hint}", shown(label), words.join(", ")))
            }
        },
        Labels::Regression => number().map(|number| Some(number as f32)),
        Labels::Sign { neutral_below } => {
            let number = number()?;
            Ok((number != 0.0 && number.abs() >= *neutral_below).then_some(if number > 0.0 { 1.0 } else { 0.0 }))
        }
    }
}

/// A field cut to what fits into a message.
fn shown(field: &str) -> String {
    if field.chars().count() <= 40 { field.to_owned() } else { field.chars().take(39).chain(['…']).collect() }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })
}

/// The bytes without a byte-order mark and without empty lines at the end.
fn content(bytes: &[u8]) -> &[u8] {
    let mut bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    while let [rest @ .., b'\n' | b'\r'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Calls `visit` with the wanted fields of each row, in the order of `columns`, and gathers what it or the format finds
/// malformed.
pub(super) fn each(
    path: &Path,
    format: Format,
    columns: &[&Column],
    skip_torn: bool,
    mut visit: impl FnMut(Vec<Cow<str>>) -> Result<(), String>,
) -> Result<(), Error> {
    let bytes = read(path)?;
    let keys: Vec<&str> =
        columns.iter().map(|column| if let Column::Name(name) = column { name } else { "" }).collect();
    let mut records = records(content(&bytes), format, &keys).peekable();
    let wrong = |message: String| Error::File { path: path.to_owned(), message };
    let Some((_, first)) = records.peek() else { return Err(wrong("the file is empty".to_owned())) };
    // An unreadable first row is reported below, where the others are.
    let first: &[Cow<str>] = first.as_deref().unwrap_or_default();
    let width = first.len();
    let picks: Vec<usize> = match format {
        Format::Jsonl => (0..columns.len()).collect(),
        Format::Tsv { .. } | Format::Csv { .. } => {
            columns.iter().map(|column| place(column, first)).collect::<Result<_, _>>().map_err(wrong)?
        }
    };
    if matches!(format, Format::Tsv { header: true } | Format::Csv { header: true }) {
        records.next();
    }
    let (mut faults, mut more) = (Vec::new(), 0);
    for (line, record) in records {
        let outcome = match record {
            Ok(fields) if fields.len() < width && skip_torn => Ok(()),
            Ok(fields) if fields.len() != width => Err(format!(
                "columns: {} found, {width} expected{}",
                fields.len(),
                if fields.len() < width { " (a row torn in two?)" } else { "" }
            )),
            Ok(mut fields) => visit(picks.iter().map(|&pick| std::mem::take(&mut fields[pick])).collect()),
            Err(message) => Err(message),
        };
        match outcome {
            Err(message) if faults.len() < FAULTS_SHOWN => faults.push(Fault { line, message }),
            Err(_) => more += 1,
            Ok(()) => {}
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Error::Rows { path: path.to_owned(), faults, more }) }
}

/// Where a column stands in a file whose first row is this.
fn place(column: &Column, first: &[Cow<str>]) -> Result<usize, String> {
    match column {
        Column::Index(index) if *index < first.len() => Ok(*index),
        Column::Index(index) => {
            Err(format!("there is no column {index} (counted from 0): the first row has {} columns", first.len()))
        }
        Column::Name(name) => first.iter().position(|field| field == name).ok_or_else(|| {
            let hint = hint(name, first.iter().map(Cow::as_ref));
            let header: Vec<String> = first.iter().map(|field| shown(field)).collect();
            format!("the header has no column `{name}`{hint}; it has: {}", header.join(", "))
        }),
    }
}

/// Line number, and the fields or what is wrong with them.
type Record<'a> = (u64, Result<Vec<Cow<'a, str>>, String>);

/// Cuts a file into records; a JSONL record has the values of `keys`, every other one all its fields.
fn records<'a>(bytes: &'a [u8], format: Format, keys: &'a [&'a str]) -> Box<dyn Iterator<Item = Record<'a>> + 'a> {
    match format {
        Format::Csv { .. } => Box::new(csv(bytes)),
        Format::Tsv { .. } => Box::new(
            lines(bytes).map(|(number, line)| (number, line.map(|line| line.split('\t').map(Cow::Borrowed).collect()))),
        ),
        Format::Jsonl => Box::new(lines(bytes).map(|(number, line)| (number, line.and_then(|line| json(line, keys))))),
    }
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = (u64, Result<&str, String>)> {
    let lines = bytes.split(|byte| *byte == b'\n').take(if bytes.is_empty() { 0 } else { usize::MAX });
    (1..).zip(lines.map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        std::str::from_utf8(line).map_err(|fault| format!("not UTF-8 at byte {} of the line", fault.valid_up_to() + 1))
    }))
}

fn csv(bytes: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
    let mut guess = 0;
    reader.into_byte_records().map(move |record| match record {
        Ok(record) => {
            guess = record.position().map_or(guess + 1, csv::Position::line);
            let text = |field: &[u8]| String::from_utf8(field.to_vec()).map(Cow::Owned);
            let fields = record.iter().map(text).collect::<Result<Vec<_>, _>>();
            (guess, fields.map_err(|_| "not UTF-8".to_owned()))
        }
        Err(fault) => (guess + 1, Err(fault.to_string())),
    })
}

fn json<'a>(line: &str, keys: &[&str]) -> Result<Vec<Cow<'a, str>>, String> {
    use serde_json::{Map, Value};
    let object: Map<String, Value> =
        serde_json::from_str(line).map_err(|fault| format!("not a JSON object: {fault}"))?;
    let field = |key: &&str| match object.get(*key) {
        Some(Value::String(text)) => Ok(Cow::Owned(text.clone())),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(Cow::Owned(value.to_string())),
        Some(_) => Err(format!("`{key}` is neither text nor a number")),
        None => {
            let known: Vec<&str> = object.keys().map(String::as_str).collect();
            Err(format!("no key `{key}`{}; the object has: {}", hint(key, known.iter().copied()), known.join(", ")))
        }
    };
    keys.iter().map(field).collect()
}

#[cfg(test)]
mod tests;
