//! `sweep status`: how far the sweeps in the results folder are, or one of them in detail.

mod detail;
mod tally;

use std::path::PathBuf;

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets::NOTHING};
use serde::Serialize;

use super::recorded::Recorded;
use super::workspace::results_root;
use super::{Exit, Places, duration, early, print};
use crate::plan::RunId;
use crate::record::live::{EngineJob, Live, Seen, Verdict};
use crate::record::lock::Holder;
use crate::record::store::Store;
use tally::Tally;

#[derive(clap::Args)]
pub struct Arguments {
    /// The sweep's file or name, for all that is known of it [default: a line for each sweep]
    sweep: Option<PathBuf>,
    #[command(flatten)]
    places: Places,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A sweep in short. Part of the interface: its JSON.
#[derive(Serialize)]
struct Line {
    sweep: String,
    #[serde(flatten)]
    tally: Tally,
    /// Who trains it at this moment.
    running: Option<Holder>,
    /// Every coordinator that ever worked on it and left word, with what is true of it now.
    coordinators: Vec<Coordinator>,
}

#[derive(Serialize)]
struct Coordinator {
    state: &'static str,
    /// Seconds since its last sign of life, where that is worth a word.
    silent: Option<f64>,
    #[serde(flatten)]
    live: Live,
}

impl Coordinator {
    fn new(seen: &Seen) -> Coordinator {
        let (state, silent) = match seen.verdict {
            Verdict::Running { silent } => ("running", silent),
            Verdict::Starting(_) => ("starting", None),
            Verdict::Ended { .. } => ("ended", None),
            Verdict::Died { .. } => ("died", None),
            Verdict::Elsewhere { age } => ("elsewhere", Some(age)),
        };
        Coordinator { state, silent, live: seen.live.clone() }
    }
}

/// What is known of a sweep at this moment.
struct Known {
    tally: Tally,
    seen: Vec<Seen>,
    /// Who has its lock.
    holders: Vec<Holder>,
}

impl Known {
    fn of(store: &Store, sweep: &str, ids: &[RunId], has_rule: bool, holders: &[Holder]) -> Result<Known> {
        let holders: Vec<Holder> = holders.iter().filter(|holder| holder.sweep == sweep).cloned().collect();
        // Before the records: what ends meanwhile is then counted once, as done.
        let seen = store.seen(sweep, &holders);
        let mut tally = Tally::of(store, ids)?;
        // Most sweeps have no such rule, and then their runs need not be read.
        if has_rule && tally.left > 0 {
            tally.not_needed = early::not_needed(store, sweep)?.min(tally.left);
            tally.left -= tally.not_needed;
        }
        Ok(Known { tally, seen, holders })
    }

    fn line(&self, sweep: &str) -> Line {
        let coordinators = self.seen.iter().map(Coordinator::new).collect();
        Line { sweep: sweep.to_owned(), tally: self.tally, running: self.holders.first().cloned(), coordinators }
    }

    /// How many runs are under way.
    fn running(&self) -> usize {
        let at_work = self.seen.iter().filter(|seen| seen.verdict.is_at_work());
        at_work.flat_map(|seen| &seen.live.slots).filter(|slot| slot.run.is_some()).count()
    }

    /// What is going on, in a phrase for each coordinator that is worth one.
    fn now(&self) -> Vec<String> {
        let mut said: Vec<String> = self.seen.iter().filter_map(|seen| phrase(seen, self.tally.left > 0)).collect();
        // Somebody has the lock of whom no live file tells: just starting, or an older version.
        for holder in &self.holders {
            if !self.seen.iter().any(|seen| seen.live.shard == holder.shard) {
                said.push(format!("{}running {}", share(holder.shard), who(holder)));
            }
        }
        said
    }
}

/// `share 2/4: `, or nothing.
fn share(shard: Option<crate::record::shard::Shard>) -> String {
    shard.map_or_else(String::new, |shard| format!("share {shard}: "))
}

fn who(holder: &Holder) -> String {
    format!("(process {} on {}, since {})", holder.process.pid, holder.process.host, holder.started)
}

/// `2 running, about 5 min left (process 7 on box, since …)`; of a coordinator that ended and left nothing to do, none.
fn phrase(seen: &Seen, is_left: bool) -> Option<String> {
    let Live { process, shard, started, .. } = &seen.live;
    let place = format!("process {} on {}", process.pid, process.host);
    let what = match &seen.verdict {
        Verdict::Running { silent } => {
            let live = &seen.live;
            let running = live.slots.iter().filter(|slot| slot.run.is_some()).count();
            let mut what = match (&live.held, &live.engine) {
                (Some(why), _) => format!("paused: {why}"),
                (None, Some(engine)) => format!("jobs of {engine}: {}", jobs(&live.jobs)),
                (None, None) => format!("{running} running"),
            };
            if let Some(left) = live.seconds_left {
                what += &format!(", about {} left", duration(left));
            }
            if let Some(age) = silent {
                what += &format!(", silent for {}", duration(*age));
            }
            format!("{what} ({place}, since {started})")
        }
        Verdict::Starting(holder) => format!("starting {}", who(holder)),
        Verdict::Died { at } if is_left => {
            format!("died at {at} ({place}); `sweep run` goes on")
        }
        Verdict::Ended { how, at } if is_left => format!("{how}, at {at}"),
        Verdict::Elsewhere { age } => {
            let sure = if seen.verdict.is_at_work() { "running" } else { "gone, it seems" };
            format!("{sure}; last sign of life {} ago ({place})", duration(*age))
        }
        Verdict::Died { .. } | Verdict::Ended { .. } => return None,
    };
    Some(match &seen.live.job {
        Some(job) => format!("job {job}: {what}"),
        None => share(*shard) + &what,
    })
}

/// `101_0 RUNNING on n1, 101_1 PENDING (Resources)`.
fn jobs(jobs: &[EngineJob]) -> String {
    /// So many are named.
    const MOST: usize = 8;
    let one = |job: &EngineJob| {
        let node = job.node.as_ref().map_or_else(String::new, |node| format!(" on {node}"));
        format!("{} {}{node}", job.id, job.state)
    };
    let mut said: Vec<String> = jobs.iter().take(MOST).map(one).collect();
    if jobs.len() > MOST {
        said.push(format!("and {} more", jobs.len() - MOST));
    }
    if said.is_empty() { "none".to_owned() } else { said.join(", ") }
}

pub fn main(arguments: &Arguments) -> Result<Exit> {
    let places = &arguments.places;
    if let Some(sweep) = &arguments.sweep {
        let recorded = Recorded::open(sweep, places.results.as_deref(), places.profile.as_deref())?;
        return detail::show(&recorded.store, &recorded.manifest, arguments.json);
    }
    let store = Store::new(results_root(places, None));
    let holders = store.holders();
    let mut sweeps = Vec::new();
    for name in store.sweeps()? {
        let Some((ids, has_rule)) = store.planned(&name)? else { continue };
        let known = Known::of(&store, &name, &ids, has_rule, &holders)?;
        sweeps.push((name, known));
    }
    if arguments.json {
        let lines: Vec<Line> = sweeps.iter().map(|(name, known)| known.line(name)).collect();
        print(&serde_json::to_string_pretty(&lines)?)?;
        return Ok(Exit::Done);
    }
    if sweeps.is_empty() {
        print(&format!("no sweep in {}; `sweep run FILE` starts one", store.root().display()))?;
        return Ok(Exit::Done);
    }
    let has_stopped = sweeps.iter().any(|(_, known)| known.tally.stopped > 0);
    let mut table = Table::new();
    let has_spared = sweeps.iter().any(|(_, known)| known.tally.not_needed > 0);
    let mut header = vec!["sweep", "runs", "done", "collapsed", "failed"];
    header.extend(has_stopped.then_some("stopped early"));
    header.extend(has_spared.then_some("not needed"));
    header.extend(["left", "now"]);
    let numbers = 1..header.len() - 1;
    table.load_style(NOTHING).set_header(header);
    for (name, known) in &sweeps {
        let Tally { runs, done, collapsed, failed, stopped, not_needed, left } = known.tally;
        let mut row = vec![name.clone()];
        row.extend([runs, done, collapsed, failed].map(|count| count.to_string()));
        row.extend(has_stopped.then(|| stopped.to_string()));
        row.extend(has_spared.then(|| not_needed.to_string()));
        row.extend([left.to_string(), known.now().join("\n")]);
        table.add_row(row);
    }
    for column in numbers {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    print(&table.to_string())?;
    Ok(Exit::Done)
}
