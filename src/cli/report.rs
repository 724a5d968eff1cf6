//! `sweep report FILE`: tables, figures and a page, from records alone.

use std::path::PathBuf;

use anyhow::Result;

use super::recorded::Recorded;
use super::{Exit, Places, print, study};
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
    let places = &arguments.places;
    let Recorded { store, manifest, reports, .. } =
        Recorded::open(&arguments.sweep, places.results.as_deref(), places.profile.as_deref())?;
    let study = study::gather(&store, manifest)?;
    let out = arguments.out.clone().unwrap_or_else(|| reports.join(&study.name));
    let written = report::write(&study, &out)?;
    for (figure, why) in &written.skipped {
        print(&format!("left out: {figure}: {why}"))?;
    }
    print(&format!("report: {}", out.join("index.html").display()))?;
    Ok(Exit::Done)
}
