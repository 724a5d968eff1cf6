//! The display of a running sweep, on stderr: bars on a terminal, plain lines elsewhere.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::plan::RunId;
use crate::protocol::Job;
use crate::record::{End, Failure};
use crate::schedule::{Note, Observer};

/// A label is not padded beyond this many columns.
const WIDEST_LABEL: usize = 44;

/// Shows a sweep: a line at each end of a run, and on a terminal a line for each running run and a bar over all.
pub struct Progress {
    out: Out,
    /// What each run is called; without the model's name where there is but one.
    labels: HashMap<RunId, String>,
    /// Columns of the longest label.
    widest: usize,
    slots: usize,
    devices: BTreeMap<usize, String>,
    running: BTreeMap<usize, Running>,
    started: Instant,
    done: usize,
    failed: usize,
    paused: usize,
    /// Seconds that runs took which reached their end, one after the other.
    took: f64,
}

enum Out {
    Bars { all: MultiProgress, sweep: ProgressBar },
    Lines(Box<dyn Write>),
}

struct Running {
    id: RunId,
    since: Instant,
    phase: String,
    /// Step and number of steps, loss, examples per second.
    at: Option<(u32, u32, f64, f64)>,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// A display of these jobs, done by workers in this many slots.
    pub fn new(jobs: &[Job], slots: usize) -> Progress {
        Progress::on(ProgressDrawTarget::stderr_with_hz(10), jobs, slots)
    }

    fn on(target: ProgressDrawTarget, jobs: &[Job], slots: usize) -> Progress {
        // Hidden: no terminal, or one that cannot move its cursor.
        if target.is_hidden() {
            return Progress::to(Out::Lines(Box::new(std::io::stderr())), jobs, slots);
        }
        let all = MultiProgress::with_draw_target(target);
        let style = ProgressStyle::with_template("{bar:12} {wide_msg}").expect("a fixed template");
        let sweep = all.add(ProgressBar::new(jobs.len() as u64).with_style(style.progress_chars("━╸─")));
        Progress::to(Out::Bars { all, sweep }, jobs, slots)
    }

    fn to(out: Out, jobs: &[Job], slots: usize) -> Progress {
        let one_model = jobs.iter().all(|job| job.run.model == jobs[0].run.model);
        let label = |job: &Job| match one_model {
            true => job.run.label().replacen(&format!(" · {}", job.run.model.name), "", 1),
            false => job.run.label(),
        };
        let labels: HashMap<RunId, String> = jobs.iter().map(|job| (job.id.clone(), label(job))).collect();
        let widest = labels.values().map(|label| label.chars().count()).max().unwrap_or(0).min(WIDEST_LABEL);
        Progress {
            out,
            labels,
            widest,
            slots: slots.clamp(1, jobs.len().max(1)),
            devices: BTreeMap::new(),
            running: BTreeMap::new(),
            started: Instant::now(),
            done: 0,
            failed: 0,
            paused: 0,
            took: 0.0,
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
        let ended = self.done + self.failed;
        let total = self.labels.len();
        let digits = total.to_string().len();
        let (label, widest) = (self.label(id), self.widest);
        self.say(format!("[{ended:digits$}/{total}] {verb:7} {label:widest$}  {rest}").trim_end());
    }

    fn start(&mut self, slot: usize, id: &RunId) {
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
        self.running.insert(slot, Running { id: id.clone(), since: Instant::now(), phase, at: None, bar });
    }

    fn leave(&mut self, slot: usize) {
        if let (Out::Bars { all, .. }, Some(Running { bar: Some(bar), .. })) = (&self.out, self.running.remove(&slot)) {
            bar.finish_and_clear();
            all.remove(&bar);
        }
    }

    fn end(&mut self, slot: usize, id: &RunId, end: &End, seconds: f64) {
        self.leave(slot);
        let (verb, mut rest) = match end {
            End::Done(outcome) => {
                self.done += 1;
                self.took += seconds;
                let score = outcome.dev.get(&outcome.metric).copied().flatten();
                let score = score.map_or("undefined".to_owned(), |score| format!("{score:.4}"));
                ("done", format!("{} {score}  {seconds:.1} s", outcome.metric))
            }
            End::Failed(failure) => {
                self.failed += 1;
                ("FAILED", why(failure))
            }
        };
        if let (Out::Lines(_), Some(left @ 1.0..)) = (&self.out, self.seconds_left()) {
            rest += &format!("  about {} left", clock(left));
        }
        self.say_of_run(verb, id, &rest);
    }

    fn seconds_left(&self) -> Option<f64> {
        let running: Vec<_> = self.running.values().map(|run| (run.since.elapsed().as_secs_f64(), run.at)).collect();
        let waiting = self.labels.len().saturating_sub(self.done + self.failed + self.paused + running.len());
        let mean = (self.done > 0).then(|| self.took / self.done as f64);
        let running = running.into_iter().map(|(elapsed, at)| {
            let share = at.map_or(0.0, |(step, of, ..)| f64::from(step) / f64::from(of.max(1)));
            (elapsed, share)
        });
        seconds_left(mean, waiting, &running.collect::<Vec<_>>(), self.slots)
    }

    fn draw(&self) {
        let Out::Bars { sweep, .. } = &self.out else { return };
        for (slot, run) in &self.running {
            if let Some(bar) = &run.bar {
                bar.set_message(self.line(*slot, run));
            }
        }
        let mut text = format!("{}/{} runs", self.done + self.failed, self.labels.len());
        if self.failed > 0 {
            text += &format!(" · {} failed", self.failed);
        }
        text += &format!(" · {}", clock(self.started.elapsed().as_secs_f64()));
        if let Some(left) = self.seconds_left() {
            text += &format!(" · about {} left", clock(left));
        }
        sweep.set_position((self.done + self.failed) as u64);
        sweep.set_message(text);
    }

    fn line(&self, slot: usize, run: &Running) -> String {
        let device = self.devices.get(&slot).map_or("", String::as_str);
        let (label, widest) = (self.label(&run.id), self.widest);
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
            Note::Started { slot, id } => self.start(*slot, id),
            Note::Phase { slot, name, .. } => {
                if let Some(run) = self.running.get_mut(slot) {
                    run.phase.clone_from(name);
                }
            }
            Note::Step { slot, step, of, loss, examples_per_second, .. } => {
                if let Some(run) = self.running.get_mut(slot) {
                    run.at = Some((*step, *of, *loss, *examples_per_second));
                }
            }
            Note::Ended { slot, id, end, seconds } => self.end(*slot, id, end, *seconds),
            Note::Paused { slot, id, step } => {
                self.leave(*slot);
                self.paused += 1;
                self.say_of_run("paused", id, &format!("at step {step}"));
            }
            Note::Interrupted { running: 0 } => self.say("Stopping: nothing is running."),
            Note::Interrupted { running } => {
                let runs = if *running == 1 { "1 run goes" } else { &format!("{running} runs go") };
                self.say(&format!("Stopping: {runs} on to the next checkpoint. Ctrl-C again stops now."));
            }
            Note::Warning(text) => self.say(&format!("warning: {text}")),
        }
    }

    fn beat(&mut self) {
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

/// Seconds until the last run ends, if runs take `mean` seconds; as long as none has ended, what running ones (elapsed
/// seconds, share of steps done) promise is taken for it. `None` where there is nothing to go by.
fn seconds_left(mean: Option<f64>, waiting: usize, running: &[(f64, f64)], slots: usize) -> Option<f64> {
    let promised: Vec<f64> =
        running.iter().filter(|&&(_, share)| share >= 0.02).map(|(elapsed, share)| elapsed / share).collect();
    let promise = || (!promised.is_empty()).then(|| promised.iter().sum::<f64>() / promised.len() as f64);
    let mean = mean.or_else(promise)?;
    let rest: f64 = running.iter().map(|(elapsed, _)| (mean - elapsed).max(0.0)).sum();
    Some((waiting as f64 * mean + rest) / slots as f64)
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
