//! The user's own tasks, from a `[task.<name>]` table of a sweep file.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::read::{distinct, first_row};
use super::{Column, Dev, Error, Format, Labels, Metric, Source, Task, hint};

/// More distinct labels than this are taken for a mistake: an id or a score instead of a class.
const MAX_CLASSES: usize = 256;

/// A task as its user describes it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Custom {
    pub name: String,
    pub train: PathBuf,
    pub dev: PathBuf,
    /// One or two columns, by name; or by number, counted from 0, where the file has no header.
    pub text: Vec<String>,
    pub label: String,
    /// The classes in the order of their indices; when absent, those of the train file, sorted.
    #[serde(default)]
    pub labels: Option<Vec<String>>,
    /// The primary metric first; `pearson` and `spearman` make it a regression. Accuracy when empty.
    #[serde(default)]
    pub metric: Vec<String>,
    /// `tsv`, `csv` or `jsonl`; by the files' extensions when absent.
    #[serde(default)]
    pub format: Option<String>,
}

impl Custom {
    /// Looks into the files: their format, their header, their classes. Rows are checked by [`Task::check`].
    pub fn resolve(&self) -> Result<Task, Error> {
        if !(1..=2).contains(&self.text.len()) {
            return Err(self.wrong(format!("`text` names {} columns; one or two are needed", self.text.len())));
        }
        let metrics = self.metrics()?;
        let regression = metrics.iter().any(|metric| metric.is_regression());
        if regression && !metrics.iter().all(|metric| metric.is_regression()) {
            return Err(self.wrong("the metrics mix those of classes with those of values".to_owned()));
        }
        let (train, by_name) = self.source(&self.train)?;
        let (dev, dev_by_name) = self.source(&self.dev)?;
        if by_name != dev_by_name {
            return Err(
                self.wrong("one of train and dev has a header with these columns, the other has none".to_owned())
            );
        }
        let column = |name: &String| match name.parse() {
            Ok(index) if !by_name => Column::Index(index),
            _ => Column::Name(name.clone()),
        };
        let label = column(&self.label);
        let labels = match (&self.labels, regression) {
            (None, true) => Labels::Regression,
            (Some(_), true) => {
                return Err(self.wrong("`labels` lists classes, but the metric is one of values".to_owned()));
            }
            (Some(words), false) => Labels::Classes(words.clone()),
            (None, false) => Labels::Classes(distinct(&train, &label, None)?),
        };
        self.check_classes(&labels, &metrics)?;
        Ok(Task {
            name: self.name.clone(),
            train: Some(train),
            dev: vec![Dev { suffix: String::new(), source: dev }],
            text: self.text.iter().map(column).collect(),
            label,
            labels,
            skip: None,
            skip_torn: false,
            metrics,
        })
    }

    fn wrong(&self, message: String) -> Error {
        Error::Definition { task: self.name.clone(), message }
    }

    fn metrics(&self) -> Result<Vec<Metric>, Error> {
        if self.metric.is_empty() {
            return Ok(vec![Metric::Accuracy]);
        }
        let known = || Metric::ALL.iter().map(|metric| metric.name());
        let parse = |name: &String| {
            Metric::parse(name).ok_or_else(|| {
                let known_names: Vec<_> = known().collect();
                self.wrong(format!(
                    "there is no metric `{name}`{}; known: {}",
                    hint(name, known()),
                    known_names.join(", ")
                ))
            })
        };
        self.metric.iter().map(parse).collect()
    }

    fn check_classes(&self, labels: &Labels, metrics: &[Metric]) -> Result<(), Error> {
        let Labels::Classes(words) = labels else { return Ok(()) };
        let repeated = words.iter().enumerate().find(|(i, word)| words[..*i].contains(word));
        if let Some((_, word)) = repeated {
            return Err(self.wrong(format!("`labels` has `{word}` twice")));
        }
        match words.len() {
            0 | 1 => Err(self.wrong(format!("two classes at least are needed; found: {}", words.join(", ")))),
            n if n > MAX_CLASSES => Err(self.wrong(format!(
                "the label column `{}` has {n} distinct values; for numbers, set metric = \"pearson\" or \"spearman\"",
                self.label
            ))),
            n if n > 2 && metrics.contains(&Metric::F1) => {
                Err(self.wrong(format!("f1 is for two classes (the second is the positive one), here are {n}")))
            }
            _ => Ok(()),
        }
    }

    /// The file with its format, and whether its columns go by name.
    fn source(&self, path: &Path) -> Result<(Source, bool), Error> {
        if !path.is_file() {
            return Err(self.wrong(format!("there is no file {}", path.display())));
        }
        let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        let kind = self.format.clone().or(extension).unwrap_or_default();
        let by_name = |format| -> Result<bool, Error> {
            let first = first_row(path, format)?;
            let wanted = || self.text.iter().chain([&self.label]);
            // Numbers are places, unless the header has them as names.
            Ok(wanted().any(|column| column.parse::<usize>().is_err()) || wanted().all(|column| first.contains(column)))
        };
        let (format, named) = match kind.as_str() {
            "tsv" | "txt" => {
                let named = by_name(Format::Tsv { header: true })?;
                (Format::Tsv { header: named }, named)
            }
            "csv" => {
                let named = by_name(Format::Csv { header: true })?;
                (Format::Csv { header: named }, named)
            }
            "jsonl" => (Format::Jsonl, true),
            other => {
                return Err(self.wrong(format!(
                    "the format of {} is not known (`{other}`); set format to \"tsv\", \"csv\" or \"jsonl\"",
                    path.display()
                )));
            }
        };
        Ok((Source { path: path.to_owned(), format }, named))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::task::read::rows;

    fn custom(
        folder: &Path,
        train: (&str, &str),
        dev: (&str, &str),
        text: &[&str],
        label: &str,
        metric: &str,
    ) -> Custom {
        std::fs::write(folder.join(train.0), train.1).unwrap();
        std::fs::write(folder.join(dev.0), dev.1).unwrap();
        Custom {
            name: "mine".into(),
            train: folder.join(train.0),
            dev: folder.join(dev.0),
            text: text.iter().map(|&t| t.into()).collect(),
            label: label.into(),
            metric: vec![metric.into()],
            ..Custom::default()
        }
    }

    #[test]
    fn three_formats_give_the_same_rows() {
        let folder = tempfile::tempdir().unwrap();
        let tsv = ("a.tsv", "s1\ts2\ty\nsays \"hi\"\tb, c\t10\nd\te\t9\n");
        let csv = ("b.csv", "y,s1,s2\n10,\"says \"\"hi\"\"\",\"b, c\"\n9,d,e\n");
        let jsonl = (
            "c.jsonl",
            "{\"s1\":\"says \\\"hi\\\"\",\"s2\":\"b, c\",\"y\":10}\n{\"y\":\"9\",\"s1\":\"d\",\"s2\":\"e\"}\n",
        );
        let task = custom(folder.path(), tsv, csv, &["s1", "s2"], "y", "accuracy").resolve().unwrap();
        assert_eq!(task.labels, Labels::Classes(vec!["9".into(), "10".into()]));
        let expected = rows(&task, task.train.as_ref().unwrap()).unwrap();
        assert_eq!(expected[0].text, ["says \"hi\"", "b, c"]);
        assert_eq!((expected[0].label, expected[1].label), (1.0, 0.0));
        assert_eq!(rows(&task, &task.dev[0].source).unwrap(), expected);
        let task = custom(folder.path(), tsv, jsonl, &["s1", "s2"], "y", "accuracy").resolve().unwrap();
        assert_eq!(rows(&task, &task.dev[0].source).unwrap(), expected);
        task.check().unwrap();
    }

    #[test]
    fn numbers_are_places_where_there_is_no_such_header() {
        let folder = tempfile::tempdir().unwrap();
        let (train, dev) = (("a.tsv", "x\t0.5\ny\t1.5\n"), ("b.tsv", "z\t-1\n"));
        let task = custom(folder.path(), train, dev, &["0"], "1", "pearson").resolve().unwrap();
        assert!(task.labels.is_regression());
        assert_eq!(rows(&task, task.train.as_ref().unwrap()).unwrap().len(), 2);
        let (train, dev) = (("a.csv", "0,1\nx,0.5\n"), ("b.csv", "0,1\nz,-1\n"));
        let task = custom(folder.path(), train, dev, &["0"], "1", "pearson").resolve().unwrap();
        assert_eq!(rows(&task, task.train.as_ref().unwrap()).unwrap().len(), 1);
    }

    #[test]
    fn faults_say_what_to_write_instead() {
        let folder = tempfile::tempdir().unwrap();
        let (train, dev) = (("a.tsv", "s\ty\na\tno\nb\tyes\n"), ("b.tsv", "s\ty\na\tno\n"));
        let good = custom(folder.path(), train, dev, &["s"], "y", "accuracy");
        let fault = |custom: Custom| custom.resolve().unwrap_err().to_string();
        let metric = |m: &[&str]| m.iter().map(|&m| m.to_owned()).collect();
        assert!(fault(Custom { metric: metric(&["acuracy"]), ..good.clone() }).contains("did you mean `accuracy`"));
        assert!(fault(Custom { metric: metric(&["accuracy", "pearson"]), ..good.clone() }).contains("mix"));
        assert!(fault(Custom { text: vec![], ..good.clone() }).contains("one or two"));
        assert!(fault(Custom { dev: "none.tsv".into(), ..good.clone() }).contains("none.tsv"));
        assert!(fault(Custom { format: Some("xml".into()), ..good.clone() }).contains("\"jsonl\""));
        assert!(fault(Custom { label: "Y2".into(), ..good.clone() }).contains("no column `Y2` (did you mean `y`?)"));
        assert!(fault(Custom { labels: Some(vec!["no".into(); 2]), ..good }).contains("twice"));
    }
}
