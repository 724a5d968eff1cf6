//! A run that the user names by the beginning of its id: one of those that have a folder, or that a sweep asks for.

use std::collections::BTreeSet;

use anyhow::Result;

use super::Refusal;
use crate::plan::{Run, RunId};
use crate::record::store::Store;

/// Ids that are named where several begin alike.
const NAMED: usize = 6;

/// A run, and the sweeps whose last call asked for it, each with the run as it calls it.
#[derive(Debug, Clone, PartialEq)]
pub struct Which {
    pub id: RunId,
    pub sweeps: Vec<(String, Run)>,
}

/// Finds the one run whose id begins so.
///
/// # Errors
/// There is none, or there are several; a manifest that cannot be read.
pub fn find(store: &Store, prefix: &str) -> Result<Which> {
    let mut asked: Vec<(String, RunId, Run)> = Vec::new();
    for name in store.sweeps()? {
        let runs = store.manifest(&name)?.map(|manifest| manifest.runs).unwrap_or_default();
        asked.extend(
            runs.into_iter().filter(|(id, _)| id.0.starts_with(prefix)).map(|(id, run)| (name.clone(), id, run)),
        );
    }
    let mut ids: BTreeSet<RunId> = store.ids()?.into_iter().collect();
    ids.extend(asked.iter().map(|(_, id, _)| id.clone()));
    let ids: Vec<RunId> = ids.into_iter().collect();
    let id = by_prefix(store, &ids, prefix)?;
    let mut sweeps: Vec<(String, Run)> = Vec::new();
    for (name, own, run) in asked {
        if own == id && sweeps.last().is_none_or(|(last, _)| *last != name) {
            sweeps.push((name, run));
        }
    }
    Ok(Which { id, sweeps })
}

/// The one of some runs whose id begins so.
///
/// # Errors
/// There is none, or there are several.
pub fn by_prefix(store: &Store, ids: &[RunId], prefix: &str) -> Result<RunId> {
    let found: Vec<&RunId> = ids.iter().filter(|id| !prefix.is_empty() && id.0.starts_with(prefix)).collect();
    let root = store.root().display();
    let say = match found[..] {
        [only] => return Ok(only.clone()),
        [] if ids.is_empty() => format!("no run is recorded in {root}; --results names another folder"),
        [] => {
            format!(
                "no run in {root} has an id that begins with \"{prefix}\"; `sweep query \"SELECT id FROM runs\"` lists them"
            )
        }
        _ => {
            let named: Vec<String> = found.iter().take(NAMED).map(ToString::to_string).collect();
            let more = if found.len() > NAMED { ", …" } else { "" };
            format!("{} runs have ids that begin with \"{prefix}\": {}{more}", found.len(), named.join(", "))
        }
    };
    Err(Refusal(say).into())
}
