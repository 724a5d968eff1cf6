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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use polars::prelude::{Column, IntoColumn, NamedFrom, Series};
    use polars_io::parquet::write::ParquetWriter;

    use super::super::sets::{Columns, of};
    use super::*;
    use crate::task::{self, Labels, Task, read};

    fn series<T, D: ?Sized>(name: &str, values: T) -> Column
    where
        Series: NamedFrom<T, D>,
    {
        Series::new(name.into(), values).into_column()
    }

    fn parquet(folder: &Path, columns: Vec<Column>) -> PathBuf {
        let path = folder.join("rows.parquet");
        let mut frame = DataFrame::new(columns[0].len(), columns).unwrap();
        ParquetWriter::new(std::fs::File::create(&path).unwrap()).finish(&mut frame).unwrap();
        path
    }

    fn file(rows: usize, columns: Columns) -> File {
        File { path: "X/train.tsv", split: "train", rows, columns }
    }

    const NLI: Field = Field::Class("label", &["yes", "no"], Some("-"));

    #[test]
    fn fields_are_written_as_the_release_has_them() {
        let folder = tempfile::tempdir().unwrap();
        let columns = vec![
            series("idx", [7i64, 8, 9]),
            series("text", ["a \"b\"", "tab\there\nand there", "日本 🎉"]),
            series("label", [1i64, 0, -1]),
            series("score", [0.2f32, 3.0, 4.25]),
            series("word", ["entailment", "neutral", "neutral"]),
        ];
        let path = parquet(folder.path(), columns);
        let all: Columns = &[
            ("index", Field::Number),
            ("genre", Field::Absent),
            ("s", Field::Text("text")),
            ("y", NLI),
            ("v", Field::Value("score")),
            ("w", Field::Word("word", &[("entailment", "entails"), ("neutral", "neutral")])),
        ];
        let tsv = convert(&file(3, all), Layout::Tsv { header: true }, std::slice::from_ref(&path)).unwrap();
        let expected = "index\tgenre\ts\ty\tv\tw\n0\tn/a\ta \"b\"\tno\t0.2\tentails\n\
            1\tn/a\ttab here and there\tyes\t3\tneutral\n2\tn/a\t日本 🎉\t-\t4.25\tneutral\n";
        assert_eq!((tsv.text.as_str(), tsv.rows, tsv.softened), (expected, 3, 1));
        // Two files of one split are one table; JSON keeps tabs.
        let pair: Columns = &[("s", Field::Text("text")), ("y", NLI)];
        let json = convert(&file(6, pair), Layout::Jsonl, &[path.clone(), path.clone()]).unwrap();
        assert_eq!((json.rows, json.softened), (6, 0));
        assert!(json.text.contains(r#"{"s":"tab\there\nand there","y":"yes"}"#), "{}", json.text);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        const CLASSES: Field = Field::Class("label", &["0", "1"], None);
        let folder = tempfile::tempdir().unwrap();
        let path = parquet(folder.path(), vec![series("text", ["a", "b"]), series("label", [0i64, 5])]);
        let fails = |rows: usize, columns: Columns| {
            convert(&file(rows, columns), Layout::Tsv { header: false }, std::slice::from_ref(&path)).unwrap_err()
        };
        assert!(fails(3, &[("s", Field::Text("text"))]).contains("2 rows came for X/train.tsv, and 3 were published"));
        assert!(fails(2, &[("y", CLASSES)]).contains("row 1: the label is 5, not one of the 2 classes"));
        assert!(fails(2, &[("s", Field::Text("sentence"))]).contains("sentence"));
        assert!(fails(2, &[("w", Field::Word("text", &[("a", "A")]))]).contains("unknown label \"b\""));
        std::fs::write(&path, "not parquet").unwrap();
        assert!(fails(2, &[("s", Field::Text("text"))]).contains("rows.parquet"));
    }

    /// With the official files at hand (`SWEEP_DATA`): the hub's form of them becomes rows equal to theirs.
    #[test]
    fn official_rows_come_back() {
        let Some(data) = std::env::var_os("SWEEP_DATA").map(PathBuf::from) else { return };
        let folder = tempfile::tempdir().unwrap();
        for name in ["rte", "mrpc", "stsb"] {
            let Ok(official) = task::resolve(name, std::slice::from_ref(&data)) else { continue };
            let set = of(name).next().unwrap();
            let sources = [official.train.clone().unwrap(), official.dev[0].source.clone()];
            for (file, source) in set.files.iter().zip(sources) {
                let rows = read::rows(&official, &source).unwrap();
                let text = |side: usize| rows.iter().map(|row| row.text[side].clone()).collect::<Vec<_>>();
                let values: Vec<f32> = rows.iter().map(|row| row.label).collect();
                let classes: Vec<i64> = values.iter().map(|value| *value as i64).collect();
                let label = match official.labels {
                    Labels::Regression => series("label", values),
                    _ => series("label", classes),
                };
                let columns = vec![series("sentence1", text(0)), series("sentence2", text(1)), label];
                let ours = convert(file, set.layout, &[parquet(folder.path(), columns)]).unwrap();
                let mut again: Task = official.clone();
                let path = folder.path().join("rows.tsv");
                std::fs::write(&path, ours.text).unwrap();
                again.dev[0].source.path.clone_from(&path);
                assert_eq!(read::rows(&again, &again.dev[0].source).unwrap(), rows, "{name} {}", file.path);
            }
        }
    }
}
