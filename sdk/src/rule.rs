//! What a rule is: a struct that holds what one key remembers, and the moments in which it is asked.

use crate::out::Out;
use crate::params::Params;
use crate::state::Saved;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tidegate_event::{BatchRef, Event};

/// What can be remembered: data that can be saved and read back. Nothing to implement; deriving `Serialize` and
/// `Deserialize` is enough.
#[diagnostic::on_unimplemented(
    message = "what a key remembers has to be data that can be saved",
    label = "add #[derive(Serialize, Deserialize)] to `{Self}`"
)]
pub trait Remembered: Serialize + DeserializeOwned + Send + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Send + 'static> Remembered for T {}

/// What one key remembers, and what it does about what happens.
///
/// The SDK keeps one value for each key of the rule (each host and service, each host, … as `#[rule(per = …)]` says). The
/// moments come in this order:
///
/// 1. [`first_seen`](Self::first_seen) makes the value when the key's first event comes.
/// 2. [`on_wake`](Self::on_wake) for each moment that the key has asked for, once time has reached it. Time moves first:
///    within a call all wakes that are due come before the first event.
/// 3. [`on_event`](Self::on_event) for each event, in the order of the log.
/// 4. [`on_expire`](Self::on_expire) when the key's time-to-live has run out. Then the value is dropped and its wakes with
///    it; should the key speak again, it begins with `first_seen`.
///
/// There is no clock, no chance and no way out but [`Out`]: the same events and times give the same effects, byte for byte,
/// whether live, after a restart, in a backtest or in a test. The value is ordinary data, so that it can be saved,
/// shown and carried over to a new version of the rule.
pub trait Rule: Remembered {
    /// What is said when the rule is deployed; `()` for nothing.
    type Params: Params;

    /// What a key remembers at first. Its first event comes right after, to [`on_event`](Self::on_event).
    fn first_seen(event: &Event<'_>, params: &Self::Params) -> Self;

    /// An event of the key.
    fn on_event(&mut self, event: &Event<'_>, params: &Self::Params, out: &mut Out<'_>);

    /// Several events of the key that stand in a row. Override it when a tight loop over them is worth it, and then say
    /// `out.about(row, &event)` before effects about an event.
    #[inline(always)]
    fn on_batch(&mut self, events: Run<'_>, params: &Self::Params, out: &mut Out<'_>) {
        for (row, event) in events {
            out.about(row, &event);
            self.on_event(&event, params, out);
        }
    }

    /// A moment that the key asked for; it is [`out.time()`](Out::time).
    fn on_wake(&mut self, params: &Self::Params, out: &mut Out<'_>) {
        let _ = (params, out);
    }

    /// The key's time-to-live has run out, or its sender said `expired`: a last word. The event is the goodbye, with
    /// state `expired`.
    fn on_expire(&mut self, event: &Event<'_>, params: &Self::Params, out: &mut Out<'_>) {
        let _ = (event, params, out);
    }

    /// What a key remembered when a version of the rule saved it whose `state_schema` was another number. Needed only when
    /// what is saved has changed so much that it cannot be read any more; a field that is new or gone is no reason, since
    /// `#[serde(default)]` fills in the one and the other is passed over.
    ///
    /// An error refuses the new version, and the old one goes on.
    ///
    /// ```
    /// # use tidegate_sdk::prelude::*;
    /// /// Schema 1 counted in seconds.
    /// #[derive(Deserialize)]
    /// struct InSeconds {
    ///     busy_secs: u64,
    /// }
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Busy {
    ///     busy: Span,
    /// }
    ///
    /// #[rule(query = "true", per = Stream, state_schema = 2)]
    /// impl Rule for Busy {
    ///     type Params = ();
    ///
    ///     fn migrate(saved: Saved) -> Result<Self, String> {
    ///         match saved.schema() {
    ///             1 => Ok(Self { busy: Span::secs(saved.read::<InSeconds>()?.busy_secs as i64) }),
    ///             _ => Err("only schema 1 can be carried over".into()),
    ///         }
    ///     }
    /// #   fn first_seen(_: &Event, _: &()) -> Self {
    /// #       Self { busy: Span::ZERO }
    /// #   }
    /// #   fn on_event(&mut self, _: &Event, _: &(), _: &mut Out) {}
    /// }
    /// ```
    fn migrate(saved: Saved<'_>) -> Result<Self, String> {
        let _ = saved;
        Err("write `fn migrate` to carry it over, or deploy the new version without what the old one remembered"
            .to_owned())
    }
}

/// Events of one key that stand in a row, each with its number in the batch.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    batch: &'a BatchRef<'a>,
    row: u32,
    end: u32,
}

impl<'a> Run<'a> {
    #[inline]
    pub(crate) fn new(batch: &'a BatchRef<'a>, row: u32, end: u32) -> Self {
        Self { batch, row, end }
    }
}

impl<'a> Iterator for Run<'a> {
    type Item = (u32, Event<'a>);

    #[inline]
    fn next(&mut self) -> Option<(u32, Event<'a>)> {
        if self.row >= self.end {
            return None;
        }
        let row = self.row;
        self.row += 1;
        Some((row, self.batch.event(row as usize)?))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.end - self.row) as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Run<'_> {}
