//! Elasticsearch and OpenSearch: documents through `_bulk`, in an index per day.
//!
//! The `_id` of a document is the event's key, so that what is sent again is not there twice: with `create` the second
//! attempt is answered 409 and counts as arrived, with `index` it writes the same document over itself. Every item has an
//! answer of its own, and only what has none is sent again.

use super::http::{self, Client};
use super::kinds::{Kind, Place};
use super::outcomes::{Outcome, Outcomes};
use super::words::moment;
use super::{Delivery, Keys, SendError, Sink, Verdict};
use crate::config::{Problem, Section};
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

/// Bytes of one request before compression; a document that is longer goes alone. A tenth of what a server takes.
const BODY: usize = 10 << 20;

const TYPE: &str = "application/x-ndjson";

/// What a repeated `_id` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is refused. The only one that data streams take.
    Create,
    /// It replaces what is there.
    Index,
}

impl Action {
    const fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Index => "index",
        }
    }
}

/// `type = "elasticsearch"`
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The server.
    pub http: http::Settings,
    /// The index, with the date in it as `strftime` writes it.
    pub index: String,
    /// What a repeated `_id` does.
    pub action: Action,
    /// An ingest pipeline.
    pub pipeline: Option<String>,
    /// Whether bodies are compressed.
    pub gzip: bool,
}

impl Kind for Settings {
    type Sink = Elasticsearch;

    fn read(at: &mut Section<'_>) -> Option<Self> {
        let index = at.text_or("index", "tidegate-%Y.%m.%d");
        if let Err(why) = index_at(&index, 0) {
            let problem = Problem::new(at.spot_of("index"), format!("`index` {why}"));
            at.error(problem.hint("such as \"tidegate-%Y.%m.%d\""));
        }
        let action =
            at.word("action", &[("create", Action::Create), ("index", Action::Index)], Action::Create);
        let pipeline = at.text("pipeline", "\"events\"");
        let gzip = at.switch("gzip", true);
        let api_key = at.secret_if_given("api_key");
        let mut http = http::read(at, "http://127.0.0.1:9200")?;
        if let Some(key) = api_key {
            if http.user.is_some() || http.token.is_some() {
                let message = "`api_key` and `username` or `token` are two ways to say who we are".into();
                let problem = Problem::new(at.secret_spot("api_key"), message);
                at.error(problem.hint("give one of them"));
            }
            http.headers.push(("authorization".into(), format!("ApiKey {}", key.reveal()).as_str().into()));
        }
        Some(Self { http, index, action, pipeline, gzip })
    }

    fn sink(&self, place: &Place) -> Result<Elasticsearch, String> {
        Ok(Elasticsearch {
            client: Client::new(&self.http)?,
            settings: self.clone(),
            keys: place.keys,
            outcomes: Outcomes::default(),
        })
    }
}

/// Sends documents.
#[derive(Debug)]
pub struct Elasticsearch {
    client: Client,
    settings: Settings,
    keys: Keys,
    outcomes: Outcomes,
}

impl Sink for Elasticsearch {
    async fn send(&mut self, batch: &[Arc<Delivery>]) -> Result<(), SendError> {
        let keys = self.keys.of_all(batch);
        self.outcomes.begin(&keys);
        let mut error = None;
        let open = self.outcomes.open(&keys);
        let mut open = open.as_slice();
        while !open.is_empty() && error.is_none() {
            let (body, taken) = self.body(batch, &keys, open);
            let (now, later) = open.split_at(taken);
            open = later;
            if let Err(failed) = self.post(&keys, now, body).await {
                error = Some(failed);
            }
        }
        match error {
            // Of the whole request, whatever is in it.
            Some(error) if !matches!(error.verdict, Verdict::Later(_)) => {
                let arrived =
                    self.outcomes.judge(&keys, None).err().map_or(keys.len(), |told| told.delivered);
                Err(SendError { delivered: arrived, ..error })
            }
            error => self.outcomes.judge(&keys, error),
        }
    }

    fn preview(&mut self, batch: &[Arc<Delivery>]) -> Result<String, SendError> {
        let keys = self.keys.of_all(batch);
        let all: Vec<usize> = (0..batch.len()).collect();
        let (body, _) = self.body(batch, &keys, &all);
        Ok(self.client.describe(&Method::POST, &self.url(), &String::from_utf8_lossy(&body)))
    }
}

impl Elasticsearch {
    fn url(&self) -> reqwest::Url {
        let pipeline = self.settings.pipeline.as_deref().map(|name| ("pipeline", name));
        self.client.url("_bulk", pipeline.as_slice())
    }

    /// The lines of as many of these events as one request holds, at least one, and how many that are.
    fn body(&self, batch: &[Arc<Delivery>], keys: &[String], places: &[usize]) -> (Vec<u8>, usize) {
        let mut body = Vec::new();
        for (taken, i) in places.iter().enumerate() {
            let before = body.len();
            document(&mut body, &self.settings, &keys[*i], &batch[*i]);
            if taken > 0 && body.len() > BODY {
                body.truncate(before);
                return (body, taken);
            }
        }
        (body, places.len())
    }

    async fn post(&mut self, keys: &[String], places: &[usize], body: Vec<u8>) -> Result<(), SendError> {
        let request = if self.settings.gzip {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
            let packed = gzip.write_all(&body).and_then(|()| gzip.finish());
            let packed = packed.map_err(|error| SendError::later(error.to_string()))?;
            self.client.post(self.url(), TYPE, packed).header("content-encoding", "gzip")
        } else {
            self.client.post(self.url(), TYPE, body)
        };
        let answer = self.client.send(request).await?;
        let Ok(answer) = serde_json::from_slice::<Answer>(&answer.body) else {
            let start = String::from_utf8_lossy(&answer.body[..answer.body.len().min(200)]).into_owned();
            return Err(SendError::later(format!("the answer is none of _bulk: {}", start.escape_debug())));
        };
        if answer.items.len() != places.len() {
            let (told, sent) = (answer.items.len(), places.len());
            return Err(SendError::later(format!("the answer tells of {told} documents, {sent} were sent")));
        }
        let mut busy = None;
        for (item, place) in answer.items.into_iter().zip(places) {
            match item.outcome() {
                Ok(outcome) => self.outcomes.note(&keys[*place], outcome),
                Err(message) => busy = busy.or(Some(message)),
            }
        }
        match busy {
            None => Ok(()),
            Some(message) => Err(SendError::later(message)),
        }
    }
}

/// The index for an event of this time, or what is wrong with its name.
fn index_at(pattern: &str, micros: i64) -> Result<String, String> {
    let time = moment(micros).to_zoned(jiff::tz::TimeZone::UTC);
    let name =
        jiff::fmt::strtime::format(pattern, &time).map_err(|error| format!("is no pattern: {error}"))?;
    let bad = |c: char| c.is_uppercase() || c.is_control() || " \"*\\<|,>/?#:".contains(c);
    if name.is_empty() || name.len() > 255 || name == "." || name == ".." {
        return Err(format!("makes {name:?}, a name of 1 to 255 bytes was expected"));
    }
    if name.starts_with(['-', '_', '+']) || name.contains(bad) {
        return Err(format!("makes {name:?}, which no index can be called"));
    }
    Ok(name)
}

#[derive(Serialize)]
struct Head<'a> {
    _index: &'a str,
    _id: &'a str,
}

/// The metric always as a fraction: the first one decides the type of the field, and a whole number would make it whole.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "@timestamp")]
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metric: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<f32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<&'a str, &'a str>,
    tidegate: Origin<'a>,
}

#[derive(Serialize)]
struct Origin<'a> {
    rule: &'a str,
    output: &'a str,
    position: u64,
}

fn document(to: &mut Vec<u8>, settings: &Settings, key: &str, delivery: &Delivery) {
    let event = delivery.event();
    let micros = event.time().0;
    // A pattern that made a name for one time makes one for every other.
    let index = index_at(&settings.index, micros).unwrap_or_else(|_| "tidegate".into());
    let document = Document {
        timestamp: moment(micros).to_string(),
        host: event.host(),
        service: event.service(),
        state: event.state(),
        description: event.description(),
        metric: event.metric().filter(|metric| metric.is_finite()),
        ttl: event.ttl().filter(|ttl| ttl.is_finite()),
        tags: event.tags().collect(),
        attributes: event.attributes().collect(),
        tidegate: Origin { rule: &delivery.rule, output: &delivery.declared, position: delivery.position },
    };
    let head = BTreeMap::from([(settings.action.word(), Head { _index: &index, _id: key })]);
    serde_json::to_writer(&mut *to, &head).expect("memory takes every line");
    to.push(b'\n');
    serde_json::to_writer(&mut *to, &document).expect("memory takes every line");
    to.push(b'\n');
}

#[derive(Deserialize)]
struct Answer {
    items: Vec<Item>,
}

/// One item under the name of its action.
#[derive(Deserialize)]
enum Item {
    #[serde(rename = "create")]
    Create(Told),
    #[serde(rename = "index")]
    Index(Told),
}

#[derive(Deserialize)]
struct Told {
    status: u16,
    error: Option<Why>,
}

/// An object; a text from servers older than any that is kept.
#[derive(Deserialize)]
#[serde(untagged)]
enum Why {
    Cause(Cause),
    Text(String),
}

#[derive(Deserialize)]
struct Cause {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    reason: String,
    caused_by: Option<Box<Cause>>,
}

impl Cause {
    fn text(&self) -> String {
        let mut text = format!("{}: {}", self.kind, self.reason);
        if let Some(cause) = &self.caused_by {
            text += &format!(" ({})", cause.text());
        }
        text
    }
}

impl Item {
    /// What became of it for good, or what keeps it for now.
    fn outcome(self) -> Result<Outcome, String> {
        let (told, create) = match self {
            Self::Create(told) => (told, true),
            Self::Index(told) => (told, false),
        };
        let (blocked, why) = match told.error {
            None => (false, String::new()),
            Some(Why::Text(text)) => (false, text),
            // A disk that is nearly full, or an index that somebody holds: both pass.
            Some(Why::Cause(cause)) => (cause.kind == "cluster_block_exception", cause.text()),
        };
        let message = format!("answered {} {}", told.status, why.escape_debug()).trim_end().to_owned();
        match told.status {
            200..=299 => Ok(Outcome::Arrived),
            409 if create => Ok(Outcome::Arrived),
            408 | 429 | 500..=599 => Err(message),
            _ if blocked => Err(message),
            _ => Ok(Outcome::Refused(message)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Which;
    use crate::output::samples::{self, delivery, described, sink};

    #[test]
    fn an_index_is_named_for_the_day_of_the_event_and_only_as_indices_can_be() {
        assert_eq!(index_at("tidegate-%Y.%m.%d", 1_700_000_000_000_000).unwrap(), "tidegate-2023.11.14");
        assert_eq!(index_at("events", i64::MAX).unwrap(), "events");
        assert_eq!(index_at("tidegate-%Y.%m.%d", i64::MAX).unwrap(), "tidegate-9999.12.30");
        for bad in ["", "Events", "-x", "a b", "a*", "%Q", "x-%B", "a:b", "..", "%Y/%m"] {
            assert!(index_at(bad, 0).is_err(), "{bad}");
        }
    }

    fn settings(url: &str) -> Settings {
        let (index, action) = ("tidegate-%Y.%m.%d".into(), Action::Create);
        Settings { http: http::Settings::at(url), index, action, pipeline: None, gzip: false }
    }

    #[tokio::test]
    async fn what_has_arrived_is_not_sent_again_with_what_has_not() {
        const MIXED: &str = r#"{"took":1,"errors":true,"items":[{"create":{"status":201}},
            {"create":{"status":400,"error":{"type":"mapper_parsing_exception","reason":"no"}}},
            {"create":{"status":201}},{"create":{"status":429,"error":{"type":"busy","reason":""}}}]}"#;
        const ONE: &str = r#"{"errors":false,"items":[{"create":{"status":201}}]}"#;
        let (url, asked) = samples::http(&[("200 OK", MIXED), ("503 Busy", ""), ("200 OK", ONE)]).await;
        let mut es: Elasticsearch = sink(&settings(&url));
        let batch: Vec<_> = (0..4).map(|n| Arc::new(delivery(n))).collect();
        let error = es.send(&batch).await.unwrap_err();
        assert_eq!((error.verdict, error.delivered), (Verdict::Refused(Which::First), 1), "{error:?}");
        assert!(error.message.contains("mapper_parsing_exception"), "{error:?}");
        // The runner passes over the refused one and goes on with the rest, of which only the last is open.
        let error = es.send(&batch[2..]).await.unwrap_err();
        assert!(matches!(error.verdict, Verdict::Later(_)) && error.delivered == 1, "{error:?}");
        es.send(&batch[3..]).await.unwrap();
        let asked = asked.lock().unwrap();
        let lines: Vec<_> = asked.iter().map(|(_, body)| body.split(|b| *b == b'\n').count() / 2).collect();
        assert_eq!(lines, [4, 1, 1]);
        assert!(asked[0].0.starts_with("post /_bulk http/1.1\r\n"), "{}", asked[0].0);
    }

    #[tokio::test]
    async fn an_answer_that_is_none_of_bulk_is_no_arrival() {
        let (url, _) =
            samples::http(&[("200 OK", "<html>"), ("200 OK", "{\"items\":[]}"), ("401 No", "")]).await;
        let mut es: Elasticsearch = sink(&settings(&url));
        let batch = [Arc::new(delivery(0))];
        for part in ["none of _bulk", "tells of 0 documents"] {
            let error = es.send(&batch).await.unwrap_err();
            assert!(matches!(error.verdict, Verdict::Later(_)) && error.message.contains(part), "{error:?}");
        }
        assert_eq!(es.send(&batch).await.unwrap_err().verdict, Verdict::Refused(Which::All));
    }

    #[test]
    fn a_document_has_its_key_its_time_and_a_metric_that_is_a_fraction() {
        let mut es: Elasticsearch = sink(&settings("http://x:9200"));
        let preview = es.preview(&[Arc::new(described("web1", "api", "critical", "slow\nvery"))]).unwrap();
        expect_test::expect![[r#"
            POST http://x:9200/_bulk

            {"create":{"_index":"tidegate-2023.11.14","_id":"7:slow_api:0:e22fcbdde97f88e1"}}
            {"@timestamp":"2023-11-14T22:13:20Z","host":"web1","service":"api","state":"critical","description":"slow\nvery","metric":0.0,"tidegate":{"rule":"slow_api","output":"pager","position":7}}
        "#]].assert_eq(&preview);
    }

    #[test]
    fn an_item_has_arrived_passes_or_is_refused() {
        let outcome = |json: &str| serde_json::from_str::<Item>(json).unwrap().outcome();
        assert_eq!(outcome(r#"{"create":{"_id":"x","status":201}}"#), Ok(Outcome::Arrived));
        let conflict = r#"{"create":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"there"}}}"#;
        assert_eq!(outcome(conflict), Ok(Outcome::Arrived));
        let mapping = r#"{"index":{"status":400,"error":{"type":"mapper_parsing_exception","reason":"no number","caused_by":{"type":"x","reason":"y"}}}}"#;
        assert_eq!(
            outcome(mapping),
            Ok(Outcome::Refused("answered 400 mapper_parsing_exception: no number (x: y)".into()))
        );
        assert!(
            outcome(r#"{"index":{"status":429,"error":{"type":"es_rejected_execution_exception"}}}"#)
                .is_err()
        );
        assert!(outcome(r#"{"create":{"status":403,"error":{"type":"cluster_block_exception"}}}"#).is_err());
        assert!(matches!(outcome(r#"{"create":{"status":403,"error":"no"}}"#), Ok(Outcome::Refused(_))));
    }
}
