//! Templates of the operator's (Jinja, by minijinja) over an event: what a person reads is written by whoever knows them.
//!
//! A template sees `host`, `service`, `state`, `description`, `metric`, `time` (ISO 8601), `seconds` (since 1970), `ttl`,
//! `tags`, `attributes`, `rule`, `output`, `id`, and `notice`: what the handling of alerts adds, or none. A name that is not
//! there is a mistake, not an empty text; a field that the event lacks is none and prints as nothing.

use super::Delivery;
use crate::clock;
use crate::config::{Problem, Section};
use minijinja::value::Value;
use minijinja::{Environment, UndefinedBehavior};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use tidegate_event::Metric;

/// Steps that one rendering may take: a loop over a loop ends.
const FUEL: u64 = 100_000;

/// Bytes that one rendering may make.
const LONGEST: usize = 1 << 20;

/// Every name that a template may use.
const NAMES: [&str; 14] = [
    "host",
    "service",
    "state",
    "description",
    "metric",
    "time",
    "seconds",
    "ttl",
    "tags",
    "attributes",
    "rule",
    "output",
    "id",
    "notice",
];

/// What begins the name of an attribute that a notice adds.
const NOTICE: &str = "alert.";

/// A template that has been read and found good.
#[derive(Clone)]
pub struct Template {
    source: String,
    engine: Arc<Environment<'static>>,
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Template({:?})", self.source)
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

/// Reads a template, if it is given; mistakes are reported to the section.
pub fn read(at: &mut Section<'_>, key: &'static str, example: &str) -> Option<Template> {
    let text = at.text(key, example)?;
    parse(at, key, text)
}

/// Reads a template, or takes this one.
pub fn read_or(at: &mut Section<'_>, key: &'static str, default: &str) -> Option<Template> {
    let text = at.text_or(key, default);
    parse(at, key, text)
}

fn parse(at: &Section<'_>, key: &'static str, text: String) -> Option<Template> {
    Template::parse(text)
        .map_err(|why| at.error(Problem::new(at.spot_of(key), format!("`{key}` is no template: {why}"))))
        .ok()
}

impl Template {
    /// Checks grammar and names.
    pub fn parse(source: impl Into<String>) -> Result<Self, String> {
        let source = source.into();
        let mut engine = Environment::new();
        engine.set_undefined_behavior(UndefinedBehavior::Strict);
        engine.set_fuel(Some(FUEL));
        engine.set_keep_trailing_newline(true);
        engine.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        engine.set_formatter(|out, state, value| match value.is_none() {
            true => Ok(()),
            false => minijinja::escape_formatter(out, state, value),
        });
        engine.add_template_owned("t", source.clone()).map_err(|error| said(&error))?;
        let unknown = engine
            .get_template("t")
            .map_err(|error| said(&error))?
            .undeclared_variables(false)
            .into_iter()
            // Functions such as `range` are names as well.
            .filter(|name| {
                !NAMES.contains(&name.as_str()) && engine.globals().all(|(known, _)| known != name)
            })
            .min();
        match unknown {
            Some(name) => Err(format!("`{name}` is unknown, known are {}", NAMES.join(", "))),
            None => Ok(Self { source, engine: Arc::new(engine) }),
        }
    }

    /// The text for an event, or why there is none.
    pub fn render(&self, delivery: &Delivery) -> Result<String, String> {
        let template = self.engine.get_template("t").map_err(|error| said(&error))?;
        let mut out = Bounded(Vec::new());
        template.render_captured_to(context(delivery), &mut out).map_err(|error| said(&error))?;
        String::from_utf8(out.0).map_err(|_| "it gives no UTF-8".to_owned())
    }
}

/// An error in a line.
fn said(error: &minijinja::Error) -> String {
    let mut text = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    if let Some(line) = error.line() {
        text += &format!(" (line {line})");
    }
    text
}

/// Refuses to grow without end.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LONGEST {
            return Err(io::Error::other("it gives more than 1 MiB"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Everything that a template may use.
pub fn context(delivery: &Delivery) -> Value {
    let event = delivery.event();
    let metric = event.number().map(|metric| match metric {
        Metric::Int(whole) => Value::from(whole),
        Metric::Float(fraction) => Value::from(fraction),
    });
    let attributes: BTreeMap<&str, &str> = event.attributes().collect();
    let notice: BTreeMap<&str, Value> = attributes
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(NOTICE)?, read_back(value))))
        .collect();
    let values: BTreeMap<&str, Value> = BTreeMap::from([
        ("host", Value::from(event.host())),
        ("service", Value::from(event.service())),
        ("state", Value::from(event.state())),
        ("description", Value::from(event.description())),
        ("metric", Value::from(metric)),
        ("time", Value::from(clock::iso8601(event.time()))),
        ("seconds", Value::from(event.time().0 as f64 / 1e6)),
        ("ttl", Value::from(event.ttl())),
        ("tags", event.tags().map(Value::from).collect()),
        ("attributes", Value::from_serialize(&attributes)),
        ("rule", Value::from(&*delivery.rule)),
        ("output", Value::from(&*delivery.declared)),
        ("id", Value::from(delivery.id())),
        ("notice", if notice.is_empty() { Value::from(()) } else { Value::from_serialize(&notice) }),
    ]);
    Value::from_serialize(&values)
}

/// Lists travel as JSON.
fn read_back(value: &str) -> Value {
    let list =
        value.starts_with('[').then(|| serde_json::from_str::<serde_json::Value>(value).ok()).flatten();
    list.map_or_else(|| Value::from(value), |list| Value::from_serialize(&list))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_event::{BatchBuilder, NewEvent, Timestamp};

    fn delivery(attributes: &[(&str, &str)]) -> Delivery {
        let mut builder = BatchBuilder::new();
        builder.push(&NewEvent {
            time: Some(Timestamp::from_secs(1_700_000_000)),
            host: Some("web1"),
            service: Some("api"),
            metric: Some(Metric::Int(3)),
            tags: &["a", "b"],
            attributes,
            ..NewEvent::default()
        });
        Delivery { rule: "r".into(), declared: "out".into(), position: 7, n: 0, batch: builder.finish() }
    }

    fn render(text: &str, attributes: &[(&str, &str)]) -> Result<String, String> {
        Template::parse(text).unwrap().render(&delivery(attributes))
    }

    #[test]
    fn a_template_sees_the_event_and_where_it_came_from() {
        let text = "{{ host }} {{ service }}[{{ state }}] {{ metric }} {{ tags|join(',') }} {{ attributes.dc }} \
                    {{ rule }} {{ id }} {{ time }} {{ seconds|int }}\n";
        assert_eq!(
            render(text, &[("dc", "eu")]).unwrap(),
            "web1 api[] 3 a,b eu r 7:r:0 2023-11-14T22:13:20.000Z 1700000000\n"
        );
    }

    #[test]
    fn a_notice_is_there_when_the_event_is_one() {
        let text = "{% if notice %}{{ notice.notice }} {{ notice.events|length }}{% else %}-{% endif %}";
        assert_eq!(render(text, &[]).unwrap(), "-");
        let attributes = [("alert.notice", "firing"), ("alert.events", "[{\"host\":\"a\"}]")];
        assert_eq!(render(text, &attributes).unwrap(), "firing 1");
    }

    #[test]
    fn what_is_not_there_is_a_mistake() {
        assert_eq!(Template::parse("{{ hosst }}").unwrap_err().split(',').next(), Some("`hosst` is unknown"));
        assert!(Template::parse("{{ host").unwrap_err().contains("line 1"));
        assert!(render("{{ attributes.nope }}", &[]).unwrap_err().contains("undefined"));
        assert_eq!(render("{{ attributes.nope|default('x') }}", &[]).unwrap(), "x");
    }

    #[test]
    fn no_template_runs_or_grows_for_ever() {
        let endless = "{% for a in range(9999) %}{% for b in range(9999) %}{{ a }}{% endfor %}{% endfor %}";
        assert!(render(endless, &[]).unwrap_err().contains("fuel"), "{:?}", render(endless, &[]));
        let long = "{% for a in range(9999) %}{{ attributes.x }}{% endfor %}";
        assert!(render(long, &[("x", &"y".repeat(1000))]).is_err());
    }
}
