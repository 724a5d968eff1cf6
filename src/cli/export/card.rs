//! The README of an exported model: what it is, how good, from what, by what.

use std::fmt::Write;

use serde_json::Value;

use super::config::words;
use crate::cli::trained::Trained;
use crate::frame::duration;
use crate::hub::known::KNOWN;
use crate::plan::Precision;
use crate::task::Labels;

/// A model card in Markdown.
pub fn card(trained: &Trained, is_adapter: bool) -> String {
    let Trained { record, task, .. } = trained;
    let run = &record.run;
    let library = if is_adapter { "peft" } else { "transformers" };
    let mut text = format!("---\nlibrary_name: {library}\npipeline_tag: text-classification\n");
    let model = model_name(&run.model.name);
    let (base, _) = base(model);
    // A folder of somebody's machine is no model that others could look up.
    if base.contains('/') || KNOWN.iter().any(|known| known.name == base) {
        text += &format!("base_model: {base}\n");
    }
    text += "---\n\n";
    let what = if is_adapter { "A LoRA adapter for" } else { "The model" };
    add(&mut text, format_args!("# {}", run.label().replacen(&run.model.name, model, 1)));
    add(&mut text, format_args!("\n{what} {model}, fine-tuned on {} by {}.", task.name, run.mode));
    add(&mut text, format_args!("\n## Labels\n"));
    match &task.labels {
        Labels::Regression => add(&mut text, format_args!("One value, as in the column of the data.")),
        labels => {
            for (id, word) in words(labels).iter().enumerate() {
                add(&mut text, format_args!("- {id}: {word}"));
            }
        }
    }
    if let Some(outcome) = record.outcome() {
        let examples = (outcome.train_examples, outcome.dev_examples);
        add(&mut text, format_args!("\n## Scores on the dev set\n\n| metric | score |\n| :-- | --: |"));
        for (metric, score) in &outcome.dev {
            let score = score.map_or_else(|| "undefined".to_owned(), |score| format!("{score:.4}"));
            add(&mut text, format_args!("| {metric} | {score} |"));
        }
        add(&mut text, format_args!("\nTrained on {} examples, scored on {}.", examples.0, examples.1));
        let precision = run.recipe.precision;
        if precision != Precision::Fp32 {
            let say = "over these fp32 weights; in fp32 scores may differ a little.";
            add(&mut text, format_args!("\nProducts were computed in {precision} {say}"));
        }
    }
    text += &usage(trained, is_adapter);
    add(&mut text, format_args!("\n## Settings\n\n| setting | value |\n| :-- | :-- |"));
    add(&mut text, format_args!("| method | {} |", run.method.name));
    for (name, value) in &run.method.numbers {
        add(&mut text, format_args!("| {name} | {} |", plain(value)));
    }
    if let Ok(Value::Object(recipe)) = serde_json::to_value(&run.recipe) {
        for (name, value) in recipe.iter().filter(|(_, value)| !value.is_null()) {
            add(&mut text, format_args!("| {name} | {} |", plain(value)));
        }
    }
    add(&mut text, format_args!("| seed | {} |", run.seed));
    let made = &record.made;
    let origin = [
        ("run", record.id.to_string()),
        ("data", format!("{}, content {}", run.task.name, run.task.hash)),
        ("pre-trained model", format!("{model}, content {}", run.model.hash)),
        ("program", format!("sweep {}, commit {}", made.version, made.commit)),
        ("libtorch", made.libtorch.clone()),
        ("device", format!("{} {}", made.device, made.device_name).trim().to_owned()),
        ("trained", format!("{}, in {}", made.started, duration(made.total_seconds()))),
    ];
    add(&mut text, format_args!("\n## Where it comes from\n\n| what | which |\n| :-- | :-- |"));
    for (what, which) in origin {
        add(&mut text, format_args!("| {what} | {which} |"));
    }
    text
}

/// A model's name without the folders of the machine that trained: of a path its last part.
pub fn model_name(name: &str) -> &str {
    if name.starts_with(['/', '.']) { name.trim_end_matches('/').rsplit('/').next().unwrap_or(name) } else { name }
}

/// The repository and the revision in a model's name.
pub fn base(model: &str) -> (&str, Option<&str>) {
    model.split_once('@').map_or((model, None), |(repo, revision)| (repo, Some(revision)))
}

/// How to load it and get what `sweep predict` says.
fn usage(trained: &Trained, is_adapter: bool) -> String {
    let Trained { record, task, .. } = trained;
    let texts = if task.text.len() == 2 { "\"a text\", \"another text\"" } else { "\"a text\"" };
    let length = record.run.recipe.max_length;
    let outputs = task.labels.outputs();
    let load = if is_adapter {
        let (base, revision) = base(model_name(&record.run.model.name));
        let revision = revision.map_or_else(String::new, |revision| format!("revision=\"{revision}\", "));
        format!(
            "from peft import PeftModel\nfrom transformers import AutoModelForSequenceClassification, AutoTokenizer\n\n\
             base = AutoModelForSequenceClassification.from_pretrained(\"{base}\", {revision}num_labels={outputs})\n\
             model = PeftModel.from_pretrained(base, folder).eval()"
        )
    } else {
        "from transformers import AutoModelForSequenceClassification, AutoTokenizer\n\n\
         model = AutoModelForSequenceClassification.from_pretrained(folder).eval()"
            .to_owned()
    };
    format!(
        "\n## Use\n\n```python\n{load}\ntokenizer = AutoTokenizer.from_pretrained(folder)\n\
         tokens = tokenizer({texts}, truncation=True, max_length={length}, return_tensors=\"pt\")\n\
         logits = model(**tokens).logits\n```\n"
    )
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn add(text: &mut String, line: std::fmt::Arguments) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{line}");
}
