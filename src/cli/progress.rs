//! The display of a running sweep, on stderr: bars on a terminal, plain lines elsewhere.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::plan::{Run, RunId, labels};
use crate::record::{End, Failure, Scores};
use crate::schedule::state::State;
use crate::schedule::{Finish, Note, Observer};

/// A label is not padded beyond this many columns.
const WIDEST_LABEL: usize = 44;

/// Shows a sweep: a line at each end of a run, and on a terminal a line for each running run and a bar over all.
pub struct Progress {
    out: Out,
    /// What each run is called; without the model's name where there is but one.
    labels: HashMap<RunId, String>,
    /// Columns of the longest label.
    widest: usize,
    devices: BTreeMap<usize, String>,
    running: BTreeMap<usize, Running>,
    started: Instant,
    done: usize,
    failed: usize,
    paused: usize,
    /// Ended by a rule.
    stopped: usize,
    /// Seconds until the end, where there is something to go by.
    left: Option<f64>,
    /// Why nothing starts.
    held: Option<String>,
}

enum Out {
    Bars { all: MultiProgress, sweep: ProgressBar },
    Lines(Box<dyn Write>),
}

struct Running {
    /// One, or several side by side.
    ids: Vec<RunId>,
    phase: String,
    /// Step and number of steps, loss, examples per second.
    at: Option<(u32, u32, f64, f64)>,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// A display of these runs.
    pub fn new(runs: &[(&RunId, &Run)]) -> Progress {
        Progress::on(ProgressDrawTarget::stderr_with_hz(10), runs)
    }

    fn on(target: ProgressDrawTarget, runs: &[(&RunId, &Run)]) -> Progress {
        // Hidden: no terminal, or one that cannot move its cursor.
        if target.is_hidden() {
            return Progress::to(Out::Lines(Box::new(std::io::stderr())), runs);
        }
        let all = MultiProgress::with_draw_target(target);
        let style = ProgressStyle::with_template("{bar:12} {wide_msg}").expect("a fixed template");
        let sweep = all.add(ProgressBar::new(runs.len() as u64).with_style(style.progress_chars("━╸─")));
        Progress::to(Out::Bars { all, sweep }, runs)
    }

    fn to(out: Out, runs: &[(&RunId, &Run)]) -> Progress {
        let labels = labels(runs.iter().copied());
        let widest = labels.values().map(|label| label.chars().count()).max().unwrap_or(0).min(WIDEST_LABEL);
        Progress {
            out,
            labels,
            widest,
            devices: BTreeMap::new(),
            running: BTreeMap::new(),
            started: Instant::now(),
            done: 0,
            failed: 0,
            paused: 0,
            stopped: 0,
            left: None,
            held: None,
        }
    }

    fn label(&self, id: &RunId) -> String {
        self.labels.get(id).cloned().unwrap_or_else(|| id.to_string())
    }

    /// A line that stays: above the bars, or the next one of the plain lines.
    fn say(&mut self, line: &str) {
        // Who closed stderr wants no display; the sweep goes on.
        let _ = match &mut self.out {
            Out::Bars { all, .. } => all.println(line),
            Out::Lines(out) => writeln!(out, "{line}"),
        };
    }

    fn say_of_run(&mut self, verb: &str, id: &RunId, rest: &str) {
        let ended = self.done + self.failed + self.stopped;
        let total = self.labels.len();
        let digits = total.to_string().len();
        let (label, widest) = (self.label(id), self.widest);
        self.say(format!("[{ended:digits$}/{total}] {verb:7} {label:widest$}  {rest}").trim_end());
    }

    fn start(&mut self, slot: usize, id: &RunId) {
        if let (Out::Bars { .. }, Some(run)) = (&self.out, self.running.get_mut(&slot)) {
            run.ids.push(id.clone());
            return;
        }
        let bar = match &self.out {
            Out::Bars { all, .. } => {
                let style = ProgressStyle::with_template("{wide_msg}").expect("a fixed template");
                let above = self.running.range(..slot).count();
                Some(all.insert(above, ProgressBar::new_spinner().with_style(style)))
            }
            Out::Lines(_) => {
                let device = self.devices.get(&slot).cloned().unwrap_or_default();
                self.say_of_run("start", id, &device);
                None
            }
        };
        let phase = "load".to_owned();
        self.running.insert(slot, Running { ids: vec![id.clone()], phase, at: None, bar });
    }

    /// After the last of its runs a slot has no line.
    fn leave(&mut self, slot: usize, id: &RunId) {
        let Some(run) = self.running.get_mut(&slot) else { return };
        run.ids.retain(|own| own != id);
        if !run.ids.is_empty() {
            return;
        }
        if let (Out::Bars { all, .. }, Some(Running { bar: Some(bar), .. })) = (&self.out, self.running.remove(&slot)) {
            bar.finish_and_clear();
            all.remove(&bar);
        }
    }

    fn end(&mut self, slot: usize, id: &RunId, end: &End, seconds: f64, left: Option<f64>) {
        self.leave(slot, id);
        let (verb, mut rest) = match end {
            End::Done(outcome) => {
                self.done += 1;
                ("done", format!("{}  {seconds:.1} s", score(&outcome.metric, &outcome.dev)))
            }
            End::Failed(failure) => {
                self.failed += 1;
                ("FAILED", why(failure))
            }
            End::Stopped(stopped) => {
                self.stopped += 1;
                ("stopped", format!("{} by {}", score(&stopped.at.metric, &stopped.at.dev), stopped.rule))
            }
        };
        if let (Out::Lines(_), Some(left @ 1.0..)) = (&self.out, left) {
            rest += &format!("  about {} left", clock(left));
        }
        self.say_of_run(verb, id, &rest);
    }

    fn draw(&self) {
        let Out::Bars { sweep, .. } = &self.out else { return };
        for (slot, run) in &self.running {
            if let Some(bar) = &run.bar {
                bar.set_message(self.line(*slot, run));
            }
        }
        let ended = self.done + self.failed + self.stopped;
        let mut text = format!("{ended}/{} runs", self.labels.len());
        if self.failed > 0 {
            text += &format!(" · {} failed", self.failed);
        }
        if self.stopped > 0 {
            text += &format!(" · {} stopped early", self.stopped);
        }
        text += &format!(" · {}", clock(self.started.elapsed().as_secs_f64()));
        if let Some(left) = self.left {
            text += &format!(" · about {} left", clock(left));
        }
        if let Some(why) = &self.held {
            text += &format!(" · waiting: {why}");
        }
        sweep.set_position(ended as u64);
        sweep.set_message(text);
    }

    fn line(&self, slot: usize, run: &Running) -> String {
        let device = self.devices.get(&slot).map_or("", String::as_str);
        let (label, widest) = (self.label(&run.ids[0]), self.widest);
        let device = match run.ids.len() {
            1 => device.to_owned(),
            runs => format!("{device}  and {} beside it", runs - 1),
        };
        match run.at {
            Some((step, of, loss, speed)) if run.phase == "train" => {
                let digits = of.to_string().len();
                format!("{label:widest$}  {step:>digits$}/{of}  loss {loss:.3}  {speed:.0} ex/s  {device}")
            }
            _ => format!("{label:widest$}  {}  {device}", run.phase),
        }
    }
}

impl Observer for Progress {
    fn note(&mut self, note: &Note) {
        match note {
            Note::Ready { slot, device, device_name } => {
                let known = self.devices.insert(*slot, device.clone());
                if known.is_none() && matches!(self.out, Out::Lines(_)) {
                    self.say(&format!("slot {slot} is ready: {device}, {device_name}"));
                }
            }
            Note::Started { slot, id, .. } => self.start(*slot, id),
            Note::Phase { slot, id, name } => {
                if let Some(run) = self.running.get_mut(slot).filter(|run| run.ids[0] == *id) {
                    run.phase.clone_from(name);
                }
            }
            Note::Step { slot, id, step, of, loss, examples_per_second } => {
                if let Some(run) = self.running.get_mut(slot).filter(|run| run.ids[0] == *id) {
                    // Those beside it make as many steps.
                    run.at = Some((*step, *of, *loss, *examples_per_second * run.ids.len() as f64));
                }
            }
            Note::Checkpointed { .. } => {}
            Note::Ended { slot, id, end, seconds, left } => self.end(*slot, id, end, *seconds, *left),
            Note::Paused { slot, id, step } => {
                self.leave(*slot, id);
                self.paused += 1;
                self.say_of_run("paused", id, &format!("at step {step}"));
            }
            Note::Reached { slot, id, rung } => {
                self.leave(*slot, id);
                let score = score(&rung.metric, &rung.dev);
                self.say_of_run("reached", id, &format!("step {} of {}, {score}", rung.step, rung.of));
            }
            Note::PutBack { slot, id, failure, next } => {
                self.leave(*slot, id);
                self.say_of_run("retry", id, &format!("{}; {next}", why(failure)));
            }
            Note::Regrouped { slot, id } => {
                self.leave(*slot, id);
                self.say_of_run("retry", id, "another run of its group was ended; again");
            }
            Note::Cancelled { id } => {
                self.failed += 1;
                self.say_of_run("FAILED", id, "cancelled before it started");
            }
            Note::Retired { id, rule } => {
                self.stopped += 1;
                self.say_of_run("stopped", id, &format!("by {rule}"));
            }
            Note::Stopping { why, running } => self.say(&stopping(why, *running)),
            Note::Held { why, running } => {
                self.held = Some(why.clone());
                let rest = if *running > 0 { "; what runs goes to a checkpoint" } else { "" };
                self.say(&format!("Waiting: {why}{rest}."));
            }
            Note::Released => {
                self.held = None;
                self.say("Going on.");
            }
            Note::Warning(text) => self.say(&format!("warning: {text}")),
        }
    }

    fn beat(&mut self, state: &State, now: Duration) {
        self.left = state.eta(now);
        self.draw();
    }
}

impl Drop for Progress {
    /// Leaves the lines that stay, and takes the bars away.
    fn drop(&mut self) {
        if let Out::Bars { all, .. } = &self.out {
            let _ = all.clear();
        }
    }
}

/// One line on a failure; of a crash, the end of the worker's last words.
fn why(failure: &Failure) -> String {
    let text = match failure {
        Failure::Crashed { tail } => {
            let lines: Vec<&str> = tail.lines().collect();
            format!("crashed: {}", lines[lines.len().saturating_sub(2)..].join(" "))
        }
        other => other.sentence(),
    };
    text.replace('\n', " ")
}

/// Why nothing more starts, and what still runs.
fn stopping(why: &Finish, running: usize) -> String {
    let why = match why {
        Finish::TooManyFailed(why) => format!("Giving up: {why}"),
        Finish::OutOfTime => "The time budget is used up".to_owned(),
        Finish::Interrupted | Finish::Complete | Finish::NoWorkers(_) => "Stopping".to_owned(),
    };
    match running {
        0 => format!("{why}: nothing is running."),
        1 => format!("{why}: 1 run goes on to the next checkpoint. Ctrl-C again stops now."),
        n => format!("{why}: {n} runs go on to the next checkpoint. Ctrl-C again stops now."),
    }
}

fn score(metric: &str, scores: &Scores) -> String {
    let score = scores.get(metric).copied().flatten();
    format!("{metric} {}", score.map_or("undefined".to_owned(), |score| format!("{score:.4}")))
}

/// `5:09`, `1:05:09`.
fn clock(seconds: f64) -> String {
    let s = seconds as u64;
    match s / 3600 {
        0 => format!("{}:{:02}", s / 60, s % 60),
        h => format!("{h}:{:02}:{:02}", s / 60 % 60, s % 60),
    }
}

#[cfg(test)]
mod tests;
