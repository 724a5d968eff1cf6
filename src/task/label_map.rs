//! Scoring a model on a task with other classes than the one that it was trained on.

use std::collections::BTreeMap;

use super::{Labels, Task};

/// For every class that a model of `trained` predicts, the class of `target` that it stands for; `None` counts as
/// wrong. Empty if both are regressions. `written` is the user's own map, by words.
///
/// Without one, classes go by what they mean: entailment is entailment under each of its names and the 1 of a paraphrase
/// task; contradiction is neutral where the target has only that (SciTail), not entailment where it has that (RTE,
/// QNLI), and the 0 of a paraphrase task; neutral is no class of a paraphrase task.
///
/// # Errors
/// Words that are no classes; two tasks that nothing maps, in words.
pub fn label_map(
    trained: &Task,
    target: &Task,
    written: Option<&BTreeMap<String, String>>,
) -> Result<Vec<Option<u32>>, String> {
    let (from, to) = match (&trained.labels, &target.labels) {
        (Labels::Regression, Labels::Regression) => return Ok(Vec::new()),
        (Labels::Regression, _) => {
            return Err(format!("{} gives values and {} has classes", trained.name, target.name));
        }
        (_, Labels::Regression) => {
            return Err(format!("{} gives classes and {} has values", trained.name, target.name));
        }
        (from, to) => (from.words(), to.words()),
    };
    let find = |word: &str| to.iter().position(|class| class == word).map(|at| at as u32);
    if let Some(written) = written {
        if let Some(stranger) = written.keys().find(|word| !from.contains(word)) {
            return Err(format!("\"{stranger}\" is no class of {}; these are: {}", trained.name, from.join(", ")));
        }
        if let Some(stranger) = written.values().find(|word| !to.contains(word)) {
            return Err(format!("\"{stranger}\" is no class of {}; these are: {}", target.name, to.join(", ")));
        }
        return Ok(from.iter().map(|word| written.get(word).and_then(|word| find(word))).collect());
    }
    let by_meaning = |word: &String| {
        let own = meaning(word);
        let same = to.iter().position(|class| class == word || own.is_some() && meaning(class) == own);
        let stands_for = |other: Meaning| to.iter().position(|class| meaning(class) == Some(other));
        let place = same.or_else(|| match own? {
            Meaning::Entailment if is_paraphrase(&to) => Some(1),
            Meaning::Contradiction if is_paraphrase(&to) => Some(0),
            Meaning::Contradiction => stands_for(Meaning::Neutral).or_else(|| stands_for(Meaning::NotEntailment)),
            Meaning::Neutral => stands_for(Meaning::NotEntailment),
            Meaning::Entailment | Meaning::NotEntailment => None,
        });
        place.map(|at| at as u32)
    };
    let map: Vec<Option<u32>> = from.iter().map(by_meaning).collect();
    if map.iter().flatten().collect::<std::collections::BTreeSet<_>>().len() < 2 {
        return Err(format!(
            "the classes of {} ({}) say nothing about those of {} ({})",
            trained.name,
            from.join(", "),
            target.name,
            to.join(", ")
        ));
    }
    Ok(map)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Entailment,
    Neutral,
    Contradiction,
    NotEntailment,
}

fn meaning(word: &str) -> Option<Meaning> {
    match word.to_lowercase().as_str() {
        "entailment" | "entails" => Some(Meaning::Entailment),
        "neutral" => Some(Meaning::Neutral),
        "contradiction" => Some(Meaning::Contradiction),
        "not_entailment" => Some(Meaning::NotEntailment),
        _ => None,
    }
}

fn is_paraphrase(classes: &[String]) -> bool {
    classes == ["0", "1"]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::task::{Column, Format, Source};

    fn task(name: &str, classes: &[&str]) -> Task {
        Task {
            name: name.into(),
            train: Some(Source { path: "x".into(), format: Format::Jsonl }),
            dev: Vec::new(),
            text: Vec::new(),
            label: Column::Index(0),
            labels: match classes {
                [] => Labels::Regression,
                _ => Labels::Classes(classes.iter().map(|&word| word.to_owned()).collect()),
            },
            skip: None,
            skip_torn: false,
            metrics: Vec::new(),
        }
    }

    #[test]
    fn the_maps_of_the_domain_transfer_study() {
        let mnli = task("mnli", &["entailment", "neutral", "contradiction"]);
        let to = |classes: &[&str]| label_map(&mnli, &task("x", classes), None);
        assert_eq!(to(&["ENTAILMENT", "NEUTRAL", "CONTRADICTION"]).unwrap(), [Some(0), Some(1), Some(2)]);
        assert_eq!(to(&["contradiction", "entailment", "neutral"]).unwrap(), [Some(1), Some(2), Some(0)]);
        assert_eq!(to(&["entails", "neutral"]).unwrap(), [Some(0), Some(1), Some(1)]);
        assert_eq!(to(&["entailment", "not_entailment"]).unwrap(), [Some(0), Some(1), Some(1)]);
        assert_eq!(to(&["0", "1"]).unwrap(), [Some(1), None, Some(0)]);
        assert!(to(&["red", "blue"]).unwrap_err().contains("say nothing"));
        assert!(to(&[]).unwrap_err().contains("mnli gives classes and x has values"));
        assert_eq!(label_map(&task("a", &[]), &task("b", &[]), None), Ok(Vec::new()));
    }

    #[test]
    fn a_map_of_ones_own_is_checked() {
        let (rte, own) = (task("rte", &["entailment", "not_entailment"]), task("own", &["no", "yes"]));
        let map = |pairs: &[(&str, &str)]| {
            let written = pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            label_map(&rte, &own, Some(&written))
        };
        assert_eq!(map(&[("entailment", "yes")]).unwrap(), [Some(1), None]);
        assert!(map(&[("entails", "yes")]).unwrap_err().contains("is no class of rte; these are: entailment, not_"));
        assert!(map(&[("entailment", "maybe")]).unwrap_err().contains("is no class of own; these are: no, yes"));
    }
}
