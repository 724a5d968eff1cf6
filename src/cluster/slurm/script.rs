//! The batch script of a submission: all that sbatch is told stands in it, so that who reads it knows what was asked for.

use std::path::Path;
use std::time::Duration;

use crate::spec::cluster::Slurm;

/// What a job is called with besides what the sweep file says.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    pub name: &'a str,
    /// The line that becomes the job: `'/shared/bin/sweep' pilot …`, without what tells the task.
    pub program: &'a str,
    /// `cluster/log/3-%a.log`.
    pub log: &'a Path,
    pub tasks: u32,
    pub at_once: u32,
    pub exclude: &'a [String],
    pub time: Duration,
    /// How long before its end a job is told.
    pub warning: Duration,
}

/// Variables that every job gets as they are where it is submitted.
const ALWAYS: [&str; 5] = ["HOME", "USER", "PATH", "LANG", "SLURM_CONF"];

pub fn script(slurm: &Slurm, call: &Call) -> String {
    let mut lines = vec!["#!/bin/bash".to_owned()];
    let mut option = |text: String| lines.push(format!("#SBATCH {text}"));
    option(format!("--job-name={}", call.name));
    option(format!("--array=0-{}%{}", call.tasks - 1, call.at_once));
    option(format!("--time={}", minutes(call.time)));
    option(format!("--output=\"{}\"", call.log.display()));
    option("--open-mode=append".to_owned());
    option("--requeue".to_owned());
    option("--kill-on-invalid-dep=yes".to_owned());
    option(format!("--signal=B:USR2@{}", call.warning.as_secs()));
    let named: [(&str, Option<String>); 8] = [
        ("partition", slurm.partition.clone()),
        ("account", slurm.account.clone()),
        ("qos", slurm.qos.clone()),
        ("gres", slurm.gres.clone()),
        ("gpus", slurm.gpus.map(|count| count.to_string())),
        ("cpus-per-task", slurm.jobs.cpus.map(|count| count.to_string())),
        ("mem", slurm.mem.clone()),
        ("constraint", slurm.constraint.as_ref().map(|text| format!("\"{text}\""))),
    ];
    for (name, value) in named {
        if let Some(value) = value {
            option(format!("--{name}={value}"));
        }
    }
    let excluded: Vec<&str> = slurm.exclude.iter().chain(call.exclude).map(String::as_str).collect();
    if !excluded.is_empty() {
        option(format!("--exclude={}", excluded.join(",")));
    }
    slurm.options.iter().for_each(|text| option(text.clone()));
    let names = slurm.jobs.environment.iter().filter(|variable| !variable.contains('=')).map(String::as_str);
    let names: Vec<&str> = ALWAYS.into_iter().chain(names).collect();
    option(format!("--export={}", names.join(",")));
    lines.push(String::new());
    for (name, text) in slurm.jobs.environment.iter().filter_map(|variable| variable.split_once('=')) {
        lines.push(format!("export {name}={}", super::quoted(text)));
    }
    lines.extend(slurm.jobs.setup.iter().cloned());
    let own = "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}";
    // By `exec` the batch shell becomes the program, which is then the one that the signal reaches.
    lines.push(format!(
        "exec {} --task \"$SLURM_ARRAY_TASK_ID\" --job \"{own}\" --cpus \"${{SLURM_CPUS_PER_TASK:-1}}\" \\\n  \
         --node \"${{SLURMD_NODENAME:-}}\" --requeue \"scontrol requeue {own}\"",
        call.program
    ));
    lines.join("\n") + "\n"
}

/// Whole minutes, which Slurm counts in, rounded up.
fn minutes(time: Duration) -> u64 {
    time.as_secs().div_ceil(60).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::cluster::Jobs;

    #[test]
    fn the_script_says_all_that_was_asked_for() {
        let jobs = Jobs {
            setup: vec!["module load cuda".into()],
            environment: vec!["HF_HOME".into(), "WORDS=it's, here".into()],
            ..Jobs::default()
        };
        let slurm = Slurm {
            jobs,
            partition: Some("gpu".into()),
            gpus: Some(1),
            constraint: Some("a100|h100".into()),
            exclude: vec!["n7".into()],
            options: vec!["--reservation=night".into()],
            ..Slurm::default()
        };
        let call = Call {
            name: "sweep-x.1",
            program: "'/bin/sweep' pilot '/r/glue/cluster' --submission 1",
            log: Path::new("/r/a b/1-%a.log"),
            tasks: 4,
            at_once: 2,
            exclude: &["n9".to_owned()],
            time: Duration::from_secs(3601),
            warning: Duration::from_secs(120),
        };
        let text = script(&slurm, &call);
        for line in [
            "#SBATCH --array=0-3%2",
            "#SBATCH --time=61",
            "#SBATCH --output=\"/r/a b/1-%a.log\"",
            "#SBATCH --signal=B:USR2@120",
            "#SBATCH --partition=gpu",
            "#SBATCH --gpus=1",
            "#SBATCH --constraint=\"a100|h100\"",
            "#SBATCH --exclude=n7,n9",
            "#SBATCH --reservation=night",
            "#SBATCH --export=HOME,USER,PATH,LANG,SLURM_CONF,HF_HOME",
            "export WORDS='it'\\''s, here'",
            "module load cuda",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        let last = text.split("\nexec ").last().unwrap_or_default();
        assert!(last.starts_with("'/bin/sweep' pilot") && last.contains("--requeue \"scontrol requeue"), "{last}");
    }
}
