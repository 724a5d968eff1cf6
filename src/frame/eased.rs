//! Runs that found too little memory, and were trained in smaller passes than their recipe asks for.

use std::collections::BTreeMap;

use crate::record::Record;

/// A sentence for tables; `None` where every run went as its recipe says.
pub(super) fn eased<'a>(records: impl IntoIterator<Item = &'a Record>) -> Option<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for record in records.into_iter().filter(|record| record.outcome().is_some()) {
        if let Some(rows) = record.made.micro_batch {
            let run = &record.run;
            let passes = format!("{}, {}: passes of {rows} instead of {}", run.task.name, run.mode, run.recipe.rows());
            *counts.entry(passes).or_default() += 1;
        }
    }
    let total: usize = counts.values().sum();
    let each: Vec<String> = counts.into_iter().map(|(passes, count)| format!("{count} of {passes}")).collect();
    (total > 0).then(|| {
        let runs = if total == 1 { "1 run was" } else { &format!("{total} runs were") };
        format!(
            "{runs} trained in smaller passes than asked for, since memory was too small ({}). A step summed up the same \
             batch; its dropout was drawn otherwise.",
            each.join("; ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::example::record;
    use super::*;

    #[test]
    fn runs_in_smaller_passes_are_told() {
        let mut records = [1, 2, 3].map(|seed| record("rte", "child-d", Some(0.3), seed, 0.7));
        assert_eq!(eased(&records), None);
        for record in &mut records[..2] {
            record.made.micro_batch = Some(4);
        }
        let told = eased(&records).expect("a sentence");
        assert!(told.starts_with("2 runs were trained in smaller passes than asked for"), "{told}");
        assert!(told.contains("(2 of rte, child-d: passes of 4 instead of 16)"), "{told}");
    }
}
