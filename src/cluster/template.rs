//! An engine that is told by three commands of the sweep file: PBS, LSF, SGE and the like.

use std::process::Command;
use std::time::Duration;

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
    /// Of a job.
    seconds: u64,
}

impl Template {
    /// # Errors
    /// A pattern that is none; the sweep file is checked for that before.
    pub fn new(commands: &Commands, time: Duration) -> Result<Template, Trouble> {
        let ready = |text: &str| Regex::new(text).map_err(|error| Trouble::Refused(error.to_string()));
        let (id, line) = (ready(&commands.id)?, ready(&commands.line)?);
        Ok(Template { commands: commands.clone(), id, line, seconds: time.as_secs() })
    }

    fn run(&self, line: &str) -> Result<Said, Trouble> {
        let mut command = Command::new("sh");
        command.args(["-c", line]);
        call(command)
    }

    /// `123[4].head`, `123_4`, `123.4`: the job `123[].head`, or `123`, and its task.
    fn task_of(&self, id: &str) -> JobId {
        let place = id.find(['[', '_', '.']);
        let parts = place.map(|place| (&id[..place], &id[place + 1..]));
        let task = parts.and_then(|(_, rest)| {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse::<u32>().ok()?.checked_sub(self.commands.first)
        });
        let Some((job, rest)) = parts.filter(|_| task.is_some()) else {
            return JobId { job: id.to_owned(), task: None };
        };
        // PBS calls the whole `123[].head`.
        let job = match rest.split_once(']') {
            Some((_, host)) => format!("{job}[]{host}"),
            None => job.to_owned(),
        };
        JobId { job, task }
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
                ("last", (self.commands.first + order.tasks).saturating_sub(1).to_string()),
                ("at_once", order.at_once.to_string()),
                ("first", self.commands.first.to_string()),
                ("exclude", order.exclude.join(",")),
                ("cpus", self.commands.jobs.cpus.unwrap_or(1).to_string()),
                ("seconds", self.seconds.to_string()),
                ("minutes", self.seconds.div_ceil(60).to_string()),
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

    fn list(&self, _names: &[String]) -> Result<Vec<Seen>, Trouble> {
        let said = self.run(&self.commands.list)?;
        if !said.is_well {
            return Err(Trouble::Silent(format!("`{}`: {}", self.commands.list, said.complaint())));
        }
        let row = |line: &str| {
            let found = self.line.captures(line)?;
            let group = |name: &str| found.name(name).map(|text| text.as_str().to_owned());
            let (id, word, name) = (group("id")?, group("state")?, group("name")?);
            let id = if self.commands.index.is_some() { self.task_of(&id) } else { JobId { job: id, task: None } };
            Some(Seen { id, name, state: self.state(&word), said: word, node: group("node") })
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
    let task = match &commands.index {
        Some(index) => format!("$((${index} - {}))", commands.first),
        None => "0".to_owned(),
    };
    let cpus = commands.jobs.cpus.map_or_else(String::new, |cpus| format!(" --cpus {cpus}"));
    lines.push(format!("exec {program} --task {task}{cpus}"));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn commands() -> Commands {
        Commands {
            submit: "echo submitted {name} {script} 0-{last} as 77.head".into(),
            id: r"as (\S+)".into(),
            list: "printf '77.head sweep-a.1 Q n1\\n78.head other R n2\\n79.head sweep-a.2 X n3\\nTotal: 3\\n'".into(),
            line: r"^(?<id>\S+) (?<name>\S+) (?<state>\S+) (?<node>\S+)$".into(),
            first: 1,
            waiting: vec!["Q".into()],
            running: vec!["R".into()],
            cancel: "test {id} = 77.head".into(),
            ..Commands::default()
        }
    }

    #[test]
    fn an_engine_is_told_and_understood_by_its_commands() {
        let engine = Template::new(&commands(), HOUR).unwrap();
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
        let of_others = ("78.head".to_owned(), State::Running);
        assert_eq!(brief, [("77.head".to_owned(), State::Waiting), of_others, ("79.head".to_owned(), State::Unknown)]);
        engine.cancel(&["77.head".into()]).unwrap();
        assert!(engine.cancel(&["5".into()]).is_err());
    }

    #[test]
    fn tasks_of_an_array_are_told_by_their_ids() {
        let engine = Template::new(&commands(), HOUR).unwrap();
        for (id, job, task) in [
            ("123[4].head", "123[].head", Some(3)),
            ("123_1", "123", Some(0)),
            ("123.2", "123", Some(1)),
            ("123.head", "123.head", None),
            ("123[].head", "123[].head", None),
            ("123", "123", None),
        ] {
            assert_eq!(engine.task_of(id), JobId { job: job.to_owned(), task }, "{id}");
        }
    }

    #[test]
    fn what_cannot_be_read_may_have_gone_through() {
        let engine = Template::new(&Commands { submit: "echo odd".into(), ..commands() }, HOUR).unwrap();
        let order = Submit { name: "a".into(), script: "b".into(), tasks: 1, at_once: 1, exclude: Vec::new() };
        assert!(matches!(engine.submit(&order), Err(Trouble::Silent(why)) if why.contains("said no id")));
    }
}
