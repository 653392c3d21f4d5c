//! The program: hands over to the command line, and ends with the exit code that it gives.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidegate::cli::main()
}
