//! A BERT-shaped encoder with a sequence-classification head, its parameters leaves of an arena.
//!
//! Equal to `BertForSequenceClassification` of transformers (eager attention), parameter by parameter.
//!
//! No work is done on padding: the tokens of a batch lie packed, `[N, H]`, one example behind the other, and only
//! attention, where tokens meet, lays them out as `[B, T]`.

use tch::{Kind, Tensor};

use crate::arena::{Arena, Layout, Shape};
use crate::method::Role;
use crate::model::Config;

/// The parameters of an encoder with a head of `labels` outputs, in the names and order of transformers.
pub fn shapes(config: &Config, labels: i64) -> Vec<Shape> {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let mut shapes = Vec::new();
    let mut add = |name: String, shape: &[i64], role: Role| {
        let decays = !name.ends_with("bias") && !name.contains("LayerNorm");
        shapes.push(Shape { name, shape: shape.to_vec(), role, decays });
    };
    let embeddings = [
        ("word_embeddings", config.vocab_size),
        ("position_embeddings", config.max_position_embeddings),
        ("token_type_embeddings", config.type_vocab_size),
    ];
    for (table, rows) in embeddings {
        add(format!("embeddings.{table}.weight"), &[rows, hidden], Role::Embeddings);
    }
    add("embeddings.LayerNorm.weight".into(), &[hidden], Role::Embeddings);
    add("embeddings.LayerNorm.bias".into(), &[hidden], Role::Embeddings);
    for layer in 0..config.num_hidden_layers {
        // A part's weight and bias.
        let mut pair = |part: &str, weight: &[i64]| {
            add(format!("encoder.layer.{layer}.{part}.weight"), weight, Role::Encoder);
            add(format!("encoder.layer.{layer}.{part}.bias"), &weight[..1], Role::Encoder);
        };
        for part in ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"] {
            pair(part, &[hidden, hidden]);
        }
        pair("attention.output.LayerNorm", &[hidden]);
        pair("intermediate.dense", &[inner, hidden]);
        pair("output.dense", &[hidden, inner]);
        pair("output.LayerNorm", &[hidden]);
    }
    add("pooler.dense.weight".into(), &[hidden, hidden], Role::Pooler);
    add("pooler.dense.bias".into(), &[hidden], Role::Pooler);
    add("classifier.weight".into(), &[labels, hidden], Role::Head);
    add("classifier.bias".into(), &[labels], Role::Head);
    shapes
}

/// A batch as the encoder reads it: B examples, N tokens, T tokens in the longest.
pub struct Input {
    /// Token ids, `[N]`, int64.
    pub ids: Tensor,
    /// Token types, `[N]`, int64.
    pub types: Tensor,
    /// Position of each token in its example, `[N]`, int64.
    pub positions: Tensor,
    /// Index of each example's first token, `[B]`, int64.
    pub firsts: Tensor,
    /// Where each token stands in the padded layout, `[N]`, int64, in 0..B·T.
    pub places: Tensor,
    /// Added to attention scores: 0 at tokens, the most negative number at padding, `[B, 1, 1, T]`, fp32.
    pub bias: Tensor,
}

impl Input {
    /// B and T.
    fn shape(&self) -> (i64, i64) {
        let size = self.bias.size();
        (size[0], size[3])
    }
}

/// Where parameters met their input: what the per-example gradients are made from.
pub struct Site {
    pub kind: SiteKind,
    /// Parts: weight and bias, or the tables of words, types and positions.
    pub parts: Vec<usize>,
    /// What went in, `[N, in]`; for the tables their sum.
    pub input: Tensor,
    /// What came out, `[N, out]`, still in the graph.
    pub output: Tensor,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SiteKind {
    Embedding,
    Linear,
    LayerNorm,
}

/// What may stand in for weights and activations of a forward pass.
pub trait Hooks {
    /// The weight of a linear layer, given its part and its own weight.
    fn weight(&self, part: usize, weight: &Tensor) -> Option<Tensor>;

    /// The input `[N, H]` of a layer.
    fn hidden(&self, layer: usize, input: Tensor) -> Tensor;

    /// The word embeddings `[N, H]`.
    fn words(&self, words: Tensor) -> Tensor;
}

/// One forward pass: whether dropout is on, what stands in, and the sites met if somebody wants them.
pub struct Pass<'a> {
    pub train: bool,
    /// What matrix products are computed in, fp32 or bf16. All else is fp32 but GELU and tanh, as under PyTorch's
    /// autocast on a GPU: residual sums, layer norms, softmax, embeddings, logits, and the weights, which are rounded
    /// where they are used.
    pub precision: Kind,
    pub hooks: Option<&'a dyn Hooks>,
    pub sites: Option<Vec<Site>>,
}

impl<'a> Pass<'a> {
    pub fn train(precision: Kind, hooks: Option<&'a dyn Hooks>) -> Pass<'a> {
        Pass { train: true, precision, hooks, sites: None }
    }

    pub fn evaluate(precision: Kind, hooks: Option<&'a dyn Hooks>) -> Pass<'a> {
        Pass { train: false, precision, hooks, sites: None }
    }

    pub fn record_sites() -> Pass<'a> {
        Pass { train: false, precision: Kind::Float, hooks: None, sites: Some(Vec::new()) }
    }

    /// A factor of a matrix product, in the pass's precision.
    fn round(&self, x: &Tensor) -> Tensor {
        x.to_kind(self.precision)
    }

    fn note(&mut self, kind: SiteKind, parts: &[usize], x: &Tensor, y: &Tensor) {
        if let Some(sites) = &mut self.sites {
            sites.push(Site { kind, parts: parts.to_vec(), input: x.shallow_clone(), output: y.shallow_clone() });
        }
    }
}

struct Linear {
    weight: Tensor,
    bias: Tensor,
    /// Of weight and bias.
    parts: [usize; 2],
}

impl Linear {
    fn forward(&self, x: &Tensor, pass: &mut Pass) -> Tensor {
        let weight = pass.hooks.and_then(|hooks| hooks.weight(self.parts[0], &self.weight));
        let weight = pass.round(weight.as_ref().unwrap_or(&self.weight));
        let y = pass.round(x).linear(&weight, Some(pass.round(&self.bias)));
        pass.note(SiteKind::Linear, &self.parts, x, &y);
        y
    }
}

struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    /// Of weight and bias.
    parts: [usize; 2],
    eps: f64,
}

impl LayerNorm {
    fn forward(&self, x: &Tensor, pass: &mut Pass) -> Tensor {
        let y = x.layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), self.eps, false);
        pass.note(SiteKind::LayerNorm, &self.parts, x, &y);
        y
    }
}

struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    attention: Linear,
    attention_norm: LayerNorm,
    inner: Linear,
    outer: Linear,
    outer_norm: LayerNorm,
}

pub struct Encoder {
    pub config: Config,
    /// Words, types, positions.
    tables: [Tensor; 3],
    table_parts: [usize; 3],
    embeddings_norm: LayerNorm,
    layers: Vec<Layer>,
    pooler: Linear,
    head: Linear,
}

impl Encoder {
    /// Builds the layers over an arena laid out by `shapes(config, …)`.
    pub fn over(arena: &Arena, config: Config) -> Encoder {
        let layout: &Layout = &arena.layout;
        let index = |name: &str| layout.index(name).unwrap_or_else(|| unreachable!("{name} is in the layout"));
        let pair = |name: &str| [index(&format!("{name}.weight")), index(&format!("{name}.bias"))];
        let linear = |name: &str| {
            let parts = pair(name);
            Linear { weight: arena.leaf(parts[0]), bias: arena.leaf(parts[1]), parts }
        };
        let norm = |name: &str| {
            let parts = pair(name);
            let eps = config.layer_norm_eps;
            LayerNorm { weight: arena.leaf(parts[0]), bias: arena.leaf(parts[1]), parts, eps }
        };
        let table_parts =
            ["word", "token_type", "position"].map(|table| index(&format!("embeddings.{table}_embeddings.weight")));
        let layers = (0..config.num_hidden_layers)
            .map(|layer| {
                let part = |name: &str| format!("encoder.layer.{layer}.{name}");
                Layer {
                    query: linear(&part("attention.self.query")),
                    key: linear(&part("attention.self.key")),
                    value: linear(&part("attention.self.value")),
                    attention: linear(&part("attention.output.dense")),
                    attention_norm: norm(&part("attention.output.LayerNorm")),
                    inner: linear(&part("intermediate.dense")),
                    outer: linear(&part("output.dense")),
                    outer_norm: norm(&part("output.LayerNorm")),
                }
            })
            .collect();
        Encoder {
            tables: table_parts.map(|part| arena.leaf(part)),
            table_parts,
            embeddings_norm: norm("embeddings.LayerNorm"),
            layers,
            pooler: linear("pooler.dense"),
            head: linear("classifier"),
            config,
        }
    }

    /// Logits, `[B, labels]`, fp32.
    pub fn forward(&self, input: &Input, pass: &mut Pass) -> Tensor {
        let pooled = self.pooled(input, pass);
        let rate = self.config.classifier_dropout.unwrap_or(self.config.hidden_dropout_prob);
        self.head.forward(&dropout(pooled, rate, pass), pass).to_kind(Kind::Float)
    }

    /// What the head reads, before its dropout: the pooled first token, `[B, H]`, fp32.
    pub fn pooled(&self, input: &Input, pass: &mut Pass) -> Tensor {
        let hidden_dropout = self.config.hidden_dropout_prob;
        let [words, types, positions] = &self.tables;
        let words = look_up(words, &input.ids);
        let words = pass.hooks.map_or_else(|| words.shallow_clone(), |hooks| hooks.words(words.shallow_clone()));
        let embedded = words + look_up(types, &input.types) + look_up(positions, &input.positions); // [N, H]
        pass.note(SiteKind::Embedding, &self.table_parts, &embedded, &embedded);
        let mut x = dropout(self.embeddings_norm.forward(&embedded, pass), hidden_dropout, pass);
        for (number, layer) in self.layers.iter().enumerate() {
            if let Some(hooks) = pass.hooks {
                x = hooks.hidden(number, x);
            }
            let context = self.attend(layer, &x, input, pass);
            let attended = dropout(layer.attention.forward(&context, pass), hidden_dropout, pass);
            x = layer.attention_norm.forward(&(attended + x), pass);
            let inner = self.activate(layer.inner.forward(&x, pass)); // [N, inner]
            let outer = dropout(layer.outer.forward(&inner, pass), hidden_dropout, pass);
            x = layer.outer_norm.forward(&(outer + x), pass);
        }
        let first = x.index_select(0, &input.firsts); // [N, H] → [B, H]
        self.pooler.forward(&first, pass).tanh().to_kind(Kind::Float)
    }

    /// Multi-head self-attention before its output projection, `[N, H]`.
    fn attend(&self, layer: &Layer, x: &Tensor, input: &Input, pass: &mut Pass) -> Tensor {
        let ((batch, width), (tokens, hidden)) = (input.shape(), x.size2().expect("[N, H]"));
        let heads = self.config.num_attention_heads;
        let size = hidden / heads;
        // A batch of equal lengths is its own padded layout.
        let padded = tokens < batch * width;
        // [N, H] → [B, heads, T, size]
        let split = |y: Tensor| {
            let y = if padded {
                y.new_zeros([batch * width, hidden], (y.kind(), y.device())).index_copy(0, &input.places, &y)
            } else {
                y
            };
            y.view([batch, width, heads, size]).transpose(1, 2)
        };
        let x = &pass.round(x);
        let query = split(layer.query.forward(x, pass));
        let key = split(layer.key.forward(x, pass));
        let value = split(layer.value.forward(x, pass));
        let scores = query.matmul(&key.transpose(2, 3)) * (size as f64).powf(-0.5) + &input.bias; // [B, heads, T, T]
        let weights = dropout(scores.softmax(-1, Kind::Float), self.config.attention_probs_dropout_prob, pass);
        let context = pass.round(&weights).matmul(&value).transpose(1, 2).contiguous().view([batch * width, hidden]);
        if padded { context.index_select(0, &input.places) } else { context } // [N, H]
    }

    fn activate(&self, x: Tensor) -> Tensor {
        match self.config.hidden_act.as_str() {
            "relu" => x.relu(),
            "gelu" => x.gelu("none"),
            _ => x.gelu("tanh"),
        }
    }
}

fn dropout(x: Tensor, rate: f64, pass: &Pass) -> Tensor {
    if pass.train && rate > 0.0 { x.dropout(rate, true) } else { x }
}

/// Rows of a table `[V, H]` at `ids` `[N]`: `[N, H]`.
fn look_up(table: &Tensor, ids: &Tensor) -> Tensor {
    Tensor::embedding(table, ids, -1, false, false)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::model::Config;
    use crate::task::Tokenizer;
    use crate::task::batch::Batch;
    use crate::task::read::Row;
    use crate::train::Subject;

    use super::*;

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

        let mut subject = Subject::load(&folder, Some(3), tch::Device::Cpu, &|_| Vec::new()).expect("the model");
        let weight = subject.arena.layout.index("classifier.weight").expect("a head");
        let bias = subject.arena.layout.index("classifier.bias").expect("a head");
        let hidden = subject.encoder.config.hidden_size;
        let angles = Tensor::arange(3 * hidden, (Kind::Double, tch::Device::Cpu)).view([3, hidden]);
        subject.arena.fill(weight, &angles.sin());
        subject.arena.fill(bias, &Tensor::from_slice(&[0.1f32, -0.2, 0.3]));

        let rows: Vec<Row> = sentences.into_iter().map(|text| Row { text, label: 0.0 }).collect();
        let tokens = Tokenizer::open(&folder).and_then(|t| t.encode(&rows, 128)).expect("tokens");
        let batch = Batch::of(&tokens, &[0, 1, 2, 3, 4], subject.pad());
        let logits = subject.encoder.forward(&subject.input(&batch), &mut Pass::evaluate(Kind::Float, None));
        for (row, expected) in expected.iter().enumerate() {
            for (label, expected) in expected.iter().enumerate() {
                let found = logits.double_value(&[row as i64, label as i64]);
                assert!(
                    (found - expected).abs() < 1e-5 * expected.abs().max(1.0),
                    "{row}, {label}: {found} {expected}"
                );
            }
        }
    }
}
