//! `tidegate query`: what the index holds, as a table; with `--watch` again and again (`watch.rs`).

use super::failure::{Exit, Failure};
use super::screen::Screen;
use super::server::{Objection, Server, Where};
use super::watch::{self, Watched};
use crate::clock;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use std::time::Duration;
use tidegate_event::{Span, Timestamp};

/// What is asked.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The query, in Riemann's language: `service =~ "http.%" and metric > 100`.
    #[arg(default_value = "true")]
    query: String,
    /// Events at most.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Look again and again: a table that moves in a terminal, lines of changes elsewhere.
    #[arg(long)]
    watch: bool,
    /// The time from one look to the next.
    #[arg(long, value_name = "SPAN", default_value = "1s", value_parser = interval, requires = "watch")]
    every: Duration,
    /// Look so many times, then end.
    #[arg(long, value_name = "N", requires = "watch", value_parser = clap::value_parser!(u64).range(1..))]
    times: Option<u64>,
    #[command(flatten)]
    place: Where,
}

/// From one look to the next: not so short that looking is all that the node does.
fn interval(text: &str) -> Result<Duration, String> {
    let span = Span::parse(text).map(|span| Duration::from_micros(span.0.unsigned_abs()));
    span.filter(|span| (Duration::from_millis(200)..=Duration::from_secs(3600)).contains(span))
        .ok_or_else(|| "a span from 200ms to 1h was expected".into())
}

const HEAD: [&str; 8] = ["host", "service", "state", "metric", "age", "ttl", "tags", "description"];

/// Asks, and prints what was found.
pub async fn go(args: Args, screen: &Screen) -> Result<(), Failure> {
    let server = Server::at(&args.place)?;
    if args.watch {
        let Args { query, limit, every, times, .. } = args;
        let watched = Watched { query, limit, every, times };
        return watch::go(watched, &server, screen).await;
    }
    let limit = args.limit.to_string();
    let url = server.url(&["query"], &[("q", &args.query), ("limit", &limit)]);
    let answer = match server.ask(Method::GET, url, None).await? {
        Ok(answer) => answer,
        Err(objection) => return Err(wrong(&args.query, objection)),
    };
    if screen.json {
        return screen.value(&answer);
    }
    let events = answer["events"].as_array().map(Vec::as_slice).unwrap_or_default();
    if events.is_empty() {
        eprintln!("nothing in the index matches");
        return Ok(());
    }
    let now = clock::now();
    let rows: Vec<Vec<String>> = events.iter().map(|event| row(event, now)).collect();
    screen.table(&HEAD, &rows)?;
    if answer["truncated"] == true {
        eprintln!("there are more than {limit}: narrow the query, or raise --limit");
    }
    Ok(())
}

/// An objection to a query, with the place drawn where there is one.
pub fn wrong(query: &str, objection: Objection) -> Failure {
    match (objection.status, objection.span) {
        (StatusCode::BAD_REQUEST, Some(span)) => Failure::say(Exit::Usage, draw(query, span, &objection)),
        _ => objection.into(),
    }
}

/// The query's line with carets under what is wrong.
fn draw(query: &str, (start, end): (usize, usize), objection: &Objection) -> String {
    let floor = |mut at: usize| {
        at = at.min(query.len());
        while !query.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let (start, end) = (floor(start), floor(end));
    let line_start = query[..start].rfind('\n').map_or(0, |at| at + 1);
    let line = query[line_start..].lines().next().unwrap_or_default();
    let before: String =
        query[line_start..start].chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let wrong = query.get(start..end).unwrap_or_default().lines().next().unwrap_or_default();
    let carets = "^".repeat(wrong.chars().count().max(1));
    let help = objection.help.as_deref().unwrap_or_default();
    let text = format!("error: {}\n  | {line}\n  | {before}{carets} {help}", objection.message);
    text.trim_end().to_owned()
}

/// An event's cells.
fn row(event: &Value, now: Timestamp) -> Vec<String> {
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    let tags: Vec<&str> = event["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    vec![
        text("host"),
        text("service"),
        text("state"),
        number(&event["metric"]),
        time(event).map(|at| age(now, at)).unwrap_or_default(),
        event["ttl"].as_f64().map(|ttl| span((ttl * 1e6) as i64)).unwrap_or_default(),
        tags.join(" "),
        text("description"),
    ]
}

/// A metric without digits that nobody reads.
pub fn number(metric: &Value) -> String {
    match metric.as_f64() {
        Some(float) if !metric.is_i64() && !metric.is_u64() => {
            let text = format!("{float:.3}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        Some(_) => metric.to_string(),
        None => String::new(),
    }
}

/// When an event says it happened.
pub fn time(event: &Value) -> Option<Timestamp> {
    let at: jiff::Timestamp = event["time"].as_str()?.parse().ok()?;
    Some(Timestamp(at.as_microsecond()))
}

/// How long ago something was, in whole seconds at best.
pub fn age(now: Timestamp, at: Timestamp) -> String {
    span(now.0.saturating_sub(at.0).max(0) / 1_000_000 * 1_000_000)
}

/// A span of microseconds, roughly.
pub fn span(micros: i64) -> String {
    match micros / 1_000_000 {
        0 if micros > 0 => format!("{}ms", micros / 1000),
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7200 => format!("{}m", seconds / 60),
        seconds @ 7200..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_becomes_a_row() {
        let event = json!({
            "host": "web3", "service": "api latency", "state": "critical", "metric": 412.5, "ttl": 60.0,
            "time": "2013-04-15T18:06:58.250Z", "tags": ["prod", "eu"], "team": "core",
        });
        let now = Timestamp(time(&event).unwrap().0 + 12_000_000);
        assert_eq!(
            row(&event, now),
            ["web3", "api latency", "critical", "412.5", "12s", "60s", "prod eu", ""]
        );
    }

    #[test]
    fn ages_and_numbers_are_rough() {
        assert_eq!([0, 250_000, 119_000_000, 600_000_000].map(span), ["0s", "250ms", "119s", "10m"]);
        assert_eq!([8_000_000_000, 200_000_000_000].map(span), ["2h", "2d"]);
        assert_eq!([250_000, 12_900_000, -5].map(|at| age(Timestamp(at), Timestamp(0))), ["0s", "12s", "0s"]);
        assert_eq!(
            [json!(3), json!(0.1), json!(2.0), json!(null)].each_ref().map(number),
            ["3", "0.1", "2", ""]
        );
    }

    #[test]
    fn a_wrong_query_is_drawn() {
        let objection = Objection {
            status: StatusCode::BAD_REQUEST,
            message: "a value was expected, found `and`".into(),
            span: Some((11, 14)),
            help: Some("like \"http%\"".into()),
        };
        assert_eq!(
            wrong("service =~ and metric > 5", objection.clone()).to_string(),
            "error: a value was expected, found `and`\n  | service =~ and metric > 5\n  |            ^^^ like \"http%\"\n"
        );
        let beyond = Objection { span: Some((99, 120)), help: None, ..objection };
        assert_eq!(draw("é", (1, 99), &beyond), "error: a value was expected, found `and`\n  | é\n  | ^");
        assert!(wrong("é", beyond).to_string().ends_with("  | é\n  |  ^\n"));
    }
}
