//! What a guest may say of its keys' memory, and what is made of it: nothing is believed that cannot be so.

use super::*;
use tidegate_event::KeyState;

fn key(slot: u32) -> KeyState {
    KeyState { slot, binding: 0, key: 7, wakes: vec![Timestamp(5)], state: vec![0xc0] }
}

/// Bytes at address 2048, and their number.
fn data(keys: &[KeyState]) -> (String, usize) {
    let mut list = Vec::new();
    keys.iter().for_each(|key| key.write(&mut list));
    let escaped: String = list.iter().map(|byte| format!("\\{byte:02x}")).collect();
    (format!(r#"(data (i32.const 2048) "{escaped}")"#), list.len())
}

/// Fills the descriptor with a list at 2048 of so many bytes and keys, and so many left.
fn answer(count: u32, len: usize, left: u32) -> String {
    format!(
        "(call $answer (i32.const 0) (i32.const {count}) (i32.const 2048) (i32.const {len}))
         (i32.store offset=40 (i32.const 64) (i32.const {left})) (i32.const 0)"
    )
}

fn leaked(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

/// Marks so many keys and answers a save with this.
fn saving(marked: u32, keys: &[KeyState], count: u32, left: u32) -> Module {
    let (extra, len) = data(keys);
    let mark = leaked(answer(0, 0, marked));
    Module { mark, save: leaked(answer(count, len, left)), extra, ..Module::default() }
}

fn save(module: &Module, most: u32) -> Result<(u32, Vec<KeyState>), Fault> {
    let mut guest = start(module).unwrap();
    guest.mark(true).unwrap();
    let mut saved = Vec::new();
    let outcome = guest.save(most, &mut saved);
    match outcome {
        Ok(left) => Ok((left, saved)),
        Err(fault) => {
            assert!(saved.is_empty(), "nothing of a failed save counts");
            dead_of(&mut guest, &fault);
            Err(fault)
        }
    }
}

/// Whatever is asked of it from here on, it answers with that fault.
fn dead_of(guest: &mut WasmGuest, fault: &Fault) {
    assert_eq!(call(guest, 1).unwrap_err(), *fault);
    assert_eq!(guest.mark(true).unwrap_err(), *fault);
    assert_eq!(guest.save(1, &mut Vec::new()).unwrap_err(), *fault);
    assert_eq!(guest.pick(&[1], &mut Vec::new()).unwrap_err(), *fault);
    assert_eq!(guest.restore(1, &[]).unwrap_err(), *fault);
}

#[test]
fn saved_keys_are_read_back() {
    let keys = [key(3), key(0)];
    assert_eq!(save(&saving(5, &keys, 2, 3), 9).unwrap(), (3, keys.to_vec()));
}

#[test]
fn saved_keys_that_cannot_be_so_are_refused() {
    let keys = [key(3), key(0)];
    for (module, most, text) in [
        (saving(5, &keys, 2, 3), 1, "gave 2 keys, at most 1 were asked for (saving what its keys remember)"),
        (saving(1, &keys, 2, 0), 9, "gave 2 keys, at most 1 were asked for"),
        (saving(5, &keys, 2, 4), 9, "5 marked keys were left, it saved 2 of them and says that 4 are left"),
        (saving(5, &keys, 1, 4), 9, "says that it saved 1 keys, there are 2"),
        (saving(5, &keys, 3, 2), 9, "says that it saved 3 keys, there are 2"),
        (saving(5, &[], 1, 4), 9, "says that it saved 1 keys, there are 0"),
    ] {
        check_fault(&save(&module, most).unwrap_err(), FaultKind::Reply, text);
    }
    let claims = |address: i64, len: i64| Module {
        save: leaked(format!(
            "(call $answer (i32.const 0) (i32.const 1) (i32.const {address}) (i32.const {len})) (i32.const 0)"
        )),
        ..saving(5, &keys, 2, 3)
    };
    for (address, len, text) in [
        (-8, 64, "the keys that it saved: 64 bytes at address 4294967288 do not lie in its memory"),
        (0, -1, "the keys that it saved: 4294967295 bytes at address 0"),
        (2048, 40, "the bytes end within saved key 1"),
    ] {
        check_fault(&save(&claims(address, len), 9).unwrap_err(), FaultKind::Reply, text);
    }
}

#[test]
fn a_guest_that_never_comes_to_an_end_with_its_keys_is_stopped() {
    let mut guest = start(&saving(5, &[], 0, 5)).unwrap();
    guest.mark(false).unwrap();
    let mut saved = Vec::new();
    let fault = (0..2_000).find_map(|_| guest.save(9, &mut saved).err()).unwrap();
    check_fault(
        &fault,
        FaultKind::Reply,
        "says that 5 keys are left to be saved, and has saved none 1000 times in a row",
    );
    dead_of(&mut guest, &fault);
}

#[test]
fn a_key_that_was_not_asked_for_is_refused() {
    let picking = |keys: &[KeyState]| {
        let (extra, len) = data(keys);
        Module { pick: leaked(answer(keys.len() as u32, len, 1)), extra, ..Module::default() }
    };
    let pick = |keys: &[KeyState], slots: &[u32]| {
        let mut guest = start(&picking(keys)).unwrap();
        let mut saved = Vec::new();
        match guest.pick(slots, &mut saved) {
            Ok(()) => Ok(saved),
            Err(fault) => {
                dead_of(&mut guest, &fault);
                Err(fault)
            }
        }
    };
    assert_eq!(pick(&[key(3), key(9)], &[1, 3, 4, 9]).unwrap(), [key(3), key(9)]);
    for slots in [&[1, 3][..], &[9, 3], &[4, 9]] {
        let fault = pick(&[key(3), key(9)], slots).unwrap_err();
        check_fault(&fault, FaultKind::Reply, "which it was not asked for there");
    }
    let fault = pick(&[key(3), key(3)], &[3]).unwrap_err();
    check_fault(&fault, FaultKind::Reply, "gave 2 keys, at most 1 were asked for");
}

/// A module that answers a restore with this code and message, for the key with that number.
fn unfit(code: u32, index: i32) -> Module {
    Module {
        restore: leaked(format!(
            "(call $say (i32.const 256) (i32.const 9))
             (i32.store offset=40 (i32.const 64) (i32.const {index})) (i32.const {code})"
        )),
        extra: r#"(data (i32.const 256) "no limits")"#.into(),
        ..Module::default()
    }
}

#[test]
fn a_state_that_does_not_fit_names_the_key_and_the_guest_lives_on() {
    let mut guest = start(&unfit(2, 1)).unwrap();
    let keys = [key(3), key(9)];
    for _ in 0..2 {
        let fault = guest.restore(1, &keys).unwrap_err();
        check_fault(&fault, FaultKind::State, "state: no limits (restoring what a key remembers)");
        assert_eq!((fault.row, fault.slot), (None, Some(9)));
    }
    assert_eq!(call(&mut guest, 3).unwrap().len(), 3);
    // A number that no key has is a claim like any other.
    let fault = start(&unfit(2, -1)).unwrap().restore(1, &keys).unwrap_err();
    assert_eq!((fault.kind, fault.slot), (FaultKind::State, None));
}

#[test]
fn a_restore_that_is_refused_is_the_end_of_the_guest() {
    for code in [1, 3] {
        let mut guest = start(&unfit(code, 0)).unwrap();
        let fault = guest.restore(1, &[key(3)]).unwrap_err();
        let text = format!("refused with code {code}: no limits (restoring what its keys remember)");
        check_fault(&fault, FaultKind::Trap, &text);
        dead_of(&mut guest, &fault);
    }
}

#[test]
fn keys_arrive_as_they_were_saved_and_the_next_wake_is_told() {
    // Answers with what it was given.
    let module = Module {
        restore: "(i64.store offset=16 (i32.const 64) (i64.extend_i32_u (i32.add (local.get $len)
                      (i32.mul (local.get $schema) (i32.const 1000)))))
                  (i32.const 0)",
        pick: "(call $answer (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)) (i32.const 0)",
        mark: leaked(answer(0, 0, 2)),
        save: "(call $answer (i32.const 0) (i32.const 2) (global.get $inbox) (i32.const 66))
               (i32.store offset=40 (i32.const 64) (i32.const 0)) (i32.const 0)",
        ..Module::default()
    };
    let mut guest = start(&module).unwrap();
    let keys = [key(3), key(9)];
    assert_eq!(guest.restore(7, &keys).unwrap(), Timestamp(7_066));
    guest.mark(true).unwrap();
    let mut saved = Vec::new();
    assert_eq!(guest.save(2, &mut saved).unwrap(), 0);
    assert_eq!(saved, keys);
}

#[test]
fn more_keys_than_fit_into_memory_are_not_sent() {
    let mut guest = start(&Module::default()).unwrap();
    let huge = KeyState { state: vec![0; 17 << 20], ..key(0) };
    let fault = guest.restore(1, &[huge]).unwrap_err();
    check_fault(&fault, FaultKind::Memory, "saved keys of 17.1 MiB do not fit into the 16 MiB of memory");
    dead_of(&mut guest, &fault);
}

type Act = fn(&mut WasmGuest) -> Result<(), Fault>;

#[test]
fn a_guest_that_loops_or_traps_while_it_saves_or_restores_is_stopped_and_dead() {
    let acts: [(&str, Act); 4] = [
        ("mark", |guest| guest.mark(true)),
        ("save", |guest| {
            guest.mark(true)?;
            guest.save(9, &mut Vec::new()).map(drop)
        }),
        ("pick", |guest| guest.pick(&[1], &mut Vec::new())),
        ("restore", |guest| guest.restore(1, &[key(3)]).map(drop)),
    ];
    for (name, act) in acts {
        let with = |body: &'static str| {
            let mut module = saving(5, &[], 0, 5);
            *match name {
                "mark" => &mut module.mark,
                "save" => &mut module.save,
                "pick" => &mut module.pick,
                _ => &mut module.restore,
            } = body;
            module
        };
        let mut limits = in_a_hurry(&with("(loop $spin (br $spin)) (i32.const 0)"));
        limits.limits.memory = 16 << 20;
        let mut guest = host().guest(&limits).unwrap();
        let fault = act(&mut guest).unwrap_err();
        check_fault(&fault, FaultKind::Deadline, &format!("did not answer within 50 ms, in `tg_{name}`"));
        dead_of(&mut guest, &fault);

        let mut guest = start(&with("(call $at (i32.const 6) (i32.const 77)) (unreachable)")).unwrap();
        let fault = act(&mut guest).unwrap_err();
        check_fault(&fault, FaultKind::Trap, "(restoring what a key remembers)");
        assert_eq!((fault.row, fault.slot), (None, Some(77)));
        dead_of(&mut guest, &fault);
    }
}
