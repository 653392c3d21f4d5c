//! What distinguishes the series of one name: fields and attributes of the event, and texts of the operator's. InfluxDB,
//! OpenTSDB and Graphite call them tags, Prometheus calls them labels.

use super::Delivery;
use crate::config::Section;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Labels at most.
const MOST: usize = 64;

/// How a list of them is written.
const EXAMPLE: &str = "[\"host\", \"dc\"]";

/// Which labels an event gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// Fields and attributes, by name.
    pub from: Vec<String>,
    /// The same for all events.
    pub fixed: Vec<(String, String)>,
}

/// Reads the list under this key (`["host"]` if it is not given) and the table `fixed`.
pub fn read(at: &mut Section<'_>, key: &'static str) -> Labels {
    Labels {
        from: at.texts_or(key, MOST, &["host"], EXAMPLE),
        fixed: at.pairs("fixed", "{ env = \"prod\" }"),
    }
}

/// Reads `tags` and `fixed`, where an event need not have any.
pub fn read_tags(at: &mut Section<'_>) -> Option<Labels> {
    let from = at.texts_or("tags", MOST, &[], EXAMPLE);
    let fixed = at.pairs("fixed", "{ env = \"prod\" }");
    (!from.is_empty() || !fixed.is_empty()).then_some(Labels { from, fixed })
}

/// Reads a list of fields and attributes.
pub fn read_fields(at: &mut Section<'_>, key: &'static str) -> Vec<String> {
    at.texts_or(key, MOST, &[], "[\"state\"]")
}

impl Labels {
    /// The labels of an event by name, without empty ones. An event's own win over fixed ones. `tags` gives a label for each
    /// tag `name=value`, and one called `tags` for the others, joined by commas.
    pub fn of<'a>(&'a self, delivery: &'a Delivery) -> BTreeMap<Cow<'a, str>, Cow<'a, str>> {
        let event = delivery.event();
        let mut labels: BTreeMap<Cow<'a, str>, Cow<'a, str>> = BTreeMap::new();
        for (name, value) in &self.fixed {
            labels.insert(name.into(), value.into());
        }
        for name in &self.from {
            let value = match name.as_str() {
                "host" => event.host(),
                "service" => event.service(),
                "state" => event.state(),
                "rule" => Some(&*delivery.rule),
                "tags" => {
                    let mut rest = String::new();
                    for tag in event.tags() {
                        match tag.split_once('=') {
                            Some((name, value)) if !name.is_empty() && !value.is_empty() => {
                                labels.insert(name.into(), value.into());
                            }
                            _ => {
                                rest += if rest.is_empty() { "" } else { "," };
                                rest += tag;
                            }
                        }
                    }
                    if !rest.is_empty() {
                        labels.insert("tags".into(), rest.into());
                    }
                    continue;
                }
                other => event.attribute(other),
            };
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                labels.insert(name.into(), value.into());
            }
        }
        labels.retain(|_, value| !value.is_empty());
        labels
    }
}

/// A text in which each character that is not allowed becomes `_`.
pub fn clean(text: &str, allowed: impl Fn(char) -> bool) -> String {
    text.chars().map(|c| if allowed(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_event::{BatchBuilder, NewEvent};

    #[test]
    fn labels_come_from_fields_attributes_tags_and_the_operator() {
        let mut builder = BatchBuilder::new();
        builder.push(&NewEvent {
            host: Some("web1"),
            state: Some(""),
            tags: &["prod", "rack=7", "edge"],
            attributes: &[("dc", "eu"), ("unused", "x")],
            ..NewEvent::default()
        });
        let delivery =
            Delivery { rule: "r".into(), declared: "o".into(), position: 1, n: 0, batch: builder.finish() };
        let from = ["host", "state", "dc", "tags", "missing"].map(str::to_owned).to_vec();
        let fixed = vec![("env".into(), "test".into()), ("host".into(), "other".into())];
        let labels = Labels { from, fixed };
        let found: Vec<_> =
            labels.of(&delivery).iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(found, ["dc=eu", "env=test", "host=web1", "rack=7", "tags=prod,edge"]);
    }
}
