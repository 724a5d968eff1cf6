//! `[run] executor`, `[run.slurm]`, `[run.command]`: a sweep on a cluster, without a say in the results.

use std::time::Duration;

use super::fault::{Fault, suggestion};
use super::number::{Domain, Number, Standard, Value};
use super::run::duration;
use super::table::{Table, checked};

/// Where runs are trained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Executor {
    /// Worker processes on this machine.
    #[default]
    Local,
    /// Jobs of Slurm.
    Slurm,
    /// Jobs of an engine that is told by three commands.
    Command,
}

impl Executor {
    pub const NAMES: [(&'static str, Executor); 3] =
        [("local", Executor::Local), ("slurm", Executor::Slurm), ("command", Executor::Command)];
}

impl std::str::FromStr for Executor {
    type Err = String;

    fn from_str(text: &str) -> Result<Executor, String> {
        let found = Executor::NAMES.iter().find(|(name, _)| *name == text).map(|(_, executor)| *executor);
        found.ok_or_else(|| "local, slurm or command".to_owned())
    }
}

/// How runs become jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// A job takes one run after the other from the results folder while its time lasts.
    Pilot,
    /// A task of an array for each run.
    Array,
}

impl Mode {
    const NAMES: [(&'static str, Mode); 2] = [("pilot", Mode::Pilot), ("array", Mode::Array)];

    pub fn name(self) -> &'static str {
        match self {
            Mode::Pilot => "pilot",
            Mode::Array => "array",
        }
    }
}

impl std::str::FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Mode, String> {
        let found = Mode::NAMES.iter().find(|(name, _)| *name == text).map(|(_, mode)| *mode);
        found.ok_or_else(|| "pilot or array".to_owned())
    }
}

/// What a job asks of the cluster, for either executor.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Jobs {
    /// `None` is chosen by how long a run takes.
    pub mode: Option<Mode>,
    /// Of one job; `None` is the standard.
    pub time: Option<Duration>,
    /// Cores of one job, which its workers share.
    pub cpus: Option<u32>,
    /// Most jobs at one time; `None` is the standard.
    pub concurrency: Option<u32>,
    /// Shell lines before the program: `module load cuda`.
    pub setup: Vec<String>,
    /// Variables that jobs get: `NAME` as it is here, or `NAME=text`. Nothing else of this environment.
    pub environment: Vec<String>,
}

/// `[run.slurm]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Slurm {
    pub jobs: Jobs,
    pub partition: Option<String>,
    pub account: Option<String>,
    pub qos: Option<String>,
    pub gpus: Option<u32>,
    pub gres: Option<String>,
    pub mem: Option<String>,
    pub constraint: Option<String>,
    /// Nodes that get no job.
    pub exclude: Vec<String>,
    /// Further options of sbatch, each as one word.
    pub options: Vec<String>,
}

/// `[run.command]`: an engine in three commands, each a line for the shell.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Commands {
    pub jobs: Jobs,
    /// Submits `{script}` under `{name}`; `{tasks}` is how many times it is to run.
    pub submit: String,
    /// A regular expression whose first group is the job's id in what `submit` says.
    pub id: String,
    /// Lists jobs, one a line, waiting and running ones.
    pub list: String,
    /// A regular expression over such a line with the groups `id`, `name` and `state`, and `node` where there is one.
    pub line: String,
    /// Words of `state` that mean waiting, and running; every other one is not known.
    pub waiting: Vec<String>,
    pub running: Vec<String>,
    /// Words of `state` that mean that a job is over, where the engine still lists it.
    pub ended: Vec<String>,
    /// Cancels `{id}`.
    pub cancel: String,
    /// The variable that tells a task of a job which of its tasks it is, where one submission can make several.
    pub index: Option<String>,
    /// What that variable is for the first of them.
    pub first: u32,
}

/// `[run.slurm]` of a sweep file.
pub(super) fn slurm(table: Table) -> Slurm {
    let slurm = Slurm {
        jobs: jobs(&table),
        partition: plain(&table, "partition"),
        account: plain(&table, "account"),
        qos: plain(&table, "qos"),
        gpus: count(&table, "gpus", "GPUs of a job", 64),
        gres: plain(&table, "gres"),
        mem: plain(&table, "mem"),
        constraint: table.text("constraint"),
        exclude: table.texts("exclude").unwrap_or_default(),
        options: options(&table),
    };
    if let (Some(_), Some(_), Some(entry)) = (slurm.gpus, &slurm.gres, table.get("gres")) {
        let fault = Fault::new(entry.span(), "gpus and gres both ask for GPUs", "and gpus besides");
        table.faults().add(fault.help("keep the one that your site wants"));
    }
    table.finish();
    slurm
}

/// `[run.command]` of a sweep file.
pub(super) fn command(table: Table) -> Commands {
    let needed = |key: &str, example: &str| {
        let text = table.text(key).unwrap_or_default();
        if text.is_empty() && table.get(key).is_none() {
            let title = format!("[run.command] has no {key}");
            table.faults().add(Fault::new(0..0, title, "").help(format!("such as {key} = {example}")));
        }
        text
    };
    let commands = Commands {
        jobs: jobs(&table),
        submit: needed("submit", "\"qsub -N {name} -J 0-{last} {script}\""),
        id: pattern(&table, "id", needed("id", "'^(\\d+)'"), &[]),
        list: needed("list", "\"qstat -t\""),
        line: pattern(
            &table,
            "line",
            needed("line", "'^(?<id>\\S+) +(?<name>\\S+) .* (?<state>\\S+)$'"),
            &["id", "state", "name"],
        ),
        waiting: table.texts("waiting").unwrap_or_default(),
        running: table.texts("running").unwrap_or_default(),
        ended: table.texts("ended").unwrap_or_default(),
        cancel: needed("cancel", "\"qdel {id}\""),
        index: table.text("index"),
        first: first(&table),
    };
    table.finish();
    commands
}

fn jobs(table: &Table) -> Jobs {
    Jobs {
        mode: super::run::word(table, "mode", &Mode::NAMES),
        time: time(table),
        cpus: count(table, "cpus", "cores of a job", 1024),
        concurrency: count(table, "concurrency", "jobs at one time", 100_000),
        setup: table.texts("setup").unwrap_or_default(),
        environment: environment(table),
    }
}

fn time(table: &Table) -> Option<Duration> {
    let text = table.text("time")?;
    match duration(&text) {
        // Engines count in minutes.
        Ok(time) if time >= Duration::from_secs(60) => Some(time),
        Ok(_) => {
            super::run::wrong(table, "time", "time of a job must be a minute or more".into(), "write 90m, 4h".into())
        }
        Err(why) => super::run::wrong(table, "time", "time of a job must be a span of time".into(), why),
    }
}

/// A word that goes into a script as it is.
fn plain(table: &Table, key: &str) -> Option<String> {
    let text = table.text(key)?;
    if text.is_empty() || text.chars().any(|c| c.is_whitespace() || "\"'`$\\;&|<>".contains(c)) {
        let help = "it goes to sbatch as one option".to_owned();
        return super::run::wrong(table, key, format!("{key} must be one plain word"), help);
    }
    Some(text)
}

fn options(table: &Table) -> Vec<String> {
    /// What `sweep` itself must say for jobs to be found again.
    const OURS: [&str; 12] = [
        "--job-name",
        "--array",
        "--output",
        "--parsable",
        "--signal",
        "--wrap",
        "--time",
        "--export",
        "--requeue",
        "--no-requeue",
        "--open-mode",
        "--test-only",
    ];
    const SHORT: [&str; 4] = ["-J", "-a", "-o", "-t"];
    let options = table.placed_texts("options").unwrap_or_default();
    for (option, span) in &options {
        let name = option.split(['=', ' ']).next().unwrap_or_default();
        // sbatch takes the beginning of an option's name for the option.
        let is_ours = (name.len() > 4 && OURS.iter().any(|ours| ours.starts_with(name)))
            || SHORT.iter().any(|ours| name.starts_with(ours) && !name.starts_with("--"));
        let fault = if is_ours {
            Fault::new(span.clone(), format!("{name} is what sweep says itself"), "leave it out")
        } else if !option.starts_with('-') || option.contains('\n') {
            Fault::new(span.clone(), format!("\"{option}\" is no option"), "one option a text")
                .help("write options = [\"--reservation=night\", \"--licenses=a\"]")
        } else {
            continue;
        };
        table.faults().add(fault);
    }
    options.into_iter().map(|(option, _)| option).collect()
}

fn environment(table: &Table) -> Vec<String> {
    let variables = table.placed_texts("environment").unwrap_or_default();
    for (variable, span) in &variables {
        let name = variable.split('=').next().unwrap_or_default();
        let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.is_empty();
        if !is_name || name.starts_with(|c: char| c.is_ascii_digit()) || variable.contains('\n') {
            let fault = Fault::new(span.clone(), format!("\"{variable}\" names no variable"), "this one");
            table.faults().add(fault.help("write environment = [\"HF_HOME\", \"OMP_PROC_BIND=false\"]"));
        }
    }
    variables.into_iter().map(|(variable, _)| variable).collect()
}

fn count(table: &Table, name: &'static str, what: &'static str, to: i64) -> Option<u32> {
    let number = Number { name, what, domain: Domain::Whole { from: 1, to }, standard: Standard::Absent("none") };
    match checked(&number, table.get(name)?, table.faults())? {
        Value::Whole(n) => Some(n as u32),
        _ => None,
    }
}

/// Some engines count from 0, some from 1.
fn first(table: &Table) -> u32 {
    let number = Number {
        name: "first",
        what: "index of the first task",
        domain: Domain::Whole { from: 0, to: 1 },
        standard: Standard::Absent("0"),
    };
    match table.get("first").and_then(|entry| checked(&number, entry, table.faults())) {
        Some(Value::Whole(n)) => n as u32,
        _ => 0,
    }
}

/// A regular expression with at least one group, or with these.
fn pattern(table: &Table, key: &str, text: String, groups: &[&str]) -> String {
    let Some(entry) = table.get(key) else { return text };
    let why = match regex::Regex::new(&text) {
        Err(error) => error.to_string(),
        Ok(found) if groups.is_empty() && found.captures_len() < 2 => "it has no group (…) for the id".to_owned(),
        Ok(found) => match groups.iter().find(|group| found.capture_names().flatten().all(|name| name != **group)) {
            Some(group) => format!("it has no group (?<{group}>…)"),
            None => return text,
        },
    };
    let title = format!("{key} in [run.command] is no pattern that can be used");
    table.faults().add(Fault::new(entry.span(), title, "this one").help(why));
    text
}

/// `[run] executor`, with the tables of both.
pub(super) fn executor(table: &Table) -> (Executor, Option<Slurm>, Option<Commands>) {
    let slurm = table.table_written("slurm", "[run.slurm]").map(slurm);
    let commands = table.table_written("command", "[run.command]").map(command);
    let executor = match table.text("executor") {
        None => Executor::Local,
        Some(text) => text.parse().unwrap_or_else(|_| {
            let names = Executor::NAMES.map(|(name, _)| name);
            let title = format!("executor in [run] must be one of {}", names.join(", "));
            super::run::wrong::<()>(table, "executor", title, suggestion(&text, names));
            Executor::Local
        }),
    };
    (executor, slurm, commands)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use toml::de::DeTable;

    use super::super::table::Collector;
    use super::*;

    fn of(text: &str) -> ((Executor, Option<Slurm>, Option<Commands>), Vec<String>) {
        let faults = Collector::default();
        let root = DeTable::parse(text).unwrap();
        let run = executor(&Table::new("[run]", root.get_ref(), &faults));
        (run, faults.into_faults().into_iter().map(|fault| fault.title).collect())
    }

    #[test]
    fn every_key_of_slurm_is_read() {
        let ((executor, slurm, _), faults) = of("executor = \"slurm\"\n[slurm]\nmode = \"array\"\ntime = \"4h\"\n\
            concurrency = 8\nsetup = [\"module load cuda\"]\nenvironment = [\"HF_HOME\", \"A=b c\"]\npartition = \"gpu\"\n\
            account = \"nlp\"\nqos = \"high\"\ngpus = 1\ncpus = 4\nmem = \"16G\"\nconstraint = \"a100|h100\"\n\
            exclude = [\"n1\"]\noptions = [\"--reservation=night\"]");
        assert_eq!(faults, [""; 0]);
        let slurm = slurm.unwrap();
        assert_eq!((executor, slurm.jobs.mode, slurm.jobs.concurrency), (Executor::Slurm, Some(Mode::Array), Some(8)));
        assert_eq!(slurm.jobs.time, Some(Duration::from_secs(4 * 3600)));
        assert_eq!((slurm.partition.as_deref(), slurm.gpus, slurm.jobs.cpus), (Some("gpu"), Some(1), Some(4)));
        assert_eq!((slurm.mem.as_deref(), slurm.exclude, slurm.options.len()), (Some("16G"), vec!["n1".to_owned()], 1));
    }

    #[test]
    fn what_cannot_be_meant_is_told() {
        for (text, said) in [
            ("executor = \"slrum\"", "executor in [run] must be one of local, slurm, command"),
            ("[slurm]\ntime = \"30s\"", "time of a job must be a minute or more"),
            ("[slurm]\npartition = \"a b\"", "partition must be one plain word"),
            ("[slurm]\ngpus = 1\ngres = \"gpu:1\"", "gpus and gres both ask"),
            ("[slurm]\noptions = [\"--array=0-3\"]", "--array is what sweep says itself"),
            ("[slurm]\noptions = [\"night\"]", "\"night\" is no option"),
            ("[slurm]\nenvironment = [\"1A\"]", "\"1A\" names no variable"),
            ("[slurm]\npartion = \"a\"", "unknown key \"partion\""),
            ("[command]\nsubmit = \"a\"\nid = \"(a)\"\nlist = \"b\"\ncancel = \"c\"", "[run.command] has no line"),
            (
                "[command]\nsubmit = \"a\"\nid = \"a\"\nlist = \"b\"\nline = \"(?<id>a)(?<state>b)(?<name>c)\"\ncancel = \"c\"",
                "id in",
            ),
            ("[command]\nsubmit = \"a\"\nid = \"(a)\"\nlist = \"b\"\nline = \"(?<id>a)\"\ncancel = \"c\"", "line in"),
        ] {
            let (_, faults) = of(text);
            assert!(faults.len() == 1 && faults[0].starts_with(said), "{text}: {faults:?}");
        }
    }
}
