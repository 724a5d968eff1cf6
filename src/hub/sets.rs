//! The data sets of the built-in tasks on the hub, and the files of the official releases that their rows are written to.

/// A data set: where it is, and what becomes of it.
#[derive(Debug, Clone, Copy)]
pub struct Set {
    /// Built-in tasks that read it.
    pub tasks: &'static [&'static str],
    pub repo: &'static str,
    /// The folder of its files in the repository.
    pub config: &'static str,
    /// The folder under the data folder that holds this release and its like.
    pub group: &'static str,
    pub layout: Layout,
    pub files: &'static [File],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Rows of fields between tabs.
    Tsv { header: bool },
    /// One JSON object a line.
    Jsonl,
}

/// A file of the official release.
#[derive(Debug, Clone, Copy)]
pub struct File {
    /// Under the group's folder.
    pub path: &'static str,
    pub split: &'static str,
    /// As published; anything else is refused.
    pub rows: usize,
    pub columns: Columns,
}

/// Header, and where the field comes from.
pub type Columns = &'static [(&'static str, Field)];

/// A field of an official file, made of a column on the hub.
#[derive(Debug, Clone, Copy)]
pub enum Field {
    /// The row's number, from 0.
    Number,
    Text(&'static str),
    /// The word for class 0, class 1, …; the last one for rows without a class, where there is one.
    Class(&'static str, &'static [&'static str], Option<&'static str>),
    Value(&'static str),
    /// A word there, and the word here.
    Word(&'static str, &'static [(&'static str, &'static str)]),
    /// The hub does not have it, and no task reads it.
    Absent,
}

use Field::{Absent, Class, Number, Text, Value, Word};

const BINARY: Field = Class("label", &["0", "1"], None);
const RTE: Field = Class("label", &["entailment", "not_entailment"], None);
const NLI: Field = Class("label", &["entailment", "neutral", "contradiction"], None);
const SICK: Field = Class("label", &["ENTAILMENT", "NEUTRAL", "CONTRADICTION"], None);
const SNLI: Field = Class("label", &["entailment", "neutral", "contradiction"], Some("-"));
const SCITAIL: Field = Word("gold_label", &[("entailment", "entails"), ("neutral", "neutral")]);

const SENTENCE: (&str, Field) = ("sentence", Text("sentence"));
const FIRST: (&str, Field) = ("sentence1", Text("sentence1"));
const SECOND: (&str, Field) = ("sentence2", Text("sentence2"));
const PREMISE: (&str, Field) = ("sentence1", Text("premise"));
const HYPOTHESIS: (&str, Field) = ("sentence2", Text("hypothesis"));
const INDEX: (&str, Field) = ("index", Number);

const COLA: Columns = &[("source", Absent), ("label", BINARY), ("mark", Absent), SENTENCE];
const SST2: Columns = &[SENTENCE, ("label", BINARY)];
const ONE: Columns = &[INDEX, SENTENCE];
const PAIR: Columns = &[INDEX, FIRST, SECOND];
const MRPC: Columns = &[
    ("Quality", BINARY),
    ("#1 ID", Absent),
    ("#2 ID", Absent),
    ("#1 String", Text("sentence1")),
    ("#2 String", Text("sentence2")),
];
const MRPC_TEST: Columns =
    &[INDEX, ("#1 ID", Absent), ("#2 ID", Absent), ("#1 String", Text("sentence1")), ("#2 String", Text("sentence2"))];
const QQP: Columns = &[
    ("id", Number),
    ("qid1", Absent),
    ("qid2", Absent),
    ("question1", Text("question1")),
    ("question2", Text("question2")),
    ("is_duplicate", BINARY),
];
const QQP_TEST: Columns = &[("id", Number), ("question1", Text("question1")), ("question2", Text("question2"))];
const STSB: Columns = &[
    INDEX,
    ("genre", Absent),
    ("filename", Absent),
    ("year", Absent),
    ("old_index", Absent),
    ("source1", Absent),
    ("source2", Absent),
    FIRST,
    SECOND,
    ("score", Value("label")),
];
const STSB_TEST: Columns = &[
    INDEX,
    ("genre", Absent),
    ("filename", Absent),
    ("year", Absent),
    ("old_index", Absent),
    ("source1", Absent),
    ("source2", Absent),
    FIRST,
    SECOND,
];
const MNLI: Columns =
    &[INDEX, ("promptID", Absent), ("pairID", Absent), ("genre", Absent), PREMISE, HYPOTHESIS, ("gold_label", NLI)];
const MNLI_TEST: Columns = &[INDEX, ("promptID", Absent), ("pairID", Absent), ("genre", Absent), PREMISE, HYPOTHESIS];
const DIAGNOSTIC: Columns = &[INDEX, PREMISE, HYPOTHESIS];
const QNLI: Columns = &[INDEX, ("question", Text("question")), SENTENCE, ("label", RTE)];
const QNLI_TEST: Columns = &[INDEX, ("question", Text("question")), SENTENCE];
const RTE_ROWS: Columns = &[INDEX, FIRST, SECOND, ("label", RTE)];
const WNLI: Columns = &[INDEX, FIRST, SECOND, ("label", BINARY)];
const SICK_ROWS: Columns = &[
    ("pair_ID", Text("id")),
    ("sentence_A", Text("sentence_A")),
    ("sentence_B", Text("sentence_B")),
    ("relatedness_score", Value("relatedness_score")),
    ("entailment_judgment", SICK),
];
const SNLI_ROWS: Columns = &[("gold_label", SNLI), PREMISE, HYPOTHESIS];
const SCITAIL_ROWS: Columns = &[FIRST, SECOND, ("label", SCITAIL)];

const fn file(path: &'static str, split: &'static str, rows: usize, columns: Columns) -> File {
    File { path, split, rows, columns }
}

const fn glue(tasks: &'static [&'static str], config: &'static str, files: &'static [File]) -> Set {
    Set { tasks, repo: "nyu-mll/glue", config, group: "glue", layout: Layout::Tsv { header: true }, files }
}

const fn nli(
    tasks: &'static [&'static str],
    repo: &'static str,
    config: &'static str,
    layout: Layout,
    files: &'static [File],
) -> Set {
    Set { tasks, repo, config, group: "nli", layout, files }
}

/// Sizes are those of the GLUE paper's files and of the releases named in docs/data.md.
#[rustfmt::skip]
pub static SETS: &[Set] = &[
    Set { layout: Layout::Tsv { header: false }, ..glue(&["cola"], "cola", &[file("CoLA/train.tsv", "train", 8551, COLA), file("CoLA/dev.tsv", "validation", 1043, COLA)]) },
    glue(&["cola"], "cola", &[file("CoLA/test.tsv", "test", 1063, ONE)]),
    glue(&["sst2"], "sst2", &[file("SST-2/train.tsv", "train", 67349, SST2), file("SST-2/dev.tsv", "validation", 872, SST2), file("SST-2/test.tsv", "test", 1821, ONE)]),
    glue(&["mrpc"], "mrpc", &[file("MRPC/train.tsv", "train", 3668, MRPC), file("MRPC/dev.tsv", "validation", 408, MRPC), file("MRPC/test.tsv", "test", 1725, MRPC_TEST)]),
    glue(&["qqp"], "qqp", &[file("QQP/train.tsv", "train", 363_846, QQP), file("QQP/dev.tsv", "validation", 40430, QQP), file("QQP/test.tsv", "test", 390_965, QQP_TEST)]),
    glue(&["stsb"], "stsb", &[file("STS-B/train.tsv", "train", 5749, STSB), file("STS-B/dev.tsv", "validation", 1500, STSB), file("STS-B/test.tsv", "test", 1379, STSB_TEST)]),
    glue(&["mnli", "mnli-mm"], "mnli", &[
        file("MNLI/train.tsv", "train", 392_702, MNLI),
        file("MNLI/dev_matched.tsv", "validation_matched", 9815, MNLI),
        file("MNLI/dev_mismatched.tsv", "validation_mismatched", 9832, MNLI),
        file("MNLI/test_matched.tsv", "test_matched", 9796, MNLI_TEST),
        file("MNLI/test_mismatched.tsv", "test_mismatched", 9847, MNLI_TEST),
    ]),
    glue(&["mnli", "mnli-mm"], "ax", &[file("diagnostic/diagnostic.tsv", "test", 1104, DIAGNOSTIC)]),
    glue(&["qnli"], "qnli", &[file("QNLI/train.tsv", "train", 104_743, QNLI), file("QNLI/dev.tsv", "validation", 5463, QNLI), file("QNLI/test.tsv", "test", 5463, QNLI_TEST)]),
    glue(&["rte"], "rte", &[file("RTE/train.tsv", "train", 2490, RTE_ROWS), file("RTE/dev.tsv", "validation", 277, RTE_ROWS), file("RTE/test.tsv", "test", 3000, PAIR)]),
    glue(&["wnli"], "wnli", &[file("WNLI/train.tsv", "train", 635, WNLI), file("WNLI/dev.tsv", "validation", 71, WNLI), file("WNLI/test.tsv", "test", 146, PAIR)]),
    nli(&["sick"], "RobZamp/sick", "default", Layout::Tsv { header: true }, &[file("SICK/SICK_train.txt", "train", 4439, SICK_ROWS), file("SICK/SICK_trial.txt", "validation", 495, SICK_ROWS), file("SICK/SICK_test_annotated.txt", "test", 4906, SICK_ROWS)]),
    nli(&["snli"], "stanfordnlp/snli", "plain_text", Layout::Jsonl, &[file("SNLI/snli_1.0_train.jsonl", "train", 550_152, SNLI_ROWS), file("SNLI/snli_1.0_dev.jsonl", "validation", 10000, SNLI_ROWS), file("SNLI/snli_1.0_test.jsonl", "test", 10000, SNLI_ROWS)]),
    nli(&["scitail"], "allenai/scitail", "snli_format", Layout::Tsv { header: false }, &[file("SciTail/scitail_1.0_train.tsv", "train", 23596, SCITAIL_ROWS), file("SciTail/scitail_1.0_dev.tsv", "validation", 1304, SCITAIL_ROWS), file("SciTail/scitail_1.0_test.tsv", "test", 2126, SCITAIL_ROWS)]),
];

/// What a task is made of; nothing for one whose data are not on the hub.
pub fn of(task: &str) -> impl Iterator<Item = &'static Set> {
    SETS.iter().filter(move |set| set.tasks.contains(&task))
}

impl Set {
    /// The parquet files of a split among a repository's, in order: `rte/train-00000-of-00001.parquet`, or
    /// `rte/train/0000.parquet` as the hub's own conversion names them.
    pub fn parquet(&self, split: &str, there: &[String]) -> Vec<String> {
        let is_of = |file: &&String| {
            let Some(path) = file.strip_suffix(".parquet") else { return false };
            let Some(rest) = path.strip_prefix(self.config).and_then(|rest| rest.strip_prefix('/')) else {
                return false;
            };
            let (first, _) = rest.split_once(['-', '/']).unwrap_or((rest, ""));
            first == split
        };
        let mut files: Vec<String> = there.iter().filter(is_of).cloned().collect();
        files.sort();
        files
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_task_that_is_here_finds_its_files_where_they_are_written() {
        let data = tempfile::tempdir().unwrap();
        for file in SETS.iter().flat_map(|set| set.files.iter().map(move |file| (set.group, file.path))) {
            let path = data.path().join(file.0).join(file.1);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let names = crate::task::names();
        let on_the_hub: Vec<_> = names.iter().filter(|name| of(name).next().is_some()).collect();
        assert_eq!(on_the_hub.len(), 13);
        for name in on_the_hub {
            crate::task::resolve(name, &[data.path().to_owned()]).unwrap();
        }
        assert!(of("movies-rating").next().is_none());
    }

    #[test]
    fn splits_are_found_by_either_naming() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let there = list(&[
            "README.md",
            "mnli/validation_matched-00000-of-00001.parquet",
            "mnli_matched/validation-00000-of-00001.parquet",
            "mnli/train-00001-of-00002.parquet",
            "mnli/train-00000-of-00002.parquet",
            "mnli/validation_mismatched/0000.parquet",
        ]);
        let mnli = of("mnli").next().unwrap();
        let train = ["mnli/train-00000-of-00002.parquet", "mnli/train-00001-of-00002.parquet"];
        assert_eq!(mnli.parquet("train", &there), train);
        assert_eq!(mnli.parquet("validation_mismatched", &there), ["mnli/validation_mismatched/0000.parquet"]);
        assert!(mnli.parquet("validation", &there).is_empty());
    }
}
