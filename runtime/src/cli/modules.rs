//! `tidegate modules`: which modules a node keeps, and letting go of those that nothing uses.

use super::failure::Failure;
use super::screen::{Screen, bytes, count};
use super::server::{Server, Where};
use clap::Subcommand;
use reqwest::Method;
use serde_json::Value;

/// What to do.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List all modules (this is what happens without a word).
    List,
    /// Let go of modules that no rule, trial or earlier generation has used for as long as the log goes back.
    Gc {
        /// Of all that are not used now, however short a time ago they were.
        #[arg(long)]
        all: bool,
    },
}

/// Does it.
pub async fn go(args: Args, screen: &Screen) -> Result<(), Failure> {
    let server = Server::at(&args.place)?;
    match args.verb.unwrap_or(Verb::List) {
        Verb::List => {
            let answer = server.ask(Method::GET, server.url(&["modules"], &[]), None).await??;
            if screen.json { screen.value(&answer) } else { list(&answer, screen) }
        }
        Verb::Gc { all } => {
            let params: &[(&str, &str)] = if all { &[("all", "true")] } else { &[] };
            let answer = server.ask(Method::POST, server.url(&["modules", "gc"], params), None).await??;
            match screen.json {
                true => screen.value(&answer),
                false => screen.line(collected(&answer)),
            }
        }
    }
}

fn list(answer: &Value, screen: &Screen) -> Result<(), Failure> {
    let modules = answer["modules"].as_array().map(Vec::as_slice).unwrap_or_default();
    if modules.is_empty() {
        return screen.line("no modules");
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let row = |module: &Value| {
        let rules: Vec<String> = module["used_by"].as_array().into_iter().flatten().map(text).collect();
        vec![
            text(&module["module"]),
            bytes(module["bytes"].as_u64().unwrap_or_default()),
            text(&module["last_used"]),
            if rules.is_empty() { "-".to_owned() } else { rules.join(", ") },
        ]
    };
    let rows: Vec<Vec<String>> = modules.iter().map(row).collect();
    screen.table(&["module", "size", "last used", "used by"], &rows)
}

fn collected(answer: &Value) -> String {
    let modules = answer["modules"].as_array().map_or(0, Vec::len);
    match modules {
        0 => "nothing to let go".to_owned(),
        n => {
            let size = bytes(answer["bytes"].as_u64().unwrap_or_default());
            format!("{} let go ({size})", count(n, "module"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_was_let_go_is_told_in_a_line() {
        assert_eq!(collected(&json!({ "modules": [], "bytes": 0 })), "nothing to let go");
        assert_eq!(collected(&json!({ "modules": ["a"], "bytes": 38_500 })), "1 module let go (38 KiB)");
    }
}
