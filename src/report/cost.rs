//! What the runs cost, mode by mode. Every run counts once, however many tasks it was scored on.

use std::collections::BTreeMap;

use crate::frame::{Record, Table, duration};

#[derive(Default)]
struct Cost {
    runs: u32,
    seconds: f64,
    gpu_seconds: f64,
    train: Vec<f64>,
    peak_memory_mib: f64,
}

impl Cost {
    fn add(&mut self, record: &Record) {
        let seconds = record.made.total_seconds();
        self.runs += 1;
        self.seconds += seconds;
        if record.made.device.starts_with("cuda") {
            self.gpu_seconds += seconds;
        }
        // What failed, or was stopped early, says nothing about how long a run takes.
        if record.outcome().is_some() {
            self.train.push(seconds);
        }
        // What several took side by side says nothing about one.
        if record.made.group.is_empty() {
            self.peak_memory_mib = self.peak_memory_mib.max(record.made.peak_memory_mib);
        }
    }

    fn row(mut self, name: &str) -> Vec<String> {
        self.train.sort_by(f64::total_cmp);
        let middle = self.train.len() / 2;
        let median = match self.train.len() {
            0 => None,
            n if n % 2 == 1 => Some(self.train[middle]),
            _ => Some((self.train[middle - 1] + self.train[middle]) / 2.0),
        };
        vec![
            name.to_owned(),
            self.runs.to_string(),
            median.map_or("–".to_owned(), |s| format!("{s:.1}")),
            duration(self.seconds),
            format!("{:.2}", self.gpu_seconds / 3600.0),
            if self.peak_memory_mib > 0.0 { format!("{:.0}", self.peak_memory_mib) } else { "–".to_owned() },
        ]
    }
}

/// A row for each mode in order of appearance, and one for all; empty without records.
pub fn cost_table(records: &[Record]) -> Table {
    table(records, "mode", "all modes", |record| record.run.mode.clone())
}

/// The same for each task and mode.
pub fn cell_cost_table(records: &[Record]) -> Table {
    table(records, "cell", "all cells", |record| format!("{} · {}", record.run.task.name, record.run.mode))
}

fn table(records: &[Record], heading: &str, of_all: &str, name: impl Fn(&Record) -> String) -> Table {
    let mut names: Vec<String> = Vec::new();
    let mut costs: BTreeMap<String, Cost> = BTreeMap::new();
    let mut all = Cost::default();
    for record in records {
        let name = name(record);
        if !costs.contains_key(&name) {
            names.push(name.clone());
        }
        costs.entry(name).or_default().add(record);
        all.add(record);
    }
    let mut rows: Vec<Vec<String>> = names.iter().filter_map(|name| Some(costs.remove(name)?.row(name))).collect();
    if rows.len() > 1 {
        rows.push(all.row(of_all));
    }
    Table {
        columns: [heading, "runs", "seconds a run (median)", "time in all", "GPU-hours", "peak memory (MiB)"]
            .map(str::to_owned)
            .to_vec(),
        headings: 1,
        rows: rows.into_iter().map(|row| row.into_iter().map(Into::into).collect()).collect(),
        notes: vec![
            "Wall time of all phases, runs that failed or were stopped early included; the median is over finished runs. A child network that several \
             runs share is paid for by the run that made it. Runs that share a machine slow each other down."
                .to_owned(),
        ],
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::frame::example;

    #[test]
    fn seconds_and_gpu_hours_are_summed_by_mode() {
        let mut records: Vec<Record> = (1..=3).map(|seed| example::record("rte", "vanilla", None, seed, 0.6)).collect();
        records.push(example::record("rte", "child-f", Some(0.3), 1, 0.6));
        for (record, seconds) in records.iter_mut().zip([10.0, 30.0, 20.0, 1800.0]) {
            record.made.seconds = [("train".to_owned(), seconds)].into();
        }
        records[3].made.device = "cuda:1".to_owned();
        let rows: Vec<Vec<String>> =
            cost_table(&records).rows.into_iter().map(|row| row.into_iter().map(|e| e.text).collect()).collect();
        assert_eq!(rows[0], ["vanilla", "3", "20.0", "1 min 0 s", "0.00", "812"]);
        assert_eq!(rows[1], ["child-f", "1", "1800.0", "30 min 0 s", "0.50", "812"]);
        assert_eq!(rows[2], ["all modes", "4", "25.0", "31 min 0 s", "0.50", "812"]);
        assert!(cost_table(&[]).rows.is_empty());
        let cells: Vec<String> = cell_cost_table(&records).rows.into_iter().map(|row| row[0].text.clone()).collect();
        assert_eq!(cells, ["rte · vanilla", "rte · child-f", "all cells"]);
    }
}
