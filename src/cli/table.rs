//! `sweep table SWEEP [NAME]`: one table of a sweep, from records alone.

use std::path::PathBuf;

use anyhow::Result;
use clap::ValueEnum;

use super::answer::write_out;
use super::layout::table_text;
use super::recorded::Recorded;
use super::{Exit, Refusal, complain, study};
use crate::frame::{
    Analysis, Study, Table, analyse, comparisons_csv, comparisons_table, csv_bytes, main_table, overall_table,
    published_table, settings_table,
};
use crate::report::cell_cost_table;
use crate::spec::fault::suggestion;

#[derive(clap::Args)]
pub struct Arguments {
    /// The sweep file, or the name of a sweep in the results folder
    sweep: PathBuf,
    /// main, settings, comparisons, overall, cost or published [default: main]
    name: Option<String>,
    /// How to write it
    #[arg(long, value_enum, default_value_t = Format::Txt)]
    format: Format,
    /// Where records lie [default: ./results]
    #[arg(long, env = "SWEEP_RESULTS", value_name = "DIR")]
    results: Option<PathBuf>,
    /// A [profile.<name>] of the sweep file
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
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
    make: fn(&Study, &Analysis) -> Result<Made>,
    /// Why it may have no row.
    nothing: &'static str,
}

/// One table, or several that belong together, and the numbers behind them.
struct Made {
    tables: Vec<Table>,
    csv: String,
}

const NO_RECORD: &str = "no run is recorded yet; `sweep status` says how far sweeps are";

const KINDS: [Kind; 6] = [
    Kind {
        name: "main",
        what: "a mode, each at its best setting; then the differences to the reference",
        make: main_of,
        nothing: NO_RECORD,
    },
    Kind { name: "settings", what: "a setting, with its statistics over seeds", make: settings_of, nothing: NO_RECORD },
    Kind {
        name: "comparisons",
        what: "a mode against the reference, with interval, tests and verdict",
        make: comparisons_of,
        nothing: "no mode shares a seed with a scored run of the reference, vanilla",
    },
    Kind {
        name: "overall",
        what: "a mode over its tasks",
        make: overall_of,
        nothing: "no mode has scores on two tasks",
    },
    Kind {
        name: "cost",
        what: "a task and mode, with the time and GPU-hours of its runs",
        make: cost_of,
        nothing: NO_RECORD,
    },
    Kind {
        name: "published",
        what: "a number of the paper beside ours",
        make: published_of,
        nothing: "the sweep asks about no published table; `paper = \"table1\"` in its file would",
    },
];

pub fn main(arguments: &Arguments) -> Result<Exit> {
    let name = arguments.name.as_deref().unwrap_or(KINDS[0].name);
    let Some(kind) = KINDS.iter().find(|kind| kind.name == name) else {
        let list: String = KINDS.iter().map(|kind| format!("\n  {:<12} a row is {}", kind.name, kind.what)).collect();
        let near = suggestion(name, KINDS.iter().map(|kind| kind.name));
        return Err(Refusal(format!("no table is called \"{name}\"; {near}{list}")).into());
    };
    let Recorded { store, manifest, .. } =
        Recorded::open(&arguments.sweep, arguments.results.as_deref(), arguments.profile.as_deref())?;
    let study = study::without_overlaps(&store, manifest)?;
    let analysis = analyse(&study)?;
    for warning in study.warnings.iter().chain(&analysis.warnings) {
        complain(&format!("note: {warning}"));
    }
    let made = (kind.make)(&study, &analysis)?;
    if made.tables.iter().all(|table| table.rows.is_empty()) {
        return Err(Refusal(format!("the table {name} of {} has no row: {}", study.name, kind.nothing)).into());
    }
    let joined = |text: fn(&Table) -> String| made.tables.iter().map(text).collect::<Vec<_>>().join("\n");
    write_out(&match arguments.format {
        Format::Txt => joined(table_text),
        Format::Md => joined(Table::markdown),
        Format::Tex => joined(Table::latex),
        Format::Csv => made.csv,
    })?;
    Ok(Exit::Done)
}

fn main_of(_: &Study, analysis: &Analysis) -> Result<Made> {
    let main = main_table(analysis)?;
    Ok(Made { tables: [Some(main.scores), main.differences].into_iter().flatten().collect(), csv: main.csv })
}

fn settings_of(_: &Study, analysis: &Analysis) -> Result<Made> {
    // Lists have no place in CSV; the runs themselves stand in the results.
    let flat = analysis.summary.drop_many(["seeds", "scores", "ids"]);
    Ok(Made { tables: vec![settings_table(&analysis.cells)], csv: String::from_utf8(csv_bytes(&flat)?)? })
}

fn comparisons_of(_: &Study, analysis: &Analysis) -> Result<Made> {
    Ok(Made { tables: vec![comparisons_table(analysis)], csv: comparisons_csv(analysis)? })
}

fn overall_of(_: &Study, analysis: &Analysis) -> Result<Made> {
    as_shown(Some(overall_table(analysis)))
}

fn cost_of(study: &Study, _: &Analysis) -> Result<Made> {
    as_shown(Some(cell_cost_table(&study.records)))
}

fn published_of(study: &Study, analysis: &Analysis) -> Result<Made> {
    as_shown(published_table(study, analysis))
}

/// A table that has no other numbers than those it shows.
fn as_shown(table: Option<Table>) -> Result<Made> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    if let Some(table) = &table {
        csv.write_record(&table.columns)?;
        for row in &table.rows {
            csv.write_record(row.iter().map(|entry| match entry.aside.as_str() {
                "" => entry.text.clone(),
                aside => format!("{} ({aside})", entry.text),
            }))?;
        }
    }
    Ok(Made { tables: table.into_iter().collect(), csv: String::from_utf8(csv.into_inner()?)? })
}
