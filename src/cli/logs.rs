//! `sweep logs RUN`: what a run's worker wrote.

use std::io::Write;
use std::time::Duration;

use anyhow::Result;

use super::workspace::results_root;
use super::{Exit, Places, Refusal, complain, which};
use crate::plan::RunId;
use crate::record::control::{self, Request};
use crate::record::store::Store;
use crate::schedule::local::Interrupts;
use crate::watch::{self, Tail, Words};

#[derive(clap::Args)]
pub struct Arguments {
    /// The run's id, or the beginning of it
    run: String,
    #[command(flatten)]
    places: Places,
    /// Wait for more until the run ends
    #[arg(short, long)]
    follow: bool,
    /// Only the last so many lines
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<usize>,
}

/// How often the file is looked at.
const BEAT: Duration = Duration::from_millis(200);
/// How long a coordinator may take to say where a run stands.
const PATIENCE: Duration = Duration::from_secs(2);

/// How a run stands, as far as its log is concerned.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    /// It runs, or waits for its turn.
    Open,
    /// It has its record: how it ended, in words.
    Ended(String),
    /// Nobody works on it.
    Left,
}

pub fn main(arguments: &Arguments) -> Result<Exit> {
    let store = Store::new(results_root(&arguments.places, None));
    let which = which::find(&store, &arguments.run)?;
    let sweeps: Vec<String> = which.sweeps.iter().map(|(name, _)| name.clone()).collect();
    let id = which.id;
    let path = || store.present_folder(&id).join("log.txt");
    let mut tail = Tail::new(path());
    if let Some(lines) = arguments.lines {
        tail.skip_to_last(lines)?;
    }
    let interrupts = Interrupts::from_signals()?;
    let mut has_said_to_wait = false;
    loop {
        // Before the log: what is written until a run ends is there once it has ended.
        let standing = standing(&store, &id, &sweeps)?;
        let mut is_there = true;
        // On a cluster the folder of a copy becomes the run's.
        tail.go_to(path());
        loop {
            let bytes = match tail.look()? {
                Words::Nothing => {
                    is_there = false;
                    break;
                }
                Words::New(bytes) => bytes,
                Words::Anew(bytes) => {
                    complain("(the log was replaced; from its beginning:)");
                    bytes
                }
            };
            if bytes.is_empty() {
                break;
            }
            let mut out = std::io::stdout().lock();
            out.write_all(&bytes).and_then(|()| out.flush())?;
        }
        match standing {
            Standing::Ended(how) if arguments.follow || !is_there => {
                let quiet = if is_there { "" } else { "it wrote no log; " };
                complain(&format!("run {id:.10}: {quiet}{how}"));
                return Ok(Exit::Done);
            }
            Standing::Left if arguments.follow || !is_there => {
                let quiet = if is_there { "" } else { "it wrote no log, and " };
                complain(&format!("run {id:.10}: {quiet}nobody works on it now; `sweep explain {id:.10}` says more"));
                return Ok(Exit::Done);
            }
            Standing::Open if !arguments.follow && !is_there => {
                return Err(Refusal(format!("run {id:.10} has written no log yet; -f waits for it")).into());
            }
            _ if !arguments.follow => return Ok(Exit::Done),
            _ => {}
        }
        if !is_there && !has_said_to_wait {
            complain(&format!("waiting for run {id:.10} to begin"));
            has_said_to_wait = true;
        }
        if interrupts.is_any() {
            return Ok(Exit::Interrupted);
        }
        std::thread::sleep(BEAT);
    }
}

fn standing(store: &Store, id: &RunId, sweeps: &[String]) -> Result<Standing> {
    let holders = store.holders();
    let mut is_at_work = false;
    let record = store.read(id)?;
    for sweep in sweeps {
        let seen = store.seen(sweep, &holders);
        for live in seen.iter().filter(|seen| seen.verdict.is_at_work()).map(|seen| &seen.live) {
            if live.slots.iter().any(|slot| slot.runs().any(|run| run.id == *id)) {
                return Ok(Standing::Open);
            }
            if live.shard.is_some_and(|shard| !shard.takes(id)) {
                continue;
            }
            is_at_work = true;
            // A run that failed before may wait to be done again.
            let asked = Request::Where(id.clone());
            if record.is_some() && control::ask(store, sweep, &live.process, &asked, PATIENCE)?.is_some_and(|a| a.done)
            {
                return Ok(Standing::Open);
            }
        }
        // One that has just begun has not said yet what it does.
        is_at_work |= holders.iter().any(|holder| holder.sweep == *sweep) && seen.is_empty();
    }
    Ok(match record {
        Some(record) => Standing::Ended(watch::ended(&record).1),
        None if is_at_work => Standing::Open,
        None => Standing::Left,
    })
}
