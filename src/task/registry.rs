//! The built-in tasks, one line each, and where their files are looked for.

use std::path::{Path, PathBuf};

use super::metric::Metric::{self, Accuracy, F1, Matthews, Pearson, Spearman};
use super::{Column, Dev, Error, Format, Labels, Source, Task, hint};

/// Ratings of the demo's sets lie in [-4, 4]; nearer to zero than this counts as neither positive nor negative.
const NEUTRAL_BELOW: f64 = 0.5;

const BINARY: Kind = Kind::Classes(&["0", "1"]);
const RTE: Kind = Kind::Classes(&["entailment", "not_entailment"]);
const NLI: Kind = Kind::Classes(&["entailment", "neutral", "contradiction"]);
const SICK: Kind = Kind::Classes(&["ENTAILMENT", "NEUTRAL", "CONTRADICTION"]);
const SCITAIL: Kind = Kind::Classes(&["entails", "neutral"]);
const SIGN: Kind = Kind::Sign(NEUTRAL_BELOW);

const ONE: &[&str] = &["sentence"];
const PAIR: &[&str] = &["sentence1", "sentence2"];

#[rustfmt::skip]
static TASKS: &[Entry] = &[
    glue("cola", "CoLA", &["3"], "1", BINARY, &[Matthews, Accuracy]).bare(),
    glue("sst2", "SST-2", ONE, "label", BINARY, &[Accuracy]),
    glue("mrpc", "MRPC", &["#1 String", "#2 String"], "Quality", BINARY, &[F1, Accuracy]),
    glue("qqp", "QQP", &["question1", "question2"], "is_duplicate", BINARY, &[F1, Accuracy]).torn(),
    glue("stsb", "STS-B", PAIR, "score", Kind::Regression, &[Spearman, Pearson]),
    glue("mnli", "MNLI", PAIR, "gold_label", NLI, &[Accuracy]).dev(&[("", &["dev_matched.tsv"]), ("_mm", &["dev_mismatched.tsv"])]),
    glue("mnli-mm", "MNLI", PAIR, "gold_label", NLI, &[Accuracy]).dev(&[("", &["dev_mismatched.tsv"])]),
    glue("qnli", "QNLI", &["question", "sentence"], "label", RTE, &[Accuracy]),
    glue("rte", "RTE", PAIR, "label", RTE, &[Accuracy]),
    glue("wnli", "WNLI", PAIR, "label", BINARY, &[Accuracy]),
    glue("sick", "SICK", &["sentence_A", "sentence_B"], "entailment_judgment", SICK, &[Accuracy]).train(&["SICK_train.txt"]).dev(&[("", &["SICK_trial.txt"])]).source("SICK's own release"),
    glue("snli", "SNLI", PAIR, "gold_label", NLI, &[Accuracy]).train(&["snli_1.0_train.jsonl", "snli_1.0_train_1pct.jsonl"]).dev(&[("", &["snli_1.0_dev.jsonl"])]).jsonl().skip("-").source("SNLI 1.0's own release"),
    glue("scitail", "SciTail", &["0", "1"], "2", SCITAIL, &[Accuracy]).train(&["scitail_1.0_train.tsv"]).dev(&[("", &["scitail_1.0_dev.tsv", "scitail_1.0_dev_tokenized.tsv"])]).bare().source("SciTail 1.0's own release (folder tsv_format)"),
    demo("movies-rating", "movies", Kind::Regression, &[Pearson, Spearman]),
    demo("tweets-rating", "tweets", Kind::Regression, &[Pearson, Spearman]),
    demo("products-rating", "products", Kind::Regression, &[Pearson, Spearman]),
    demo("editorials-rating", "editorials", Kind::Regression, &[Pearson, Spearman]),
    demo("movies-polarity", "movies", SIGN, &[Accuracy, Matthews]),
    demo("tweets-polarity", "tweets", SIGN, &[Accuracy, Matthews]),
    demo("products-polarity", "products", SIGN, &[Accuracy, Matthews]),
    demo("editorials-polarity", "editorials", SIGN, &[Accuracy, Matthews]),
];

/// [`Labels`], as a constant.
#[derive(Clone, Copy)]
enum Kind {
    Classes(&'static [&'static str]),
    Regression,
    Sign(f64),
}

/// The files that may hold a split, in the order in which they are preferred.
type Files = &'static [&'static str];

/// A task before its files are found.
#[derive(Clone, Copy)]
struct Entry {
    name: &'static str,
    folder: &'static str,
    train: Files,
    /// Suffix of the metrics, files.
    dev: &'static [(&'static str, Files)],
    format: Format,
    text: &'static [&'static str],
    label: &'static str,
    labels: Kind,
    skip: Option<&'static str>,
    skip_torn: bool,
    metrics: &'static [Metric],
    origin: Origin,
}

/// Where missing files come from.
#[derive(Clone, Copy)]
enum Origin {
    Demo,
    Official(&'static str),
}

const fn glue(
    name: &'static str,
    folder: &'static str,
    text: &'static [&'static str],
    label: &'static str,
    labels: Kind,
    metrics: &'static [Metric],
) -> Entry {
    Entry {
        name,
        folder,
        train: &["train.tsv"],
        dev: &[("", &["dev.tsv"])],
        format: Format::Tsv { header: true },
        text,
        label,
        labels,
        skip: None,
        skip_torn: false,
        metrics,
        origin: Origin::Official("the GLUE download"),
    }
}

const fn demo(name: &'static str, folder: &'static str, labels: Kind, metrics: &'static [Metric]) -> Entry {
    Entry { origin: Origin::Demo, ..glue(name, folder, ONE, "rating", labels, metrics) }
}

impl Entry {
    /// No header; columns are counted from 0.
    const fn bare(self) -> Entry {
        Entry { format: Format::Tsv { header: false }, ..self }
    }
    const fn jsonl(self) -> Entry {
        Entry { format: Format::Jsonl, ..self }
    }
    const fn train(self, train: Files) -> Entry {
        Entry { train, ..self }
    }
    const fn dev(self, dev: &'static [(&'static str, Files)]) -> Entry {
        Entry { dev, ..self }
    }
    const fn skip(self, label: &'static str) -> Entry {
        Entry { skip: Some(label), ..self }
    }
    const fn torn(self) -> Entry {
        Entry { skip_torn: true, ..self }
    }
    const fn source(self, release: &'static str) -> Entry {
        Entry { origin: Origin::Official(release), ..self }
    }

    /// The files of the training set, unless the task is only scored, and of the dev sets.
    fn splits(&self, is_trained: bool) -> impl Iterator<Item = Files> {
        is_trained.then_some(self.train).into_iter().chain(self.dev.iter().map(|dev| dev.1))
    }

    fn column(&self, column: &str) -> Column {
        match (self.format, column.parse()) {
            (Format::Tsv { header: false }, Ok(index)) => Column::Index(index),
            _ => Column::Name(column.to_owned()),
        }
    }

    fn task(&self, is_trained: bool, mut paths: impl Iterator<Item = PathBuf>) -> Option<Task> {
        let mut source = || Some(Source { path: paths.next()?, format: self.format });
        Some(Task {
            name: self.name.to_owned(),
            train: if is_trained { Some(source()?) } else { None },
            dev: (self.dev.iter())
                .map(|(suffix, _)| Some(Dev { suffix: (*suffix).to_owned(), source: source()? }))
                .collect::<Option<_>>()?,
            text: self.text.iter().map(|column| self.column(column)).collect(),
            label: self.column(self.label),
            labels: match self.labels {
                Kind::Classes(words) => Labels::Classes(words.iter().map(|&word| word.to_owned()).collect()),
                Kind::Regression => Labels::Regression,
                Kind::Sign(neutral_below) => Labels::Sign { neutral_below },
            },
            skip: self.skip.map(str::to_owned),
            skip_torn: self.skip_torn,
            metrics: self.metrics.to_vec(),
        })
    }
}

/// The built-in tasks' names.
pub fn names() -> Vec<&'static str> {
    TASKS.iter().map(|entry| entry.name).collect()
}

/// Finds the files of a built-in task in one of the data folders: in `<data>/X`, `<data>/glue/X`, `<data>/nli/X`,
/// `<data>/demo/X` or `<data>/../nli/X`; the first folder that has all of them counts.
pub fn resolve(name: &str, data_dirs: &[PathBuf]) -> Result<Task, Error> {
    find(name, data_dirs, true)
}

/// The same for a task that is only scored: its training set need not be there.
pub fn resolve_scored(name: &str, data_dirs: &[PathBuf]) -> Result<Task, Error> {
    find(name, data_dirs, false)
}

/// Where the folders of tasks are looked for.
pub(super) fn roots(data_dirs: &[PathBuf]) -> impl Iterator<Item = PathBuf> {
    data_dirs.iter().flat_map(|d| [d.clone(), d.join("glue"), d.join("nli"), d.join("demo"), d.join("../nli")])
}

fn find(name: &str, data_dirs: &[PathBuf], is_trained: bool) -> Result<Task, Error> {
    let entry = TASKS.iter().find(|entry| entry.name == name).ok_or_else(|| Error::Unknown {
        name: name.to_owned(),
        hint: hint(name, names()),
        known: names().join(", "),
    })?;
    let looked: Vec<PathBuf> = roots(data_dirs).map(|root| root.join(entry.folder)).collect();
    let found = |folder: &Path, files: Files| files.iter().map(|file| folder.join(file)).find(|path| path.is_file());
    for folder in &looked {
        let paths: Option<Vec<PathBuf>> = entry.splits(is_trained).map(|files| found(folder, files)).collect();
        if let Some(task) = paths.and_then(|paths| entry.task(is_trained, paths.into_iter())) {
            return Ok(task);
        }
    }
    // Somebody who has most of the files wants to know which one is missing.
    let missing_in =
        |folder: &PathBuf| entry.splits(is_trained).filter(|files| found(folder, files).is_none()).collect::<Vec<_>>();
    let missing =
        looked.iter().map(missing_in).min_by_key(Vec::len).unwrap_or_else(|| entry.splits(is_trained).collect());
    let file = missing.first().map_or_else(String::new, |files| files.join(" or "));
    let remedy = match entry.origin {
        Origin::Demo => "`make setup` (scripts/fetch-demo.sh) gets it".to_owned(),
        Origin::Official(release) => format!(
            "It is part of {release}: `sweep fetch --task {name}` gets it from the hub, or put it in a folder {}/ under the data \
             folder, which is given with --data or SWEEP_DATA",
            entry.folder
        ),
    };
    Err(Error::Missing { task: name.to_owned(), file: format!("{}/{file}", entry.folder), looked, remedy })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_task_resolves_where_its_files_are() {
        assert_eq!(TASKS.len(), 21);
        for entry in TASKS {
            for root in ["", "glue", "nli", "demo"] {
                let data = tempfile::tempdir().unwrap();
                let folder = data.path().join(root).join(entry.folder);
                std::fs::create_dir_all(&folder).unwrap();
                entry.splits(true).for_each(|files| std::fs::write(folder.join(files[files.len() - 1]), "").unwrap());
                let task = resolve(entry.name, &["/nowhere".into(), data.path().to_owned()]).unwrap();
                assert_eq!(task.dev.len(), entry.dev.len());
                assert!(task.train.unwrap().path.starts_with(&folder) && !task.metrics.is_empty());
            }
        }
    }

    #[test]
    fn nli_beside_the_glue_folder_is_found() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("nli/SICK");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::create_dir(data.path().join("glue")).unwrap();
        ["SICK_train.txt", "SICK_trial.txt"].iter().for_each(|f| std::fs::write(folder.join(f), "").unwrap());
        assert!(resolve("sick", &[data.path().join("glue")]).is_ok());
    }

    #[test]
    fn errors_name_the_file_the_places_and_the_remedy() {
        let data = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(data.path().join("glue/MNLI")).unwrap();
        ["train.tsv", "dev_matched.tsv"]
            .iter()
            .for_each(|f| std::fs::write(data.path().join("glue/MNLI").join(f), "").unwrap());
        let text = resolve("mnli", &[data.path().to_owned()]).unwrap_err().to_string();
        assert!(
            text.contains("MNLI/dev_mismatched.tsv") && text.contains("glue/MNLI,") && text.contains("SWEEP_DATA"),
            "{text}"
        );
        let text = resolve("movies-rating", &[]).unwrap_err().to_string();
        assert!(text.contains("movies/train.tsv") && text.contains("make setup"), "{text}");
        let text = resolve("mrcp", &[]).unwrap_err().to_string();
        assert!(text.contains("did you mean `mrpc`") && text.contains("tweets-polarity"), "{text}");
    }
}
