//! What the engine knows: one question for all jobs, and one more for those that its controller has forgotten.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Instant;

use anyhow::Result;

use super::Lead;
use crate::cluster::batch::Submission;
use crate::cluster::decide::Place;
use crate::cluster::{Ending, JobId, Seen, State};

/// What the engine answered, by the tasks that were asked for.
pub(super) type Known = BTreeMap<Place, Seen>;

impl Lead<'_> {
    /// What the engine knows of the jobs that are open; nothing where it does not answer.
    pub(super) fn ask(&mut self) -> Result<Option<Known>> {
        let open: Vec<Submission> = self.batch.submitted()?.into_values().filter(Submission::is_open).collect();
        if open.is_empty() {
            return Ok(Some(Known::new()));
        }
        let names: Vec<String> = open.iter().map(|open| open.name.clone()).collect();
        let mut known = match self.engine.list(&names) {
            Ok(found) => of_tasks(&open, found),
            Err(trouble) => {
                let say = format!("{} does not answer: {trouble}; it is asked again", self.engine.describe());
                self.tell("engine", &say);
                return Ok(None);
            }
        };
        self.state.said.remove("engine");
        let places = || open.iter().flat_map(|open| (0..open.tasks).map(move |task| (open, (open.number, task))));
        let mut can_miss = true;
        if places().any(|(_, place)| known.get(&place).is_none_or(|seen| seen.state == State::Unknown)) {
            match self.engine.past(&names) {
                Ok(past) => {
                    for (place, seen) in of_tasks(&open, past) {
                        if known.get(&place).is_none_or(|held| held.state == State::Unknown) {
                            known.insert(place, seen);
                        }
                    }
                }
                Err(_) => can_miss = false,
            }
        }
        for (open, place) in places() {
            match known.get(&place) {
                Some(seen) => {
                    self.state.missing.remove(&place);
                    if open.id.is_none() {
                        self.batch.write(&Submission { id: Some(seen.id.job.clone()), ..open.clone() })?;
                    }
                }
                None if can_miss => self.state.missing.entry(place).or_insert((0, Instant::now())).0 += 1,
                None => {}
            }
        }
        self.notice(&known);
        Ok(Some(known))
    }

    /// What of an answer the user should know.
    fn notice(&mut self, known: &Known) {
        let is_cancelled = |seen: &&Seen| seen.state == State::Ended(Ending::Cancelled);
        let now: HashSet<JobId> = known.values().filter(is_cancelled).map(|seen| seen.id.clone()).collect();
        let before = self.state.cancelled_before.get_or_insert_with(|| now.clone());
        self.state.is_cancelled |= now.iter().any(|id| !before.contains(id));
        for seen in known.values() {
            let say = match seen.state {
                State::Unknown => "which says nothing here; it is asked again",
                // Nobody but the user or his site can let it go.
                State::Waiting if seen.said.contains("held") || seen.said.contains("HOLD") => {
                    "and does not begin by itself: `scontrol release` lets it, `scancel` ends it"
                }
                _ => continue,
            };
            self.tell(&seen.id.to_string(), &format!("job {} is {}, {say}", seen.id, seen.said));
        }
    }

    /// Which of the nodes that jobs of ours were on are down. A job of such a node may run elsewhere by now, and then nothing
    /// else tells of it.
    pub(super) fn look_at_nodes(&mut self) {
        let excluded = self.batch.excluded();
        let nodes: BTreeSet<String> = self.state.holders.values().filter_map(|holder| holder.node.clone()).collect();
        let nodes: Vec<String> = nodes.into_iter().filter(|node| !excluded.contains(node)).collect();
        if !nodes.is_empty()
            && let Ok(down) = self.engine.down(&nodes)
        {
            self.state.down.extend(down);
        }
    }
}

/// What the engine says, by submission and task. Where one has two rows, as two jobs of one name, that of the known id
/// counts, and of those the one that is not over.
fn of_tasks(open: &[Submission], found: Vec<Seen>) -> Known {
    let mut known = Known::new();
    for seen in found {
        let its = |open: &&Submission| match &open.id {
            Some(id) => *id == seen.id.job,
            None => is_name(&open.name, &seen.name),
        };
        let Some(submission) = open.iter().find(its) else { continue };
        let place = (submission.number, seen.id.task.unwrap_or(0));
        let is_over = |seen: &Seen| matches!(seen.state, State::Ended(_));
        if known.get(&place).is_none_or(|held| is_over(held) && !is_over(&seen)) {
            known.insert(place, seen);
        }
    }
    known
}

/// Whether a name that an engine prints is that of a submission: some print only so many letters.
fn is_name(own: &str, printed: &str) -> bool {
    const LEAST: usize = 10;
    own == printed || (printed.len() >= LEAST && own.starts_with(printed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(job: &str, task: Option<u32>, name: &str, state: State) -> Seen {
        let id = JobId { job: job.to_owned(), task };
        Seen { id, name: name.to_owned(), state, said: String::new(), node: None }
    }

    #[test]
    fn jobs_are_known_by_their_id_and_before_that_by_their_name() {
        let open = |number: u32, id: Option<&str>| Submission {
            number,
            name: format!("s12ab34c-{number}-glue"),
            tasks: 2,
            at_once: 2,
            runs: None,
            made: String::new(),
            id: id.map(str::to_owned),
            closed: None,
        };
        let ended = State::Ended(Ending::Cancelled);
        let found = vec![
            seen("7", Some(0), "s12ab34c-1-glue", State::Running),
            seen("9", Some(0), "s12ab34c-1-glue", State::Waiting),
            seen("8", Some(1), "s12ab34c-2", ended),
            seen("10", Some(1), "s12ab34c-2", State::Running),
            seen("11", None, "another", State::Running),
        ];
        let known = of_tasks(&[open(1, Some("7")), open(2, None)], found);
        let brief: Vec<(Place, String)> = known.iter().map(|(place, seen)| (*place, seen.id.to_string())).collect();
        assert_eq!(brief, [((1, 0), "7_0".to_owned()), ((2, 1), "10_1".to_owned())]);
    }
}
