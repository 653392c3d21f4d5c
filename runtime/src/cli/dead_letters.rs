//! `tidegate dead-letters`: events that rules choked on or outputs gave up, and sending them on their way again.

use super::failure::Failure;
use super::screen::{Screen, count, plain};
use super::server::{Server, Where};
use clap::Subcommand;
use reqwest::Method;
use serde_json::Value;

/// Letters asked for at once.
const PAGE: &str = "1000";

/// What to do with which letters.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Default, clap::Args)]
struct Filter {
    /// Only letters of this rule.
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
    /// Only letters of this output.
    #[arg(long, value_name = "NAME")]
    output: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the letters, the oldest first (this is what happens without a word).
    List(Filter),
    /// Show all there is to know about a letter.
    Show {
        /// The letter.
        id: String,
    },
    /// Send letters again: what a rule choked on comes in again as an event with the tag `dead-letter`, what an output gave
    /// up goes back into its line. Each is removed once it is safe there.
    Replay {
        /// The letters.
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Remove letters for good.
    Remove {
        /// The letters.
        #[arg(required = true)]
        ids: Vec<String>,
    },
}

/// Does it.
pub async fn go(args: Args, screen: &Screen) -> Result<(), Failure> {
    let server = Server::at(&args.place)?;
    match args.verb.unwrap_or(Verb::List(Filter::default())) {
        Verb::List(filter) => {
            let letters = all(&server, &filter).await?;
            if screen.json { screen.value(&Value::Array(letters)) } else { list(&letters, screen) }
        }
        Verb::Show { id } => {
            let url = server.url(&["dead-letters", &id], &[]);
            let letter = server.ask(Method::GET, url, None).await??;
            if screen.json { screen.value(&letter) } else { show(&letter, screen) }
        }
        Verb::Replay { ids } => each(&server, screen, Method::POST, &ids, &["replay"], "sent again").await,
        Verb::Remove { ids } => each(&server, screen, Method::DELETE, &ids, &[], "removed").await,
    }
}

/// All letters: a node hands out so many at a time.
async fn all(server: &Server, filter: &Filter) -> Result<Vec<Value>, Failure> {
    let (mut letters, mut after) = (Vec::new(), 0);
    loop {
        let next = after.to_string();
        let mut params = vec![("limit", PAGE), ("after", next.as_str())];
        params.extend(filter.rule.as_deref().map(|rule| ("rule", rule)));
        params.extend(filter.output.as_deref().map(|output| ("output", output)));
        let mut answer: Value =
            server.ask(Method::GET, server.url(&["dead-letters"], &params), None).await??;
        if let Some(more) = answer["letters"].as_array_mut() {
            letters.append(more);
        }
        // What comes next lies behind, or we would ask for ever.
        match answer["next"].as_str().and_then(|next| next.parse::<u64>().ok()) {
            Some(next) if next > after => after = next,
            _ => return Ok(letters),
        }
    }
}

async fn each(
    server: &Server,
    screen: &Screen,
    method: Method,
    ids: &[String],
    verb: &[&str],
    done: &str,
) -> Result<(), Failure> {
    let mut answers = Vec::new();
    for id in ids {
        let path = [&["dead-letters", id.as_str()], verb].concat();
        answers.push(server.ask(method.clone(), server.url(&path, &[]), None).await??);
    }
    match screen.json {
        true => screen.value(&Value::Array(answers)),
        false => screen.line(format_args!("{} {done}", count(answers.len(), "letter"))),
    }
}

fn list(letters: &[Value], screen: &Screen) -> Result<(), Failure> {
    if letters.is_empty() {
        return screen.line("no dead letters");
    }
    let rows: Vec<Vec<String>> = letters
        .iter()
        .map(|letter| {
            let event = &letter["event"];
            let stream = [&event["host"], &event["service"]].map(text).join(" ");
            let from = ["from", "rule"].map(|name| text(&letter[name])).join(" ");
            let from =
                if letter["from"] == "output" { format!("output {}", text(&letter["output"])) } else { from };
            vec![text(&letter["id"]), from, text(&letter["at"]), stream, text(&letter["message"])]
        })
        .collect();
    screen.table(&["id", "from", "at", "event", "message"], &rows)
}

fn show(letter: &Value, screen: &Screen) -> Result<(), Failure> {
    let Some(fields) = letter.as_object() else { return screen.line(letter) };
    let width = fields.keys().map(String::len).max().unwrap_or_default();
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        screen.line(screen.tint(&format!("{name:width$}  {}", plain(&text(value)))))?;
    }
    Ok(())
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
