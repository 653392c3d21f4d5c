//! What happens when: the order of moments, keys that come and go, and what a block of any bytes does.

use expect_test::{Expect, expect};
use proptest::prelude::*;
use std::fmt::Write;
use tidegate_event::{Base, Batch, BatchBuilder, Header, NewEvent, Override, Reply, Setting, SettingsWriter};
use tidegate_sdk::prelude::*;
use tidegate_sdk::rt::{BINDINGS_MAX, RuleManifest, Runner, SLOTS_MAX, WAKES_PER_CALL};

#[derive(Params)]
struct Settings {
    /// A word that every effect carries.
    word: Option<String>,
}

/// Writes down every moment; asks for wakes at the seconds in its tags.
#[derive(Serialize, Deserialize)]
struct Probe {
    seen: u32,
    again: u32,
    endless: bool,
}

#[rule(query = "true", per = Stream, state_schema = 3)]
impl Rule for Probe {
    type Params = Settings;

    fn first_seen(event: &Event<'_>, _: &Settings) -> Self {
        let again = if event.state() == Some("again") { 2 } else { 0 };
        Self { seen: 0, again, endless: event.state() == Some("endless") }
    }

    fn on_event(&mut self, event: &Event<'_>, settings: &Settings, out: &mut Out<'_>) {
        self.seen += 1;
        let word = settings.word.as_deref().unwrap_or("");
        out.emit().describe(format_args!("event {} at {} {word}", self.seen, out_time(event))).send();
        for seconds in event.tags().filter_map(|tag| tag.parse().ok()) {
            out.wake_at(Timestamp::from_secs(seconds));
        }
    }

    fn on_wake(&mut self, _: &Settings, out: &mut Out<'_>) {
        if self.endless {
            out.wake_at(Timestamp::EPOCH);
            return;
        }
        let (time, now) = (out.time(), out.now());
        out.emit().describe(format_args!("wake {time} of {now}")).send();
        if self.again > 0 {
            self.again -= 1;
            out.wake_at(Timestamp::EPOCH);
        }
    }

    fn on_expire(&mut self, _: &Event<'_>, _: &Settings, out: &mut Out<'_>) {
        out.emit().describe("goodbye").send();
        out.wake_in(Span::ZERO);
    }
}

fn out_time(event: &Event<'_>) -> Timestamp {
    event.time()
}

/// An event of a call: slot, state, the seconds to be woken at; `!` for a goodbye.
fn batch(now: i64, events: &[(u32, &str, &str)]) -> Batch {
    let mut builder = BatchBuilder::new();
    for (slot, state, wakes) in events {
        let mut one = BatchBuilder::new();
        let tags: Vec<&str> = wakes.split_whitespace().collect();
        one.push(&NewEvent {
            time: Some(Timestamp::from_secs(now)),
            state: Some(state),
            tags: &tags,
            ..NewEvent::default()
        });
        builder.copy(&one.event(0), tidegate_event::FieldSet::ALL, |row| {
            row.slot = *slot;
            row.leaving = *state == "!";
        });
    }
    let mut batch = builder.finish();
    batch.header = Header { now: Timestamp::from_secs(now), ..batch.header };
    batch
}

fn bound() -> Runner<Probe> {
    let mut settings = SettingsWriter::default();
    settings.push(Setting::Absent);
    let mut runner = Runner::new();
    runner.bind(0, &settings.finish()).unwrap();
    runner
}

fn told(reply: &Reply) -> String {
    let mut text = String::new();
    for effect in reply.read().effects() {
        let effect = effect.unwrap();
        let base = match effect.record.base {
            Base::Row(row) => format!("row {row}"),
            Base::Slot(slot) => format!("slot {slot}"),
            Base::Nothing => "nothing".to_owned(),
        };
        write!(text, "{base}, {}:", effect.record.time).unwrap();
        for change in effect.overrides() {
            match change {
                Override::Text(_, value) => write!(text, " {}", value.trim_end()).unwrap(),
                other => write!(text, " {other:?}").unwrap(),
            }
        }
        text.push('\n');
    }
    match reply.next_wake {
        Timestamp::NEVER => writeln!(text, "{} keys", reply.keys).unwrap(),
        at => writeln!(text, "{} keys, next wake {at}", reply.keys).unwrap(),
    }
    text
}

/// One call: the time and the events in it.
type Call<'a> = (i64, &'a [(u32, &'a str, &'a str)]);

fn check(calls: &[Call<'_>], expected: &Expect) {
    let mut runner = bound();
    let mut reply = Reply::default();
    let mut text = String::new();
    for (now, events) in calls {
        runner.call(&batch(*now, events).to_block(), &mut reply);
        writeln!(text, "-- {now}s").unwrap();
        text.push_str(&told(&reply));
    }
    expected.assert_eq(&text);
}

#[test]
fn wakes_come_before_events_by_moment_then_slot() {
    check(
        &[(0, &[(1, "", "4 9"), (0, "", "4"), (2, "", "3")]), (5, &[(2, "", "")])],
        &expect![[r#"
            -- 0s
            row 0, 0s: event 1 at 0s
            row 1, 0s: event 1 at 0s
            row 2, 0s: event 1 at 0s
            3 keys, next wake 3s
            -- 5s
            slot 2, 3s: wake 3s of 5s
            slot 0, 4s: wake 4s of 5s
            slot 1, 4s: wake 4s of 5s
            row 0, 5s: event 2 at 5s
            3 keys, next wake 9s
        "#]],
    );
}

#[test]
fn rows_of_one_key_keep_their_own_row_in_a_run() {
    check(
        &[(0, &[(7, "", ""), (7, "", ""), (8, "", ""), (7, "", "")])],
        &expect![[r#"
        -- 0s
        row 0, 0s: event 1 at 0s
        row 1, 0s: event 2 at 0s
        row 2, 0s: event 1 at 0s
        row 3, 0s: event 3 at 0s
        2 keys
    "#]],
    );
}

#[test]
fn a_goodbye_ends_the_key_and_its_wakes_and_the_next_event_begins_anew() {
    check(
        &[(0, &[(0, "", "5")]), (1, &[(0, "!", ""), (0, "", "")]), (9, &[])],
        &expect![[r#"
        -- 0s
        row 0, 0s: event 1 at 0s
        1 keys, next wake 5s
        -- 1s
        row 0, 1s: goodbye
        row 1, 1s: event 1 at 1s
        1 keys
        -- 9s
        1 keys
    "#]],
    );
}

#[test]
fn a_goodbye_to_an_unknown_key_is_heard_and_leaves_nothing() {
    check(
        &[(0, &[(0, "!", "")])],
        &expect![[r#"
        -- 0s
        row 0, 0s: goodbye
        0 keys
    "#]],
    );
}

#[test]
fn what_a_wake_asks_for_in_the_past_is_due_at_once_and_time_does_not_run_backwards() {
    check(
        &[(0, &[(0, "again", "3")]), (9, &[])],
        &expect![[r#"
        -- 0s
        row 0, 0s: event 1 at 0s
        1 keys, next wake 3s
        -- 9s
        slot 0, 3s: wake 3s of 9s
        slot 0, 3s: wake 3s of 9s
        slot 0, 3s: wake 3s of 9s
        1 keys
    "#]],
    );
}

#[test]
fn what_an_event_asks_for_in_the_past_comes_with_the_next_call() {
    check(
        &[(9, &[(0, "", "3")]), (9, &[])],
        &expect![[r#"
        -- 9s
        row 0, 9s: event 1 at 9s
        1 keys, next wake 3s
        -- 9s
        slot 0, 3s: wake 3s of 9s
        1 keys
    "#]],
    );
}

#[test]
fn a_key_that_wakes_itself_without_end_is_stopped_and_told_of() {
    let mut runner = bound();
    let mut reply = Reply::default();
    runner.call(&batch(0, &[(0, "endless", "1")]).to_block(), &mut reply);
    runner.call(&batch(2, &[]).to_block(), &mut reply);
    assert!(told(&reply).contains(&format!("woken {WAKES_PER_CALL} times in one call")), "{}", told(&reply));
    assert_eq!(reply.next_wake, Timestamp::from_secs(1));
}

#[test]
fn keys_that_are_woken_are_counted_each_once_in_a_call() {
    let mut runner = bound();
    let mut reply = Reply::default();
    let events: Vec<(u32, &str, &str)> = (0..5_000).map(|slot| (slot, "again", "3 4")).collect();
    runner.call(&batch(0, &events).to_block(), &mut reply);
    assert_eq!(reply.woken, 0);
    runner.call(&batch(3, &[]).to_block(), &mut reply);
    assert_eq!((reply.woken, reply.len()), (5_000, 15_000));
    runner.call(&batch(4, &[]).to_block(), &mut reply);
    assert_eq!((reply.woken, reply.len()), (5_000, 5_000));
    runner.call(&batch(5, &[]).to_block(), &mut reply);
    assert_eq!(reply.woken, 0);
}

#[test]
fn each_binding_has_its_settings_and_its_keys() {
    let mut runner = bound();
    let mut settings = SettingsWriter::default();
    settings.push(Setting::Text("second"));
    let settings = settings.finish();
    runner.bind(1, &settings).unwrap();
    let both = |now, slots: &[(u32, u32)]| {
        let mut builder = BatchBuilder::new();
        for (slot, binding) in slots {
            builder.push_row(&tidegate_event::Row { slot: *slot, binding: *binding, ..Default::default() });
        }
        let mut batch = builder.finish();
        batch.header.now = Timestamp::from_secs(now);
        batch.to_block()
    };
    let mut reply = Reply::default();
    runner.call(&both(0, &[(0, 0), (1, 1)]), &mut reply);
    assert_eq!(told(&reply), "row 0, 0s: event 1 at 0s\nrow 1, 0s: event 1 at 0s second\n2 keys\n");
    runner.unbind(1);
    runner.call(&both(1, &[(0, 0)]), &mut reply);
    assert_eq!(reply.keys, 1);
    let refused = runner.try_call(&both(2, &[(1, 1)]), &mut reply).unwrap_err();
    assert_eq!(refused.to_string(), "row 0 is for binding 1, which was never bound");
    // Numbers are given again, and a slot with them: what the last one remembered is gone.
    runner.bind(1, &settings).unwrap();
    runner.call(&both(3, &[(1, 1)]), &mut reply);
    assert_eq!(told(&reply), "row 0, 0s: event 1 at 0s second\n2 keys\n");
}

#[test]
fn an_instance_serves_so_many_bindings_and_no_more() {
    let mut runner = bound();
    let mut settings = SettingsWriter::default();
    settings.push(Setting::Absent);
    let settings = settings.finish();
    runner.bind(BINDINGS_MAX as u32 - 1, &settings).unwrap();
    assert_eq!(
        runner.bind(BINDINGS_MAX as u32, &settings).unwrap_err(),
        "one instance serves at most 4096 deployed rules, this is number 4096"
    );
    // One that was never bound means nothing, however large.
    runner.unbind(u32::MAX);
}

#[test]
fn settings_that_do_not_fit_are_refused_with_a_reason() {
    let mut runner = Runner::<Probe>::new();
    let bytes = |settings: &[Setting<'_>]| {
        let mut writer = SettingsWriter::default();
        settings.iter().for_each(|setting| writer.push(*setting));
        writer.finish()
    };
    assert_eq!(runner.bind(0, &[]).unwrap_err(), "parameter word: no value was handed over");
    assert_eq!(
        runner.bind(0, &bytes(&[Setting::Flag(true)])).unwrap_err(),
        "parameter word: text was expected, found true or false"
    );
    assert_eq!(
        runner.bind(0, &bytes(&[Setting::Absent, Setting::Absent])).unwrap_err(),
        "more settings were handed over than the rule has parameters"
    );
}

#[test]
fn an_effect_that_is_not_sent_is_not_there() {
    let mut runner = Runner::<Unsent>::new();
    runner.bind(0, &[]).unwrap();
    let mut reply = Reply::default();
    runner.call(&batch(3, &[(0, "", "")]).to_block(), &mut reply);
    assert_eq!(told(&reply), "row 0, 8s: ok b\n1 keys\n");
    let metric = reply.read().effects().next().unwrap().unwrap().record.metric;
    let tidegate_event::Spot::Set(tidegate_event::Metric::Float(nan)) = metric else { panic!("{metric:?}") };
    assert_eq!(nan.to_bits(), 0x7ff8_0000_0000_0000, "every NaN has the same bits");
}

#[derive(Serialize, Deserialize)]
struct Unsent;

// Not `#[rule]`: a package has one.
impl Rule for Unsent {
    type Params = ();

    fn first_seen(_: &Event<'_>, _: &()) -> Self {
        Self
    }

    fn on_event(&mut self, _: &Event<'_>, _: &(), out: &mut Out<'_>) {
        drop(out.emit().host("nobody").attribute("a", "b"));
        let odd = f64::from_bits(0xfff8_0000_0000_0001);
        out.emit().state(State::Ok).describe("b").metric(odd).time(Timestamp::from_secs(8)).send();
        drop(out.emit().service("nothing"));
    }
}

#[test]
fn the_manifest_says_what_the_macro_was_told() {
    expect![[r#"{"abi":1,"name":"tidegate-sdk","version":"0.1.0","doc":"What happens when: the order of moments, keys that come and go, and what a block of any bytes does.","query":"true","per":"stream","reads":["host","service","state","description","ttl","tags","attributes","time","metric"],"params":[{"name":"word","kind":"text","doc":"A word that every effect carries.","optional":true}],"state_schema":3,"sdk":"0.1.0"}"#]].assert_eq(Probe::MANIFEST);
    let manifest: serde_json::Value = serde_json::from_str(Probe::MANIFEST).unwrap();
    assert_eq!(manifest["state_schema"], 3);
}

#[test]
fn what_a_key_remembers_can_be_saved() {
    let mut runner = bound();
    runner.call(&batch(0, &[(0, "", "")]).to_block(), &mut Reply::default());
    let saved = serde_json::to_string(runner.state(0).unwrap()).unwrap();
    assert_eq!(saved, r#"{"seen":1,"again":0,"endless":false}"#);
}

#[test]
fn moments_spans_and_states_are_saved_as_plain_values() {
    let saved = serde_json::to_string(&(Timestamp::from_secs(1), Span::secs(2), State::Critical)).unwrap();
    assert_eq!(saved, r#"[1000000,2000000,"critical"]"#);
    let read: (Timestamp, Span, State) = serde_json::from_str(&saved).unwrap();
    assert_eq!(read, (Timestamp::from_secs(1), Span::secs(2), State::Critical));
    assert_eq!(serde_json::from_str::<State>("\"other\"").unwrap(), State::Other);
    let error = serde_json::from_str::<State>("\"bad\"").unwrap_err().to_string();
    assert!(error.contains("expected ok, warning, critical"), "{error}");
}

proptest! {
    #[test]
    fn any_bytes_are_taken_or_refused(block in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = bound().try_call(&block, &mut Reply::default());
    }

    #[test]
    fn any_rows_are_taken_or_refused_and_the_reply_can_be_read(
        calls in prop::collection::vec((any::<i64>(), prop::collection::vec(any::<[u8; 64]>(), 0..8)), 1..5),
        slots in prop::collection::vec(0u32..4, 8),
        tail in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut runner = bound();
        let mut reply = Reply::default();
        for (now, rows) in calls {
            let mut block = Header { now: Timestamp(now), ..Header::default() }.write(rows.len(), tail.len() + 1).to_vec();
            for (row, slot) in rows.iter().zip(&slots) {
                let mut row = *row;
                row[24..28].copy_from_slice(&slot.to_le_bytes());
                row[60..64].copy_from_slice(&0u32.to_le_bytes());
                block.extend_from_slice(&row);
            }
            block.push(0);
            block.extend_from_slice(&tail);
            runner.try_call(&block, &mut reply).unwrap();
            prop_assert!(reply.read().effects().all(|effect| effect.is_ok()));
            prop_assert!(reply.keys <= 4);
        }
    }

    #[test]
    fn a_slot_out_of_all_proportion_is_refused(slot in SLOTS_MAX as u32..) {
        let block = batch(0, &[(slot, "", "")]).to_block();
        let refused = bound().try_call(&block, &mut Reply::default()).unwrap_err();
        prop_assert!(refused.to_string().contains("slots are dense"));
    }
}
