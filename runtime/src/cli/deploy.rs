//! `tidegate deploy`: hands a module to a running node.

use super::failure::{Exit, Failure, OrExit};
use super::screen::{Screen, bytes, count};
use super::server::{Server, Terms, Where};
use anyhow::Context;
use reqwest::Method;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// What is deployed, and how it is to run.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The module, as `tidegate build` writes it, or the name of a rule inside the program, such as `standard`.
    #[arg(value_name = "RULE.wasm")]
    file: PathBuf,
    /// The rule's name; the module's own if left out.
    #[arg(long)]
    name: Option<String>,
    /// Which events it gets, instead of the module's own query.
    #[arg(long = "where", value_name = "QUERY")]
    query: Option<String>,
    /// What gets its own copy of the rule's state: stream, host, service, whole or attribute:NAME.
    #[arg(long, value_name = "KEY")]
    per: Option<String>,
    /// Set a parameter; may be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// Set a parameter to what a file holds; without a name, the parameter that is called like the file.
    #[arg(long, value_name = "[NAME=]FILE", value_parser = from_file)]
    set_file: Vec<(String, String)>,
    /// Send one of the rule's outputs to a configured one; may be given several times.
    #[arg(long, value_name = "OUTPUT=NAME", value_parser = pair)]
    to: Vec<(String, String)>,
    /// Check everything and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Try it beside the rule of that name: what it asks for is compared and held back.
    #[arg(long, conflicts_with = "canary")]
    shadow: bool,
    /// Try it beside the rule of that name: it speaks for this share of the keys.
    #[arg(long, value_name = "PERCENT")]
    canary: Option<String>,
    /// Promote what is tried after this time if it does well; 10m for a canary, 0 for never, as for a shadow.
    #[arg(long, value_name = "TIME")]
    promote_after: Option<String>,
    /// Take it back if it does badly within this time after it took over; 10m unless given, 0 for never.
    #[arg(long, value_name = "TIME", conflicts_with_all = ["shadow", "canary"])]
    watch: Option<String>,
    /// Forget what the keys of the rule before it remember.
    #[arg(long)]
    reset_state: bool,
    /// Read this much of the log first.
    #[arg(long, value_name = "TIME")]
    backfill: Option<String>,
    #[command(flatten)]
    terms: Terms,
    #[command(flatten)]
    place: Where,
}

/// Splits `name=value` at the first `=`.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("NAME=VALUE was expected".to_owned()),
    }
}

/// Reads `[name=]file`: the parameter, and what the file holds.
pub fn from_file(text: &str) -> Result<(String, String), String> {
    let (name, file) = match text.split_once('=') {
        Some((name, file)) => (name.to_owned(), Path::new(file)),
        None => {
            let file = Path::new(text);
            (file.file_stem().unwrap_or_default().to_string_lossy().into_owned(), file)
        }
    };
    let value = std::fs::read_to_string(file)
        .map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    Ok((name, value))
}

/// Deploys, and tells what became of it.
pub async fn go(args: Args, screen: &Screen) -> Result<(), Failure> {
    let file = args.file.display();
    let wasm = super::check::read_module(&args.file)?;
    if args.promote_after.is_some() && !args.shadow && args.canary.is_none() {
        return Err(Failure::say(Exit::Usage, "--promote-after goes with --shadow or --canary"));
    }
    // Looked at here first: a refusal needs no server, and the name comes from the module.
    let inspected =
        tidegate_wasm::inspect(&wasm).with_context(|| format!("{file} is refused")).or_exit(Exit::Invalid)?;
    let name = args.name.as_deref().unwrap_or(&inspected.manifest.name);
    let server = Server::at(&args.place)?;
    let params = args.params();
    let params: Vec<(&str, &str)> =
        params.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let url = server.url(&["rules", name], &params);
    let answer = server.change(Method::PUT, url, &args.terms, Some(wasm)).await??;
    match screen.json {
        true => screen.value(&answer),
        false => {
            let tried = if args.is_tried() && !args.dry_run { ", tried beside the rule" } else { "" };
            screen.line(describe(&answer, args.dry_run) + tried)
        }
    }
}

impl Args {
    fn params(&self) -> Vec<(String, String)> {
        let mut params = Vec::new();
        let mut add = |name: String, value: &str| params.push((name, value.to_owned()));
        // How long it is watched, and how long it is tried before it is promoted, is one thing to the node.
        let watch = if self.is_tried() { &self.promote_after } else { &self.watch };
        let given = [
            ("query", &self.query),
            ("per", &self.per),
            ("canary", &self.canary),
            ("watch", watch),
            ("backfill", &self.backfill),
        ];
        for (name, value) in given {
            if let Some(value) = value {
                add(name.to_owned(), value);
            }
        }
        self.set.iter().chain(&self.set_file).for_each(|(name, value)| add(format!("set.{name}"), value));
        self.to.iter().for_each(|(name, value)| add(format!("to.{name}"), value));
        for (name, flag) in
            [("dry_run", self.dry_run), ("shadow", self.shadow), ("reset_state", self.reset_state)]
        {
            if flag {
                add(name.to_owned(), "true");
            }
        }
        params
    }

    fn is_tried(&self) -> bool {
        self.shadow || self.canary.is_some()
    }
}

/// What became of a deployment, in a line.
pub fn describe(deployed: &Value, dry_run: bool) -> String {
    let text = |name: &str| deployed[name].as_str().unwrap_or("?").to_owned();
    let number = |name: &str| deployed[name].as_u64().unwrap_or_default();
    let (name, version, generation) = (text("name"), text("version"), number("generation"));
    let size = bytes(number("bytes"));
    if dry_run {
        return format!(
            "{name} {version} can be deployed, as generation {generation} ({size}); nothing was changed"
        );
    }
    let shards = count(number("shards") as usize, "shard");
    let (position, millis) = (number("position"), number("millis"));
    format!(
        "{name} {version} generation {generation} active at position {position} on {shards} in {millis} ms ({size})"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_deployment_is_told_in_a_line() {
        let deployed = json!({
            "name": "slow-api", "version": "0.1.0", "generation": 3, "position": 812, "shards": 2, "millis": 96,
            "bytes": 38_500,
        });
        assert_eq!(
            describe(&deployed, false),
            "slow-api 0.1.0 generation 3 active at position 812 on 2 shards in 96 ms (38 KiB)"
        );
        assert_eq!(
            describe(&deployed, true),
            "slow-api 0.1.0 can be deployed, as generation 3 (38 KiB); nothing was changed"
        );
    }

    #[test]
    fn a_pair_is_split_at_its_first_equals_sign() {
        assert_eq!(pair("q=a = b"), Ok(("q".into(), "a = b".into())));
        assert!(pair("q").is_err() && pair("=q").is_err());
    }
}
