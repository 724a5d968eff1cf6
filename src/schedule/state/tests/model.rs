//! Plans, starts, ends, failures, kills, edits of the grid, reruns and cancelling in any order, against a model that
//! knows only which runs wait, which are under way, and what the disk says.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::record::Class;

const RUNS: usize = 6;
const SLOTS: usize = 2;

#[derive(Debug, Clone)]
enum Op {
    /// The user changes the sweep file: these runs are asked for from the next start on.
    Edit(Vec<bool>),
    /// `sweep run`, or `sweep rerun --failed`.
    Start {
        again: bool,
    },
    Ready(usize),
    Finish(usize),
    Fail(usize, Class),
    /// The worker of a slot dies.
    Die(usize),
    /// The coordinator is killed, and its workers with it.
    Kill,
    Cancel(usize),
    Interrupt,
}

fn op() -> impl Strategy<Value = Op> {
    let slot = 0..SLOTS;
    let class = prop::sample::select(vec![Class::Diverged, Class::BadData, Class::Crashed, Class::Killed]);
    prop_oneof![
        1 => prop::collection::vec(any::<bool>(), RUNS).prop_map(Op::Edit),
        3 => any::<bool>().prop_map(|again| Op::Start { again }),
        8 => slot.clone().prop_map(Op::Ready),
        8 => slot.clone().prop_map(Op::Finish),
        4 => (slot.clone(), class).prop_map(|(slot, class)| Op::Fail(slot, class)),
        3 => slot.prop_map(Op::Die),
        1 => Just(Op::Kill),
        2 => (0..RUNS).prop_map(Op::Cancel),
        1 => Just(Op::Interrupt),
    ]
}

/// What each slot is at, and how many began there side by side.
type Running = BTreeMap<usize, (Vec<usize>, usize)>;

/// Takes the first run off a slot; tells how many began with it.
fn take(running: &mut Running, slot: usize) -> Option<(usize, usize)> {
    let (runs, of) = running.get_mut(&slot)?;
    let taken = (runs.remove(0), *of);
    if runs.is_empty() {
        running.remove(&slot);
    }
    Some(taken)
}

/// What can be known without a scheduler.
#[derive(Debug, Default)]
struct Model {
    asked: BTreeSet<usize>,
    /// `None` is done.
    disk: BTreeMap<usize, Option<Class>>,
    waiting: BTreeSet<usize>,
    running: Running,
    /// Runs that had their second chance in this call.
    tried: BTreeSet<usize>,
    /// Runs that failed beside others, and are tried alone.
    alone: BTreeSet<usize>,
    doomed: BTreeSet<usize>,
    /// Runs whose worker is being killed for another's sake.
    bystanders: BTreeSet<usize>,
    is_stopping: bool,
}

impl Model {
    fn start(&mut self, again: bool) -> Vec<usize> {
        let wanted = |n: &&usize| match (self.disk.get(n), again) {
            (None, again) => !again,
            (Some(None), _) => false,
            (Some(Some(_)), true) => true,
            (Some(Some(class)), false) => !class.is_of_the_run(),
        };
        let wanted: Vec<usize> = self.asked.iter().filter(wanted).copied().collect();
        self.stop();
        self.waiting = wanted.iter().copied().collect();
        wanted
    }

    /// Nothing of a call is left but the disk.
    fn stop(&mut self) {
        self.waiting.clear();
        self.running.clear();
        self.tried.clear();
        self.alone.clear();
        self.doomed.clear();
        self.bystanders.clear();
        self.is_stopping = false;
    }

    fn fail(&mut self, n: usize, of: usize, class: Class) {
        let class = if self.doomed.remove(&n) { Class::Cancelled } else { class };
        let may_pass = matches!(class, Class::Crashed | Class::Killed);
        let has_chance = may_pass && (of > 1 || self.tried.insert(n));
        if may_pass && of > 1 {
            self.alone.insert(n);
        }
        if !has_chance {
            self.disk.insert(n, Some(class));
        } else if !self.is_stopping {
            self.waiting.insert(n);
        }
    }
}

fn number(id: &RunId) -> usize {
    id.0.parse().expect("a number")
}

fn of_class(class: Class) -> Failure {
    match class {
        Class::Diverged => Failure::Diverged { step: 1 },
        // Each of its own, so that three first ones are not alike.
        Class::BadData => Failure::Refused { message: "no data".into() },
        Class::Killed => Failure::Killed { tail: String::new() },
        _ => Failure::Crashed { tail: String::new() },
    }
}

/// The scheduler and the disk that its commands write.
struct Real {
    state: Option<State>,
    disk: BTreeMap<usize, Option<Class>>,
    lives: [u32; SLOTS],
    running: Running,
    /// Most runs in one program.
    fuse: usize,
}

impl Real {
    fn carry_out(&mut self, commands: Vec<Command>, model: &mut Model) {
        for command in commands {
            match command {
                Command::Spawn(worker) => self.lives[worker.slot] = worker.life,
                Command::Train(worker, errands) => {
                    let runs: Vec<usize> = errands.iter().map(|errand| number(&errand.id)).collect();
                    assert!((1..=self.fuse).contains(&runs.len()));
                    for n in &runs {
                        assert!(model.waiting.remove(n), "run {n} does not wait");
                        assert!(model.disk.get(n) != Some(&None), "run {n} is done");
                        assert!(runs.len() == 1 || !model.alone.contains(n), "run {n} is to be tried alone");
                    }
                    let of = runs.len();
                    model.running.insert(worker.slot, (runs.clone(), of));
                    assert_eq!(self.running.insert(worker.slot, (runs, of)), None, "one program a slot");
                }
                Command::Write(id, end, _) => {
                    let class = match &*end {
                        End::Failed(failure) => Some(failure.class()),
                        End::Done(_) | End::Stopped(_) => None,
                    };
                    self.disk.insert(number(&id), class);
                }
                Command::Finish(_) => {
                    self.state = None;
                    self.running.clear();
                    model.stop();
                }
                _ => {}
            }
        }
    }

    fn tell(&mut self, event: Event, model: &mut Model) {
        let Some(state) = &mut self.state else { return };
        let commands = state.on(event, at(1));
        self.carry_out(commands, model);
    }
}

proptest! {
    #[test]
    fn the_scheduler_is_its_model(ops in prop::collection::vec(op(), 1..150), fuse in 1usize..4) {
        let mut model = Model { asked: (0..RUNS).collect(), ..Model::default() };
        let mut real = Real { state: None, disk: BTreeMap::new(), lives: [0; SLOTS], running: BTreeMap::new(), fuse };
        for op in ops {
            match op.clone() {
                Op::Edit(asked) => model.asked = (0..RUNS).filter(|&n| asked[n]).collect(),
                Op::Start { .. } if real.state.is_some() => {} // the lock refuses a second one
                Op::Start { again } => {
                    let wanted = model.start(again);
                    // Runs of two kinds.
                    let ticket = |n: usize| Ticket { fuse: Some(n as u32 % 2), ..Ticket::new(id(n)) };
                    let limits = Limits { fuse, ..Limits::default() };
                    let mut state = State::new(wanted.into_iter().map(ticket), slots(SLOTS), limits);
                    let commands = state.start();
                    real.state = Some(state);
                    real.carry_out(commands, &mut model);
                }
                Op::Ready(slot) => real.tell(Event::From(worker(slot, real.lives[slot]), ready()), &mut model),
                Op::Finish(slot) => {
                    let Some((n, _)) = take(&mut real.running, slot) else { continue };
                    take(&mut model.running, slot);
                    model.doomed.remove(&n);
                    model.bystanders.remove(&n);
                    model.disk.insert(n, None);
                    real.tell(Event::From(worker(slot, real.lives[slot]), done(n)), &mut model);
                }
                Op::Fail(slot, class) => {
                    let Some((n, of)) = take(&mut real.running, slot) else { continue };
                    take(&mut model.running, slot);
                    // A worker that says why is believed, even if it is being killed.
                    model.doomed.remove(&n);
                    model.bystanders.remove(&n);
                    model.fail(n, of, class);
                    let message = Message::Failed { id: id(n), failure: of_class(class), made: Box::new(own()) };
                    real.tell(Event::From(worker(slot, real.lives[slot]), message), &mut model);
                }
                Op::Die(slot) => {
                    model.running.remove(&slot);
                    let (runs, of) = real.running.remove(&slot).unwrap_or_default();
                    for n in runs {
                        if !model.bystanders.remove(&n) {
                            model.fail(n, of, Class::Crashed);
                        } else if !model.is_stopping {
                            model.waiting.insert(n);
                        }
                    }
                    real.tell(Event::Exited(worker(slot, real.lives[slot]), killed()), &mut model);
                }
                Op::Kill => {
                    real.state = None;
                    real.running.clear();
                    model.stop();
                }
                Op::Cancel(n) if real.state.is_some() => {
                    if model.waiting.remove(&n) {
                        model.disk.insert(n, Some(Class::Cancelled));
                    } else if let Some((runs, _)) = model.running.values().find(|(runs, _)| runs.contains(&n)) {
                        model.doomed.insert(n);
                        model.bystanders.extend(runs);
                        // Whose end was decided before ends so.
                        model.bystanders.retain(|run| !model.doomed.contains(run));
                    }
                    real.tell(Event::Cancel(id(n)), &mut model);
                }
                Op::Cancel(_) => {}
                Op::Interrupt => {
                    model.is_stopping = true;
                    real.tell(Event::Interrupt, &mut model);
                    if real.state.is_none() {
                        model.is_stopping = false;
                    }
                }
            }
            prop_assert_eq!(&real.disk, &model.disk, "after {:?}", op);
            prop_assert_eq!(&real.running, &model.running, "after {:?}", op);
        }
    }
}
