//! `tidegate completions`: a script that lets a shell complete our commands.

use super::Cli;
use super::failure::{Exit, Failure};
use super::screen::Screen;
use clap::CommandFactory;
use clap_complete::{Shell, generate};

/// For which shell.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script.
pub fn go(args: &Args, screen: &Screen) -> Result<(), Failure> {
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "tidegate", &mut script);
    let script = String::from_utf8(script).map_err(|error| Failure::new(Exit::Bug, error))?;
    screen.line(script.trim_end())
}
