//! `sweep plan FILE`: what would run, and why.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use anyhow::Result;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use super::early::Early;
use super::past::{Ended, Glance, Past};
use super::speeds::Speeds;
use super::workspace::{Inputs, Workspace};
use super::{Exit, Places, devices, disk, duration, early, print, run};
use crate::device::cpu;
use crate::model;
use crate::plan::{Precision, Run, RunId};
use crate::record::Failure;
use crate::stop::Fate;

#[derive(clap::Args)]
pub struct Arguments {
    /// The sweep file
    file: PathBuf,
    #[command(flatten)]
    places: Places,
    /// Only the runs that meet the conditions: "task=rte and seed<=2"
    #[arg(long, value_name = "CONDITIONS")]
    only: Option<String>,
    /// List every run with its reason
    #[arg(long)]
    list: bool,
    /// Plan though models or data are not on this machine, and say what is missing
    #[arg(long)]
    without_inputs: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Why a run would be trained or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// No record of it exists.
    New,
    /// Its record holds a score.
    Done,
    /// Its record says that it failed.
    FailedBefore,
    /// A rule of `[stop]` ended it early.
    Stopped,
    /// A rule of `[stop]` does not need it: every comparison that it is part of is decided.
    NotNeeded,
    /// A record of the same settings exists, made of other data, another model or older numerics.
    Stale,
}

impl Reason {
    pub fn word(self) -> &'static str {
        match self {
            Reason::New => "new",
            Reason::Done => "done",
            Reason::FailedBefore => "failed before",
            Reason::Stopped => "stopped early",
            Reason::NotNeeded => "not needed",
            Reason::Stale => "stale",
        }
    }
}

/// A run of the plan, judged against the records.
pub struct Judged<'a> {
    pub id: &'a RunId,
    pub run: &'a Run,
    pub reason: Reason,
    pub failure: Option<&'a Failure>,
    /// Attempts that left a record.
    pub attempts: u32,
    /// Seconds, from records of the same task, model and device; `None` where there is none.
    pub estimate: Option<f64>,
    /// What the rule of `[stop]` says of it, where there is one.
    pub fate: Option<Fate>,
}

impl Judged<'_> {
    /// Whether `sweep run` trains it, or may have to: not where the run itself was at fault, for it would fail again. What
    /// a rule stopped goes on where that rule is gone, or says otherwise now.
    pub fn is_to_do(&self) -> bool {
        match self.reason {
            Reason::New | Reason::Stale => true,
            Reason::Done | Reason::NotNeeded => false,
            Reason::Stopped => !matches!(self.fate, Some(Fate::Stopped { .. } | Fate::Ended)),
            Reason::FailedBefore => self.failure.is_none_or(|failure| !failure.class().is_of_the_run()),
        }
    }
}

/// Reads what the records tell of the runs of a workspace.
pub fn past(workspace: &Workspace) -> Result<Past> {
    Past::read(&workspace.store, devices::kind(workspace.sweep.run.devices.as_deref()))
}

/// Judges the runs that a call is about, in order; `early` is what `[stop]` says.
pub fn judge<'a>(workspace: &'a Workspace, past: &'a Past, early: Option<&Early>) -> Vec<Judged<'a>> {
    let is_again = |failure: &Failure, _: &RunId| !failure.class().is_of_the_run();
    let fates = early.map_or_else(HashMap::new, |early| early.fates(workspace, is_again));
    let judge = |(id, run): &'a (RunId, Run)| {
        let record = past.get(id);
        let fate = fates.get(id).copied();
        let reason = match record.map(|record| &record.ended) {
            _ if fate == Some(Fate::Spared) => Reason::NotNeeded,
            Some(Ended::Done(_)) => Reason::Done,
            Some(Ended::Stopped) => Reason::Stopped,
            Some(Ended::Failed(_)) => Reason::FailedBefore,
            None if !past.is_empty() && past.knows(&run.settings_key()) => Reason::Stale,
            None => Reason::New,
        };
        Judged {
            id,
            run,
            reason,
            failure: record.and_then(Glance::failure),
            attempts: record.map_or(0, |record| record.attempt),
            estimate: past.speeds.estimate(Speeds::keys(run)),
            fate,
        }
    };
    workspace.runs.iter().filter(|(_, run)| workspace.takes(run)).map(judge).collect()
}

#[derive(Serialize)]
struct Line<'a> {
    id: &'a RunId,
    reason: Reason,
    failure: Option<String>,
    estimate_seconds: Option<f64>,
    run: &'a Run,
}

pub fn main(arguments: &Arguments) -> Result<Exit> {
    let inputs = if arguments.without_inputs { Inputs::MayLack } else { Inputs::Needed };
    let workspace = Workspace::open(&arguments.file, &arguments.places, arguments.only.as_deref(), inputs)?;
    workspace.check_only()?;
    let (past, early) = (past(&workspace)?, Early::of(&workspace)?);
    let judged = judge(&workspace, &past, early.as_ref());
    if arguments.json {
        let lines: Vec<Line> = judged
            .iter()
            .map(|j| Line {
                id: j.id,
                reason: j.reason,
                failure: j.failure.map(Failure::sentence),
                estimate_seconds: j.estimate,
                run: j.run,
            })
            .collect();
        print(&serde_json::to_string_pretty(&lines)?)?;
        return Ok(Exit::Done);
    }
    if let Some(question) = &workspace.sweep.question {
        print(question)?;
    }
    if arguments.list {
        for j in &judged {
            let why =
                j.failure.map_or_else(|| j.reason.word().to_owned(), |f| format!("{}: {}", j.reason.word(), f.cause()));
            print(&format!("{:.10}  {:<24}  {}", j.id, why, j.run.label()))?;
        }
    } else {
        print(&groups(&judged).to_string())?;
    }
    print(&total(&judged))?;
    if let Some(stop) = &workspace.sweep.stop {
        print(&early::in_words(stop))?;
    }
    let asks_for = |precision| judged.iter().any(|j| j.is_to_do() && j.run.recipe.precision == precision);
    let on_cpu = devices::kind(workspace.sweep.run.devices.as_deref()) == "cpu";
    if asks_for(Precision::Bf16) && on_cpu && !cpu::has_bf16() {
        print("precision = \"bf16\": this CPU has no instructions for it, so expect no speed of it here")?;
    }
    if asks_for(Precision::Tf32) && on_cpu {
        print("precision = \"tf32\": that is a GPU's; a CPU computes it as fp32")?;
    }
    let to_do: Vec<&Judged> = judged.iter().filter(|j| j.is_to_do()).collect();
    if !to_do.is_empty() && workspace.lacking.is_empty() {
        let at_a_time = disk::at_a_time(&workspace);
        print(&disk::estimate(&workspace, &to_do, at_a_time)?.line(disk::free(&workspace.store)))?;
    }
    if let Some(line) = run::sketch(&workspace, &to_do) {
        print(&line)?;
    }
    for line in models(&workspace)? {
        print(&line)?;
    }
    for lacking in &workspace.lacking {
        print(&format!("not here, and needed to train: {}", lacking.why))?;
    }
    Ok(Exit::Done)
}

fn groups(judged: &[Judged]) -> Table {
    let mut groups: BTreeMap<(&str, &str, &str), Vec<&Judged>> = BTreeMap::new();
    for j in judged {
        groups.entry((&j.run.task.name, &j.run.model.name, &j.run.mode)).or_default().push(j);
    }
    let mut table = Table::new();
    // Most sweeps have no rule that stops runs, and then no column for it.
    let early = [Reason::Stopped, Reason::NotNeeded].into_iter().filter(|r| judged.iter().any(|j| j.reason == *r));
    let early: Vec<Reason> = early.collect();
    let mut header = vec!["task", "model", "mode", "p", "runs", "new", "done", "failed before"];
    header.extend(early.iter().map(|reason| reason.word()));
    header.extend(["stale", "to do takes"]);
    table.load_style(NOTHING).set_header(&header);
    for ((task, model, mode), group) in groups {
        let mut rates: Vec<String> = Vec::new();
        for p in group.iter().filter_map(|j| j.run.p()).map(|p| p.to_string()) {
            if !rates.contains(&p) {
                rates.push(p);
            }
        }
        let count = |reason: Reason| match group.iter().filter(|j| j.reason == reason).count() {
            0 => String::new(),
            n => n.to_string(),
        };
        let mut row =
            vec![task.to_owned(), model.to_owned(), mode.to_owned(), rates.join(" "), group.len().to_string()];
        row.extend([Reason::New, Reason::Done, Reason::FailedBefore].map(count));
        row.extend(early.iter().map(|reason| count(*reason)));
        row.extend([count(Reason::Stale), took(group.iter().copied())]);
        table.add_row(row);
    }
    for column in 4..header.len() - 1 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// What each model is, and how much of it a child network is chosen from, with the head of its first task.
fn models(workspace: &Workspace) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for (name, folder) in &workspace.models {
        let run = workspace.runs.iter().map(|(_, run)| run).find(|run| run.model.name == *name);
        let Some(task) = run.and_then(|run| workspace.tasks.get(&run.task.name)) else { continue };
        let config = model::Config::read(folder)?;
        lines.push(format!("{name}: {}", config.summary(task.labels.outputs() as i64)));
    }
    Ok(lines)
}

/// The estimate for what is to do: `3 min`, or that it is unknown for some or all.
fn took<'a>(judged: impl Iterator<Item = &'a Judged<'a>>) -> String {
    let to_do: Vec<&Judged> = judged.filter(|j| j.is_to_do()).collect();
    let known: Vec<f64> = to_do.iter().filter_map(|j| j.estimate).collect();
    match (to_do.len(), known.len()) {
        (0, _) => "nothing to do".to_owned(),
        (_, 0) => "unknown".to_owned(),
        (n, k) if n == k => duration(known.iter().sum()),
        (n, k) => format!("{} + {} unknown", duration(known.iter().sum()), n - k),
    }
}

fn total(judged: &[Judged]) -> String {
    let count = |reason: Reason| judged.iter().filter(|j| j.reason == reason).count();
    let of_rule = [Reason::Stopped, Reason::NotNeeded].map(|reason| match count(reason) {
        0 => String::new(),
        n => format!("{n} {}, ", reason.word()),
    });
    let stopped = of_rule.concat();
    let again = match judged.iter().filter(|j| j.reason == Reason::FailedBefore && !j.is_to_do()).count() {
        0 => "",
        _ => "; `sweep rerun --failed` tries failed runs again",
    };
    format!(
        "{} runs: {} new, {} done, {} failed before, {stopped}{} stale; one after another: {}{again}",
        judged.len(),
        count(Reason::New),
        count(Reason::Done),
        count(Reason::FailedBefore),
        count(Reason::Stale),
        took(judged.iter())
    )
}
