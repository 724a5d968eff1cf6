//! A folder for each run, named so that people find it: `rte/child-d p=0.3/seed-1`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::settings::{settings, word};
use crate::plan::{Run, RunId, is_rate};

/// Longer parts of a name are cut.
const LONGEST: usize = 120;

/// One name for each run, in their order: task, model if there are several, mode with what its runs differ in, seed.
/// No two runs have one name, on file systems that know no capitals neither.
pub fn places(runs: &[(RunId, Run)]) -> Vec<String> {
    let models: BTreeSet<&str> = runs.iter().map(|(_, run)| run.model.name.as_str()).collect();
    let differing = differing(runs);
    let name = |run: &Run| name(run, models.len() > 1, &differing[&group(run)]);
    let names: Vec<String> = runs.iter().map(|(_, run)| name(run)).collect();
    let mut count: HashMap<String, usize> = HashMap::new();
    names.iter().for_each(|name| *count.entry(name.to_lowercase()).or_default() += 1);
    let distinct = |(name, (id, _)): (String, &(RunId, Run))| match count[&name.to_lowercase()] {
        1 => name,
        _ => format!("{name} {id:.10}"),
    };
    names.into_iter().zip(runs).map(distinct).collect()
}

type Group<'a> = [&'a str; 3];

fn group(run: &Run) -> Group<'_> {
    [&run.task.name, &run.model.name, &run.mode]
}

/// For each task, model and mode, the settings that its runs differ in, the seed aside.
fn differing(runs: &[(RunId, Run)]) -> HashMap<Group<'_>, BTreeSet<String>> {
    struct Seen {
        first: Value,
        varies: bool,
        runs: usize,
    }
    let mut groups: HashMap<Group, (usize, BTreeMap<String, Seen>)> = HashMap::new();
    for (_, run) in runs {
        let (members, seen) = groups.entry(group(run)).or_default();
        *members += 1;
        for (name, value) in settings(run).into_iter().filter(|(name, _)| name != "seed") {
            let seen = seen.entry(name).or_insert_with(|| Seen { first: value.clone(), varies: false, runs: 0 });
            seen.runs += 1;
            seen.varies |= seen.first != value;
        }
    }
    // What only some of them have set is a difference too.
    let of = |(members, seen): (usize, BTreeMap<String, Seen>)| {
        seen.into_iter().filter(|(_, s)| s.varies || s.runs < members).map(|(name, _)| name).collect()
    };
    groups.into_iter().map(|(group, seen)| (group, of(seen))).collect()
}

fn name(run: &Run, with_model: bool, differing: &BTreeSet<String>) -> String {
    let mut mode = run.mode.clone();
    for (name, value) in settings(run) {
        if is_rate(&name) || differing.contains(&name) {
            mode += &format!(" {name}={}", word(&value));
        }
    }
    let model = with_model.then(|| part(run.model.name.trim_end_matches('/').rsplit('/').next().unwrap_or_default()));
    let parts = [Some(part(&run.task.name)), model, Some(part(&mode)), Some(format!("seed-{}", run.seed))];
    parts.into_iter().flatten().collect::<Vec<_>>().join("/")
}

/// A part of a name that every file system and every tracker takes.
pub fn part(text: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || " _-.=+,".contains(c) { c } else { '_' };
    let name: String = text.chars().map(plain).take(LONGEST).collect();
    let name = name.trim();
    // No hidden folder, and none of the two names that mean folders.
    if name.is_empty() || name.starts_with('.') { format!("_{name}") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::frame::example;

    fn run(task: &str, mode: &str, p: Option<f64>, seed: u64) -> Run {
        example::record(task, mode, p, seed, 0.5).run
    }

    fn named(runs: Vec<Run>) -> Vec<String> {
        places(&runs.into_iter().map(|run| (run.id(), run)).collect::<Vec<_>>())
    }

    #[test]
    fn a_name_says_what_sets_a_run_apart() {
        let mut slow = run("rte", "vanilla", None, 1);
        slow.recipe.lr = 1e-5;
        let mut short = run("rte", "gone", None, 1);
        short.recipe.max_steps = Some(9);
        let runs = vec![
            run("rte", "child-d", Some(0.3), 1),
            run("rte", "vanilla", None, 1),
            slow,
            short,
            run("rte", "gone", None, 1),
        ];
        let names =
            ["child-d p=0.3/seed-1", "vanilla lr=2e-5/seed-1", "vanilla lr=1e-5/seed-1", "gone max_steps=9/seed-1"];
        let mut expected: Vec<String> = names.iter().map(|name| format!("rte/{name}")).collect();
        expected.push("rte/gone/seed-1".to_owned());
        assert_eq!(named(runs.clone()), expected);
        let mut other = run("rte", "vanilla", None, 2);
        other.model.name = "/a/folder/bert".into();
        let names = named([runs, vec![other]].concat());
        assert_eq!((&*names[0], &*names[5]), ("rte/all-MiniLM-L6-v2/child-d p=0.3/seed-1", "rte/bert/vanilla/seed-2"));
    }

    #[test]
    fn odd_names_stay_apart_and_inside_the_folder() {
        let tasks = ["a/b", "a_b", "A_B", "..", "", "é ü", "x\n\0y"];
        let names = named(tasks.iter().map(|task| run(task, "vanilla", None, 1)).collect());
        assert!(
            names[0].starts_with("a_b/vanilla/seed-1 ") && names[2].starts_with("A_B/vanilla/seed-1 "),
            "{names:?}"
        );
        assert_eq!(names[3..], ["_../vanilla/seed-1", "_/vanilla/seed-1", "é ü/vanilla/seed-1", "x__y/vanilla/seed-1"]);
    }

    proptest! {
        #[test]
        fn no_two_runs_have_one_place(
            runs in prop::collection::vec(("[aA/.é ]{0,3}", "[bB+]{0,2}", prop::option::of(1u8..3), 0u64..3, 1u32..3), 1..24)
        ) {
            let runs: BTreeMap<RunId, Run> = runs
                .into_iter()
                .map(|(task, mode, p, seed, epochs)| {
                    let mut run = run(&task, &mode, p.map(|p| f64::from(p) / 4.0), seed);
                    run.recipe.epochs = epochs;
                    (run.id(), run)
                })
                .collect();
            let runs: Vec<(RunId, Run)> = runs.into_iter().collect();
            let names: BTreeSet<String> = places(&runs).iter().map(|name| name.to_lowercase()).collect();
            prop_assert_eq!(names.len(), runs.len());
            for name in names {
                prop_assert!(name.split('/').all(|part| !part.is_empty() && !part.starts_with('.')), "{}", name);
            }
        }
    }
}
