//! Parquet from the hub to the text files of the official releases.

use std::borrow::Cow;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use polars::prelude::{Column, DataFrame, DataType, PolarsResult};
use polars_io::SerReader;
use polars_io::parquet::read::ParquetReader;

use super::sets::{Field, File, Layout};

/// Written where the hub does not have a column that no task reads.
const ABSENT: &str = "n/a";

/// The text of a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Converted {
    pub text: String,
    pub rows: usize,
    /// Texts in which tabs or line ends became blanks, since the file has no way to write them.
    pub softened: usize,
}

/// A column as text, one value at a time.
enum Values {
    Number,
    Absent,
    Texts(Column),
    Classes(Column, &'static [&'static str], Option<&'static str>),
    Numbers(Column),
    Words(Column, &'static [(&'static str, &'static str)]),
}

/// Rewrites the rows of parquet files as the official release has them.
///
/// # Errors
/// What does not fit: a missing column, a label that the task does not know, another number of rows than published.
pub fn convert(file: &File, layout: Layout, parquet: &[PathBuf]) -> Result<Converted, String> {
    let mut converted = Converted { text: String::new(), rows: 0, softened: 0 };
    if layout == (Layout::Tsv { header: true }) {
        let header: Vec<&str> = file.columns.iter().map(|(name, _)| *name).collect();
        converted.text += &(header.join("\t") + "\n");
    }
    for path in parquet {
        let frame = read(path, file).map_err(|error| format!("{}: {error}", path.display()))?;
        add(&mut converted, &frame, file, layout).map_err(|why| format!("{}: {why}", path.display()))?;
    }
    if converted.rows != file.rows {
        return Err(format!(
            "{} rows came for {}, and {} were published: the data set on the hub has changed",
            converted.rows, file.path, file.rows
        ));
    }
    Ok(converted)
}

fn read(path: &Path, file: &File) -> Result<DataFrame, String> {
    let needed = file.columns.iter().filter_map(|(_, field)| match field {
        Field::Text(name) | Field::Value(name) | Field::Class(name, ..) | Field::Word(name, _) => Some(*name),
        Field::Number | Field::Absent => None,
    });
    let mut needed: Vec<String> = needed.map(str::to_owned).collect();
    needed.sort();
    needed.dedup();
    let parquet = std::fs::File::open(path).map_err(|error| error.to_string())?;
    ParquetReader::new(parquet).with_columns(Some(needed)).finish().map_err(|error| error.to_string())
}

fn add(converted: &mut Converted, frame: &DataFrame, file: &File, layout: Layout) -> Result<(), String> {
    let columns: Vec<Values> = file
        .columns
        .iter()
        .map(|(_, field)| values(frame, field))
        .collect::<PolarsResult<_>>()
        .map_err(|e| e.to_string())?;
    for row in 0..frame.height() {
        let fields = columns.iter().map(|column| field(column, row, converted.rows));
        let fields: Vec<Cow<str>> = fields.collect::<Result<_, _>>().map_err(|why| format!("row {row}: {why}"))?;
        match layout {
            Layout::Tsv { .. } => {
                for (at, text) in fields.iter().enumerate() {
                    let gap = if at == 0 { "" } else { "\t" };
                    let soft = text.replace(['\t', '\n', '\r'], " ");
                    converted.softened += usize::from(soft != *text);
                    // Writing to a String cannot fail.
                    let _ = write!(converted.text, "{gap}{soft}");
                }
            }
            Layout::Jsonl => {
                let names = file.columns.iter().map(|(name, _)| (*name).to_owned());
                let object: serde_json::Map<_, _> =
                    names.zip(fields.into_iter().map(|text| text.into_owned().into())).collect();
                converted.text += &serde_json::Value::Object(object).to_string();
            }
        }
        converted.text.push('\n');
        converted.rows += 1;
    }
    Ok(())
}

fn values(frame: &DataFrame, field: &Field) -> PolarsResult<Values> {
    let column = |name: &str, kind: DataType| frame.column(name)?.cast(&kind);
    Ok(match *field {
        Field::Number => Values::Number,
        Field::Absent => Values::Absent,
        Field::Text(name) => Values::Texts(column(name, DataType::String)?),
        Field::Class(name, words, none) => Values::Classes(column(name, DataType::Int64)?, words, none),
        // Half the digits of a double would be those of the rounding.
        Field::Value(name) => Values::Numbers(column(name, DataType::Float32)?),
        Field::Word(name, words) => Values::Words(column(name, DataType::String)?, words),
    })
}

fn field(values: &Values, row: usize, number: usize) -> Result<Cow<'_, str>, String> {
    let failed = |error: polars::error::PolarsError| error.to_string();
    Ok(match values {
        Values::Number => Cow::Owned(number.to_string()),
        Values::Absent => Cow::Borrowed(ABSENT),
        Values::Texts(column) => Cow::Borrowed(column.str().map_err(failed)?.get(row).unwrap_or_default()),
        Values::Classes(column, words, none) => {
            let class = column.i64().map_err(failed)?.get(row);
            let word = class.and_then(|class| words.get(usize::try_from(class).ok()?)).or(none.as_ref());
            let class = class.map_or_else(|| "none".to_owned(), |class| class.to_string());
            Cow::Borrowed(word.ok_or_else(|| format!("the label is {class}, not one of the {} classes", words.len()))?)
        }
        Values::Numbers(column) => {
            let value = column.f32().map_err(failed)?.get(row).filter(|value| value.is_finite());
            Cow::Owned(value.ok_or("the value is missing or not finite")?.to_string())
        }
        Values::Words(column, words) => {
            let word = column.str().map_err(failed)?.get(row).unwrap_or_default();
            let (_, ours) =
                words.iter().find(|(theirs, _)| *theirs == word).ok_or(format!("unknown label \"{word}\""))?;
            Cow::Borrowed(ours)
        }
    })
}
