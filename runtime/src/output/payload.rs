//! The forms in which an event goes to a receiver that takes bytes.

use super::Delivery;
use super::template::{self, Template};
use crate::config::{Problem, Section};
use std::iter::once;
use tidegate_engine::codec;

/// A form.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    /// A JSON object in the shape of Riemann's.
    Json,
    /// A MessagePack map.
    MessagePack,
    /// A Riemann message of one event.
    Protobuf,
    /// What the operator wrote.
    Text(Template),
}

#[derive(Clone, Copy, PartialEq)]
enum Word {
    Json,
    MessagePack,
    Protobuf,
    Text,
}

/// Reads `format` and `template`.
pub fn read(at: &mut Section<'_>) -> Option<Payload> {
    let words = [
        ("json", Word::Json),
        ("msgpack", Word::MessagePack),
        ("protobuf", Word::Protobuf),
        ("text", Word::Text),
    ];
    let template = template::read(at, "template", "\"{{ host }} is {{ state }}\"");
    let given = at.has("template");
    let word = at.word("format", &words, if given { Word::Text } else { Word::Json });
    let wrong = match (word, given) {
        (Word::Text, false) => "`format = \"text\"` needs a `template`",
        (Word::Json | Word::MessagePack | Word::Protobuf, true) => "`template` is for `format = \"text\"`",
        _ => "",
    };
    if !wrong.is_empty() {
        at.error(Problem::new(at.spot_of("format"), wrong.into()));
    }
    match word {
        Word::Json => Some(Payload::Json),
        Word::MessagePack => Some(Payload::MessagePack),
        Word::Protobuf => Some(Payload::Protobuf),
        Word::Text => template.map(Payload::Text),
    }
}

impl Payload {
    /// What such bytes are called.
    pub const fn content_type(&self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::MessagePack => "application/msgpack",
            Self::Protobuf => "application/x-protobuf",
            Self::Text(_) => "text/plain; charset=utf-8",
        }
    }

    /// The bytes for an event, or why there are none.
    pub fn encode(&self, delivery: &Delivery) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        match self {
            Self::Json => codec::json::encode_event(&mut bytes, &delivery.event()),
            Self::MessagePack => codec::msgpack::encode_event(&mut bytes, &delivery.event()),
            Self::Protobuf => codec::riemann::encode_message(&mut bytes, once(delivery.event())),
            Self::Text(template) => bytes = template.render(delivery)?.into_bytes(),
        }
        Ok(bytes)
    }

    /// The same for a person: bytes that are no text as hexadecimal digits.
    pub fn show(&self, bytes: &[u8]) -> String {
        match self {
            Self::Json | Self::Text(_) => String::from_utf8_lossy(bytes).into_owned(),
            Self::MessagePack | Self::Protobuf => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::described;
    use tidegate_event::BatchBuilder;

    #[test]
    fn every_form_that_can_be_read_reads_back_as_the_same_event() {
        let sent = described("web1", "api", "critical", "slow");
        let mut builder = BatchBuilder::new();
        codec::json::decode_event(
            &mut builder,
            &String::from_utf8(Payload::Json.encode(&sent).unwrap()).unwrap(),
        )
        .unwrap();
        codec::msgpack::decode_events(&mut builder, &Payload::MessagePack.encode(&sent).unwrap()).unwrap();
        let read = builder.finish();
        for event in read.events() {
            assert_eq!(event.host(), Some("web1"));
            assert_eq!(event.description(), Some("slow"));
            assert_eq!((event.time(), event.number()), (sent.event().time(), sent.event().number()));
        }
        assert_eq!(read.len(), 2);
        let protobuf = Payload::Protobuf.encode(&sent).unwrap();
        assert_eq!(protobuf[0], 6 << 3 | 2, "field 6 of Msg");
        assert_eq!(Payload::Protobuf.show(&protobuf[..2]).len(), 4);
        let text = Payload::Text(Template::parse("{{ host }}!").unwrap());
        assert_eq!(text.encode(&sent).unwrap(), b"web1!");
    }
}
