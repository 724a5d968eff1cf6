//! Slurm, by its own commands. Source: the manual pages of 22.05 to 24.11; what is said here of its behaviour was seen.

mod rows;
mod script;
mod state;

use std::cell::OnceCell;
use std::path::Path;
use std::process::Command;

pub use script::{Call, script};

use super::shell::{Said, call};
use super::{Engine, Seen, Submit, Trouble};

/// Slurm's own standard of MaxArraySize.
const ARRAY: u32 = 1001;
/// How far back accounting is asked: without a beginning it begins at midnight.
const PAST: &str = "now-30days";

/// Slurm as this machine reaches it.
#[derive(Default)]
pub struct Slurm {
    config: OnceCell<String>,
    /// Nodes that the user wants no job on.
    unwanted: Vec<String>,
}

impl Slurm {
    /// Slurm with its limits.
    ///
    /// # Errors
    /// Its commands are not here, or the controller does not answer.
    pub fn open() -> Result<Slurm, Trouble> {
        let slurm = Slurm::default();
        slurm.config()?;
        Ok(slurm)
    }

    /// The same, and these nodes stay excluded whatever else is.
    pub fn without(self, unwanted: &[String]) -> Slurm {
        Slurm { unwanted: unwanted.to_vec(), ..self }
    }

    fn config(&self) -> Result<&str, Trouble> {
        if let Some(config) = self.config.get() {
            return Ok(config);
        }
        let said = well(call(program("scontrol", &["show", "config"]))?, "scontrol show config")?;
        Ok(self.config.get_or_init(|| said.out))
    }

    /// A value of `scontrol show config`.
    fn setting(&self, key: &str) -> Option<&str> {
        let pairs = self.config.get()?.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(name, value)| (name.trim(), value.trim())).find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    fn accounts(&self) -> bool {
        self.setting("AccountingStorageType").is_some_and(|kind| !kind.ends_with("none") && kind != "(null)")
    }
}

impl Engine for Slurm {
    fn describe(&self) -> String {
        let version = self.setting("SLURM_VERSION").unwrap_or("of unknown version");
        let cluster = self.setting("ClusterName").unwrap_or("unnamed");
        format!("Slurm {version} (cluster {cluster})")
    }

    fn submit(&self, order: &Submit) -> Result<String, Trouble> {
        let said = well(call(program("sbatch", &["--parsable", &path(&order.script)]))?, "sbatch")?;
        // `id` or `id;cluster`.
        let id = said.out.lines().last().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_owned();
        if id.is_empty() || !id.chars().all(|c| c.is_ascii_digit()) {
            return Err(Trouble::Silent(format!("sbatch gave no job id: {}", said.complaint())));
        }
        Ok(id)
    }

    fn list(&self, names: &[String]) -> Result<Vec<Seen>, Trouble> {
        let names = format!("--name={}", names.join(","));
        let said = call(program("squeue", &["-h", "-a", "-r", "-t", "all", &names, "-o", rows::SQUEUE]))?;
        Ok(rows::squeue(&well(said, "squeue")?.out))
    }

    fn past(&self, names: &[String]) -> Result<Vec<Seen>, Trouble> {
        if !self.accounts() {
            return Ok(Vec::new());
        }
        let (names, fields) = (format!("--name={}", names.join(",")), format!("--format={}", rows::SACCT));
        let since = format!("--starttime={PAST}");
        let arguments = ["-X", "-P", "-n", "--array", "-D", &fields, &names, &since, "--endtime=now"];
        Ok(rows::sacct(&well(call(program("sacct", &arguments))?, "sacct")?.out))
    }

    fn down(&self, nodes: &[String]) -> Result<Vec<String>, Trouble> {
        let names = format!("--nodes={}", nodes.join(","));
        let said = well(call(program("sinfo", &["-h", "-N", &names, "-o", "%N|%T"]))?, "sinfo")?;
        // `down*` is a node that does not answer.
        let is_down = |state: &str| ["down", "fail", "error", "unknown"].iter().any(|word| state.starts_with(word));
        let rows = said.out.lines().filter_map(|line| line.split_once('|'));
        Ok(rows.filter(|(_, state)| is_down(state) || state.ends_with('*')).map(|(node, _)| node.to_owned()).collect())
    }

    fn exclude(&self, jobs: &[String], nodes: &[String]) -> Result<(), Trouble> {
        // The list of a job is replaced, not added to.
        let all: Vec<&str> = self.unwanted.iter().chain(nodes).map(String::as_str).collect();
        let list = format!("ExcNodeList={}", all.join(","));
        for job in jobs {
            let said = call(program("scontrol", &["update", &format!("JobId={job}"), &list]))?;
            // Tasks that run or have ended keep their list, and scontrol complains of them.
            if !said.is_well && said.err.contains("Unable to contact") {
                return Err(Trouble::Silent(said.complaint()));
            }
        }
        Ok(())
    }

    fn cancel(&self, jobs: &[String]) -> Result<(), Trouble> {
        let jobs: Vec<&str> = jobs.iter().map(String::as_str).collect();
        let said = call(program("scancel", &jobs))?;
        // One that is over already is as good as cancelled.
        if said.is_well || said.err.contains("Invalid job id") {
            return Ok(());
        }
        well(said, "scancel").map(drop)
    }

    fn estimate(&self, order: &Submit) -> Result<String, Trouble> {
        let said = well(call(program("sbatch", &["--test-only", &path(&order.script)]))?, "sbatch --test-only")?;
        // `sbatch: Job 5 to start at 2026-11-26T10:00:00 using 1 processors on nodes n1 in partition main`
        Ok(said.complaint().trim_start_matches("sbatch: ").to_owned())
    }

    fn most_tasks(&self) -> u32 {
        // The highest index must lie below it.
        let most = self.setting("MaxArraySize").and_then(|most| most.parse::<u32>().ok()).unwrap_or(ARRAY);
        most.saturating_sub(1).max(1)
    }
}

/// A command of Slurm without what a job around us says of itself: sbatch would take its options from there.
fn program(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.args(arguments);
    for (variable, _) in std::env::vars_os() {
        let variable = variable.to_string_lossy().into_owned();
        let is_of_a_job =
            ["SLURM_", "SBATCH_", "SQUEUE_", "SACCT_", "SCANCEL_"].iter().any(|p| variable.starts_with(p));
        if is_of_a_job && variable != "SLURM_CONF" {
            command.env_remove(variable);
        }
    }
    // Dates and numbers as they are read here.
    command.env("LC_ALL", "C").env("SLURM_TIME_FORMAT", "standard");
    command
}

/// What Slurm complained of, by what can be done about it.
fn well(said: Said, name: &str) -> Result<Said, Trouble> {
    if said.is_well {
        return Ok(said);
    }
    let complaint = format!("{name}: {}", said.complaint());
    let says = |words: &[&str]| words.iter().any(|word| complaint.contains(word));
    /// The controller is busy, away or being started anew; what was asked may have gone through.
    const SILENT: [&str; 10] = [
        "Socket timed out",
        "Unexpected message",
        "Unable to contact slurm controller",
        "Connection refused",
        "Connection timed out",
        "Zero Bytes were transmitted",
        "Transport endpoint",
        "Resource temporarily unavailable",
        "Slurm backup controller",
        "Insane message length",
    ];
    /// Limits of the site, the association or the user.
    const TOO_MUCH: [&str; 6] = [
        "MaxSubmitJob",
        "Job violates accounting/QOS policy",
        "QOSMaxSubmitJobPerUserLimit",
        "AssocMaxSubmitJobLimit",
        "Invalid job array specification",
        "job submit limit",
    ];
    Err(match () {
        () if says(&SILENT) => Trouble::Silent(complaint),
        () if says(&TOO_MUCH) => Trouble::TooMuch(complaint),
        () => Trouble::Refused(complaint),
    })
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

/// A text as one word of the shell.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(err: &str) -> Trouble {
        let said = Said { is_well: false, err: err.to_owned(), ..Said::default() };
        well(said, "sbatch").expect_err("it is not well")
    }

    #[test]
    fn complaints_are_told_apart_by_what_can_be_done() {
        assert!(matches!(
            of("sbatch: error: Batch job submission failed: Socket timed out on send/recv"),
            Trouble::Silent(_)
        ));
        assert!(matches!(of("Unable to contact slurm controller (connect failure)"), Trouble::Silent(_)));
        assert!(matches!(of("Batch job submission failed: Job violates accounting/QOS policy"), Trouble::TooMuch(_)));
        let refused =
            of("sbatch: error: invalid partition specified: gpuu\nsbatch: error: Batch job submission failed");
        let said =
            "sbatch: sbatch: error: invalid partition specified: gpuu; sbatch: error: Batch job submission failed";
        assert_eq!(refused, Trouble::Refused(said.to_owned()));
    }

    #[test]
    fn limits_are_read_from_the_configuration() {
        let config = "Configuration data as of 2026-11-26T10:00:00\nAccountingStorageType   = accounting_storage/none\n\
            ClusterName             = ci\nMaxArraySize            = 10001\nSLURM_VERSION           = 22.05.8\n";
        let slurm = Slurm { config: OnceCell::from(config.to_owned()), ..Slurm::default() };
        assert_eq!((slurm.most_tasks(), slurm.accounts()), (10_000, false));
        assert_eq!(slurm.describe(), "Slurm 22.05.8 (cluster ci)");
        assert_eq!(Slurm::default().most_tasks(), 1000);
    }
}
