//! The command line: one file per verb, and what they share.
//!
//! Results go to standard output, talk goes to standard error, and `--json` turns results into JSON. How a command ended
//! is its exit code ([`Exit`]). A verb that asks a running node does so as any program could: over HTTP ([`server`]) or
//! Riemann's protocol ([`send`]). Only [`run`] starts a node.

mod alerts;
mod backtest;
mod bench;
mod build;
mod check;
mod compile;
mod completions;
mod dead_letters;
mod deploy;
mod doctor;
mod failure;
mod home;
mod log;
mod logging;
mod modules;
mod new;
mod output;
mod query;
mod record;
mod rollback;
mod rules;
mod run;
mod screen;
mod send;
mod server;
mod silences;
mod tap;
mod test;
mod watch;

use clap::{Parser, Subcommand};
use failure::{Exit, Failure};
use screen::Screen;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// A stream processor that speaks Riemann and runs rules as WebAssembly.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, arg_required_else_help = true, after_help = CODES)]
struct Cli {
    /// Give results as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

const CODES: &str = "\
Exit codes: 0 fine, 1 it failed, 2 wrong use, 3 wrong configuration or module, 4 no server, 5 refused by the server's \
policy, 70 a bug in tidegate, 130 interrupted.";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run a node.
    Run(run::Args),
    /// Check the configuration, and modules, without starting anything.
    Check(check::Args),
    /// Start a new rule: a crate with one rule and one test.
    New(new::Args),
    /// Build a rule into a module.
    Build(build::Args),
    /// Run a rule's tests natively, and again in the sandbox.
    Test(test::Args),
    /// Try a rule on recorded events, and see what it would have said.
    Backtest(backtest::Args),
    /// Deploy a module on a running node.
    Deploy(deploy::Args),
    /// Put an earlier deployment of a rule back.
    Rollback(rollback::Args),
    /// List, show, pause, resume or remove rules; end trials.
    Rules(rules::Args),
    /// List the modules that a node keeps, or let go of those that nothing uses.
    Modules(modules::Args),
    /// List alerts, show one, say that you care for it or that it is over.
    Alerts(alerts::Args),
    /// List silences, silence alerts for a while, end that.
    Silences(silences::Args),
    /// List, show, send again or remove events that rules choked on or outputs gave up.
    DeadLetters(dead_letters::Args),
    /// Try an output of the configuration: send events once, or show what would be sent.
    Output(output::Args),
    /// Ask the index, once or again and again.
    Query(query::Args),
    /// Watch events as they come.
    Tap(tap::Args),
    /// Say what is wrong here, and what to do about it.
    Doctor(doctor::Args),
    /// Record a running node's events into a file.
    Record(record::Args),
    /// Send events over Riemann's protocol.
    Send(send::Args),
    /// Verify, measure and export the log of a data directory.
    Log(log::Args),
    /// Measure this machine.
    Bench(bench::Args),
    /// Print completions for a shell.
    Completions(completions::Args),
    /// Compile a module, for a node that wants it done in another process.
    #[command(name = compile::VERB, hide = true)]
    Compile,
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way as well, and are no errors.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { ExitCode::SUCCESS };
        }
    };
    let screen = Screen::new(cli.json);
    // What panicked and where has been printed by the panic hook.
    match catch_unwind(AssertUnwindSafe(|| cli.verb.go(&screen))) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => failure.end(),
        Err(_) => {
            eprintln!("error: this is a bug in tidegate, please report it with the lines above");
            Exit::Bug.into()
        }
    }
}

impl Verb {
    fn go(self, screen: &Screen) -> Result<(), Failure> {
        match self {
            Self::Run(args) => run::go(args, screen),
            Self::Check(args) => check::go(&args, screen),
            Self::Compile => compile::go(),
            Self::New(args) => new::go(&args, screen),
            Self::Build(args) => build::go(&args, screen),
            Self::Test(args) => test::go(&args, screen),
            Self::Backtest(args) => backtest::go(&args, screen),
            Self::Deploy(args) => wait(deploy::go(args, screen)),
            Self::Rollback(args) => wait(rollback::go(args, screen)),
            Self::Rules(args) => wait(rules::go(args, screen)),
            Self::Modules(args) => wait(modules::go(args, screen)),
            Self::Alerts(args) => wait(alerts::go(args, screen)),
            Self::Silences(args) => wait(silences::go(args, screen)),
            Self::DeadLetters(args) => wait(dead_letters::go(args, screen)),
            Self::Output(args) => wait(output::go(args, screen)),
            Self::Query(args) => wait(query::go(args, screen)),
            Self::Tap(args) => wait(tap::go(args, screen)),
            Self::Doctor(args) => wait(doctor::go(args, screen)),
            Self::Record(args) => wait(record::go(args, screen)),
            Self::Send(args) => wait(send::go(args, screen)),
            Self::Log(args) => log::go(&args, screen),
            Self::Bench(args) => bench::go(args, screen),
            Self::Completions(args) => completions::go(&args, screen),
        }
    }
}

/// Runs a client's few calls on this thread.
fn wait(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_argument_says_what_it_is_for() {
        fn look(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{} says nothing", command.get_name());
            for argument in command.get_arguments() {
                assert!(
                    argument.get_help().is_some(),
                    "{} {} says nothing",
                    command.get_name(),
                    argument.get_id()
                );
            }
            command.get_subcommands().for_each(look);
        }
        look(&Cli::command());
    }
}
