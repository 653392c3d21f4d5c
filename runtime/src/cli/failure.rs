//! How the program ends badly: an exit code that scripts can rely on, and a line that says why.

use std::fmt;
use std::io;
use std::process::ExitCode;

/// The ways in which a command can end badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// What was asked for did not work out.
    Failed = 1,
    /// The command line, or a query in it, is wrong.
    Usage = 2,
    /// The configuration or the module is wrong.
    Invalid = 3,
    /// No server answers.
    Unreachable = 4,
    /// The server does not let us.
    Refused = 5,
    /// We made a mistake.
    Bug = 70,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command ends, and how.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    error: anyhow::Error,
}

impl Failure {
    /// An end with this code and this reason.
    pub fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self { exit, error: error.into() }
    }

    /// The same from text.
    pub fn say(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, error: anyhow::anyhow!("{message}") }
    }

    /// How it ends.
    #[cfg(test)]
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// Prints the reason, and gives the code.
    pub fn end(self) -> ExitCode {
        // Whoever read our output has seen enough: `tidegate query … | head -1` worked.
        if self
            .error
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
        {
            return ExitCode::SUCCESS;
        }
        eprint!("{self}");
        self.exit.into()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.error.to_string();
        // Some errors are drawn, over several lines, and have named themselves already.
        if text.starts_with("error: ") {
            writeln!(f, "{text}")?;
        } else {
            writeln!(f, "error: {text}")?;
        }
        for cause in self.error.chain().skip(1) {
            writeln!(f, "  because: {cause}")?;
        }
        Ok(())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self { exit: Exit::Failed, error }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self { exit: Exit::Failed, error: error.into() }
    }
}

/// Gives errors an exit code.
pub trait OrExit<T> {
    /// The value, or the end of the command with this code.
    fn or_exit(self, exit: Exit) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> OrExit<T> for Result<T, E> {
    fn or_exit(self, exit: Exit) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(exit, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn an_error_is_a_line_and_each_cause_another() {
        let error = Err::<(), _>(io::Error::other("disk on fire")).context("x.wasm cannot be read");
        let failure = error.or_exit(Exit::Invalid).unwrap_err();
        assert_eq!(failure.to_string(), "error: x.wasm cannot be read\n  because: disk on fire\n");
    }

    #[test]
    fn drawn_errors_are_printed_as_they_are() {
        assert_eq!(Failure::say(Exit::Usage, "error: here\n ^").to_string(), "error: here\n ^\n");
    }
}
