//! What a rule does: emit an event, send one to an output, ask to be woken, write a line.
//!
//! An effect starts as a copy: in `on_event` and `on_expire` of the event, in `on_wake` of the key's own host and
//! service. What is said with the builder differs from that; nothing happens until `send`.
//!
//! Effects are written straight into the reply to the host, so that an effect costs no allocation and no call.

use crate::rt::NOTES_MAX;
use crate::streams::Pending;
use core::fmt;
use tidegate_event::{Action, Base, Event, Field, Metric, Record, Reply, Span, Spot, State, Timestamp};

/// A place to send events to, as declared by a parameter. Which place that is, the deployment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output(pub(crate) u32);

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Something is broken.
    Error = 0,
    /// Something is odd.
    Warning = 1,
    /// Worth knowing.
    Info = 2,
    /// For whoever works on the rule.
    Debug = 3,
    /// More of that.
    Trace = 4,
}

/// Takes what a rule wants done, for one key in one call.
pub struct Out<'a> {
    reply: &'a mut Reply,
    pending: &'a mut Pending,
    notes: &'a mut u32,
    now: Timestamp,
    time: Timestamp,
    event_time: Timestamp,
    base: Base,
}

impl<'a> Out<'a> {
    pub(crate) fn new(
        reply: &'a mut Reply,
        pending: &'a mut Pending,
        notes: &'a mut u32,
        now: Timestamp,
        time: Timestamp,
        base: Base,
    ) -> Self {
        Self { reply, pending, notes, now, time, event_time: time, base }
    }

    /// Says which event is handled from here on: effects are about it, and if the rule panics it is to blame. The SDK
    /// says so before each event; only an `on_batch` of your own has to.
    #[inline]
    pub fn about(&mut self, row: u32, event: &Event<'_>) {
        crate::sys::mark_row(self.reply, row);
        self.event_time = event.time();
        self.base = Base::Row(row);
    }

    /// The time of the batch: never earlier than in the call before. Live, it is the time of receipt.
    #[inline]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The moment of this call. In `on_wake` the moment that was asked for, however late the call comes; elsewhere the
    /// same as [`now`](Self::now).
    #[inline]
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// Puts an event back into the stream, where every rule that wants it sees it.
    #[inline]
    pub fn emit(&mut self) -> Sending<'_> {
        self.begin(Action::Emit, 0)
    }

    /// Sends an event to an output.
    #[inline]
    pub fn to(&mut self, output: Output) -> Sending<'_> {
        self.begin(Action::Forward, output.0)
    }

    /// Writes a line into the rule's log; see also [`log!`](crate::log). A call keeps the first 64 lines.
    pub fn log(&mut self, level: Level, text: fmt::Arguments<'_>) {
        if *self.notes >= NOTES_MAX {
            return;
        }
        *self.notes += 1;
        self.begin(Action::Log, level as u32).describe(text).send();
    }

    /// Asks for [`on_wake`](crate::Rule::on_wake) at that moment. The same moment twice is one wake; a moment that has
    /// passed is due at once, which is before the next events. [`Timestamp::NEVER`] asks for nothing.
    ///
    /// A key waits for at most [`WAKES_MAX`](crate::rt::WAKES_MAX) moments. One more, and the two latest become one, the
    /// later: a wake may come late, but it comes.
    #[inline]
    pub fn wake_at(&mut self, at: Timestamp) {
        self.pending.ask(at);
    }

    /// Asks for [`on_wake`](crate::Rule::on_wake) so long after this call's moment.
    #[inline]
    pub fn wake_in(&mut self, span: Span) {
        self.pending.ask(self.time + span);
    }

    #[inline]
    fn begin(&mut self, action: Action, target: u32) -> Sending<'_> {
        let record = Record {
            base: self.base,
            action,
            metric: Spot::Keep,
            time: self.event_time,
            target,
            overrides: 0,
        };
        self.reply.push(&record);
        Sending { reply: self.reply }
    }
}

/// An event that is being described. Nothing happens without [`send`](Self::send).
#[must_use = "nothing is sent without .send()"]
pub struct Sending<'a> {
    /// Its last effect is the event.
    reply: &'a mut Reply,
}

/// A state's word: one of the five usual ones as [`State`], or any of your own as text.
#[derive(Clone, Copy, Debug)]
pub struct StateText<'a>(&'a str);

impl From<State> for StateText<'_> {
    fn from(state: State) -> Self {
        Self(state.as_str())
    }
}

impl<'a> From<&'a str> for StateText<'a> {
    fn from(word: &'a str) -> Self {
        Self(word)
    }
}

impl<'a> From<&'a String> for StateText<'a> {
    fn from(word: &'a String) -> Self {
        Self(word)
    }
}

impl Sending<'_> {
    fn text(self, field: Field, text: &str) -> Self {
        self.reply.push_override(field, false, &[], text.as_bytes());
        self
    }

    fn without(self, field: Field) -> Self {
        self.reply.push_override(field, true, &[], &[]);
        self
    }

    /// With this host.
    pub fn host(self, host: &str) -> Self {
        self.text(Field::Host, host)
    }

    /// With this service.
    pub fn service(self, service: &str) -> Self {
        self.text(Field::Service, service)
    }

    /// With this state. [`State::Other`], which is no word, leaves it as it is.
    pub fn state<'s>(self, state: impl Into<StateText<'s>>) -> Self {
        match state.into().0 {
            "" => self,
            word => self.text(Field::State, word),
        }
    }

    /// Without this field, whatever the event that it started from has there. The time cannot be left out.
    pub fn without_field(self, field: Field) -> Self {
        match field {
            Field::Metric => self.no_metric(),
            Field::Time => self,
            field => self.without(field),
        }
    }

    /// With this metric.
    #[inline]
    pub fn metric(self, metric: impl Into<Metric>) -> Self {
        self.reply.set_metric(Spot::Set(match metric.into() {
            // Which bits a NaN has depends on the machine; all of them become this one.
            Metric::Float(value) if value.is_nan() => Metric::Float(f64::from_bits(0x7ff8_0000_0000_0000)),
            metric => metric,
        }));
        self
    }

    /// Without a metric.
    pub fn no_metric(self) -> Self {
        self.reply.set_metric(Spot::Clear);
        self
    }

    /// Valid for so many seconds.
    pub fn ttl(self, seconds: f32) -> Self {
        let seconds = if seconds.is_nan() { f32::from_bits(0x7fc0_0000) } else { seconds };
        self.reply.push_override(Field::Ttl, false, &[], &seconds.to_le_bytes());
        self
    }

    /// At this time. Without it: the event's own time, in `on_wake` the wake's.
    pub fn time(self, time: Timestamp) -> Self {
        self.reply.set_time(time);
        self
    }

    /// With one more tag.
    pub fn tag(self, tag: &str) -> Self {
        self.text(Field::Tags, tag)
    }

    /// Without the tags of the event that it started from.
    pub fn no_tags(self) -> Self {
        self.without(Field::Tags)
    }

    /// With this attribute. Names longer than 65,535 bytes are not written.
    pub fn attribute(self, name: &str, value: &str) -> Self {
        self.reply.push_override(Field::Attributes, false, name.as_bytes(), value.as_bytes());
        self
    }

    /// Without the attributes of the event that it started from.
    pub fn no_attributes(self) -> Self {
        self.without(Field::Attributes)
    }

    /// With this description: a text, or `format_args!("…", …)`.
    pub fn describe(self, text: impl fmt::Display) -> Self {
        self.reply.push_text(Field::Description, |to| print(to, format_args!("{text}")));
        self
    }

    /// Sends it.
    #[inline]
    pub fn send(self) {
        core::mem::forget(self);
    }
}

impl Drop for Sending<'_> {
    /// What was not sent is taken back.
    fn drop(&mut self) {
        self.reply.take_back();
    }
}

/// Prints a text behind bytes. Through `std::io::Write` it would bring the handling of errors that memory does not have.
fn print(to: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    struct Bytes<'a>(&'a mut Vec<u8>);

    impl fmt::Write for Bytes<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.extend_from_slice(text.as_bytes());
            Ok(())
        }
    }

    // Writing to memory does not fail; a Display that says so has said what it could.
    let _ = fmt::Write::write_fmt(&mut Bytes(to), text);
}

/// Writes a line into the rule's log, at [`Level::Info`] unless the line begins with another.
///
/// ```
/// # use tidegate_sdk::prelude::*;
/// fn tell(out: &mut Out<'_>, host: &str, count: u64) {
///     log!(out, "{host} sent {count} values");
///     log!(out, Level::Warning, "{host} counts backwards");
/// }
/// ```
#[macro_export]
macro_rules! log {
    ($out:expr, $level:path, $($text:tt)+) => { $out.log($level, ::core::format_args!($($text)+)) };
    ($out:expr, $($text:tt)+) => { $out.log($crate::Level::Info, ::core::format_args!($($text)+)) };
}
