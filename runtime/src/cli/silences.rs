//! `tidegate silences`: of which alerts nobody wants to hear for a while.

use super::failure::Failure;
use super::screen::{Screen, count};
use super::server::{Server, Where};
use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};

/// What to do with which silences.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List silences, those first that hold (this is what happens without a word).
    List,
    /// Silence alerts for a while.
    Add {
        /// A query: alerts whose latest event it finds. `alert.rule`, `alert.key` and the like are attributes.
        query: String,
        /// For how long, such as 2h.
        #[arg(long = "for", value_name = "TIME")]
        span: String,
        /// Why.
        #[arg(long, default_value = "", value_name = "TEXT")]
        reason: String,
    },
    /// End silences before their time.
    Remove {
        /// The silences.
        #[arg(required = true)]
        ids: Vec<String>,
    },
}

/// Does it.
pub async fn go(args: Args, screen: &Screen) -> Result<(), Failure> {
    let server = Server::at(&args.place)?;
    match args.verb.unwrap_or(Verb::List) {
        Verb::List => {
            let mut answer = server.ask(Method::GET, server.url(&["silences"], &[]), None).await??;
            let silences = answer["silences"].take();
            if screen.json { screen.value(&silences) } else { list(&silences, screen) }
        }
        Verb::Add { query, span, reason } => {
            let wish = json!({ "query": query, "for": span, "reason": reason });
            let silence = server.tell(Method::POST, server.url(&["silences"], &[]), Some(&wish)).await??;
            match screen.json {
                true => screen.value(&silence),
                false => {
                    let [id, until] = ["id", "until"].map(|name| text(&silence[name]));
                    let kept = silence["matched"].as_u64().unwrap_or(0) as usize;
                    screen.line(format_args!("{id} until {until}, {} quiet", count(kept, "alert")))
                }
            }
        }
        Verb::Remove { ids } => {
            let mut answers = Vec::new();
            for id in &ids {
                answers.push(server.tell(Method::DELETE, server.url(&["silences", id], &[]), None).await??);
            }
            match screen.json {
                true => screen.value(&Value::Array(answers)),
                false => screen.line(format_args!("{} ended", count(answers.len(), "silence"))),
            }
        }
    }
}

fn list(silences: &Value, screen: &Screen) -> Result<(), Failure> {
    let silences = silences.as_array().map(Vec::as_slice).unwrap_or_default();
    if silences.is_empty() {
        return screen.line("no silences");
    }
    let rows: Vec<Vec<String>> = silences
        .iter()
        .map(|silence| {
            let mut row = ["id", "query", "by", "reason", "until"].map(|name| text(&silence[name])).to_vec();
            row.push(text(&silence["matched"]));
            row.push(if silence["expired"] == true { "ended".into() } else { String::new() });
            row
        })
        .collect();
    screen.table(&["id", "query", "by", "reason", "until", "alerts", ""], &rows)
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
