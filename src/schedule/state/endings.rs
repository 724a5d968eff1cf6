//! How runs end: by an attempt that failed, by a worker that died, by a rule, by hand; and when failures end the sweep.

use std::time::Duration;

use super::running::Running;
use super::slot::{Seat, Slot};
use super::{Command, Exit, FIRST, Finish, Note, STRIKES, State, Worker};
use crate::plan::RunId;
use crate::record::log::What;
use crate::record::{Class, End, Failure, Provenance};
use crate::schedule::policy::{self, Next};
use crate::schedule::queue::{Ease, Ticket};

impl State {
    /// A failed attempt: the end of its run, or another follows.
    pub(super) fn fail(
        &mut self,
        slot: usize,
        running: Running,
        failure: Failure,
        made: Provenance,
        now: Duration,
        out: &mut Vec<Command>,
    ) {
        let class = failure.class();
        if class == Class::Oom && running.of > 1 {
            // The next groups are smaller.
            self.limits.fuse = self.limits.fuse.min(running.of / 2).max(1);
        }
        let shared = self.others_on(slot) > 0;
        let history = self.histories.entry(running.ticket.id.clone()).or_default();
        let is_shared = shared || running.was_shared;
        let next = match running.of {
            1 => policy::next(class, &running.ticket, history, is_shared, !self.limits.oom_fails),
            _ => policy::next_of_group(class),
        };
        if next == Next::Fail {
            return self.end(slot, running, End::Failed(failure), made, now, out);
        }
        let Ticket { id, attempt, .. } = &running.ticket;
        let next_in_words = policy::in_words(&next);
        out.push(Command::Append(What::PutBack {
            id: id.clone(),
            attempt: *attempt,
            how: class.name().to_owned(),
            next: next_in_words.clone(),
        }));
        out.push(Command::Show(Note::PutBack {
            slot,
            id: id.clone(),
            failure: Box::new(failure),
            next: next_in_words,
        }));
        // What failed beside others is tried alone.
        let again = Ticket { attempt: attempt + 1, fuse: None, ..running.ticket.clone() };
        match next {
            // A sweep that is stopping leaves it for the next call.
            _ if self.draining.is_some() => self.counts.paused += 1,
            Next::Ease(ease @ Ease::Again) => self.queue.push(Ticket { ease, ..again }),
            Next::Ease(ease) => self.queue.push_front(Ticket { ease, ..again }),
            _ => self.queue.push_front(again),
        }
    }

    pub(super) fn end(
        &mut self,
        slot: usize,
        running: Running,
        end: End,
        made: Provenance,
        now: Duration,
        out: &mut Vec<Command>,
    ) {
        let id = running.ticket.id.clone();
        self.histories.remove(&id);
        let seconds = running.share_so_far(now);
        let how = match &end {
            End::Done(_) => "done",
            End::Failed(failure) => failure.cause(),
            End::Stopped(_) => "stopped",
        };
        match &end {
            End::Done(_) => self.counts.done += 1,
            End::Failed(_) => self.counts.failed += 1,
            End::Stopped(_) => self.counts.stopped += 1,
        }
        self.judge_first(&end);
        let end = Box::new(end);
        // The record first: a log that tells of an end without a record would lie.
        out.push(Command::Write(id.clone(), end.clone(), Box::new(made)));
        out.push(Command::Append(What::Ended { id: id.clone(), how: how.to_owned(), seconds }));
        let left = self.eta(now);
        out.push(Command::Show(Note::Ended { slot, id, end, seconds, left }));
        self.give_up_if_hopeless(out);
    }

    /// Keeps what the first runs died of, as long as all of them did. Divergence is a result, and cancelling no error.
    pub(super) fn judge_first(&mut self, end: &End) {
        let Some(errors) = &mut self.first_errors else { return };
        match end {
            End::Failed(failure) if !matches!(failure.class(), Class::Diverged | Class::Cancelled) => {
                // Numbers, such as addresses and sizes, differ between deaths of one cause.
                let text = failure.sentence();
                let same = text.lines().next().unwrap_or_default().replace(|c: char| c.is_ascii_digit(), "");
                errors.push(format!("{}: {same}", failure.cause()));
            }
            _ => self.first_errors = None,
        }
        if self.first_errors.as_ref().is_some_and(|errors| errors.len() > FIRST) {
            self.first_errors = None;
        }
    }

    pub(super) fn give_up_if_hopeless(&mut self, out: &mut Vec<Command>) {
        if self.draining.is_some() {
            return;
        }
        let failed = self.counts.failed;
        let why = match (&self.first_errors, self.limits.max_fail) {
            (_, Some(most)) if failed >= most.max(1) => format!("{failed} runs failed, and max_fail is {most}"),
            (Some(errors), _) if errors.len() == FIRST && errors.iter().all(|error| *error == errors[0]) => {
                format!("the first {FIRST} runs all failed alike")
            }
            _ => return,
        };
        // With nothing left there is nothing to give up.
        if !self.queue.is_empty() || self.is_anything_running() {
            self.drain(Finish::TooManyFailed(why), out);
        }
    }

    pub(super) fn cancel(&mut self, id: &RunId, out: &mut Vec<Command>) {
        let is_it = |slot: &&mut Slot| slot.waiting.as_ref().is_some_and(|ticket| ticket.id == *id);
        let reserved = self.slots.iter_mut().find(is_it).and_then(|slot| slot.waiting.take()).map(|ticket| *ticket);
        let parked = |state: &mut State| state.parked.remove(id).map(|(ticket, _)| ticket);
        let waiting = reserved.or_else(|| self.queue.take(id)).or_else(|| parked(self));
        if let Some(ticket) = waiting {
            self.counts.failed += 1;
            let made = Provenance { attempt: ticket.attempt, ..Provenance::default() };
            out.push(Command::Write(id.clone(), Box::new(End::Failed(Failure::Cancelled)), Box::new(made)));
            let how = Failure::Cancelled.cause().to_owned();
            out.push(Command::Append(What::Ended { id: id.clone(), how, seconds: 0.0 }));
            out.push(Command::Show(Note::Cancelled { id: id.clone() }));
            return;
        }
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let worker = Worker { slot: index, life: slot.life };
            let runs = slot.runs_mut();
            let Some(place) = runs.iter().position(|running| running.ticket.id == *id) else { continue };
            // What was to end before ends as it was to.
            runs.iter_mut().filter(|other| other.doom.is_none()).for_each(|other| other.is_bystander = true);
            (runs[place].is_bystander, runs[place].doom) = (false, Some(Failure::Cancelled));
            out.push(Command::Kill(worker));
        }
    }

    /// Ends a run that a rule wants no more of; it waits for its decision, or for its turn.
    pub(super) fn retire(&mut self, id: &RunId, end: End, out: &mut Vec<Command>) {
        let of_queue = |ticket: Ticket| {
            let made = Provenance { attempt: ticket.attempt, ..Provenance::default() };
            (ticket, made)
        };
        let waits = self.parked.remove(id).or_else(|| self.queue.take(id).map(of_queue));
        let is_running = self.is_running(id);
        let made = match waits {
            Some((_, made)) => made,
            None if is_running => return,
            // It was parked when an earlier coordinator went.
            None => {
                self.counts.total += 1;
                Provenance { attempt: 1, ..Provenance::default() }
            }
        };
        let how = match &end {
            End::Stopped(stopped) => stopped.rule.clone(),
            End::Done(_) => "done".to_owned(),
            End::Failed(failure) => failure.cause().to_owned(),
        };
        self.counts.stopped += 1;
        out.push(Command::Write(id.clone(), Box::new(end), Box::new(made)));
        out.push(Command::Append(What::Ended { id: id.clone(), how: "stopped".to_owned(), seconds: 0.0 }));
        out.push(Command::Show(Note::Retired { id: id.clone(), rule: how }));
    }

    pub(super) fn bury(&mut self, worker: Worker, exit: &Exit, now: Duration, out: &mut Vec<Command>) {
        let slot = worker.slot;
        self.slots[slot].pausing = false;
        match std::mem::take(&mut self.slots[slot].seat) {
            Seat::Running(runs) => runs.into_iter().for_each(|running| self.bury_run(slot, running, exit, now, out)),
            Seat::Starting => self.slots[slot].strikes += 1,
            Seat::Idle | Seat::Leaving | Seat::Empty => {}
        }
        if self.slots[slot].is_given_up()
            && let Some(ticket) = self.slots[slot].waiting.take()
        {
            self.queue.push_front(*ticket);
        }
        if self.slots[slot].is_given_up() && self.slots.iter().any(|slot| !slot.is_given_up()) {
            let said = if exit.tail.is_empty() { String::new() } else { format!(": {}", exit.tail) };
            out.push(Command::Show(Note::Warning(format!(
                "slot {slot} is given up: {STRIKES} workers in a row ended before they were ready, the last one {}{said}",
                exit.how
            ))));
        }
    }

    /// What becomes of a run whose worker is gone.
    fn bury_run(&mut self, slot: usize, mut running: Running, exit: &Exit, now: Duration, out: &mut Vec<Command>) {
        if running.is_bystander {
            let (id, attempt) = (running.ticket.id.clone(), running.ticket.attempt);
            let how = "regrouped".to_owned();
            out.push(Command::Append(What::PutBack { id: id.clone(), attempt, how, next: "again".to_owned() }));
            out.push(Command::Show(Note::Regrouped { slot, id }));
            match self.draining {
                Some(_) => self.counts.paused += 1,
                None => self.queue.push_front(Ticket { attempt: attempt + 1, ..running.ticket }),
            }
            return;
        }
        let failure = running.doom.take().unwrap_or_else(|| exit.cause());
        let made = Provenance {
            seconds: running.share_of_seconds(now),
            attempt: running.ticket.attempt,
            micro_batch: running.ticket.micro_batch(),
            ..self.slots[slot].made.clone()
        };
        self.fail(slot, running, failure, made, now, out);
    }
}
