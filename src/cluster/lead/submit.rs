//! Hands a submission to the engine, and takes its answer for what it is.

use std::time::Instant;

use anyhow::Result;

use super::{Finish, Lead, Script};
use crate::cluster::batch::Submission;
use crate::cluster::{Submit, Trouble};
use crate::failpoint;
use crate::record::store::replace;

impl Lead<'_> {
    /// Hands a submission that is written down to the engine.
    pub(super) fn submit(&mut self, submission: Submission) -> Result<Option<Finish>> {
        let Submission { number, tasks, .. } = submission;
        let exclude = Vec::from_iter(self.batch.excluded());
        let at_once = submission.at_once.min(tasks);
        let text = (self.script)(&Script { number, name: &submission.name, tasks, at_once, exclude: &exclude });
        let script = std::path::absolute(self.batch.script(number))?;
        replace(&script, text.as_bytes())?;
        let order = Submit { name: submission.name.clone(), script, tasks, at_once, exclude };
        let others = self.batch.submitted()?.values().filter(|s| s.is_open() && s.number != number).count();
        match self.engine.submit(&order) {
            Ok(id) => {
                failpoint::pass("submitted");
                let jobs = if tasks == 1 { "a job".to_owned() } else { format!("{tasks} jobs") };
                self.tell("submitted", &format!("submitted {jobs} as {id}"));
                self.batch.write(&Submission { id: Some(id), ..submission })?;
                self.state.most_tasks = self.state.most_tasks.map(|most| (most * 2).min(self.engine.most_tasks()));
            }
            // Whether it went through, its name tells.
            Err(Trouble::Silent(why)) => {
                self.tell("submit", &format!("{why}; whether it went through is looked up"));
                self.state.complaint = why;
            }
            Err(Trouble::TooMuch(why)) if tasks > 1 => {
                self.state.most_tasks = Some(tasks / 2);
                self.tell("submit", &format!("{why}; it is tried with {} jobs", tasks / 2));
                self.batch.write(&Submission { closed: Some(why), ..submission })?;
            }
            Err(Trouble::TooMuch(why)) if others > 0 => {
                self.tell("submit", &format!("{why}; it is tried again when others have ended"));
                self.state.full = Some((Instant::now(), others));
                self.batch.write(&Submission { closed: Some(why), ..submission })?;
            }
            Err(Trouble::TooMuch(why) | Trouble::Refused(why)) => {
                self.batch.write(&Submission { closed: Some(why.clone()), ..submission })?;
                return Ok(Some(Finish::GivenUp(why)));
            }
        }
        Ok(None)
    }
}
