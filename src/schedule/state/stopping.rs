//! How a sweep comes to rest: for a while, or for good.

use std::time::Duration;

use super::slot::{Seat, Slot};
use super::{Command, Counts, Exit, Finish, Limits, Note, State, Worker};
use crate::record::Failure;
use crate::record::log::What;

impl State {
    /// Starts nothing more, and asks what runs to come to a checkpoint.
    pub(super) fn drain(&mut self, finish: Finish, out: &mut Vec<Command>) {
        let running = self.pause_all(out);
        out.push(Command::Show(Note::Stopping { why: finish.clone(), running }));
        self.draining = Some(finish);
    }

    /// How many run and were asked.
    pub(super) fn pause_all(&mut self, out: &mut Vec<Command>) -> usize {
        let mut running = 0;
        for (index, slot) in self.slots.iter_mut().enumerate().filter(|(_, slot)| !slot.runs().is_empty()) {
            running += slot.runs().len();
            if !std::mem::replace(&mut slot.pausing, true) {
                out.push(Command::Pause(Worker { slot: index, life: slot.life }));
            }
        }
        running
    }

    pub(super) fn interrupt(&mut self, out: &mut Vec<Command>) {
        if self.draining.is_none() {
            return self.drain(Finish::Interrupted, out);
        }
        let workers = self.slots.iter().enumerate().filter(|(_, slot)| !matches!(slot.seat, Seat::Empty));
        out.extend(workers.map(|(slot, found)| Command::Kill(Worker { slot, life: found.life })));
        self.finish(Finish::Interrupted, out);
    }

    /// Looks for runs that take too long, and whether time is up.
    pub(super) fn watch(&mut self, now: Duration, out: &mut Vec<Command>) {
        let Limits { timeout, stall, budget, .. } = self.limits;
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let worker = Worker { slot: index, life: slot.life };
            let Some(running) = slot.runs().first().filter(|running| running.doom.is_none()) else { continue };
            let over =
                |limit: Option<Duration>, since: Duration| limit.filter(|&limit| now.saturating_sub(since) > limit);
            let why = if over(timeout.map(|timeout| timeout * running.of as u32), running.since).is_some() {
                format!("it took longer than timeout = {} allows", in_words(timeout.unwrap_or_default()))
            } else if let Some(limit) = over(stall, running.heard) {
                format!("its worker said nothing for {} (stall)", in_words(limit))
            } else {
                continue;
            };
            for running in slot.runs_mut() {
                running.doom = Some(Failure::TimedOut { message: why.clone() });
            }
            out.push(Command::Kill(worker));
        }
        if self.draining.is_none() && budget.is_some_and(|budget| now >= budget) {
            self.drain(Finish::OutOfTime, out);
        }
    }

    pub(super) fn hold(&mut self, why: String, out: &mut Vec<Command>) {
        if self.held.is_some() || self.draining.is_some() {
            return;
        }
        let running = self.pause_all(out);
        out.push(Command::Append(What::Held { why: why.clone() }));
        out.push(Command::Show(Note::Held { why: why.clone(), running }));
        self.held = Some(why);
    }

    pub(super) fn release(&mut self, out: &mut Vec<Command>) {
        if self.held.take().is_some() {
            out.push(Command::Append(What::Released));
            out.push(Command::Show(Note::Released));
        }
    }

    /// Ends the sweep if nothing runs and nothing will; `exit` is how the last worker died, if one just did.
    pub(super) fn finish_if_over(&mut self, exit: &Exit, out: &mut Vec<Command>) {
        if self.finished || self.slots.iter().any(|slot| !slot.runs().is_empty()) {
            return;
        }
        let finish = if let Some(finish) = self.draining.clone() {
            finish
        } else if self.held.is_some() {
            return;
        } else if self.queue.is_empty() && self.slots.iter().all(|slot| slot.waiting.is_none()) {
            if self.open {
                return; // the rule is about to say
            }
            if self.parked.is_empty() { Finish::Complete } else { Finish::Interrupted }
        } else if self.slots.iter().all(Slot::is_given_up) {
            Finish::NoWorkers(exit.clone())
        } else if self.is_out_of_time() {
            Finish::OutOfTime
        } else {
            return; // somebody is starting
        };
        self.finish(finish, out);
    }

    /// Whether workers wait, and nothing that is left fits into the time that is left.
    pub(super) fn is_out_of_time(&self) -> bool {
        let coming = |slot: &Slot| matches!(slot.seat, Seat::Starting | Seat::Leaving) || slot.waiting.is_some();
        let has_idle = self.slots.iter().any(|slot| matches!(slot.seat, Seat::Idle));
        self.limits.budget.is_some() && has_idle && !self.slots.iter().any(coming)
    }

    pub(super) fn finish(&mut self, finish: Finish, out: &mut Vec<Command>) {
        let Counts { done, failed, stopped, total, .. } = self.counts;
        let left = total - done - failed - stopped;
        out.push(Command::Append(What::Finished { done, failed, left }));
        out.push(Command::Finish(finish));
        self.finished = true;
    }
}

/// `90 s`, `15 min`, `2 h`.
fn in_words(limit: Duration) -> String {
    match limit.as_secs() {
        s if s >= 7200 && s % 3600 == 0 => format!("{} h", s / 3600),
        s if s >= 120 && s % 60 == 0 => format!("{} min", s / 60),
        _ => format!("{} s", limit.as_secs_f64()),
    }
}
