//! What is trained: arena and encoder over one pre-trained model, kept warm and reset between runs.

use std::path::Path;

use anyhow::{Result, ensure};
use tch::{Device, Kind, Tensor, no_grad};

use super::adam::Adam;
use super::loss::Labels;
use crate::arena::{Arena, Layout, Shape, Stretch};
use crate::method::{Adapter, Dropout, Part, Role};
use crate::model::{Account, Config};
use crate::network::encoder::shapes;
use crate::network::weights;
use crate::network::{Encoder, Input};
use crate::plan::{Precision, Recipe};
use crate::task::batch::Batch;

pub struct Subject {
    pub arena: Arena,
    pub encoder: Encoder,
    /// What the products of training and evaluation are computed in.
    pub precision: Kind,
    /// The optimizer of the last run, whose memory the next one may use.
    pub spare: Option<Adam>,
    /// The config as it lies on disk.
    config: Config,
    account: Account,
    /// Outputs of the head; `None` is a regression.
    classes: Option<i64>,
}

impl Subject {
    /// Loads a model folder with a head for `classes` classes, or for a regression, and with what a method adds beside
    /// each part.
    ///
    /// # Errors
    /// A config or checkpoint that cannot be used, by file and tensor.
    pub fn load(
        folder: &Path,
        classes: Option<i64>,
        device: Device,
        adapters: &dyn Fn(&Part) -> Vec<Adapter>,
    ) -> Result<Subject> {
        let config = Config::read(folder)?;
        let labels = classes.unwrap_or(1);
        let mut shapes = shapes(&config, labels);
        // Behind the model's own parameters, whose places stay as they are.
        shapes.extend(adapter_shapes(&Layout::new(shapes.clone()), adapters));
        let mut arena = Arena::unwritten(Layout::new(shapes), device);
        let account = weights::load(&mut arena, &config, labels, folder)?;
        for part in &arena.layout.parts {
            if !account.stored.iter().any(|(stored, _)| *stored == part.index) {
                no_grad(|| drop(part.of(&arena.theta).zero_()));
            }
        }
        let encoder = Encoder::over(&arena, config.clone());
        no_grad(|| arena.start.copy_(&arena.theta));
        Ok(Subject { arena, encoder, precision: Kind::Float, spare: None, config, account, classes })
    }

    /// The same model over another arena of its layout, to be reset before it is used.
    pub fn over(&self, arena: Arena) -> Subject {
        let encoder = Encoder::over(&arena, self.config.clone());
        let (config, account) = (self.config.clone(), self.account.clone());
        Subject { arena, encoder, precision: self.precision, spare: None, config, account, classes: self.classes }
    }

    /// Whether the subject holds just the adapters that a method adds.
    pub fn has_adapters(&self, adapters: &dyn Fn(&Part) -> Vec<Adapter>) -> bool {
        let held = self.arena.layout.parts.iter().filter(|part| part.role == Role::Adapter);
        let held: Vec<_> = held.map(|part| (part.name.clone(), part.shape.clone())).collect();
        let wanted = adapter_shapes(&self.arena.layout, adapters);
        held == wanted.into_iter().map(|shape| (shape.name, shape.shape)).collect::<Vec<_>>()
    }

    /// Back to the pre-trained point, with the head of `seed` and the dropout and precision of a recipe.
    pub fn reset(&mut self, seed: u64, recipe: &Recipe) {
        no_grad(|| self.arena.theta.copy_(&self.arena.start));
        self.arena.free();
        for part in &mut self.arena.layout.parts {
            part.pretrained = part.role != Role::Adapter && !self.account.fresh.contains(&part.index);
        }
        self.draw_head(seed);
        self.encoder.config = self.config.clone().with_dropout(recipe.dropout);
        self.precision = match recipe.precision {
            Precision::Fp32 | Precision::Tf32 => Kind::Float,
            Precision::Bf16 => Kind::BFloat16,
        };
    }

    /// Takes values for some parts as the checkpoint's own: resets go back to them.
    pub fn start_from(&mut self, parts: &[(Part, Tensor)]) {
        for (part, values) in parts {
            no_grad(|| part.shaped(&self.arena.start).copy_(values));
        }
        self.account.fresh.retain(|&index| !parts.iter().any(|(part, _)| part.index == index));
    }

    /// The head (and whatever else the checkpoint lacks) of a seed.
    pub fn draw_head(&mut self, seed: u64) {
        weights::draw(&mut self.arena, &self.config, &self.account.fresh, seed, "head");
    }

    /// A part as a fresh layer has it; the pre-trained value no longer counts.
    pub fn draw_anew(&mut self, part: usize, seed: u64) {
        weights::draw(&mut self.arena, &self.config, &[part], seed, "reinit");
        self.arena.layout.parts[part].pretrained = false;
    }

    /// Sets the dropout rates to zero that a method wants to be zero.
    pub fn quiet(&mut self, dropout: Dropout) {
        let rates = &mut self.encoder.config.dropout;
        if matches!(dropout, Dropout::HeadOnly | Dropout::Zero) {
            (rates.embeddings, rates.hidden, rates.attention) = (0.0, 0.0, 0.0);
        }
        if dropout == Dropout::Zero {
            (rates.dense, rates.head) = (0.0, 0.0);
        }
    }

    /// The dropout rates as they stand: of hidden states, of attention, before the head.
    pub fn dropout(&self) -> [f64; 3] {
        let rates = &self.encoder.config.dropout;
        [rates.hidden, rates.attention, rates.head]
    }

    /// A part of θ in its own shape, as a view.
    pub fn theta_of(&self, part: &Part) -> Tensor {
        part.shaped(&self.arena.theta)
    }

    /// # Errors
    /// A `max_length` beyond the model's positions.
    pub fn check_length(&self, max_length: u32) -> Result<()> {
        let most = self.config.positions.unwrap_or(i64::MAX);
        ensure!(
            i64::from(max_length) <= most,
            "max_length {max_length} is more than the {most} positions of the model"
        );
        Ok(())
    }

    /// What transformers calls a part in the checkpoint of a sequence classifier.
    pub fn stored_name(&self, part: &Part) -> String {
        self.config.stored_name(&part.name)
    }

    /// Where every tensor of the checkpoint and every parameter of the model went, in a sentence.
    pub fn account(&self) -> String {
        let parts = &self.arena.layout.parts;
        let fresh: Vec<&str> = self.account.fresh.iter().map(|&i| parts[i].name.as_str()).collect();
        let list = |names: &[&str]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let unused: Vec<&str> = self.account.unused.iter().map(String::as_str).collect();
        format!(
            "{} parameters in {} tensors, {} of them in the encoder; drawn anew: {}; in the checkpoint but not used: {}",
            self.arena.layout.len,
            parts.len(),
            self.arena.layout.encoder().iter().map(|part| part.len).sum::<i64>(),
            list(&fresh),
            list(&unused)
        )
    }

    pub fn is_regression(&self) -> bool {
        self.classes.is_none()
    }

    /// Whether the head comes from the checkpoint, so that no seed plays a part in it.
    pub fn has_stored_head(&self) -> bool {
        self.account.fresh.is_empty()
    }

    /// Token id of padding.
    pub fn pad(&self) -> u32 {
        self.config.pad_token_id as u32
    }

    pub fn input(&self, batch: &Batch) -> Input {
        Input::of(batch, self.arena.device())
    }

    pub fn labels(&self, batch: &Batch) -> Labels {
        let values = Tensor::from_slice(&batch.labels).to_device(self.arena.device());
        if self.is_regression() { Labels::Values(values) } else { Labels::Classes(values.to_kind(Kind::Int64)) }
    }
}

/// What a method adds, named after the parts that it stands beside.
fn adapter_shapes(layout: &Layout, adapters: &dyn Fn(&Part) -> Vec<Adapter>) -> Vec<Shape> {
    let beside = |part: &Part| {
        let name = adapter_name(part, "");
        let shape = |Adapter { suffix, shape }| Shape {
            name: format!("{name}{suffix}"),
            shape,
            role: Role::Adapter,
            decays: true,
        };
        adapters(part).into_iter().map(shape).collect::<Vec<_>>()
    };
    layout.parts.iter().filter(|part| part.role != Role::Adapter).flat_map(beside).collect()
}

/// `….query.lora_A.weight` for the adapter of `….query.weight` with suffix `lora_A.weight`.
pub fn adapter_name(part: &Part, suffix: &str) -> String {
    format!("{}.{suffix}", part.name.strip_suffix(".weight").unwrap_or(&part.name))
}
