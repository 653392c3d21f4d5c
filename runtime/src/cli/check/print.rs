//! The configuration as text again, every value in force, secrets hidden: what `tidegate check --print` shows.

use crate::cli::failure::{Exit, Failure};
use crate::config::{Config, InputKind, size_text, time_text};
use serde_json::Value as Json;
use std::time::Duration;
use toml::{Table, Value};

/// As TOML.
pub fn text(config: &Config) -> String {
    table(config).to_string()
}

/// As JSON.
pub fn value(config: &Config) -> Result<Json, Failure> {
    serde_json::to_value(table(config)).map_err(|error| Failure::new(Exit::Bug, error))
}

fn table(config: &Config) -> Table {
    let Config {
        data,
        log,
        engine,
        http,
        websocket,
        sse,
        instrumentation,
        dead_letters,
        inputs,
        outputs,
        ..
    } = config;
    let mut root = section([("data", data.display().to_string().into())]);
    root.insert(
        "log".into(),
        section([
            ("enabled", log.enabled.into()),
            ("segment", size(log.segment)),
            ("keep_bytes", size(log.keep_bytes)),
            ("keep_for", time(log.keep_for)),
            ("checkpoint", time(log.checkpoint)),
        ])
        .into(),
    );
    root.insert(
        "engine".into(),
        section([
            ("shards", number(engine.shards)),
            ("in_flight", size(engine.in_flight as u64)),
            ("default_ttl", time(Duration::from_micros(engine.default_ttl.0.unsigned_abs()))),
            ("max_streams", number(engine.max_streams)),
        ])
        .into(),
    );
    root.insert(
        "http".into(),
        section([
            ("address", http.address.to_string().into()),
            ("allow_remote", http.allow_remote.into()),
            ("ack", http.ack.name().into()),
        ])
        .into(),
    );
    root.insert(
        "websocket".into(),
        section([
            ("enabled", websocket.enabled.into()),
            ("address", websocket.address.to_string().into()),
            ("ack", websocket.ack.name().into()),
        ])
        .into(),
    );
    let headers = sse.headers.iter().map(|(name, value)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned().into())
    });
    root.insert(
        "sse".into(),
        section([
            ("enabled", sse.enabled.into()),
            ("address", sse.address.to_string().into()),
            ("headers", Value::Table(headers.collect())),
        ])
        .into(),
    );
    root.insert(
        "instrumentation".into(),
        section([("enabled", instrumentation.enabled.into()), ("interval", time(instrumentation.interval))])
            .into(),
    );
    root.insert(
        "dead_letters".into(),
        section([("keep_bytes", size(dead_letters.bytes)), ("keep_for", time(dead_letters.age))]).into(),
    );
    let named = inputs.iter().map(|one| (one.name.clone(), input(&one.kind).into()));
    root.insert("inputs".into(), Value::Table(named.collect()));
    if !outputs.is_empty() {
        let named = outputs.iter().map(|one| (one.name.clone(), one.shown.clone().into()));
        root.insert("outputs".into(), Value::Table(named.collect()));
    }
    root
}

fn input(kind: &InputKind) -> Table {
    match kind {
        InputKind::Riemann(riemann) => {
            let mut table = section([
                ("type", "riemann".into()),
                ("ack", riemann.ack.name().into()),
                ("max_frame", size(riemann.max_frame as u64)),
                ("max_datagram", size(riemann.max_datagram as u64)),
                ("stall", time(riemann.stall)),
                ("idle", time(riemann.idle)),
                ("unread", time(riemann.unread)),
                ("max_connections", number(riemann.max_connections)),
                ("max_per_address", number(riemann.max_per_address)),
            ]);
            for (name, address) in [("tcp", riemann.tcp), ("udp", riemann.udp)] {
                table.extend(address.map(|address| (name.to_owned(), address.to_string().into())));
            }
            table
        }
        InputKind::Host(host) => {
            let mut table = section([("type", "host".into()), ("every", time(host.every))]);
            table.extend(host.host.clone().map(|host| ("host".to_owned(), host.into())));
            table
        }
        InputKind::Fleet(fleet) => section([
            ("type", "fleet".into()),
            ("hosts", number(fleet.hosts)),
            ("services", number(fleet.services)),
            ("every", time(fleet.every)),
            ("incidents", time(fleet.incidents)),
            ("seed", Value::Integer(i64::try_from(fleet.seed).unwrap_or(i64::MAX))),
        ]),
    }
}

fn section<const N: usize>(values: [(&str, Value); N]) -> Table {
    values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn number(n: usize) -> Value {
    Value::Integer(i64::try_from(n).unwrap_or(i64::MAX))
}

fn size(bytes: u64) -> Value {
    size_text(bytes).into()
}

fn time(span: Duration) -> Value {
    time_text(span).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Source, parse};

    fn read(text: &str) -> Config {
        parse(Source { path: None, text: text.into() }, &Environment::new()).unwrap()
    }

    #[test]
    fn what_is_printed_is_the_same_configuration() {
        let written = "
            data = \"/var/lib/tidegate\"
            log.keep_for = \"90m\"
            engine.max_streams = 5
            [inputs.r]
            type = \"riemann\"
            tcp = \"127.0.0.1:0\"
            stall = \"1500ms\"
            [inputs.f]
            type = \"fleet\"
            hosts = 3
            seed = 9
            [outputs.a]
            type = \"file\"
            path = \"x\"
            where = \"state = \\\"critical\\\"\"
            queue = \"1537KiB\"
            [outputs.b]
            type = \"graphite\"
            address = \"x:1\"
            on_full = \"drop_newest\"
            [outputs.c]
            type = \"riemann\"
            address = \"x:1\"
            [outputs.d]
            type = \"console\"
        ";
        for text in ["", written] {
            let config = read(text);
            let again = read(&super::text(&config));
            assert_eq!(table(&again), table(&config));
            assert_eq!(format!("{:?}", again.inputs), format!("{:?}", config.inputs));
            assert_eq!(format!("{:?}", again.outputs), format!("{:?}", config.outputs));
            assert_eq!((&again.log, &again.engine), (&config.log, &config.engine));
        }
    }

    #[test]
    fn secrets_are_hidden() {
        let config = read(
            "[outputs.hook]\ntype = \"webhook\"\nurl = \"http://x/hunter2\"\nheaders = { Authorization = \"hunter2\" }",
        );
        let text = text(&config);
        assert!(text.contains("Authorization = \"***\"") && !text.contains("hunter2"), "{text}");
    }
}
