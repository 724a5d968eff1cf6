#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::path::PathBuf;

use super::*;
use crate::task::{Metric, resolve};

/// A regression or two-class task over one file `x` with a header.
fn task(text: &[&str], labels: Labels, format: Format) -> Task {
    Task {
        name: "t".into(),
        train: Some(Source { path: PathBuf::new(), format }),
        dev: vec![],
        text: text.iter().map(|&name| Column::Name(name.into())).collect(),
        label: Column::Name("y".into()),
        labels,
        skip: Some("-".into()),
        skip_torn: false,
        metrics: vec![Metric::Accuracy],
    }
}

fn parse(task: &Task, content: &[u8]) -> Result<Vec<Row>, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    std::fs::write(&path, content).unwrap();
    rows(task, &Source { path, format: task.train.as_ref().unwrap().format })
}

fn fault(task: &Task, content: &[u8]) -> String {
    parse(task, content).unwrap_err().to_string()
}

const TSV: Format = Format::Tsv { header: true };

fn classes() -> Labels {
    Labels::Classes(vec!["no".into(), "yes".into()])
}

#[test]
fn tsv_keeps_quotes_and_drops_mark_and_carriage_returns() {
    let task = task(&["s"], classes(), TSV);
    let found = parse(&task, b"\xef\xbb\xbfy\ts\r\nyes\t\"a\" \"\"b\x08\r\n-\tleft out\r\nno\t ").unwrap();
    let texts: Vec<_> = found.iter().map(|row| (row.text[0].as_str(), row.label)).collect();
    assert_eq!(texts, [("\"a\" \"\"b\x08", 1.0), (" ", 0.0)]);
}

#[test]
fn malformed_rows_name_their_line() {
    let task = task(&["s"], classes(), TSV);
    let text = fault(&task, b"s\ty\na\tyes\nb\nc\tyess\nd\tyes\tz\n\xff\tno\n\nf\tno\n");
    for part in [
        "x:3: columns: 1 found, 2 expected",
        "x:4: the label `yess` is not among the known ones: no, yes (did you mean `yes`?)",
        "x:5: columns: 3 found, 2 expected",
        "x:6: not UTF-8 at byte 1",
        "x:7: columns: 1 found",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let many = format!("s\ty\n{}", "a\n".repeat(9));
    assert!(fault(&task, many.as_bytes()).contains("and 4 more malformed rows"));
}

#[test]
fn numbers_are_finite() {
    let task = task(&["s"], Labels::Regression, TSV);
    assert_eq!(parse(&task, b"s\ty\na\t-1.5\n").unwrap()[0].label, -1.5);
    for bad in ["", "x", "NaN", "inf", "1e60", "1,5"] {
        let text = fault(&task, format!("s\ty\na\t{bad}\n").as_bytes());
        assert!(text.contains("x:2:") && text.contains("finite number"), "{text}");
    }
}

#[test]
fn the_sign_leaves_out_what_is_near_zero() {
    let task = task(&["s"], Labels::Sign { neutral_below: 0.5 }, TSV);
    let found = parse(&task, b"s\ty\na\t0.5\nb\t0.49\nc\t-0.5\nd\t-0.4\ne\t0\n").unwrap();
    assert_eq!(found.iter().map(|row| (row.text[0].as_str(), row.label)).collect::<Vec<_>>(), [("a", 1.0), ("c", 0.0)]);
}

#[test]
fn empty_files_and_unknown_columns_are_faults() {
    let mine = task(&["s"], classes(), TSV);
    assert!(fault(&mine, b"").contains("the file is empty"));
    assert!(fault(&mine, b"s\ty\n\n").contains("no rows"));
    assert!(fault(&task(&["sentence"], classes(), TSV), b"sentence1\ty\na\tno\n").contains("did you mean `sentence1`"));
    let bare = Task {
        label: Column::Index(2),
        text: vec![Column::Index(0)],
        ..task(&[], classes(), Format::Tsv { header: false })
    };
    assert!(fault(&bare, b"a\tno\n").contains("no column 2"));
}

#[test]
fn csv_rows_may_span_lines() {
    let task = task(&["s"], classes(), Format::Csv { header: true });
    assert_eq!(parse(&task, b"s,y\n\"a, \"\"b\"\"\nc\",yes\n").unwrap()[0].text[0], "a, \"b\"\nc");
    let text = fault(&task, b"s,y\n\"a\nb\",yes\nc\n");
    assert!(text.contains("x:4: columns: 1 found"), "{text}");
}

#[test]
fn jsonl_faults_name_key_and_line() {
    let task = task(&["s"], classes(), Format::Jsonl);
    let text =
        fault(&task, b"{\"s\":\"a\",\"y\":\"no\"}\n{\"S\":\"a\",\"y\":\"no\"}\n[1]\n{\"s\":null,\"y\":\"no\"}\n");
    for part in ["x:2: no key `s` (did you mean `S`?)", "x:3: not a JSON object", "x:4: `s` is neither"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[test]
fn torn_rows_are_left_out_where_the_task_says_so() {
    let task = Task { skip_torn: true, ..task(&["s"], classes(), TSV) };
    assert_eq!(parse(&task, b"s\ty\na\nb\tno\n").unwrap().len(), 1);
}

/// Rows of each class, in order.
fn distribution(rows: &[Row], classes: usize) -> Vec<usize> {
    (0..classes).map(|class| rows.iter().filter(|row| row.label == class as f32).count()).collect()
}

fn assert_published(data: &[PathBuf], name: &str, train: &[usize], dev: &[&[usize]]) {
    let task = resolve(name, data).unwrap_or_else(|fault| panic!("{fault}"));
    let count =
        |source| distribution(&rows(&task, source).unwrap_or_else(|fault| panic!("{fault}")), task.labels.outputs());
    assert_eq!(count(task.train.as_ref().unwrap()), train, "{name} train");
    let found: Vec<_> = task.dev.iter().map(|dev| count(&dev.source)).collect();
    assert_eq!(found, dev, "{name} dev");
}

#[test]
fn real_files_have_the_published_rows_and_labels() {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let data = std::env::var_os("SWEEP_TEST_DATA").map_or_else(beside, PathBuf::from);
    if !data.is_dir() {
        eprintln!("skipped: no GLUE and NLI files in {} (SWEEP_TEST_DATA names the folder)", data.display());
        return;
    }
    let data = [data];
    assert_published(&data, "cola", &[2528, 6023], &[&[322, 721]]);
    assert_published(&data, "sst2", &[29780, 37569], &[&[428, 444]]);
    assert_published(&data, "mrpc", &[1194, 2474], &[&[129, 279]]);
    assert_published(&data, "qqp", &[6338, 3662], &[&[12690, 7525]]);
    assert_published(&data, "mnli", &[3275, 3330, 3395], &[&[3479, 3123, 3213], &[1746, 1586, 1584]]);
    assert_published(&data, "rte", &[1249, 1241], &[&[146, 131]]);
    assert_published(&data, "wnli", &[323, 312], &[&[40, 31]]);
    assert_published(&data, "sick", &[1299, 2536, 665], &[&[144, 282, 74]]);
    assert_published(&data, "snli", &[1806, 1786, 1906], &[&[3329, 3235, 3278]]);
    for (name, file) in [("qnli", "train.tsv"), ("scitail", "scitail_1.0_train.tsv")] {
        assert!(resolve(name, &data).is_err_and(|fault| fault.to_string().contains(file)));
    }
    let stsb = resolve("stsb", &data).unwrap();
    for (source, count, mean) in [(stsb.train.as_ref().unwrap(), 5749, 2.7010), (&stsb.dev[0].source, 1500, 2.3639)] {
        let found = rows(&stsb, source).unwrap();
        let sum: f64 = found.iter().map(|row| f64::from(row.label)).sum();
        assert_eq!(found.len(), count);
        assert!((sum / count as f64 - mean).abs() < 5e-5);
    }
    let mrpc = resolve("mrpc", &data).unwrap();
    assert!(
        rows(&mrpc, mrpc.train.as_ref().unwrap()).unwrap()[0].text[0]
            .contains(" brother , whom he called \" the witness \"")
    );
}

#[test]
fn demo_files_have_the_documented_rows() {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data");
    if !data.join("demo").is_dir() {
        eprintln!("skipped: {} is not there; `make setup` gets it", data.join("demo").display());
        return;
    }
    let data = [data];
    for (name, train, dev) in
        [("movies", 8520, 1013), ("tweets", 3337, 435), ("products", 2963, 353), ("editorials", 4189, 526)]
    {
        let task = resolve(&format!("{name}-rating"), &data).unwrap();
        assert_eq!(rows(&task, task.train.as_ref().unwrap()).unwrap().len(), train);
        let found = rows(&task, &task.dev[0].source).unwrap();
        assert_eq!(found.len(), dev);
        assert!(found.iter().all(|row| row.label.abs() <= 4.0));
    }
    assert_published(&data, "movies-polarity", &[4116, 3973], &[&[466, 495]]);
    assert_published(&data, "tweets-polarity", &[860, 1853], &[&[112, 246]]);
    assert_published(&data, "products-polarity", &[990, 1403], &[&[116, 156]]);
    assert_published(&data, "editorials-polarity", &[1441, 945], &[&[175, 127]]);
}

#[test]
fn texts_alone_come_from_columns_or_from_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    std::fs::write(&path, "index,second,first\n0,\"b, c\",a\n").unwrap();
    let columns = [Column::Name("first".into()), Column::Name("second".into())];
    assert_eq!(texts(&path, "csv", &columns).unwrap(), [["a", "b, c"]]);
    assert!(
        texts(&path, "csv", &[Column::Name("third".into())]).unwrap_err().to_string().contains("no column `third`")
    );
    let path = Path::new("-");
    assert_eq!(lines_of_texts(path, b"a\n\nb \"c\"\n", 1).unwrap(), [["a"], [""], ["b \"c\""]]);
    assert_eq!(lines_of_texts(path, b"a\tb", 2).unwrap(), [["a", "b"]]);
    let fault = lines_of_texts(path, b"a\tb\nc\nd\te\tf\n", 2).unwrap_err().to_string();
    assert!(fault.contains("-:2: ") && fault.contains("-:3: ") && fault.contains("1 found, 2 expected"), "{fault}");
}
