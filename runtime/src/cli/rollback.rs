//! `tidegate rollback`: puts an earlier deployment of a rule back.

use super::failure::Failure;
use super::screen::Screen;
use super::server::{Server, Terms, Where};
use reqwest::Method;

/// What goes back, and how far.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The rule.
    name: String,
    /// The generation to go back to; the last one that was in force and not found bad if left out.
    #[arg(long, value_name = "GENERATION")]
    to: Option<u64>,
    /// Why, for those who look at the rule's history.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    terms: Terms,
    #[command(flatten)]
    place: Where,
}

/// Goes back, and tells what became of it.
pub async fn go(args: Args, screen: &Screen) -> Result<(), Failure> {
    let server = Server::at(&args.place)?;
    let to = args.to.map(|to| to.to_string());
    let params: Vec<(&str, &str)> = [("to", &to), ("reason", &args.reason)]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
        .collect();
    let url = server.url(&["rules", &args.name, "rollback"], &params);
    let answer = server.change(Method::POST, url, &args.terms, None).await??;
    if screen.json { screen.value(&answer) } else { screen.line(super::deploy::describe(&answer, false)) }
}
