//! An engine that is told by three commands of the sweep file: PBS, LSF, SGE and the like.

use std::process::Command;

use regex::Regex;

use super::shell::{Said, call};
use super::slurm::quoted;
use super::{Ending, Engine, JobId, Seen, State, Submit, Trouble};
use crate::spec::cluster::Commands;

/// The commands, with their patterns made ready.
pub struct Template {
    commands: Commands,
    id: Regex,
    line: Regex,
}

impl Template {
    /// # Errors
    /// A pattern that is none; the sweep file is checked for that before.
    pub fn new(commands: &Commands) -> Result<Template, Trouble> {
        let ready = |text: &str| Regex::new(text).map_err(|error| Trouble::Refused(error.to_string()));
        Ok(Template { commands: commands.clone(), id: ready(&commands.id)?, line: ready(&commands.line)? })
    }

    fn run(&self, line: &str) -> Result<Said, Trouble> {
        let mut command = Command::new("sh");
        command.args(["-c", line]);
        call(command)
    }

    fn state(&self, word: &str) -> State {
        let is = |words: &[String]| words.iter().any(|known| known == word);
        match () {
            () if is(&self.commands.waiting) => State::Waiting,
            () if is(&self.commands.running) => State::Running,
            // How it ended such a list seldom says; whether its runs are done, their records do.
            () if is(&self.commands.ended) => State::Ended(Ending::Completed),
            () => State::Unknown,
        }
    }
}

impl Engine for Template {
    fn describe(&self) -> String {
        let program = self.commands.submit.split_whitespace().next().unwrap_or_default();
        format!("the engine behind `{program}`")
    }

    fn submit(&self, order: &Submit) -> Result<String, Trouble> {
        let filled = fill(
            &self.commands.submit,
            &[
                ("name", quoted(&order.name)),
                ("script", quoted(&order.script.display().to_string())),
                ("tasks", order.tasks.to_string()),
                ("last", order.tasks.saturating_sub(1).to_string()),
                ("at_once", order.at_once.to_string()),
            ],
        );
        let said = self.run(&filled)?;
        if !said.is_well {
            // What a foreign engine means by a complaint nobody knows here; the name tells whether it went through.
            return Err(Trouble::Silent(format!("`{filled}`: {}", said.complaint())));
        }
        let id = self.id.captures(&said.out).and_then(|found| found.get(1)).map(|id| id.as_str().to_owned());
        id.ok_or_else(|| Trouble::Silent(format!("`{filled}` said no id that {} finds: {}", self.id, said.out.trim())))
    }

    fn list(&self, names: &[String]) -> Result<Vec<Seen>, Trouble> {
        let said = self.run(&self.commands.list)?;
        if !said.is_well {
            return Err(Trouble::Silent(format!("`{}`: {}", self.commands.list, said.complaint())));
        }
        let row = |line: &str| {
            let found = self.line.captures(line)?;
            let group = |name: &str| found.name(name).map(|text| text.as_str().to_owned());
            let (id, word) = (group("id")?, group("state")?);
            let name = group("name").unwrap_or_default();
            if !name.is_empty() && !names.contains(&name) {
                return None;
            }
            let (job, task) = match id
                .split_once(['_', '[', '.'])
                .and_then(|(job, task)| Some((job.to_owned(), task.trim_end_matches(']').parse().ok()?)))
            {
                Some((job, task)) if self.commands.index.is_some() => (job, Some(task)),
                _ => (id, None),
            };
            let state = self.state(&word);
            Some(Seen { id: JobId { job, task }, name, state, said: word, node: group("node") })
        };
        Ok(said.out.lines().filter_map(row).collect())
    }

    fn cancel(&self, jobs: &[String]) -> Result<(), Trouble> {
        for job in jobs {
            let said = self.run(&fill(&self.commands.cancel, &[("id", quoted(job))]))?;
            if !said.is_well {
                return Err(Trouble::Silent(said.complaint()));
            }
        }
        Ok(())
    }

    fn estimate(&self, _order: &Submit) -> Result<String, Trouble> {
        Ok("this engine is not asked for an estimate".to_owned())
    }

    fn most_tasks(&self) -> u32 {
        if self.commands.index.is_some() { 1000 } else { 1 }
    }
}

/// `{name}` and the like in a command.
fn fill(text: &str, values: &[(&str, String)]) -> String {
    values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

/// The script of such a job: what it needs of an engine stands in the sweep file's command.
pub fn script(commands: &Commands, program: &str) -> String {
    let mut lines = vec!["#!/bin/sh".to_owned()];
    for variable in &commands.jobs.environment {
        lines.push(match variable.split_once('=') {
            Some((name, text)) => format!("export {name}={}", quoted(text)),
            None => match std::env::var(variable) {
                Ok(text) => format!("export {variable}={}", quoted(&text)),
                Err(_) => continue,
            },
        });
    }
    lines.extend(commands.jobs.setup.iter().cloned());
    let task = commands.index.as_ref().map_or("0".to_owned(), |index| format!("\"${index}\""));
    let cpus = commands.jobs.cpus.map_or_else(String::new, |cpus| format!(" --cpus {cpus}"));
    lines.push(format!("exec {program} --task {task}{cpus}"));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn commands() -> Commands {
        Commands {
            submit: "echo submitted {name} {script} 0-{last} as 77.head".into(),
            id: r"as (\S+)".into(),
            list: "printf '77.head sweep-a.1 Q n1\\n78.head other R n2\\n79.head sweep-a.2 X n3\\nTotal: 3\\n'".into(),
            line: r"^(?<id>\S+) (?<name>\S+) (?<state>\S+) (?<node>\S+)$".into(),
            waiting: vec!["Q".into()],
            running: vec!["R".into()],
            cancel: "test {id} = 77.head".into(),
            ..Commands::default()
        }
    }

    #[test]
    fn an_engine_is_told_and_understood_by_its_commands() {
        let engine = Template::new(&commands()).unwrap();
        let order = Submit {
            name: "sweep-a.1".into(),
            script: "/tmp/a b.sh".into(),
            tasks: 1,
            at_once: 1,
            exclude: Vec::new(),
        };
        assert_eq!(engine.submit(&order).unwrap(), "77.head");
        let seen = engine.list(&["sweep-a.1".into(), "sweep-a.2".into()]).unwrap();
        let brief: Vec<(String, State)> = seen.iter().map(|seen| (seen.id.to_string(), seen.state)).collect();
        assert_eq!(brief, [("77.head".to_owned(), State::Waiting), ("79.head".to_owned(), State::Unknown)]);
        engine.cancel(&["77.head".into()]).unwrap();
        assert!(engine.cancel(&["5".into()]).is_err());
    }

    #[test]
    fn what_cannot_be_read_may_have_gone_through() {
        let engine = Template::new(&Commands { submit: "echo odd".into(), ..commands() }).unwrap();
        let order = Submit { name: "a".into(), script: "b".into(), tasks: 1, at_once: 1, exclude: Vec::new() };
        assert!(matches!(engine.submit(&order), Err(Trouble::Silent(why)) if why.contains("said no id")));
    }
}
