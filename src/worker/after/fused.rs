//! Runs of a group that are trained in one program. Nothing follows their training.

use std::collections::BTreeMap;
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
    // A run that was trained alone left its optimizer's memory, and all of these bring their own.
    subject.spare = None;
    // Runs at unlike steps, as after a kill between two checkpoints, or where one joined late, make groups of their own.
    let mut parts: BTreeMap<u32, Vec<(usize, Member, Kept)>> = BTreeMap::new();
    for (place, member) in members.into_iter().enumerate() {
        let kept = Kept::at(&member.places.cache, &member.run.training_id());
        if let Some(spent) = checkpoint::spent(member.places) {
            member.listener.taken_up(spent);
        }
        subject.reset(member.run.seed, &member.run.recipe);
        match trained::restore(&kept, subject) {
            Some(outcome) => over(place, Ok(Ending::Done(outcome))),
            None => parts.entry(checkpoint::newest_step(member.places)).or_default().push((place, member, kept)),
        }
    }
    parts.into_values().try_for_each(|part| train_part(part, task, data, model, subject, over))
}

/// Trains runs that stand at one step.
fn train_part(
    mut part: Vec<(usize, Member, Kept)>,
    task: &Task,
    data: &Loaded,
    model: &Path,
    subject: &Subject,
    over: &mut dyn FnMut(usize, Result<Ending>),
) -> Result<()> {
    while !part.is_empty() {
        let mut team = Team::of(subject, part.len());
        let (passes, subjects) = team.split();
        let (mut trainees, mut ends, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        for ((place, member, kept), subject) in part.iter_mut().zip(subjects) {
            let Member { run, places, keep, .. } = *member;
            subject.reset(run.seed, &run.recipe);
            match Trainee::begin(run, task, subject, data, places, &mut *member.listener) {
                Ok(trainee) => {
                    trainees.push(trainee);
                    ends.push((*place, keep.then_some(&*kept)));
                }
                Err(error) if error.is::<PutAside>() => failed.push((*place, Ok(Ending::Paused { step: 0 }))),
                Err(error) => failed.push((*place, Err(error))),
            }
        }
        if failed.is_empty() {
            return fused::train(passes, trainees, &mut |number, trainee, ending| {
                let (place, kept) = ends[number];
                let ending = match ending {
                    Ending::Done(outcome) => keep_trained(trainee, outcome, kept, task, model).map(Ending::Done),
                    other => Ok(other),
                };
                over(place, ending);
            });
        }
        // Those that could begin do so again, as a smaller team.
        drop((trainees, ends));
        for (place, ending) in failed {
            part.retain(|(own, ..)| *own != place);
            over(place, ending);
        }
    }
    Ok(())
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
