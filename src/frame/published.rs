//! Numbers that papers print, each with where it is from; `published.toml` is the list.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// Names of the published tables that a report can show beside its own.
pub const PUBLISHED: &[&str] = &["table1", "table2", "table3", "table4", "table5"];

/// The tasks whose mean the papers call the average.
pub(super) const AVERAGED: [&str; 4] = ["cola", "rte", "mrpc", "stsb"];
pub(super) const AVERAGE: &str = "average";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Published {
    /// Key to words for a reader.
    sources: BTreeMap<String, String>,
    number: Vec<Number>,
}

/// What one source says of one mode.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Number {
    pub tables: Vec<String>,
    pub model: String,
    pub mode: String,
    /// The mode that the scores are differences to; else they are levels.
    pub against: Option<String>,
    /// Training examples, where not all were used.
    pub size: Option<u32>,
    source: String,
    /// Remembered and not checked against a source.
    #[serde(default)]
    memory: bool,
    /// Put together from what others say.
    #[serde(default)]
    reconstructed: bool,
    pub seeds: Option<u32>,
    /// Task, or `average`, to points.
    pub scores: BTreeMap<String, f64>,
    /// Over seeds, where the source has it.
    #[serde(default)]
    pub std: BTreeMap<String, f64>,
}

static ALL: LazyLock<Published> = LazyLock::new(|| {
    // The list is part of the program, and a test reads it.
    toml::from_str(include_str!("published.toml")).unwrap_or_else(|e| panic!("published.toml: {e}"))
});

/// The numbers of one published table, in the order of the list.
pub(super) fn numbers(table: &str) -> impl Iterator<Item = &'static Number> {
    ALL.number.iter().filter(move |n| n.tables.iter().any(|t| t == table))
}

impl Number {
    /// Where it is from, for a reader, with how far it can be trusted.
    pub fn source(&self) -> String {
        let words = ALL.sources.get(&self.source).map_or(&*self.source, |words| words);
        let marks = [(self.memory, "from memory"), (self.reconstructed, "reconstructed")];
        let marks = marks.iter().filter(|(is, _)| *is).map(|(_, mark)| format!(" [{mark}]"));
        words.to_owned() + &marks.collect::<String>()
    }

    /// Whether both were read off one table, so that their difference means something.
    pub fn stands_beside(&self, other: &Number) -> bool {
        (&self.source, &self.model, self.size) == (&other.source, &other.model, other.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_source_in_words_and_a_known_table() {
        assert!(ALL.number.len() > 30);
        for number in &ALL.number {
            assert!(ALL.sources.contains_key(&number.source), "{number:?}");
            assert!(number.tables.iter().all(|t| PUBLISHED.contains(&&**t)), "{number:?}");
            assert!(number.scores.values().all(|s| s.abs() <= 100.0) && !number.scores.is_empty(), "{number:?}");
            assert!(number.std.keys().all(|task| number.scores.contains_key(task)), "{number:?}");
            assert!(number.std.is_empty() || number.seeds.is_some(), "a spread without a number of seeds: {number:?}");
        }
        assert!(PUBLISHED.iter().all(|table| numbers(table).count() > 0));
    }

    #[test]
    fn averages_are_those_of_their_columns() {
        let mut checked = 0;
        for number in ALL.number.iter().filter(|n| n.against.is_none()) {
            let columns: Option<Vec<f64>> = AVERAGED.iter().map(|task| number.scores.get(*task).copied()).collect();
            if let (Some(columns), Some(average)) = (columns, number.scores.get(AVERAGE)) {
                assert!((columns.iter().sum::<f64>() / 4.0 - average).abs() < 0.011, "{number:?}");
                checked += 1;
            }
        }
        assert!(checked > 8, "only {checked} checked");
    }

    #[test]
    fn what_is_remembered_says_so() {
        let said: Vec<String> = numbers("table2").map(Number::source).collect();
        assert!(
            said.iter().any(|s| s.ends_with("[from memory]")) && said.iter().any(|s| s.ends_with("[reconstructed]"))
        );
    }
}
