//! The tiny checkpoint of the parity tests with its data, for tests.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tch::Device;

use super::Subject;
use crate::arena::Values;
use crate::method::{Combination, Method};
use crate::plan::{Choice, Input, Recipe, Run};
use crate::task::{Custom, Loaded, Task, Tokenizer, Tokens, load};

/// What a run needs.
pub struct Example {
    pub task: Task,
    pub data: Loaded,
    folder: PathBuf,
    /// As long as it lives, no other test draws.
    _alone: MutexGuard<'static, ()>,
}

/// libtorch has one generator a process, and a worker trains one run at a time: tests that draw take turns.
pub fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    tch::set_num_threads(1);
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Example {
    /// Two classes, the head in the checkpoint.
    pub fn classes() -> Example {
        Example::of("tiny-bert", "label", "accuracy")
    }

    /// A value.
    pub fn values() -> Example {
        Example::of("tiny-bert-regression", "value", "pearson")
    }

    /// A value, the head drawn: the checkpoint has one for two classes.
    pub fn new_head() -> Example {
        Example::of("tiny-bert", "value", "pearson")
    }

    /// Two classes for a checkpoint of `tests/parity/families`, on the texts that all of them share; the head is drawn.
    pub fn family(name: &str) -> Example {
        let example = Example::classes();
        let text = std::fs::read_to_string(parity().join("families/batch.json")).expect("batch.json");
        let texts: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let lists = |key: &str| serde_json::from_value::<Vec<Vec<u32>>>(texts[key].clone()).expect("lists of numbers");
        let mut tokens = Tokens::default();
        for (row, (ids, types)) in lists("ids").iter().zip(lists("types")).enumerate().cycle().take(20) {
            tokens.push(ids, types.iter().map(|&kind| kind as u8), (row % 2) as f32);
        }
        let dev = vec![(String::new(), tokens.clone())];
        let data = Loaded { train: tokens, dev, hash: name.to_owned() };
        Example { data, folder: parity().join("families").join(name), ..example }
    }

    fn of(folder: &str, label: &str, metric: &str) -> Example {
        let alone = alone();
        let parity = parity();
        let own = Custom {
            name: "pairs".into(),
            train: parity.join("train.tsv"),
            dev: parity.join("dev.tsv"),
            text: vec!["first".into(), "second".into()],
            label: label.into(),
            labels: None,
            metric: vec![metric.into()],
            format: None,
        };
        let task = own.resolve().expect("a task");
        let cache = tempfile::tempdir().expect("a folder");
        let tokenizer = Tokenizer::open(&parity.join(folder)).expect("a tokenizer");
        let data = load(&task, &tokenizer, 32, cache.path()).expect("tokens");
        Example { task, data, folder: parity.join(folder), _alone: alone }
    }

    /// The model with what a run's method adds, reset to the run's seed.
    pub fn subject(&self, run: &Run) -> Subject {
        let classes = (!self.task.labels.is_regression()).then(|| self.task.labels.outputs() as i64);
        let method = Combination::<Values>::build(&run.method).expect("a method");
        let adapters = |part: &_| method.adapters(part);
        let mut subject = Subject::load(&self.folder, classes, Device::Cpu, &adapters).expect("a model");
        subject.reset(run.seed, &run.recipe);
        subject
    }
}

fn parity() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity")
}

/// Twenty steps by a method, its numbers at their standards but for these.
pub fn run(mode: &str, numbers: &[(&str, serde_json::Value)]) -> Run {
    let input = |name: &str| Input { name: name.into(), hash: name.into() };
    let parts: Vec<&str> = mode.split('+').collect();
    let known = crate::method::METHODS.iter().filter(|method| parts.contains(&method.name));
    let standards = known.flat_map(|method| method.numbers);
    let mut all: std::collections::BTreeMap<String, serde_json::Value> =
        standards.filter_map(|n| Some((n.name.to_owned(), n.standard.value()?.json()))).collect();
    all.extend(numbers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    Run {
        task: input("pairs"),
        model: input("tiny"),
        mode: mode.into(),
        method: Choice { name: mode.into(), numbers: all },
        recipe: Recipe { epochs: 1, batch_size: 8, max_length: 32, lr: 2e-3, weight_decay: 0.1, ..Recipe::default() },
        seed: 1,
        after: Default::default(),
    }
}
