//! `sweep status`: how far the sweeps in the results folder are.

use anyhow::Result;
use comfy_table::{Table, presets::NOTHING};
use serde::Serialize;

use super::workspace::results_root;
use super::{Exit, Places, early, print};
use crate::record::lock::Holder;
use crate::record::store::Store;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    places: Places,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Line {
    sweep: String,
    runs: usize,
    done: usize,
    collapsed: usize,
    failed: usize,
    /// Ended early by a rule of `[stop]`, and not needed since comparisons are decided.
    stopped: usize,
    not_needed: usize,
    left: usize,
    /// Who trains it at this moment.
    running: Option<Holder>,
}

pub fn main(arguments: &Arguments) -> Result<Exit> {
    let store = Store::new(results_root(&arguments.places, None));
    let holder = store.holder();
    let mut lines = Vec::new();
    for name in store.sweeps()? {
        let Some(manifest) = store.manifest(&name)? else { continue };
        let mut line = Line {
            running: holder.clone().filter(|h| h.sweep == name),
            sweep: name,
            runs: manifest.runs.len(),
            done: 0,
            collapsed: 0,
            failed: 0,
            stopped: 0,
            not_needed: early::not_needed(&store, &manifest)?,
            left: 0,
        };
        for (id, _) in &manifest.runs {
            match store.read(id)? {
                Some(record) if record.failure().is_some() => line.failed += 1,
                Some(record) if record.stopped().is_some() => line.stopped += 1,
                Some(record) => {
                    line.done += 1;
                    line.collapsed += usize::from(record.outcome().is_some_and(|o| o.collapsed));
                }
                None => line.left += 1,
            }
        }
        line.left = line.left.saturating_sub(line.not_needed);
        lines.push(line);
    }
    if arguments.json {
        print(&serde_json::to_string_pretty(&lines)?)?;
        return Ok(Exit::Done);
    }
    if lines.is_empty() {
        print(&format!("no sweep in {}; `sweep run FILE` starts one", store.root().display()))?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new();
    // Most sweeps have no rule that ends work early.
    let (stopped, not_needed) = (lines.iter().any(|l| l.stopped > 0), lines.iter().any(|l| l.not_needed > 0));
    let mut header = vec!["sweep", "runs", "done", "collapsed", "failed"];
    header.extend(stopped.then_some("stopped early"));
    header.extend(not_needed.then_some("not needed"));
    header.extend(["left", "running"]);
    table.load_style(NOTHING).set_header(header);
    for line in &lines {
        let running = line
            .running
            .as_ref()
            .map_or_else(String::new, |h| format!("process {} on {}, since {}", h.pid, h.host, h.started));
        let count = |n: usize| n.to_string();
        let mut row = vec![line.sweep.clone()];
        row.extend([line.runs, line.done, line.collapsed, line.failed].map(count));
        row.extend(stopped.then(|| count(line.stopped)));
        row.extend(not_needed.then(|| count(line.not_needed)));
        row.extend([count(line.left), running]);
        table.add_row(row);
    }
    print(&table.to_string())?;
    Ok(Exit::Done)
}
