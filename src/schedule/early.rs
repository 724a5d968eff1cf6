//! Plays a rule of `[stop]` over a sweep under way: runs that it wants are admitted, those that it is done with retired.
//!
//! All decisions are `stop`'s, a pure function of what is known. Here is only what was told of them already.

use std::collections::HashMap;
use std::time::Duration;

use super::local::Director;
use super::queue::Ticket;
use super::state::{Event, Note, State};
use crate::plan::RunId;
use crate::record::log::{self, What};
use crate::record::{End, Rung, Stopped};
use crate::stop::{Fate, Known, Rule, Sweep, steps};

/// Levels of priority that lie between two of the user's: what is nearer to its end goes first.
const RUNGS: i32 = 32;

pub struct Early<'a> {
    sweep: Sweep<'a>,
    rule: Rule,
    known: HashMap<RunId, Known>,
    /// The runs that this call may train, as they are to be admitted.
    tickets: HashMap<RunId, Ticket>,
    /// Steps of a whole run, of those that are known.
    steps: HashMap<RunId, u32>,
    /// How far each run was admitted.
    admitted: HashMap<RunId, Option<u32>>,
    /// How far runs without a record have come.
    reached: HashMap<RunId, Rung>,
    /// What changed since the scheduler last asked, and what was decided before it first did.
    news: Vec<RunId>,
    decided: Vec<Event>,
}

impl<'a> Early<'a> {
    /// `tickets` are the runs to do in the order of work, `known` and `events` what happened before. Gives also the
    /// tickets to begin with.
    pub fn new(
        sweep: Sweep<'a>,
        known: HashMap<RunId, Known>,
        events: &[log::Event],
        tickets: Vec<Ticket>,
    ) -> (Early<'a>, Vec<Ticket>) {
        let mut early = Early {
            rule: Rule::new(&sweep),
            sweep,
            known,
            tickets: tickets.iter().map(|ticket| (ticket.id.clone(), ticket.clone())).collect(),
            steps: sweep.runs.iter().filter_map(|(id, run)| Some((id.clone(), steps(run, sweep.examples)?))).collect(),
            admitted: HashMap::new(),
            reached: HashMap::new(),
            news: Vec::new(),
            decided: Vec::new(),
        };
        for event in events {
            if let What::Reached { id, rung } = &event.what {
                early.reached.insert(id.clone(), Rung::clone(rung));
            }
        }
        let fates = early.rule.fates(&early.known);
        let fates = tickets.iter().filter_map(|ticket| Some((ticket.id.clone(), *fates.get(&ticket.id)?)));
        let mut first = Vec::new();
        for event in early.decide(fates.collect()) {
            match event {
                Event::Admit(tickets) => first.extend(tickets),
                other => early.decided.push(other),
            }
        }
        (early, first)
    }

    /// How many of these runs are not needed, as far as is known.
    pub fn spared<'i>(&self, ids: impl Iterator<Item = &'i RunId>) -> usize {
        let fates = self.rule.fates(&self.known);
        ids.filter(|id| fates.get(*id) == Some(&Fate::Spared)).count()
    }

    /// How much of the whole run lies between where a run stands and where it is to go.
    fn share(&self, id: &RunId, until: Option<u32>) -> f64 {
        let Some(&total) = self.steps.get(id) else { return 1.0 };
        let last = self.known.get(id).and_then(|known| known.rungs.last_key_value());
        let (from, to) = (last.map_or(0, |(step, _)| *step), until.unwrap_or(total));
        f64::from(to.saturating_sub(from).max(1)) / f64::from(total.max(1))
    }

    fn decide(&mut self, fates: Vec<(RunId, Fate)>) -> Vec<Event> {
        let mut events = Vec::new();
        let mut admitted = Vec::new();
        for (id, fate) in fates {
            let Some(ticket) = self.tickets.get(&id) else { continue };
            match fate {
                Fate::Train { until, rung } if self.admitted.get(&id) != Some(&until) => {
                    let priority = ticket.priority.saturating_mul(RUNGS).saturating_add(rung as i32);
                    let share = self.share(&id, until);
                    admitted.push(Ticket { until, share, priority, ..ticket.clone() });
                    self.admitted.insert(id, until);
                }
                Fate::Stopped { .. } => {
                    if let Some(at) = self.reached.remove(&id) {
                        self.tickets.remove(&id);
                        let rule = self.sweep.stop.name().to_owned();
                        events.push(Event::Retire(id, Box::new(End::Stopped(Stopped { rule, at }))));
                    }
                }
                Fate::Train { .. } | Fate::Ended | Fate::Waits | Fate::Spared => {}
            }
        }
        if !admitted.is_empty() {
            events.push(Event::Admit(admitted));
        }
        events
    }
}

impl Director for Early<'_> {
    fn say(&mut self, _: &State, _: Duration) -> Vec<Event> {
        let mut events = std::mem::take(&mut self.decided);
        for id in std::mem::take(&mut self.news) {
            let fates = self.rule.fates_beside(&id, &self.known);
            events.extend(self.decide(fates));
        }
        events
    }

    fn note(&mut self, note: &Note) {
        match note {
            Note::Reached { id, rung, .. } => {
                self.known.entry(id.clone()).or_default().reach(&self.sweep, rung);
                self.reached.insert(id.clone(), Rung::clone(rung));
                self.news.push(id.clone());
            }
            Note::Ended { id, end, .. } => {
                self.known.entry(id.clone()).or_default().end_as(&self.sweep, end);
                self.news.push(id.clone());
            }
            Note::Cancelled { id } => {
                self.known.entry(id.clone()).or_default().fail();
                self.news.push(id.clone());
            }
            _ => {}
        }
    }
}
