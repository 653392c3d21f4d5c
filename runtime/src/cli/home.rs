//! The folder in which the command line keeps what it can make again: the SDK's sources and what was compiled of them.

use super::failure::{Exit, Failure};
use std::path::PathBuf;

/// Moves it elsewhere.
const VARIABLE: &str = "TIDEGATE_HOME";

/// `TIDEGATE_HOME`, else `~/.tidegate`.
pub fn folder() -> Result<PathBuf, Failure> {
    let named = std::env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    let folder =
        named.or_else(|| std::env::home_dir().map(|home| home.join(".tidegate"))).ok_or_else(|| {
            Failure::say(
                Exit::Failed,
                format!("there is no home directory: set {VARIABLE} to a folder of your own"),
            )
        })?;
    Ok(std::path::absolute(folder)?)
}
