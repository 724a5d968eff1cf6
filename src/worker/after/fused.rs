//! Runs of a group that are trained in one program. Nothing follows their training.

use std::path::Path;

use anyhow::Result;

use super::{distance, trained};
use crate::kept::Kept;
use crate::plan::Run;
use crate::record::Outcome;
use crate::task::{Loaded, Task};
use crate::train::fused::{self, Team};
use crate::train::{Ending, Listener, Places, PutAside, Subject, Trainee, checkpoint};

/// A run of the group, with what it reads and writes.
pub struct Member<'a> {
    pub run: &'a Run,
    pub places: &'a Places,
    pub listener: &'a mut dyn Listener,
    /// Whether θ stays in the cache.
    pub keep: bool,
}

/// Trains runs of one model, task and recipe side by side, but for those whose θ lies in the cache. `over` hears how each
/// ended, by its place among the members.
///
/// # Errors
/// What concerns them all: steps.csv cannot be written.
pub fn complete(
    members: Vec<Member>,
    task: &Task,
    data: &Loaded,
    model: &Path,
    subject: &mut Subject,
    over: &mut dyn FnMut(usize, Result<Ending>),
) -> Result<()> {
    let mut left = Vec::new();
    for (place, member) in members.into_iter().enumerate() {
        let kept = Kept::at(&member.places.cache, &member.run.training_id());
        if let Some(spent) = checkpoint::spent(member.places) {
            member.listener.taken_up(spent);
        }
        subject.reset(member.run.seed, &member.run.recipe);
        match trained::restore(&kept, subject) {
            Some(outcome) => over(place, Ok(Ending::Done(outcome))),
            None => left.push((place, member, kept)),
        }
    }
    let mut team = Team::of(subject, left.len());
    let (passes, subjects) = team.split();
    let (mut trainees, mut places) = (Vec::new(), Vec::new());
    for ((place, member, kept), subject) in left.into_iter().zip(subjects) {
        let Member { run, places: own, listener, keep } = member;
        subject.reset(run.seed, &run.recipe);
        match Trainee::begin(run, task, subject, data, own, listener) {
            Ok(trainee) => {
                trainees.push(trainee);
                places.push((place, kept, keep));
            }
            Err(error) if error.is::<PutAside>() => over(place, Ok(Ending::Paused { step: 0 })),
            Err(error) => over(place, Err(error)),
        }
    }
    fused::train(passes, trainees, &mut |number, trainee, ending| {
        let (place, kept, keep) = &places[number];
        let ending = match ending {
            Ending::Done(outcome) => {
                keep_trained(trainee, outcome, keep.then_some(kept), task, model).map(Ending::Done)
            }
            other => Ok(other),
        };
        over(*place, ending);
    })
}

/// What a trained run has to tell besides its scores, with θ put where it is to be kept.
fn keep_trained(
    trainee: &mut Trainee,
    outcome: Outcome,
    kept: Option<&Kept>,
    task: &Task,
    model: &Path,
) -> Result<Outcome> {
    let outcome = Outcome { distance: distance::by_layer(trainee.subject, &trainee.method), ..outcome };
    if let Some(kept) = kept {
        trained::write(kept, trainee.subject, &outcome, task, model)?;
        checkpoint::note_spent(trainee.places, &trainee.listener.spent())?;
    }
    Ok(outcome)
}
