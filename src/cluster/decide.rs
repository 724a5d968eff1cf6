//! What the coordinator does next, as a pure function of what is left, who claims it and what the engine says.

use std::collections::{BTreeMap, BTreeSet};

use super::batch::Submission;
use super::claim::Over;
use super::{Ending, State};
use crate::plan::RunId;

/// Pilots in a row that gave a run back at the same step, before it is thought that their time is too short.
const STUCK: usize = 5;
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
    /// The newest copy, and who has it, if that is not over.
    pub copy: u32,
    pub held: Option<Held>,
    /// How its copies were over so far.
    pub past: Vec<Over>,
}

/// Who has a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Held {
    /// A job of this sweep, on a node of this name; whether it gave a sign of life a moment ago.
    By { submission: u32, task: u32, node: Option<String>, gave_sign: bool },
    /// A job of another sweep, or somebody who cannot be read: it is none of ours.
    Elsewhere,
}

/// A task of a submission as the engine knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    pub state: State,
    pub node: Option<String>,
}

/// Which task of which submission.
pub type Place = (u32, u32);

/// All that a decision goes by.
#[derive(Debug, Clone, Default)]
pub struct View {
    pub left: Vec<Left>,
    /// Tasks of the submissions that are open. One that the engine does not know is not among them.
    pub tasks: BTreeMap<Place, Task>,
    pub open: Vec<Submission>,
    /// Tasks that the engine has not known for so long that they are gone: a controller that was just started anew does
    /// not know all jobs at once, and one that is busy takes in late what it did not answer.
    pub gone: BTreeSet<Place>,
    /// Submissions of which a job is known to have begun.
    pub begun: BTreeSet<u32>,
    /// Nodes that the engine says are down, and those that get no more jobs already.
    pub down: BTreeSet<String>,
    pub excluded: BTreeSet<String>,
    /// Jobs at one time, and tasks of one submission, at most.
    pub at_once: u32,
    pub most_tasks: u32,
    /// Whether each run has a task of its own.
    pub is_array: bool,
    /// Submissions in a row, the last ones, that ended and took no run.
    pub idle: usize,
    /// How many runs one job takes at one time.
    pub takes: u32,
    /// The engine did not want more a moment ago.
    pub is_full: bool,
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
    /// Jobs that take what they find, or one for each of these runs.
    Submit { tasks: u32, at_once: u32, runs: Option<Vec<RunId>> },
    /// The run is at fault, or seems so.
    Fail(RunId, u32, Ending, String),
    /// Nothing goes on by itself.
    GiveUp(String),
}

/// The standing of a task, with what is known of those that the engine does not know.
#[derive(PartialEq)]
enum Standing {
    Waiting,
    Running,
    Over(Ending),
    /// Nobody can say.
    Unsure,
}

impl View {
    fn standing(&self, submission: u32, task: u32) -> Standing {
        match self.tasks.get(&(submission, task)).map(|task| task.state) {
            Some(State::Waiting) => Standing::Waiting,
            Some(State::Running) => Standing::Running,
            Some(State::Ended(ending)) => Standing::Over(ending),
            Some(State::Unknown) => Standing::Unsure,
            // It is forgotten, or was never there.
            None if self.gone.contains(&(submission, task)) => Standing::Over(Ending::Failed),
            None => Standing::Unsure,
        }
    }

    /// Why whoever has a run has it no more. Claims were read before the engine was asked.
    fn release(&self, held: &Held) -> Option<Over> {
        let Held::By { submission, task, node, gave_sign } = held else { return None };
        if self.open.iter().all(|open| open.number != *submission) {
            return (!gave_sign).then(|| Over::by(Ending::Failed));
        }
        match self.standing(*submission, *task) {
            // A job that was begun and waits again was begun for nothing, as by a node that failed.
            Standing::Waiting => Some(match node {
                Some(node) if self.down.contains(node) => Over::by(Ending::NodeFailed),
                _ => Over::given_back("its job waits to begin again".to_owned(), None),
            }),
            Standing::Over(_) if !self.tasks.contains_key(&(*submission, *task)) && *gave_sign => None,
            Standing::Over(ending) => Some(Over::by(ending)),
            Standing::Running | Standing::Unsure => None,
        }
    }

    /// Tasks that will take runs, or do.
    fn under_way(&self) -> u32 {
        let tasks = self.open.iter().flat_map(|open| (0..open.tasks).map(move |task| (open.number, task)));
        tasks.filter(|&(number, task)| !matches!(self.standing(number, task), Standing::Over(_))).count() as u32
    }
}

/// What is to be done now. Deeds of one look do not see each other: what is released now is submitted after the next.
pub fn decide(view: &View) -> Vec<Act> {
    let mut acts = Vec::new();
    for left in &view.left {
        match &left.held {
            Some(held) => {
                let over = view.release(held);
                acts.extend(over.map(|over| Act::Release(left.id.clone(), left.copy, over)));
            }
            None => {
                let fault = fault(&left.past);
                acts.extend(fault.map(|(ending, why)| Act::Fail(left.id.clone(), left.copy, ending, why)));
            }
        }
    }
    let failed = view.tasks.values().filter(|task| task.state == State::Ended(Ending::NodeFailed));
    let bad: BTreeSet<&String> = failed.filter_map(|task| task.node.as_ref()).chain(&view.down).collect();
    acts.extend(bad.into_iter().filter(|node| !view.excluded.contains(*node)).cloned().map(Act::Exclude));
    for open in &view.open {
        let places = || (0..open.tasks).map(|task| (open.number, task));
        let is_gone = places().all(|place| view.gone.contains(&place));
        if open.id.is_none() && is_gone && !view.begun.contains(&open.number) {
            acts.push(Act::Again(open.number));
        } else if places().all(|(number, task)| matches!(view.standing(number, task), Standing::Over(_))) {
            // Claims are released first, while the ends of its tasks are known.
            let has = |held: &Held| matches!(held, Held::By { submission, .. } if *submission == open.number);
            if !view.left.iter().any(|left| left.held.as_ref().is_some_and(has)) {
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
    // A task of an array that is not over has its run, or will have it.
    let planned: BTreeSet<&RunId> = view
        .open
        .iter()
        .flat_map(|open| open.runs.iter().flatten().enumerate().map(move |(task, id)| (open.number, task as u32, id)))
        .filter(|&(number, task, _)| !matches!(view.standing(number, task), Standing::Over(_)))
        .map(|(_, _, id)| id)
        .collect();
    let is_free = |left: &&Left| left.held.is_none() && !planned.contains(&left.id);
    let free: Vec<&Left> = view.left.iter().filter(is_free).collect();
    if free.is_empty() || view.is_full {
        return None;
    }
    let under_way = view.under_way();
    if view.is_cancelled {
        let why = "jobs were cancelled by the engine's own command; the same command goes on".to_owned();
        return (under_way == 0).then_some(Act::GiveUp(why));
    }
    if view.idle >= IDLE {
        return Some(Act::GiveUp(format!("{} submissions in a row ended before they trained anything", view.idle)));
    }
    let room = view.at_once.saturating_sub(under_way);
    if view.is_array {
        // The next part when this one leaves room, so that together they are no more than are wanted at one time.
        let runs: Vec<RunId> = free.iter().take(view.most_tasks as usize).map(|left| left.id.clone()).collect();
        return (room > 0).then_some(Act::Submit { tasks: runs.len() as u32, at_once: room, runs: Some(runs) });
    }
    let wanted = (free.len() as u32).div_ceil(view.takes.max(1));
    // Those under way take what is free, as long as they are as many as are wanted.
    let tasks = wanted.saturating_sub(under_way).min(room).min(view.most_tasks);
    (tasks > 0).then_some(Act::Submit { tasks, at_once: tasks, runs: None })
}

/// Whether a run is thought to be at fault for how its jobs ended.
fn fault(past: &[Over]) -> Option<(Ending, String)> {
    let blamed: Vec<Ending> = past.iter().filter(|over| !over.blameless).filter_map(|over| over.ending).collect();
    let count = |is: &[Ending]| blamed.iter().filter(|ending| is.contains(ending)).count();
    let (memory, crashes) = (count(&[Ending::HostMemory]), count(&[Ending::Failed, Ending::Completed]));
    if let Some(step) = past.last().and_then(|over| over.step)
        && past.len() >= STUCK
        && past[past.len() - STUCK..].iter().all(|over| over.ending.is_none() && over.step == Some(step))
    {
        let why = format!("{STUCK} jobs in a row did not get beyond step {step}: `time` is too short for it");
        return Some((Ending::TimeLimit, why));
    }
    if memory >= HOST_MEMORY {
        let why = format!("{}, {memory} times; ask for more with `mem` in [run.slurm]", Ending::HostMemory.in_words());
        return Some((Ending::HostMemory, why));
    }
    if crashes >= CRASHES {
        return Some((Ending::Failed, format!("its jobs ended {crashes} times without a word of it")));
    }
    let last = *blamed.last().filter(|_| blamed.len() >= MISFORTUNES)?;
    (last != Ending::Cancelled).then(|| (last, format!("{}, after {} attempts", last.in_words(), blamed.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> RunId {
        RunId(name.to_owned())
    }

    fn by(submission: u32, task: u32) -> Option<Held> {
        Some(Held::By { submission, task, node: Some(format!("n{task}")), gave_sign: false })
    }

    fn left(name: &str, held: Option<Held>) -> Left {
        Left { id: id(name), copy: u32::from(held.is_some()), held, past: Vec::new() }
    }

    fn open(number: u32, tasks: u32, job: Option<&str>) -> Submission {
        Submission {
            number,
            name: format!("sweep-x.{number}"),
            tasks,
            at_once: tasks,
            runs: None,
            made: String::new(),
            id: job.map(str::to_owned),
            closed: None,
        }
    }

    fn tasks(states: &[(Place, State)]) -> BTreeMap<Place, Task> {
        let task = |&(place, state): &(Place, State)| (place, Task { state, node: Some(format!("n{}", place.1)) });
        states.iter().map(task).collect()
    }

    fn view(left: Vec<Left>) -> View {
        View { left, at_once: 2, most_tasks: 100, takes: 1, ..View::default() }
    }

    fn pilots(tasks: u32) -> Vec<Act> {
        vec![Act::Submit { tasks, at_once: tasks, runs: None }]
    }

    #[test]
    fn pilots_come_as_many_as_are_wanted_and_no_more() {
        let mut view = view(vec![left("a", None), left("b", None), left("c", None)]);
        assert_eq!(decide(&view), pilots(2));
        view.is_full = true;
        assert_eq!(decide(&view), [], "the engine wanted no more a moment ago");
        view.is_full = false;
        view.open = vec![open(1, 2, Some("7"))];
        view.tasks = tasks(&[((1, 0), State::Waiting), ((1, 1), State::Running)]);
        assert_eq!(decide(&view), []);
        // What the engine says of one of them is not understood: it may be at work.
        view.tasks = tasks(&[((1, 0), State::Waiting), ((1, 1), State::Unknown)]);
        assert_eq!(decide(&view), []);
        view.tasks = tasks(&[((1, 0), State::Waiting), ((1, 1), State::Ended(Ending::Completed))]);
        assert_eq!(decide(&view), pilots(1));
        view.at_once = 1;
        assert_eq!(decide(&view), []);
    }

    #[test]
    fn nothing_is_submitted_twice() {
        let mut view = view(vec![left("a", None)]);
        view.open = vec![open(1, 1, None)];
        assert_eq!(decide(&view), [], "whether it went through is not known yet");
        view.gone.insert((1, 0));
        assert_eq!(decide(&view), [Act::Again(1)]);
        // It went through, ended, and was forgotten.
        view.begun.insert(1);
        assert_eq!(decide(&view), [Act::Close(1, "all its jobs ended".into())]);
        // One that is known to be there under its name.
        view.gone.clear();
        view.tasks = tasks(&[((1, 0), State::Waiting)]);
        assert_eq!(decide(&view), []);
    }

    #[test]
    fn what_a_job_held_that_ended_is_released_then_it_is_closed_then_submitted_again() {
        let mut view = view(vec![left("a", by(1, 0))]);
        view.open = vec![open(1, 1, Some("7"))];
        view.tasks = tasks(&[((1, 0), State::Ended(Ending::TimeLimit))]);
        let over = Over::by(Ending::TimeLimit);
        assert_eq!(decide(&view), [Act::Release(id("a"), 1, over.clone())]);
        view.left[0] = Left { id: id("a"), copy: 1, held: None, past: vec![over] };
        assert_eq!(decide(&view), [Act::Close(1, "all its jobs ended".into())]);
        view.open.clear();
        assert_eq!(decide(&view), pilots(1));
    }

    #[test]
    fn what_jobs_of_other_sweeps_have_is_left_to_them() {
        let mut view = view(vec![left("a", Some(Held::Elsewhere))]);
        assert_eq!(decide(&view), []);
        view.left[0] = left("a", by(9, 0));
        let over = Over::by(Ending::Failed);
        assert_eq!(decide(&view), [Act::Release(id("a"), 1, over)], "a job of ours of long ago");
    }

    #[test]
    fn a_job_that_the_controller_lost_is_over_unless_it_gives_a_sign_of_life() {
        let mut view = view(vec![left("a", by(1, 0))]);
        view.open = vec![open(1, 1, Some("7"))];
        assert_eq!(decide(&view), []);
        view.gone.insert((1, 0));
        assert!(matches!(&decide(&view)[..], [Act::Release(_, 1, over)] if over.ending == Some(Ending::Failed)));
        view.left[0].held = Some(Held::By { submission: 1, task: 0, node: None, gave_sign: true });
        assert_eq!(decide(&view), []);
    }

    #[test]
    fn a_node_that_failed_gets_no_more_and_what_it_had_is_free_though_its_job_is_queued_again() {
        let mut view = view(vec![left("a", None)]);
        view.open = vec![open(1, 2, Some("7"))];
        view.tasks = tasks(&[((1, 0), State::Ended(Ending::NodeFailed)), ((1, 1), State::Running)]);
        assert_eq!(decide(&view), [Act::Exclude("n0".into())]);
        view.excluded.insert("n0".into());
        assert_eq!(decide(&view), []);
        view.left[0] = left("a", by(1, 1));
        view.tasks = tasks(&[((1, 0), State::Running), ((1, 1), State::Waiting)]);
        assert!(matches!(&decide(&view)[..], [Act::Release(_, 1, over)] if over.ending.is_none()));
        view.down.insert("n1".into());
        let acts = decide(&view);
        assert_eq!(acts, [Act::Release(id("a"), 1, Over::by(Ending::NodeFailed)), Act::Exclude("n1".into())]);
    }

    #[test]
    fn each_run_of_an_array_has_a_task_and_chunks_are_no_longer_than_allowed() {
        let mut view = view(["a", "b", "c", "d"].map(|name| left(name, None)).into());
        (view.is_array, view.most_tasks) = (true, 2);
        let submit = |at_once, names: &[&str]| {
            let runs: Vec<RunId> = names.iter().map(|name| id(name)).collect();
            Act::Submit { tasks: runs.len() as u32, at_once, runs: Some(runs) }
        };
        assert_eq!(decide(&view), [submit(2, &["a", "b"])]);
        view.open = vec![Submission { runs: Some(vec![id("a"), id("b")]), ..open(1, 2, Some("7")) }];
        view.tasks = tasks(&[((1, 0), State::Running), ((1, 1), State::Waiting)]);
        assert_eq!(decide(&view), [], "no more at one time than are wanted");
        // What a task left undone does not wait for the others.
        view.tasks = tasks(&[((1, 0), State::Ended(Ending::Preempted)), ((1, 1), State::Running)]);
        assert_eq!(decide(&view), [submit(1, &["a", "c"])]);
    }

    #[test]
    fn a_run_is_failed_by_what_ended_its_jobs_and_not_by_misfortune() {
        let ended = |endings: &[Ending]| {
            fault(&endings.iter().map(|ending| Over::by(*ending)).collect::<Vec<_>>()).map(|(ending, _)| ending)
        };
        assert_eq!(ended(&[Ending::NodeFailed, Ending::Preempted, Ending::TimeLimit]), None);
        assert_eq!(ended(&[Ending::HostMemory]), None);
        assert_eq!(ended(&[Ending::HostMemory, Ending::HostMemory]), Some(Ending::HostMemory));
        assert_eq!(ended(&[Ending::Failed; 3]), None);
        assert_eq!(ended(&[Ending::Failed; 4]), Some(Ending::Failed));
        assert_eq!(ended(&[Ending::Cancelled; MISFORTUNES]), None);
        assert_eq!(ended(&[Ending::Preempted; MISFORTUNES]), Some(Ending::Preempted));
        let no_trainer = Over { blameless: true, ..Over::by(Ending::Failed) };
        assert_eq!(fault(&vec![no_trainer; 30]), None, "the pilot is at fault");
        let given_back = |step| Over::given_back("put aside".into(), Some(step));
        assert_eq!(fault(&(1..50).map(given_back).collect::<Vec<_>>()), None);
        let stuck: Vec<Over> = [1, 2, 7, 7, 7, 7, 7].map(given_back).into();
        assert_eq!(fault(&stuck[..6]), None);
        assert!(fault(&stuck).is_some_and(|(ending, why)| ending == Ending::TimeLimit && why.contains("step 7")));
    }

    #[test]
    fn jobs_that_somebody_cancelled_are_not_made_again() {
        let mut view = view(vec![left("a", None), left("b", None)]);
        view.is_cancelled = true;
        view.open = vec![open(1, 2, Some("7"))];
        view.tasks = tasks(&[((1, 0), State::Ended(Ending::Cancelled)), ((1, 1), State::Running)]);
        assert_eq!(decide(&view), []);
        (view.open, view.tasks) = (Vec::new(), BTreeMap::new());
        assert!(matches!(&decide(&view)[..], [Act::GiveUp(why)] if why.contains("cancelled")));
    }

    #[test]
    fn jobs_that_never_train_anything_are_not_submitted_for_ever() {
        let mut view = view(vec![left("a", None)]);
        view.idle = IDLE;
        assert!(matches!(&decide(&view)[..], [Act::GiveUp(why)] if why.contains("3 submissions in a row")));
    }
}
