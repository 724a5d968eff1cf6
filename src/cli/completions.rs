//! `sweep completions SHELL`

use anyhow::Result;
use clap::CommandFactory;
use clap_complete::Shell;

use super::Exit;

#[derive(clap::Args)]
pub struct Arguments {
    shell: Shell,
}

pub fn main<C: CommandFactory>(arguments: &Arguments) -> Result<Exit> {
    clap_complete::generate(arguments.shell, &mut C::command(), "sweep", &mut std::io::stdout());
    Ok(Exit::Done)
}
