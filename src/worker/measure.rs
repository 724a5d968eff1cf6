//! How fast this process trains, for the choice of how the cores of a CPU are split among workers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::arena::Values;
use crate::method::{Combination, Moment};
use crate::plan::{Choice, Run};
use crate::protocol::Job;
use crate::task::batch::{epoch_order, sample};
use crate::train::adam::Adam;
use crate::train::gradient::Step;
use crate::train::hooks;
use crate::warm::Warm;

/// Rate of the steps; any that keeps θ finite does.
const RATE: f64 = 1e-6;

/// Trains the job's model on its data by plain fine-tuning, one step and on for so long. Gives the examples seen and the
/// seconds they took; nothing is written but the cache of tokens.
///
/// # Errors
/// A model or data that cannot be loaded.
pub fn measure(job: &Job, span: Duration, warm: &mut Warm) -> Result<(u64, f64)> {
    let method = Choice { name: "vanilla".to_owned(), numbers: BTreeMap::new() };
    let job = Job { run: Run { method, ..job.run.clone() }, ..job.clone() };
    let (run, recipe) = (&job.run, &job.run.recipe);
    let (subject, data) = warm.take(&job)?;
    subject.reset(run.seed, recipe);
    let picked = sample(data.train.len(), recipe.train_size.map_or(usize::MAX, |n| n as usize), run.seed);
    ensure!(!picked.is_empty(), "task {}: the training set is empty", job.task.name);
    let mut method = Combination::<Values>::build(&run.method)?;
    let mut adam = Adam::new(&subject.arena, recipe);
    let order: Vec<u32> = epoch_order(picked.len(), run.seed, 0, true).iter().map(|&i| picked[i as usize]).collect();
    let mut batches = order.chunks(recipe.batch_size as usize).cycle();

    let (mut examples, start) = (0, Instant::now());
    for step in 1.. {
        let rows = batches.next().unwrap_or_default();
        let at = Moment { seed: run.seed, step, steps: u32::MAX, pass: 0, token: 0 };
        let precision = subject.precision;
        Step { tokens: &data.train, picks: rows, recipe, precision, dropout: "dropout", at }.gradient(subject, &method);
        let norm = hooks::norm(&mut subject.arena);
        adam.step(&mut subject.arena, &mut method, RATE, norm, at);
        examples += rows.len() as u64;
        if start.elapsed() >= span {
            break;
        }
    }
    Ok((examples, start.elapsed().as_secs_f64()))
}
