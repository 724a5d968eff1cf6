//! Choosing on one half of dev and reporting the other.

use std::collections::BTreeMap;

use crate::record::{End, Record};

/// The records with the scores of the odd half of dev in place of those of the whole. A task whose runs do not all have
/// halves keeps the whole dev set for both, lest a table mix the two; a sentence names these tasks.
pub(super) fn on_the_odd_half(mut records: Vec<Record>) -> (Vec<Record>, Vec<String>) {
    let mut without: BTreeMap<String, usize> = BTreeMap::new();
    for record in &records {
        if record.outcome().is_some_and(|o| o.halves.is_none()) {
            *without.entry(record.run.task.name.clone()).or_default() += 1;
        }
    }
    for record in &mut records {
        let is_whole = without.contains_key(&record.run.task.name);
        let End::Done(outcome) = &mut record.end else { continue };
        match &outcome.halves {
            Some([_, odd]) if !is_whole => outcome.dev = odd.clone(),
            _ => outcome.halves = None,
        }
    }
    let tasks: Vec<String> = without.into_iter().map(|(task, runs)| format!("{task} ({runs})")).collect();
    let warning = format!(
        "Settings were to be chosen on one half of dev and reported on the other, but runs of these tasks have no scores \
         by halves: {}. There the whole dev set serves for both; train them again, or set select = \"dev\".",
        tasks.join(", ")
    );
    (records, if tasks.is_empty() { Vec::new() } else { vec![warning] })
}
