//! Runs that failed, by cause and then by what was said.

use std::collections::BTreeMap;

use crate::frame::Record;

/// Runs that failed alike.
pub struct Cause {
    pub name: &'static str,
    pub count: usize,
    pub groups: Vec<Group>,
    /// Failed runs that the groups leave out.
    pub left_out: usize,
}

/// Runs of one cause with the same sentence.
pub struct Group {
    pub sentence: String,
    /// The first of them.
    pub labels: Vec<String>,
    /// How many more there are.
    pub more: usize,
}

/// More would bury the page under one fault.
const MOST_GROUPS: usize = 30;
const MOST_LABELS: usize = 8;

/// The causes by name, the sentences in order of appearance.
pub fn causes(records: &[Record]) -> Vec<Cause> {
    let mut causes: BTreeMap<&'static str, Vec<(String, Vec<&Record>)>> = BTreeMap::new();
    for record in records {
        let Some(failure) = record.failure() else { continue };
        let groups = causes.entry(failure.cause()).or_default();
        let sentence = failure.sentence();
        match groups.iter().position(|(said, _)| *said == sentence) {
            Some(known) => groups[known].1.push(record),
            // Past the limit runs are only counted, so the search stays short.
            None if groups.len() > MOST_GROUPS => groups[MOST_GROUPS].1.push(record),
            None => groups.push((sentence, vec![record])),
        }
    }
    causes.into_iter().map(|(name, groups)| cause(name, groups)).collect()
}

fn cause(name: &'static str, mut groups: Vec<(String, Vec<&Record>)>) -> Cause {
    let count = groups.iter().map(|(_, alike)| alike.len()).sum();
    let rest = groups.split_off(groups.len().min(MOST_GROUPS));
    let groups = groups.into_iter().map(|(sentence, alike)| Group {
        sentence,
        labels: alike.iter().take(MOST_LABELS).map(|r| r.run.label()).collect(),
        more: alike.len().saturating_sub(MOST_LABELS),
    });
    Cause { name, count, groups: groups.collect(), left_out: rest.iter().map(|(_, alike)| alike.len()).sum() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::example;
    use crate::record::{End, Failure};

    #[test]
    fn like_sentences_stand_together_and_many_are_counted() {
        let failed = |seed: u64, step: u32| {
            let mut record = example::record("rte", "vanilla", None, seed, 0.0);
            record.end = End::Failed(Failure::Diverged { step });
            record
        };
        let mut records: Vec<Record> = (0..20).map(|seed| failed(seed, 7)).collect();
        records.extend((100..200).map(|seed| failed(seed, seed as u32)));
        let causes = causes(&records);
        let [diverged] = &causes[..] else { panic!("one cause") };
        assert_eq!((diverged.count, diverged.groups.len(), diverged.left_out), (120, MOST_GROUPS, 71));
        assert_eq!((diverged.groups[0].labels.len(), diverged.groups[0].more), (MOST_LABELS, 12));
        assert!(super::causes(&[]).is_empty());
    }
}
