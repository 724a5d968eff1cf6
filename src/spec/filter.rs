//! Conditions over a run's coordinates: `[[only]]` and `[[exclude]]` tables, and `--only "task=rte and seed<=2"`.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};

use anyhow::{Result, bail};

use super::fault::suggestion;
use super::number::Value;

/// Where a run lies in the grid: axis or setting name to value.
pub type Point = BTreeMap<String, Value>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Is,
    IsNot,
    Below,
    UpTo,
    Above,
    From,
}

/// Longest first, so that `<=` is not read as `<`.
const RELATIONS: &[(&str, Relation)] = &[
    ("==", Relation::Is),
    ("!=", Relation::IsNot),
    ("<=", Relation::UpTo),
    (">=", Relation::From),
    ("=", Relation::Is),
    ("<", Relation::Below),
    (">", Relation::Above),
];

#[derive(Debug, Clone, PartialEq)]
struct Condition {
    name: String,
    relation: Relation,
    /// One of these.
    values: Vec<Value>,
}

/// Conditions that must all hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter(Vec<Condition>);

impl Filter {
    /// From a table of the sweep file: every key must have one of its values.
    pub fn of(entries: impl IntoIterator<Item = (String, Vec<Value>)>) -> Filter {
        Filter(entries.into_iter().map(|(name, values)| Condition { name, relation: Relation::Is, values }).collect())
    }

    /// From the command line: `task=rte and p>=0.2 and mode=child-d|child-f`.
    ///
    /// # Errors
    /// A condition that cannot be read, or a name that is no coordinate.
    pub fn parse(text: &str, names: &[&str]) -> Result<Filter> {
        if text.contains(" or ") {
            bail!(
                "--only \"{text}\": there is no or; write alternatives of one name with |, for example task=rte|cola, \
                 and call sweep once for each of the others"
            );
        }
        let conditions = text.split(" and ").map(|part| condition(part.trim(), names));
        Ok(Filter(conditions.collect::<Result<_>>()?))
    }

    /// Whether a run is meant. A condition on something that the run does not have does not hold.
    pub fn takes(&self, point: &Point) -> bool {
        self.0.iter().all(|condition| condition.holds_for(point))
    }

    /// Why none of these runs is meant: the conditions that no run meets, with the values that there are.
    pub fn why_none(&self, points: &[Point]) -> String {
        let unmet = self.0.iter().filter(|c| !points.iter().any(|point| c.holds_for(point)));
        let said: Vec<String> = unmet
            .map(|c| match distinct(points.iter().filter_map(|point| point.get(&c.name)).cloned()) {
                values if values.is_empty() => format!("no run has a {}", c.name),
                values => format!("{} is {}", c.name, list(&values)),
            })
            .collect();
        if said.is_empty() { "no run meets all its conditions together".to_owned() } else { said.join("; ") }
    }
}

impl Condition {
    fn holds_for(&self, point: &Point) -> bool {
        let Some(found) = point.get(&self.name) else { return false };
        let mut each = self.values.iter().map(|value| holds(self.relation, found, value));
        // `mode != a|b` is neither of them.
        if self.relation == Relation::IsNot { each.all(|holds| holds) } else { each.any(|holds| holds) }
    }
}

/// Every value once, numbers in their order.
pub(super) fn distinct(values: impl Iterator<Item = Value>) -> Vec<Value> {
    let mut seen = HashSet::new();
    let mut values: Vec<Value> = values.filter(|value| seen.insert(value.to_string())).collect();
    values.sort_by(|a, b| a.real().partial_cmp(&b.real()).unwrap_or(Ordering::Equal));
    values
}

/// `1, 2, 3`, the middle of a long list left out.
pub(super) fn list(values: &[Value]) -> String {
    let words: Vec<String> = values.iter().map(Value::to_string).collect();
    match words.len() {
        0..=12 => words.join(", "),
        n => format!("{}, …, {} ({n} values)", words[..3].join(", "), words[n - 1]),
    }
}

fn condition(text: &str, names: &[&str]) -> Result<Condition> {
    let found = RELATIONS.iter().filter_map(|(sign, r)| text.find(sign).map(|at| (at, *sign, *r))).min_by_key(|f| f.0);
    let Some((at, sign, relation)) = found else {
        bail!("\"{text}\" is no condition; write e.g. --only \"task=rte and seed<=2\", with = != < <= > >= and |");
    };
    let (name, rest) = (text[..at].trim(), text[at + sign.len()..].trim());
    if !names.contains(&name) {
        bail!("--only knows no \"{name}\"; {}", suggestion(name, names.iter().copied()));
    }
    if rest.is_empty() {
        bail!("\"{text}\" compares {name} with nothing");
    }
    if rest.contains(['=', '<', '>']) {
        bail!("\"{text}\" compares more than once; join conditions with and: \"task=rte and seed<=2\"");
    }
    Ok(Condition { name: name.to_owned(), relation, values: rest.split('|').map(|v| word(v.trim())).collect() })
}

/// A value as a person types it.
fn word(text: &str) -> Value {
    let text = text.trim_matches('"');
    let whole = text.parse().map(Value::Whole);
    whole
        .or_else(|_| text.parse().map(Value::Real))
        .or_else(|_| text.parse().map(Value::Flag))
        .unwrap_or(Value::Word(text.to_owned()))
}

/// Whether two values are the same for a person: 1 and 1.0, `rte` and `"rte"`.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    holds(Relation::Is, a, b)
}

fn holds(relation: Relation, found: &Value, value: &Value) -> bool {
    let order = match (found.real(), value.real()) {
        (Some(a), Some(b)) => a.partial_cmp(&b),
        _ => (found.to_string() == value.to_string()).then_some(Ordering::Equal),
    };
    match (relation, order) {
        (Relation::IsNot, order) => order.is_none_or(|o| o.is_ne()),
        (_, None) => false,
        (Relation::Is, Some(o)) => o.is_eq(),
        (Relation::Below, Some(o)) => o.is_lt(),
        (Relation::UpTo, Some(o)) => o.is_le(),
        (Relation::Above, Some(o)) => o.is_gt(),
        (Relation::From, Some(o)) => o.is_ge(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point() -> Point {
        Point::from([
            ("task".into(), Value::Word("rte".into())),
            ("seed".into(), Value::Whole(2)),
            ("p".into(), Value::Real(0.3)),
        ])
    }

    #[test]
    fn conditions_compare_words_and_numbers() {
        for (text, takes) in [
            ("task=rte and seed<=2", true),
            ("task=rte and seed<2", false),
            ("task=cola|rte and p>=0.3", true),
            ("task!=rte", false),
            ("p=0.3", true),
            ("task!=cola|rte", false),
            ("task!=cola|mrpc", true),
            ("task==rte and p == 3e-1", true),
            ("seed==1", false),
            ("lr=1", false),
        ] {
            let filter = Filter::parse(text, &["task", "seed", "p", "lr"]).expect(text);
            assert_eq!(filter.takes(&point()), takes, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_explained() {
        let error = |text| Filter::parse(text, &["task", "seed"]).expect_err(text).to_string();
        assert!(error("tsak=rte").contains("did you mean \"task\"?"));
        assert!(error("rte").contains("is no condition"));
        assert!(error("task=").contains("with nothing"));
        assert!(error("task=rte or task=cola").contains("task=rte|cola"));
        assert!(error("task=rte, seed=1").contains("join conditions with and"));
        assert!(error("seed=>1").contains("more than once"));
    }

    #[test]
    fn what_matches_nothing_is_told_with_the_values_there_are() {
        let names = ["task", "seed", "p", "lr"];
        let points: Vec<Point> = (1..=20)
            .map(|seed| Point::from([("seed".into(), Value::Whole(seed)), ("task".into(), Value::Word("rte".into()))]))
            .collect();
        let why = |text| Filter::parse(text, &names).expect(text).why_none(&points);
        assert_eq!(why("task=cola and seed=1"), "task is rte");
        assert_eq!(why("seed>20 and p=1"), "seed is 1, 2, 3, …, 20 (20 values); no run has a p");
        assert_eq!(why("seed=1|2 and seed>2"), "no run meets all its conditions together");
    }
}
