//! The test sets of the GLUE leaderboard, one line each, and how their predictions are written.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::read::each;
use super::registry::roots;
use super::{Column, Error, Format, Labels};

/// A file that the leaderboard wants.
#[derive(Debug, Clone, Copy)]
pub struct TestSet {
    /// What the leaderboard calls its file, without the ending.
    pub name: &'static str,
    /// The built-in task whose model predicts it.
    pub task: &'static str,
    /// The official file, below a data folder.
    pub path: &'static str,
    /// Rows of the official file.
    pub rows: usize,
    index: &'static str,
    text: &'static [&'static str],
}

const ONE: &[&str] = &["sentence"];
const PAIR: &[&str] = &["sentence1", "sentence2"];

const fn set(
    name: &'static str,
    task: &'static str,
    path: &'static str,
    rows: usize,
    index: &'static str,
    text: &'static [&'static str],
) -> TestSet {
    TestSet { name, task, path, rows, index, text }
}

/// All that a submission consists of, in the leaderboard's order.
#[rustfmt::skip]
pub static TEST_SETS: &[TestSet] = &[
    set("CoLA", "cola", "CoLA/test.tsv", 1063, "index", ONE),
    set("SST-2", "sst2", "SST-2/test.tsv", 1821, "index", ONE),
    set("MRPC", "mrpc", "MRPC/test.tsv", 1725, "index", &["#1 String", "#2 String"]),
    set("STS-B", "stsb", "STS-B/test.tsv", 1379, "index", PAIR),
    set("QQP", "qqp", "QQP/test.tsv", 390_965, "id", &["question1", "question2"]),
    set("MNLI-m", "mnli", "MNLI/test_matched.tsv", 9796, "index", PAIR),
    set("MNLI-mm", "mnli", "MNLI/test_mismatched.tsv", 9847, "index", PAIR),
    set("QNLI", "qnli", "QNLI/test.tsv", 5463, "index", &["question", "sentence"]),
    set("RTE", "rte", "RTE/test.tsv", 3000, "index", PAIR),
    set("WNLI", "wnli", "WNLI/test.tsv", 146, "index", PAIR),
    set("AX", "mnli", "diagnostic/diagnostic.tsv", 1104, "index", PAIR),
];

/// A row of a test set.
#[derive(Debug, Clone, PartialEq)]
pub struct TestRow {
    pub index: u64,
    pub text: Vec<String>,
}

impl TestSet {
    /// The file in one of the data folders, where a built-in task looks for its own.
    pub fn find(&self, data_dirs: &[PathBuf]) -> Option<PathBuf> {
        roots(data_dirs).map(|root| root.join(self.path)).find(|path| path.is_file())
    }

    /// Every row, in the order of the file.
    ///
    /// # Errors
    /// A file that cannot be read; malformed rows, an index that is no number or stands there twice, by line.
    pub fn read(&self, path: &Path) -> Result<Vec<TestRow>, Error> {
        let columns: Vec<Column> =
            [&self.index].into_iter().chain(self.text).map(|name| Column::Name((*name).to_owned())).collect();
        let columns: Vec<&Column> = columns.iter().collect();
        let (mut rows, mut seen) = (Vec::new(), BTreeSet::new());
        each(path, Format::Tsv { header: true }, &columns, false, |mut fields| {
            let index = fields.remove(0);
            let index: u64 = index.trim().parse().map_err(|_| format!("the index `{index}` is no whole number"))?;
            if !seen.insert(index) {
                return Err(format!("the index {index} stands there twice"));
            }
            rows.push(TestRow { index, text: fields.into_iter().map(|field| field.into_owned()).collect() });
            Ok(())
        })?;
        Ok(rows)
    }
}

/// The leaderboard's file: `index`, tab, `prediction`; classes by their words, values within [0, 5].
///
/// `logits` are the model's outputs for `rows`, one a class, or one value.
pub fn submission(rows: &[TestRow], logits: &[Vec<f32>], labels: &Labels) -> String {
    let words = labels.words();
    let mut text = String::from("index\tprediction\n");
    for (row, logits) in rows.iter().zip(logits) {
        let prediction = match words.is_empty() {
            true => format!("{:.3}", logits.first().copied().unwrap_or_default().clamp(0.0, 5.0)),
            false => words[decided(logits)].clone(),
        };
        text += &format!("{}\t{prediction}\n", row.index);
    }
    text
}

/// The class of the largest logit; the first of several.
pub fn decided(logits: &[f32]) -> usize {
    let best = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    logits.iter().position(|&logit| logit == best).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::task::names;

    #[test]
    fn every_test_set_is_that_of_a_built_in_task_and_is_found_beside_it() {
        for set in TEST_SETS {
            assert!(names().contains(&set.task), "{}", set.task);
            let data = tempfile::tempdir().unwrap();
            let file = data.path().join("glue").join(set.path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, "").unwrap();
            assert_eq!(set.find(&["/nowhere".into(), data.path().to_owned()]), Some(file));
        }
        assert_eq!(TEST_SETS.len(), 11);
    }

    /// Where SWEEP_DATA names a folder with the official files.
    #[test]
    fn the_official_files_have_as_many_rows_as_the_leaderboard_wants() {
        let Some(data) = std::env::var_os("SWEEP_DATA").map(PathBuf::from) else { return };
        for set in TEST_SETS {
            let Some(path) = set.find(std::slice::from_ref(&data)) else { continue };
            let rows = set.read(&path).unwrap();
            assert_eq!(rows.len(), set.rows, "{}", set.name);
            assert!(rows.iter().all(|row| row.text.len() == set.text.len() && row.index < rows.len() as u64));
        }
    }

    #[test]
    fn rows_come_in_their_order_and_each_index_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.tsv");
        let rte = TEST_SETS.iter().find(|set| set.name == "RTE").unwrap();
        std::fs::write(&path, "index\tsentence1\tsentence2\n1\ta\tb\n0\tsays \"c\td\n").unwrap();
        let rows = rte.read(&path).unwrap();
        assert_eq!(rows[1], TestRow { index: 0, text: vec!["says \"c".into(), "d".into()] });
        let labels = Labels::Classes(vec!["entailment".into(), "not_entailment".into()]);
        let written = submission(&rows, &[vec![0.0, 1.0], vec![2.0, 2.0]], &labels);
        assert_eq!(written, "index\tprediction\n1\tnot_entailment\n0\tentailment\n");
        let values = submission(&rows, &[vec![5.2], vec![2.7654]], &Labels::Regression);
        assert_eq!(values, "index\tprediction\n1\t5.000\n0\t2.765\n");
        std::fs::write(&path, "index\tsentence1\tsentence2\n0\ta\tb\n0\tc\td\nx\te\tf\ntorn\n").unwrap();
        let faults = rte.read(&path).unwrap_err().to_string();
        for part in [":3: the index 0 stands there twice", ":4: the index `x`", ":5: columns: 1 found, 3 expected"] {
            assert!(faults.contains(part), "{faults}");
        }
    }
}
