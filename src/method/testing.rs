//! A run of one parameter, for the tests of methods: plain numbers, and a note of what the method asked for.

use anyhow::Result;

use super::{Block, Combination, Fisher, Leaves, List, METHODS, Method, Moment, Part, Passes, Pick, Role, Study};
use crate::plan::Choice;

#[track_caller]
pub fn assert_close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() <= 1e-12 + 1e-9 * b.abs(), "{found:?} instead of {expected:?}");
    }
}

pub struct Bench {
    pub method: Combination<List>,
    pub part: Part,
    /// Parts of a model, where the method looks at them; else `part` is the only one.
    model: Vec<Part>,
    pub theta: Vec<f64>,
    pub start: Vec<f64>,
    pub rate: f64,
    pub moment: Moment,
    /// The child network that the run hands out, and what was asked for it.
    pub mask: Vec<f64>,
    pub asked: Vec<String>,
    pub held: Option<Vec<f64>>,
    /// Factors of decay: of the only part, and of each part of a model.
    pub decay: Vec<f64>,
    pub decays: Vec<f64>,
    pub trained: Vec<String>,
    pub drawn: Vec<String>,
}

impl Bench {
    /// A method with its standard numbers but for these, and θ.
    pub fn of(name: &str, numbers: &[(&str, serde_json::Value)], theta: &[f64]) -> Bench {
        let parts: Vec<&str> = name.split('+').collect();
        let standards = METHODS.iter().filter(|method| parts.contains(&method.name)).flat_map(|method| method.numbers);
        let mut all: std::collections::BTreeMap<String, serde_json::Value> =
            standards.filter_map(|n| Some((n.name.to_owned(), n.standard.value()?.json()))).collect();
        all.extend(numbers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let choice = Choice { name: name.to_owned(), numbers: all };
        let part = part(0, "weight", Role::Encoder, theta.len() as i64);
        Bench {
            method: Combination::build(&choice).expect("a method"),
            part,
            model: Vec::new(),
            theta: theta.to_vec(),
            start: theta.to_vec(),
            rate: 1.0,
            moment: Moment { seed: 1, step: 1, steps: 100, pass: 0, token: 0 },
            mask: vec![1.0; theta.len()],
            asked: Vec::new(),
            held: None,
            decay: vec![1.0],
            decays: Vec::new(),
            trained: Vec::new(),
            drawn: Vec::new(),
        }
    }

    /// Lets the method see a model of so many layers, one entry a part.
    pub fn model_of(&mut self, layers: usize) {
        let mut parts = vec![part(0, "embeddings.word_embeddings.weight", Role::Embeddings, 1)];
        for layer in 0..layers {
            parts.push(part(parts.len(), &format!("encoder.layer.{layer}.output.dense.weight"), Role::Encoder, 1));
        }
        parts.push(part(parts.len(), "pooler.dense.weight", Role::Pooler, 1));
        parts.push(part(parts.len(), "classifier.weight", Role::Head, 1));
        self.decays = vec![1.0; parts.len()];
        self.model = parts;
    }

    /// A bias beside the last three parts of the model.
    pub fn name_biases(&mut self) {
        let weights = self.model.split_off(self.model.len() - 3);
        for weight in weights {
            let name = weight.name.replace("weight", "bias");
            self.model.push(Part { index: self.model.len(), ..weight.clone() });
            self.model.push(part(self.model.len(), &name, weight.role, 1));
        }
    }

    pub fn prepare(&mut self) {
        self.ask(|method, study| method.start(study).expect("a start"));
        self.ask(|method, study| method.prepare(study).expect("preparation"));
    }

    pub fn turn(&mut self) {
        let at = self.moment;
        self.ask(|method, study| method.turn(study, at));
    }

    fn ask(&mut self, f: impl FnOnce(&mut Combination<List>, &mut dyn Study<List>)) {
        let nothing = Choice { name: "vanilla".into(), numbers: Default::default() };
        let mut method = std::mem::replace(&mut self.method, Combination::build(&nothing).expect("vanilla"));
        f(&mut method, self);
        self.method = method;
    }

    fn with_block<T>(&mut self, f: impl FnOnce(&mut Combination<List>, &Block<List>) -> T) -> T {
        let block = Block {
            part: &self.part,
            offset: 0,
            len: self.theta.len() as i64,
            theta: List::flat(&self.theta),
            start: List::flat(&self.start),
            moment: self.moment,
            rate: self.rate,
        };
        f(&mut self.method, &block)
    }

    pub fn raw(&mut self, gradient: &[f64]) -> Vec<f64> {
        self.with_block(|method, block| method.raw(block, List::flat(gradient))).numbers
    }

    pub fn gradient(&mut self, gradient: &[f64]) -> Vec<f64> {
        self.with_block(|method, block| method.gradient(block, List::flat(gradient))).numbers
    }

    pub fn step(&mut self, gradient: &[f64], step: &[f64]) -> Vec<f64> {
        self.with_block(|method, block| method.step(block, &List::flat(gradient), List::flat(step))).numbers
    }

    pub fn pull(&mut self) -> Option<Vec<f64>> {
        self.with_block(|method, block| method.pull(block)).map(|pull| pull.numbers)
    }

    /// The weight of the forward pass, θ as a matrix of so many columns.
    pub fn weight(&self, columns: usize) -> Option<Vec<f64>> {
        let weight = List::matrix(columns, &self.theta);
        Some(self.method.weight(&self.part, &weight, self, self.moment)?.numbers)
    }
}

fn part(index: usize, name: &str, role: Role, len: i64) -> Part {
    let offset = index as i64;
    Part { index, name: name.to_owned(), shape: vec![len], role, decays: true, pretrained: true, offset, len }
}

/// `layer 2`, `pooler bias`.
fn short(part: &Part) -> String {
    let place = match part.layer() {
        Some(layer) => format!("layer {layer}"),
        None => part.name.split('.').next().unwrap_or_default().to_owned(),
    };
    if part.is_bias() { place + " bias" } else { place }
}

impl Leaves<List> for Bench {
    fn start(&self, part: &Part) -> List {
        List::matrix(part.shape[part.shape.len() - 1] as usize, &self.start)
    }

    fn adapter(&self, _: &Part, suffix: &str) -> List {
        unreachable!("no adapter {suffix} here")
    }
}

impl Study<List> for Bench {
    fn parts(&self) -> Vec<Part> {
        if self.model.is_empty() { vec![self.part.clone()] } else { self.model.clone() }
    }

    fn seed(&self) -> u64 {
        self.moment.seed
    }

    fn entries(&self) -> i64 {
        self.parts().last().map_or(0, |part| part.offset + part.len)
    }

    fn zeros(&self, len: i64) -> List {
        List::flat(&vec![0.0; len as usize])
    }

    fn theta(&self) -> List {
        List::flat(&self.theta)
    }

    fn theta_of(&self, part: &Part) -> List {
        let columns = part.shape.last().copied().unwrap_or(1) as usize;
        List::matrix(columns, &self.theta)
    }

    fn set_theta(&mut self, _: &Part, values: &List) {
        self.theta = values.numbers.clone();
    }

    fn draw_anew(&mut self, part: &Part) {
        self.drawn.push(short(part));
    }

    fn scale_decay(&mut self, part: &Part, factor: f64) {
        let decays = if self.model.is_empty() { &mut self.decay } else { &mut self.decays };
        decays[part.index] *= factor;
    }

    fn train_only(&mut self, trained: &dyn Fn(&Part) -> bool) {
        self.trained = self.model.iter().filter(|part| trained(part)).map(short).collect();
    }

    fn hold(&mut self, mask: &List) {
        self.held = Some(mask.numbers.clone());
    }

    fn child(&mut self, fisher: Fisher, _: Option<u64>, pick: Pick) -> Result<List> {
        self.asked.push(format!("{fisher:?} {pick:?}"));
        Ok(List::flat(&self.mask))
    }

    fn random_child(&mut self, mask_seed: Option<u64>, p: f64) -> Result<List> {
        self.asked.push(format!("random {mask_seed:?} {p}"));
        Ok(List::flat(&self.mask))
    }

    fn fish(&mut self, samples: u32, keep: f64) -> Result<List> {
        self.asked.push(format!("fish {samples} {keep}"));
        Ok(List::flat(&self.mask))
    }

    fn largest(&self, scores: &List, share: f64) -> List {
        let mut sorted = scores.numbers.clone();
        sorted.sort_by(|a, b| b.total_cmp(a));
        let border = sorted[(share * sorted.len() as f64).ceil() as usize - 1];
        List::flat(&scores.numbers.iter().map(|s| f64::from(u8::from(*s >= border))).collect::<Vec<_>>())
    }
}

/// Passes that give these logits one after the other.
pub struct Two {
    logits: Vec<Vec<f64>>,
    labels: Vec<usize>,
    next: usize,
    /// What the word embeddings are, and what a changed pass saw of them.
    pub words: Vec<f64>,
    pub seen: Vec<f64>,
}

impl Two {
    pub fn classes(logits: &[&[f64]], labels: &[usize]) -> Two {
        let logits = logits.iter().map(|logits| logits.to_vec()).collect();
        Two { logits, labels: labels.to_vec(), next: 0, words: vec![0.0], seen: Vec::new() }
    }

    /// The same passes from the first one on.
    pub fn again(mut self) -> Two {
        self.next = 0;
        self
    }

    /// log p of one example.
    fn log_p(logits: &[f64]) -> Vec<f64> {
        let sum = logits.iter().map(|x| x.exp()).sum::<f64>().ln();
        logits.iter().map(|x| x - sum).collect()
    }
}

impl Passes<List> for Two {
    fn pass(&mut self) -> List {
        self.next += 1;
        let logits = &self.logits[self.next - 1];
        List::matrix(logits.len() / self.labels.len(), logits)
    }

    fn pass_with(&mut self, words: &dyn Fn(&List) -> List) -> List {
        self.seen = words(&List::flat(&self.words)).numbers;
        self.pass()
    }

    fn loss(&mut self, logits: &List) -> List {
        let examples = logits.numbers.chunks(logits.columns).zip(&self.labels);
        let sum: f64 = examples.map(|(logits, label)| -Two::log_p(logits)[*label]).sum();
        List::flat(&[sum / self.labels.len() as f64])
    }

    fn divergence(&mut self, a: &List, b: &List) -> List {
        let examples = a.numbers.chunks(a.columns).zip(b.numbers.chunks(b.columns));
        let apart = examples.map(|(a, b)| {
            let (p, q) = (Two::log_p(a), Two::log_p(b));
            p.iter().zip(&q).map(|(p, q)| (p.exp() - q.exp()) * (p - q)).sum::<f64>()
        });
        List::flat(&[apart.sum()])
    }

    fn examples(&self) -> f64 {
        self.labels.len() as f64
    }
}
