#![allow(clippy::unwrap_used)]

use super::*;
use crate::frame::{Study, analyse, example};

fn table(records: &[crate::record::Record]) -> MainTable {
    tuned(records, &[])
}

fn tuned(records: &[crate::record::Record], tune: &[&str]) -> MainTable {
    let tune: Vec<String> = tune.iter().map(|name| (*name).to_owned()).collect();
    main_table(&analyse(&Study { tune, ..example::study(records.to_vec()) }).unwrap()).unwrap()
}

/// Two modes at three learning rates; child-d as the paper has it and as its program does, at two rates p.
fn several_axes() -> Vec<crate::record::Record> {
    let mut records = Vec::new();
    for (lr, gain) in [(1e-5, 0.0), (2e-5, 0.02), (4e-5, 0.01)] {
        let mut record = example::record("rte", "vanilla", None, 1, 0.6 + gain);
        record.run.recipe.lr = lr;
        records.push(record);
        for (fidelity, p, score) in [("paper", 0.2, 0.6), ("paper", 0.3, 0.5), ("code", 0.2, 0.7), ("code", 0.3, 0.8)] {
            let gain = if fidelity == "code" { lr * 1e3 } else { gain };
            let mut record = example::record("rte", "child-d", Some(p), 1, score + gain);
            record.run.recipe.lr = lr;
            record.run.method.numbers.insert("fidelity".into(), fidelity.into());
            records.push(record);
        }
    }
    records
}

#[test]
fn tuned_axes_are_chosen_over_and_compared_ones_have_rows() {
    let main = tuned(&several_axes(), &["lr"]);
    let rows: Vec<(&str, &str, &str)> =
        main.scores.rows.iter().map(|row| (&*row[0].text, &*row[1].text, &*row[1].aside)).collect();
    assert_eq!(
        rows,
        [
            ("vanilla", "62.0", "lr=2e-5"),
            ("child-d fidelity=paper", "62.0", "p=0.2 lr=2e-5"),
            ("child-d fidelity=code", "84.0", "p=0.3 lr=4e-5"),
        ]
    );
    let notes = main.scores.notes.join("\n");
    assert!(
        notes.contains(
            "The best setting was chosen on the dev set that is reported, which favours modes with more settings: lr per \
             task for vanilla; p and lr per task for child-d"
        ),
        "{notes}"
    );
    let border = "The best lr lies at the border of its range: widen it (child-d fidelity=code on rte).";
    assert!(notes.contains(border), "{notes}");

    let untuned = table(&several_axes());
    assert_eq!(untuned.scores.rows.len(), 3 * 3, "an axis of the grid is compared");
    let differences = untuned.differences.unwrap();
    let row = differences.rows.iter().find(|row| row[0].text.starts_with("child-d fidelity=code lr=4e-5")).unwrap();
    assert_eq!(row[1].text, "+23.0 (1)", "against vanilla at the same lr: 84 - 61");
    assert!(!untuned.scores.notes.join(" ").contains("border"));
}

#[test]
fn a_run_with_an_undefined_metric_is_counted_and_not_taken_for_zero() {
    let mut records: Vec<_> =
        (1..=3).map(|seed| example::record("rte", "vanilla", None, seed, 0.6 + 0.1 * seed as f64)).collect();
    let crate::record::End::Done(outcome) = &mut records[2].end else { unreachable!("a finished run") };
    outcome.dev.insert("accuracy".into(), None);
    let main = table(&records);
    assert_eq!(main.scores.rows[0][1].text, "75.0 ± 7.1");
    assert_eq!(main.scores.rows[0][1].aside, "n=2 of 3; 1 undefined");
}

#[test]
fn one_row_a_mode_at_its_best_setting_and_the_note_says_so() {
    let mut records = Vec::new();
    for seed in 1..=2 {
        let shift = 0.01 * seed as f64;
        records.push(example::record("rte", "vanilla", None, seed, 0.60 + shift));
        records.push(example::record("rte", "child-d", Some(0.2), seed, 0.50 + shift));
        records.push(example::record("rte", "child-d", Some(0.3), seed, 0.64 + shift));
        records.push(example::record("mrpc", "vanilla", None, seed, 0.90 + shift));
        records.push(example::record("mrpc", "child-d", Some(0.2), seed, 0.80 + shift));
        records.push(example::record("mrpc", "child-d", Some(0.3), seed, 0.70 + shift));
    }
    let main = table(&records);
    assert_eq!(main.scores.columns, ["mode", "rte (accuracy)", "mrpc (accuracy)", "average"]);
    assert_eq!(
        main.scores.markdown().lines().skip(2).take(2).collect::<Vec<_>>(),
        [
            "| vanilla | 61.5 ± 0.7 | 91.5 ± 0.7 | 76.5 |",
            "| child-d | 65.5 ± 0.7 (p=0.3) | 81.5 ± 0.7 (p=0.2) | 73.5 |"
        ]
    );
    let notes = main.scores.notes.join(" ");
    assert!(
        notes.contains("n = 2 seeds") && notes.contains("p per task for child-d") && notes.contains("Bold is better")
    );
    let differences = main.differences.unwrap();
    assert_eq!(differences.rows.len(), 1);
    assert_eq!(differences.rows[0][1].text, "+4.0 ± 0.0 (2)");
    assert_eq!(main.csv.lines().count(), 5);
}

#[test]
fn a_single_setting_stands_in_the_rows_name() {
    let records =
        [example::record("rte", "vanilla", None, 1, 0.6), example::record("rte", "child-d", Some(0.3), 1, 0.6)];
    let main = table(&records);
    assert_eq!(main.scores.rows[1][0].text, "child-d (p=0.3)");
    assert!(main.scores.rows.iter().all(|row| !row[1].best), "one seed is no test");
    assert_eq!(main.scores.columns.len(), 2, "one task needs no average");
}

#[test]
fn trouble_is_counted_in_the_entry() {
    let study = example::nasty();
    let main = main_table(&analyse(&study).unwrap()).unwrap();
    let text = main.scores.markdown();
    assert!(
        text.contains("– (1 diverged)") && text.contains("– (1 collapsed)") && text.contains("p=0.3; 1 diverged"),
        "{text}"
    );
    assert!(!text.to_lowercase().contains("nan"), "{text}");
}

#[test]
fn no_cells_give_no_rows() {
    let main = table(&[]);
    assert!(main.scores.rows.is_empty() && main.differences.is_none());
    assert_eq!(main.csv.lines().count(), 1);
}

#[test]
fn bold_is_better_than_the_reference_by_the_test() {
    let mut records = Vec::new();
    for seed in 1..=8 {
        let wobble = 0.002 * (seed % 4) as f64;
        for (mode, score) in [("vanilla", 0.6), ("child-d", 0.64), ("child-f", 0.602 - wobble)] {
            records.push(example::record("rte", mode, None, seed, score + wobble * 2.0));
        }
    }
    let main = table(&records);
    let bold = |t: &Table| t.rows.iter().filter(|row| row[1].best).map(|row| row[0].text.clone()).collect::<Vec<_>>();
    assert_eq!(
        (bold(&main.scores), bold(&main.differences.unwrap())),
        (vec!["child-d".to_owned()], vec!["child-d".into()])
    );
    assert!(main.csv.lines().nth(2).unwrap().ends_with(",true"), "{}", main.csv);
}
