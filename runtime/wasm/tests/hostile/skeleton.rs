//! A well-behaved rule as text, whose parts tests replace one at a time.
//!
//! ```text
//! guest memory
//! 64      descriptor
//! 256     room for a message
//! 1024    records, 32 bytes each
//! 32768   their bytes
//! 65536   the region
//! ```

#![allow(dead_code)] // Each user needs its own part of it.

use tidegate_engine::rule::{Limits, Origin, RuleSpec, Width};

/// The functions of a module, each as the text of its body.
#[derive(Clone, Debug)]
pub struct Module {
    pub manifest: String,
    pub memory: &'static str,
    pub reply: &'static str,
    pub region: &'static str,
    pub bind: &'static str,
    pub unbind: &'static str,
    pub batch: &'static str,
    pub mark: &'static str,
    pub save: &'static str,
    pub pick: &'static str,
    pub restore: &'static str,
    /// Further functions and fields.
    pub extra: String,
}

/// For each row, forwards it to output 0 with the row's own metric and time, and its service as the description.
pub const ECHO: &str = "
    (local $rows i32) (local $row i32) (local $at i32) (local $text i32) (local $to i32) (local $size i32)
    (local.set $rows (i32.load offset=8 (global.get $inbox)))
    (local.set $to (i32.const 32769))
    (block $done (loop $next
        (br_if $done (i32.ge_u (local.get $row) (local.get $rows)))
        (call $at (i32.const 3) (local.get $row))
        (local.set $at (i32.add (global.get $inbox)
            (i32.add (i32.const 64) (i32.mul (local.get $row) (i32.const 64)))))
        ;; base: a row; metric: a float; action: forward
        (call $record (local.get $row) (local.get $row) (i32.const 0x212) (i32.const 0)
            (i32.sub (local.get $to) (i32.const 32768)))
        (i64.store offset=1032 (i32.mul (local.get $row) (i32.const 32)) (i64.load offset=8 (local.get $at)))
        (i64.store offset=1040 (i32.mul (local.get $row) (i32.const 32)) (i64.load (local.get $at)))
        ;; the service: at the start of the strings, plus its ref
        (local.set $text (i32.add (i32.load offset=36 (local.get $at))
            (i32.add (global.get $inbox) (i32.add (i32.const 64) (i32.mul (local.get $rows) (i32.const 64))))))
        (local.set $size (i32.load8_u (local.get $text)))
        (i32.store16 (local.get $to) (i32.const 1))
        (i32.store8 offset=2 (local.get $to) (i32.const DESCRIPTION))
        (i32.store8 offset=3 (local.get $to) (i32.const 0))
        (i32.store16 offset=4 (local.get $to) (i32.const 0))
        (i32.store offset=6 (local.get $to) (local.get $size))
        (memory.copy (i32.add (local.get $to) (i32.const 10)) (i32.add (local.get $text) (i32.const 1)) (local.get $size))
        (local.set $to (i32.add (local.get $to) (i32.add (i32.const 10) (local.get $size))))
        (local.set $row (i32.add (local.get $row) (i32.const 1)))
        (br $next)))
    (call $at (i32.const 0) (i32.const -1))
    (call $answer (i32.const 1024) (local.get $rows) (i32.const 32768)
        (i32.sub (local.get $to) (i32.const 32768)))
    (i32.const 0)";

impl Default for Module {
    fn default() -> Self {
        Self {
            manifest: manifest().into(),
            memory: "2",
            reply: "(i32.const 64)",
            region: "(call $room (local.get $bytes))",
            bind: "(i32.const 0)",
            unbind: "",
            batch: ECHO,
            mark: "(call $answer (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)) (i32.const 0)",
            save: "(i32.const 0)",
            pick: "(i32.const 0)",
            restore: "(i32.const 0)",
            extra: String::new(),
        }
    }
}

/// A manifest with one output.
pub fn manifest() -> &'static str {
    r#"{"abi":1,"name":"echo","version":"0.1.0","query":"true","per":"stream","reads":["metric","service"],"params":[{"name":"to","kind":"output"}],"state_schema":1,"sdk":"0.1.0"}"#
}

impl Module {
    /// The whole module as text.
    pub fn text(&self) -> String {
        let Self { manifest, memory, reply, region, bind, unbind, batch, extra, .. } = self;
        let Self { mark, save, pick, restore, .. } = self;
        let manifest = manifest.replace('\\', "\\\\").replace('"', "\\\"");
        let batch = batch.replace("DESCRIPTION", &(tidegate_event::Field::Description as u8).to_string());
        format!(
            r#"(module
  (@custom "tidegate.manifest" "{manifest}")
  (memory (export "memory") {memory})
  (global $inbox (mut i32) (i32.const 0))
  (func (export "tg_abi_1"))
  (func $tg_region (export "tg_region") (param $bytes i32) (result i32) {region})
  (func $tg_reply (export "tg_reply") (result i32) {reply})
  (func $tg_bind (export "tg_bind") (param $binding i32) (param $len i32) (result i32) {bind})
  (func $tg_unbind (export "tg_unbind") (param $binding i32) {unbind})
  (func $tg_batch (export "tg_batch") (param $len i32) (result i32) {batch})
  (func $tg_mark (export "tg_mark") (param $all i32) (result i32) {mark})
  (func $tg_save (export "tg_save") (param $most i32) (result i32) {save})
  (func $tg_pick (export "tg_pick") (param $len i32) (result i32) {pick})
  (func $tg_restore (export "tg_restore") (param $schema i32) (param $len i32) (result i32) {restore})

  ;; Grows memory to hold a region of so many bytes; its address, or 0.
  (func $room (param $bytes i32) (result i32)
    (local $pages i32)
    (local.set $pages (i32.sub
        (i32.shr_u (i32.add (i32.const 131071) (local.get $bytes)) (i32.const 16)) (memory.size)))
    (if (i32.gt_s (local.get $pages) (i32.const 0))
      (then (if (i32.lt_s (memory.grow (local.get $pages)) (i32.const 0)) (then (return (i32.const 0))))))
    (global.set $inbox (i32.const 65536))
    (i32.const 65536))
  ;; Notes the moment and the row.
  (func $at (param $moment i32) (param $row i32)
    (i32.store offset=24 (i32.const 64) (local.get $row))
    (i32.store offset=28 (i32.const 64) (local.get $moment)))
  ;; Leaves last words.
  (func $say (param $address i32) (param $len i32)
    (i32.store offset=32 (i32.const 64) (local.get $address))
    (i32.store offset=36 (i32.const 64) (local.get $len)))
  ;; Fills in the reply: without a wake, and with one key.
  (func $answer (param $records i32) (param $count i32) (param $bytes i32) (param $len i32)
    (i32.store (i32.const 64) (local.get $records))
    (i32.store offset=4 (i32.const 64) (local.get $count))
    (i32.store offset=8 (i32.const 64) (local.get $bytes))
    (i32.store offset=12 (i32.const 64) (local.get $len))
    (i64.store offset=16 (i32.const 64) (i64.const 0x7fffffffffffffff))
    (i32.store offset=40 (i32.const 64) (i32.const 1)))
  ;; Writes the n-th record.
  (func $record (param $n i32) (param $base i32) (param $flags i32) (param $target i32) (param $overrides i32)
    (local $to i32)
    (local.set $to (i32.add (i32.const 1024) (i32.mul (local.get $n) (i32.const 32))))
    (i32.store (local.get $to) (local.get $base))
    (i32.store offset=4 (local.get $to) (local.get $flags))
    (i64.store offset=8 (local.get $to) (i64.const 0))
    (i64.store offset=16 (local.get $to) (i64.const 0))
    (i32.store offset=24 (local.get $to) (local.get $target))
    (i32.store offset=28 (local.get $to) (local.get $overrides)))
  {extra})
"#
        )
    }

    /// The module.
    pub fn wasm(&self) -> Vec<u8> {
        let text = self.text();
        wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }
}

/// A rule of that module, deployed with one output. Its deadline is so generous that a busy machine does not matter; the
/// tests of deadlines set their own.
pub fn rule(digest: &str) -> RuleSpec {
    RuleSpec {
        name: "test".into(),
        generation: 1,
        module: digest.to_owned(),
        version: "echo 0.1.0".into(),
        query: "true".into(),
        per: Width::Stream,
        fields: u32::MAX,
        settings: Vec::new(),
        set: Vec::new(),
        outputs: vec![("to".into(), "live".into())],
        limits: Limits { deadline_ms: 20_000, memory: 16 << 20, ..Limits::default() },
        paused: false,
        schema: 1,
        reset_state: false,
        backfill: None,
        origin: Origin::default(),
    }
}
