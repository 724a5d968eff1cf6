//! Data sets: columns, labels and metrics of each task; readers; tokens; batches.

pub mod batch;
mod custom;
mod error;
mod label_map;
pub mod leaderboard;
pub mod metric;
pub mod read;
mod registry;
mod tokenize;
mod tokens;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use batch::Batch;
pub use custom::Custom;
pub use error::{Error, Fault};
pub use label_map::label_map;
pub use metric::Metric;
pub use registry::{names, resolve, resolve_scored};
pub use tokenize::Tokenizer;
pub use tokens::{Loaded, Tokens, load};

/// A task with its files found: what a worker needs to read and score it. Built-in tasks and the user's own are alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    pub name: String,
    /// `None` where the task is only scored.
    pub train: Option<Source>,
    /// One or more; the first is the one that counts.
    pub dev: Vec<Dev>,
    /// One sentence, or a pair.
    pub text: Vec<Column>,
    pub label: Column,
    pub labels: Labels,
    /// Rows with this label are left out: SNLI's `-`, where the annotators did not agree.
    pub skip: Option<String>,
    /// Rows with too few columns are left out rather than refused: the official QQP files have a few torn rows.
    pub skip_torn: bool,
    /// The primary metric first; never empty.
    pub metrics: Vec<Metric>,
}

/// One data file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    pub path: PathBuf,
    pub format: Format,
}

/// How a file is cut into rows and fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Fields between tabs, no quoting at all: a quote is a character like any other.
    Tsv { header: bool },
    /// Fields between commas, quoted where needed (RFC 4180).
    Csv { header: bool },
    /// One JSON object a line.
    Jsonl,
}

/// A development set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dev {
    /// Put behind the metrics' names: empty, or `_mm` for MNLI's mismatched set.
    pub suffix: String,
    pub source: Source,
}

/// A column by its name in the header (the key, in JSONL), or by its place, counted from 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Column {
    Name(String),
    Index(usize),
}

/// What the label column holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Labels {
    /// The words for class 0, class 1, and so on.
    Classes(Vec<String>),
    /// Any finite number.
    Regression,
    /// A number of which the sign is the class: negative 0, positive 1. Rows nearer to zero than this are left out.
    Sign { neutral_below: f64 },
}

impl Labels {
    /// Outputs that a classification head needs: the number of classes, or 1 for a regression.
    pub fn outputs(&self) -> usize {
        match self {
            Labels::Classes(words) => words.len(),
            Labels::Regression => 1,
            Labels::Sign { .. } => 2,
        }
    }

    pub fn is_regression(&self) -> bool {
        matches!(self, Labels::Regression)
    }

    /// The words for class 0, class 1, and so on; none for a regression.
    pub fn words(&self) -> Vec<String> {
        match self {
            Labels::Classes(words) => words.clone(),
            Labels::Sign { .. } => vec!["negative".to_owned(), "positive".to_owned()],
            Labels::Regression => Vec::new(),
        }
    }
}

impl Task {
    /// Every metric on a dev set, under its name with that set's suffix behind it.
    /// `predictions` and `labels` hold class indices, or values for a regression; `None` where a metric is undefined.
    pub fn score(&self, suffix: &str, predictions: &[f32], labels: &[f32]) -> BTreeMap<String, Option<f64>> {
        self.metrics.iter().map(|m| (format!("{m}{suffix}"), m.of(predictions, labels))).collect()
    }

    /// The names of all scores on its dev sets.
    pub fn score_names(&self) -> Vec<String> {
        self.dev.iter().flat_map(|dev| self.metrics.iter().map(|m| format!("{m}{}", dev.suffix))).collect()
    }

    /// The name under which [`Task::score`] gives the score that tables show.
    pub fn headline(&self) -> String {
        let suffix = self.dev.first().map_or("", |dev| &dev.suffix);
        self.metrics.first().map_or_else(String::new, |metric| format!("{metric}{suffix}"))
    }

    /// The same task without its training set.
    pub fn scored(self) -> Task {
        Task { train: None, ..self }
    }

    /// Hash of what the files hold and how they are read and scored; names and places do not count.
    pub fn fingerprint(&self) -> Result<String, Error> {
        let mut anonymous = self.clone();
        anonymous.name.clear();
        anonymous.sources_mut().for_each(|source| source.path.clear());
        let definition = serde_json::to_vec(&anonymous).expect("a task holds only words, numbers and lists");
        let mut hasher = blake3::Hasher::new_derive_key("sweep task fingerprint");
        hasher.update(&definition);
        for source in self.sources() {
            hasher.update(hash_file(&source.path)?.as_bytes());
        }
        Ok(hasher.finalize().to_hex().to_string())
    }

    /// Reads every row of every file once; an error lists the first malformed rows of the first bad file.
    pub fn check(&self) -> Result<(), Error> {
        self.sources().try_for_each(|source| read::rows(self, source).map(drop))
    }

    /// Rows of the training set, read anew; 0 where the task is only scored.
    ///
    /// # Errors
    /// A file that cannot be read, or malformed rows.
    pub fn train_examples(&self) -> Result<u32, Error> {
        self.train.as_ref().map_or(Ok(0), |source| Ok(read::rows(self, source)?.len() as u32))
    }

    fn sources(&self) -> impl Iterator<Item = &Source> {
        self.train.iter().chain(self.dev.iter().map(|dev| &dev.source))
    }

    fn sources_mut(&mut self) -> impl Iterator<Item = &mut Source> {
        self.train.iter_mut().chain(self.dev.iter_mut().map(|dev| &mut dev.source))
    }
}

fn hash_file(path: &Path) -> Result<blake3::Hash, Error> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(std::fs::File::open(path).map_err(io)?).map_err(io)?;
    Ok(hasher.finalize())
}

/// The known word that was probably meant, if one is near enough.
fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let close = |k: &str| strsim::normalized_damerau_levenshtein(&word.to_lowercase(), &k.to_lowercase());
    known
        .into_iter()
        .map(|k| (close(k), k))
        .filter(|(c, _)| *c >= 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k)
}

/// ` (did you mean `x`?)`, or nothing.
fn hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known).map_or_else(String::new, |near| format!(" (did you mean `{near}`?)"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn task(folder: &Path) -> Task {
        let custom = Custom {
            name: "mine".into(),
            train: folder.join("train.tsv"),
            dev: folder.join("dev.tsv"),
            text: vec!["s".into()],
            label: "y".into(),
            metric: vec!["accuracy".into(), "matthews".into()],
            ..Custom::default()
        };
        std::fs::write(&custom.train, "s\ty\na\tno\nb\tyes\n").unwrap();
        std::fs::write(&custom.dev, "s\ty\na\tno\n").unwrap();
        custom.resolve().unwrap()
    }

    #[test]
    fn fingerprint_follows_content_and_definition_but_not_places() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (a, b) = (task(one.path()), task(two.path()));
        let before = a.fingerprint().unwrap();
        assert_eq!(before, b.fingerprint().unwrap());
        let fewer = Task { metrics: vec![Metric::Accuracy], ..a.clone() };
        assert_ne!(before, fewer.fingerprint().unwrap());
        std::fs::write(&a.dev[0].source.path, "s\ty\na\tyes\n").unwrap();
        assert_ne!(before, a.fingerprint().unwrap());
    }

    #[test]
    fn scores_carry_the_suffix_of_their_dev_set() {
        let folder = tempfile::tempdir().unwrap();
        let scores = task(folder.path()).score("_mm", &[0.0, 0.0], &[0.0, 1.0]);
        assert_eq!(scores, BTreeMap::from([("accuracy_mm".into(), Some(0.5)), ("matthews_mm".into(), None)]));
        assert_eq!(task(folder.path()).headline(), "accuracy");
    }

    #[test]
    fn a_task_survives_the_trip_to_a_worker() {
        let folder = tempfile::tempdir().unwrap();
        let task = task(folder.path());
        let text = serde_json::to_string(&task).unwrap();
        assert_eq!(serde_json::from_str::<Task>(&text).unwrap(), task);
    }
}
