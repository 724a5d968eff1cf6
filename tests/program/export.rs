//! Trained models leave: as folders for transformers and PEFT, as predictions, as files for the GLUE leaderboard.
//!
//! What is written is held against files that transformers wrote itself, and, where SWEEP_PYTHON names a Python with
//! transformers and peft, against what these say of it (tests/parity/export.py).

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::sandbox::{Sandbox, as_regression, project, tiny_sweep};

const TRAIN: &str = "epochs = 1\nlr = 2e-3\n[run]\nkeep = true";
const ONE: &[&str] = &["run", "sweep.toml", "--devices", "cpu", "--slots-per-device", "1"];

/// Pairs that no data file has: of accents, signs, one cut at 32 tokens.
const TEXTS: &str = "anna sees fish\tanna buys fish\n\
                     Ben é likes 🐟\tthe old man unbelievably , likes a house\n\
                     a a a a a a a a a a a a a a a a a a a a a a a a\tb b b b b b b b b b b b b b b b b b\n\
                     \tfish\n";

/// One run of a mode on the tiny checkpoint, and its id.
fn trained(mode: &str) -> (Sandbox, String) {
    let sandbox = Sandbox::with(&tiny_sweep(&format!("mode = [\"{mode}\"]\nseed = [1]"), TRAIN));
    sandbox.expect(0, ONE);
    let id = id_of(&sandbox.records()[0]);
    (sandbox, id)
}

fn id_of(record: &Value) -> String {
    record["id"].as_str().expect("an id").to_owned()
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap_or_else(|_| panic!("{}", path.display()))).expect("JSON")
}

/// Name and shape of every tensor of a file, and what the file says of itself.
fn tensors(path: &Path) -> (BTreeMap<String, Vec<usize>>, Option<String>) {
    let bytes = std::fs::read(path).unwrap_or_else(|_| panic!("{}", path.display()));
    let (_, head) = safetensors::SafeTensors::read_metadata(&bytes).expect("a safetensors file");
    let of = head.tensors().into_iter().map(|(name, info)| (name, info.shape.clone()));
    let format = head.metadata().as_ref().and_then(|note| note.get("format").cloned());
    (of.collect(), format)
}

/// What transformers, or PEFT over a base, says of a folder is what the program said.
#[track_caller]
fn ask_python(folder: &Path, texts: &Path, said: &str, base: Option<&Path>) {
    let Ok(python) = std::env::var("SWEEP_PYTHON") else {
        let _ = writeln!(std::io::stderr(), "skipped: SWEEP_PYTHON names no Python with transformers and peft");
        return;
    };
    let predictions = texts.with_extension("json");
    std::fs::write(&predictions, said).expect("predictions");
    let mut command = Command::new(python);
    command.arg(project().join("tests/parity/export.py")).args([folder, texts, &predictions]).arg("32").args(base);
    let output = command.env("OMP_NUM_THREADS", "1").env("HF_HUB_OFFLINE", "1").output().expect("Python starts");
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {}{err}", folder.display(), String::from_utf8_lossy(&output.stdout));
}

/// A tokenizer of whole words for a checkpoint of 50 entries.
fn add_tokenizer(folder: &Path) {
    let config = read(&folder.join("config.json"));
    let kind = config["model_type"].as_str().expect("a model type");
    let pad = config["pad_token_id"].as_u64().unwrap_or(0);
    let mut words =
        vec!["[CLS]", "[SEP]", "[UNK]", "[MASK]", "anna", "ben", "the", "old", "man", "sees", "likes", "fish", ","];
    words.insert(pad as usize, "[PAD]");
    let vocab: BTreeMap<&str, usize> = words.iter().enumerate().map(|(id, word)| (*word, id)).collect();
    let special = |word: &str, kind: u8| json!({"SpecialToken": {"id": word, "type_id": kind}});
    let text = |name: &str, kind: u8| json!({"Sequence": {"id": name, "type_id": kind}});
    // RoBERTa's family has one token type; XLNet's mark stands behind the texts and has a type of its own.
    let second = u8::from(!kind.contains("roberta") && kind != "camembert");
    let (single, pair) = match kind {
        "xlnet" => (
            json!([text("A", 0), special("[SEP]", 0), special("[CLS]", 2)]),
            json!([text("A", 0), special("[SEP]", 0), text("B", 1), special("[SEP]", 1), special("[CLS]", 2)]),
        ),
        _ => (
            json!([special("[CLS]", 0), text("A", 0), special("[SEP]", 0)]),
            json!([
                special("[CLS]", 0),
                text("A", 0),
                special("[SEP]", 0),
                text("B", second),
                special("[SEP]", second)
            ]),
        ),
    };
    let ids = |word: &str| json!({"id": word, "ids": [vocab[word]], "tokens": [word]});
    let added: Vec<Value> = ["[CLS]", "[SEP]", "[UNK]", "[MASK]", "[PAD]"]
        .iter()
        .map(|word| {
            json!({"id": vocab[word], "content": word, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true})
        })
        .collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {"type": "TemplateProcessing", "single": single, "pair": pair,
            "special_tokens": {"[CLS]": ids("[CLS]"), "[SEP]": ids("[SEP]")}},
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"},
    });
    let has_types = !["distilbert", "modernbert"].contains(&kind);
    let names = ["input_ids", "token_type_ids", "attention_mask"];
    let names: Vec<&str> = names.into_iter().filter(|name| has_types || !name.starts_with("token_type")).collect();
    let settings = json!({
        "tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": names, "pad_token": "[PAD]",
        "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]", "mask_token": "[MASK]",
        "padding_side": if kind == "xlnet" { "left" } else { "right" },
    });
    std::fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).expect("a tokenizer");
    std::fs::write(folder.join("tokenizer_config.json"), settings.to_string()).expect("settings");
}

/// Every family: the tensors are those that transformers writes, and the folder says what the run says.
#[test]
fn an_exported_folder_of_every_family_is_one_of_transformers() {
    let families = project().join("tests/parity/families");
    let names = "bert roberta xlm-roberta camembert electra distilbert albert xlnet deberta-v3 modernbert";
    let names: Vec<&str> = names.split(' ').collect();
    assert_eq!(names.len(), sweep::model::MODEL_TYPES.len());
    let list = names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let text = tiny_sweep("mode = [\"vanilla\"]\nseed = [1]", &format!("max_steps = 2\n{TRAIN}"));
    let own = format!("model = [\"{}\"]", project().join("tests/parity/tiny-bert").display());
    let sandbox = Sandbox::with(&text.replace(&own, &format!("model = [{list}]")));
    for name in &names {
        let folder = sandbox.path("models").join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        for file in ["config.json", "model.safetensors"] {
            std::fs::copy(families.join(name).join(file), folder.join(file)).expect("a checkpoint");
        }
        add_tokenizer(&folder);
    }
    std::fs::write(sandbox.path("texts.txt"), TEXTS).expect("texts");
    sandbox.expect(0, &["run", "sweep.toml", "--devices", "cpu"]);
    let records = sandbox.records();
    assert_eq!(records.len(), names.len());
    for record in &records {
        let (id, name) = (id_of(record), record["run"]["model"]["name"].as_str().expect("a name"));
        let out = sandbox.path(name);
        sandbox.expect(0, &["export", &id, name]);
        let (mut found, format) = tensors(&out.join("model.safetensors"));
        let (mut expected, _) = tensors(&families.join(name).join("model.safetensors"));
        assert_eq!(format.as_deref(), Some("pt"), "{name}");
        // The head has as many outputs as the task has classes.
        let outputs = |tensors: &mut BTreeMap<String, Vec<usize>>| {
            let heads =
                ["classifier.weight", "classifier.bias", "classifier.out_proj.weight", "classifier.out_proj.bias"];
            let heads = heads.iter().chain(&["logits_proj.weight", "logits_proj.bias"]);
            heads.filter_map(|name| Some(std::mem::take(tensors.get_mut(*name)?.first_mut()?))).collect::<Vec<_>>()
        };
        assert_eq!(outputs(&mut found), [2, 2], "{name}");
        outputs(&mut expected);
        assert_eq!(found, expected, "{name}");
        let config = read(&out.join("config.json"));
        assert_eq!(config["architectures"], read(&families.join(name).join("config.json"))["architectures"], "{name}");
        assert_eq!(config["id2label"], json!({"0": "no", "1": "yes"}));
        let ask = |model: &str| sandbox.expect(0, &["predict", model, "--file", "texts.txt", "--format", "json"]).out;
        let said = ask(&id);
        assert_eq!(said, ask(name), "{name}");
        ask_python(&out, &sandbox.path("texts.txt"), &said, None);
    }
}

#[test]
fn an_exported_folder_is_a_model_that_begins_where_the_run_ended() {
    let (sandbox, id) = trained("vanilla");
    let said = sandbox.expect(0, &["export", &id[..6], "out/model"]);
    assert!(said.out.contains("out/model: pairs") && !sandbox.path("out/.model").exists(), "{}", said.out);
    let names: Vec<String> = std::fs::read_dir(sandbox.path("out/model"))
        .expect("a folder")
        .map(|entry| entry.expect("a file").file_name().into_string().expect("UTF-8"))
        .collect();
    assert_eq!(names.len(), 6, "{names:?}");
    let card = std::fs::read_to_string(sandbox.path("out/model/README.md")).expect("a card");
    let made = sandbox.records()[0]["made"]["libtorch"].as_str().expect("a version").to_owned();
    for part in [&format!("| run | {id} |"), "| accuracy | 0.", "max_length=32", "- 1: yes", "| lr | 0.002 |", &made] {
        assert!(card.contains(part), "{part} in {card}");
    }
    assert!(!card.contains(&project().display().to_string()), "{card}");

    // A step too small to be seen, from the folder's head: the score at once.
    let before = sandbox.records()[0]["end"]["done"]["dev"].clone();
    let text = std::fs::read_to_string(sandbox.path("sweep.toml")).expect("a sweep file");
    let model = project().join("tests/parity/tiny-bert").display().to_string();
    let text = text
        .replace(&model, "out/model")
        .replace("lr = 2e-3", "lr = 1e-30\nmax_steps = 1")
        .replace("\"tiny\"", "\"again\"");
    std::fs::write(sandbox.path("again.toml"), text).expect("a sweep file");
    sandbox.expect(0, &["run", "again.toml"]);
    let again: Vec<Value> = sandbox.records().into_iter().filter(|record| id_of(record) != id).collect();
    assert_eq!(again[0]["end"]["done"]["dev"], before);

    // What lies there stays, unless it is an earlier export and that is asked for.
    let refused = sandbox.expect(1, &["export", &id, "out/model"]).err;
    assert!(refused.contains("out/model is not empty; --force"), "{refused}");
    std::fs::write(sandbox.path("out/model/theirs"), "x").expect("a file");
    std::fs::write(sandbox.path("out/model/adapter_config.json"), "{}").expect("a file");
    sandbox.expect(0, &["export", &id, "out/model", "--force"]);
    assert!(sandbox.path("out/model/theirs").is_file() && !sandbox.path("out/model/adapter_config.json").exists());
}

#[test]
fn values_are_predicted_and_exported_as_a_regression() {
    let sandbox = Sandbox::with(&as_regression(tiny_sweep("mode = [\"vanilla\"]\nseed = [1]", TRAIN)));
    sandbox.expect(0, ONE);
    let id = id_of(&sandbox.records()[0]);
    sandbox.expect(0, &["export", &id, "out"]);
    let config = read(&sandbox.path("out/config.json"));
    assert_eq!((&config["problem_type"], &config["id2label"]), (&json!("regression"), &json!({"0": "LABEL_0"})));
    std::fs::write(sandbox.path("texts.txt"), TEXTS).expect("texts");
    let said = sandbox.expect(0, &["predict", &id, "--file", "texts.txt", "--format", "json"]).out;
    let rows: Vec<BTreeMap<String, Value>> = serde_json::from_str(&said).expect("JSON");
    assert!(rows.len() == 4 && rows.iter().all(|row| row.len() == 3 && row["prediction"].is_f64()), "{said}");
    ask_python(&sandbox.path("out"), &sandbox.path("texts.txt"), &said, None);
}

#[test]
fn lora_leaves_merged_or_as_an_adapter() {
    let (sandbox, id) = trained("lora");
    std::fs::write(sandbox.path("texts.txt"), TEXTS).expect("texts");
    let ask = |model: &str| sandbox.expect(0, &["predict", model, "--file", "texts.txt", "--format", "json"]).out;
    let said = ask(&id);
    sandbox.expect(0, &["export", &id, "merged"]);
    ask_python(&sandbox.path("merged"), &sandbox.path("texts.txt"), &said, None);
    let base = project().join("tests/parity/tiny-bert");
    assert_eq!(
        tensors(&sandbox.path("merged/model.safetensors")).0,
        tensors(&base.join("model.safetensors")).0,
        "no adapter is left"
    );
    // The merged weights are those of the forward pass, rounded alike.
    assert_eq!(ask("merged"), said);

    sandbox.expect(0, &["export", &id, "adapter", "--adapter"]);
    let (found, _) = tensors(&sandbox.path("adapter/adapter_model.safetensors"));
    let mut expected = BTreeMap::from([
        ("base_model.model.classifier.weight".to_owned(), vec![2, 48]),
        ("base_model.model.classifier.bias".to_owned(), vec![2]),
    ]);
    for layer in 0..2 {
        for part in ["query", "value"] {
            let name = format!("base_model.model.bert.encoder.layer.{layer}.attention.self.{part}");
            expected.insert(format!("{name}.lora_A.weight"), vec![8, 48]);
            expected.insert(format!("{name}.lora_B.weight"), vec![48, 8]);
        }
    }
    assert_eq!(found, expected);
    let config = read(&sandbox.path("adapter/adapter_config.json"));
    assert_eq!((&config["r"], &config["lora_alpha"], &config["peft_type"]), (&json!(8), &json!(16), &json!("LORA")));
    assert_eq!(
        (&config["target_modules"], &config["modules_to_save"]),
        (&json!(["query", "value"]), &json!(["classifier"]))
    );
    ask_python(&sandbox.path("adapter"), &sandbox.path("texts.txt"), &said, Some(&base));
    let refused = sandbox.expect(1, &["predict", "adapter", "a", "b"]).err;
    assert!(refused.contains("holds an adapter alone"), "{refused}");
}

#[test]
fn a_model_that_was_not_kept_is_trained_again() {
    let text = tiny_sweep("mode = [\"child-d\"]\np = [0.3]\nseed = [1, 2]", "epochs = 1\nlr = 2e-3");
    let sandbox = Sandbox::with(&text);
    sandbox.expect(0, ONE);
    let before = sandbox.records();
    let id = id_of(&before[0]);
    let refused = sandbox.expect(1, &["export", &id, "out"]).err;
    assert!(
        refused.contains("was not kept") && refused.contains("--train") && refused.contains("keep = true"),
        "{refused}"
    );
    let refused = sandbox.expect(1, &["export", &id, "out", "--train"]).err;
    assert!(refused.contains("it belongs to tiny") && refused.contains("--sweep"), "{refused}");
    let said = sandbox.expect(0, &["export", &id, "out", "--train", "--sweep", "sweep.toml"]).err;
    assert!(said.contains("trained again: all scores are those of the record"), "{said}");
    assert_eq!(sandbox.records(), before, "the evidence stays as it was");
    // Kept from now on.
    sandbox.expect(0, &["predict", &id, "a", "b"]);

    // A sweep file under sweeps/ is found by itself; one of other settings trains another model.
    let other = id_of(&before[1]);
    std::fs::create_dir(sandbox.path("sweeps")).expect("a folder");
    std::fs::write(sandbox.path("sweeps/tiny.toml"), text.replace("lr = 2e-3", "lr = 1e-3")).expect("a sweep file");
    let refused = sandbox.expect(1, &["predict", &other, "a", "b", "--train"]).err;
    assert!(refused.contains("asks for no run that trains like"), "{refused}");
    std::fs::write(sandbox.path("sweeps/tiny.toml"), &text).expect("a sweep file");
    sandbox.expect(0, &["predict", &other, "a", "b", "--train"]);

    // Scores that are not those of the record are told.
    let path = sandbox.path(&format!("results/runs/{other}/record.json"));
    let record = std::fs::read_to_string(&path).expect("a record");
    let score = before[1]["end"]["done"]["dev"]["accuracy"].to_string();
    std::fs::write(&path, record.replace(&format!("\"accuracy\": {score}"), "\"accuracy\": 0.125")).expect("a record");
    std::fs::remove_dir_all(sandbox.path("results/cache/trained")).expect("kept models");
    let said = sandbox.expect(0, &["predict", &other, "a", "b", "--train"]).err;
    assert!(
        said.contains(&format!("the scores are {{\"accuracy\":{score}}} and were {{\"accuracy\":0.125}}")),
        "{said}"
    );
}

#[test]
fn predictions_come_from_arguments_files_and_pipes() {
    let (sandbox, id) = trained("vanilla");
    let one = sandbox.expect(0, &["predict", &id, "anna sees fish", "anna buys fish"]).out;
    let lines: Vec<&str> = one.lines().collect();
    assert_eq!((lines.len(), lines[0]), (2, "text,text_2,prediction,p(no),p(yes)"));
    let shares: Vec<f64> = lines[1].split(',').skip(3).map(|p| p.parse().expect("a number")).collect();
    assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{one}");
    let files = [
        ("a.tsv", "second\tother\tfirst\nanna buys fish\t1\tanna sees fish\n"),
        ("a.csv", "first,second\nanna sees fish,\"anna buys fish\"\n"),
        ("a.jsonl", "{\"second\": \"anna buys fish\", \"first\": \"anna sees fish\"}\n"),
        ("a.txt", "anna sees fish\tanna buys fish\n"),
    ];
    for (name, text) in files {
        std::fs::write(sandbox.path(name), text).expect("a file");
        assert_eq!(sandbox.expect(0, &["predict", &id, "--file", name]).out, one, "{name}");
    }
    let mut child = sandbox
        .command(&["predict", &id, "--file", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    child.stdin.take().expect("a pipe").write_all(files[3].1.as_bytes()).expect("a pipe");
    let output = child.wait_with_output().expect("an end");
    assert_eq!(String::from_utf8_lossy(&output.stdout), one);

    for (name, text, why) in [
        ("b.txt", "a\tb\nc\n", "b.txt:2: texts with tabs between: 1 found, 2 expected"),
        ("b.csv", "first,second\na\n", "b.csv:2: columns: 1 found, 2 expected"),
        ("b.tsv", "first\tsecnd\na\tb\n", "no column `second` (did you mean `secnd`?)"),
        ("b.jsonl", "{\"first\": \"a\"}\n", "b.jsonl:1: no key `second`"),
    ] {
        std::fs::write(sandbox.path(name), text).expect("a file");
        let said = sandbox.expect(1, &["predict", &id, "--file", name]).err;
        assert!(said.contains(why), "{said}");
    }
    for (arguments, why) in [
        (vec!["predict", &id, "alone"], "pairs wants a pair of texts, here are 1"),
        (vec!["predict", "zzz", "a", "b"], "has an id that begins with \"zzz\""),
        (vec!["predict", "", "a", "b"], "has an id that begins with \"\""),
        (vec!["export", &id, "out", "--adapter"], "trained no adapter"),
        (vec!["export", &id, "sweep.toml"], "is a file; name a folder"),
        (vec!["predict", &id, "a", "b", "--device", "cuda:99"], "no device \"cuda:99\""),
        (vec!["predict", &id, "--file", "none.txt"], "cannot read none.txt"),
        (vec!["predict", &id], "a file of them by --file"),
    ] {
        let said = sandbox.expect(1, &arguments).err;
        assert!(said.contains(why), "{said}");
    }
    // The model that it began with must be the one that it was.
    let note = sandbox.path(&format!("results/cache/trained/{id}/note.json"));
    let moved = std::fs::read_to_string(&note).expect("a note").replace("parity/tiny-bert\"", "parity/nowhere\"");
    std::fs::write(&note, moved).expect("a note");
    sandbox.expect(0, &["predict", &id, "a", "b"]);
    std::fs::write(sandbox.path(&format!("results/cache/trained/{id}/theta.safetensors")), "torn").expect("a file");
    let said = sandbox.expect(1, &["predict", &id, "a", "b"]).err;
    assert!(said.contains("is damaged: --train trains it again"), "{said}");
}

#[test]
fn runs_are_named_by_what_only_one_id_begins_with() {
    let sandbox =
        Sandbox::with(&tiny_sweep("mode = [\"vanilla\"]\nseed = { from = 1, to = 17 }", "epochs = 1\nmax_steps = 1"));
    sandbox.expect(0, &["run", "sweep.toml"]);
    // Of 17 ids two begin alike.
    let mut ids: Vec<String> = sandbox.records().iter().map(id_of).collect();
    ids.sort();
    let twin = ids.windows(2).find(|pair| pair[0][..1] == pair[1][..1]).expect("two of 17");
    let said = sandbox.expect(1, &["predict", &twin[0][..1], "a", "b"]).err;
    assert!(said.contains(&format!("runs have ids that begin with \"{}\": ", &twin[0][..1])), "{said}");
    assert!(said.contains(&twin[0]) && said.contains(&twin[1]), "{said}");
}

/// RTE and STS-B of a few rows in the official layout, the sentences those of the parity tests.
fn little_glue(sandbox: &Sandbox) {
    for (folder, label, words) in [("RTE", 2, Some(["entailment", "not_entailment"])), ("STS-B", 3, None)] {
        let place = sandbox.path("data/glue").join(folder);
        std::fs::create_dir_all(&place).expect("a folder");
        for split in ["train", "dev"] {
            let own = std::fs::read_to_string(project().join(format!("tests/parity/{split}.tsv"))).expect("rows");
            let rows = own.lines().skip(1).enumerate().map(|(index, line)| {
                let fields: Vec<&str> = line.split('\t').collect();
                let label = words.map_or(fields[label], |words| words[usize::from(fields[label] == "no")]);
                format!("{index}\t{}\t{}\t{label}\n", fields[0], fields[1])
            });
            let header = if words.is_some() { "label" } else { "score" };
            let text = format!("index\tsentence1\tsentence2\t{header}\n{}", rows.collect::<String>());
            std::fs::write(place.join(format!("{split}.tsv")), text).expect("rows");
        }
        let test = "index\tsentence1\tsentence2\n2\tanna sees fish\tanna sees fish\n0\tben says \"hi\tfish\n1\ta\tb\n";
        std::fs::write(place.join("test.tsv"), test).expect("rows");
    }
}

#[test]
fn the_leaderboard_gets_its_files() {
    let text = tiny_sweep("mode = [\"vanilla\", \"lora\"]\nseed = [1, 2]", TRAIN);
    let sandbox = Sandbox::with(&text.replace("task = [\"pairs\"]", "task = [\"rte\", \"stsb\", \"pairs\"]"));
    little_glue(&sandbox);
    sandbox.expect(0, &["run", "sweep.toml"]);
    let said = sandbox.expect(0, &["submit-files", "tiny", "out", "--mode", "vanilla"]);
    let best = |task: &str, modes: &[&str]| {
        let of = sandbox.records().into_iter().filter(|record| {
            record["run"]["task"]["name"] == task && modes.contains(&record["run"]["mode"].as_str().expect("a mode"))
        });
        let score = |record: &Value| {
            let done = &record["end"]["done"];
            done["dev"][done["metric"].as_str().expect("a metric")].as_f64().expect("a score")
        };
        of.map(|record| score(&record)).fold(f64::NEG_INFINITY, f64::max)
    };
    let line = |task: &str, out: &str| out.lines().find(|line| line.starts_with(task)).expect("a line").to_owned();
    assert!(line("RTE.tsv", &said.out).contains("3 rows by "), "{}", said.out);
    assert!(
        line("RTE.tsv", &said.out).contains(&format!("accuracy {:.4} on dev", best("rte", &["vanilla"]))),
        "{}",
        said.out
    );
    assert!(line("STS-B.tsv", &said.out).contains(&format!("spearman {:.4} on dev", best("stsb", &["vanilla"]))));
    assert!(said.err.contains("the official file has 3000"), "{}", said.err);
    assert!(said.err.contains("CoLA.tsv: not written: no run of task cola with a score"), "{}", said.err);
    assert!(said.err.contains("the leaderboard wants all files"), "{}", said.err);
    let rte = std::fs::read_to_string(sandbox.path("out/RTE.tsv")).expect("RTE.tsv");
    let rows: Vec<(&str, &str)> = rte.lines().map(|line| line.split_once('\t').expect("two columns")).collect();
    assert_eq!(rows.iter().map(|row| row.0).collect::<Vec<_>>(), ["index", "2", "0", "1"]);
    assert!(rows[0].1 == "prediction" && rows[1..].iter().all(|row| row.1.ends_with("entailment")), "{rte}");
    let values = std::fs::read_to_string(sandbox.path("out/STS-B.tsv")).expect("STS-B.tsv");
    let in_range = |line: &str| {
        line.split('\t').nth(1).and_then(|v| v.parse::<f64>().ok()).is_some_and(|v| (0.0..=5.0).contains(&v))
    };
    assert!(values.lines().count() == 4 && values.lines().skip(1).all(in_range), "{values}");

    // Of all modes together, and of one seed; the label is the one that `predict` gives.
    let said = sandbox.expect(0, &["submit-files", "sweep.toml", "out", "--force", "--seed", "2"]);
    assert!(line("RTE.tsv", &said.out).contains("seed 2"), "{}", said.out);
    let id = line("RTE.tsv", &said.out).split(&[' ', ','][..]).find(|word| word.len() == 10).expect("an id").to_owned();
    let predicted = sandbox.expect(0, &["predict", &id, "a", "b"]).out;
    let rte = std::fs::read_to_string(sandbox.path("out/RTE.tsv")).expect("RTE.tsv");
    let word = rte.lines().last().and_then(|line| line.split('\t').nth(1)).expect("a prediction");
    assert!(predicted.contains(&format!("a,b,{word},")), "{predicted} {rte}");

    let refused = sandbox.expect(1, &["submit-files", "tiny", "other", "--mode", "vanila"]).err;
    assert!(refused.contains("did you mean \"vanilla\""), "{refused}");
    std::fs::remove_dir_all(sandbox.path("results/cache/trained")).expect("kept models");
    std::fs::remove_file(sandbox.path("data/glue/STS-B/test.tsv")).expect("a file");
    let refused = sandbox.expect(1, &["submit-files", "tiny", "other"]).err;
    assert!(refused.contains("nothing can be written") && refused.contains("RTE.tsv: the model of run"), "{refused}");
    assert!(!sandbox.path("other").exists());
    let said = sandbox.expect(0, &["submit-files", "sweep.toml", "other", "--train"]);
    assert!(said.err.contains("STS-B.tsv: not written: no STS-B/test.tsv in the data folders"), "{}", said.err);
    assert!(sandbox.path("other/RTE.tsv").is_file());
}
