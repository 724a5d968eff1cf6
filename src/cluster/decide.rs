//! What the coordinator does next, as a pure function of what is left, who claims it and what the engine says.

use std::collections::{BTreeMap, BTreeSet};

use super::batch::Submission;
use super::claim::Over;
use super::{Ending, State};
use crate::plan::RunId;
use crate::record::shard::Shard;

/// Questions in a row to which the engine did not know a job, before it is thought to be gone: a controller that was
/// just started anew does not know all jobs at once.
pub const MISSING: u32 = 3;
/// Ends of a run's jobs that may be the run's own fault, before it is failed; more than `IDLE`, so that where no job gets
/// anywhere the sweep is given up, and no run is blamed.
const CRASHES: usize = 4;
/// Ends by lack of memory of the node: the second time says that the first was no accident.
const HOST_MEMORY: usize = 2;
/// Ends that are nobody's fault, before somebody should look.
const MISFORTUNES: usize = 20;
/// Submissions in a row whose jobs ended and took no run, before it is given up.
const IDLE: usize = 3;

/// A run without a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Left {
    pub id: RunId,
    /// The newest copy, and who holds it, if that is not over.
    pub copy: u32,
    pub holder: Option<Shard>,
    /// How its copies were over so far.
    pub past: Vec<Over>,
}

/// A task of a submission.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    pub submission: u32,
    pub task: u32,
    pub state: State,
    pub node: Option<String>,
}

/// All that a decision goes by.
#[derive(Debug, Clone, Default)]
pub struct View {
    pub left: Vec<Left>,
    /// Tasks of the submissions that are open. One that the engine does not know is not among them.
    pub tasks: Vec<Task>,
    pub open: Vec<Submission>,
    /// Questions in a row to which the engine knew no task of a submission; of those where it knew some, which tasks.
    pub missing: BTreeMap<(u32, u32), u32>,
    /// Jobs at one time, and tasks of one submission, at most.
    pub at_once: u32,
    pub most_tasks: u32,
    /// Whether each run has a task of its own.
    pub is_array: bool,
    /// Submissions in a row, the last ones, that ended and took no run.
    pub idle: usize,
    /// How many runs one job takes at one time.
    pub takes: u32,
    /// Somebody cancelled jobs by the engine's own command: no new ones are made behind his back.
    pub is_cancelled: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// The holder of this copy is gone.
    Release(RunId, u32, Over),
    /// The node gets no more jobs of this sweep.
    Exclude(String),
    /// All tasks of a submission are over.
    Close(u32, String),
    /// It was never heard of: under its own name it can be submitted again.
    Again(u32),
    /// So many tasks, or one for each of these runs.
    Submit(u32, Option<Vec<RunId>>),
    /// The run is at fault, or seems so.
    Fail(RunId, u32, Ending, String),
    /// Nothing goes on by itself.
    GiveUp(String),
}

/// The standing of a task, with what is known of those that the engine does not know.
enum Standing {
    /// It will, or does, take runs.
    AtWork,
    Over(Ending),
    /// Nobody can say.
    Unsure,
}

impl View {
    fn standing(&self, submission: u32, task: u32) -> Standing {
        let found = self.tasks.iter().find(|t| t.submission == submission && t.task == task);
        match found.map(|task| task.state) {
            Some(State::Waiting | State::Running) => Standing::AtWork,
            Some(State::Ended(ending)) => Standing::Over(ending),
            Some(State::Unknown) => Standing::Unsure,
            // It is forgotten, or was never there.
            None if self.missing.get(&(submission, task)).is_some_and(|times| *times >= MISSING) => {
                Standing::Over(Ending::Failed)
            }
            None => Standing::Unsure,
        }
    }

    /// The standing of the task that holds a claim; of a submission that is closed all tasks are over.
    fn holder(&self, pilot: Shard) -> Standing {
        let Shard::Pilot { submission, task, .. } = pilot else { return Standing::Unsure };
        if self.open.iter().all(|open| open.number != submission) {
            return Standing::Over(Ending::Failed);
        }
        self.standing(submission, task)
    }
}

/// What is to be done now. Deeds of one look do not see each other: what is released now is submitted after the next.
pub fn decide(view: &View) -> Vec<Act> {
    let mut acts = Vec::new();
    for left in &view.left {
        if let Some(pilot) = left.holder
            && let Standing::Over(ending) = view.holder(pilot)
        {
            let why = ending.in_words().to_owned();
            acts.push(Act::Release(left.id.clone(), left.copy, Over { why, ending: Some(ending) }));
        } else if left.holder.is_none()
            && let Some((ending, why)) = fault(&left.past)
        {
            acts.push(Act::Fail(left.id.clone(), left.copy, ending, why));
        }
    }
    let bad: BTreeSet<&String> = view
        .tasks
        .iter()
        .filter(|task| task.state == State::Ended(Ending::NodeFailed))
        .filter_map(|task| task.node.as_ref())
        .collect();
    acts.extend(bad.into_iter().cloned().map(Act::Exclude));
    for open in &view.open {
        let standings: Vec<Standing> = (0..open.tasks).map(|task| view.standing(open.number, task)).collect();
        let gone = (0..open.tasks).all(|task| view.missing.get(&(open.number, task)).is_some_and(|n| *n >= MISSING));
        if open.id.is_none() && gone {
            acts.push(Act::Again(open.number));
        } else if standings.iter().all(|standing| matches!(standing, Standing::Over(_))) {
            let is_held = view
                .left
                .iter()
                .any(|left| matches!(left.holder, Some(Shard::Pilot { submission, .. }) if submission == open.number));
            // Claims are released first, while the ends of its tasks are known.
            if !is_held {
                acts.push(Act::Close(open.number, "all its jobs ended".to_owned()));
            }
        }
    }
    if acts.is_empty() {
        acts.extend(submit(view));
    }
    acts
}

/// More jobs, where there is work for them.
fn submit(view: &View) -> Option<Act> {
    let waits = |left: &&Left| left.holder.is_none();
    let planned: BTreeSet<&RunId> = view.open.iter().flat_map(|open| open.runs.iter().flatten()).collect();
    // A task of an array that is open has its run, or will have it.
    let free: Vec<&Left> = view.left.iter().filter(waits).filter(|left| !planned.contains(&left.id)).collect();
    if free.is_empty() {
        return None;
    }
    if view.is_cancelled {
        let at_work = |task: &Task| matches!(task.state, State::Waiting | State::Running | State::Unknown);
        let why = "jobs were cancelled by the engine's own command; the same command goes on".to_owned();
        return (!view.tasks.iter().any(at_work)).then_some(Act::GiveUp(why));
    }
    if view.idle >= IDLE {
        return Some(Act::GiveUp(format!("{} submissions in a row ended before they trained anything", view.idle)));
    }
    if view.is_array {
        let runs: Vec<RunId> = free.iter().take(view.most_tasks as usize).map(|left| left.id.clone()).collect();
        return Some(Act::Submit(runs.len() as u32, Some(runs)));
    }
    let mut under_way = 0;
    for open in &view.open {
        under_way +=
            (0..open.tasks).filter(|task| !matches!(view.standing(open.number, *task), Standing::Over(_))).count();
    }
    let wanted = (free.len() as u32).div_ceil(view.takes.max(1)).min(view.at_once);
    // Those under way take what is free, as long as they are as many as are wanted.
    let more = wanted.saturating_sub(under_way as u32).min(view.most_tasks);
    (more > 0).then_some(Act::Submit(more, None))
}

/// Whether a run is thought to be at fault for how its jobs ended.
fn fault(past: &[Over]) -> Option<(Ending, String)> {
    let count = |is: fn(Ending) -> bool| past.iter().filter(|over| over.ending.is_some_and(is)).count();
    let memory = count(|ending| ending == Ending::HostMemory);
    let crashes = count(|ending| matches!(ending, Ending::Failed | Ending::Completed));
    if memory >= HOST_MEMORY {
        let why = format!("{}, {memory} times; ask for more with `mem` in [run.slurm]", Ending::HostMemory.in_words());
        return Some((Ending::HostMemory, why));
    }
    if crashes >= CRASHES {
        return Some((Ending::Failed, format!("its jobs ended {crashes} times without a word of it")));
    }
    let last = past.last()?.ending?;
    (past.len() >= MISFORTUNES).then(|| (last, format!("{}, after {} attempts", last.in_words(), past.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> RunId {
        RunId(name.to_owned())
    }

    fn pilot(submission: u32, task: u32) -> Option<Shard> {
        Some(Shard::Pilot { submission, task, life: 0 })
    }

    fn left(name: &str, holder: Option<Shard>) -> Left {
        Left { id: id(name), copy: u32::from(holder.is_some()), holder, past: Vec::new() }
    }

    fn open(number: u32, tasks: u32, job: Option<&str>) -> Submission {
        Submission {
            number,
            name: format!("sweep-x.{number}"),
            tasks,
            runs: None,
            made: String::new(),
            id: job.map(str::to_owned),
            closed: None,
        }
    }

    fn task(submission: u32, task: u32, state: State) -> Task {
        Task { submission, task, state, node: Some(format!("n{task}")) }
    }

    fn view(left: Vec<Left>) -> View {
        View { left, at_once: 2, most_tasks: 100, takes: 1, ..View::default() }
    }

    #[test]
    fn pilots_come_as_many_as_are_wanted_and_no_more() {
        let mut view = view(vec![left("a", None), left("b", None), left("c", None)]);
        assert_eq!(decide(&view), [Act::Submit(2, None)]);
        view.open = vec![open(1, 2, Some("7"))];
        view.tasks = vec![task(1, 0, State::Waiting), task(1, 1, State::Running)];
        assert_eq!(decide(&view), []);
        // What the engine says of one of them is not understood: it may be at work.
        view.tasks[1].state = State::Unknown;
        assert_eq!(decide(&view), []);
        view.tasks[1].state = State::Ended(Ending::Completed);
        assert_eq!(decide(&view), [Act::Submit(1, None)]);
        view.at_once = 1;
        assert_eq!(decide(&view), []);
    }

    #[test]
    fn nothing_is_submitted_twice() {
        let mut view = view(vec![left("a", None)]);
        view.open = vec![open(1, 1, None)];
        assert_eq!(decide(&view), [], "whether it went through is not known yet");
        view.missing.insert((1, 0), MISSING);
        assert_eq!(decide(&view), [Act::Again(1)]);
        // One that is known to be there under its name.
        view.missing.clear();
        view.tasks = vec![task(1, 0, State::Waiting)];
        assert_eq!(decide(&view), []);
    }

    #[test]
    fn what_a_job_held_that_ended_is_released_then_it_is_closed_then_submitted_again() {
        let mut view = view(vec![left("a", pilot(1, 0))]);
        view.open = vec![open(1, 1, Some("7"))];
        view.tasks = vec![task(1, 0, State::Ended(Ending::TimeLimit))];
        let over = Over { why: "its job came to the time limit".into(), ending: Some(Ending::TimeLimit) };
        assert_eq!(decide(&view), [Act::Release(id("a"), 1, over.clone())]);
        view.left[0] = Left { id: id("a"), copy: 1, holder: None, past: vec![over] };
        assert_eq!(decide(&view), [Act::Close(1, "all its jobs ended".into())]);
        view.open.clear();
        assert_eq!(decide(&view), [Act::Submit(1, None)]);
    }

    #[test]
    fn a_job_that_the_controller_lost_is_over_after_some_questions() {
        let mut view = view(vec![left("a", pilot(1, 0))]);
        view.open = vec![open(1, 1, Some("7"))];
        view.missing.insert((1, 0), MISSING - 1);
        assert_eq!(decide(&view), []);
        view.missing.insert((1, 0), MISSING);
        assert!(matches!(&decide(&view)[..], [Act::Release(_, 1, over)] if over.ending == Some(Ending::Failed)));
    }

    #[test]
    fn a_node_that_failed_gets_no_more() {
        let mut view = view(vec![left("a", None)]);
        view.open = vec![open(1, 2, Some("7"))];
        view.tasks = vec![task(1, 0, State::Ended(Ending::NodeFailed)), task(1, 1, State::Running)];
        assert_eq!(decide(&view), [Act::Exclude("n0".into())]);
    }

    #[test]
    fn each_run_of_an_array_has_a_task_and_chunks_are_no_longer_than_allowed() {
        let mut view = view(vec![left("a", None), left("b", None), left("c", None)]);
        (view.is_array, view.most_tasks) = (true, 2);
        assert_eq!(decide(&view), [Act::Submit(2, Some(vec![id("a"), id("b")]))]);
        view.open = vec![Submission { runs: Some(vec![id("a"), id("b")]), ..open(1, 2, Some("7")) }];
        view.tasks = vec![task(1, 0, State::Running), task(1, 1, State::Waiting)];
        assert_eq!(decide(&view), [Act::Submit(1, Some(vec![id("c")]))]);
    }

    #[test]
    fn a_run_is_failed_by_what_ended_its_jobs_and_not_by_misfortune() {
        let ended = |endings: &[Ending]| {
            let over = |ending: &Ending| Over { why: String::new(), ending: Some(*ending) };
            fault(&endings.iter().map(over).collect::<Vec<_>>()).map(|(ending, _)| ending)
        };
        assert_eq!(ended(&[Ending::NodeFailed, Ending::Preempted, Ending::TimeLimit]), None);
        assert_eq!(ended(&[Ending::HostMemory]), None);
        assert_eq!(ended(&[Ending::HostMemory, Ending::HostMemory]), Some(Ending::HostMemory));
        assert_eq!(ended(&[Ending::Failed; 3]), None);
        assert_eq!(ended(&[Ending::Failed; 4]), Some(Ending::Failed));
        assert_eq!(ended(&[Ending::Cancelled; 4]), None);
        assert_eq!(ended(&[Ending::Preempted; MISFORTUNES]), Some(Ending::Preempted));
        let given_back = Over { why: "put aside".into(), ending: None };
        assert_eq!(fault(&vec![given_back; 50]), None);
    }

    #[test]
    fn jobs_that_somebody_cancelled_are_not_made_again() {
        let mut view = view(vec![left("a", None), left("b", None)]);
        view.is_cancelled = true;
        view.open = vec![open(1, 2, Some("7"))];
        view.tasks = vec![task(1, 0, State::Ended(Ending::Cancelled)), task(1, 1, State::Running)];
        assert_eq!(decide(&view), []);
        (view.open, view.tasks) = (Vec::new(), Vec::new());
        assert!(matches!(&decide(&view)[..], [Act::GiveUp(why)] if why.contains("cancelled")));
    }

    #[test]
    fn jobs_that_never_train_anything_are_not_submitted_for_ever() {
        let mut view = view(vec![left("a", None)]);
        view.idle = IDLE;
        assert!(matches!(&decide(&view)[..], [Act::GiveUp(why)] if why.contains("3 submissions in a row")));
    }
}
