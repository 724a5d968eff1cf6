//! Conditions over a run's coordinates: `[[only]]` and `[[exclude]]` tables, and `--only "task=rte and seed<=2"`.

use std::collections::BTreeMap;

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
        let conditions = text.split(" and ").map(|part| condition(part.trim(), names));
        Ok(Filter(conditions.collect::<Result<_>>()?))
    }

    /// Whether a run is meant. A condition on something that the run does not have does not hold.
    pub fn takes(&self, point: &Point) -> bool {
        self.0
            .iter()
            .all(|c| point.get(&c.name).is_some_and(|found| c.values.iter().any(|v| holds(c.relation, found, v))))
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

fn holds(relation: Relation, found: &Value, value: &Value) -> bool {
    let order = match (found.real(), value.real()) {
        (Some(a), Some(b)) => a.partial_cmp(&b),
        _ => (found.to_string() == value.to_string()).then_some(std::cmp::Ordering::Equal),
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
    }
}
