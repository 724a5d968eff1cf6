//! Further fine-tuning: the trained encoder as the pre-trained model of another task, and what it then has forgotten.

use anyhow::{Result, bail};
use tch::Tensor;

use super::Stage;
use crate::arena::Values;
use crate::method::{Combination, Method, Part, Role};
use crate::network::Hooks;
use crate::plan::{After, Choice, Input, Run};
use crate::record::{Elsewhere, Way};
use crate::train::hooks::InPass;
use crate::train::{Ending, Places, PutAside, Subject, checkpoint, evaluate, train};

/// θ of the encoder as training on the run's own task left it, with what adapters add merged.
pub struct Source {
    encoder: Vec<(Part, Tensor)>,
    /// All of θ, the head of the run's own task in it.
    theta: Tensor,
}

impl Source {
    pub fn of(stage: &Stage) -> Source {
        Source { encoder: held(stage.subject, stage.method), theta: stage.subject.arena.theta.copy() }
    }
}

/// Fine-tunes the trained encoder on `target` with a fresh head, by the run's method and recipe, scores it, and scores
/// the run's own task again, with its own head over the encoder as it is then.
///
/// # Errors
/// As [`train`]; a training that diverges.
pub fn transfer(stage: &mut Stage, source: &Source, target: &Input) -> Result<Elsewhere> {
    let (task, data) = stage.stages.task(&target.name)?;
    let run = Run {
        task: target.clone(),
        // What the encoder was trained on is part of what it is: scores and masks go by this name.
        model: Input { name: stage.run.model.name.clone(), hash: format!("{} trained", stage.run.training_id()) },
        after: After::default(),
        ..stage.run.clone()
    };
    let classes = (!task.labels.is_regression()).then(|| task.labels.outputs() as i64);
    let adapters = |part: &Part| stage.method.adapters(part);
    let mut subject = Subject::load(stage.stages.model, classes, stage.subject.arena.device(), &adapters)?;
    subject.start_from(&source.encoder);
    subject.reset(run.seed, &run.recipe);
    let folder = stage.places.folder.join(format!("transfer-{}", target.name));
    // With the checkpoints of the run that it belongs to.
    let id = format!("{}/transfer-{}", stage.places.id, target.name);
    let places = Places { folder, id, until: None, ..stage.places.clone() };
    let outcome = match train(&stage.stages.eased(&run), task, &mut subject, data, &places, stage.listener)? {
        Ending::Done(outcome) => outcome,
        Ending::Paused { .. } | Ending::Reached(_) => return Err(PutAside.into()),
        Ending::Diverged { step } => {
            checkpoint::remove(&places);
            bail!("further training on {} diverged at step {step}: its loss was not finite", target.name)
        }
    };
    checkpoint::remove(&places);

    let method = Combination::<Values>::build(&run.method)?;
    let encoder = held(&subject, &method);
    drop(subject);
    // Adapters are merged by now, so nothing stands beside the weights.
    let plain = Combination::build(&Choice { name: "vanilla".into(), numbers: Default::default() })?;
    stage.put_back(&source.theta);
    encoder.iter().for_each(|(part, values)| stage.subject.arena.fill(part.index, values));
    let own = evaluate::dev(stage.task, stage.subject, &plain, stage.data, stage.run.recipe.dev_size);
    stage.put_back(&source.theta);
    Ok(Elsewhere {
        task: task.name.clone(),
        way: Way::Transfer,
        metric: outcome.metric,
        dev: outcome.dev,
        collapsed: outcome.collapsed,
        train_examples: outcome.train_examples,
        dev_examples: outcome.dev_examples,
        source_after: own.scores.get(&stage.task.headline()).copied().flatten(),
    })
}

fn held(subject: &Subject, method: &Combination<Values>) -> Vec<(Part, Tensor)> {
    merged(subject, method).map(|(part, values)| (part, values.copy())).collect()
}

/// The parts below the head as the forward pass uses them: what adapters add is in them.
pub fn merged(subject: &Subject, method: &Combination<Values>) -> impl Iterator<Item = (Part, Tensor)> {
    let below = subject.arena.layout.parts.iter().filter(|part| !matches!(part.role, Role::Head | Role::Adapter));
    below.map(move |part| {
        let in_pass = InPass { method, arena: &subject.arena, at: None, words: None };
        let own = subject.theta_of(part);
        let used = if part.is_linear_weight() { in_pass.weight(part.index, &own) } else { None };
        (part.clone(), used.unwrap_or(own).detach())
    })
}
