//! A trained model in memory: applied to texts, or written as a checkpoint.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use safetensors::{Dtype, View};
use tch::{Device, Kind, Tensor, no_grad};

use crate::after::trained;
use crate::arena::{Stretch, Values};
use crate::kept::Kept;
use crate::method::{Combination, Method, Part, Role};
use crate::protocol::{Form, Message, Opening, Order};
use crate::task::Tokenizer;
use crate::task::read::Row;
use crate::train::{Subject, evaluate};

/// Carries out the orders about trained models, one model at a time.
pub struct Bench {
    device: Device,
    model: Option<Model>,
}

impl Bench {
    pub fn new(device: Device) -> Bench {
        Bench { device, model: None }
    }

    /// Carries an order out; what cannot be done is an answer too.
    pub fn answer(&mut self, order: Order) -> Message {
        self.carry_out(order).unwrap_or_else(|error| Message::Refused { message: format!("{error:#}") })
    }

    fn carry_out(&mut self, order: Order) -> Result<Message> {
        if let Order::Open(opening) = order {
            // Dropped before the next is loaded: two models may not fit side by side.
            self.model = None;
            self.model = Some(Model::open(&opening, self.device)?);
            return Ok(Message::Opened);
        }
        let model = self.model.as_ref().context("no model was opened")?;
        match order {
            Order::Predict { texts } => Ok(Message::Logits { rows: model.logits(texts)? }),
            Order::Export { folder, form: Form::Merged } => model.write_merged(&folder),
            Order::Export { folder, form: Form::Adapter } => model.write_adapter(&folder),
            Order::Open(_) | Order::Train(_) | Order::Fuse(_) | Order::Measure { .. } | Order::Pause => {
                unreachable!("not an order about an open model")
            }
        }
    }
}

struct Model {
    subject: Subject,
    method: Combination<Values>,
    tokenizer: Tokenizer,
    max_length: usize,
}

impl Model {
    /// # Errors
    /// A model that cannot be loaded; trained weights that are not where they should be.
    fn open(opening: &Opening, device: Device) -> Result<Model> {
        let Opening { run, labels, model, cache } = opening;
        let classes = (!labels.is_regression()).then_some(labels.outputs() as i64);
        let method = Combination::<Values>::build(&run.method)?;
        let mut subject = Subject::load(model, classes, device, &|part: &Part| method.adapters(part))?;
        subject.reset(run.seed, &run.recipe);
        subject.check_length(run.recipe.max_length)?;
        match cache {
            Some(cache) => {
                let kept = Kept::at(cache, &run.training_id());
                let folder = kept.folder.display();
                trained::restore(&kept, &mut subject)
                    .with_context(|| format!("the trained model in {folder} is damaged; remove that folder"))?;
            }
            None => {
                let outputs = labels.outputs();
                let no_head = || format!("the weights in {} have no head for {outputs} outputs", model.display());
                ensure!(subject.has_stored_head(), no_head());
            }
        }
        let max_length = run.recipe.max_length as usize;
        Ok(Model { subject, method, tokenizer: Tokenizer::open(model)?, max_length })
    }

    /// # Errors
    /// Texts that cannot be tokenized, outputs that are not finite.
    fn logits(&self, texts: Vec<Vec<String>>) -> Result<Vec<Vec<f32>>> {
        let rows: Vec<Row> = texts.into_iter().map(|text| Row { text, label: 0.0 }).collect();
        let tokens = self.tokenizer.encode(&rows, self.max_length)?;
        let logits = evaluate::logits(&self.subject, &self.method, &tokens);
        let wrong = logits.iter().position(|row| row.iter().any(|logit| !logit.is_finite()));
        ensure!(wrong.is_none(), "the model's output for text {} is not finite", wrong.unwrap_or_default() + 1);
        Ok(logits)
    }

    /// Every parameter as evaluation uses it, under the names of transformers.
    fn write_merged(&self, folder: &Path) -> Result<Message> {
        let own = self.parts().filter(|part| part.role != Role::Adapter);
        let tensors = own.map(|part| (self.subject.stored_name(part), Stored::of(&self.as_evaluated(part))));
        write(tensors.collect(), &folder.join("model.safetensors"))?;
        Ok(Message::Exported { adapted: Vec::new(), saved: Vec::new() })
    }

    /// What LoRA added and what was trained besides, under the names of PEFT.
    ///
    /// # Errors
    /// A model that LoRA did not train, or of which something else moved too.
    fn write_adapter(&self, folder: &Path) -> Result<Message> {
        let adapters: Vec<&Part> = self.parts().filter(|part| part.role == Role::Adapter).collect();
        ensure!(!adapters.is_empty(), "the run trained no adapter: leave --adapter out");
        let arena = &self.subject.arena;
        let (mut tensors, mut adapted, mut saved) = (Vec::new(), Vec::new(), Vec::new());
        for part in self.parts() {
            let value = part.shaped(&arena.theta);
            let is_new = part.role == Role::Head || !part.pretrained;
            let is_beside_linear = || adapted_name(part).is_none_or(|name| arena.layout.index(&name).is_some());
            ensure!(
                is_beside_linear(),
                "PEFT adapts linear layers, and {} is beside none: leave --adapter out",
                part.name
            );
            if part.role != Role::Adapter && !is_new {
                let stays = value.equal(&part.shaped(&arena.start));
                ensure!(stays, "{} is not that of the pre-trained model, and an adapter leaves it", part.name);
                continue;
            }
            let modules = if part.role == Role::Adapter { &mut adapted } else { &mut saved };
            modules.push(module(part).to_owned());
            tensors.push((format!("base_model.model.{}", self.subject.stored_name(part)), Stored::of(&value)));
        }
        for modules in [&mut adapted, &mut saved] {
            modules.sort();
            modules.dedup();
        }
        write(tensors, &folder.join("adapter_model.safetensors"))?;
        Ok(Message::Exported { adapted, saved })
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        self.subject.arena.layout.parts.iter()
    }

    fn as_evaluated(&self, part: &Part) -> Tensor {
        let weight = Values(part.shaped(&self.subject.arena.theta));
        let adapted = no_grad(|| self.method.adapted(part, &weight, &self.subject.arena));
        adapted.unwrap_or(weight).0
    }
}

/// The weight that an adapter stands beside, if it is that of a linear layer; `None` for any other part.
fn adapted_name(part: &Part) -> Option<String> {
    let (module, _) = part.name.split_once(".lora_").filter(|_| part.role == Role::Adapter)?;
    Some(format!("{module}.weight"))
}

/// The module that PEFT means by the end of a name: `query` for an adapter of `….self.query`, `classifier` for a part of
/// the head.
fn module(part: &Part) -> &str {
    match part.name.split_once(".lora_") {
        Some((adapted, _)) => adapted.rsplit('.').next().unwrap_or(adapted),
        None => part.name.split('.').next().unwrap_or(&part.name),
    }
}

/// A tensor on its way into a file.
struct Stored {
    values: Tensor,
    shape: Vec<usize>,
}

impl Stored {
    fn of(values: &Tensor) -> Stored {
        let shape = values.size().iter().map(|&n| n as usize).collect();
        Stored { values: values.detach(), shape }
    }
}

impl View for Stored {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let mut values = vec![0f32; self.values.numel()];
        let flat = self.values.to_device(Device::Cpu).to_kind(Kind::Float).contiguous();
        flat.copy_data(&mut values, self.values.numel());
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn data_len(&self) -> usize {
        self.values.numel() * size_of::<f32>()
    }
}

fn write(tensors: Vec<(String, Stored)>, path: &Path) -> Result<()> {
    // Whoever loads it wants to know for which framework it was written.
    let note = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let put = || -> Result<()> {
        // The library makes files that only their owner may read.
        let permissions = std::fs::File::create(path)?.metadata()?.permissions();
        safetensors::serialize_to_file(tensors, Some(note), path)?;
        Ok(std::fs::set_permissions(path, permissions)?)
    };
    put().with_context(|| format!("cannot write {}", path.display()))
}
