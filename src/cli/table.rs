//! `sweep table SWEEP [NAME]`: one table of a sweep, from records alone.

use std::path::PathBuf;

use anyhow::Result;
use clap::ValueEnum;
use polars::prelude::DataFrame;

use super::answer::write_out;
use super::layout::table_text;
use super::recorded::Recorded;
use super::{Exit, Refusal, complain, study};
use crate::frame::{Table, cells, csv_bytes, into_targets, main_table, runs, settings_table, summary};
use crate::spec::fault::suggestion;

#[derive(clap::Args)]
pub struct Arguments {
    /// The sweep file, or the name of a sweep in the results folder
    sweep: PathBuf,
    /// main, settings; a wrong name lists them [default: main]
    name: Option<String>,
    /// How to write it
    #[arg(long, value_enum, default_value_t = Format::Txt)]
    format: Format,
    /// Where records lie [default: ./results]
    #[arg(long, env = "SWEEP_RESULTS", value_name = "DIR")]
    results: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For a terminal, as wide as it is
    #[value(alias = "table")]
    Txt,
    /// A pipe table
    #[value(alias = "markdown")]
    Md,
    /// A tabular for the package booktabs
    #[value(alias = "latex")]
    Tex,
    /// Every number behind the table
    Csv,
}

/// A table by name, and what its rows are.
struct Kind {
    name: &'static str,
    what: &'static str,
    /// From the summary over seeds and the names of the axes of `[tune]`.
    make: fn(&DataFrame, &[String]) -> Result<Made>,
}

/// One table, or several that belong together, and the numbers behind them.
struct Made {
    tables: Vec<Table>,
    csv: String,
}

const KINDS: [Kind; 2] = [
    Kind {
        name: "main",
        what: "a mode, each at its best setting; then the differences to the reference",
        make: main_of,
    },
    Kind { name: "settings", what: "a setting, with its statistics over seeds", make: settings_of },
];

pub fn main(arguments: &Arguments) -> Result<Exit> {
    let name = arguments.name.as_deref().unwrap_or(KINDS[0].name);
    let Some(kind) = KINDS.iter().find(|kind| kind.name == name) else {
        let list: String = KINDS.iter().map(|kind| format!("\n  {:<12} a row is {}", kind.name, kind.what)).collect();
        let near = suggestion(name, KINDS.iter().map(|kind| kind.name));
        return Err(Refusal(format!("no table is called \"{name}\"; {near}{list}")).into());
    };
    let Recorded { store, manifest, .. } = Recorded::open(&arguments.sweep, arguments.results.as_deref())?;
    let records = study::records(&store, manifest.runs)?;
    for warning in study::different_origins(&records) {
        complain(&format!("note: {warning}"));
    }
    let made = (kind.make)(&summary(&runs(&into_targets(records))?)?, &manifest.tune)?;
    let joined = |text: fn(&Table) -> String| made.tables.iter().map(text).collect::<Vec<_>>().join("\n");
    write_out(&match arguments.format {
        Format::Txt => joined(table_text),
        Format::Md => joined(Table::markdown),
        Format::Tex => joined(Table::latex),
        Format::Csv => made.csv,
    })?;
    Ok(Exit::Done)
}

fn main_of(summary: &DataFrame, tune: &[String]) -> Result<Made> {
    let main = main_table(&cells(summary, tune)?, tune)?;
    Ok(Made { tables: [Some(main.scores), main.differences].into_iter().flatten().collect(), csv: main.csv })
}

fn settings_of(summary: &DataFrame, tune: &[String]) -> Result<Made> {
    let table = settings_table(&cells(summary, tune)?);
    // Lists have no place in CSV; the runs themselves stand in the results.
    let csv = String::from_utf8(csv_bytes(&summary.drop_many(["seeds", "scores"]))?)?;
    Ok(Made { tables: vec![table], csv })
}
