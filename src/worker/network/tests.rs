//! Every family against transformers: logits, and the gradient of every parameter. The numbers are those of
//! tests/parity/families.py.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tch::{Device, Kind, Tensor, no_grad};

use super::input::{Grouped, grouped};
use super::{Input, Pass};
use crate::arena::Stretch;
use crate::method::{Combination, Moment};
use crate::model::Config;
use crate::plan::{Choice, Recipe};
use crate::task::batch::Batch;
use crate::task::read::Row;
use crate::task::{Tokenizer, Tokens};
use crate::train::gradient::Step;
use crate::train::{Subject, fisher, loss};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/families")
}

/// The checkpoints: a name like `bert`, `xlnet-clamped`.
fn families() -> Vec<String> {
    let entries = std::fs::read_dir(folder()).expect("tests/parity/families");
    let names = entries.flatten().filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    assert!(names.len() >= 16, "{names:?}");
    names
}

#[derive(Deserialize)]
struct Texts {
    ids: Vec<Vec<u32>>,
    types: Vec<Vec<u8>>,
    classes: Vec<i64>,
    values: Vec<f32>,
}

/// The texts of batch.json as a tokenizer of the family would give them, with labels that suit `outputs`.
fn texts(config: &Config, outputs: i64) -> Tokens {
    let text = std::fs::read_to_string(folder().join("batch.json")).expect("batch.json");
    let texts: Texts = serde_json::from_str(&text).expect("JSON");
    let mut tokens = Tokens::default();
    for (row, (ids, mut types)) in texts.ids.iter().zip(texts.types).enumerate() {
        if config.model_type == "xlnet" {
            *types.last_mut().expect("a token") = 2;
        }
        let label = if outputs == 1 { texts.values[row] } else { (texts.classes[row] % outputs) as f32 };
        tokens.push(ids, types, label);
    }
    tokens
}

struct Case {
    subject: Subject,
    tokens: Tokens,
    /// Logits, and gradients by stored name.
    expected: BTreeMap<String, Tensor>,
}

impl Case {
    fn of(name: &str) -> Case {
        let folder = folder().join(name);
        let expected = Tensor::read_safetensors(folder.join("expected.safetensors")).expect("expected.safetensors");
        let expected: BTreeMap<String, Tensor> = expected.into_iter().collect();
        let outputs = expected["logits"].size()[1];
        let subject = Subject::load(&folder, (outputs > 1).then_some(outputs), Device::Cpu, &|_| Vec::new());
        let subject = subject.unwrap_or_else(|error| panic!("{name}: {error:#}"));
        let tokens = texts(&subject.encoder.config, outputs);
        Case { subject, tokens, expected }
    }

    fn batch(&self) -> Batch {
        let all: Vec<u32> = (0..self.tokens.len() as u32).collect();
        Batch::of(&self.tokens, &all, self.subject.pad())
    }
}

#[test]
fn logits_and_gradients_are_those_of_transformers() {
    let _alone = crate::train::example::alone();
    for name in families() {
        let mut case = Case::of(&name);
        let batch = case.batch();
        let logits = case.subject.encoder.forward(&case.subject.input(&batch), &mut Pass::evaluate(None));
        let apart = no_grad(|| (&logits - &case.expected["logits"]).abs().max()).double_value(&[]);
        let size = case.expected["logits"].abs().max().double_value(&[]);
        assert!(apart <= 1e-5 * size.max(1.0), "{name}: logits are {apart} apart");

        let mean = loss::mean(&logits, &case.subject.labels(&batch));
        case.subject.arena.backward(&mean);
        let whole = case.subject.arena.gradient.norm().double_value(&[]);
        let mut compared = 0;
        for part in &case.subject.arena.layout.parts {
            let found = part.shaped(&case.subject.arena.gradient);
            let stored = case.subject.encoder.config.stored_name(&part.name);
            let Some(expected) = case.expected.get(&format!("gradient.{stored}")) else {
                assert_eq!(found.abs().max().double_value(&[]), 0.0, "{name}: transformers gives {stored} no gradient");
                continue;
            };
            // What is zero but for rounding, as a key's bias, is compared with the rest.
            let size = expected.norm().double_value(&[]).max(1e-4 * whole);
            let apart = (found - expected).norm().double_value(&[]);
            assert!(apart <= 1e-4 * size, "{name}: the gradient of {stored} is {apart} apart, its size {size}");
            compared += 1;
        }
        assert_eq!(compared, case.expected.len() - 1, "{name}: gradients of parameters that are not in the model");
    }
}

/// Texts padded in a batch and each alone give the same.
#[test]
fn padding_plays_no_part() {
    let _alone = crate::train::example::alone();
    for name in families() {
        let case = Case::of(&name);
        let forward = |batch: &Batch| {
            no_grad(|| case.subject.encoder.forward(&case.subject.input(batch), &mut Pass::evaluate(None)))
        };
        let together = forward(&case.batch());
        for row in 0..case.tokens.len() {
            let alone = forward(&Batch::of(&case.tokens, &[row as u32], case.subject.pad()));
            let apart = (alone.get(0) - together.get(row as i64)).abs().max().double_value(&[]);
            assert!(apart < 1e-4, "{name}: text {row} is {apart} apart");
        }
    }
}

/// The scores of every parameter, by whichever way, are the mean of the squared gradients of the examples.
#[test]
fn fisher_scores_are_the_mean_of_squared_gradients() {
    let _alone = crate::train::example::alone();
    for name in families() {
        let mut case = Case::of(&name);
        let picked: Vec<u32> = (0..case.tokens.len() as u32).collect();
        let mut expected = case.subject.arena.theta.zeros_like();
        for &row in &picked {
            let batch = Batch::of(&case.tokens, &[row], case.subject.pad());
            let logits = case.subject.encoder.forward(&case.subject.input(&batch), &mut Pass::evaluate(None));
            let loss = loss::sum(&logits, &case.subject.labels(&batch));
            case.subject.arena.backward(&loss);
            expected += case.subject.arena.gradient.square();
        }
        expected /= picked.len() as f64;
        for scope in [fisher::Scope::Encoder, fisher::Scope::Whole] {
            let found =
                fisher::per_example(&case.subject, &case.tokens, &picked, scope, &mut || false).expect("scores");
            for part in &case.subject.arena.layout.parts {
                let (found, mut expected) = (part.of(&found), part.of(&expected));
                if scope == fisher::Scope::Encoder && part.role != crate::method::Role::Encoder {
                    expected = expected.zeros_like();
                }
                let size = expected.norm().double_value(&[]).max(1e-6);
                let apart = (found - expected).norm().double_value(&[]);
                assert!(apart <= 1e-4 * size, "{name}, {}: {apart} of {size}", part.name);
            }
        }
    }
}

/// Layers that run again give the gradient that they gave, shared ones and shared tables too; and bf16 rounds no more
/// than its eight bits.
#[test]
fn every_family_runs_its_layers_again_and_in_bf16() {
    let _alone = crate::train::example::alone();
    let plain = Choice { name: "vanilla".into(), numbers: Default::default() };
    let plain = Combination::build(&plain).expect("a method");
    for name in families() {
        let mut case = Case::of(&name);
        case.subject.encoder.config = case.subject.encoder.config.clone().with_dropout(Some(0.0));
        let picks: Vec<u32> = (0..case.tokens.len() as u32).collect();
        let at = Moment { seed: 1, step: 1, steps: 1, pass: 0, token: 0 };
        let mut gradient = |gradient_checkpointing, precision| {
            let recipe = Recipe { batch_size: picks.len() as u32, gradient_checkpointing, ..Recipe::default() };
            let step = Step { tokens: &case.tokens, picks: &picks, recipe: &recipe, precision, dropout: "dropout", at };
            let loss = step.gradient(&mut case.subject, &plain);
            (loss, case.subject.arena.gradient.copy())
        };
        let (loss, kept) = gradient(false, Kind::Float);
        let norm = |x: &Tensor| x.norm().double_value(&[]);
        for (again, precision, share) in
            [(true, Kind::Float, 1e-5), (false, Kind::BFloat16, 0.1), (true, Kind::BFloat16, 0.1)]
        {
            let (found, made) = gradient(again, precision);
            assert!((found / loss - 1.0).abs() <= share, "{name}, {precision:?}: {found} instead of {loss}");
            let apart = norm(&(&made - &kept)) / norm(&kept);
            assert!(apart <= share, "{name}, {precision:?}: gradients are {apart} apart");
            assert!(precision == Kind::Float || found != loss, "{name}: nothing is rounded");
        }
    }
}

/// Attention group by group is attention all together.
#[test]
fn groups_of_like_lengths_change_nothing() {
    let _alone = crate::train::example::alone();
    for name in families() {
        let case = Case::of(&name);
        let input = case.subject.input(&case.batch());
        let forward = |input: &Input| case.subject.encoder.forward(input, &mut Pass::evaluate(None));
        let (together, count) = (forward(&input), input.lengths.len());
        for sizes in [vec![1; count], vec![1, count - 1]] {
            let grouped = grouped(&input.lengths, &sizes, Device::Cpu);
            let seats = grouped.seats(&(0..count).collect::<Vec<_>>(), Device::Cpu);
            let Grouped { groups, slots, .. } = grouped;
            let apart = Input { groups, slots, seats, ..case.subject.input(&case.batch()) };
            let difference = (forward(&apart) - &together).abs().max().double_value(&[]);
            assert!(difference < 1e-5, "{name}, {sizes:?}: {difference}");
        }
    }
}

/// In training the rates of the config count, and draws differ.
#[test]
fn dropout_is_on_in_training_only() {
    let _alone = crate::train::example::alone();
    for name in families() {
        let mut case = Case::of(&name);
        case.subject.encoder.config = case.subject.encoder.config.clone().with_dropout(Some(0.3));
        let input = case.subject.input(&case.batch());
        let forward = |mut pass: Pass| no_grad(|| case.subject.encoder.forward(&input, &mut pass));
        let (one, two) = (forward(Pass::train(None, 1)), forward(Pass::train(None, 2)));
        assert!(!one.equal(&two), "{name}: dropout draws the same twice");
        assert!(one.equal(&forward(Pass::train(None, 1))), "{name}: one key, two draws");
        assert!(forward(Pass::evaluate(None)).equal(&forward(Pass::evaluate(None))), "{name}");
        assert_eq!(one.kind(), Kind::Float);
    }
}

/// The demo's model on sentences of unlike lengths; the numbers are those of tests/reference/encoder.py.
#[test]
fn logits_of_a_real_checkpoint_are_those_of_transformers() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = project.join("models/all-MiniLM-L6-v2");
    if Config::read(&folder).is_err() {
        crate::log::line("skipped: models/all-MiniLM-L6-v2 is not there; `make setup` fetches it");
        return;
    }
    let text = std::fs::read_to_string(project.join("tests/reference/encoder.json")).expect("encoder.json");
    let reference: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let sentences: Vec<Vec<String>> = serde_json::from_value(reference["sentences"].clone()).expect("sentences");
    let expected: Vec<Vec<f64>> = serde_json::from_value(reference["logits"].clone()).expect("logits");

    let mut subject = Subject::load(&folder, Some(3), Device::Cpu, &|_| Vec::new()).expect("the model");
    let weight = subject.arena.layout.index("classifier.weight").expect("a head");
    let bias = subject.arena.layout.index("classifier.bias").expect("a head");
    let hidden = subject.encoder.config.hidden_size;
    let angles = Tensor::arange(3 * hidden, (Kind::Double, Device::Cpu)).view([3, hidden]);
    subject.arena.fill(weight, &angles.sin());
    subject.arena.fill(bias, &Tensor::from_slice(&[0.1f32, -0.2, 0.3]));

    let rows: Vec<Row> = sentences.into_iter().map(|text| Row { text, label: 0.0 }).collect();
    let tokens = Tokenizer::open(&folder).and_then(|t| t.encode(&rows, 128)).expect("tokens");
    let batch = Batch::of(&tokens, &[0, 1, 2, 3, 4], subject.pad());
    let logits = subject.encoder.forward(&subject.input(&batch), &mut Pass::evaluate(None));
    for (row, expected) in expected.iter().enumerate() {
        for (label, expected) in expected.iter().enumerate() {
            let found = logits.double_value(&[row as i64, label as i64]);
            assert!((found - expected).abs() < 1e-5 * expected.abs().max(1.0), "{row}, {label}: {found} {expected}");
        }
    }
}
