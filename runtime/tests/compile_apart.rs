//! Modules are compiled in a process of their own: what it hands back runs, and a module made to hurt the compiler hurts
//! only that process.

#[path = "../wasm/tests/hostile/skeleton.rs"]
mod skeleton;

use skeleton::{Module, rule};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tidegate_engine::guest::Guest;
use tidegate_event::{BatchBuilder, NewEvent, Reply};
use tidegate_wasm::{Apart, Host, HostOptions, Refusal};

fn host(program: &str, data: Option<&Path>) -> Host {
    let apart = Apart { program: PathBuf::from(program), args: vec!["compile-module".into()] };
    let options = HostOptions {
        instances: 16,
        data: data.map(Path::to_path_buf),
        apart: Some(apart),
        ..HostOptions::default()
    };
    Host::new(&options, Arc::new(|_: &str| None)).unwrap()
}

const TIDEGATE: &str = env!("CARGO_BIN_EXE_tidegate");

fn echoes(host: &Host) {
    let compiled = host.compile(&Module::default().wasm()).unwrap();
    let mut guest = host.guest(&rule(&compiled.inspected.digest)).unwrap();
    let mut builder = BatchBuilder::new();
    builder.push(&NewEvent { service: Some("http"), ..NewEvent::default() });
    let mut reply = Reply::default();
    guest.call(&builder.finish(), &mut reply).unwrap();
    assert_eq!(reply.len(), 1);
}

fn reason(refusal: Refusal) -> String {
    match refusal {
        Refusal::Compile { reason } => reason,
        other => panic!("{other}"),
    }
}

#[test]
fn what_another_process_has_compiled_runs_and_is_kept() {
    let data = tempfile::tempdir().unwrap();
    echoes(&host(TIDEGATE, Some(data.path())));
    // The second time there is no process, and none is needed.
    let again = host("/nowhere/tidegate", Some(data.path()));
    echoes(&again);
    let stats = again.stats();
    assert_eq!((stats.compiled, stats.artefacts_loaded), (0, 1));
}

#[test]
fn without_a_process_the_module_is_refused_and_may_be_tried_again() {
    let refusal = host("/nowhere/tidegate", None).compile(&Module::default().wasm()).unwrap_err();
    assert!(refusal.is_ours());
    assert!(refusal.to_string().contains("(/nowhere/tidegate: No such file or directory"), "{refusal}");
}

#[test]
fn what_another_program_answers_is_not_loaded() {
    let compile = |program| reason(host(program, None).compile(&Module::default().wasm()).unwrap_err());
    assert_eq!(
        compile("/bin/echo"),
        "the answer of the compiling process is not usable: it is cut short",
        "`compile-module` and a line break is less than a MAC"
    );
    assert!(compile("/bin/true").starts_with("the compiling process ended without a word"));
    assert!(!compile("/bin/cat").is_empty(), "`cat compile-module` finds no such file");
}

/// A small module whose one function makes the compiler keep track of each of many variables at the head of each of many
/// loops.
fn bomb(locals: usize, loops: usize) -> Vec<u8> {
    let counts: String =
        (0..locals).map(|n| format!("(local.set {n} (i32.add (local.get {n}) (i32.const {n})))")).collect();
    let extra = format!(
        "(func (local {}) {} {counts} {})",
        "i32 ".repeat(locals),
        "(loop ".repeat(loops),
        "(br_if 0 (local.get 0)))".repeat(loops),
    );
    Module { extra, ..Module::default() }.wasm()
}

#[test]
fn a_bomb_ends_the_process_that_compiles_it_and_nothing_else() {
    let host = host(TIDEGATE, None);
    let bomb = bomb(4_900, 6_000);
    assert!(bomb.len() < 200_000, "it does not look dangerous: {} bytes", bomb.len());
    let reason = reason(host.compile_within(&bomb, Duration::from_secs(300)).unwrap_err());
    assert!(reason.starts_with("it takes more than the "), "{reason}");
    echoes(&host);
}

#[test]
fn a_huge_table_of_branches_and_too_many_variables_hurt_nobody() {
    let host = host(TIDEGATE, None);
    let refusal = host.compile(&bomb(50_000, 1)).unwrap_err();
    assert!(matches!(refusal, Refusal::Locals { count: 50_000, .. }), "{refusal}");
    let branches = format!(
        "(func (param i32) {} (br_table {} (local.get 0)) {})",
        "(block ".repeat(1_000),
        "7 999 ".repeat(400_000),
        ")".repeat(1_000),
    );
    let module = Module { extra: branches, ..Module::default() };
    // Whether that much can be compiled depends on the machine; that it does no harm does not.
    if let Err(refusal) = host.compile(&module.wasm()) {
        assert!(!reason(refusal).is_empty());
    }
    echoes(&host);
}
