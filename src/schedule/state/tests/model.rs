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

/// What can be known without a scheduler.
#[derive(Debug, Default)]
struct Model {
    asked: BTreeSet<usize>,
    /// `None` is done.
    disk: BTreeMap<usize, Option<Class>>,
    waiting: BTreeSet<usize>,
    running: BTreeMap<usize, usize>,
    /// Runs that had their second chance in this call.
    tried: BTreeSet<usize>,
    doomed: BTreeSet<usize>,
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
        self.doomed.clear();
        self.is_stopping = false;
    }

    fn fail(&mut self, n: usize, class: Class) {
        let class = if self.doomed.remove(&n) { Class::Cancelled } else { class };
        let has_chance = matches!(class, Class::Crashed | Class::Killed) && self.tried.insert(n);
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
    running: BTreeMap<usize, usize>,
}

impl Real {
    fn carry_out(&mut self, commands: Vec<Command>, model: &mut Model) {
        for command in commands {
            match command {
                Command::Spawn(worker) => self.lives[worker.slot] = worker.life,
                Command::Train(worker, errand) => {
                    let n = number(&errand.id);
                    assert!(model.waiting.remove(&n), "run {n} does not wait");
                    assert!(model.disk.get(&n) != Some(&None), "run {n} is done");
                    model.running.insert(worker.slot, n);
                    assert_eq!(self.running.insert(worker.slot, n), None, "one run a slot");
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
    fn the_scheduler_is_its_model(ops in prop::collection::vec(op(), 1..150)) {
        let mut model = Model { asked: (0..RUNS).collect(), ..Model::default() };
        let mut real = Real { state: None, disk: BTreeMap::new(), lives: [0; SLOTS], running: BTreeMap::new() };
        for op in ops {
            match op.clone() {
                Op::Edit(asked) => model.asked = (0..RUNS).filter(|&n| asked[n]).collect(),
                Op::Start { .. } if real.state.is_some() => {} // the lock refuses a second one
                Op::Start { again } => {
                    let wanted = model.start(again);
                    let mut state = State::new(wanted.into_iter().map(|n| Ticket::new(id(n))), slots(SLOTS), Limits::default());
                    let commands = state.start();
                    real.state = Some(state);
                    real.carry_out(commands, &mut model);
                }
                Op::Ready(slot) => real.tell(Event::From(worker(slot, real.lives[slot]), ready()), &mut model),
                Op::Finish(slot) => {
                    let Some(n) = real.running.remove(&slot) else { continue };
                    model.running.remove(&slot);
                    model.doomed.remove(&n);
                    model.disk.insert(n, None);
                    real.tell(Event::From(worker(slot, real.lives[slot]), done(n)), &mut model);
                }
                Op::Fail(slot, class) => {
                    let Some(n) = real.running.remove(&slot) else { continue };
                    model.running.remove(&slot);
                    // A worker that says why is believed, even if it is being killed.
                    model.doomed.remove(&n);
                    model.fail(n, class);
                    let message = Message::Failed { id: id(n), failure: of_class(class), made: Box::new(own()) };
                    real.tell(Event::From(worker(slot, real.lives[slot]), message), &mut model);
                }
                Op::Die(slot) => {
                    if let Some(n) = real.running.remove(&slot) {
                        model.running.remove(&slot);
                        model.fail(n, Class::Crashed);
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
                    } else if model.running.values().any(|&running| running == n) {
                        model.doomed.insert(n);
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
