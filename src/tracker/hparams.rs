//! What TensorBoard's HPARAMS tab reads: the settings of each run, and which of them make columns.
//! Source: tensorboard/plugins/hparams/api.proto and plugin_data.proto.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::ending::{Ending, Kind};
use super::events::Events;
use super::series::SCORE;
use super::settings::{settings, word};
use super::wire::Message;
use crate::plan::{Run, RunId};

/// A setting with more values than this is filtered by a range or a pattern instead of check boxes.
const MOST_VALUES: usize = 30;

/// The columns: task, mode and all that differs between the runs of the sweep, then the score and the dev metrics.
pub fn experiment(events: &mut Events, time: f64, name: &str, runs: &[(RunId, Run)], metrics: &BTreeSet<String>) {
    let mut values: BTreeMap<String, (usize, BTreeMap<String, Value>)> = BTreeMap::new();
    for (_, run) in runs {
        for (name, value) in settings(run) {
            let (count, values) = values.entry(name).or_default();
            *count += 1;
            // One more than can be listed is enough to know that they cannot.
            if values.len() <= MOST_VALUES {
                values.insert(word(&value), value);
            }
        }
    }
    let mut message = Message::default().text(6, name).double(3, time);
    let order = |name: &str| (name != "task", name != "mode", name != "p", name == "seed");
    let mut columns: Vec<_> = values
        .iter()
        .filter(|(name, (count, values))| {
            values.len() > 1 || *count < runs.len() || ["task", "mode"].contains(&name.as_str())
        })
        .collect();
    columns.sort_by_key(|(name, _)| order(name));
    for (name, (_, values)) in columns {
        message = message.message(4, column(name, values));
    }
    for tag in [SCORE.to_owned()].into_iter().chain(metrics.iter().map(|metric| format!("dev/{metric}"))) {
        // In the HPARAMS tab a tag belongs to a group, which here is the run itself.
        message = message.message(5, Message::default().message(1, Message::default().text(2, &tag)));
    }
    put(events, time, "experiment", 2, message);
}

fn column(name: &str, values: &BTreeMap<String, Value>) -> Message {
    let is = |kind: fn(&Value) -> bool| values.values().all(kind);
    let kind = if is(Value::is_boolean) {
        2
    } else if is(Value::is_number) {
        3
    } else {
        1
    };
    let column = Message::default().text(1, name).int(4, kind);
    if values.len() > MOST_VALUES {
        return column;
    }
    let mut sorted: Vec<&Value> = values.values().collect();
    sorted.sort_by(|a, b| a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(std::cmp::Ordering::Equal));
    let list = sorted.into_iter().fold(Message::default(), |list, value| list.message(1, protobuf_value(value, kind)));
    column.message(5, list)
}

/// The settings of a run, as it begins.
pub fn start(events: &mut Events, time: f64, run: &Run) {
    let mut message = Message::default().double(5, time);
    for (name, value) in settings(run) {
        let kind = match value {
            Value::Bool(_) => 2,
            Value::Number(_) => 3,
            _ => 1,
        };
        // A map is a list of messages of key and value.
        message = message.message(1, Message::default().text(1, &name).message(2, protobuf_value(&value, kind)));
    }
    put(events, time, "session_start_info", 3, message);
    let row = |(name, value): (String, Value)| format!("| {name} | {} |\n", word(&value).replace('|', "\\|"));
    let rows: String = settings(run).into_iter().map(row).collect();
    events.text(time, "run/settings", &format!("| setting | value |\n| --- | --- |\n{rows}"));
}

/// How it ended.
pub fn end(events: &mut Events, time: f64, ending: &Ending) {
    let status = match ending.kind {
        Kind::Done => 1,
        Kind::Failed => 2,
        // It has no word for what ended on purpose.
        Kind::Ended => 0,
    };
    put(events, time, "session_end_info", 4, Message::default().int(1, status).double(2, time));
    if let Some(why) = &ending.why {
        // Indented, so that it is shown as it is.
        let lines: String = why.lines().map(|line| format!("    {line}\n")).collect();
        events.text(time, "run/end", &format!("{}\n\n{lines}", ending.word));
    }
}

fn put(events: &mut Events, time: f64, what: &str, field: u32, message: Message) {
    let content = Message::default().int(1, 0).message(field, message).into_bytes();
    events.metadata(time, &format!("_hparams_/{what}"), "hparams", &content);
}

/// google.protobuf.Value.
fn protobuf_value(value: &Value, kind: u64) -> Message {
    match (value, kind) {
        (Value::Bool(flag), 2) => Message::default().int(4, u64::from(*flag)),
        (Value::Number(_), 3) => Message::default().double(2, value.as_f64().unwrap_or_default()),
        (value, _) => Message::default().text(3, &word(value)),
    }
}
