//! From the tree as typed to the configuration as used: each section with its keys, bounds and defaults.

use super::outputs::{output, targets};
use super::problem::{Problem, Source};
use super::resolved::{
    Config, Engine, Fleet, Host, Http, INSTRUMENTATION, Input, InputKind, Instrumentation, Log, Output,
    Riemann, Sse, WebSocket,
};
use super::section::Section;
use crate::dead_letters::Keep;
use crate::history;
use crate::telemetry::Level;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use std::net::SocketAddr;
use tidegate_event::Span;

/// Checks the whole tree and reports everything that is wrong with it; what is wrong has its default in the result.
pub(super) fn resolve(root: &mut Section<'_>) -> Config {
    let data = root.text("data", "\"./tidegate-data\"").unwrap_or_else(|| "./tidegate-data".into());
    let log = log(root.section("log"));
    let logs = log.enabled;
    Config {
        data: data.into(),
        log,
        engine: engine(root.section("engine")),
        http: http(root.section("http"), logs),
        websocket: websocket(root.section("websocket"), logs),
        sse: sse(root.section("sse")),
        instrumentation: instrumentation(root.section("instrumentation")),
        history: history(root.section("history")),
        dead_letters: dead_letters(root.section("dead_letters")),
        inputs: root.named("inputs").into_iter().filter_map(|named| input(named, logs)).collect(),
        outputs: outputs(root),
        warnings: Vec::new(),
        source: Source::default(),
    }
}

fn outputs(root: &mut Section<'_>) -> Vec<Output> {
    let sections = root.named("outputs");
    let all = sections.len();
    let spots: Vec<_> = sections.iter().map(|(name, at)| (name.clone(), at.spot_of("to"))).collect();
    let outputs: Vec<Output> = sections.into_iter().filter_map(output).collect();
    // Where one could not be read, others may name it all the same.
    if outputs.len() == all {
        targets(&outputs, &spots, &mut |problem| root.error(problem));
    }
    outputs
}

fn log(mut at: Section<'_>) -> Log {
    let log = Log {
        enabled: at.switch("enabled", true),
        segment: at.size("segment", ("1MiB", "4GiB"), "64MiB"),
        keep_bytes: at.size("keep_bytes", ("1MiB", "1024TiB"), "1GiB"),
        keep_for: at.time("keep_for", ("1m", "36500d"), "7d"),
        checkpoint: at.time("checkpoint", ("100ms", "1d"), "10s"),
    };
    if log.keep_bytes < log.segment {
        let problem = Problem::new(at.spot_of("keep_bytes"), "`keep_bytes` is smaller than `segment`".into());
        at.error(problem.hint("whole files are removed, and the one being written never is"));
    }
    at.finish();
    log
}

fn engine(mut at: Section<'_>) -> Engine {
    // The other half decodes what comes in and writes the log.
    let half = std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).clamp(1, 64)) as u64;
    let engine = Engine {
        shards: at.count("shards", 1..=64, half) as usize,
        pin: at.switch("pin", false),
        in_flight: at.size("in_flight", ("1MiB", "64GiB"), "64MiB") as usize,
        default_ttl: Span(at.time("default_ttl", ("1s", "36500d"), "60s").as_micros() as i64),
        max_streams: at.count("max_streams", 1..=1_000_000_000, 1_000_000) as usize,
    };
    at.finish();
    engine
}

/// Warns when an address can be reached from outside.
fn open_to_others(at: &Section<'_>, key: &str, address: SocketAddr) {
    if !address.ip().is_loopback() {
        let message =
            format!("{address} can be reached from other machines, without encryption or a password");
        at.warn(Problem::new(at.spot_of(key), message).hint("use 127.0.0.1, or a firewall"));
    }
}

/// What an answer means. A level that cannot be kept is a mistake, never silently a lower one.
fn ack(at: &mut Section<'_>, logs: bool) -> Level {
    let words =
        [Level::Logged, Level::Synced, Level::Accepted, Level::None].map(|level| (level.name(), level));
    let level = at.word("ack", &words, if logs { Level::Logged } else { Level::Accepted });
    if level > Level::Accepted && !logs {
        let message = format!("`ack = \"{}\"` needs the log, which is switched off", level.name());
        let hint = "use \"accepted\" or \"none\", or set log.enabled = true";
        at.error(Problem::new(at.spot_of("ack"), message).hint(hint));
    }
    level
}

fn http(mut at: Section<'_>, logs: bool) -> Http {
    let address = at.listener("address", "127.0.0.1:5559").unwrap_or(([127, 0, 0, 1], 5559).into());
    let allow_remote = at.switch("allow_remote", false);
    if address.ip().is_loopback() || allow_remote {
        open_to_others(&at, "address", address);
    } else {
        let message = format!("{address} would let every machine that reaches it read all there is");
        let problem = Problem::new(at.spot_of("address"), message);
        at.error(
            problem.hint(
                "use 127.0.0.1, or set http.allow_remote = true where only trusted machines can connect",
            ),
        );
    }
    let token = at.secret_if_given("token").filter(|token| {
        let good = (16..=256).contains(&token.reveal().len())
            && token.reveal().bytes().all(|byte| byte.is_ascii_graphic());
        if !good {
            let message = "`token` has 16 to 256 letters, digits and signs, without spaces".to_owned();
            let problem = Problem::new(at.secret_spot("token"), message);
            at.error(problem.hint("such as what `openssl rand -hex 16` prints"));
        }
        good
    });
    let ack = ack(&mut at, logs);
    let public_url = at.text("public_url", "\"https://tidegate.example\"");
    if let Some(url) = &public_url
        && !reqwest::Url::parse(url)
            .is_ok_and(|url| url.has_host() && matches!(url.scheme(), "http" | "https"))
    {
        let message =
            format!("`public_url` is \"{}\", an address of the web was expected", url.escape_debug());
        at.error(
            Problem::new(at.spot_of("public_url"), message).hint("such as \"https://tidegate.example\""),
        );
    }
    at.finish();
    Http { ack, address, allow_remote, token, public_url }
}

fn websocket(mut at: Section<'_>, logs: bool) -> WebSocket {
    let enabled = at.switch("enabled", true);
    let address = at.listener("address", "127.0.0.1:5556").unwrap_or(([127, 0, 0, 1], 5556).into());
    if enabled {
        open_to_others(&at, "address", address);
    }
    let ack = ack(&mut at, logs);
    at.finish();
    WebSocket { ack, enabled, address }
}

/// Off unless asked for, as in Riemann.
fn sse(mut at: Section<'_>) -> Sse {
    let enabled = at.switch("enabled", false);
    let address = at.listener("address", "127.0.0.1:5558").unwrap_or(([127, 0, 0, 1], 5558).into());
    if enabled {
        open_to_others(&at, "address", address);
    }
    let mut headers = HeaderMap::new();
    for (name, value) in at.secrets("headers") {
        match (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.reveal())) {
            (Ok(name), Ok(value)) => {
                headers.insert(name, value);
            }
            _ => {
                at.error(Problem::new(at.spot_of("headers"), format!("`{name}` cannot be sent as a header")))
            }
        }
    }
    at.finish();
    Sse { enabled, address, headers }
}

fn instrumentation(mut at: Section<'_>) -> Instrumentation {
    let instrumentation = Instrumentation {
        enabled: at.switch("enabled", true),
        interval: at.time("interval", ("100ms", "1d"), "10s"),
    };
    at.finish();
    instrumentation
}

fn history(mut at: Section<'_>) -> history::Settings {
    let settings = history::Settings {
        memory: at.size("memory", ("1MiB", "64GiB"), "64MiB"),
        step: Span(at.time("step", ("1s", "10m"), "5s").as_micros() as i64),
    };
    at.finish();
    settings
}

fn dead_letters(mut at: Section<'_>) -> Keep {
    let keep = Keep {
        bytes: at.size("keep_bytes", ("128KiB", "4GiB"), "16MiB"),
        age: at.time("keep_for", ("1m", "36500d"), "30d"),
    };
    at.finish();
    keep
}

#[derive(Clone, Copy, PartialEq)]
enum InputType {
    Riemann,
    Host,
    Fleet,
}

fn input((name, mut at): (String, Section<'_>), logs: bool) -> Option<Input> {
    if name == INSTRUMENTATION {
        let message = format!("the input `{INSTRUMENTATION}` is the node itself");
        let problem = Problem::new(at.spot(), message);
        at.error(problem.hint("choose another name; what it reports is set in [instrumentation]"));
        return None;
    }
    let words = [
        ("riemann", Some(InputType::Riemann)),
        ("host", Some(InputType::Host)),
        ("fleet", Some(InputType::Fleet)),
    ];
    at.required_word("type", &words);
    let kind = match at.word("type", &words, None)? {
        InputType::Riemann => InputKind::Riemann(riemann_input(&mut at, logs)),
        InputType::Host => InputKind::Host(Host {
            every: at.time("every", ("100ms", "1d"), "5s"),
            host: at.text("host", "\"web1\""),
        }),
        InputType::Fleet => InputKind::Fleet(Fleet {
            hosts: at.count("hosts", 1..=10_000, 40) as usize,
            services: at.count("services", 1..=12, 12) as usize,
            every: at.time("every", ("100ms", "1h"), "1s"),
            incidents: at.time("incidents", ("10s", "1d"), "2m"),
            seed: at.count("seed", 0..=i64::MAX as u64, 1),
        }),
    };
    at.finish();
    Some(Input { name, kind })
}

fn riemann_input(at: &mut Section<'_>, logs: bool) -> Riemann {
    let (mut tcp, mut udp) = (at.listener("tcp", "127.0.0.1:5555"), at.listener("udp", "127.0.0.1:5555"));
    if !at.has("tcp") && !at.has("udp") {
        tcp = Some(([127, 0, 0, 1], 5555).into());
        udp = tcp;
    }
    for (key, address) in [("tcp", tcp), ("udp", udp)] {
        if let Some(address) = address {
            open_to_others(at, key, address);
        }
    }
    Riemann {
        ack: ack(at, logs),
        tcp,
        udp,
        max_frame: at.size("max_frame", ("1KiB", "1GiB"), "16MiB") as usize,
        max_datagram: at.size("max_datagram", ("512B", "64KiB"), "16KiB") as usize,
        stall: at.time("stall", ("10ms", "1h"), "10s"),
        idle: at.time("idle", ("1s", "365d"), "1h"),
        unread: at.time("unread", ("10ms", "1h"), "30s"),
        max_connections: at.count("max_connections", 1..=1_000_000, 10_000) as usize,
        max_per_address: at.count("max_per_address", 1..=1_000_000, 1_000) as usize,
    }
}
