//! `tidegate rules`: what is deployed, and pausing, resuming and removing it.

use super::failure::Failure;
use super::screen::{Screen, bytes, plain};
use super::server::{Server, Where};
use clap::Subcommand;
use reqwest::Method;
use serde_json::Value;

/// What to do with which rule.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List all rules (this is what happens without a word).
    List,
    /// Show all there is to know about a rule.
    Show {
        /// The rule.
        name: String,
    },
    /// Show what the keys of a rule remember, as JSON.
    State {
        /// The rule.
        name: String,
        /// One key: HOST/SERVICE, or a host, a service, the value of an attribute, as the rule is keyed.
        key: Option<String>,
        /// How many keys at most.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Leave a rule alone: it sees no events until it is resumed.
    Pause {
        /// The rule.
        name: String,
    },
    /// Let a paused rule go on.
    Resume {
        /// The rule.
        name: String,
    },
    /// Remove a rule, and what it remembers.
    Remove {
        /// The rule.
        name: String,
    },
}

/// Does it.
pub async fn go(args: Args, screen: &Screen) -> Result<(), Failure> {
    let server = Server::at(&args.place)?;
    let ask = async |method: Method, path: &[&str]| -> Result<Value, Failure> {
        Ok(server.ask(method, server.url(path, &[]), None).await??)
    };
    let (answer, done) = match args.verb.unwrap_or(Verb::List) {
        Verb::List => {
            let rules = Value::Array(all(&server).await?);
            return if screen.json { screen.value(&rules) } else { list(&rules, screen) };
        }
        Verb::Show { name } => {
            let rule = ask(Method::GET, &["rules", &name]).await?;
            return if screen.json { screen.value(&rule) } else { show(&rule, screen) };
        }
        Verb::State { name, key, limit } => {
            let limit = limit.to_string();
            let mut query = vec![("limit", limit.as_str())];
            query.extend(key.as_deref().map(|key| ("key", key)));
            let url = server.url(&["rules", &name, "state"], &query);
            let answer: Value = server.ask(Method::GET, url, None).await??;
            return screen.value(&answer);
        }
        Verb::Pause { name } => {
            (ask(Method::POST, &["rules", &name, "pause"]).await?, format!("{name} paused"))
        }
        Verb::Resume { name } => {
            (ask(Method::POST, &["rules", &name, "resume"]).await?, format!("{name} resumed"))
        }
        Verb::Remove { name } => (ask(Method::DELETE, &["rules", &name]).await?, format!("{name} removed")),
    };
    match screen.json {
        true => screen.value(&answer),
        false => screen.line(format_args!("{done} at position {}", answer["position"])),
    }
}

/// All rules by name: a node hands out so many at a time.
async fn all(server: &Server) -> Result<Vec<Value>, Failure> {
    let (mut rules, mut after) = (Vec::new(), String::new());
    loop {
        let url = server.url(&["rules"], &[("after", &after)]);
        let mut answer: Value = server.ask(Method::GET, url, None).await??;
        if let Some(more) = answer["rules"].as_array_mut() {
            rules.append(more);
        }
        match answer["next"].as_str() {
            // The last name of an answer is behind all before it, or we would ask for ever.
            Some(next) if *next > *after => after = next.to_owned(),
            _ => return Ok(rules),
        }
    }
}

fn list(rules: &Value, screen: &Screen) -> Result<(), Failure> {
    let rules = rules.as_array().map(Vec::as_slice).unwrap_or_default();
    if rules.is_empty() {
        return screen.line("no rules; deploy one with `tidegate deploy RULE.wasm`");
    }
    let rows: Vec<Vec<String>> = rules
        .iter()
        .map(|rule| {
            let number = |name: &str| rule[name].as_u64().unwrap_or_default();
            vec![
                text(&rule["name"]),
                text(&rule["version"]),
                number("generation").to_string(),
                text(&rule["status"]),
                number("events").to_string(),
                number("keys").to_string(),
                number("faults").to_string(),
                text(&rule["query"]),
            ]
        })
        .collect();
    screen.table(&["name", "version", "gen", "status", "events", "keys", "faults", "query"], &rows)
}

fn show(rule: &Value, screen: &Screen) -> Result<(), Failure> {
    let Some(fields) = rule.as_object() else { return screen.line(rule) };
    let width = fields.keys().map(String::len).max().unwrap_or_default();
    for (name, value) in fields {
        let lines = described(name, value);
        for (n, line) in lines.iter().enumerate() {
            let name = if n == 0 { name.as_str() } else { "" };
            screen.line(screen.tint(&format!("{name:width$}  {}", plain(line))))?;
        }
    }
    Ok(())
}

/// A field's value as lines; none where there is nothing to say.
fn described(name: &str, value: &Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::Object(fields) => fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| format!("{key} = {}", text(value)))
            .collect(),
        Value::Number(number) if name == "memory" => vec![bytes(number.as_u64().unwrap_or_default())],
        Value::Number(number) if number.is_f64() => {
            vec![format!("{:.1}", number.as_f64().unwrap_or_default())]
        }
        other => vec![text(other)],
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_kind_of_field_is_described_for_people() {
        assert_eq!(described("memory", &json!(131_072)), ["128 KiB"]);
        assert_eq!(described("ns_per_event", &json!(71.25)), ["71.2"]);
        assert_eq!(
            described("set", &json!({ "limit_ms": "250", "every": "5s" })),
            ["limit_ms = 250", "every = 5s"]
        );
        assert!(described("last_fault", &json!(null)).is_empty());
    }
}
