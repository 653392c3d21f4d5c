//! A message in a Slack channel for each notice: an attachment for each alert, coloured by its state.
//!
//! The address is that of an incoming webhook, or of `chat.postMessage` with a token. Slack forgets nothing it has shown and
//! knows no repetition: a message may come twice.

use super::alerts::Kind as Told;
use super::http::{self, Client};
use super::kinds::{Kind, Place};
use super::notice::{Item, Notice, cut};
use super::template::{self, Template};
use super::wording as words;
use super::{Delivery, SendError, Sink, Verdict, Which};
use crate::config::Section;
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Attachments of one message; Slack shows no more than it has patience for.
const ATTACHMENTS: usize = 20;

/// What Slack shows of a title and of a text, in bytes.
const TITLE: usize = 1_024;
const TEXT: usize = 3_000;

/// `type = "slack"`
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where to.
    pub http: http::Settings,
    /// The channel, where the address does not say.
    pub channel: Option<String>,
    /// Under which name.
    pub username: String,
    /// With which picture, `:bell:`.
    pub icon_emoji: Option<String>,
    /// Instead of the usual title.
    pub title: Option<Template>,
    /// Instead of the usual text.
    pub text: Option<Template>,
}

impl Kind for Settings {
    type Sink = Slack;

    fn read(at: &mut Section<'_>) -> Option<Self> {
        let (title, text) = words_of(at, "title");
        Some(Self {
            channel: at.text("channel", "\"#alerts\""),
            username: at.text_or("name", "Tidegate"),
            icon_emoji: at.text("icon_emoji", "\":bell:\""),
            title,
            text,
            http: http::read(at, "https://hooks.slack.com/services/T0/B0/X")?,
        })
    }

    fn sink(&self, _: &Place) -> Result<Slack, String> {
        Ok(Slack { client: Client::new(&self.http)?, settings: self.clone() })
    }
}

/// Reads the templates of a title, which has a name of its own in each medium, and of a text.
pub fn words_of(at: &mut Section<'_>, title: &'static str) -> (Option<Template>, Option<Template>) {
    let title = template::read(at, title, "\"{{ host }} {{ service }} is {{ state }}\"");
    (title, template::read(at, "text", "\"{{ description }}\""))
}

/// Posts messages.
#[derive(Debug)]
pub struct Slack {
    client: Client,
    settings: Settings,
}

impl Sink for Slack {
    async fn send(&mut self, batch: &[Arc<Delivery>]) -> Result<(), SendError> {
        for (delivered, delivery) in batch.iter().enumerate() {
            let sent = match self.message(delivery) {
                Ok(message) => self.post(&message).await,
                Err(why) => Err(SendError::refused(Which::First, why)),
            };
            sent.map_err(|error| SendError { delivered, ..error })?;
        }
        Ok(())
    }

    fn preview(&mut self, batch: &[Arc<Delivery>]) -> Result<String, SendError> {
        let mut text = String::new();
        for (delivered, delivery) in batch.iter().enumerate() {
            let refused = |why| SendError { delivered, ..SendError::refused(Which::First, why) };
            let message = self.message(delivery).map_err(refused)?;
            let body = serde_json::to_string_pretty(&message).unwrap_or_default();
            text += &self.client.describe(&Method::POST, &self.client.url("", &[]), &(body + "\n\n"));
        }
        Ok(text)
    }
}

impl Slack {
    async fn post(&self, message: &Value) -> Result<(), SendError> {
        let body = message.to_string().into_bytes();
        let request = self.client.post(self.client.url("", &[]), "application/json", body);
        // One message is one event: what is wrong with it is wrong with nothing else.
        let answer = self.client.send(request).await.map_err(alone)?;
        // `chat.postMessage` answers 200 whatever happens.
        let answer: Option<Value> = serde_json::from_slice(&answer.body).ok();
        let Some(error) = answer.filter(|answer| answer["ok"] == false) else { return Ok(()) };
        let error = error["error"].as_str().unwrap_or("no reason").to_owned();
        let message = format!("Slack answered {error}");
        Err(match error.as_str() {
            "ratelimited" | "rate_limited" => {
                let verdict = Verdict::Later(Duration::from_secs(30));
                SendError { verdict, delivered: 0, message }
            }
            "internal_error" | "fatal_error" | "service_unavailable" | "request_timeout" => {
                SendError::later(message)
            }
            "msg_too_long" | "invalid_blocks" | "invalid_arguments" | "no_text" => {
                SendError::refused(Which::First, message)
            }
            _ => SendError::refused(Which::All, message),
        })
    }

    /// The message for a notice.
    pub fn message(&self, delivery: &Delivery) -> Result<Value, String> {
        let notice = Notice::read(delivery);
        let Settings { channel, username, icon_emoji, title, text, .. } = &self.settings;
        let heading = words::title(delivery, &notice, title.as_ref())?;
        let heading = escaped(cut(&heading, TITLE));
        let mut attachments: Vec<Value> = match text {
            Some(_) => {
                let text = words::text(delivery, &notice, text.as_ref())?;
                vec![attachment(notice.first(), &heading, cut(&text, TEXT), delivery)]
            }
            None => notice
                .items
                .iter()
                .take(ATTACHMENTS)
                .map(|item| self.of(item, &notice, &heading, delivery))
                .collect(),
        };
        let more = notice.items.len().saturating_sub(ATTACHMENTS);
        if more > 0 || notice.held > 0 {
            let mut note = Vec::new();
            if more > 0 {
                note.push(format!("and {more} alerts more"));
            }
            if notice.held > 0 {
                note.push(format!("{} notices were held back, because there were too many", notice.held));
            }
            if let Some(last) = attachments.last_mut() {
                last["footer"] = note.join("; ").into();
            }
        }
        let mut message = json!({ "username": username, "attachments": attachments });
        if let Some(channel) = channel {
            message["channel"] = channel.as_str().into();
        }
        if let Some(icon) = icon_emoji {
            message["icon_emoji"] = icon.as_str().into();
        }
        // What `chat.postMessage` shows in a notification.
        message["text"] = if notice.items.len() > 1 { heading.into() } else { "".into() };
        Ok(message)
    }

    fn of(&self, item: &Item, notice: &Notice, heading: &str, delivery: &Delivery) -> Value {
        let alone = notice.items.len() == 1;
        let word = item.kind().word().to_uppercase();
        let title = if alone {
            heading.to_owned()
        } else {
            escaped(&format!("[{word}] {} is {}", words::stream(item), item.state.as_deref().unwrap_or("-")))
        };
        let mut text = String::new();
        if let Some(description) = item.description.as_deref().filter(|text| !text.is_empty()) {
            text += &format!("{}\n", escaped(cut(description, TEXT - 1_000)));
        }
        text += &format!("*{}*\n", escaped(&words::state(item)));
        text +=
            &format!("{}{}\n", escaped(&words::since(item)), if item.flapping { ", flapping" } else { "" });
        text += &escaped(&words::why(item));
        if let Some(by) = &item.acknowledged {
            let note = item.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
            text += &escaped(&format!("\nacknowledged by {by}{note}"));
        }
        attachment(item, &title, &text, delivery)
    }
}

/// The fields that Alertmanager sends as well.
fn attachment(item: &Item, title: &str, text: &str, delivery: &Delivery) -> Value {
    let mut attachment = json!({
        "title": title, "text": text, "fallback": title, "callback_id": "", "footer": delivery.id(),
        "color": colour(item), "mrkdwn_in": ["fallback", "pretext", "text"],
    });
    if let Some(url) = &item.url {
        attachment["title_link"] = url.as_str().into();
    }
    attachment
}

fn colour(item: &Item) -> &'static str {
    match (item.kind(), item.state.as_deref()) {
        (Told::Resolved, _) => "good",
        (Told::Acknowledged, _) => "#439fe0",
        (_, Some("warning")) => "warning",
        _ => "danger",
    }
}

/// What Slack takes for its own is written so that it does not.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A refusal of a request that held one event alone.
pub fn alone(error: SendError) -> SendError {
    match error.verdict {
        Verdict::Refused(Which::Some) => SendError { verdict: Verdict::Refused(Which::First), ..error },
        _ => error,
    }
}
