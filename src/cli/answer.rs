//! A frame as an answer: a table for people, CSV, JSON or Markdown.

use std::io::{IsTerminal, Write};

use anyhow::Result;
use clap::ValueEnum;
use polars::prelude::*;
use serde_json::Value;

use super::layout::{Column as Laid, lay_out, terminal_width};
use crate::frame::{Entry, Table};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns side by side, numbers to six digits
    #[value(alias = "txt")]
    Table,
    /// With a header; what is null is empty
    Csv,
    /// A list of objects
    Json,
    /// A pipe table
    #[value(alias = "md")]
    Markdown,
}

impl Format {
    /// A table for a person at a terminal, CSV for a program behind a pipe.
    pub fn standard() -> Format {
        if std::io::stdout().is_terminal() { Format::Table } else { Format::Csv }
    }

    /// The frame in this format, with a line break at its end.
    ///
    /// # Errors
    /// None but those of a broken frame.
    pub fn text(self, frame: &DataFrame) -> Result<String> {
        match self {
            Format::Table => table(frame),
            Format::Csv => csv(frame),
            Format::Json => json(frame),
            Format::Markdown => markdown(frame),
        }
    }
}

/// Writes to standard output.
///
/// # Errors
/// A closed pipe.
pub fn write_out(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

fn table(frame: &DataFrame) -> Result<String> {
    let laid = |column: &Column| -> Result<Laid> {
        let mut cells = Vec::with_capacity(frame.height());
        for row in 0..frame.height() {
            cells.push(for_people(&column.get(row)?));
        }
        Ok(Laid { name: column.name().to_string(), right: column.dtype().is_primitive_numeric(), cells })
    };
    let columns: Vec<Laid> = frame.columns().iter().map(laid).collect::<Result<_>>()?;
    let rows = if frame.height() == 1 { "1 row".to_owned() } else { format!("{} rows", frame.height()) };
    Ok(format!("{}{rows}\n", lay_out(&columns, leading_words(frame), terminal_width())))
}

fn markdown(frame: &DataFrame) -> Result<String> {
    let mut table = Table {
        columns: frame.get_column_names().into_iter().map(ToString::to_string).collect(),
        headings: leading_words(frame),
        ..Table::default()
    };
    for row in 0..frame.height() {
        let cells = frame.columns().iter().map(|column| Ok(Entry::from(for_people(&column.get(row)?))));
        table.rows.push(cells.collect::<Result<_>>()?);
    }
    Ok(table.markdown())
}

fn csv(frame: &DataFrame) -> Result<String> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(frame.get_column_names().into_iter().map(|name| name.as_str()))?;
    for row in 0..frame.height() {
        for column in frame.columns() {
            csv.write_field(exact(&column.get(row)?))?;
        }
        csv.write_record(None::<&[u8]>)?;
    }
    Ok(String::from_utf8(csv.into_inner()?)?)
}

/// By hand, for serde_json's own objects forget the order of their keys.
fn json(frame: &DataFrame) -> Result<String> {
    let names: Vec<String> =
        frame.get_column_names().into_iter().map(|name| Value::from(name.as_str()).to_string()).collect();
    let mut rows = Vec::with_capacity(frame.height());
    for row in 0..frame.height() {
        let fields = names.iter().zip(frame.columns());
        let fields = fields.map(|(name, column)| Ok(format!("{name}: {}", value(&column.get(row)?))));
        rows.push(format!("  {{{}}}", fields.collect::<Result<Vec<_>>>()?.join(", ")));
    }
    Ok(if rows.is_empty() { "[]\n".to_owned() } else { format!("[\n{}\n]\n", rows.join(",\n")) })
}

/// The columns of words at the left, which name a row.
fn leading_words(frame: &DataFrame) -> usize {
    frame.columns().iter().take_while(|column| column.dtype().is_string()).count().min(frame.width().saturating_sub(1))
}

/// As JSON has it; a number that is not finite is null.
fn value(any: &AnyValue) -> Value {
    match any {
        AnyValue::Null => Value::Null,
        AnyValue::Boolean(yes) => (*yes).into(),
        AnyValue::String(text) => (*text).into(),
        AnyValue::StringOwned(text) => text.as_str().into(),
        AnyValue::Float64(x) => (*x).into(),
        AnyValue::List(list) => list.iter().map(|inner| value(&inner)).collect(),
        any if any.is_integer() => match any.extract::<i64>() {
            Some(n) => n.into(),
            None => any.extract::<u64>().into(),
        },
        any if any.is_float() => any.extract::<f64>().into(),
        any => any.to_string().into(),
    }
}

/// Every digit; null is empty.
fn exact(any: &AnyValue) -> String {
    match any {
        AnyValue::Null => String::new(),
        AnyValue::String(text) => (*text).to_owned(),
        AnyValue::Float64(x) => format!("{x:?}"),
        any => match value(any) {
            Value::String(text) => text,
            value => value.to_string(),
        },
    }
}

/// Six digits of a number, and everything on one line.
fn for_people(any: &AnyValue) -> String {
    match any {
        AnyValue::Float64(x) => digits(*x),
        any if any.is_float() => any.extract().map_or(String::new(), digits),
        any => exact(any).replace(|c: char| c.is_control(), " "),
    }
}

fn digits(x: f64) -> String {
    let rounded: f64 = format!("{x:.5e}").parse().unwrap_or(x);
    if rounded != 0.0 && (rounded.abs() < 1e-3 || rounded.abs() >= 1e9) {
        format!("{rounded:e}")
    } else {
        rounded.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn frame() -> DataFrame {
        let columns = vec![
            Column::new("mode".into(), ["child-d", "a|\"b\nc"]),
            Column::new("z".into(), [Some(1.0f64 / 3.0), None]),
            Column::new("a".into(), [2e-5, f64::NAN]),
            Column::new("n".into(), [u64::MAX, 1]),
        ];
        DataFrame::new(2, columns).unwrap()
    }

    #[test]
    fn every_format_keeps_the_order_of_columns_and_says_what_is_missing() {
        assert_eq!(
            Format::Csv.text(&frame()).unwrap(),
            "mode,z,a,n\nchild-d,0.3333333333333333,2e-5,18446744073709551615\n\"a|\"\"b\nc\",,NaN,1\n"
        );
        assert_eq!(
            Format::Json.text(&frame()).unwrap(),
            "[\n  {\"mode\": \"child-d\", \"z\": 0.3333333333333333, \"a\": 0.00002, \"n\": 18446744073709551615},\n  \
             {\"mode\": \"a|\\\"b\\nc\", \"z\": null, \"a\": null, \"n\": 1}\n]\n"
        );
        assert_eq!(
            Format::Markdown.text(&frame()).unwrap(),
            "| mode | z | a | n |\n| :-- | --: | --: | --: |\n| child-d | 0.333333 | 2e-5 | 18446744073709551615 |\n\
             | a\\|\"b c |  | NaN | 1 |\n"
        );
        let table = Format::Table.text(&frame()).unwrap();
        assert!(
            table.contains("child-d  0.333333  2e-5  18446744073709551615\n") && table.ends_with("2 rows\n"),
            "{table}"
        );
    }

    #[test]
    fn nothing_is_an_answer_too() {
        let none = frame().slice(0, 0);
        assert_eq!(Format::Json.text(&none).unwrap(), "[]\n");
        assert_eq!(Format::Csv.text(&none).unwrap(), "mode,z,a,n\n");
    }

    #[test]
    fn numbers_for_people_have_six_digits() {
        assert_eq!(
            [0.1 + 0.2, 1e-7, 1_234_567.8, 0.0, -2.5e12].map(digits),
            ["0.3", "1e-7", "1234570", "0", "-2.5e12"]
        );
    }
}
