//! Models in every form of weights train alike; a broken model folder is refused before anything starts.

use std::path::Path;

use super::sandbox::{Sandbox, project, tiny_sweep};

/// One model of random weights in every form, each in a folder.
fn forms() -> std::path::PathBuf {
    project().join("tests/reference/checkpoints/model")
}

/// The tiny sweep over other models.
fn over(models: &[String]) -> String {
    let text = tiny_sweep("mode = [\"vanilla\"]", "max_steps = 3\nlog_every = 1\nlr = 1e-2");
    let line = text.lines().find(|line| line.starts_with("model =")).expect("a model").to_owned();
    text.replace(&line, &format!("model = {models:?}"))
}

#[test]
fn every_form_of_weights_trains_alike() {
    let ways = ["safetensors", "torch", "torch-old", "shards", "torch-shards"];
    let sandbox = Sandbox::with(&over(&ways.map(|way| forms().join(way).display().to_string())));
    sandbox.expect(0, &["run", "sweep.toml"]);
    let records = sandbox.records();
    assert_eq!(records.len(), ways.len());
    // All but the seconds that a step took.
    let steps = |record: &serde_json::Value| -> Vec<String> {
        let id = record["id"].as_str().expect("an id");
        let csv = std::fs::read_to_string(sandbox.path("results/runs").join(id).join("steps.csv")).expect("steps");
        csv.lines().map(|line| line.rsplit_once(',').expect("columns").0.to_owned()).collect()
    };
    let first = steps(&records[0]);
    assert_eq!(first.len(), 1 + 3, "{first:?}");
    assert!(records.iter().all(|record| steps(record) == first));
}

/// A sweep over a copy of a model that something was done to.
fn with_broken(way: &str, change: impl Fn(&Path)) -> Sandbox {
    let sandbox = Sandbox::with(&over(&["broken".to_owned()]));
    let folder = sandbox.path("models/broken");
    std::fs::create_dir_all(&folder).expect("a folder");
    for entry in std::fs::read_dir(forms().join(way)).expect("a model").flatten() {
        std::fs::copy(entry.path(), folder.join(entry.file_name())).expect("a copy");
    }
    change(&folder);
    sandbox
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).expect("a text");
    assert!(text.contains(from), "{text}");
    std::fs::write(path, text.replace(from, to)).expect("a text");
}

#[test]
fn a_broken_model_is_refused_before_anything_starts() {
    let weights = "model.safetensors";
    type Change<'a> = &'a dyn Fn(&Path);
    let cut: Change = &|folder| {
        let whole = std::fs::read(folder.join(weights)).expect("weights");
        std::fs::write(folder.join(weights), &whole[..whole.len() - 100]).expect("weights");
    };
    let pointer: Change = &|folder| {
        let text = "version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 9\n";
        std::fs::write(folder.join(weights), text).expect("weights");
    };
    let wider: Change = &|folder| edit(&folder.join("config.json"), "\"vocab_size\": 72", "\"vocab_size\": 73");
    let deeper: Change = &|folder| {
        edit(&folder.join("config.json"), "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 4");
    };
    let unknown: Change = &|folder| edit(&folder.join("config.json"), "\"bert\"", "\"gpt2\"");
    let code: Change = &|folder| {
        let code = project().join("tests/reference/checkpoints/code.bin");
        std::fs::copy(code, folder.join("pytorch_model.bin")).expect("a copy");
    };
    let shard: Change = &|folder| {
        std::fs::remove_file(folder.join("model-00002-of-00002.safetensors")).expect("removed");
    };
    let none: Change = &|folder| std::fs::remove_file(folder.join(weights)).expect("removed");
    for (way, change, said) in [
        ("safetensors", cut, "model.safetensors cannot be read: it is cut"),
        ("safetensors", pointer, "git lfs pull"),
        ("safetensors", wider, "vocab_size is 73 in config.json and 72 in the weights"),
        ("safetensors", deeper, "num_hidden_layers is 4 in config.json and 2 in the weights"),
        ("safetensors", unknown, "model_type \"gpt2\" is not known"),
        ("safetensors", none, "has no weights"),
        ("torch", code, "asks for posix.system"),
        ("shards", shard, "model-00002-of-00002.safetensors, which is not there"),
    ] {
        let sandbox = with_broken(way, change);
        for command in ["plan", "run"] {
            let err = sandbox.expect(1, &[command, "sweep.toml"]).err;
            // Sentences are wrapped to the width of a terminal.
            let words =
                err.split_whitespace().filter(|word| *word != "|" && *word != "=").collect::<Vec<_>>().join(" ");
            assert!(words.contains(said), "expected \"{said}\" in\n{err}");
            assert!(err.contains("1 fault") || !err.contains("faults"), "{err}");
        }
        assert!(!sandbox.path("results").exists(), "{said}: something was written");
        assert!(!sandbox.path("sweep-was-here").exists());
    }
}

#[test]
fn a_tokenizer_with_more_ids_than_embeddings_is_refused_before_anything_starts() {
    let sandbox = with_broken("safetensors", |folder| {
        let words = std::fs::read_to_string(folder.join("vocab.txt")).expect("words");
        std::fs::write(folder.join("vocab.txt"), words + "surplus\n").expect("words");
    });
    let err = sandbox.expect(1, &["run", "sweep.toml"]).err;
    assert!(err.contains("ids up to 72") && err.contains("72 embeddings"), "{err}");
    assert!(sandbox.records().is_empty());
}
