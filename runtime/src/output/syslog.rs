//! Syslog as RFC 5424 writes it: over UDP, a message a datagram (RFC 5426); over TCP and TLS, each behind its length
//! (RFC 6587, RFC 5425); or to the socket of this machine.
//!
//! Syslog has no answers. What was written lately is therefore written again when a connection has broken, with the same id
//! in its data; what went in datagrams while the receiver was away is lost.

use super::encode::{Encoded, encode};
use super::kinds::{Kind, Place};
use super::lines::Lines;
use super::stream::{self, Protocol, Wire};
use super::template::{self, Template};
use super::words::{cut, moment, sentence};
use super::{Delivery, Keys, SendError, Sink};
use crate::config::{Problem, Section};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// The facilities, in the order of their numbers.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];

/// Bytes of one message over a stream.
const LONGEST: usize = 64 << 10;

/// `type = "syslog"`
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where it listens.
    pub wire: stream::Settings,
    /// The facility's number.
    pub facility: u8,
    /// Who says so.
    pub app_name: String,
    /// The name of the structured data: what stands before the `@` is ours, the number is its owner's.
    pub sd_id: String,
    /// What is said.
    pub message: Option<Template>,
    /// How far back messages are written again after a connection broke.
    pub resend: Duration,
}

impl Kind for Settings {
    type Sink = Syslog;

    fn read(at: &mut Section<'_>) -> Option<Self> {
        let words: Vec<_> = FACILITIES.into_iter().zip(0u8..).collect();
        let facility = at.word("facility", &words, 1);
        let app_name = at.text_or("app_name", "tidegate");
        if app_name.is_empty() || app_name.len() > 48 || !app_name.bytes().all(|byte| byte.is_ascii_graphic())
        {
            let message = "`app_name` takes 1 to 48 printable ASCII characters".into();
            at.error(Problem::new(at.spot_of("app_name"), message));
        }
        let sd_id = at.text_or("sd_id", "tidegate@32473");
        if sd_id.is_empty() || sd_id.len() > 32 || sd_id.chars().any(|c| !is_name(c)) {
            let problem = Problem::new(at.spot_of("sd_id"), "`sd_id` is no name of structured data".into());
            at.error(problem.hint("such as \"tidegate@32473\", with your own enterprise number"));
        }
        let message = template::read(at, "message", "\"{{ service }} is {{ state }}\"");
        let resend = at.time("resend", ("0s", "1h"), "10s");
        let words = [("tcp", Protocol::Tcp), ("udp", Protocol::Udp), ("unix", Protocol::UnixDatagram)];
        let wire = stream::read(at, "127.0.0.1:514", &words)?;
        Some(Self { wire, facility, app_name, sd_id, message, resend })
    }

    fn sink(&self, place: &Place) -> Result<Syslog, String> {
        let way = match self.wire.is_datagram() {
            true => Way::Datagrams(Wire::new(&self.wire)?),
            false => Way::Stream(Lines::new(&self.wire, self.resend)?),
        };
        Ok(Syslog { way, settings: self.clone(), keys: place.keys })
    }
}

#[derive(Debug)]
enum Way {
    Stream(Lines),
    Datagrams(Wire),
}

/// Writes messages.
#[derive(Debug)]
pub struct Syslog {
    way: Way,
    settings: Settings,
    keys: Keys,
}

impl Sink for Syslog {
    async fn send(&mut self, batch: &[Arc<Delivery>]) -> Result<(), SendError> {
        let mut ends = Vec::new();
        let mut encoded = self.encoded(batch, matches!(self.way, Way::Stream(_)), &mut ends);
        match &mut self.way {
            Way::Stream(lines) => lines.send(std::mem::take(&mut encoded.body)).await,
            Way::Datagrams(wire) => wire.datagrams(parts(&encoded.body, &ends)).await,
        }
        .map_err(SendError::later)?;
        encoded.sent()
    }

    fn preview(&mut self, batch: &[Arc<Delivery>]) -> Result<String, SendError> {
        let mut ends = Vec::new();
        let encoded = self.encoded(batch, false, &mut ends);
        let lines = parts(&encoded.body, &ends);
        let text: String = lines.iter().map(|line| String::from_utf8_lossy(line) + "\n").collect();
        encoded.sent().map(|()| text)
    }
}

impl Syslog {
    fn encoded(&self, batch: &[Arc<Delivery>], counted: bool, ends: &mut Vec<usize>) -> Encoded {
        let most = if counted { LONGEST } else { self.settings.wire.max_datagram.max(480) };
        encode(batch, |to, delivery| {
            let line = self.settings.line(&self.keys.of(delivery), delivery)?;
            // Whoever reads a message may cut it off: so do we, where it is known how much goes through.
            let line = cut(&line, most);
            if counted {
                to.extend_from_slice(format!("{} ", line.len()).as_bytes());
            }
            to.extend_from_slice(line.as_bytes());
            ends.push(to.len());
            Ok(())
        })
    }
}

/// The messages of a body that ends in these places.
fn parts<'b>(body: &'b [u8], ends: &[usize]) -> Vec<&'b [u8]> {
    let mut start = 0;
    ends.iter().map(|end| &body[std::mem::replace(&mut start, *end)..*end]).collect()
}

impl Settings {
    /// `<PRI>1 TIME HOST APP - MSGID [structured data] BOM message`
    fn line(&self, key: &str, delivery: &Delivery) -> Result<String, String> {
        let event = delivery.event();
        let priority = u16::from(self.facility) * 8 + severity(event.state());
        let host = header(event.host().unwrap_or_default(), 255);
        let rule = header(&delivery.rule, 32);
        let time = moment(event.time().0);
        let mut line = format!("<{priority}>1 {time:.6} {host} {} - {rule} [{}", self.app_name, self.sd_id);
        let number = event.number().map(|metric| metric.to_string());
        let tags = event.tags().collect::<Vec<_>>().join(",");
        let fields = [
            ("id", Some(key)),
            ("output", Some(&*delivery.declared)),
            ("service", event.service()),
            ("state", event.state()),
            ("metric", number.as_deref()),
            ("tags", Some(&*tags)),
        ];
        for (name, value) in fields {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                parameter(&mut line, name, value);
            }
        }
        for (name, value) in event.attributes() {
            let name: String = name.chars().map(|c| if is_name(c) { c } else { '_' }).take(27).collect();
            parameter(&mut line, &format!("attr.{name}"), value);
        }
        let text = match &self.message {
            None => sentence(delivery),
            Some(template) => template.render(delivery)?,
        };
        // The mark says that the text is UTF-8. Line ends would end the message for receivers that read lines.
        let _ = write!(line, "] \u{feff}{}", text.trim_end().replace(['\r', '\n', '\0'], " "));
        Ok(line)
    }
}

/// From 0, the system is unusable, to 7, debug.
fn severity(state: Option<&str>) -> u16 {
    match state.unwrap_or_default() {
        "emergency" | "emerg" | "panic" => 0,
        "alert" => 1,
        "critical" | "crit" | "fatal" => 2,
        "error" | "err" => 3,
        "warning" | "warn" | "expired" => 4,
        "ok" | "info" | "up" => 6,
        "debug" => 7,
        _ => 5,
    }
}

/// A word of the header: printable ASCII, `-` where there is nothing.
fn header(text: &str, most: usize) -> String {
    let word: String = text.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).take(most).collect();
    if word.is_empty() { "-".into() } else { word }
}

/// What a name in structured data may be made of.
fn is_name(c: char) -> bool {
    c.is_ascii_graphic() && !matches!(c, '=' | ']' | '"')
}

fn parameter(to: &mut String, name: &str, value: &str) {
    let _ = write!(to, " {name}=\"");
    for c in value.chars() {
        match c {
            '"' | '\\' | ']' => to.extend(['\\', c]),
            c if c.is_control() => to.push(' '),
            c => to.push(c),
        }
    }
    to.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::{described, named, sink, with};

    fn settings() -> Settings {
        Settings {
            wire: stream::Settings::tcp("x:514"),
            facility: 16,
            app_name: "tidegate".into(),
            sd_id: "tidegate@32473".into(),
            message: None,
            resend: Duration::ZERO,
        }
    }

    #[test]
    fn a_message_has_a_severity_from_the_state_and_says_everything_in_its_data() {
        let mut syslog: Syslog = sink(&settings());
        let event = with(&["a", "b"], &[("dc", "eu\"]\\"), ("b=d n", "x\ny")], "web 1", "api");
        let batch = [event, described("", "api", "odd", "line\nend"), named("web1", "api", "critical")];
        let preview = syslog.preview(&batch.map(Arc::new)).unwrap();
        expect_test::expect![[r#"
            <134>1 2023-11-14T22:13:20.000000Z web_1 tidegate - slow_api [tidegate@32473 id="7:slow_api:0:49935998d2374c66" output="pager" service="api" state="ok" metric="0" tags="a,b" attr.dc="eu\"\]\\" attr.b_d_n="x y"] BOMweb 1 api is ok at 0
            <133>1 2023-11-14T22:13:20.000000Z - tidegate - slow_api [tidegate@32473 id="7:slow_api:0:1b5ea55cffeec382" output="pager" service="api" state="odd" metric="0"] BOMapi is odd at 0: line end
            <130>1 2023-11-14T22:13:20.000000Z web1 tidegate - slow_api [tidegate@32473 id="7:slow_api:0:8f68a87b72ea67bd" output="pager" service="api" state="critical" metric="0"] BOMweb1 api is critical at 0
        "#]].assert_eq(&preview.replace('\u{feff}', "BOM"));
    }

    #[test]
    fn over_a_stream_each_stands_behind_its_length_in_bytes() {
        let syslog: Syslog = sink(&settings());
        let batch = [described("web1", "api", "ok", "größer"), named("web2", "api", "ok")].map(Arc::new);
        let body = syslog.encoded(&batch, true, &mut Vec::new()).body;
        let mut rest = &body[..];
        for host in ["web1", "web2"] {
            let space = rest.iter().position(|byte| *byte == b' ').unwrap();
            let length: usize = std::str::from_utf8(&rest[..space]).unwrap().parse().unwrap();
            let message = std::str::from_utf8(&rest[space + 1..][..length]).unwrap();
            assert!(message.starts_with("<134>1 ") && message.contains(host), "{message}");
            rest = &rest[space + 1 + length..];
        }
        assert_eq!(rest, b"");
    }

    #[test]
    fn a_datagram_is_cut_and_not_lost() {
        let mut wire = settings();
        wire.wire.max_datagram = 500;
        let syslog: Syslog = sink(&wire);
        let batch = [Arc::new(described("web1", "api", "ok", &"é".repeat(2000)))];
        let encoded = syslog.encoded(&batch, false, &mut Vec::new());
        assert!((499..=500).contains(&encoded.body.len()), "{}", encoded.body.len());
        assert!(String::from_utf8(encoded.body).is_ok());
    }

    #[test]
    fn states_have_severities() {
        let severities =
            ["ok", "warning", "critical", "expired", "unknown", "error", "debug", "alert", "emerg"]
                .map(|state| severity(Some(state)));
        assert_eq!(severities, [6, 4, 2, 4, 5, 3, 7, 1, 0]);
        assert_eq!(severity(None), 5);
    }
}
