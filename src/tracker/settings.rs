//! The settings of a run as a flat list, for tables of other programs.

use serde_json::Value;

use crate::plan::Run;

/// Name and value: task, model, mode and method, then the method's numbers, the recipe, the seed. What a run has not
/// set is left out.
pub fn settings(run: &Run) -> Vec<(String, Value)> {
    let named =
        [("task", &run.task.name), ("model", &run.model.name), ("mode", &run.mode), ("method", &run.method.name)];
    let mut list: Vec<(String, Value)> =
        named.into_iter().map(|(name, value)| (name.to_owned(), value.as_str().into())).collect();
    list.extend(run.method.numbers.iter().map(|(name, value)| (name.clone(), value.clone())));
    let Ok(Value::Object(mut recipe)) = serde_json::to_value(&run.recipe) else { return list };
    // A record leaves these out where they are what they always were.
    recipe.entry("precision").or_insert_with(|| run.recipe.precision.to_string().into());
    recipe.entry("gradient_checkpointing").or_insert_with(|| run.recipe.gradient_checkpointing.into());
    list.extend(recipe);
    list.push(("seed".to_owned(), run.seed.into()));
    list.retain(|(_, value)| !value.is_null());
    list
}

/// A value for people: text without quotes, small numbers as 2e-5.
pub fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => format!("{:?}", number.as_f64().unwrap_or_default()),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::example;

    #[test]
    fn every_setting_is_named_once() {
        let run = example::record("rte", "child-d", Some(0.3), 7, 0.5).run;
        let list = settings(&run);
        let names: std::collections::BTreeSet<&str> = list.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names.len(), list.len());
        let value = |name: &str| list.iter().find(|(n, _)| n == name).map(|(_, value)| word(value));
        let some = |text: &str| Some(text.to_owned());
        assert_eq!([value("mode"), value("p"), value("lr")], [some("child-d"), some("0.3"), some("2e-5")]);
        assert_eq!([value("seed"), value("precision"), value("shuffle")], [some("7"), some("fp32"), some("true")]);
        assert_eq!(value("max_steps"), None);
    }
}
