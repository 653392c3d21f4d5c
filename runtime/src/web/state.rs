//! `/api/v1/rules/{name}/state`: what the keys of a rule remember, as JSON for people.

use crate::clock::iso8601;
use crate::web::App;
use crate::web::answer::{self, Failure};
use crate::web::params::Params;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde_json::{Value, json};
use tidegate_engine::rule::Width;
use tidegate_engine::shard::KeyReport;
use tidegate_event::stream_key;

/// Keys in one answer unless asked otherwise, and at most.
const KEYS: (usize, usize) = (100, 10_000);

/// `GET /api/v1/rules/{name}/state`
pub async fn get(State(app): State<App>, Path(name): Path<String>, uri: Uri) -> Result<Response, Failure> {
    let mut params = Params::of(&uri)?;
    let key = params.take("key")?;
    let limit = params.number("limit", KEYS.0, KEYS.1)?;
    params.finish("`key` and `limit`")?;
    let Some(rule) = app.control.rule(&name) else {
        let message = format!("there is no rule `{name}`: see /api/v1/rules");
        return Err(Failure::new(StatusCode::NOT_FOUND, message));
    };
    let width: Width = rule.per.parse().map_err(Failure::bad)?;
    let id =
        key.as_deref().map(|key| key_id(&width, key, app.ingest.seed())).transpose().map_err(Failure::bad)?;
    let busy = |message: String| Failure::new(StatusCode::SERVICE_UNAVAILABLE, message);
    // One more than wanted tells whether there are more.
    let asked = app.ingest.states(&name, id, limit + 1).await.map_err(|refused| busy(refused.to_string()))?;
    let mut keys =
        asked.map_err(|fault| busy(format!("the rule does not tell what its keys remember: {fault}")))?;
    keys.sort_by(|a, b| (&a.host, &a.service, a.state.key).cmp(&(&b.host, &b.service, b.state.key)));
    if let (Some(key), true) = (&key, keys.is_empty()) {
        let message = format!("rule `{name}` remembers nothing for the key `{key}`");
        return Err(Failure::new(StatusCode::NOT_FOUND, message));
    }
    let more = keys.len() > limit;
    keys.truncate(limit);
    let keys: Vec<Value> = keys.iter().map(shown).collect();
    Ok(answer::json(&json!({
        "rule": name, "generation": rule.generation, "per": rule.per, "keys": keys, "more": more,
    })))
}

/// The id of a key as a person writes it: `HOST/SERVICE`, a host, a service, or the value of an attribute.
fn key_id(width: &Width, key: &str, seed: u64) -> Result<u64, String> {
    let bytes = |text: &str| text.as_bytes().to_vec();
    let id = |host: Option<Vec<u8>>, service: Option<Vec<u8>>| {
        stream_key(seed, host.as_deref(), service.as_deref())
    };
    Ok(match width {
        Width::Stream => {
            let (host, service) = key.split_once('/').ok_or_else(|| {
                format!("a key of this rule is HOST/SERVICE, found `{key}`: leave one side empty where there is none")
            })?;
            let side = |text: &str| (!text.is_empty()).then(|| bytes(text));
            id(side(host), side(service))
        }
        Width::Host => id(Some(bytes(key)), None),
        Width::Service => id(None, Some(bytes(key))),
        Width::Attribute(name) => id(Some(bytes(key)), Some(bytes(name))),
        Width::Whole => return Err("this rule has one key only: ask without one".into()),
    })
}

fn shown(report: &KeyReport) -> Value {
    let text =
        |bytes: &Option<Box<[u8]>>| bytes.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let KeyReport { host, service, state } = report;
    let wakes: Vec<String> = state.wakes.iter().map(|at| iso8601(*at)).collect();
    let value = rmp_serde::from_slice::<Value>(&state.state)
        .unwrap_or_else(|error| json!({ "unreadable": error.to_string(), "bytes": state.state.len() }));
    json!({
        "host": text(host), "service": text(service), "id": format!("{:016x}", state.key),
        "schema": state.schema, "wakes": wakes, "state": value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_written_as_their_rule_is_keyed() {
        let id = |host: Option<&str>, service: Option<&str>| {
            stream_key(1, host.map(str::as_bytes), service.map(str::as_bytes))
        };
        let key = |width: &Width, key: &str| key_id(width, key, 1);
        assert_eq!(key(&Width::Stream, "a/b/c"), Ok(id(Some("a"), Some("b/c"))));
        assert_eq!(key(&Width::Stream, "/b"), Ok(id(None, Some("b"))));
        assert!(key(&Width::Stream, "a").unwrap_err().contains("HOST/SERVICE"));
        assert_eq!(key(&Width::Host, "a"), Ok(id(Some("a"), None)));
        assert_eq!(key(&Width::Service, "b"), Ok(id(None, Some("b"))));
        assert_eq!(key(&Width::Attribute("dc".into()), "x"), Ok(id(Some("x"), Some("dc"))));
        assert!(key(&Width::Whole, "x").is_err());
    }
}
