//! `tidegate rules`: what is deployed, and pausing, resuming and removing it.

use super::failure::Failure;
use super::screen::{Screen, bytes, plain};
use super::server::{Server, Terms, Where};
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
    Pause(Changed),
    /// Let a paused rule go on.
    Resume(Changed),
    /// Remove a rule, and what it remembers.
    Remove(Changed),
    /// Let what is tried beside a rule take its place, with what it remembers.
    Promote(Changed),
    /// Give up what is tried beside a rule.
    Abandon {
        #[command(flatten)]
        changed: Changed,
        /// Why, for those who look at the rule's history.
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
}

#[derive(Debug, clap::Args)]
struct Changed {
    /// The rule.
    name: String,
    #[command(flatten)]
    terms: Terms,
}

/// Does it.
pub async fn go(args: Args, screen: &Screen) -> Result<(), Failure> {
    let server = Server::at(&args.place)?;
    let change = async |method: Method, changed: &Changed, verb: Option<&str>, params: &[(&str, &str)]| {
        let path: Vec<&str> = ["rules", &changed.name].into_iter().chain(verb).collect();
        let answer: Value = server.change(method, server.url(&path, params), &changed.terms, None).await??;
        Ok::<_, Failure>(answer)
    };
    let (answer, done) = match args.verb.unwrap_or(Verb::List) {
        Verb::List => {
            let rules = Value::Array(all(&server).await?);
            return if screen.json { screen.value(&rules) } else { list(&rules, screen) };
        }
        Verb::Show { name } => {
            let ask = async |path: &[&str]| -> Result<Value, Failure> {
                Ok(server.ask(Method::GET, server.url(path, &[]), None).await??)
            };
            let mut rule = ask(&["rules", &name]).await?;
            let past = ask(&["rules", &name, "history"]).await?;
            if let Some(rule) = rule.as_object_mut() {
                rule.insert("history".into(), past["history"].clone());
                rule.insert("differences".into(), past["differences"].clone());
            }
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
        Verb::Pause(it) => {
            (change(Method::POST, &it, Some("pause"), &[]).await?, format!("{} paused", it.name))
        }
        Verb::Resume(it) => {
            (change(Method::POST, &it, Some("resume"), &[]).await?, format!("{} resumed", it.name))
        }
        Verb::Remove(it) => (change(Method::DELETE, &it, None, &[]).await?, format!("{} removed", it.name)),
        Verb::Promote(it) => {
            (change(Method::POST, &it, Some("promote"), &[]).await?, format!("{} promoted", it.name))
        }
        Verb::Abandon { changed: it, reason } => {
            let params = [("reason", reason.as_str())];
            let answer = change(Method::POST, &it, Some("abandon"), &params).await?;
            (answer, format!("{} is no longer tried", it.name))
        }
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
        Value::Array(items) if name == "history" => items.iter().rev().map(past).collect(),
        Value::Array(items) if name == "differences" => items.iter().map(difference).collect(),
        Value::Object(fields) => fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .flat_map(|(key, value)| {
                let text = text(value);
                let mut lines = text.lines();
                let first = format!("{key} = {}", lines.next().unwrap_or_default());
                std::iter::once(first).chain(lines.map(|line| format!("  {line}"))).collect::<Vec<_>>()
            })
            .collect(),
        Value::Number(number) if name == "memory" => vec![bytes(number.as_u64().unwrap_or_default())],
        Value::Number(number) if number.is_f64() => {
            vec![format!("{:.1}", number.as_f64().unwrap_or_default())]
        }
        other => vec![text(other)],
    }
}

/// An earlier deployment in a line.
fn past(past: &Value) -> String {
    let reason = past["reason"].as_str().map_or_else(String::new, |reason| format!(": {reason}"));
    let by = past["by"].as_str().map_or_else(String::new, |by| format!(" by {by}"));
    format!(
        "{} ({}) {}{by} at position {}, {} {} at position {}{reason}",
        past["generation"],
        text(&past["version"]),
        text(&past["since"]),
        past["position"],
        text(&past["how"]),
        text(&past["ended"]),
        past["ended_position"],
    )
}

/// A difference between what is tried and the rule, in a line.
fn difference(difference: &Value) -> String {
    let who = if difference["candidate"] == true { "only the candidate" } else { "only the rule" };
    format!(
        "{who}: {} {} at position {}",
        text(&difference["action"]),
        difference["event"],
        difference["position"]
    )
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
        let past = json!({
            "generation": 2, "version": "0.1.0", "by": "eve@box", "since": "2026-11-21T10:00:00Z", "position": 7,
            "how": "rolled back", "ended": "2026-11-21T10:05:00Z", "ended_position": 90, "reason": "too slow",
        });
        assert_eq!(
            described("history", &json!([past])),
            [
                "2 (0.1.0) 2026-11-21T10:00:00Z by eve@box at position 7, rolled back 2026-11-21T10:05:00Z at position 90: too slow"
            ]
        );
        let differs = json!({ "candidate": true, "action": "emit", "event": { "metric": 1 }, "position": 8 });
        assert_eq!(
            described("differences", &json!([differs])),
            ["only the candidate: emit {\"metric\":1} at position 8"]
        );
    }
}
