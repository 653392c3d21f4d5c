//! A message's bytes to rows of a batch: what they mean, and what is wrong with them. The usual event never comes here,
//! see [`usual`](super::usual).

use super::usual::Usual;
use super::wire::{DecodeError, Place, Reader, Wrong};
use crate::codec::{Limits, Reserved, Text, has_room};
use std::ops::Range;
use tidegate_event::{BatchBuilder, Metric, Row, State, Timestamp};

/// What a message asks for, besides its events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// How many events were appended.
    pub events: usize,
    /// The query to answer after the events; a query without text is an empty one.
    pub query: Option<String>,
}

/// Appends the events of the message at `message` within the builder's bytes. A batch is made over the buffer of a
/// socket with [`BatchBuilder::over`].
///
/// A range that does not lie within the bytes is a mistake of the caller; it reads as the part that does.
pub fn decode(
    builder: &mut BatchBuilder,
    message: Range<usize>,
    limits: &Limits,
) -> Result<Request, DecodeError> {
    let rows = builder.len();
    let decoded = Decoder::new(limits).message(builder, message);
    decoded.inspect_err(|_| builder.truncate(rows))
}

/// The same for a message that lies elsewhere: its bytes are appended first.
pub fn decode_copy(
    builder: &mut BatchBuilder,
    message: &[u8],
    limits: &Limits,
) -> Result<Request, DecodeError> {
    if !has_room(builder, message.len().saturating_mul(2)) {
        return Err(DecodeError { at: Place::default(), wrong: Wrong::Room });
    }
    builder.push_string(message);
    let end = builder.bytes().len();
    decode(builder, end - message.len()..end, limits)
}

/// Decodes one message. The lists are used again for each event.
struct Decoder<'l> {
    limits: &'l Limits,
    usual: Usual,
    at: Place,
    tags: Vec<u32>,
    attributes: Vec<u32>,
    /// What attributes say of fields: refs of their values, and the state's code.
    overrides: [Option<(u32, State)>; 4],
}

impl<'l> Decoder<'l> {
    fn new(limits: &'l Limits) -> Self {
        Self {
            limits,
            usual: Usual::default(),
            at: Place::default(),
            tags: Vec::new(),
            attributes: Vec::new(),
            overrides: [None; 4],
        }
    }

    fn message(&mut self, builder: &mut BatchBuilder, message: Range<usize>) -> Result<Request, DecodeError> {
        if !has_room(builder, message.len()) {
            return Err(self.error(Wrong::Room));
        }
        let mut request = Request::default();
        let (mut at, end) = (message.start, message.end.min(builder.bytes().len()));
        loop {
            let next = match self.usual.event(builder, at..end, request.events, self.limits) {
                Some(next) => {
                    request.events += 1;
                    Some(next)
                }
                None => self.field(builder, at..end, &mut request)?,
            };
            match next {
                Some(next) => at = next,
                None => return Ok(request),
            }
        }
    }

    /// Takes in one field of the message, whatever it is, and returns where it ends; `None` at the end of the message.
    fn field(
        &mut self,
        builder: &mut BatchBuilder,
        within: Range<usize>,
        request: &mut Request,
    ) -> Result<Option<usize>, DecodeError> {
        // Lists are appended to the same bytes, so the reader cannot live from one field to the next.
        let mut reader = Reader::new(builder.bytes(), within);
        let field = reader.key().map_err(|wrong| self.error(wrong))?;
        let Some((number, wire)) = field else { return Ok(None) };
        match number {
            5 => {
                self.at.field = "query";
                let text = reader.part(wire).and_then(|part| self.query(part));
                let text = text.map_err(|wrong| self.error(wrong))?;
                // Of two queries the texts merge, as protobuf has it.
                match text {
                    Some(text) => request.query = Some(text),
                    None => drop(request.query.get_or_insert_default()),
                }
                self.at.field = "";
            }
            6 => {
                self.at = Place { event: Some(request.events), field: "" };
                let row = reader.part(wire).and_then(|part| self.event(part, request.events));
                let mut row = row.map_err(|wrong| self.error(wrong))?;
                let next = reader.at();
                row.tags = builder.push_tags(&self.tags);
                row.attributes = builder.push_attributes(&self.attributes);
                builder.push_row(&row);
                request.events += 1;
                self.at = Place::default();
                return Ok(Some(next));
            }
            // `ok` and `error` belong to answers, and Riemann does not read `states` any more.
            _ => reader.skip(number, wire).map_err(|wrong| self.error(wrong))?,
        }
        Ok(Some(reader.at()))
    }

    fn error(&self, wrong: Wrong) -> DecodeError {
        DecodeError { at: self.at, wrong }
    }

    fn query(&self, mut part: Reader<'_>) -> Result<Option<String>, Wrong> {
        let mut query = None;
        while let Some((number, wire)) = part.key()? {
            match number {
                1 => {
                    let (_, text) = part.text(wire, self.limits.description)?;
                    query = Some(String::from_utf8_lossy(text).into_owned());
                }
                _ => part.skip(number, wire)?,
            }
        }
        Ok(query)
    }

    /// The event's row; its lists are left in `self`.
    fn event(&mut self, mut part: Reader<'_>, events: usize) -> Result<Row, Wrong> {
        if events >= self.limits.events {
            let limit = self.limits.events;
            return Err(Wrong::TooMuch { found: events + 1, limit, unit: "events" });
        }
        self.tags.clear();
        self.attributes.clear();
        self.overrides = [None; 4];
        let mut row = Row::default();
        let (mut seconds, mut micros) = (None, None);
        let (mut whole, mut double, mut single) = (None, None, None);
        let text = self.limits.value;
        while let Some((number, wire)) = part.key()? {
            match number {
                1 => {
                    self.at.field = "time";
                    seconds = Some(part.number(wire)? as i64);
                }
                2 => {
                    self.at.field = "state";
                    let (at, word) = part.text(wire, text)?;
                    (row.state, row.state_code) = (Some(at), State::of(word));
                }
                3 => {
                    self.at.field = "service";
                    row.service = Some(part.text(wire, text)?.0);
                }
                4 => {
                    self.at.field = "host";
                    row.host = Some(part.text(wire, text)?.0);
                }
                5 => {
                    self.at.field = "description";
                    row.description = Some(part.text(wire, self.limits.description)?.0);
                }
                7 => {
                    self.at.field = "tags";
                    self.tags.push(part.text(wire, text)?.0);
                    let (found, limit) = (self.tags.len(), self.limits.tags);
                    if found > limit {
                        return Err(Wrong::TooMuch { found, limit, unit: "tags" });
                    }
                }
                8 => {
                    self.at.field = "ttl";
                    row.ttl = Some(part.float(wire)?);
                }
                9 => {
                    self.at.field = "attributes";
                    let attribute = part.part(wire)?;
                    self.attribute(attribute)?;
                    self.at.field = "";
                }
                10 => {
                    self.at.field = "time_micros";
                    micros = Some(part.number(wire)? as i64);
                }
                13 => {
                    self.at.field = "metric_sint64";
                    let zigzag = part.number(wire)?;
                    whole = Some((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64));
                }
                14 => {
                    self.at.field = "metric_d";
                    double = Some(part.double(wire)?);
                }
                15 => {
                    self.at.field = "metric_f";
                    single = Some(part.float(wire)?);
                }
                _ => part.skip(number, wire)?,
            }
            self.at.field = "";
        }
        match (micros, seconds) {
            (Some(micros), _) => row.time = Timestamp(micros),
            (None, Some(seconds)) => row.time = Timestamp::from_secs(seconds),
            (None, None) => row.untimed = true,
        }
        row.metric =
            whole.map(Metric::Int).or(double.map(Metric::Float)).or(single.map(|f| Metric::Float(f.into())));
        self.apply_overrides(&mut row);
        Ok(row)
    }

    fn attribute(&mut self, mut part: Reader<'_>) -> Result<(), Wrong> {
        let (mut key, mut value): (_, (u32, &[u8])) = (None, (0, &[]));
        while let Some((number, wire)) = part.key()? {
            match number {
                1 => {
                    self.at.field = "attribute's key";
                    key = Some(part.text(wire, self.limits.name)?);
                }
                2 => {
                    self.at.field = "attribute's value";
                    // What it may hold depends on the key, which may be still to come.
                    value = part.text(wire, self.limits.description.max(self.limits.value))?;
                }
                _ => part.skip(number, wire)?,
            }
            self.at.field = "attributes";
        }
        let (key, name) = key.ok_or(Wrong::NoKey)?;
        let (value, word) = value;
        let reserved = Reserved::of(name);
        let is_description = reserved == Some(Reserved::Overrides(Text::Description));
        let limit = if is_description { self.limits.description } else { self.limits.value };
        if word.len() > limit {
            self.at.field = "attribute's value";
            return Err(Wrong::TooMuch { found: word.len(), limit, unit: "bytes" });
        }
        match reserved {
            Some(Reserved::Ignored) => {}
            Some(Reserved::Overrides(field)) => {
                self.overrides[field as usize] = Some((value, State::of(word)));
            }
            None => self.attributes.extend([key, value]),
        }
        let (found, limit) = (self.attributes.len() / 2, self.limits.attributes);
        if found > limit {
            return Err(Wrong::TooMuch { found, limit, unit: "attributes" });
        }
        Ok(())
    }

    /// They count wherever in the event they stand.
    fn apply_overrides(&self, row: &mut Row) {
        for (field, value) in
            [Text::Host, Text::Service, Text::State, Text::Description].into_iter().zip(self.overrides)
        {
            let Some((value, code)) = value else { continue };
            match field {
                Text::Host => row.host = Some(value),
                Text::Service => row.service = Some(value),
                Text::Description => row.description = Some(value),
                Text::State => (row.state, row.state_code) = (Some(value), code),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a message means by definition, without the shortcut.
    fn by_definition(
        builder: &mut BatchBuilder,
        message: Range<usize>,
        limits: &Limits,
    ) -> Result<Request, DecodeError> {
        let mut decoder = Decoder::new(limits);
        let (mut request, mut at) = (Request::default(), message.start);
        while let Some(next) = decoder.field(builder, at..message.end, &mut request)? {
            at = next;
        }
        Ok(request)
    }

    fn check(bytes: &[u8], limits: &Limits) -> Result<(), TestCaseError> {
        // More bytes follow, as in a socket's buffer: nothing beyond the message may count.
        let buffer = [&[0, 1, 2][..], bytes, &[b'x'; 40]].concat();
        let message = 3..3 + bytes.len();
        let mut quick = BatchBuilder::over(buffer.clone());
        let mut slow = BatchBuilder::over(buffer);
        let found = decode(&mut quick, message.clone(), limits);
        prop_assert_eq!(&found, &by_definition(&mut slow, message, limits));
        match found {
            Ok(_) => prop_assert_eq!(quick.finish(), slow.finish()),
            Err(_) => prop_assert!(quick.is_empty()),
        }
        Ok(())
    }

    fn varint(mut value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while value >= 0x80 {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    }

    fn delimited(key: u8, bytes: &[u8]) -> Vec<u8> {
        [&[key << 3 | 2][..], &varint(bytes.len() as u64), bytes].concat()
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            4 => "[a-z. ]{0,40}".prop_map(String::into_bytes),
            1 => prop::sample::select(vec!["ok", "warning", "expired", "host", "state", "ttl"])
                .prop_map(|word| word.as_bytes().to_vec()),
            1 => ".{0,20}".prop_map(String::into_bytes),
            1 => "[a-z]{120,300}".prop_map(String::into_bytes),
            1 => prop::collection::vec(any::<u8>(), 0..20),
        ]
    }

    fn number() -> impl Strategy<Value = u64> {
        (any::<u64>(), 0u32..64).prop_map(|(bits, shift)| bits >> shift)
    }

    /// One field of an event: mostly one that it has, in its own form.
    fn field() -> impl Strategy<Value = Vec<u8>> {
        let attribute =
            (text(), prop::option::of(text()), any::<bool>()).prop_map(|(name, value, swapped)| {
                let mut parts = [delimited(1, &name), value.map_or(Vec::new(), |value| delimited(2, &value))];
                if swapped {
                    parts.swap(0, 1);
                }
                delimited(9, &parts.concat())
            });
        prop_oneof![
            8 => (prop::sample::select(vec![2, 3, 4, 5, 7]), text()).prop_map(|(key, text)| delimited(key, &text)),
            4 => (prop::sample::select(vec![1u8, 10, 13]), number())
                .prop_map(|(key, number)| [vec![key << 3], varint(number)].concat()),
            2 => (prop::sample::select(vec![8u8, 15]), any::<[u8; 4]>())
                .prop_map(|(key, bytes)| [&[key << 3 | 5][..], &bytes].concat()),
            2 => any::<[u8; 8]>().prop_map(|bytes| [&[14 << 3 | 1][..], &bytes].concat()),
            3 => attribute,
            1 => (0u8..16, 0u8..8, prop::collection::vec(any::<u8>(), 0..12))
                .prop_map(|(key, wire, bytes)| [&[key << 3 | wire][..], &bytes].concat()),
        ]
    }

    fn message() -> impl Strategy<Value = Vec<u8>> {
        let event = prop::collection::vec(field(), 0..10).prop_map(|fields| delimited(6, &fields.concat()));
        prop::collection::vec(event, 0..5).prop_map(|events| events.concat())
    }

    proptest! {
        #[test]
        fn the_shortcut_gives_the_same_rows_and_the_same_errors(
            message in message(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
            cut in any::<prop::sample::Index>(),
        ) {
            let tight = Limits { events: 2, attributes: 1, tags: 1, name: 3, value: 8, description: 12 };
            let mut changed = message.clone();
            for (at, to) in changes {
                if !changed.is_empty() {
                    let at = at.index(changed.len());
                    changed[at] = to;
                }
            }
            for limits in [Limits::default(), tight] {
                check(&message, &limits)?;
                check(&changed, &limits)?;
                check(&message[..cut.index(message.len() + 1)], &limits)?;
            }
        }
    }
}
