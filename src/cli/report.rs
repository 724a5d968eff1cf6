//! `sweep report FILE`: tables, figures and a page, from records alone.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::workspace::results_root;
use super::{Exit, Places, Refusal, print, study};
use crate::record::store::Store;
use crate::report;

#[derive(clap::Args)]
pub struct Arguments {
    /// The sweep file, or the name of a sweep in the results folder
    sweep: PathBuf,
    #[command(flatten)]
    places: Places,
    /// Where the report goes [default: ./reports/<sweep>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub fn main(arguments: &Arguments) -> Result<Exit> {
    let head = Head::read(&arguments.sweep)?;
    if !crate::spec::names_a_folder(&head.name) {
        return Err(Refusal(format!(
            "\"{}\" cannot be a sweep's name: letters, digits, - _ and . make one",
            head.name
        ))
        .into());
    }
    let written = head.results.as_ref().map(|folder| head.home.join(folder));
    let results = arguments.places.results.clone().or(written).unwrap_or_else(|| results_root(&arguments.places, None));
    let store = Store::new(results);
    let Some(manifest) = store.manifest(&head.name)? else {
        let say = format!(
            "no run of sweep \"{}\" is recorded under {}; `sweep run {}` trains it",
            head.name,
            store.root().display(),
            arguments.sweep.display()
        );
        return Err(Refusal(say).into());
    };
    let study = study::gather(&store, manifest)?;
    let reports = head.reports.map_or_else(|| PathBuf::from("reports"), |folder| head.home.join(folder));
    let out = arguments.out.clone().unwrap_or_else(|| reports.join(&head.name));
    let written = report::write(&study, &out)?;
    for (figure, why) in &written.skipped {
        print(&format!("left out: {figure}: {why}"))?;
    }
    print(&format!("report: {}", out.join("index.html").display()))?;
    Ok(Exit::Done)
}

/// As much of a sweep file as a report needs: it works where neither data nor models lie.
struct Head {
    name: String,
    home: PathBuf,
    results: Option<String>,
    reports: Option<String>,
}

impl Head {
    fn read(sweep: &Path) -> Result<Head> {
        if !sweep.is_file() {
            let name = sweep.to_string_lossy().into_owned();
            if name.ends_with(".toml") || name.contains('/') {
                return Err(Refusal(format!("there is no sweep file {name}; sweep files lie in sweeps/")).into());
            }
            return Ok(Head { name, home: PathBuf::new(), results: None, reports: None });
        }
        let text =
            std::fs::read_to_string(sweep).map_err(|e| Refusal(format!("cannot read {}: {e}", sweep.display())))?;
        let table: toml::Table = text.parse().map_err(|e| Refusal(format!("{} is no TOML: {e}", sweep.display())))?;
        let text = |value: Option<&toml::Value>| value.and_then(toml::Value::as_str).map(str::to_owned);
        let run = table.get("run").and_then(toml::Value::as_table);
        let stem = sweep.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Head {
            name: text(table.get("name")).unwrap_or(stem),
            home: sweep.parent().map(Path::to_owned).unwrap_or_default(),
            results: text(run.and_then(|r| r.get("results"))),
            reports: text(run.and_then(|r| r.get("reports"))),
        })
    }
}
