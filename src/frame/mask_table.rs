//! One row a run that fixed a child network, and one row a pair of child networks.

use anyhow::Result;
use polars::prelude::*;

use crate::record::mask::Overlap;
use crate::record::{MaskNote, Record};

/// The child networks of the runs; `sweeps` names the sweep of each record. Columns: `sweep`, `id`, `key` (names the
/// mask file), `kept` and `of` (entries of the encoder), `task`, `model`, `mode`, `p`, `train_size`, `seed`. A run
/// without a fixed child network has no row.
pub fn mask_table(records: &[Record], sweeps: &[String]) -> Result<DataFrame> {
    let note = |r: &Record| -> Option<MaskNote> { r.outcome()?.mask.clone() };
    let rows: Vec<(&String, &Record, MaskNote)> =
        sweeps.iter().zip(records).filter_map(|(sweep, record)| Some((sweep, record, note(record)?))).collect();
    let columns = vec![
        Column::new("sweep".into(), rows.iter().map(|r| &**r.0).collect::<Vec<_>>()),
        Column::new("id".into(), rows.iter().map(|r| &*r.1.id.0).collect::<Vec<_>>()),
        Column::new("key".into(), rows.iter().map(|r| &*r.2.key).collect::<Vec<_>>()),
        Column::new("kept".into(), rows.iter().map(|r| r.2.kept).collect::<Vec<_>>()),
        Column::new("of".into(), rows.iter().map(|r| r.2.of).collect::<Vec<_>>()),
        Column::new("task".into(), rows.iter().map(|r| &*r.1.run.task.name).collect::<Vec<_>>()),
        Column::new("model".into(), rows.iter().map(|r| &*r.1.run.model.name).collect::<Vec<_>>()),
        Column::new("mode".into(), rows.iter().map(|r| &*r.1.run.mode).collect::<Vec<_>>()),
        Column::new("p".into(), rows.iter().map(|r| r.1.run.p()).collect::<Vec<_>>()),
        Column::new("train_size".into(), rows.iter().map(|r| r.1.run.recipe.train_size).collect::<Vec<_>>()),
        Column::new("seed".into(), rows.iter().map(|r| r.1.run.seed).collect::<Vec<_>>()),
    ];
    Ok(DataFrame::new(rows.len(), columns)?)
}

/// What pairs of child networks share, each beside its sweep. Columns: `sweep`, `a` and `b` (mask keys), `a_kept`,
/// `b_kept`, `both` and `of` (entries of the encoder).
pub fn overlap_table(overlaps: &[(String, Overlap)]) -> Result<DataFrame> {
    let text = |f: fn(&Overlap) -> &str| overlaps.iter().map(|(_, o)| f(o)).collect::<Vec<_>>();
    let count = |f: fn(&Overlap) -> u64| overlaps.iter().map(|(_, o)| f(o)).collect::<Vec<_>>();
    let columns = vec![
        Column::new("sweep".into(), overlaps.iter().map(|(sweep, _)| &**sweep).collect::<Vec<_>>()),
        Column::new("a".into(), text(|o| &o.a)),
        Column::new("b".into(), text(|o| &o.b)),
        Column::new("a_kept".into(), count(|o| o.a_kept)),
        Column::new("b_kept".into(), count(|o| o.b_kept)),
        Column::new("both".into(), count(|o| o.both)),
        Column::new("of".into(), count(|o| o.of)),
    ];
    Ok(DataFrame::new(overlaps.len(), columns)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::frame::example;

    #[test]
    fn runs_with_a_child_network_have_a_row() {
        let mut masked = example::record("rte", "child-d", Some(0.3), 1, 0.5);
        example::put_mask(&mut masked, "k1", 30, 100);
        let records = [example::record("rte", "vanilla", None, 1, 0.5), masked];
        let frame = mask_table(&records, &["x".into(), "y".into()]).unwrap();
        assert_eq!(frame.height(), 1);
        let word = |name: &str| frame.column(name).unwrap().get(0).unwrap().str_value().to_string();
        assert_eq!(
            ["sweep", "id", "key", "kept", "of", "p"].map(word),
            ["y", &records[1].id.0, "k1", "30", "100", "0.3"]
        );
    }

    #[test]
    fn a_pair_has_a_row() {
        let overlap = Overlap { a: "k1".into(), b: "k2".into(), a_kept: 3, b_kept: 4, both: 2, of: 9 };
        let frame = overlap_table(&[("x".into(), overlap)]).unwrap();
        let row: Vec<String> = frame.columns().iter().map(|c| c.get(0).unwrap().str_value().into()).collect();
        assert_eq!(row, ["x", "k1", "k2", "3", "4", "2", "9"]);
    }
}
