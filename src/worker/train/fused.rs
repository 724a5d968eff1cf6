//! Several runs of one model, task and recipe in one program: one pass forward and one backward go through all of them, and
//! each learns by itself.
//!
//! Without dropout a run gives what it gives alone, but for rounding; with dropout it draws from the same distribution. A
//! run that diverges leaves a hole: its rows are computed on and mean nothing, to nobody.

use std::time::Instant;

use anyhow::Result;
use tch::{Kind, Tensor};

use super::loss::{self, Labels};
use super::trainee::{Trainee, Wish};
use super::{Ending, Subject, train_on};
use crate::arena::{Arena, Fused};
use crate::method::stream;
use crate::network::{Encoder, Hooks, Input, Pass};
use crate::plan::RunId;
use crate::task::batch::Batch;

/// R subjects over the rows of one arena.
pub struct Team {
    fused: Fused,
    /// Goes through all of them.
    encoder: Encoder,
    members: Vec<Subject>,
}

impl Team {
    /// R runs of a subject's model.
    pub fn of(subject: &Subject, runs: usize) -> Team {
        let fused = Fused::like(&subject.arena, runs);
        let members = (0..runs).map(|run| subject.over(fused.row(run, &subject.arena))).collect();
        Team { encoder: Encoder::over(&fused, subject.encoder.config.clone()), fused, members }
    }

    /// What the passes of training need besides the members.
    pub fn split(&mut self) -> (Passes<'_>, &mut [Subject]) {
        let Team { fused, encoder, members } = self;
        (Passes { fused, encoder }, members)
    }
}

pub struct Passes<'a> {
    fused: &'a Fused,
    encoder: &'a mut Encoder,
}

/// Trains runs side by side to their ends; `over` hears of each as it comes.
///
/// `trainees` are over the members of the team whose passes these are, in their order. Where they stand at unlike steps, as
/// when a checkpoint turned out to be damaged, they are trained one after the other.
///
/// # Errors
/// steps.csv cannot be written.
pub fn train(
    passes: Passes,
    mut trainees: Vec<Trainee>,
    over: &mut dyn FnMut(usize, &mut Trainee, Ending),
) -> Result<()> {
    let Some(first) = trainees.first() else { return Ok(()) };
    if trainees.len() == 1 || trainees.iter().any(|trainee| trainee.done != first.done) {
        for (place, trainee) in trainees.iter_mut().enumerate() {
            let ending = train_on(trainee, None)?;
            over(place, trainee, ending);
        }
        return Ok(());
    }
    passes.encoder.config.dropout = first.subject.encoder.config.dropout;
    let mut on_the_way = vec![true; trainees.len()];
    let group: Vec<RunId> = trainees.iter().map(|trainee| trainee.run.id()).collect();
    for trainee in &mut trainees {
        trainee.listener.beside(&group);
        trainee.start();
    }
    while on_the_way.contains(&true) {
        let losses = gradient(&passes, &mut trainees, &on_the_way);
        for (place, (trainee, loss)) in trainees.iter_mut().zip(losses).enumerate() {
            if on_the_way[place]
                && let Some(ending) = trainee.learn(loss)?
            {
                on_the_way[place] = false;
                over(place, trainee, ending);
            }
        }
        let left = |(place, _): &(usize, &mut Trainee)| on_the_way[*place];
        // What one of them hears, all do.
        let wish = trainees.iter_mut().enumerate().filter(left).find_map(|(_, trainee)| trainee.wants());
        let began = Instant::now();
        for (place, trainee) in trainees.iter_mut().enumerate().filter(left) {
            match wish {
                Some(Wish::PutAside) => {
                    let ending = trainee.put_aside()?;
                    over(place, trainee, ending);
                }
                Some(Wish::Save) => {
                    trainee.checkpoint()?;
                    trainee.listener.phase("train");
                }
                None => {}
            }
        }
        match wish {
            Some(Wish::PutAside) => break,
            Some(Wish::Save) => trainees.iter_mut().for_each(|trainee| trainee.listener.all_saved(began.elapsed())),
            None => {}
        }
    }
    Ok(())
}

/// g ← ∂L/∂θ of every run that is on its way, each of its own batch. Gives every L.
fn gradient(passes: &Passes, trainees: &mut [Trainee], on_the_way: &[bool]) -> Vec<f64> {
    let first = on_the_way.iter().position(|&is_on_the_way| is_on_the_way).unwrap_or_default();
    let step = trainees[first].done + 1;
    let mut batches = Vec::with_capacity(trainees.len());
    for (trainee, is_on_the_way) in trainees.iter_mut().zip(on_the_way) {
        if *is_on_the_way {
            trainee.turn();
        }
        // A hole has the batch that it would have, so that its neighbours lie, and draw, as if it were none.
        let picks = trainee.batch(step);
        batches.push(Batch::of(&trainee.data.train, &picks, trainee.subject.pad()));
    }
    let leader = &trainees[first].subject;
    let input = Input::fused(&batches, leader.pad(), leader.arena.device());
    // Every seed has a say, so that no two groups draw alike.
    let dropout = |trainee: &Trainee| stream(trainee.run.seed, "dropout", u64::from(step));
    let key = trainees.iter().fold(0, |key, trainee| stream(key, "fused", dropout(trainee)));
    let hooks = OfAll(trainees);
    let mut pass = Pass::train(Some(&hooks), key).in_precision(leader.precision);
    let logits = passes.encoder.forward(&input, &mut pass); // [R·B, labels]
    let own = logits.chunk(trainees.len() as i64, 0); // R × [B, labels]
    let loss = |((trainee, batch), own): ((&Trainee, &Batch), &Tensor)| {
        let labels: Labels = trainee.subject.labels(batch);
        loss::mean(own, &labels)
    };
    let losses: Vec<Tensor> = trainees.iter().zip(&batches).zip(&own).map(loss).collect();
    let counted: Vec<&Tensor> =
        losses.iter().zip(on_the_way).filter(|(_, is_on_the_way)| **is_on_the_way).map(|(loss, _)| loss).collect();
    let sum = Tensor::stack(&counted, 0).sum(Kind::Float);
    let mut rows: Vec<&mut Arena> = trainees.iter_mut().map(|trainee| &mut trainee.subject.arena).collect();
    passes.fused.backward(&sum, &mut rows);
    let losses = Tensor::stack(&losses, 0).to_kind(Kind::Double);
    Vec::try_from(&losses).unwrap_or_default()
}

/// The methods of all runs in a pass through all of them.
struct OfAll<'a, 'b>(&'a [Trainee<'b>]);

impl OfAll<'_, '_> {
    /// Puts together what `change` makes of each run's share `[…]` of `[R, …]`; `None` where nobody changes anything.
    fn each(&self, whole: &Tensor, change: impl Fn(&Trainee, &Tensor) -> Option<Tensor>) -> Option<Tensor> {
        let own = whole.unbind(0);
        let changed: Vec<Option<Tensor>> = self.0.iter().zip(&own).map(|(trainee, own)| change(trainee, own)).collect();
        if changed.iter().all(Option::is_none) {
            return None;
        }
        let parts: Vec<Tensor> = changed.into_iter().zip(own).map(|(changed, own)| changed.unwrap_or(own)).collect();
        Some(Tensor::stack(&parts, 0))
    }
}

impl Hooks for OfAll<'_, '_> {
    /// `[R, out, in]`.
    fn weight(&self, part: usize, weight: &Tensor) -> Option<Tensor> {
        self.each(weight, |trainee, own| trainee.in_pass().hooks()?.weight(part, own))
    }

    /// `[R·N, H]`.
    fn hidden(&self, layer: usize, input: Tensor) -> Tensor {
        let (all, width) = input.size2().expect("[R·N, H]");
        let runs = self.0.len() as i64;
        let changed = self.each(&input.view([runs, all / runs, width]), |trainee, own| {
            Some(trainee.in_pass().hooks()?.hidden(layer, own.shallow_clone()))
        });
        changed.map_or(input, |changed| changed.view([all, width]))
    }

    fn words(&self, words: Tensor) -> Tensor {
        words
    }
}
