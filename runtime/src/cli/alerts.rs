//! `tidegate alerts`: what people are told of, and saying that one cares for it.

use super::failure::Failure;
use super::screen::{Screen, count, plain};
use super::server::{Server, Where};
use clap::{Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};

/// Alerts asked for at once.
const PAGE: &str = "1000";

/// What to do with which alerts.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Default, clap::Args)]
struct Filter {
    /// A query: only alerts whose latest event it finds.
    query: Option<String>,
    /// Only alerts of this status.
    #[arg(long, value_enum, default_value_t)]
    status: Status,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Status {
    #[default]
    Open,
    Firing,
    Acknowledged,
    Silenced,
    Resolved,
    All,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List alerts, those first that nobody cares for (this is what happens without a word).
    List(Filter),
    /// Show all there is to know about an alert: why it is there, and what happened to it.
    Show {
        /// The alert.
        id: String,
    },
    /// Say that you care for alerts: no reminders and no escalation until they are over.
    Ack {
        /// The alerts.
        #[arg(required = true)]
        ids: Vec<String>,
        /// What others should know.
        #[arg(long, default_value = "", value_name = "TEXT")]
        note: String,
    },
    /// Say that you care for them no longer.
    Unack {
        /// The alerts.
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Say that alerts are over. The next event that says otherwise opens them again.
    Resolve {
        /// The alerts.
        #[arg(required = true)]
        ids: Vec<String>,
        /// What others should know.
        #[arg(long, default_value = "", value_name = "TEXT")]
        note: String,
    },
}

/// Does it.
pub async fn go(args: Args, screen: &Screen) -> Result<(), Failure> {
    let server = Server::at(&args.place)?;
    match args.verb.unwrap_or(Verb::List(Filter::default())) {
        Verb::List(filter) => {
            let alerts = all(&server, &filter).await?;
            if screen.json { screen.value(&Value::Array(alerts)) } else { list(&alerts, screen) }
        }
        Verb::Show { id } => {
            let alert = server.ask(Method::GET, server.url(&["alerts", &id], &[]), None).await??;
            if screen.json { screen.value(&alert) } else { show(&alert, screen) }
        }
        Verb::Ack { ids, note } => {
            let body = json!({ "note": note });
            each(&server, screen, Method::POST, &ids, "acknowledge", Some(&body), "acknowledged").await
        }
        Verb::Unack { ids } => {
            let done = "no longer acknowledged";
            each(&server, screen, Method::DELETE, &ids, "acknowledge", None, done).await
        }
        Verb::Resolve { ids, note } => {
            let body = json!({ "note": note });
            each(&server, screen, Method::POST, &ids, "resolve", Some(&body), "resolved").await
        }
    }
}

/// All alerts that are wanted: a node hands out so many at a time.
async fn all(server: &Server, filter: &Filter) -> Result<Vec<Value>, Failure> {
    let status =
        filter.status.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let (mut alerts, mut after) = (Vec::new(), None::<String>);
    loop {
        let mut params = vec![("limit", PAGE), ("status", status.as_str())];
        params.extend(filter.query.as_deref().map(|query| ("q", query)));
        params.extend(after.as_deref().map(|after| ("after", after)));
        let mut answer: Value = server.ask(Method::GET, server.url(&["alerts"], &params), None).await??;
        let more = answer["alerts"].as_array_mut().map(std::mem::take).unwrap_or_default();
        let ended = more.is_empty();
        alerts.extend(more);
        // A page with nothing in it is the last one, or we would ask for ever.
        match answer["next"].as_str() {
            Some(next) if !ended => after = Some(next.to_owned()),
            _ => return Ok(alerts),
        }
    }
}

async fn each(
    server: &Server,
    screen: &Screen,
    method: Method,
    ids: &[String],
    verb: &str,
    body: Option<&Value>,
    done: &str,
) -> Result<(), Failure> {
    let mut answers = Vec::new();
    for id in ids {
        answers.push(server.tell(method.clone(), server.url(&["alerts", id, verb], &[]), body).await??);
    }
    match screen.json {
        true => screen.value(&Value::Array(answers)),
        false => screen.line(format_args!("{} {done}", count(answers.len(), "alert"))),
    }
}

fn list(alerts: &[Value], screen: &Screen) -> Result<(), Failure> {
    if alerts.is_empty() {
        return screen.line("no alerts");
    }
    let rows: Vec<Vec<String>> = alerts
        .iter()
        .map(|alert| {
            let stream = ["host", "service"].map(|name| text(&alert[name])).join(" ");
            let status = match (&alert["flapping"], text(&alert["acknowledged"]["by"])) {
                (Value::Bool(true), _) => format!("{}, flapping", text(&alert["status"])),
                (_, by) if alert["status"] == "acknowledged" => format!("acknowledged by {by}"),
                _ => text(&alert["status"]),
            };
            let rule = text(&alert["rule"]);
            vec![text(&alert["id"]), status, text(&alert["state"]), stream, rule, text(&alert["since"])]
        })
        .collect();
    screen.table(&["id", "status", "state", "stream", "rule", "since"], &rows)
}

fn show(alert: &Value, screen: &Screen) -> Result<(), Failure> {
    let Some(fields) = alert.as_object() else { return screen.line(alert) };
    let plain_fields =
        fields.iter().filter(|(_, value)| !value.is_null() && !value.is_array() && !value.is_object());
    for (name, value) in plain_fields {
        screen.line(screen.tint(&format!("{name:12}  {}", plain(&text(value)))))?;
    }
    for line in alert["history"].as_array().into_iter().flatten() {
        let by = line["by"].as_str().map(|by| format!(" by {by}")).unwrap_or_default();
        let note = text(&line["note"]);
        let note = if note.is_empty() { note } else { format!(": {note}") };
        let said = format!("{}  {}{by}{note}", text(&line["at"]), text(&line["what"]));
        screen.line(plain(&said))?;
    }
    for notice in alert["notified"].as_array().into_iter().flatten() {
        let [at, what, to] = ["at", "notice", "to"].map(|name| text(&notice[name]));
        screen.line(plain(&format!("{at}  told {to}: {what}")))?;
    }
    for event in alert["why"]["events"].as_array().into_iter().flatten() {
        let [time, host, service, state, metric, description] =
            ["time", "host", "service", "state", "metric", "description"].map(|name| text(&event[name]));
        let event = format!("{time}  event {host} {service} {state} {metric} {description}");
        screen.line(plain(event.trim_end()))?;
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
