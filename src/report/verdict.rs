//! What came out, a sentence a comparison.

use crate::frame::{Analysis, Finding};

#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    pub finding: Finding,
    pub sentence: String,
    /// How many seeds it would take, where those at hand cannot tell.
    pub power: Option<String>,
}

impl Verdict {
    /// Shown as a badge; the sentence says it too.
    pub fn word(&self) -> &'static str {
        match self.finding {
            Finding::Better => "better",
            Finding::Worse => "worse",
            Finding::Open => "cannot tell",
        }
    }

    /// Class in the style sheet.
    pub fn class(&self) -> &'static str {
        match self.finding {
            Finding::Better => "better",
            Finding::Worse => "worse",
            Finding::Open => "open",
        }
    }
}

/// Every comparison of the study: what was found before what could not be told, else in its order.
pub fn verdicts(analysis: &Analysis) -> Vec<Verdict> {
    let all = analysis.all_comparisons().map(|comparison| Verdict {
        finding: comparison.finding(),
        sentence: comparison.verdict(),
        power: comparison.power_line(),
    });
    let mut verdicts: Vec<Verdict> = all.collect();
    verdicts.sort_by_key(|verdict| match verdict.finding {
        Finding::Better => 0,
        Finding::Worse => 1,
        Finding::Open => 2,
    });
    verdicts
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::frame::{Record, Study, analyse, example};

    #[test]
    fn what_was_found_comes_first() {
        let mut records: Vec<Record> = Vec::new();
        for seed in 1..=10 {
            // Small and lively, so that no difference is the same twice.
            let noise = (seed as f64 * 2.7).sin() * 0.004;
            records.push(example::record("rte", "vanilla", None, seed, 0.6));
            records.push(example::record("rte", "alike", None, seed, 0.6 + noise));
            records.push(example::record("rte", "worse", None, seed, 0.5 + noise));
            records.push(example::record("rte", "better", None, seed, 0.7 + noise));
        }
        let planned = records.iter().map(|r| (r.id.clone(), r.run.clone())).collect();
        let found = verdicts(&analyse(&Study { planned, records, ..Study::default() }).unwrap());
        let words: Vec<&str> = found.iter().map(Verdict::word).collect();
        assert_eq!(words, ["better", "worse", "cannot tell"]);
        assert!(found[0].sentence.starts_with("better is better than vanilla on rte by"), "{}", found[0].sentence);
        assert!(found[0].power.is_none() && found[2].power.is_some());
    }
}
