//! `sweep query "SELECT …"`: any question to the records, in SQL.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Result;
use polars::prelude::*;
use polars_sql::{SQLContext, extract_table_identifiers};

use super::answer::{Format, write_out};
use super::recorded::Recorded;
use super::{Exit, Refusal, complain, study};
use crate::frame;
use crate::plan::RunId;
use crate::record::Record;
use crate::spec::fault::{nearest, suggestion};

/// Examples that stand below the list of tables.
const EXAMPLES: &str = "\
for example:
  sweep query \"SELECT mode, avg(score) FROM runs GROUP BY mode\"
  sweep query \"SELECT task, mode, max(score) AS best FROM runs WHERE p = 0.3 GROUP BY task, mode ORDER BY best DESC\"
  sweep query \"SELECT epoch, avg(score) FROM evals WHERE epoch IS NOT NULL GROUP BY epoch\" --sweep quickstart";

/// Every table, and what a row of it is.
const TABLES: [(&str, &str); 5] = [
    ("runs", "a run: its settings, how it ended, what it cost"),
    ("evals", "a score: every metric after every epoch and at the end, on halves of dev, on other tasks"),
    ("steps", "a training step, where log_every asks for it"),
    ("masks", "a run that fixed a child network"),
    ("overlaps", "two child networks and what they share"),
];

#[derive(clap::Args)]
pub struct Arguments {
    /// A SELECT over runs, evals, steps, masks and overlaps; without one, the tables and their columns are listed
    sql: Option<String>,
    /// Ask this sweep alone, by file or name; may be given several times [default: every sweep in the results folder]
    #[arg(long, value_name = "SWEEP")]
    sweep: Vec<PathBuf>,
    /// How to answer [default: table on a terminal, else csv]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Where records lie [default: ./results]
    #[arg(long, env = "SWEEP_RESULTS", value_name = "DIR")]
    results: Option<PathBuf>,
}

pub fn main(arguments: &Arguments) -> Result<Exit> {
    let results = arguments.results.as_deref();
    let sweeps: Vec<Recorded> = match &arguments.sweep[..] {
        [] => Recorded::all(results)?,
        named => named.iter().map(|sweep| Recorded::open(sweep, results, None)).collect::<Result<_>>()?,
    };
    let mut sources = Sources { sweeps, records: None };
    let sql = arguments.sql.as_deref().map(|sql| sql.trim().trim_end_matches(';').trim_end());
    let Some(sql) = sql.filter(|sql| !sql.eq_ignore_ascii_case("show tables")) else {
        write_out(&sources.listed()?)?;
        return Ok(Exit::Done);
    };
    let frame = answer(sql, &mut sources)?;
    if let Some(note) = sources.counted_twice().filter(|_| !sql.to_lowercase().contains("sweep")) {
        complain(&note);
    }
    write_out(&arguments.format.unwrap_or_else(Format::standard).text(&frame)?)?;
    Ok(Exit::Done)
}

/// The sweeps that are asked; a table is made when a query names it.
struct Sources {
    sweeps: Vec<Recorded>,
    /// All records, and beside each the name of its sweep.
    records: Option<(Vec<Record>, Vec<String>)>,
}

impl Sources {
    /// # Errors
    /// Files that cannot be read.
    fn records(&mut self) -> Result<&(Vec<Record>, Vec<String>)> {
        let read = match self.records.take() {
            Some(read) => read,
            None => {
                let (mut records, mut names) = (Vec::new(), Vec::new());
                for Recorded { store, manifest, .. } in &self.sweeps {
                    records.extend(study::records(store, manifest)?);
                    names.resize(records.len(), manifest.name.clone());
                }
                (records, names)
            }
        };
        Ok(self.records.insert(read))
    }

    /// The table of this name, one of [`TABLES`].
    ///
    /// # Errors
    /// Files that cannot be read.
    fn table(&mut self, name: &str) -> Result<DataFrame> {
        match name {
            "evals" => self.records().and_then(|(records, sweeps)| frame::evals(records, sweeps)),
            "masks" => self.records().and_then(|(records, sweeps)| frame::mask_table(records, sweeps)),
            "steps" => {
                let folders: BTreeMap<&RunId, PathBuf> = self
                    .sweeps
                    .iter()
                    .flat_map(|s| s.manifest.runs.iter().map(|(id, _)| (id, s.store.run_folder(id))))
                    .collect();
                frame::steps(&folders.into_iter().map(|(id, folder)| (id.clone(), folder)).collect::<Vec<_>>())
            }
            "overlaps" => {
                let mut overlaps = Vec::new();
                for Recorded { store, manifest, .. } in &self.sweeps {
                    let study = study::gather(store, manifest.clone())?;
                    overlaps.extend(study.overlaps.into_iter().map(|overlap| (manifest.name.clone(), overlap)));
                }
                frame::overlap_table(&overlaps)
            }
            _ => {
                let (records, sweeps) = self.records()?;
                let mut runs = frame::runs(records)?;
                runs.insert_column(0, Column::new("sweep".into(), sweeps))?;
                Ok(runs)
            }
        }
    }

    /// Every table with its columns.
    fn listed(&mut self) -> Result<String> {
        let mut text = String::new();
        for (name, what) in TABLES {
            text += &format!("{name}: a row is {what}\n  {}\n", column_names(&self.table(name)?).join(", "));
        }
        Ok(format!("{text}\n{EXAMPLES}\n"))
    }

    /// A warning where sweeps share runs: each then stands once for each sweep.
    fn counted_twice(&self) -> Option<String> {
        let (mut seen, mut shared) = (BTreeSet::new(), BTreeSet::new());
        let ids = self.sweeps.iter().flat_map(|s| s.manifest.runs.iter().map(|(id, _)| id));
        shared.extend(ids.filter(|id| !seen.insert(*id)));
        (!shared.is_empty()).then(|| {
            format!(
                "note: {} runs belong to several sweeps and stand once for each; --sweep NAME asks one alone",
                shared.len()
            )
        })
    }
}

/// Runs a query. Rows of a GROUP BY without an ORDER BY are sorted by all columns from the left, for SQL leaves their
/// order open and the same question should have the same answer.
///
/// # Errors
/// What is wrong with the query, in words; files that cannot be read.
fn answer(sql: &str, sources: &mut Sources) -> Result<DataFrame> {
    let lower = sql.to_lowercase();
    let first = lower.split(|c: char| !c.is_alphabetic()).find(|word| !word.is_empty()).unwrap_or_default();
    if !["select", "with", "explain", "from"].contains(&first) {
        return Err(Refusal(
            "a query only reads: begin it with SELECT or WITH; \
             without a query, `sweep query` lists tables and columns"
                .to_owned(),
        )
        .into());
    }
    let named = extract_table_identifiers(sql, false, true).map_err(|error| explain(&error, &[]))?;
    let context = SQLContext::new();
    let mut known = Vec::new();
    for (name, _) in TABLES.iter().filter(|(name, _)| named.iter().any(|own| own == name)) {
        let table = sources.table(name)?;
        known.push((*name, column_names(&table)));
        context.register(name, table.lazy());
    }
    let mut context = context;
    let frame = context.execute(sql).and_then(|lazy| lazy.collect()).map_err(|error| explain(&error, &known))?;
    if !lower.contains("group by") || lower.contains("order by") {
        return Ok(frame);
    }
    let order: Vec<PlSmallStr> =
        frame.columns().iter().filter(|c| !c.dtype().is_nested()).map(|c| c.name().clone()).collect();
    Ok(if order.is_empty() { frame } else { frame.sort(order, SortMultipleOptions::default())? })
}

fn column_names(frame: &DataFrame) -> Vec<String> {
    frame.get_column_names().into_iter().map(ToString::to_string).collect()
}

/// An error of the query in words for people. `known` are the tables that it names, with their columns.
fn explain(error: &PolarsError, known: &[(&str, Vec<String>)]) -> anyhow::Error {
    let message = match root(error) {
        PolarsError::ColumnNotFound(message) | PolarsError::SchemaFieldNotFound(message) => {
            quoted(message).map(|name| no_column(name, known))
        }
        PolarsError::SQLInterface(message) if message.starts_with("relation ") => quoted(message).map(|name| {
            format!("there is no table \"{name}\"; {}", suggestion(name, TABLES.iter().map(|(known, _)| *known)))
        }),
        PolarsError::SQLInterface(message) if message.starts_with("no column named ") => {
            quoted(message).map(|name| no_column(name, known))
        }
        PolarsError::SQLInterface(message) => {
            message.strip_prefix("sql parser error: ").map(|what| format!("this is no SQL: {what}"))
        }
        _ => None,
    };
    // What follows the first line is the engine's own plan, which says nothing about the question.
    let plain = || {
        let text = root(error).to_string();
        format!("this query cannot be answered: {}", text.lines().next().unwrap_or_default())
    };
    Refusal(message.unwrap_or_else(plain)).into()
}

fn root(error: &PolarsError) -> &PolarsError {
    match error {
        PolarsError::Context { error, .. } | PolarsError::ExprContext { error, .. } => root(error),
        error => error,
    }
}

/// The first word in quotes.
fn quoted(message: &str) -> Option<&str> {
    let start = message.find(['"', '\''])? + 1;
    message[start..].split(['"', '\'']).next()
}

fn no_column(name: &str, known: &[(&str, Vec<String>)]) -> String {
    let all = known.iter().flat_map(|(_, columns)| columns).map(String::as_str);
    let meant = nearest(name, all).map_or(String::new(), |near| format!("; did you mean \"{near}\"?"));
    let tables = known.iter().map(|(table, columns)| format!("\n{table} has {}", columns.join(", ")));
    format!("there is no column \"{name}\"{meant}{}", tables.collect::<String>())
}
