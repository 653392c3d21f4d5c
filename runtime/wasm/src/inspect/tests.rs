//! What is accepted, what is refused, and how a refusal reads.

use super::*;
use crate::skeleton::{Module, manifest};

fn refusal(wasm: &[u8]) -> String {
    inspect(wasm).expect_err("the module should have been refused").to_string()
}

fn refusal_of(text: &str) -> String {
    refusal(&wat::parse_str(text).unwrap())
}

/// Inspects a good rule with one more field.
fn refusal_with(extra: &str) -> String {
    refusal(&Module { extra: extra.into(), ..Module::default() }.wasm())
}

#[track_caller]
fn says(refusal: &str, parts: &[&str]) {
    for part in parts {
        assert!(refusal.contains(part), "expected {part:?} in {refusal:?}");
    }
}

#[test]
fn a_good_rule_is_read_without_running_it() {
    let wasm = Module { memory: "3 9", ..Module::default() }.wasm();
    let inspected = inspect(&wasm).unwrap();
    assert_eq!(inspected.manifest, Manifest::from_json(manifest().as_bytes()).unwrap());
    assert_eq!(inspected.digest, blake3::hash(&wasm).to_hex().to_string());
    assert_eq!((inspected.size, inspected.functions), (wasm.len(), 15));
    assert_eq!((inspected.memory, inspected.memory_max), (3 << 16, Some(9 << 16)));
    assert!(inspected.names);
}

#[test]
fn what_is_no_wasm_is_called_what_it_is() {
    says(&refusal(b""), &["not a wasm module", "the file is empty"]);
    says(&refusal(b"#!/bin/sh"), &["it starts with [23, 21, 2f, 62]"]);
    says(&refusal(b"(module)"), &["wasm as text", "wasm-tools parse"]);
    says(&refusal(b"!<arch>\n"), &["an archive", "cdylib"]);
    says(&refusal(b"\0asm\x09\0\0\0"), &["version that nobody speaks yet"]);
}

#[test]
fn machine_code_is_never_accepted() {
    says(&refusal(b"\x7fELF\x02\x01\x01\0"), &["machine code (an ELF file)", "never loaded"]);
    let precompiled =
        wasmtime::Engine::default().precompile_module(&wat::parse_str("(module)").unwrap()).unwrap();
    says(&refusal(&precompiled), &["machine code (a module precompiled by wasmtime)"]);
}

#[test]
fn a_component_is_told_from_a_module() {
    says(&refusal_of("(component)"), &["a wasm component", "wasm32-unknown-unknown"]);
}

#[test]
fn a_module_too_large_is_not_even_read() {
    says(&refusal(&vec![0; MODULE_MAX + 1]), &["4097 KiB, rules may have 4096 KiB"]);
}

#[test]
fn a_module_that_ends_early_is_damaged_or_invalid_at_any_cut() {
    let wasm = Module::default().wasm();
    for cut in 0..wasm.len() {
        // A cut after the functions leaves a valid module without names.
        if let Err(refusal) = inspect(&wasm[..cut]) {
            assert!(!refusal.to_string().is_empty());
        }
    }
    says(&refusal(&wasm[..100]), &["the module is damaged"]);
}

#[test]
fn what_does_not_validate_is_refused_with_the_validators_reason() {
    says(&refusal_with("(func (result i32) (i64.const 1))"), &["not valid here", "type mismatch"]);
    // Off here, though wasmtime could.
    says(&refusal_with("(func $f (return_call $f))"), &["not valid here", "tail calls"]);
    says(&refusal_with("(func (param externref))"), &["not valid here"]);
    says(&refusal_with("(tag)"), &["not valid here", "exceptions"]);
    says(
        &refusal_with("(func (param v128) (drop (i32x4.relaxed_trunc_f32x4_s (local.get 0))))"),
        &["not valid here", "relaxed"],
    );
}

#[test]
fn an_import_is_named_with_advice() {
    let wasi = r#"(module (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32))))"#;
    says(
        &refusal_of(wasi),
        &[
            "imports `wasi_snapshot_preview1.fd_write`, but rules import nothing",
            "build it for wasm32-unknown-unknown",
        ],
    );
    let browser = r#"(module (import "__wbindgen_placeholder__" "__wbindgen_throw" (func)))"#;
    says(&refusal_of(browser), &["a dependency expects a browser", "cargo tree -i wasm-bindgen"]);
    says(&refusal_of(r#"(module (import "env" "memory" (memory 1)))"#), &["`env.memory`", "--import-memory"]);
    says(&refusal_of(r#"(module (import "env" "clock" (func)))"#), &["`env.clock`", "nothing defines"]);
    says(&refusal_of(r#"(module (import "tidegate" "now" (func)))"#), &["time arrive with the batch"]);
    let many: String = (0..8).map(|n| format!(r#"(import "env" "f{n}" (func))"#)).collect();
    says(&refusal_of(&format!("(module {many})")), &["`env.f0`", "`env.f4`, 3 more"]);
}

#[test]
fn a_start_function_is_refused() {
    says(&refusal_with("(func $main) (start $main)"), &["a start function", "cdylib"]);
}

#[test]
fn memories_of_unusual_kinds_are_refused() {
    says(&refusal_with("(memory 1)"), &["several memories"]);
    says(&refusal_of("(module (memory i64 1))"), &["a 64-bit memory", "not wasm64"]);
    says(&refusal_of("(module (memory 1 2 shared))"), &["a shared memory", "atomics"]);
    says(&refusal_of("(module (memory 1 2 (pagesize 1)))"), &["a memory of unusual pages"]);
}

#[test]
fn the_memory_to_start_with_is_held_to_the_limit() {
    let wasm = Module { memory: "1025", ..Module::default() }.wasm();
    says(&refusal(&wasm), &["starts with 65600 KiB of memory, the rule may have 65536 KiB"]);
    let inspected = inspect(&Module { memory: "1024", ..Module::default() }.wasm()).unwrap();
    let limits = |memory| Limits { memory, ..Limits::default() };
    assert_eq!(inspected.fits(&limits(64 << 20)), Ok(()));
    assert_eq!(inspected.fits(&limits(u64::MAX)), Ok(()));
    assert_eq!(inspected.fits(&limits(16 << 20)), Err(Refusal::Memory { asked: 64 << 20, limit: 16 << 20 }));
}

#[test]
fn tables_functions_and_locals_are_bounded() {
    says(&refusal_with("(table 10001 funcref)"), &["a table of 10001 entries", "one table of 10000 entries"]);
    says(&refusal_with("(table 1 funcref) (table 1 funcref)"), &["several tables"]);
    let functions = "(func)".repeat(10_000);
    says(&refusal_with(&functions), &["10015 functions, rules may have 10000"]);
    let locals = format!("(func (local {}))", "i32 ".repeat(5_001));
    says(&refusal_with(&locals), &["function 15 has 5001 local variables", "5000"]);
    let bounds =
        format!("(table 10000 funcref) (func (local {})) {}", "i32 ".repeat(5_000), "(func)".repeat(9_984));
    inspect(&Module { extra: bounds, ..Module::default() }.wasm()).unwrap();
}

#[test]
fn a_module_that_is_no_rule_or_of_another_version_is_told_so() {
    says(&refusal_of("(module)"), &["no export `tg_abi_1`", "#[rule]"]);
    let newer = Module::default().text().replace("tg_abi_1", "tg_abi_2");
    says(&refusal_of(&newer), &["speaks tg_abi_2, this host speaks tg_abi_1"]);
}

#[test]
fn exports_that_are_missing_or_something_else_are_all_named() {
    let text = Module::default()
        .text()
        .replace(r#"(export "tg_unbind")"#, "")
        .replace(r#"(export "memory")"#, "")
        .replace(
            r#"(func $tg_reply (export "tg_reply") (result i32) (i32.const 64))"#,
            r#"(func (export "tg_reply") (param i64))"#,
        )
        .replace(r#"(export "tg_bind")"#, "")
        + "";
    let text = text.trim_end().strip_suffix(')').unwrap().to_owned()
        + r#"(global (export "tg_bind") i32 (i32.const 0)))"#;
    says(
        &refusal_of(&text),
        &[
            "`memory` is missing",
            "`tg_reply` should be () -> (i32), it is (i64) -> ()",
            "`tg_bind` is a global",
            "`tg_unbind` is missing",
        ],
    );
}

#[test]
fn a_manifest_that_is_missing_or_broken_is_refused() {
    let with = |manifest: &str| refusal(&Module { manifest: manifest.into(), ..Module::default() }.wasm());
    says(
        &refusal_of(&Module::default().text().replace("@custom \"tidegate.manifest\"", "@custom \"other\"")),
        &["no `tidegate.manifest` section", "stripped"],
    );
    says(&with("{"), &["the manifest: EOF"]);
    says(&with(&manifest().replace("\"abi\":1", "\"abi\":7")), &["speaks ABI 7, this host speaks 1"]);
    says(&with(&manifest().repeat(2)), &["trailing characters", "one `#[rule]` only"]);
    says(&with(&" ".repeat(MANIFEST_MAX + 1)), &["65537 bytes, it may have 65536"]);
    says(&refusal_with(r#"(@custom "tidegate.manifest" "{}")"#), &["2 manifests"]);
}

#[test]
fn no_bytes_make_the_inspection_panic() {
    // Good modules with a few bytes changed get further than noise does. Runs the same way each time.
    let good = Module::default().wasm();
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 11) as usize % below
    };
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let mut wasm = good.clone();
        for _ in 0..1 + next(3) {
            let at = next(wasm.len());
            wasm[at] = next(256) as u8;
        }
        match inspect(&wasm) {
            Ok(_) => accepted += 1,
            Err(refusal) => refused += usize::from(!refusal.to_string().is_empty()),
        }
    }
    assert_eq!(accepted + refused, 20_000);
    assert!(accepted > 0 && refused > 0);
}
