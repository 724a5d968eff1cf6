//! `sweep figure NAME SWEEP`: one figure of a sweep, from records alone.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::answer::write_out;
use super::recorded::Recorded;
use super::{Exit, Refusal, complain, print, study};
use crate::figure::{Data, FIGURES, Made, Picture};
use crate::frame::replace;
use crate::spec::fault::suggestion;

/// File endings that `--out` may have.
const ENDINGS: [&str; 3] = ["svg", "png", "csv"];

#[derive(clap::Args)]
pub struct Arguments {
    /// Which figure; without one, all are listed
    name: Option<String>,
    /// The sweep file, or the name of a sweep in the results folder
    sweep: Option<PathBuf>,
    /// Where it goes, by its ending as svg, png or csv, the numbers behind it [default: SVG on standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where records lie [default: ./results]
    #[arg(long, env = "SWEEP_RESULTS", value_name = "DIR")]
    results: Option<PathBuf>,
    /// A [profile.<name>] of the sweep file
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
}

pub fn main(arguments: &Arguments) -> Result<Exit> {
    let Some(name) = &arguments.name else {
        FIGURES.iter().try_for_each(|figure| print(&format!("{:<16} {}", figure.name, figure.title)))?;
        return Ok(Exit::Done);
    };
    let Some(figure) = FIGURES.iter().find(|figure| figure.name == name) else {
        let near = suggestion(name, FIGURES.iter().map(|figure| figure.name));
        return Err(Refusal(format!("no figure is called \"{name}\"; {near}")).into());
    };
    let Some(sweep) = &arguments.sweep else {
        return Err(Refusal(format!("of which sweep? `sweep figure {name} SWEEP`; `sweep status` lists them")).into());
    };
    let ending = match &arguments.out {
        None => ENDINGS[0],
        Some(out) => ending(out)?,
    };
    let Recorded { store, manifest, .. } =
        Recorded::open(sweep, arguments.results.as_deref(), arguments.profile.as_deref())?;
    let study = study::gather(&store, manifest)?;
    for warning in &study.warnings {
        complain(&format!("note: {warning}"));
    }
    let made = (figure.make)(&Data::of(&study)?).with_context(|| format!("the figure {name}"))?;
    let picture = match made {
        Made::Picture(picture) => picture,
        Made::Skipped(reason) => return Err(Refusal(format!("nothing to draw of {name}: {reason}")).into()),
    };
    match &arguments.out {
        None => write_out(&picture.svg)?,
        Some(out) => {
            replace(out, &bytes(&picture, name, ending)?)?;
            print(&format!("figure: {}", out.display()))?;
        }
    }
    Ok(Exit::Done)
}

fn ending(out: &Path) -> Result<&'static str> {
    let given = out.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
    ENDINGS.into_iter().find(|ending| *ending == given).ok_or_else(|| {
        Refusal(format!("--out {}: the ending must be one of {}", out.display(), ENDINGS.join(", "))).into()
    })
}

/// A picture writes all its forms at once; the one that was asked for is taken.
fn bytes(picture: &Picture, name: &str, ending: &str) -> Result<Vec<u8>> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    picture.write(folder.path(), name)?;
    let drawn = folder.path().join(format!("{name}.{ending}"));
    std::fs::read(&drawn).with_context(|| format!("cannot read back {}", drawn.display()))
}
