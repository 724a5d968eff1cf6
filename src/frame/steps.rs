//! The steps of runs, from the `steps.csv` that each left where its sweep asked for one.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use polars::prelude::*;
use serde::{Deserialize, Serialize};

use crate::plan::RunId;

const COLUMNS: [&str; 6] = ["step", "loss", "learning_rate", "gradient_norm", "examples", "seconds"];

/// A line of `steps.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// From 1.
    pub step: u32,
    pub loss: f64,
    pub learning_rate: f64,
    /// Global, before clipping.
    pub gradient_norm: f64,
    /// Since the run's start, as are the seconds.
    pub examples: u64,
    pub seconds: f64,
}

/// The steps that a run logged in its folder; none where there is no file.
///
/// # Errors
/// A file that cannot be read or is no list of steps.
pub fn read_steps(folder: &Path) -> Result<Vec<Step>> {
    let path = folder.join("steps.csv");
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let damaged = || format!("{} is damaged; remove it, and run this run again to have its steps", path.display());
    let mut lines = csv::Reader::from_reader(&*text);
    // A run that was killed at once left an empty file.
    ensure!(text.is_empty() || lines.headers().is_ok_and(|header| header == COLUMNS[..]), damaged());
    lines.deserialize().map(|step| step.with_context(damaged)).collect()
}

/// The steps of these runs, each in its folder. Columns: `id`, `step` (from 1), `loss`, `learning_rate`,
/// `gradient_norm` (global, before clipping), `examples` and `seconds` (since the run's start). A run whose folder holds
/// no steps has no row.
///
/// # Errors
/// A file that cannot be read or is no list of steps.
pub fn steps(folders: &[(RunId, PathBuf)]) -> Result<DataFrame> {
    let mut ids: Vec<&str> = Vec::new();
    let mut all: Vec<Step> = Vec::new();
    for (id, folder) in folders {
        let steps = read_steps(folder)?;
        ids.extend(std::iter::repeat_n(id.0.as_str(), steps.len()));
        all.extend(steps);
    }
    let columns = vec![
        Column::new("id".into(), &ids),
        Column::new("step".into(), all.iter().map(|s| s.step).collect::<Vec<_>>()),
        Column::new("loss".into(), all.iter().map(|s| s.loss).collect::<Vec<_>>()),
        Column::new("learning_rate".into(), all.iter().map(|s| s.learning_rate).collect::<Vec<_>>()),
        Column::new("gradient_norm".into(), all.iter().map(|s| s.gradient_norm).collect::<Vec<_>>()),
        Column::new("examples".into(), all.iter().map(|s| s.examples).collect::<Vec<_>>()),
        Column::new("seconds".into(), all.iter().map(|s| s.seconds).collect::<Vec<_>>()),
    ];
    Ok(DataFrame::new(all.len(), columns)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;

    use super::*;

    #[test]
    fn steps_are_read_where_there_are_some_and_damage_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let runs = ["a", "b"].map(|id| (RunId(id.into()), folder.path().join(id)));
        fs::create_dir(&runs[1].1).unwrap();
        let path = runs[1].1.join("steps.csv");
        let header = "step,loss,learning_rate,gradient_norm,examples,seconds\n";
        fs::write(&path, format!("{header}1,0.7,2e-5,1.5,16,0.1\n2,NaN,1e-5,inf,32,0.2\n")).unwrap();
        let frame = steps(&runs).unwrap();
        assert_eq!(frame.height(), 2);
        assert_eq!(frame.column("id").unwrap().str().unwrap().get(1), Some("b"));
        assert_eq!(frame.column("learning_rate").unwrap().f64().unwrap().get(0), Some(2e-5));
        assert!(frame.column("loss").unwrap().f64().unwrap().get(1).unwrap().is_nan());

        for text in [&format!("{header}1,0.7,2e-5\n"), "no steps", "1,0.7,2e-5,1.5,16,0.1\n"] {
            fs::write(&path, text).unwrap();
            assert!(format!("{:#}", steps(&runs).unwrap_err()).contains("steps.csv is damaged"), "{text}");
        }
        fs::write(&path, "").unwrap();
        assert_eq!(steps(&runs).unwrap().height(), 0);
    }
}
