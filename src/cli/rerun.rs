//! `sweep rerun FILE --failed`: try again what failed.

use anyhow::Result;

use super::Exit;
use super::run::{self, Wanted};
use crate::record::Class;

#[derive(clap::Args)]
pub struct Arguments {
    /// Runs that failed, whatever the cause
    #[arg(long, required_unless_present = "cause")]
    failed: bool,
    /// Runs that failed of these causes: oom, diverged, timeout, crashed, killed, preempted, disk-full, bad-data,
    /// environment, cancelled
    #[arg(long, value_name = "CAUSES", value_delimiter = ',')]
    cause: Vec<Class>,
    #[command(flatten)]
    run: run::Arguments,
}

pub fn main(arguments: &Arguments) -> Result<Exit> {
    run::go(&arguments.run, &Wanted::Failed(arguments.cause.clone()))
}
