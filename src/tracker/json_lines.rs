//! A run as one line of JSON: all that is recorded of it, and what programs ask for most at the top.
//! The fields are documented in docs/formats.md; they are added to, and never changed.

use serde::Serialize;
use serde_json::{Map, Value};

use super::ending::ending;
use super::runs::Entry;
use super::series;
use super::settings::settings;
use crate::frame::Step;
use crate::record::Record;

/// Version of the lines.
const FORMAT: u32 = 1;

#[derive(Serialize)]
struct Line<'a> {
    format: u32,
    sweep: &'a str,
    /// Readable, unique in the sweep.
    name: &'a str,
    id: &'a str,
    /// `done`, `stopped`, or the class of failure.
    status: &'a str,
    reason: Option<String>,
    metric: Option<&'a str>,
    score: Option<f64>,
    settings: Map<String, Value>,
    record: &'a Record,
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<&'a [Step]>,
}

/// The line of a run, its end included.
pub fn json_line(sweep: &str, entry: &Entry, with_steps: bool) -> serde_json::Result<Vec<u8>> {
    let record = &entry.record;
    let ending = ending(&record.end);
    let line = Line {
        format: FORMAT,
        sweep,
        name: entry.place,
        id: &record.id.0,
        status: ending.word,
        reason: ending.why,
        metric: series::metric(&record.end),
        score: record.score(),
        settings: settings(&record.run).into_iter().collect(),
        record,
        steps: with_steps.then_some(&entry.steps),
    };
    let mut text = serde_json::to_vec(&line)?;
    text.push(b'\n');
    Ok(text)
}
