//! One module for each way of misbehaving. Whatever a guest does, the process goes on, the fault says what happened in
//! words, the guest is not entered again, and its neighbour still answers.

mod keeping;
mod skeleton;

use skeleton::{Module, rule};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tidegate_engine::guest::{Fault, FaultKind, Guest, Guests};
use tidegate_engine::rule::{Limits, RuleSpec};
use tidegate_event::{Action, Base, Batch, BatchBuilder, Metric, NewEvent, Override, Reply, Spot, Timestamp};
use tidegate_wasm::{Host, HostOptions, WasmGuest};

/// One host for all tests: what one guest does must not reach the others.
fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| {
        let options = HostOptions { instances: 64, ..HostOptions::default() };
        Host::new(&options, Arc::new(|_: &str| None)).unwrap()
    })
}

fn spec(module: &Module) -> RuleSpec {
    let compiled = host().compile(&module.wasm()).unwrap();
    rule(&compiled.inspected.digest)
}

/// The same with little time, for guests that never answer.
fn in_a_hurry(module: &Module) -> RuleSpec {
    let limits = Limits { deadline_ms: 50, ..Limits::default() };
    RuleSpec { limits, ..spec(module) }
}

fn start(module: &Module) -> Result<WasmGuest, Fault> {
    host().guest(&spec(module))
}

fn batch(rows: usize) -> Batch {
    let mut builder = BatchBuilder::new();
    for row in 0..rows {
        builder.push(&NewEvent {
            time: Some(Timestamp(1_000 + row as i64)),
            host: Some("web1"),
            service: Some(["http.get", "http.put", "disk"][row % 3]),
            metric: Some(Metric::Float(row as f64 + 0.5)),
            ..NewEvent::default()
        });
    }
    let mut batch = builder.finish();
    batch.header.now = Timestamp(5_000);
    batch
}

fn call(guest: &mut dyn Guest, rows: usize) -> Result<Reply, Fault> {
    let mut reply = Reply::default();
    guest.call(&batch(rows), &mut reply).map(|_| reply)
}

/// Calls a guest made of this module with three rows, and gives the fault that comes of it; checks what is true of every
/// fault.
fn fault_of(module: &Module) -> Fault {
    fault_of_rule(&spec(module), 3)
}

fn fault_of_rule(rule: &RuleSpec, rows: usize) -> Fault {
    let mut neighbour = start(&Module::default()).unwrap();
    let fault = match host().guest(rule) {
        Err(fault) => fault,
        Ok(mut guest) => {
            let mut reply = call(&mut neighbour, 2).unwrap();
            let fault = guest.call(&batch(rows), &mut reply).expect_err("the guest should have failed");
            assert!(reply.is_empty(), "nothing of a failed call's reply counts");
            // It is never entered again: an empty batch would be harmless, and still fails in the same way.
            let again = guest.call(&batch(0), &mut reply).unwrap_err();
            assert_eq!(again, fault);
            fault
        }
    };
    assert_eq!(call(&mut neighbour, 3).unwrap().len(), 3, "its neighbour still answers");
    fault
}

#[track_caller]
fn check(module: &Module, kind: FaultKind, text: &str) {
    check_fault(&fault_of(module), kind, text);
}

/// The same for a guest that has to be stopped.
#[track_caller]
fn check_stopped(module: &Module, text: &str) -> Fault {
    let start = Instant::now();
    let fault = fault_of_rule(&in_a_hurry(module), 3);
    check_fault(&fault, FaultKind::Deadline, text);
    // Generous: two busy cores may delay the ticker a lot, but not for ever.
    assert!(start.elapsed() < Duration::from_secs(60));
    fault
}

#[track_caller]
fn check_fault(fault: &Fault, kind: FaultKind, text: &str) {
    assert_eq!(
        (fault.kind, fault.to_string().contains(text)),
        (kind, true),
        "expected {text:?} in {fault:?}"
    );
}

fn with_batch(batch: &'static str) -> Module {
    Module { batch, ..Module::default() }
}

#[test]
fn a_good_rule_reads_every_row_and_its_reply_is_read_back() {
    let mut guest = host().start(&spec(&Module::default())).unwrap();
    let reply = call(guest.as_mut(), 3).unwrap();
    let effects: Vec<_> = reply.read().effects().map(Result::unwrap).collect();
    assert_eq!(effects.len(), 3);
    for (row, effect) in effects.iter().enumerate() {
        assert_eq!(effect.record.base, Base::Row(row as u32));
        assert_eq!(effect.record.action, Action::Forward);
        assert_eq!(effect.record.metric, Spot::Set(Metric::Float(row as f64 + 0.5)));
        assert_eq!(effect.record.time, Timestamp(1_000 + row as i64));
    }
    let services: Vec<_> = effects.iter().flat_map(|effect| effect.overrides()).collect();
    let text = |text| Override::Text(tidegate_event::Field::Description, text);
    assert_eq!(services, [text("http.get"), text("http.put"), text("disk")]);
    assert_eq!((reply.next_wake, reply.keys), (Timestamp::NEVER, 1));
    // Again, with another size each time: smaller, none, and one that needs a larger region.
    for rows in [1, 0, 700] {
        let mut reply = Reply::default();
        guest.call(&batch(rows), &mut reply).unwrap();
        assert_eq!(reply.len(), rows);
    }
    assert!(guest.memory() >= 2 << 16);
}

#[test]
fn settings_arrive_and_can_be_refused() {
    // Accepts exactly the four bytes 01 02 03 04.
    let module = Module {
        bind: r#"(if (i32.and (i32.eq (local.get $len) (i32.const 4))
                              (i32.eq (i32.load (global.get $inbox)) (i32.const 0x04030201)))
                   (then (return (i32.const 0))))
                 (call $say (i32.const 256) (i32.const 17))
                 (i32.const 1)"#,
        extra: r#"(data (i32.const 256) "limit_ms is wrong")"#.into(),
        ..Module::default()
    };
    let good = RuleSpec { settings: vec![1, 2, 3, 4], ..spec(&module) };
    call(&mut host().guest(&good).unwrap(), 1).unwrap();
    let bad = RuleSpec { settings: vec![1, 2, 3], ..good };
    let fault = host().guest(&bad).err().unwrap();
    check_fault(
        &fault,
        FaultKind::Start,
        "did not accept its settings: limit_ms is wrong (taking its settings)",
    );
}

/// Refuses binding 1, dies of binding 2, never comes back from binding 3, and says in its effects which it knows.
fn picky() -> Module {
    Module {
        bind: r#"(if (i32.eq (local.get $binding) (i32.const 1))
                   (then (call $say (i32.const 256) (i32.const 7)) (return (i32.const 1))))
                 (if (i32.eq (local.get $binding) (i32.const 2)) (then (unreachable)))
                 (if (i32.eq (local.get $binding) (i32.const 3)) (then (loop $spin (br $spin))))
                 (i32.const 0)"#,
        unbind: "(if (i32.eq (local.get $binding) (i32.const 9)) (then (unreachable)))",
        extra: r#"(data (i32.const 256) "not one")"#.into(),
        ..Module::default()
    }
}

#[test]
fn further_rules_are_taken_in_and_a_refusal_harms_nobody() {
    let spec = spec(&picky());
    let mut guest = host().guest(&spec).unwrap();
    guest.bind(4, &RuleSpec { settings: vec![7; 70_000], ..spec.clone() }).unwrap();
    let refused = guest.bind(1, &spec).unwrap_err();
    check_fault(&refused, FaultKind::Start, "did not accept its settings: not one (taking its settings)");
    guest.unbind(4).unwrap();
    assert_eq!(call(&mut guest, 3).unwrap().len(), 3);
}

#[test]
fn a_rule_of_another_kind_does_not_come_in() {
    let own = spec(&picky());
    let mut guest = host().guest(&own).unwrap();
    for other in [
        spec(&Module::default()),
        RuleSpec { outputs: Vec::new(), ..own.clone() },
        RuleSpec { limits: Limits { deadline_ms: 7, ..own.limits }, ..own.clone() },
    ] {
        let fault = guest.bind(4, &other).unwrap_err();
        check_fault(&fault, FaultKind::Start, "only a rule of the same module");
    }
    assert_eq!(call(&mut guest, 1).unwrap().len(), 1);
}

#[test]
fn a_guest_that_dies_while_taking_a_rule_in_or_forgetting_one_is_dead() {
    let mut hurried = in_a_hurry(&picky());
    hurried.limits.memory = 16 << 20;
    let start = || host().guest(&hurried).unwrap();
    let bind = |binding| move |guest: &mut WasmGuest, rule: &RuleSpec| guest.bind(binding, rule);
    type Act = Box<dyn Fn(&mut WasmGuest, &RuleSpec) -> Result<(), Fault>>;
    let acts: [(Act, FaultKind, &str); 3] = [
        (Box::new(bind(2)), FaultKind::Trap, "in `tg_bind` (taking its settings)"),
        (Box::new(bind(3)), FaultKind::Deadline, "did not answer within 50 ms, in `tg_bind`"),
        (Box::new(|guest, _| guest.unbind(9)), FaultKind::Trap, "in `tg_unbind` (forgetting a rule)"),
    ];
    for (act, kind, text) in acts {
        let mut guest = start();
        let fault = act(&mut guest, &hurried).unwrap_err();
        check_fault(&fault, kind, text);
        assert_eq!(call(&mut guest, 0).unwrap_err(), fault);
        assert_eq!(guest.bind(4, &hurried).unwrap_err(), fault);
        assert_eq!(guest.unbind(0).unwrap_err(), fault);
    }
}

#[test]
fn a_wake_that_traps_names_its_slot() {
    let fault = fault_of(&with_batch("(call $at (i32.const 2) (i32.const 77)) (unreachable)"));
    check_fault(&fault, FaultKind::Trap, "(in on_wake)");
    assert_eq!((fault.row, fault.slot), (None, Some(77)));
}

#[test]
fn a_loop_in_a_batch_is_stopped() {
    let module = with_batch("(call $at (i32.const 3) (i32.const 1)) (loop $spin (br $spin)) (i32.const 0)");
    let fault = check_stopped(&module, "did not answer within 50 ms, in `tg_batch` (in on_event)");
    assert_eq!(fault.row, Some(1));
}

#[test]
fn a_deadline_is_not_early() {
    let module = with_batch("(loop $spin (br $spin)) (i32.const 0)");
    let limits = Limits { deadline_ms: 80, ..Limits::default() };
    let mut guest = host().guest(&RuleSpec { limits, ..spec(&module) }).unwrap();
    let start = Instant::now();
    let fault = call(&mut guest, 1).unwrap_err();
    assert!(start.elapsed() >= Duration::from_millis(80), "{:?}", start.elapsed());
    check_fault(&fault, FaultKind::Deadline, "within 80 ms");
}

#[test]
fn each_entry_has_a_deadline_of_its_own() {
    // Many quick calls, together far longer than a call may take.
    let limits = Limits { deadline_ms: 300, ..Limits::default() };
    let mut guest = host().guest(&RuleSpec { limits, ..spec(&Module::default()) }).unwrap();
    for _ in 0..4 {
        call(&mut guest, 1).unwrap();
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_loop_in_bind_is_stopped() {
    let module = Module {
        bind: "(call $at (i32.const 1) (i32.const -1)) (loop $spin (br $spin)) (i32.const 0)",
        ..Module::default()
    };
    check_stopped(&module, "did not answer within 50 ms, in `tg_bind` (taking its settings)");
}

#[test]
fn a_loop_in_region_is_stopped() {
    let module = Module { region: "(loop $spin (br $spin)) (i32.const 0)", ..Module::default() };
    check_stopped(&module, "did not answer within 50 ms, in `tg_region` (making room)");
}

#[test]
fn a_loop_in_reply_is_stopped() {
    let module = Module { reply: "(loop $spin (br $spin)) (i32.const 0)", ..Module::default() };
    check_stopped(&module, "in `tg_reply` (telling where its replies are)");
}

#[test]
fn a_panic_comes_with_its_message_and_place() {
    let module = Module {
        batch: "(call $at (i32.const 3) (i32.const 2)) (call $say (i32.const 256) (i32.const 32)) (unreachable)",
        extra: r#"(data (i32.const 256) "index out of range, src/lib.rs:7")"#.into(),
        ..Module::default()
    };
    let fault = fault_of(&module);
    check_fault(&fault, FaultKind::Trap, "index out of range, src/lib.rs:7 (in on_event)");
    assert_eq!(fault.row, Some(2));
}

#[test]
fn a_trap_without_words_names_the_functions() {
    let module = Module {
        batch: "(call $middle) (i32.const 0)",
        extra: "(func $middle (call $inner)) (func $inner (unreachable))".into(),
        ..Module::default()
    };
    check(
        &module,
        FaultKind::Trap,
        "stopped itself without a message, in `inner`, called by `middle`, `tg_batch` (handling a batch)",
    );
}

#[test]
fn other_traps_are_named() {
    check(
        &with_batch("(i32.div_u (i32.const 1) (i32.const 0))"),
        FaultKind::Trap,
        "integer divide by zero, in `tg_batch`",
    );
    check(
        &with_batch("(i32.load (i32.const 0x7fffffff))"),
        FaultKind::Trap,
        "accessed memory that it does not have, in `tg_batch`",
    );
}

#[test]
fn the_row_that_trapped_is_reported() {
    // Traps at the first row whose metric is at least the limit.
    let at = |limit: &str| {
        Module {
        batch: "
            (local $row i32)
            (loop $next
                (call $at (i32.const 3) (local.get $row))
                (if (f64.ge
                        (f64.load offset=72 (i32.add (global.get $inbox) (i32.mul (local.get $row) (i32.const 64))))
                        (global.get $limit))
                    (then (unreachable)))
                (local.set $row (i32.add (local.get $row) (i32.const 1)))
                (br_if $next (i32.lt_u (local.get $row) (i32.load offset=8 (global.get $inbox)))))
            (i32.const 0)",
        extra: format!("(global $limit f64 (f64.const {limit}))"),
        ..Module::default()
    }
    };
    assert_eq!(fault_of(&at("0")).row, Some(0));
    assert_eq!(fault_of(&at("2.5")).row, Some(2));
}

#[test]
fn a_row_that_is_not_in_the_batch_is_not_reported() {
    let fault = fault_of(&with_batch("(call $at (i32.const 3) (i32.const 3)) (unreachable)"));
    assert_eq!((fault.kind, fault.row), (FaultKind::Trap, None));
}

#[test]
fn memory_ends_at_the_limit() {
    // Grows page by page until refused, then dies as Rust's allocator does.
    let module = with_batch(
        "(block $full (loop $more (br_if $full (i32.lt_s (memory.grow (i32.const 1)) (i32.const 0))) (br $more)))
         (unreachable)",
    );
    check(&module, FaultKind::Memory, "asked for 16.1 MiB of memory, it may have 16 MiB, in `tg_batch`");
}

#[test]
fn memory_beyond_the_pool_is_refused_whatever_the_limit_says() {
    let module = with_batch("(drop (memory.grow (i32.const 2000))) (unreachable)");
    let limits = Limits { memory: 1 << 40, ..Limits::default() };
    let mut guest = host().guest(&RuleSpec { limits, ..spec(&module) }).unwrap();
    let fault = call(&mut guest, 1).unwrap_err();
    check_fault(&fault, FaultKind::Memory, "it may have 64 MiB");
}

#[test]
fn being_refused_memory_is_no_fault_for_a_rule_that_copes() {
    let module = with_batch(
        "(drop (memory.grow (i32.const 30000))) (call $answer (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
         (i32.const 0)",
    );
    let mut guest = start(&module).unwrap();
    assert!(call(&mut guest, 3).unwrap().is_empty());
    assert!(call(&mut guest, 3).unwrap().is_empty());
}

#[test]
fn a_module_that_starts_with_more_than_its_rule_may_have_does_not_start() {
    let module = Module { memory: "300", ..Module::default() };
    check(&module, FaultKind::Start, "starts with 19200 KiB of memory, the rule may have 16384 KiB");
}

#[test]
fn a_batch_larger_than_memory_is_not_sent() {
    let mut guest = start(&Module::default()).unwrap();
    let mut builder = BatchBuilder::new();
    builder.push_string(&vec![b'x'; 17 << 20]);
    let fault = guest.call(&builder.finish(), &mut Reply::default()).unwrap_err();
    check_fault(&fault, FaultKind::Memory, "events of 17.1 MiB do not fit into the 16 MiB of memory");
}

#[test]
fn too_many_effects_are_refused_before_they_are_looked_at() {
    let count = "(call $answer (i32.const 1024) (i32.const 1037) (i32.const 0) (i32.const 0)) (i32.const 0)";
    check(&with_batch(count), FaultKind::Output, "asked for 1037 effects, 3 rows and 0 wakes may have 1036");
    let huge = "(call $answer (i32.const 1024) (i32.const -1) (i32.const 0) (i32.const 0)) (i32.const 0)";
    check(&with_batch(huge), FaultKind::Output, "asked for 4294967295 effects");
    let bytes =
        "(call $answer (i32.const 1024) (i32.const 0) (i32.const 0) (i32.const 0x400001)) (i32.const 0)";
    check(
        &with_batch(bytes),
        FaultKind::Output,
        "its effects have 4194305 bytes of text, they may have 4194304",
    );
}

#[test]
fn replies_that_lie_outside_of_memory_are_refused() {
    for (text, part) in [
        (
            "(call $answer (i32.const 131072) (i32.const 1) (i32.const 0) (i32.const 0)) (i32.const 0)",
            "the records",
        ),
        (
            "(call $answer (i32.const 131041) (i32.const 1) (i32.const 0) (i32.const 0)) (i32.const 0)",
            "the records",
        ),
        // Address and length wrap around in 32 bits.
        (
            "(call $answer (i32.const -32) (i32.const 2) (i32.const 0) (i32.const 0)) (i32.const 0)",
            "the records",
        ),
        (
            "(call $answer (i32.const 0) (i32.const 0) (i32.const -4) (i32.const 16)) (i32.const 0)",
            "the bytes",
        ),
        (
            "(call $answer (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 131073)) (i32.const 0)",
            "the bytes",
        ),
    ] {
        let fault = fault_of(&with_batch(text));
        check_fault(&fault, FaultKind::Reply, &format!("{part} of its reply"));
        check_fault(&fault, FaultKind::Reply, "do not lie in its memory of 131072 bytes");
    }
}

#[test]
fn effects_that_mean_nothing_are_refused() {
    let one = "(call $answer (i32.const 1024) (i32.const 1) (i32.const 32768) (i32.const 64)) (i32.const 0)";
    let record = |fields: &str| -> Module {
        let text = format!("(call $record (i32.const 0) {fields}) {one}");
        with_batch(Box::leak(text.into_boxed_str()))
    };
    for (fields, text) in [
        // Row 0, action 9.
        (
            "(i32.const 0) (i32.const 0x910) (i32.const 0) (i32.const 0)",
            "effect 0 has an unknown action or base",
        ),
        (
            "(i32.const 0) (i32.const 0x230) (i32.const 0) (i32.const 0)",
            "effect 0 has an unknown action or base",
        ),
        (
            "(i32.const 3) (i32.const 0x210) (i32.const 0) (i32.const 0)",
            "effect 0 is about row 3 of a batch of 3 rows",
        ),
        (
            "(i32.const 0) (i32.const 0x210) (i32.const 1) (i32.const 0)",
            "goes to output 1, the rule has 1 outputs",
        ),
        (
            "(i32.const 0) (i32.const 0x210) (i32.const 0) (i32.const 63)",
            "the overrides of effect 0 do not lie",
        ),
        (
            "(i32.const 0) (i32.const 0x210) (i32.const 0) (i32.const -1)",
            "the overrides of effect 0 do not lie",
        ),
    ] {
        check(&record(fields), FaultKind::Reply, text);
    }
    // Overrides within the reply whose value reaches out of it.
    let module = Module {
        extra: r#"(data (i32.const 32769) "\01\00\03\00\00\00\ff\ff\ff\7f")"#.into(),
        ..record("(i32.const 0) (i32.const 0x210) (i32.const 0) (i32.const 1)")
    };
    check(&module, FaultKind::Reply, "the overrides of effect 0 do not lie within the reply");
}

#[test]
fn a_wake_in_the_past_is_no_fault_and_means_the_next_call() {
    let module = with_batch(
        "(call $answer (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
         (i64.store offset=16 (i32.const 64) (i64.const -99)) (i32.const 0)",
    );
    assert_eq!(call(&mut start(&module).unwrap(), 1).unwrap().next_wake, Timestamp(-99));
}

#[test]
fn a_region_that_is_none_is_refused() {
    let region = |region| Module { region, ..Module::default() };
    check(&region("(i32.const 0)"), FaultKind::Memory, "has no room for settings");
    check(
        &region("(i32.const 65537)"),
        FaultKind::Reply,
        "gave address 65537, a multiple of 64 was expected",
    );
    check(
        &region("(i32.const 131072)"),
        FaultKind::Reply,
        "gave a region that is none: 4096 bytes at address 131072",
    );
    check(
        &region("(i32.const -64)"),
        FaultKind::Reply,
        "gave a region that is none: 4096 bytes at address 4294967232",
    );
    check(&region("(unreachable)"), FaultKind::Trap, "stopped itself without a message, in `tg_region`");
}

#[test]
fn a_region_that_does_not_grow_fails_the_batch_that_needs_it() {
    // Refuses everything larger than the first request.
    let module = Module {
        region: "(if (i32.gt_u (local.get $bytes) (i32.const 4096)) (then (return (i32.const 0))))
                 (call $room (local.get $bytes))",
        ..Module::default()
    };
    call(&mut start(&module).unwrap(), 50).unwrap();
    check_fault(&fault_of_rule(&spec(&module), 100), FaultKind::Memory, "has no room for events of 8 KiB");
}

#[test]
fn a_descriptor_that_is_none_is_refused() {
    let module = Module { reply: "(i32.const 131009)", ..Module::default() };
    check(&module, FaultKind::Start, "tg_reply gave a place for the descriptor that is none");
}

#[test]
fn a_descriptor_that_would_move_stays_where_it_was() {
    // The second answer would be another; it is never asked for.
    let module = Module {
        reply: "(global.set $asked (i32.add (global.get $asked) (i32.const 64))) (global.get $asked)",
        extra: "(global $asked (mut i32) (i32.const 0))".into(),
        ..Module::default()
    };
    let mut guest = start(&module).unwrap();
    for rows in [3, 500, 2] {
        assert_eq!(call(&mut guest, rows).unwrap().len(), rows);
    }
}

#[test]
fn recursion_without_end_is_stopped() {
    let module = Module {
        batch: "(call $deeper (local.get $len))",
        extra: "(func $deeper (param i32) (result i32)
                  (i32.add (i32.const 1) (call $deeper (i32.add (local.get 0) (i32.const 1)))))"
            .into(),
        ..Module::default()
    };
    check(&module, FaultKind::Trap, "used up its stack, in `deeper`, called by `deeper`");
}

#[test]
fn filling_all_memory_again_and_again_is_stopped() {
    // A single fill is not interrupted; the limit on memory bounds how long it takes.
    let module = with_batch(
        "(drop (memory.grow (i32.const 200)))
         (loop $again
            (memory.fill (i32.const 2048) (i32.const 0xff) (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 2048)))
            (br $again))
         (i32.const 0)",
    );
    check_stopped(&module, "did not answer within 50 ms");
}

#[test]
fn a_batch_that_is_not_taken_says_why() {
    let module = Module {
        batch: "(call $say (i32.const 256) (i32.const 7)) (i32.const 4)",
        extra: r#"(data (i32.const 256) "too new")"#.into(),
        ..Module::default()
    };
    check(&module, FaultKind::Trap, "refused with code 4: too new (handling a batch)");
}

#[test]
fn a_message_that_lies_outside_of_memory_is_left_out() {
    let module = with_batch("(call $say (i32.const -8) (i32.const 4096)) (unreachable)");
    check(&module, FaultKind::Trap, "stopped itself without a message");
}

#[test]
fn nothing_of_one_guest_reaches_the_next_in_its_place() {
    // The pool gives the slot of a dead guest to the next one: its memory must be as the module says.
    let module = with_batch(
        "(if (i32.load (i32.const 2048)) (then (unreachable)))
         (i32.store (i32.const 2048) (i32.const 1))
         (call $answer (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
         (i32.const 0)",
    );
    for _ in 0..200 {
        call(&mut start(&module).unwrap(), 1).unwrap();
    }
}
