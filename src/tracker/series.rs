//! The numbers of a run over its steps, under the names that trackers show.

use jiff::Timestamp;

use super::place::part;
use crate::frame::Step;
use crate::record::{End, Outcome, Record, Scores};

/// One number at one step.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// `train/loss`, `dev/accuracy`, `probe/rte/accuracy`; at most two slashes.
    pub tag: String,
    pub step: u32,
    pub value: f64,
    /// Seconds since 1970.
    pub time: f64,
}

/// The headline dev score at the end, the same tag whatever the metric: one column over all tasks.
pub const SCORE: &str = "score";

/// When things happened in a run, seconds since 1970. Records hold no clock but the beginning and how long the phases
/// took, so times of epochs lie evenly between them.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    pub began: f64,
    pub trains: f64,
    pub ended: f64,
    per_step: f64,
}

impl Clock {
    pub fn of(record: &Record) -> Clock {
        let made = &record.made;
        let began = made.started.parse().map_or(0.0, |at: Timestamp| at.as_millisecond() as f64 / 1e3);
        let seconds = |phase: &str| made.seconds.get(phase).copied().unwrap_or(0.0);
        let trains = began + seconds("load") + seconds("prepare");
        let steps = last_step(&record.end).max(1);
        Clock { began, trains, ended: began + made.total_seconds(), per_step: seconds("train") / f64::from(steps) }
    }

    /// Of a run that was watched from its first step until now.
    pub fn watched(began: f64, trains: f64, ended: f64, end: &End) -> Clock {
        Clock { began, trains, ended, per_step: (ended - trains) / f64::from(last_step(end).max(1)) }
    }

    fn at(&self, step: u32) -> f64 {
        self.trains + f64::from(step) * self.per_step
    }
}

/// The logged steps: loss, learning rate and gradient norm.
pub fn of_steps(steps: &[Step], clock: &Clock) -> Vec<Point> {
    let point = |tag: &str, step: &Step, value: f64| Point {
        tag: format!("train/{tag}"),
        step: step.step,
        value,
        time: clock.trains + step.seconds,
    };
    type Value = fn(&Step) -> f64;
    let columns: [(&str, Value); 3] = [
        ("loss", |step| step.loss),
        ("learning_rate", |step| step.learning_rate),
        ("gradient_norm", |step| step.gradient_norm),
    ];
    columns.iter().flat_map(|(tag, of)| steps.iter().map(move |step| point(tag, step, of(step)))).collect()
}

/// What a run measured in the end. Scores that are undefined have no point.
pub fn of_end(end: &End, clock: &Clock) -> Vec<Point> {
    match end {
        End::Done(outcome) => of_outcome(outcome, clock),
        // Of a run that a rule stopped, scores on the way and no headline: it is no result of the whole run.
        End::Stopped(stopped) => {
            let dev = scores(&stopped.at.dev).filter_map(|(metric, score)| Some((format!("dev/{metric}"), score?)));
            dev.map(|(tag, value)| Point { tag, step: stopped.at.step, value, time: clock.ended }).collect()
        }
        End::Failed(_) => Vec::new(),
    }
}

fn of_outcome(outcome: &Outcome, clock: &Clock) -> Vec<Point> {
    let mut points = Vec::new();
    let mut add = |tag: String, step: u32, value: Option<f64>, time: f64| {
        points.extend(value.map(|value| Point { tag, step, value, time }));
    };
    for epoch in &outcome.epochs {
        let time = clock.at(epoch.step);
        add("train/epoch_loss".to_owned(), epoch.step, Some(epoch.loss), time);
        scores(&epoch.dev).for_each(|(metric, score)| add(format!("dev/{metric}"), epoch.step, score, time));
    }
    let (last, time) = (outcome.steps, clock.ended);
    // Most often the last epoch ended here, and its scores are these.
    if outcome.epochs.last().is_none_or(|epoch| epoch.step != last) {
        scores(&outcome.dev).for_each(|(metric, score)| add(format!("dev/{metric}"), last, score, time));
    }
    add(SCORE.to_owned(), last, outcome.score(), time);
    for other in &outcome.elsewhere {
        let task = format!("{}/{}", other.way.word(), part(&other.task));
        scores(&other.dev).for_each(|(metric, score)| add(format!("{task}/{metric}"), last, score, time));
        add(format!("{task}/source_after"), last, other.source_after, time);
    }
    if let Some(sharpness) = &outcome.sharpness {
        for (name, value) in [
            ("eigenvalue", sharpness.eigenvalue),
            ("rise_ascent", sharpness.rise_ascent),
            ("rise_random", sharpness.rise_random),
        ] {
            add(format!("sharpness/{name}"), last, Some(value), time);
        }
    }
    points
}

/// What the run cost, for trackers that show numbers without a series too.
pub fn costs(record: &Record, clock: &Clock) -> Vec<Point> {
    let costs = [("seconds", record.made.total_seconds()), ("peak_memory_mib", record.made.peak_memory_mib)];
    let step = last_step(&record.end);
    costs.map(|(name, value)| Point { tag: format!("cost/{name}"), step, value, time: clock.ended }).into()
}

fn scores(scores: &Scores) -> impl Iterator<Item = (String, Option<f64>)> {
    scores.iter().map(|(metric, score)| (part(metric), *score))
}

/// The metric that tables show.
pub fn metric(end: &End) -> Option<&str> {
    match end {
        End::Done(outcome) => Some(&outcome.metric),
        End::Stopped(stopped) => Some(&stopped.at.metric),
        End::Failed(_) => None,
    }
}

/// The last step that a run came to.
pub fn last_step(end: &End) -> u32 {
    match end {
        End::Done(outcome) => outcome.steps,
        End::Stopped(stopped) => stopped.at.step,
        End::Failed(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::frame::example;
    use crate::record::{Failure, Rung, Stopped};

    #[test]
    fn epochs_lie_between_begin_and_end_and_undefined_scores_are_left_out() {
        let mut record = example::record("rte", "vanilla", None, 1, 0.75);
        record.made.seconds =
            [("load".to_owned(), 2.0), ("train".to_owned(), 10.0), ("evaluate".to_owned(), 1.0)].into();
        let clock = Clock::of(&record);
        let began = 1_767_323_045.0;
        assert_eq!((clock.began, clock.trains, clock.ended), (began, began + 2.0, began + 13.0));
        let points = of_end(&record.end, &clock);
        let told: Vec<_> = points.iter().map(|p| (&*p.tag, p.step, p.value, p.time - began)).collect();
        let expected = [
            ("train/epoch_loss", 5, 0.6, 7.0),
            ("dev/accuracy", 5, 0.65, 7.0),
            ("train/epoch_loss", 10, 0.4, 12.0),
            ("dev/accuracy", 10, 0.75, 12.0),
            ("score", 10, 0.75, 13.0),
        ];
        assert_eq!(told, expected);

        let End::Done(outcome) = &mut record.end else { panic!("the example is a finished run") };
        outcome.steps = 12;
        assert_eq!(of_end(&record.end, &clock)[4].tag, "dev/accuracy", "training ended within an epoch");
        record.end = End::Failed(Failure::Diverged { step: 3 });
        assert_eq!(of_end(&record.end, &clock), []);
        let dev = [("accuracy".to_owned(), Some(0.5)), ("f1".to_owned(), None)].into();
        record.end = End::Stopped(Stopped {
            rule: "asha".into(),
            at: Rung { step: 4, of: 10, metric: "accuracy".into(), dev, halves: None },
        });
        let points = of_end(&record.end, &clock);
        assert_eq!(points.iter().map(|p| (&*p.tag, p.step, p.value)).collect::<Vec<_>>(), [("dev/accuracy", 4, 0.5)]);
    }

    #[test]
    fn a_step_has_its_own_time() {
        let clock = Clock { began: 100.0, trains: 110.0, ended: 120.0, per_step: 1.0 };
        let step =
            Step { step: 4, loss: f64::NAN, learning_rate: 2e-5, gradient_norm: 0.5, examples: 64, seconds: 2.5 };
        let points = of_steps(&[step], &clock);
        let told: Vec<_> = points.iter().map(|p| (&*p.tag, p.step, p.time)).collect();
        assert_eq!(
            told,
            [("train/loss", 4, 112.5), ("train/learning_rate", 4, 112.5), ("train/gradient_norm", 4, 112.5)]
        );
        assert!(points[0].value.is_nan() && points[1].value == 2e-5);
    }
}
