//! What transformers and PEFT want to know of a model besides its weights.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::card::{base, model_name};
use crate::plan::Run;
use crate::task::{Labels, Task};

/// `config.json` of a sequence classifier: that of the pre-trained model with the task's labels.
///
/// # Errors
/// A config that cannot be read.
pub fn classifier(model: &Path, task: &Task) -> Result<Value> {
    let path = model.join("config.json");
    let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let config: Map<String, Value> =
        serde_json::from_slice(&text).with_context(|| format!("{} is no JSON object", path.display()))?;
    Ok(Value::Object(labelled(config, &task.labels)))
}

fn labelled(mut config: Map<String, Value>, labels: &Labels) -> Map<String, Value> {
    let family = config.get("model_type").and_then(Value::as_str).unwrap_or_default();
    config.insert("architectures".into(), json!([architecture(family)]));
    let words = words(labels);
    let by_id = words.iter().enumerate().map(|(id, word)| (id.to_string(), json!(word)));
    config.insert("id2label".into(), Value::Object(by_id.collect()));
    let by_word = words.iter().enumerate().map(|(id, word)| (word.clone(), json!(id)));
    config.insert("label2id".into(), Value::Object(by_word.collect()));
    let kind = if labels.is_regression() { "regression" } else { "single_label_classification" };
    config.insert("problem_type".into(), json!(kind));
    config.insert("dtype".into(), json!("float32"));
    // Older names of what stands above; they would say something else.
    for stale in ["num_labels", "torch_dtype", "_name_or_path"] {
        config.remove(stale);
    }
    config
}

/// The words for class 0, class 1, and so on; transformers' own for a value.
pub fn words(labels: &Labels) -> Vec<String> {
    match labels {
        Labels::Regression => vec!["LABEL_0".to_owned()],
        labels => labels.words(),
    }
}

/// What transformers calls a family's sequence classifier.
fn architecture(model_type: &str) -> String {
    let family = match model_type {
        "bert" => "Bert",
        "roberta" => "Roberta",
        "xlm-roberta" => "XLMRoberta",
        "camembert" => "Camembert",
        "electra" => "Electra",
        "xlnet" => "XLNet",
        "deberta-v2" => "DebertaV2",
        "distilbert" => "DistilBert",
        "albert" => "Albert",
        "modernbert" => "ModernBert",
        other => unreachable!("a model of type {other} was trained"),
    };
    format!("{family}ForSequenceClassification")
}

/// `adapter_config.json` of a LoRA adapter in PEFT's layout. `adapted` and `saved` are modules by the end of their
/// names: those with an adapter, and those that were trained as a whole.
pub fn adapter(run: &Run, adapted: &[String], saved: &[String]) -> Value {
    let number = |name| run.method.number("lora", name).cloned().unwrap_or_default();
    let alpha = number("lora_alpha");
    // PEFT's own files have a whole number here.
    let alpha = alpha.as_f64().filter(|alpha| alpha.fract() == 0.0).map_or(alpha, |alpha| json!(alpha as i64));
    let (base, revision) = base(model_name(&run.model.name));
    json!({
        "peft_type": "LORA",
        "task_type": "SEQ_CLS",
        "base_model_name_or_path": base,
        "revision": revision,
        "r": number("rank"),
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "target_modules": adapted,
        "modules_to_save": saved,
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn written(labels: &Labels) -> Value {
        let config = json!({"model_type": "bert", "hidden_size": 8, "architectures": ["BertForMaskedLM"],
            "id2label": {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}, "num_labels": 3, "torch_dtype": "float16"});
        Value::Object(labelled(config.as_object().unwrap().clone(), labels))
    }

    #[test]
    fn a_config_tells_the_labels_of_its_task() {
        assert_eq!(
            written(&Labels::Classes(vec!["no".into(), "yes".into()])),
            json!({"model_type": "bert", "hidden_size": 8, "architectures": ["BertForSequenceClassification"],
                "id2label": {"0": "no", "1": "yes"}, "label2id": {"no": 0, "yes": 1},
                "problem_type": "single_label_classification", "dtype": "float32"})
        );
        let value = written(&Labels::Regression);
        assert_eq!((&value["id2label"], &value["problem_type"]), (&json!({"0": "LABEL_0"}), &json!("regression")));
        assert_eq!(written(&Labels::Sign { neutral_below: 0.5 })["label2id"], json!({"negative": 0, "positive": 1}));
    }

    #[test]
    fn every_known_family_has_a_classifier() {
        for (family, _) in crate::model::MODEL_TYPES {
            assert!(architecture(family).ends_with("ForSequenceClassification"));
        }
    }
}
