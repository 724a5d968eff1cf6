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
use crate::spec::fault::suggestion;

#[derive(clap::Args)]
pub struct Arguments {
    /// The sweep file, or the name of a sweep in the results folder
    sweep: PathBuf,
    /// main, settings, comparisons, overall, published; a wrong name lists them [default: main]
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
    make: fn(&Study, &Analysis) -> Result<Made>,
}

/// One table, or several that belong together, and the numbers behind them.
struct Made {
    tables: Vec<Table>,
    csv: String,
}

const KINDS: [Kind; 5] = [
    Kind {
        name: "main",
        what: "a mode, each at its best setting; then the differences to the reference",
        make: main_of,
    },
    Kind { name: "settings", what: "a setting, with its statistics over seeds", make: settings_of },
    Kind { name: "comparisons", what: "a mode against the reference on a task, with its tests", make: comparisons_of },
    Kind { name: "overall", what: "a mode over all its tasks", make: overall_of },
    Kind { name: "published", what: "a number of the paper beside that of this study", make: published_of },
];

pub fn main(arguments: &Arguments) -> Result<Exit> {
    let name = arguments.name.as_deref().unwrap_or(KINDS[0].name);
    let Some(kind) = KINDS.iter().find(|kind| kind.name == name) else {
        let list: String = KINDS.iter().map(|kind| format!("\n  {:<12} a row is {}", kind.name, kind.what)).collect();
        let near = suggestion(name, KINDS.iter().map(|kind| kind.name));
        return Err(Refusal(format!("no table is called \"{name}\"; {near}{list}")).into());
    };
    let Recorded { store, manifest, .. } = Recorded::open(&arguments.sweep, arguments.results.as_deref())?;
    let records = study::records(&store, manifest.runs.clone())?;
    let mut warnings = study::different_origins(&records);
    let study = Study {
        name: manifest.name,
        question: manifest.question,
        tune: manifest.tune,
        select: manifest.select,
        paper: manifest.paper,
        planned: manifest.runs,
        records,
        ..Study::default()
    };
    let analysis = analyse(&study)?;
    warnings.extend(analysis.warnings.iter().cloned());
    for warning in warnings {
        complain(&format!("note: {warning}"));
    }
    let made = (kind.make)(&study, &analysis)?;
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
    let csv = String::from_utf8(csv_bytes(&analysis.summary.drop_many(["seeds", "scores", "ids"]))?)?;
    Ok(Made { tables: vec![settings_table(&analysis.cells)], csv })
}

fn comparisons_of(_: &Study, analysis: &Analysis) -> Result<Made> {
    Ok(Made { tables: vec![comparisons_table(analysis)], csv: comparisons_csv(analysis)? })
}

fn overall_of(_: &Study, analysis: &Analysis) -> Result<Made> {
    let table = overall_table(analysis);
    Ok(Made { csv: table.csv()?, tables: vec![table] })
}

fn published_of(study: &Study, analysis: &Analysis) -> Result<Made> {
    let Some(table) = published_table(study, analysis) else {
        let say = "this sweep names no published table; write paper = \"table2\" at the top of its file and run it";
        return Err(Refusal(say.to_owned()).into());
    };
    Ok(Made { csv: table.csv()?, tables: vec![table] })
}
