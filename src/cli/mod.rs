//! The command line: one file per subcommand. Everything may be used from here, and nothing uses it.

mod answer;
mod cancel;
mod compare;
mod completions;
mod devices;
mod disk;
mod doctor;
mod draft;
mod early;
mod exit;
mod explain;
mod export;
mod fetch;
mod figure;
mod fuse;
mod inputs;
mod layout;
mod logs;
mod methods;
mod models;
mod notify;
mod overlaps;
mod past;
mod pilot;
mod plan;
mod predict;
pub mod progress;
mod query;
mod recorded;
mod report;
mod rerun;
mod retention;
mod run;
mod slots;
mod speeds;
mod split;
mod stages;
mod status;
mod study;
mod submit_files;
mod table;
mod trained;
mod watch;
mod which;
mod work;
mod workspace;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

pub use exit::{Exit, Refusal};

pub use crate::frame::duration;

use crate::hub;
use crate::schedule::Silence;
use crate::spec::Faults;

/// Plan, run and report fine-tuning sweeps from one TOML file.
#[derive(Parser)]
#[command(name = "sweep", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show the runs of a sweep: which are new, done, failed before or stale, and how long they would take
    Plan(plan::Arguments),
    /// Train what is missing; the same command goes on where it stopped
    Run(run::Arguments),
    /// Try runs again that failed, whatever the cause or of one cause
    Rerun(rerun::Arguments),
    /// Get models and data from the hub, for a sweep or by name, so that it runs without a network
    Fetch(fetch::Arguments),
    /// Show the sweeps in the results folder and how far they are, or one of them in detail
    Status(status::Arguments),
    /// Look on while a sweep runs: its grid, its running runs, their logs
    Watch(watch::Arguments),
    /// Print what a run's worker wrote; -f waits for more
    Logs(logs::Arguments),
    /// End a run of a running sweep, or stop the sweep
    Cancel(cancel::Arguments),
    /// Say why a run waits, why it would be trained again or not, and what its id is made of
    Explain(explain::Arguments),
    /// Make tables, figures and a page from the records of a sweep
    Report(report::Arguments),
    /// Print one table of a sweep
    Table(table::Arguments),
    /// Draw one figure of a sweep, or list the figures
    Figure(figure::Arguments),
    /// Set two sweeps, two modes or two commits against each other: better, worse, cannot be told
    Compare(compare::Arguments),
    /// Ask the records in SQL; without a query, list the tables and their columns
    Query(query::Arguments),
    /// Write a run's trained model for transformers or PEFT, or a sweep's records for TensorBoard, MLflow, JSON lines
    Export(export::Arguments),
    /// Say what a trained model predicts for a text, a pair, or a file of them
    Predict(predict::Arguments),
    /// Write the test-set predictions of a sweep as the GLUE leaderboard wants them
    SubmitFiles(submit_files::Arguments),
    /// Say what is there and what is missing on this machine, with the command that mends it
    Doctor(doctor::Arguments),
    /// List the methods with their numbers and papers, or show one in full
    Methods(methods::Arguments),
    /// List the families of models, known checkpoints with their sizes, and what is on this machine
    Models(models::Arguments),
    /// Train runs of a sweep as a job of a cluster; called by the scripts of `sweep run --executor slurm`
    #[command(hide = true)]
    Pilot(pilot::Arguments),
    /// Print a completion script for a shell
    Completions(completions::Arguments),
}

/// Where things lie; each falls back to the environment, then to the sweep file's [run], then to a folder here.
#[derive(Args, Debug, Clone, Default)]
pub struct Places {
    /// Directory of data sets (GLUE layout); searched before ./data
    #[arg(long, env = "SWEEP_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Directory of model folders; searched before ./models
    #[arg(long, env = "SWEEP_MODELS", value_name = "DIR")]
    pub models: Option<PathBuf>,
    /// Where records lie [default: ./results]
    #[arg(long, env = "SWEEP_RESULTS", value_name = "DIR")]
    pub results: Option<PathBuf>,
    /// A [profile.<name>] of the sweep file; the sweep is then called <sweep>-<name>
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Use no network at all; HF_HUB_OFFLINE=1 does the same
    #[arg(long)]
    pub offline: bool,
}

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() };
        }
    };
    let outcome = match arguments.command {
        Command::Plan(arguments) => plan::main(&arguments),
        Command::Run(arguments) => run::main(&arguments),
        Command::Rerun(arguments) => rerun::main(&arguments),
        Command::Fetch(arguments) => fetch::main(&arguments),
        Command::Status(arguments) => status::main(&arguments),
        Command::Watch(arguments) => watch::main(&arguments),
        Command::Logs(arguments) => logs::main(&arguments),
        Command::Cancel(arguments) => cancel::main(&arguments),
        Command::Explain(arguments) => explain::main(&arguments),
        Command::Report(arguments) => report::main(&arguments),
        Command::Table(arguments) => table::main(&arguments),
        Command::Figure(arguments) => figure::main(&arguments),
        Command::Compare(arguments) => compare::main(&arguments),
        Command::Query(arguments) => query::main(&arguments),
        Command::Export(arguments) => export::main(&arguments),
        Command::Predict(arguments) => predict::main(&arguments),
        Command::SubmitFiles(arguments) => submit_files::main(&arguments),
        Command::Doctor(arguments) => doctor::main(&arguments),
        Command::Methods(arguments) => methods::main(&arguments),
        Command::Models(arguments) => models::main(&arguments),
        Command::Pilot(arguments) => pilot::main(&arguments),
        Command::Completions(arguments) => completions::main::<Arguments>(&arguments),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => explain(&error).into(),
    }
}

/// Prints an error where people look for it, and says whose it is.
fn explain(error: &anyhow::Error) -> Exit {
    let colours = std::io::stderr().is_terminal();
    if let Some(pipe) = error.downcast_ref::<std::io::Error>()
        && pipe.kind() == std::io::ErrorKind::BrokenPipe
    {
        return Exit::Done;
    }
    if let Some(faults) = error.downcast_ref::<Faults>() {
        complain(&faults.render(colours));
        return Exit::Usage;
    }
    if let Some(Silence::Stopped) = error.downcast_ref() {
        complain("stopped on request");
        return Exit::Interrupted;
    }
    if let Some(stopped @ hub::Error::Stopped) = error.downcast_ref() {
        complain(&stopped.to_string());
        return Exit::Interrupted;
    }
    complain(&format!("error: {error:#}"));
    if let Some(silence) = error.downcast_ref() {
        return if matches!(silence, Silence::Died(_)) { Exit::Broken } else { Exit::Usage };
    }
    // A file that cannot be read or written is the machine's state, not a fault of the program.
    let is_io = error.chain().any(|cause| cause.is::<std::io::Error>());
    if error.is::<Refusal>() || is_io { Exit::Usage } else { Exit::Broken }
}

/// A line for people on standard error.
pub fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A line on standard output.
///
/// # Errors
/// A closed pipe.
pub fn print(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}
