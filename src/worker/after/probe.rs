//! A linear probe: a fresh head on the frozen encoder, trained on what the encoder gives once.

use anyhow::{Result, ensure};
use tch::{Kind, Tensor, no_grad};

use super::Stage;
use crate::arena::{Arena, Layout, Shape, Values};
use crate::method::{Combination, Moment, Role, Vector, stream};
use crate::network::Pass;
use crate::plan::{Choice, Input, Probe, Recipe};
use crate::record::{Elsewhere, Way};
use crate::task::batch::{Batch, epoch_order, sample};
use crate::task::{Task, Tokens};
use crate::train::adam::Adam;
use crate::train::evaluate;
use crate::train::hooks::{self, InPass};
use crate::train::loss::{self, Labels};
use crate::train::schedule::Schedule;

/// Examples in a pass of the encoder.
const ROWS: usize = 64;

/// Trains a head by AdamW without decay and with linear decay of the learning rate, on features without dropout, and
/// scores it on at most `dev_size` examples of each dev set.
///
/// # Errors
/// The task's data is not there, or empty.
pub fn probe(stage: &mut Stage, settings: &Probe, target: &Input) -> Result<Elsewhere> {
    let (task, data) = stage.stages.task(&target.name)?;
    let seed = stage.run.seed;
    let rows = sample(data.train.len(), settings.train_size.map_or(usize::MAX, |n| n as usize), seed);
    ensure!(!rows.is_empty(), "task {}: the training set is empty", task.name);
    let features = features(stage, &data.train, &rows);
    let values: Vec<f32> = rows.iter().map(|&row| data.train.labels[row as usize]).collect();
    let head = train(stage, settings, task, &features, &values)?;
    let scored = evaluate::score(task, data, stage.run.recipe.dev_size, |tokens, rows| {
        let logits = no_grad(|| self::features(stage, tokens, rows).linear(&head.leaf(0), Some(&head.leaf(1))));
        evaluate::decided(&logits, task.labels.is_regression())
    });
    Ok(Elsewhere {
        task: task.name.clone(),
        way: Way::Probe,
        metric: task.headline(),
        dev: scored.scores,
        collapsed: scored.collapsed,
        train_examples: rows.len() as u32,
        dev_examples: scored.examples,
        source_after: None,
    })
}

/// What the head reads of the examples at some rows, in their order, `[rows, H]`.
fn features(stage: &Stage, tokens: &Tokens, rows: &[u32]) -> Tensor {
    let subject = &*stage.subject;
    let in_pass = InPass { method: stage.method, arena: &subject.arena, at: None, words: None };
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(tokens.length(rows[i] as usize)));
    let pooled: Vec<Tensor> = order
        .chunks(ROWS)
        .map(|slots| {
            let picks: Vec<u32> = slots.iter().map(|&i| rows[i]).collect();
            let batch = Batch::of(tokens, &picks, subject.pad());
            no_grad(|| {
                subject.encoder.pooled(
                    &subject.input(&batch),
                    &mut Pass::evaluate(in_pass.hooks()).in_precision(subject.precision),
                )
            })
        })
        .collect();
    // Back from the order of lengths to that of the rows.
    let mut places = vec![0i64; rows.len()];
    order.iter().enumerate().for_each(|(place, &i)| places[i] = place as i64);
    Tensor::cat(&pooled, 0).index_select(0, &Tensor::from_slice(&places).to_device(subject.arena.device()))
}

/// An arena of the head alone: weight `[labels, H]`, bias `[labels]`.
fn train(stage: &mut Stage, settings: &Probe, task: &Task, features: &Tensor, values: &[f32]) -> Result<Arena> {
    let (hidden, labels) = (features.size()[1], task.labels.outputs() as i64);
    let shape = |name: &str, shape: &[i64]| Shape {
        name: format!("classifier.{name}"),
        shape: shape.to_vec(),
        role: Role::Head,
        decays: false,
    };
    let layout = Layout::new(vec![shape("weight", &[labels, hidden]), shape("bias", &[labels])]);
    let mut head = Arena::new(layout, features.device());
    let seed = stage.run.seed;
    let weight = Values(head.leaf(0).detach()).normal(stream(seed, &format!("probe {}", task.name), 0), 0);
    head.fill(0, &(weight.0 * stage.subject.encoder.config.head_range));

    let recipe = Recipe { lr: settings.lr, weight_decay: 0.0, ..stage.run.recipe.clone() };
    let mut method = Combination::build(&Choice { name: "vanilla".into(), numbers: Default::default() })?;
    let mut adam = Adam::new(&head, &recipe);
    let (n, size) = (values.len(), settings.batch_size as usize);
    let total = (n.div_ceil(size) as u32).saturating_mul(settings.epochs);
    let schedule = Schedule::new(recipe.lr, recipe.warmup, total);
    let mut step = 0;
    for epoch in 0..settings.epochs {
        let order = epoch_order(n, stream(seed, "probe order", 0), epoch, true);
        for picks in order.chunks(size) {
            step += 1;
            let at = Moment { seed, step, steps: total, pass: 0, token: 0 };
            let places: Vec<i64> = picks.iter().map(|&i| i64::from(i)).collect();
            let batch = features.index_select(0, &Tensor::from_slice(&places).to_device(features.device()));
            let wanted: Vec<f32> = picks.iter().map(|&i| values[i as usize]).collect();
            let wanted = Tensor::from_slice(&wanted).to_device(features.device());
            let wanted = match task.labels.is_regression() {
                true => Labels::Values(wanted),
                false => Labels::Classes(wanted.to_kind(Kind::Int64)),
            };
            let loss = loss::mean(&batch.linear(&head.leaf(0), Some(&head.leaf(1))), &wanted);
            head.backward(&loss);
            let norm = hooks::norm(&mut head);
            adam.step(&mut head, &mut method, schedule.rate(step), norm, at);
        }
        stage.go_on()?;
    }
    Ok(head)
}
