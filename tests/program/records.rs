//! Questions to records: query, table, figure, compare, on the committed results of the quickstart.

use std::path::Path;

use serde_json::Value;

use super::sandbox::{Said, Sandbox, project};

/// Asks the committed results; the sandbox is only where files go.
fn asks(sandbox: &Sandbox, code: i32, arguments: &[&str]) -> Said {
    if !sandbox.path("quickstart").exists() {
        copied(sandbox, "quickstart");
    }
    let results = sandbox.path("quickstart").display().to_string();
    sandbox.expect(code, &[arguments, &["--results", &results]].concat())
}

#[track_caller]
fn json(sandbox: &Sandbox, arguments: &[&str]) -> Value {
    let said = asks(sandbox, 0, &[arguments, &["--format", "json"]].concat());
    serde_json::from_str(&said.out).expect("JSON")
}

/// A copy of the committed records of one sweep.
fn copied(sandbox: &Sandbox, name: &str) {
    for file in ["quickstart/manifest.json", "quickstart/overlaps.csv"] {
        copy(&project().join("results").join(file), &sandbox.path(name).join(file));
    }
    let manifest = std::fs::read_to_string(sandbox.path(name).join("quickstart/manifest.json")).expect("a manifest");
    let manifest: Value = serde_json::from_str(&manifest).expect("JSON");
    for run in manifest["runs"].as_array().expect("runs") {
        let within = Path::new("runs").join(run[0].as_str().expect("an id")).join("record.json");
        copy(&project().join("results").join(&within), &sandbox.path(name).join(&within));
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
    std::fs::copy(from, to).expect("a copy");
}

/// Changes every record under a results folder.
fn change(sandbox: &Sandbox, name: &str, how: impl Fn(&mut Value)) {
    let mut changed = 0;
    for entry in std::fs::read_dir(sandbox.path(name).join("runs")).expect("runs").flatten() {
        let path = entry.path().join("record.json");
        let mut record: Value = serde_json::from_str(&std::fs::read_to_string(&path).expect("a record")).expect("JSON");
        how(&mut record);
        std::fs::write(&path, record.to_string()).expect("a record");
        changed += 1;
    }
    assert!(changed > 40, "only {changed} records");
}

#[test]
fn the_records_answer_in_sql() {
    let sandbox = Sandbox::new();
    let sql = "SELECT mode, count(*) AS n, avg(score) AS mean FROM runs GROUP BY mode";
    let rows = json(&sandbox, &["query", sql]);
    let modes: Vec<&str> = rows.as_array().expect("rows").iter().map(|r| r["mode"].as_str().expect("a mode")).collect();
    assert_eq!(modes, ["child-d", "child-f", "vanilla"], "sorted, for SQL leaves the order open");
    let counted: i64 = rows.as_array().expect("rows").iter().map(|r| r["n"].as_i64().expect("a count")).sum();
    assert_eq!(counted, 51);

    // Behind a pipe the answer is CSV; the same rows in the same order as a table of Markdown.
    let csv = asks(&sandbox, 0, &["query", sql]).out;
    assert!(csv.starts_with("mode,n,mean\nchild-d,24,0."), "{csv}");
    let markdown = asks(&sandbox, 0, &["query", sql, "--format", "markdown"]).out;
    assert!(markdown.starts_with("| mode | n | mean |\n| :-- | --: | --: |\n| child-d | 24 | 0."), "{markdown}");

    // The end of a run is not an epoch, and its score is that of the last one.
    let sql = "SELECT count(*) AS n FROM evals e JOIN runs r ON e.id = r.id \
               WHERE e.headline AND e.way = 'dev' AND e.epoch IS NULL AND e.score = r.score";
    assert_eq!(json(&sandbox, &["query", sql, "--sweep", "quickstart"])[0]["n"], 51);
    let sql = "SELECT DISTINCT of FROM masks WHERE mode = 'child-d'";
    assert_eq!(json(&sandbox, &["query", sql])[0]["of"], 10_646_784);
    let sql = "SELECT count(*) AS n FROM overlaps o JOIN masks m ON o.a = m.key";
    assert!(json(&sandbox, &["query", sql])[0]["n"].as_i64() > Some(0));
    assert_eq!(json(&sandbox, &["query", "SELECT count(*) AS n FROM steps"])[0]["n"], 0);

    let list = asks(&sandbox, 0, &["query"]).out;
    for said in ["runs: ", "evals: ", "steps: ", "masks: ", "overlaps: ", "eval_task", "gradient_norm", "dev_pearson"] {
        assert!(list.contains(said), "{said} in\n{list}");
    }
}

#[test]
fn steps_are_asked_by_run() {
    let sandbox = Sandbox::new();
    copied(&sandbox, "results");
    let header = "step,loss,learning_rate,gradient_norm,examples,seconds\n";
    let steps = sandbox.path("results/runs/428ad948d4b7e7fbd915/steps.csv");
    std::fs::write(&steps, format!("{header}1,0.75,2e-5,1.5,16,0.1\n2,0.25,1e-5,NaN,32,0.2\n")).expect("steps");
    let sql = "SELECT r.mode, s.step, s.loss, s.gradient_norm FROM steps s JOIN runs r ON s.id = r.id ORDER BY s.step";
    let said = sandbox.expect(0, &["query", sql]).out;
    assert_eq!(said, "mode,step,loss,gradient_norm\nvanilla,1,0.75,1.5\nvanilla,2,0.25,NaN\n");
    // A question that does not name the table does not read its files.
    std::fs::write(&steps, "no steps").expect("steps");
    sandbox.expect(0, &["query", "SELECT count(*) FROM runs"]);
    let err = sandbox.expect(70, &["query", "SELECT count(*) FROM steps"]).err;
    assert!(err.contains("steps.csv is damaged"), "{err}");
}

#[test]
fn a_wrong_query_is_told_in_words() {
    let sandbox = Sandbox::new();
    for (sql, said) in [
        ("SELECT scor FROM runs", "there is no column \"scor\"; did you mean \"score\"?\nruns has sweep, id, task"),
        ("SELECT r.scor FROM runs r", "did you mean \"score\"?"),
        ("SELECT mode FROM runs GROUP BY mod", "did you mean \"mode\"?"),
        ("SELECT mode FROM rns", "there is no table \"rns\"; did you mean \"runs\"? known are: runs, evals, steps"),
        ("SELECT mode FRM runs", "this is no SQL: Expected"),
        ("SELECT mode FROM runs; SELECT 1", "one (and only one) statement"),
        ("SELECT", "this is no SQL"),
        ("", "begin it with SELECT"),
        ("DELETE FROM runs", "a query only reads"),
        ("WITH a AS (SELECT 1) DELETE FROM runs", "cannot be answered: 'DELETE FROM runs' operation"),
        ("SELECT avg(mode) FROM runs", "cannot be answered: `mean` operation not supported"),
        ("SELECT foo(score) FROM runs", "unsupported function 'foo'"),
        ("SELECT * FROM read_csv('x.csv')", "cannot be answered"),
    ] {
        let err = asks(&sandbox, 1, &["query", sql]).err;
        assert!(err.contains(said), "{sql}: expected \"{said}\" in\n{err}");
        assert!(!err.contains("panicked"), "{sql}: {err}");
    }
    let err = asks(&sandbox, 1, &["query", "SELECT 1", "--sweep", "quickstrt"]).err;
    assert!(err.contains("no run of sweep \"quickstrt\" is recorded") && err.contains("mean \"quickstart\"?"), "{err}");
    let err = sandbox.expect(1, &["query", "SELECT 1"]).err;
    assert!(err.contains("no sweep is recorded in results"), "{err}");
}

#[test]
fn a_run_of_two_sweeps_stands_once_for_each_and_that_is_said() {
    let sandbox = Sandbox::new();
    copied(&sandbox, "results");
    let manifest = std::fs::read_to_string(sandbox.path("results/quickstart/manifest.json")).expect("a manifest");
    std::fs::create_dir(sandbox.path("results/again")).expect("a folder");
    std::fs::write(sandbox.path("results/again/manifest.json"), manifest.replace("\"quickstart\"", "\"again\""))
        .expect("a manifest");
    let said = sandbox.expect(0, &["query", "SELECT count(*) AS n FROM runs"]);
    assert_eq!(said.out, "n\n102\n");
    assert!(said.err.contains("51 runs belong to several sweeps"), "{}", said.err);
    let said = sandbox.expect(0, &["query", "SELECT sweep, count(*) AS n FROM runs GROUP BY sweep"]);
    assert_eq!((said.out.as_str(), said.err.as_str()), ("sweep,n\nagain,51\nquickstart,51\n", ""));
    let said = sandbox.expect(0, &["query", "SELECT count(*) AS n FROM runs", "--sweep", "again"]);
    assert_eq!((said.out.as_str(), said.err.as_str()), ("n\n51\n", ""));
}

#[test]
fn a_wide_table_fits_the_terminal() {
    let sandbox = Sandbox::new();
    let results = project().join("results").display().to_string();
    for width in [30, 47, 80, 200] {
        for question in [
            &["query", "SELECT * FROM runs LIMIT 3", "--format", "table"][..],
            &["table", "quickstart", "settings"],
            &["compare", "quickstart", "--modes", "vanilla,child-d"],
        ] {
            let mut command = sandbox.command(&[question, &["--results", &results]].concat());
            let output = command.env("COLUMNS", width.to_string()).output().expect("the program starts");
            assert!(output.status.success(), "{question:?}: {}", String::from_utf8_lossy(&output.stderr));
            let text = String::from_utf8(output.stdout).expect("UTF-8");
            let widest = text.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(width) && widest > Some(10), "{question:?} in {width}:\n{text}");
        }
    }
}

#[test]
fn a_table_is_printed_in_four_formats_and_a_wrong_name_lists_all() {
    let sandbox = Sandbox::new();
    let txt = asks(&sandbox, 0, &["table", "quickstart"]).out;
    assert!(txt.contains("vanilla") && txt.contains("tweets-rating (pearson)"), "{txt}");
    for (format, begins) in [("md", "| examples | mode |"), ("tex", "% needs \\usepackage{booktabs}"), ("csv", "task,")]
    {
        let said = asks(&sandbox, 0, &["table", "quickstart", "main", "--format", format]).out;
        assert!(said.starts_with(begins), "{format}: {said}");
    }
    let csv = asks(&sandbox, 0, &["table", "quickstart", "settings", "--format", "csv"]).out;
    assert_eq!(csv.lines().count(), 1 + 17, "a line a setting");
    let tested = asks(&sandbox, 0, &["table", "quickstart", "comparisons", "--format", "md"]).out;
    assert!(tested.lines().filter(|line| line.contains("| child-")).count() >= 6, "{tested}");
    let err = asks(&sandbox, 1, &["table", "quickstart", "published"]).err;
    assert!(err.contains("has no row: the sweep asks about no published table"), "{err}");
    let err = asks(&sandbox, 1, &["table", "quickstart", "setings"]).err;
    assert!(err.contains("did you mean \"settings\"?") && err.contains("a row is a mode"), "{err}");
}

#[test]
fn a_figure_is_drawn_by_name() {
    let sandbox = Sandbox::new();
    let list = sandbox.expect(0, &["figure"]).out;
    assert!(list.contains("reserve-rate") && list.contains("overlap"), "{list}");
    asks(&sandbox, 0, &["figure", "reserve-rate", "quickstart", "--out", "drawn/rate.png"]);
    assert!(std::fs::read(sandbox.path("drawn/rate.png")).expect("a picture").starts_with(b"\x89PNG"));
    asks(&sandbox, 0, &["figure", "reserve-rate", "quickstart", "--out", "rate.csv"]);
    assert!(std::fs::read_to_string(sandbox.path("rate.csv")).expect("numbers").lines().count() > 5);
    let svg = asks(&sandbox, 0, &["figure", "overlap", "quickstart"]).out;
    assert!(svg.starts_with("<svg"), "{}", svg.chars().take(80).collect::<String>());

    for (arguments, said) in [
        (&["figure", "reserve-rat", "quickstart"][..], "did you mean \"reserve-rate\"?"),
        (&["figure", "reserve-rate"], "of which sweep?"),
        (&["figure", "reserve-rate", "quickstart", "--out", "rate.jpeg"], "must be one of svg, png, csv"),
    ] {
        let err = asks(&sandbox, 1, arguments).err;
        assert!(err.contains(said), "{arguments:?}: {err}");
    }
    assert!(!sandbox.path("rate.jpeg").exists());
}

#[test]
fn a_figure_without_anything_to_show_says_why() {
    let sandbox = Sandbox::new();
    copied(&sandbox, "results");
    std::fs::remove_file(sandbox.path("results/quickstart/overlaps.csv")).expect("removed");
    let err = sandbox.expect(1, &["figure", "overlap", "quickstart", "--out", "overlap.svg"]).err;
    assert!(err.contains("nothing to draw of overlap: "), "{err}");
    assert!(!sandbox.path("overlap.svg").exists());
}

#[test]
fn two_modes_are_compared_by_seed() {
    let sandbox = Sandbox::new();
    let answer = json(&sandbox, &["compare", "quickstart", "--modes", "vanilla,child-f"]);
    let matches = answer["matches"].as_array().expect("matches");
    assert_eq!(
        matches.len() as u64,
        ["better", "worse", "cannot_be_told", "same"].map(|k| answer[k].as_u64().expect("a count")).iter().sum::<u64>()
    );
    assert!(matches.iter().all(|m| m["seeds"] == 3 && m["p"].as_f64() >= Some(0.25)), "{matches:?}");
    let text = asks(&sandbox, 0, &["compare", "quickstart", "--modes", "vanilla,child-f"]).out;
    assert!(text.contains("child-f against vanilla: ") && text.contains("no test can reach 0.05"), "{text}");
    let err = asks(&sandbox, 1, &["compare", "quickstart", "--modes", "vanilla,child-g"]).err;
    assert!(err.contains("no record of mode \"child-g\"; did you mean \"child-"), "{err}");
    for arguments in [
        &["compare", "quickstart"][..],
        &["compare", "quickstart", "quickstart"],
        &["compare", "quickstart", "--modes", "vanilla"],
        &["compare", "quickstart", "--modes", "vanilla,vanilla"],
        &["compare", "quickstart@ffff", "quickstart"],
    ] {
        asks(&sandbox, 1, arguments);
    }
}

/// Two commits of one sweep, the older one's records in a folder of their own, and what was changed between them.
#[test]
fn two_commits_are_compared_across_folders() {
    let sandbox = Sandbox::new();
    copied(&sandbox, "results");
    copied(&sandbox, "newer");
    change(&sandbox, "newer", |record| {
        record["made"]["commit"] = "abcdef012345".into();
        let metric = record["end"]["done"]["metric"].as_str().expect("a metric").to_owned();
        // Always a little better, on one task alone.
        if record["run"]["task"]["name"] == "tweets-rating" {
            let score = &mut record["end"]["done"]["dev"][metric];
            *score = (score.as_f64().expect("a score") + 0.01).into();
        }
    });
    let answer = sandbox
        .expect(0, &["compare", "quickstart@f89426d", "quickstart@abcdef", "--results-b", "newer", "--format", "json"]);
    let answer: Value = serde_json::from_str(&answer.out).expect("JSON");
    for row in answer["matches"].as_array().expect("matches") {
        let (expected, verdict) = if row["task"] == "tweets-rating" { (0.01, "open") } else { (0.0, "same") };
        assert!((row["difference"].as_f64().expect("a difference") - expected).abs() < 1e-12, "{row}");
        assert_eq!(row["verdict"], verdict, "three seeds show nothing: {row}");
    }
    assert_eq!(answer["matches"].as_array().map(Vec::len), Some(17));
    let err = sandbox.expect(1, &["compare", "quickstart@abcdef", "quickstart"]).err;
    assert!(
        err.contains("no record of quickstart was made by commit \"abcdef\"; there are 51 by f89426d84248"),
        "{err}"
    );
}

#[test]
fn completions_know_the_commands() {
    let said = Sandbox::new().expect(0, &["completions", "bash"]).out;
    for command in ["query", "table", "figure", "compare", "--results-b", "--modes"] {
        assert!(said.contains(command), "{command}");
    }
}
