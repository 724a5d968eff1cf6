//! What a call says at its end, to people and to the command of `[run] notify`.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::super::notify::{FailedRun, News};
use super::super::plan::{Judged, Reason};
use super::super::workspace::Workspace;
use crate::record::shard::Shard;
use crate::schedule::{Finish, Summary};

/// What the command of `[run] notify` is told.
pub(super) fn news(workspace: &Workspace, summary: &Result<Summary>, failures: &[FailedRun], took: Duration) -> News {
    let (status, how) = match summary {
        Err(error) => ("broken", format!("{error:#}")),
        Ok(summary) => {
            let status = match summary.finish {
                Finish::Interrupted | Finish::OutOfTime => "stopped",
                Finish::TooManyFailed(_) | Finish::NoWorkers(_) => "failed",
                Finish::Complete if summary.failed > 0 => "failed",
                Finish::Complete => "finished",
            };
            (status, summary.finish.in_words())
        }
    };
    let counts = summary.as_ref().ok();
    let results = workspace.store.root();
    News {
        sweep: workspace.sweep.name.clone(),
        status,
        how,
        done: counts.map_or(0, |summary| summary.done),
        failed: counts.map_or(failures.len(), |summary| summary.failed),
        left: counts.map(|summary| summary.left),
        failures: failures.to_vec(),
        seconds: took.as_secs_f64(),
        results: std::path::absolute(results).unwrap_or_else(|_| results.to_owned()).display().to_string(),
    }
}

/// `share 2/4: 26 of 104 runs fall to it`.
pub(super) fn share_line(shard: Option<Shard>, judged: &[Judged]) -> Option<String> {
    let shard = shard?;
    let taken = judged.iter().filter(|j| shard.takes(j.id)).count();
    Some(format!(
        "share {shard}: {taken} of {} runs fall to it, the others to those who do the other shares",
        judged.len()
    ))
}

pub(super) fn nothing_line(judged: &[Judged], left_failed: usize, file: &Path) -> String {
    let summary = Summary { done: 0, failed: 0, stopped: 0, paused: 0, left: 0, finish: Finish::Complete };
    let spared = judged.iter().filter(|j| j.reason == Reason::NotNeeded).count();
    summary_line(judged, &[], &summary, left_failed, spared, file)
}

/// `3 done now, 3 done before, 0 failed, 0 left`, over the runs that were asked for, and what to do next.
pub(super) fn summary_line(
    judged: &[Judged],
    to_do: &[&Judged],
    summary: &Summary,
    left_failed: usize,
    spared: usize,
    file: &Path,
) -> String {
    let before = judged.iter().filter(|j| j.reason == Reason::Done).count();
    let stopped = judged.iter().filter(|j| j.reason == Reason::Stopped).count() + summary.stopped;
    let again = to_do.iter().filter(|j| j.reason == Reason::Done || j.reason == Reason::Stopped).count();
    let failed = summary.failed + left_failed;
    let left = (judged.len() + again).saturating_sub(before + stopped + spared + summary.done + failed);
    let mut line = format!("{} done now, {before} done before, {failed} failed, {left} left", summary.done);
    if stopped > 0 {
        line += &format!(", {stopped} stopped early");
    }
    if spared > 0 {
        line += &format!(", {spared} not needed (decided)");
    }
    let file = file.display();
    match &summary.finish {
        Finish::Interrupted => line += &format!("; stopped on request, `sweep run {file}` goes on"),
        Finish::OutOfTime => line += &format!("; the time budget is used up, `sweep run {file}` goes on"),
        Finish::TooManyFailed(why) => {
            line += &format!("; given up: {why}. Mend the cause; `sweep rerun {file} --failed` tries them again");
        }
        Finish::Complete | Finish::NoWorkers(_) if left_failed > 0 => {
            line += &format!("; `sweep rerun {file} --failed` tries failed runs again");
        }
        Finish::Complete | Finish::NoWorkers(_) => {}
    }
    line
}
