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
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::{Arc, Mutex};

    use indicatif::TermLike;

    use super::*;
    use crate::plan::{Choice, Input, Recipe, Run};
    use crate::record::Outcome;
    use crate::task::{Column, Format, Labels, Source};

    fn jobs(n: u64) -> Vec<Job> {
        let job = |seed| {
            let run = Run {
                task: Input { name: "rte".into(), hash: String::new() },
                model: Input { name: "tiny".into(), hash: String::new() },
                mode: "vanilla".into(),
                method: Choice { name: "vanilla".into(), numbers: BTreeMap::new() },
                recipe: Recipe::default(),
                seed,
            };
            Job {
                id: run.id(),
                run,
                task: crate::task::Task {
                    name: "rte".into(),
                    train: Source { path: "train.tsv".into(), format: Format::Jsonl },
                    dev: Vec::new(),
                    text: Vec::new(),
                    label: Column::Index(0),
                    labels: Labels::Regression,
                    skip: None,
                    skip_torn: false,
                    metrics: Vec::new(),
                },
                model: "model".into(),
                folder: "run".into(),
                cache: "cache".into(),
                masks: "masks".into(),
                log_every: 0,
                attempt: 1,
            }
        };
        (1..=n).map(job).collect()
    }

    fn done(id: &RunId) -> Note {
        let outcome = Outcome {
            metric: "accuracy".into(),
            dev: BTreeMap::from([("accuracy".into(), Some(0.61234))]),
            epochs: Vec::new(),
            collapsed: false,
            steps: 9,
            train_examples: 8,
            dev_examples: 4,
            mask: None,
        };
        Note::Ended { slot: 0, id: id.clone(), end: Box::new(End::Done(outcome)), seconds: 12.34 }
    }

    /// What was written, whoever holds the other end.
    #[derive(Clone, Debug, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Paper {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// A terminal of 20 columns.
    impl TermLike for Paper {
        fn width(&self) -> u16 {
            20
        }
        fn move_cursor_up(&self, _: usize) -> std::io::Result<()> {
            self.write_str("\n")
        }
        fn move_cursor_down(&self, _: usize) -> std::io::Result<()> {
            self.write_str("\n")
        }
        fn move_cursor_right(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> std::io::Result<()> {
            self.write_str("\n")
        }
        fn write_line(&self, text: &str) -> std::io::Result<()> {
            self.write_str(text)?;
            self.write_str("\n")
        }
        fn write_str(&self, text: &str) -> std::io::Result<()> {
            self.clone().write_all(text.as_bytes())
        }
        fn clear_line(&self) -> std::io::Result<()> {
            self.write_str("\n")
        }
        fn flush(&self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn without_a_terminal_each_run_has_a_line_at_its_start_and_one_at_its_end() {
        let (paper, jobs) = (Paper::default(), jobs(12));
        let mut progress = Progress::to(Out::Lines(Box::new(paper.clone())), &jobs, 1);
        let (first, second) = (&jobs[0].id, &jobs[1].id);
        progress.note(&Note::Ready { slot: 0, device: "cpu".into(), device_name: "a chip".into() });
        progress.note(&Note::Started { slot: 0, id: first.clone() });
        for step in 1..100 {
            let id = first.clone();
            progress.note(&Note::Step { slot: 0, id, step, of: 100, loss: 0.5, examples_per_second: 9.0 });
            progress.beat();
        }
        progress.note(&done(first));
        progress.note(&Note::Started { slot: 0, id: second.clone() });
        let end = Box::new(End::Failed(Failure::Crashed { tail: "a\nb\nc\n(exit code 3)".into() }));
        progress.note(&Note::Ended { slot: 0, id: second.clone(), end, seconds: 1.0 });
        let expected = "slot 0 is ready: cpu, a chip\n\
            [ 0/12] start   rte · vanilla · seed 1   cpu\n\
            [ 1/12] done    rte · vanilla · seed 1   accuracy 0.6123  12.3 s  about 2:15 left\n\
            [ 1/12] start   rte · vanilla · seed 2   cpu\n\
            [ 2/12] FAILED  rte · vanilla · seed 2   crashed: c (exit code 3)  about 2:03 left\n";
        assert_eq!(paper.text(), expected);
    }

    #[test]
    fn lines_fit_a_narrow_terminal() {
        let (paper, jobs) = (Paper::default(), jobs(3));
        let mut progress = Progress::on(ProgressDrawTarget::term_like(Box::new(paper.clone())), &jobs, 2);
        for (slot, job) in jobs.iter().take(2).enumerate() {
            progress.note(&Note::Started { slot, id: job.id.clone() });
            progress.note(&Note::Phase { slot, id: job.id.clone(), name: "train".into() });
            let id = job.id.clone();
            progress.note(&Note::Step { slot, id, step: 7, of: 123_456, loss: f64::NAN, examples_per_second: 1e9 });
        }
        progress.beat();
        drop(progress);
        let text = paper.text();
        assert!(text.contains("rte · vanilla") && text.contains("0/3"), "{text}");
        // Rows are filled up and follow each other without a newline: two runs and the bar are at most three rows.
        for rows in text.split(['\n', '\r']) {
            assert!(rows.chars().count() <= 3 * 20, "{rows:?}");
        }
    }

    #[test]
    fn the_time_left_goes_by_runs_that_ended_and_before_that_by_steps() {
        assert_eq!(seconds_left(None, 5, &[(3.0, 0.0)], 1), None, "nothing to go by");
        // One of ten seconds is half done, two wait.
        assert_eq!(seconds_left(None, 2, &[(5.0, 0.5)], 1), Some(25.0));
        assert_eq!(seconds_left(Some(20.0), 2, &[(5.0, 0.5)], 1), Some(55.0));
        assert_eq!(seconds_left(Some(20.0), 2, &[(5.0, 0.5), (90.0, 0.9)], 2), Some(27.5));
        assert_eq!(seconds_left(Some(20.0), 0, &[], 2), Some(0.0));
    }

    #[test]
    fn clocks_read_as_clocks() {
        assert_eq!([0.4, 65.0, 3909.0].map(clock), ["0:00", "1:05", "1:05:09"]);
    }
}
