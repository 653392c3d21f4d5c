//! A notice in plain words, for people who were asleep a moment ago: what, where, since when, why, and where to look.

use super::Delivery;
use super::alerts::Kind;
use super::notice::{Item, Notice, cut};
use super::template::Template;
use std::fmt::Write;

/// Alerts that are told of one by one; the rest are counted.
const SHOWN: usize = 20;

/// Names in a title.
const NAMED: usize = 4;

/// The default title, or what the template makes of it.
pub fn title(delivery: &Delivery, notice: &Notice, template: Option<&Template>) -> Result<String, String> {
    let text = match template {
        Some(template) => template.render(delivery)?,
        None => plain_title(notice),
    };
    // A title is a line: it goes into headers and buttons.
    Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The default text, or what the template makes of it.
pub fn text(delivery: &Delivery, notice: &Notice, template: Option<&Template>) -> Result<String, String> {
    match template {
        Some(template) => template.render(delivery),
        None => Ok(plain_text(notice)),
    }
}

/// `[FIRING] web1 cpu is critical`, `[FIRING: 3 alerts] web1 cpu, web2 cpu, db1 disk`
pub fn plain_title(notice: &Notice) -> String {
    let word = notice.kind.word().to_uppercase();
    if let [item] = &notice.items[..] {
        let state = item.state.as_deref().unwrap_or("without a state");
        let mut title = format!("[{word}] {} is {state}", stream(item));
        match notice.kind {
            Kind::Acknowledged => {
                title += &format!(", {} cares", item.acknowledged.as_deref().unwrap_or("somebody"))
            }
            Kind::Escalated => title += ", nobody has acknowledged it",
            Kind::Repeated => title += " still",
            _ if item.flapping => title += ", flapping",
            _ => {}
        }
        return title;
    }
    let (all, open) = (notice.items.len(), notice.open());
    let count = match all - open {
        0 => format!("{all} alerts"),
        over => format!("{open} alerts, {over} resolved"),
    };
    let mut names: Vec<String> = notice.items.iter().take(NAMED).map(stream).collect();
    if all > NAMED {
        names.push(format!("{} more", all - NAMED));
    }
    format!("[{word}: {count}] {}", names.join(", "))
}

/// A paragraph for each alert.
pub fn plain_text(notice: &Notice) -> String {
    let mut text = String::new();
    if notice.held > 0 {
        let _ = writeln!(
            text,
            "{} notices were held back, because there were too many: this is what is so.\n",
            notice.held
        );
    }
    for item in notice.items.iter().take(SHOWN) {
        paragraph(&mut text, item);
        text.push('\n');
    }
    let more = notice.items.len().saturating_sub(SHOWN);
    if more > 0 {
        let _ = writeln!(text, "and {more} alerts more.");
    }
    text.trim_end().to_owned() + "\n"
}

/// The host and the service, as far as there are any.
pub fn stream(item: &Item) -> String {
    let names: Vec<&str> =
        [&item.host, &item.service].into_iter().filter_map(|name| name.as_deref()).collect();
    if names.is_empty() { item.key.clone() } else { names.join(" ") }
}

/// `critical (was warning), 97.3`
pub fn state(item: &Item) -> String {
    let mut text = item.state.clone().unwrap_or_else(|| "no state".into());
    if let Some(before) = item.before.as_deref().filter(|before| Some(*before) != item.state.as_deref()) {
        text += &format!(" (was {before})");
    }
    if let Some(metric) = item.metric {
        text += &format!(", {metric}");
    }
    text
}

/// `since 2026-11-21T03:00:00Z`, with its end if it has one.
pub fn since(item: &Item) -> String {
    match &item.until {
        Some(until) => format!("from {} until {until}", item.since),
        None => format!("since {}", item.since),
    }
}

/// `rule slow-api 1.2.3, deployment 4, 17 events`
pub fn why(item: &Item) -> String {
    let mut text = format!("rule {}", item.rule);
    if let Some(version) = &item.version {
        text += &format!(" {version}");
    }
    if let Some(generation) = item.generation {
        text += &format!(", deployment {generation}");
    }
    text + &format!(", {} event{}", item.count, if item.count == 1 { "" } else { "s" })
}

fn paragraph(text: &mut String, item: &Item) {
    let _ = writeln!(text, "{}: {}", stream(item), state(item));
    if let Some(description) = item.description.as_deref().filter(|text| !text.is_empty()) {
        let _ = writeln!(text, "  {}", cut(description, 1_000).trim_end().replace('\n', "\n  "));
    }
    let over = if item.is_over() { "over: " } else { "" };
    let flaps = if item.flapping { ", flapping" } else { "" };
    let _ = writeln!(text, "  {over}{}{flaps}", since(item));
    let _ = writeln!(text, "  {}", why(item));
    if let Some(by) = &item.acknowledged {
        let note = item.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
        let _ = writeln!(text, "  acknowledged by {by}{note}");
    }
    if let Some(url) = &item.url {
        let _ = writeln!(text, "  {url}");
    }
}
