#![allow(clippy::unwrap_used)]
use std::sync::{Arc, Mutex};

use indicatif::TermLike;

use super::*;
use crate::plan::{Choice, Input, Recipe};
use crate::record::Outcome;

fn runs(n: u64) -> Vec<(RunId, Run)> {
    let run = |seed| Run {
        task: Input { name: "rte".into(), hash: String::new() },
        model: Input { name: "tiny".into(), hash: String::new() },
        mode: "vanilla".into(),
        method: Choice { name: "vanilla".into(), numbers: BTreeMap::new() },
        recipe: Recipe::default(),
        seed,
        after: Default::default(),
    };
    (1..=n).map(run).map(|run| (run.id(), run)).collect()
}

fn named(runs: &[(RunId, Run)]) -> Vec<(&RunId, &Run)> {
    runs.iter().map(|(id, run)| (id, run)).collect()
}

/// A scheduler without anything to do, for beats.
fn idle() -> State {
    State::new([], [], Default::default())
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
        ..Outcome::default()
    };
    Note::Ended { slot: 0, id: id.clone(), end: Box::new(End::Done(outcome)), seconds: 12.34, left: Some(135.7) }
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
    let (paper, runs) = (Paper::default(), runs(12));
    let mut progress = Progress::to(Out::Lines(Box::new(paper.clone())), &named(&runs));
    let (first, second) = (&runs[0].0, &runs[1].0);
    progress.note(&Note::Ready { slot: 0, device: "cpu".into(), device_name: "a chip".into() });
    progress.note(&Note::Started { slot: 0, id: first.clone(), attempt: 1 });
    for step in 1..100 {
        let id = first.clone();
        progress.note(&Note::Step { slot: 0, id, step, of: 100, loss: 0.5, examples_per_second: 9.0 });
        progress.beat(&idle(), Duration::ZERO);
    }
    progress.note(&done(first));
    progress.note(&Note::Started { slot: 0, id: second.clone(), attempt: 1 });
    let end = Box::new(End::Failed(Failure::Crashed { tail: "a\nb\nc\n(exit code 3)".into() }));
    progress.note(&Note::Ended { slot: 0, id: second.clone(), end, seconds: 1.0, left: Some(123.4) });
    let failure = Box::new(Failure::OutOfMemory { message: "tried to allocate 2 GiB".into() });
    progress.note(&Note::PutBack { slot: 0, id: second.clone(), failure, next: "alone on its device".into() });
    progress.note(&Note::Held { why: "0.4 GB free, 1 GB wanted".into(), running: 1 });
    progress.note(&Note::Stopping { why: Finish::TooManyFailed("3 runs failed".into()), running: 2 });
    let expected = "slot 0 is ready: cpu, a chip\n\
        [ 0/12] start   rte · vanilla · seed 1   cpu\n\
        [ 1/12] done    rte · vanilla · seed 1   accuracy 0.6123  12.3 s  about 2:15 left\n\
        [ 1/12] start   rte · vanilla · seed 2   cpu\n\
        [ 2/12] FAILED  rte · vanilla · seed 2   crashed: c (exit code 3)  about 2:03 left\n\
        [ 2/12] retry   rte · vanilla · seed 2   no memory left on the device: tried to allocate 2 GiB; alone on its device\n\
        Waiting: 0.4 GB free, 1 GB wanted; what runs goes to a checkpoint.\n\
        Giving up: 3 runs failed: 2 runs go on to the next checkpoint. Ctrl-C again stops now.\n";
    assert_eq!(paper.text(), expected);
}

#[test]
fn lines_fit_a_narrow_terminal() {
    let (paper, runs) = (Paper::default(), runs(3));
    let mut progress = Progress::on(ProgressDrawTarget::term_like(Box::new(paper.clone())), &named(&runs));
    for (slot, (id, _)) in runs.iter().take(2).enumerate() {
        progress.note(&Note::Started { slot, id: id.clone(), attempt: 1 });
        progress.note(&Note::Phase { slot, id: id.clone(), name: "train".into() });
        let id = id.clone();
        progress.note(&Note::Step { slot, id, step: 7, of: 123_456, loss: f64::NAN, examples_per_second: 1e9 });
    }
    progress.beat(&idle(), Duration::ZERO);
    drop(progress);
    let text = paper.text();
    assert!(text.contains("rte · vanilla") && text.contains("0/3"), "{text}");
    // Rows are filled up and follow each other without a newline: two runs and the bar are at most three rows.
    for rows in text.split(['\n', '\r']) {
        assert!(rows.chars().count() <= 3 * 20, "{rows:?}");
    }
}

#[test]
fn clocks_read_as_clocks() {
    assert_eq!([0.4, 65.0, 3909.0].map(clock), ["0:00", "1:05", "1:05:09"]);
}
