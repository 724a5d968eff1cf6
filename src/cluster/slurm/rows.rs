//! What squeue and sacct print of jobs, as text: their JSON changed its shape from release to release.

use super::state::state;
use crate::cluster::{JobId, Seen};

/// The fields that squeue is asked for: job or array, task, state, reason, nodes, name.
pub const SQUEUE: &str = "%F|%K|%T|%r|%N|%j";
/// The fields that sacct is asked for; all of them are as old as arrays.
pub const SACCT: &str = "JobID,State,NodeList,JobName";

/// Lines of `squeue -h -r -o SQUEUE`.
pub fn squeue(text: &str) -> Vec<Seen> {
    let row = |line: &str| {
        let fields: Vec<&str> = line.split('|').collect();
        let [job, task, word, reason, node, name] = fields[..] else { return None };
        let said = if reason.is_empty() || reason == "None" { word.to_owned() } else { format!("{word} ({reason})") };
        Some(Seen {
            id: JobId { job: job.trim().to_owned(), task: task.trim().parse().ok() },
            name: name.trim().to_owned(),
            state: state(word.trim()),
            said,
            node: named(node),
        })
    };
    text.lines().filter_map(row).collect()
}

/// Lines of `sacct -X -P -n --array -D --format=SACCT`. Of a job that was requeued each incarnation has a line, the last
/// one is the one that counts.
pub fn sacct(text: &str) -> Vec<Seen> {
    let mut found: Vec<Seen> = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split('|').collect();
        let [id, word, node, name] = fields[..] else { continue };
        for id in ids(id) {
            found.retain(|seen| seen.id != id);
            let (said, name) = (word.to_owned(), name.trim().to_owned());
            found.push(Seen { id, name, state: state(word), said, node: named(node) });
        }
    }
    found
}

/// `12`, `12_3`, `12_[0-3,7%2]`.
fn ids(text: &str) -> Vec<JobId> {
    match text.trim().split_once('_') {
        None => vec![JobId { job: text.trim().to_owned(), task: None }],
        Some((job, tasks)) => {
            let tasks = range(tasks.trim_matches(['[', ']']));
            tasks.into_iter().map(|task| JobId { job: job.to_owned(), task: Some(task) }).collect()
        }
    }
}

/// `0-3,7%2`: tasks, and how many at one time.
fn range(text: &str) -> Vec<u32> {
    let list = text.split('%').next().unwrap_or_default();
    let part = |part: &str| -> Vec<u32> {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match (first.trim().parse(), last.trim().parse()) {
            (Ok(first), Ok(last)) => (first..=last).collect(),
            _ => Vec::new(),
        }
    };
    list.split(',').flat_map(part).collect()
}

fn named(node: &str) -> Option<String> {
    let node = node.trim();
    (!node.is_empty() && node != "(null)" && !node.starts_with("None")).then(|| node.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Ending, State};

    fn brief(seen: &[Seen]) -> Vec<(String, State, Option<&str>)> {
        seen.iter().map(|seen| (seen.id.to_string(), seen.state, seen.node.as_deref())).collect()
    }

    #[test]
    fn lines_of_squeue_are_read() {
        let text = "12|0|RUNNING|None|n1|sweep-a.1\n12|1|PENDING|Resources||sweep-a.1\n13|N/A|COMPLETED|None|n2|sweep-a.2\n\
            slurm_load_jobs error\n";
        let seen = squeue(text);
        assert_eq!(
            brief(&seen),
            [
                ("12_0".to_owned(), State::Running, Some("n1")),
                ("12_1".to_owned(), State::Waiting, None),
                ("13".to_owned(), State::Ended(Ending::Completed), Some("n2")),
            ]
        );
        assert_eq!((seen[1].said.as_str(), seen[0].name.as_str()), ("PENDING (Resources)", "sweep-a.1"));
    }

    #[test]
    fn the_last_incarnation_of_a_job_counts_and_ranges_are_all_of_their_tasks() {
        let text =
            "12_0|NODE_FAIL|n1|a\n12_0|COMPLETED|n2|a\n12_[1-2,4%2]|PENDING|None assigned|a\n9|CANCELLED by 0|n1|a\n";
        assert_eq!(
            brief(&sacct(text)),
            [
                ("12_0".to_owned(), State::Ended(Ending::Completed), Some("n2")),
                ("12_1".to_owned(), State::Waiting, None),
                ("12_2".to_owned(), State::Waiting, None),
                ("12_4".to_owned(), State::Waiting, None),
                ("9".to_owned(), State::Ended(Ending::Cancelled), Some("n1")),
            ]
        );
    }
}
