//! What is trained: arena and encoder over one pre-trained model, kept warm and reset between runs.

use std::path::Path;

use anyhow::{Result, ensure};
use tch::{Device, Kind, Tensor, no_grad};

use super::loss::Labels;
use crate::arena::{Arena, Layout};
use crate::model::Config;
use crate::network::encoder::shapes;
use crate::network::weights::{self, Account};
use crate::network::{Encoder, Input};
use crate::task::batch::Batch;

pub struct Subject {
    pub arena: Arena,
    pub encoder: Encoder,
    /// The config as it lies on disk.
    config: Config,
    /// θ as the checkpoint has it, `[P]`; zeros where it has none.
    start: Tensor,
    /// D as the layout has it.
    decay: Tensor,
    account: Account,
    /// Outputs of the head; `None` is a regression.
    classes: Option<i64>,
}

impl Subject {
    /// Loads a model folder with a head for `classes` classes, or for a regression.
    ///
    /// # Errors
    /// A config or checkpoint that cannot be used, by file and tensor.
    pub fn load(folder: &Path, classes: Option<i64>, device: Device) -> Result<Subject> {
        let config = Config::read(folder)?;
        let layout = Layout::new(shapes(&config, classes.unwrap_or(1)));
        let mut arena = Arena::new(layout, device);
        let account = weights::load(&mut arena, folder)?;
        let encoder = Encoder::over(&arena, config.clone());
        let (start, decay) = (arena.theta.copy(), arena.decay.copy());
        Ok(Subject { arena, encoder, config, start, decay, account, classes })
    }

    /// Back to the pre-trained point, with the head of `seed` and the dropout of a recipe.
    pub fn reset(&mut self, seed: u64, dropout: Option<f64>) {
        no_grad(|| {
            self.arena.theta.copy_(&self.start);
            self.arena.decay.copy_(&self.decay);
        });
        weights::draw(&mut self.arena, &self.config, &self.account.fresh, seed);
        self.encoder.config = self.config.clone().with_dropout(dropout);
    }

    /// # Errors
    /// A `max_length` beyond the model's positions.
    pub fn check_length(&self, max_length: u32) -> Result<()> {
        ensure!(
            i64::from(max_length) <= self.config.max_position_embeddings,
            "max_length {max_length} is more than the {} positions of the model",
            self.config.max_position_embeddings
        );
        Ok(())
    }

    /// Where every tensor of the checkpoint and every parameter of the model went, in a sentence.
    pub fn account(&self) -> String {
        let segments = &self.arena.layout.segments;
        let fresh: Vec<&str> = self.account.fresh.iter().map(|&i| segments[i].name.as_str()).collect();
        let list = |names: &[&str]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let unused: Vec<&str> = self.account.unused.iter().map(String::as_str).collect();
        format!(
            "{} parameters in {} tensors, {} of them in the encoder; drawn anew: {}; in the checkpoint but not used: {}",
            self.arena.layout.len,
            segments.len(),
            self.arena.layout.encoder_len(),
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
        let device = self.arena.device();
        let (rows, width) = (batch.rows, batch.width);
        let tokens = batch.lengths.iter().sum();
        let mut bias = vec![f32::MIN; rows * width];
        let mut packed: [Vec<i64>; 4] = std::array::from_fn(|_| Vec::with_capacity(tokens));
        let [ids, types, positions, places] = &mut packed;
        let mut firsts = Vec::with_capacity(rows);
        for (row, &length) in batch.lengths.iter().enumerate() {
            let from = row * width;
            bias[from..from + length].fill(0.0);
            firsts.push(ids.len() as i64);
            ids.extend(&batch.ids[from..from + length]);
            types.extend(&batch.types[from..from + length]);
            positions.extend(0..length as i64);
            places.extend(from as i64..(from + length) as i64);
        }
        let [ids, types, positions, places] = packed.map(|list| Tensor::from_slice(&list).to_device(device));
        Input {
            ids,
            types,
            positions,
            places,
            firsts: Tensor::from_slice(&firsts).to_device(device),
            bias: Tensor::from_slice(&bias).view([rows as i64, 1, 1, width as i64]).to_device(device), // [B, 1, 1, T]
        }
    }

    pub fn labels(&self, batch: &Batch) -> Labels {
        let values = Tensor::from_slice(&batch.labels).to_device(self.arena.device());
        if self.is_regression() { Labels::Values(values) } else { Labels::Classes(values.to_kind(Kind::Int64)) }
    }
}
