//! The full table: a row for every setting that ran.

use super::{Cell, Entry, Table, points};

/// Every setting with its statistics, in points; columns that never differ are left out.
pub fn settings_table(cells: &[Cell]) -> Table {
    let models = cells.iter().any(|c| c.model != cells[0].model);
    let sizes = cells.iter().any(|c| c.train_size != cells[0].train_size);
    let mut columns = vec!["task", "mode", "setting"];
    if models {
        columns.push("model");
    }
    if sizes {
        columns.push("examples");
    }
    let headings = columns.len();
    let remarks = if cells.iter().any(|c| c.stopped > 0) { "remarks" } else { "went wrong" };
    columns.extend(["metric", "n", "mean ± std", "95 %", "median", "min", "max", remarks]);
    let rows = cells.iter().map(|cell| {
        let mut row = vec![cell.task.clone(), cell.mode.clone(), cell.setting()];
        if models {
            row.push(cell.model.clone());
        }
        if sizes {
            row.push(cell.train_size.map_or("all".to_owned(), |n| n.to_string()));
        }
        row.extend([
            cell.metric.clone().unwrap_or_else(|| "–".to_owned()),
            cell.counted(),
            points(cell.mean, cell.std),
            cell.interval.map_or("–".to_owned(), |i| format!("[{:.1}, {:.1}]", i.low * 100.0, i.high * 100.0)),
            points(cell.median, None),
            points(cell.min, None),
            points(cell.max, None),
            cell.remarks(),
        ]);
        row.into_iter().map(Entry::from).collect()
    });
    Table {
        columns: columns.into_iter().map(str::to_owned).collect(),
        headings,
        rows: rows.collect(),
        notes: vec![
            "Scores on the dev set in points (×100), std of the sample; 95 % interval of the mean by an expanded percentile \
             bootstrap, Student's below five seeds. Collapsed runs (all predictions alike) that \
             have a score are in the mean; diverged and failed runs and those with an undefined metric are not."
                .to_owned(),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::example;

    #[test]
    fn every_setting_has_a_row() {
        let cells = [example::cell("vanilla", &[(1, 0.5), (2, 0.6)]), example::cell("child-d", &[])];
        let table = settings_table(&cells);
        assert!(table.rows.iter().all(|row| row.len() == table.columns.len()));
        assert_eq!(table.rows[0][5].text, "55.0 ± 7.1");
        assert_eq!(table.rows[1][5].text, "–");
        assert!(settings_table(&[]).rows.is_empty());
    }
}
