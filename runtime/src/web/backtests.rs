//! `/api/v1/backtests`: what a rule would have said, asked of a running node.

use crate::backtest::{Job, Status, Which, Wish};
use crate::clock::{self, iso8601};
use crate::web::answer::{self, Failure};
use crate::web::{App, body, rules, when};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tidegate_event::Timestamp;

/// Bytes of a wish.
const WISH: usize = 64 << 10;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Side {
    rule: Option<String>,
    module: Option<String>,
    #[serde(default)]
    set: BTreeMap<String, String>,
    query: Option<String>,
    per: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stream {
    host: Option<String>,
    service: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    rule: Option<String>,
    module: Option<String>,
    #[serde(default)]
    set: BTreeMap<String, String>,
    query: Option<String>,
    per: Option<String>,
    against: Option<Side>,
    from: Option<String>,
    to: Option<String>,
    chart: Option<Stream>,
}

impl Side {
    fn which(self, what: &str) -> Result<Which, Failure> {
        let Self { rule, module, set, query, per } = self;
        match (rule, module) {
            (Some(name), None) => Ok(Which::Rule { name, set, query, per }),
            (None, Some(digest)) => Ok(Which::Module { digest, set, query, per }),
            _ => Err(Failure::bad(format!(
                "{what}: either `rule`, a name, or `module`, a digest, was expected"
            ))),
        }
    }
}

/// `POST /api/v1/backtests`
pub async fn begin(State(app): State<App>, headers: HeaderMap, body: Body) -> Result<Response, Failure> {
    let by = rules::who(&headers)?;
    let bytes = body::read(&headers, body, WISH, app.limits.body).await?;
    let asked: Asked = serde_json::from_slice(&bytes)
        .map_err(|error| Failure::bad(format!("what to try was expected as a JSON object: {error}")))?;
    let Asked { rule, module, set, query, per, against, from, to, chart } = asked;
    let moment = |name: &str, text: Option<String>, default: Timestamp| match text {
        None => Ok(default),
        Some(text) => {
            when::moment(&text, clock::now()).ok_or_else(|| when::wrong(&format!("`{name}`"), &text))
        }
    };
    let wish = Wish {
        rule: Side { rule, module, set, query, per }.which("the rule")?,
        against: against.map(|side| side.which("`against`")).transpose()?,
        from: moment("from", from, Timestamp(i64::MIN))?,
        to: moment("to", to, Timestamp::NEVER)?,
        chart: chart.map(|Stream { host, service }| (host, service)),
        by,
    };
    if wish.from > wish.to {
        return Err(Failure::bad("`from` lies behind `to`: nothing lies between"));
    }
    let Some(archive) = &app.archive else {
        let message = "this node keeps no log: set log.enabled = true, or run `tidegate backtest` on a file";
        return Err(Failure::new(StatusCode::CONFLICT, message));
    };
    let ingest = app.ingest.clone();
    let is_busy = move || {
        let (used, room) = ingest.in_flight();
        used > room / 4
    };
    let added = app.backtests.add(archive, wish, is_busy);
    let added = added.map_err(|error| {
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, format!("no thread can be started: {error}"))
            .retry_after(5)
    })?;
    let id = added
        .map_err(|full| Failure::new(StatusCode::SERVICE_UNAVAILABLE, full.to_string()).retry_after(10))?;
    Ok(answer::json_with(StatusCode::ACCEPTED, &json!({ "id": id.to_string() })))
}

/// `GET /api/v1/backtests`
pub async fn all(State(app): State<App>) -> Response {
    let all: Vec<Value> = app.backtests.all().iter().map(|job| told(job, false)).collect();
    answer::json(&json!({ "backtests": all }))
}

/// `GET /api/v1/backtests/{id}`
pub async fn one(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Failure> {
    let job = id.parse().ok().and_then(|id| app.backtests.find(id));
    job.map(|job| answer::json(&told(&job, true))).ok_or_else(|| unknown(&id))
}

/// `DELETE /api/v1/backtests/{id}`
pub async fn end(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Failure> {
    let was = id.parse().ok().and_then(|id| app.backtests.end(id)).ok_or_else(|| unknown(&id))?;
    let what = if was.is_over() { "removed" } else { "cancelled" };
    Ok(answer::json(&json!({ "id": id, what: true })))
}

fn unknown(id: &str) -> Failure {
    Failure::new(StatusCode::NOT_FOUND, format!("there is no backtest `{id}`: see /api/v1/backtests"))
}

fn told(job: &Job, whole: bool) -> Value {
    let side = |which: &Which| match which {
        Which::Rule { name, set, query, per } => {
            json!({ "rule": name, "set": set, "query": query, "per": per })
        }
        Which::Module { digest, set, query, per } => {
            json!({ "module": digest, "set": set, "query": query, "per": per })
        }
    };
    let moment = |at: Timestamp| (at > Timestamp(i64::MIN) && at < Timestamp::NEVER).then(|| iso8601(at));
    let wish = &job.wish;
    let mut asked = side(&wish.rule);
    asked["against"] = wish.against.as_ref().map_or(Value::Null, side);
    (asked["from"], asked["to"]) = (moment(wish.from).into(), moment(wish.to).into());
    asked["chart"] = wish
        .chart
        .as_ref()
        .map_or(Value::Null, |(host, service)| json!({ "host": host, "service": service }));
    let mut told = json!({
        "id": job.id.to_string(), "status": job.status.name(), "progress": (job.progress() * 1e3).round() / 1e3,
        "error": job.error, "by": wish.by, "at": iso8601(job.at), "asked": asked,
    });
    if whole {
        told["report"] = match (&job.report, job.status) {
            (Some(report), Status::Done) => (**report).clone(),
            _ => Value::Null,
        };
    }
    told
}
