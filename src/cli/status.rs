//! `sweep status`: how far the sweeps in the results folder are.

use anyhow::Result;
use comfy_table::{Table, presets::NOTHING};
use serde::Serialize;

use super::workspace::results_root;
use super::{Exit, Places, print};
use crate::record::bulk::Ending;
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
    left: usize,
    /// Who trains it at this moment.
    running: Option<Holder>,
}

pub fn main(arguments: &Arguments) -> Result<Exit> {
    let store = Store::new(results_root(&arguments.places, None));
    let holder = store.holder();
    let mut lines = Vec::new();
    for name in store.sweeps()? {
        let Some(ids) = store.planned(&name)? else { continue };
        let mut line = Line {
            running: holder.clone().filter(|h| h.sweep == name),
            sweep: name,
            runs: ids.len(),
            done: 0,
            collapsed: 0,
            failed: 0,
            left: 0,
        };
        for ending in store.view_each(&ids)? {
            match ending {
                Some(Ending::Failed) => line.failed += 1,
                Some(Ending::Done { collapsed }) => {
                    line.done += 1;
                    line.collapsed += usize::from(collapsed);
                }
                Some(Ending::Stopped) => line.done += 1,
                None => line.left += 1,
            }
        }
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
    table.load_style(NOTHING).set_header(["sweep", "runs", "done", "collapsed", "failed", "left", "running"]);
    for line in &lines {
        let running = line
            .running
            .as_ref()
            .map_or_else(String::new, |h| format!("process {} on {}, since {}", h.pid, h.host, h.started));
        let count = |n: usize| n.to_string();
        table.add_row([
            line.sweep.clone(),
            count(line.runs),
            count(line.done),
            count(line.collapsed),
            count(line.failed),
            count(line.left),
            running,
        ]);
    }
    print(&table.to_string())?;
    Ok(Exit::Done)
}
