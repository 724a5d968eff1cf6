//! A sweep as it is recorded: found by its file or its name, where neither data nor models need lie.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Refusal;
use crate::record::store::{Manifest, Store};
use crate::spec::fault::suggestion;
use crate::spec::profile_name;

pub struct Recorded {
    pub store: Store,
    pub manifest: Manifest,
    /// Where its reports go: a folder a sweep.
    pub reports: PathBuf,
    /// Folders of data sets and of models that the sweep's file names.
    pub data: Vec<PathBuf>,
    pub models: Vec<PathBuf>,
}

impl Recorded {
    /// `sweep` is a sweep file or a name, `profile` one of that file's; `results` wins over the file's own folder, and that over ./results.
    ///
    /// # Errors
    /// A file that cannot be read, a sweep of which nothing is recorded.
    pub fn open(sweep: &Path, results: Option<&Path>, profile: Option<&str>) -> Result<Recorded> {
        let mut head = Head::read(sweep)?;
        if let Some(profile) = profile {
            head.name = profile_name(&head.name, profile);
        }
        if !crate::spec::names_a_folder(&head.name) {
            return Err(Refusal(format!(
                "\"{}\" cannot be a sweep's name: letters, digits, - _ and . make one",
                head.name
            ))
            .into());
        }
        let written = head.results.as_ref().map(|folder| head.home.join(folder));
        let store = Store::new(results.map(Path::to_owned).or(written).unwrap_or_else(|| PathBuf::from("results")));
        let Some(manifest) = store.manifest(&head.name)? else {
            let others = store.sweeps()?;
            let known = match &others[..] {
                [] => String::new(),
                others => format!("; {}", suggestion(&head.name, others.iter().map(String::as_str))),
            };
            let say = format!(
                "no run of sweep \"{}\" is recorded under {}; `sweep run {}` trains it{known}",
                head.name,
                store.root().display(),
                sweep.display()
            );
            return Err(Refusal(say).into());
        };
        let reports = head.reports.map_or_else(|| PathBuf::from("reports"), |folder| head.home.join(folder));
        let below = |folders: Vec<String>| folders.iter().map(|folder| head.home.join(folder)).collect();
        Ok(Recorded { store, manifest, reports, data: below(head.data), models: below(head.models) })
    }

    /// Every sweep of a results folder, sorted by name.
    ///
    /// # Errors
    /// There is none, or a manifest cannot be read.
    pub fn all(results: Option<&Path>) -> Result<Vec<Recorded>> {
        let store = Store::new(results.unwrap_or(Path::new("results")));
        let mut all = Vec::new();
        for name in store.sweeps()? {
            if let Some(manifest) = store.manifest(&name)? {
                let (reports, data, models) = (PathBuf::from("reports"), Vec::new(), Vec::new());
                all.push(Recorded { store: store.clone(), manifest, reports, data, models });
            }
        }
        if all.is_empty() {
            let say = format!(
                "no sweep is recorded in {}; `sweep run FILE` starts one, --results names another folder",
                store.root().display()
            );
            return Err(Refusal(say).into());
        }
        Ok(all)
    }
}

/// As much of a sweep file as is needed to find its records.
#[derive(Default)]
struct Head {
    name: String,
    home: PathBuf,
    results: Option<String>,
    reports: Option<String>,
    data: Vec<String>,
    models: Vec<String>,
}

impl Head {
    fn read(sweep: &Path) -> Result<Head> {
        if !sweep.is_file() {
            let name = sweep.to_string_lossy().into_owned();
            if name.ends_with(".toml") || name.contains('/') {
                return Err(Refusal(format!("there is no sweep file {name}; sweep files lie in sweeps/")).into());
            }
            return Ok(Head { name, ..Head::default() });
        }
        let text =
            std::fs::read_to_string(sweep).map_err(|e| Refusal(format!("cannot read {}: {e}", sweep.display())))?;
        let table: toml::Table = text.parse().map_err(|e| Refusal(format!("{} is no TOML: {e}", sweep.display())))?;
        let text = |value: Option<&toml::Value>| value.and_then(toml::Value::as_str).map(str::to_owned);
        let run = table.get("run").and_then(toml::Value::as_table);
        // One folder, or a list of them.
        let folders = |key: &str| -> Vec<String> {
            let written = run.and_then(|r| r.get(key));
            let listed = written.and_then(toml::Value::as_array).into_iter().flatten();
            written.into_iter().chain(listed).filter_map(|folder| text(Some(folder))).collect()
        };
        let stem = sweep.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Head {
            name: text(table.get("name")).unwrap_or(stem),
            home: sweep.parent().map(Path::to_owned).unwrap_or_default(),
            results: text(run.and_then(|r| r.get("results"))),
            reports: text(run.and_then(|r| r.get("reports"))),
            data: folders("data"),
            models: folders("models"),
        })
    }
}
