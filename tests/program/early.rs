//! Early decisions: settings that stop before their last step, seeds that are not needed.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use super::sandbox::{Sandbox, as_regression, tiny_sweep};

/// Learning rates of which only the last two teach the tiny model anything.
const RATES: &str = "[tune]\nlr = [1e-9, 2e-9, 3e-9, 1e-4, 1e-3, 4e-9]\n";
const ASHA: &str = "[stop]\nrule = \"asha\"\neta = 2\n";

fn race(stop: &str) -> String {
    let grid = "mode = [\"vanilla\"]\nseed = [1, 2]";
    as_regression(tiny_sweep(grid, "epochs = 2")).replace("[train]", &format!("{RATES}{stop}[train]"))
}

/// How each run ended: its id and the end as recorded.
fn ends(sandbox: &Sandbox) -> BTreeMap<String, Value> {
    sandbox.records().into_iter().map(|r| (r["id"].to_string(), r["end"].clone())).collect()
}

fn count(ends: &BTreeMap<String, Value>, kind: &str) -> usize {
    ends.values().filter(|end| end.get(kind).is_some()).count()
}

fn rewrite(sandbox: &Sandbox, text: &str) {
    std::fs::write(sandbox.path("sweep.toml"), text).expect("a sweep file");
}

#[test]
fn halving_finds_the_best_of_the_full_grid_and_the_rest_can_go_on_later() {
    let full = Sandbox::with(&race(""));
    full.expect(0, &["run", "sweep.toml", "--slots-per-device", "2"]);
    let whole = ends(&full);
    assert_eq!(count(&whole, "done"), 12);
    let best = |sandbox: &Sandbox| {
        let out = sandbox.expect(0, &["table", "sweep.toml", "--format", "csv"]).out;
        let row = out.lines().nth(1).expect("a row").to_owned();
        row.split(',').find(|field| field.starts_with("lr=")).expect("a chosen rate").to_owned()
    };

    let halved = Sandbox::with(&race(ASHA));
    let plan = halved.expect(0, &["plan", "sweep.toml"]).out;
    assert!(plan.contains("12 runs: 12 new") && plan.contains("[stop] asha: of 4 settings about 1"), "{plan}");
    let said = halved.expect(0, &["run", "sweep.toml", "--slots-per-device", "2"]);
    let early = ends(&halved);
    let (done, stopped) = (count(&early, "done"), count(&early, "stopped"));
    assert!(done + stopped == 12 && (2..=6).contains(&done), "{done} done, {stopped} stopped\n{}", said.err);
    assert!(said.out.contains(&format!("{done} done now, 0 done before, 0 failed, 0 left, {stopped} stopped early")));
    // What went to the end is what it is without a rule.
    for (id, end) in early.iter().filter(|(_, end)| end.get("done").is_some()) {
        assert_eq!(end, &whole[id]);
    }
    assert_eq!(best(&halved), best(&full));

    // Stopped runs are neither done nor failed, wherever one looks.
    let status = halved.expect(0, &["status", "--json"]).out;
    let status: Value = serde_json::from_str(&status).expect("JSON");
    let of = |key: &str| status[0][key].as_u64().expect("a count") as usize;
    assert_eq!((of("done"), of("stopped"), of("failed"), of("left")), (done, stopped, 0, 0));
    let query = "SELECT status, count(*) AS runs, count(score) AS scored FROM runs GROUP BY status ORDER BY status";
    let rows = halved.expect(0, &["query", query]).out;
    assert_eq!(rows, format!("status,runs,scored\ndone,{done},{done}\nstopped,{stopped},0\n"));
    let plan = halved.expect(0, &["plan", "sweep.toml"]).out;
    assert!(
        plan.contains(&format!("0 failed before, {stopped} stopped early")) && plan.contains("nothing to do"),
        "{plan}"
    );
    halved.expect(0, &["report", "sweep.toml"]);
    let report = std::fs::read_to_string(halved.path("reports/tiny/report.md")).expect("a report");
    assert!(
        report.contains("settings of lr were stopped early by asha") && report.contains("stopped early\n"),
        "{report}"
    );
    let id = early.iter().find(|(_, end)| end.get("stopped").is_some()).expect("one").0.trim_matches('"').to_owned();
    let said = halved.expect(1, &["export", &id, "model"]).err;
    assert!(said.contains("stopped early by asha"), "{said}");

    // The same command has nothing to do; without the rule the others go on from where they were.
    assert!(halved.expect(0, &["run", "sweep.toml"]).out.contains("0 done now"));
    rewrite(&halved, &race(""));
    let plan = halved.expect(0, &["plan", "sweep.toml"]).out;
    assert!(plan.contains(&format!("{stopped} stopped early")) && !plan.contains("nothing to do"), "{plan}");
    let said = halved.expect(0, &["run", "sweep.toml", "--slots-per-device", "2"]).out;
    assert!(said.contains(&format!("{stopped} done now, {done} done before, 0 failed, 0 left")), "{said}");
    assert!(ends(&halved) == whole);
}

/// Runs a sweep with a kill of the coordinator at each of these moments, and then to its end.
fn stormy(text: &str, moments: &[u64]) -> Sandbox {
    let sandbox = Sandbox::with(text);
    for moment in moments {
        let mut coordinator = sandbox
            .command(&["run", "sweep.toml", "--slots-per-device", "2"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        std::thread::sleep(Duration::from_millis(*moment));
        coordinator.kill().expect("SIGKILL");
        coordinator.wait().expect("an end");
    }
    sandbox.expect(0, &["run", "sweep.toml", "--slots-per-device", "2"]);
    sandbox
}

#[test]
fn kills_change_no_decision() {
    let text = race(ASHA).replace("epochs = 2", "epochs = 1");
    let calm = Sandbox::with(&text);
    calm.expect(0, &["run", "sweep.toml", "--slots-per-device", "2"]);
    let expected = ends(&calm);
    assert!(count(&expected, "stopped") >= 6, "{expected:?}");
    // The same runs reach the end, with the same scores, and the others the same step.
    assert!(ends(&stormy(&text, &[900, 1700, 2600, 1300])) == expected);
}

#[test]
fn seeds_end_where_a_comparison_is_decided() {
    let grid = "mode = [\"vanilla\", \"untrained\", \"alike\"]\nseed = { from = 1, to = 8 }\n\
                [mode.untrained]\nbase = \"vanilla\"\nlr = 1e-9\n[mode.alike]\nbase = \"vanilla\"\nlr = 1.01e-3\n\
                [stop]\nrule = \"decided\"\nfirst = 4\nevery = 2";
    let text = as_regression(tiny_sweep(grid, "epochs = 2\nlr = 1e-3"));
    let calm = Sandbox::with(&text);
    let said = calm.expect(0, &["run", "sweep.toml", "--slots-per-device", "2"]);
    let expected = ends(&calm);
    let by_mode = |mode: &str| calm.records().iter().filter(|r| r["run"]["mode"] == mode).count();
    // A look at four seeds tells the untrained; two that are alike get every seed, and so does what they are held against.
    assert_eq!((by_mode("untrained"), by_mode("alike"), by_mode("vanilla")), (4, 8, 8), "{}", said.err);
    assert!(said.out.contains("20 done now, 0 done before, 0 failed, 0 left, 4 not needed (decided)"), "{}", said.out);
    let plan = calm.expect(0, &["plan", "sweep.toml"]).out;
    assert!(plan.contains("20 done, 0 failed before, 4 not needed") && plan.contains("nothing to do"), "{plan}");
    let status: Value = serde_json::from_str(&calm.expect(0, &["status", "--json"]).out).expect("JSON");
    assert_eq!((&status[0]["not_needed"], &status[0]["left"]), (&4.into(), &0.into()));

    calm.expect(0, &["report", "sweep.toml"]);
    let report = std::fs::read_to_string(calm.path("reports/tiny/report.md")).expect("a report");
    for part in [
        "untrained is worse than vanilla on pairs by",
        "decided after 4 of 8 seeds: p = ",
        "All 8 seeds cannot tell: the difference",
        "Seeds were added only while a comparison was open",
        "4 not needed (decided)",
        "20 done",
    ] {
        assert!(report.contains(part), "{part} in\n{report}");
    }
    let csv = calm.expect(0, &["table", "sweep.toml", "comparisons", "--format", "csv"]).out;
    let mut csv = csv::Reader::from_reader(csv.as_bytes());
    let rows: Vec<BTreeMap<String, String>> = csv.deserialize().map(|row| row.expect("a row")).collect();
    let fields = |row: usize| ["line", "look_seeds", "p_holm", "finding"].map(|key| rows[row][key].as_str());
    assert_eq!(fields(0), ["untrained", "4", "", "worse"]);
    assert_eq!(fields(1), ["alike", "8", "", "open"]);
    let compared = calm.expect(0, &["compare", "sweep.toml", "--modes", "untrained,vanilla", "--format", "json"]).out;
    let compared: Value = serde_json::from_str(&compared).expect("JSON");
    assert_eq!(
        (&compared["matches"][0]["verdict"], &compared["matches"][0]["look_seeds"]),
        (&"better".into(), &4.into())
    );

    assert!(ends(&stormy(&text, &[1500, 2200])) == expected);
}

#[test]
fn faults_of_the_rule_are_told_with_their_places() {
    let decided = |rule: &str| tiny_sweep(&format!("mode = [\"vanilla\"]\nseed = [1, 2, 3]\n[stop]\n{rule}"), "");
    for (text, said) in [
        (race("[stop]\neta = 3\n"), "[stop] has no rule"),
        (race("[stop]\nrule = \"ahsa\"\n"), "did you mean \"asha\"?"),
        (race("[stop]\nrule = \"asha\"\neta = 1\n"), "eta must be a whole number from 2 to 100"),
        (race("[stop]\nrule = \"asha\"\nrungs = 1\nmin_share = 0.1\n"), "rungs and min_share in [stop] say the same"),
        (race("[stop]\nrule = \"asha\"\nmin_share = 0.4\n"), "min_share is at most 0.333"),
        (race("[stop]\nrule = \"asha\"\nalpha = 0.05\n"), "unknown key \"alpha\" in [stop]"),
        (race("[stop]\nrule = \"decided\"\n"), "rule = \"decided\" cannot go with [tune] (lr)"),
        (decided("rule = \"asha\""), "rule = \"asha\" has nothing to choose"),
        (decided("rule = \"decided\""), "the first look is after 5 and there are 3"),
        (decided("rule = \"decided\"\nspending = \"pokock\""), "did you mean \"pocock\"?"),
        (decided("rule = \"decided\"").replace("\"vanilla\"", "\"bitfit\""), "[stop] has nothing to compare with"),
    ] {
        let err = Sandbox::with(&text).expect(1, &["plan", "sweep.toml"]).err;
        assert!(err.contains(said) && err.contains("sweep.toml:"), "expected \"{said}\" in\n{err}");
    }
}
