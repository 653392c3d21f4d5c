//! Compiled once for each digest, within a time, and forgotten when there are too many.

use super::*;
use crate::skeleton;

fn modules(data: Option<&Path>) -> Arc<Modules> {
    Modules::new(Engine::new(16, false).unwrap(), data, None)
}

/// Modules that differ in nothing but a constant.
fn wasm(n: usize) -> Vec<u8> {
    skeleton::Module { extra: format!("(func (drop (i32.const {n})))"), ..skeleton::Module::default() }.wasm()
}

/// Enough code that compiling takes a while.
fn large() -> Vec<u8> {
    let body = "(local.set 0 (i32.mul (i32.add (local.get 0) (i32.const 3)) (local.get 0)))".repeat(300);
    let functions = format!("(func (param i32) {body})").repeat(150);
    skeleton::Module { extra: functions, ..skeleton::Module::default() }.wasm()
}

#[test]
fn a_module_is_compiled_once() {
    let modules = modules(None);
    let first = modules.compile(&wasm(1)).unwrap();
    let again = modules.compile(&wasm(1)).unwrap();
    assert!(Arc::ptr_eq(&first, &again));
    assert!(Arc::ptr_eq(&first, &modules.find(&first.inspected.digest).unwrap()));
    let stats = modules.stats();
    assert_eq!((stats.modules, stats.compiled, stats.cache_hits), (1, 1, 2));
    assert!(stats.code_bytes > 0);
    modules.forget(&first.inspected.digest);
    assert!(modules.find(&first.inspected.digest).is_none());
}

#[test]
fn two_who_ask_at_once_get_the_same_module() {
    let modules = modules(None);
    let ask = || modules.compile(&wasm(2)).unwrap();
    let (one, two) = std::thread::scope(|scope| {
        let (one, two) = (scope.spawn(ask), scope.spawn(ask));
        (one.join().unwrap(), two.join().unwrap())
    });
    assert!(Arc::ptr_eq(&one, &two));
    assert_eq!(modules.stats().modules, 1);
}

#[test]
fn a_second_run_loads_from_disk_what_the_first_has_compiled() {
    let data = tempfile::tempdir().unwrap();
    modules(Some(data.path())).compile(&wasm(3)).unwrap();
    let second = modules(Some(data.path()));
    second.compile(&wasm(3)).unwrap();
    let stats = second.stats();
    assert_eq!((stats.compiled, stats.artefacts_loaded, stats.artefacts_rejected), (0, 1, 0));
}

#[test]
fn a_changed_file_is_counted_and_compiled_again() {
    let data = tempfile::tempdir().unwrap();
    modules(Some(data.path())).compile(&wasm(4)).unwrap();
    for entry in std::fs::read_dir(data.path().join("artefacts")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 0x80;
        std::fs::write(&path, bytes).unwrap();
    }
    let second = modules(Some(data.path()));
    second.compile(&wasm(4)).unwrap();
    let stats = second.stats();
    assert_eq!((stats.compiled, stats.artefacts_loaded, stats.artefacts_rejected), (1, 0, 1));
    let third = modules(Some(data.path()));
    third.compile(&wasm(4)).unwrap();
    assert_eq!(third.stats().artefacts_loaded, 1, "what was compiled again is kept again");
}

#[test]
fn a_data_directory_that_cannot_be_used_costs_only_the_cache() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let modules = modules(Some(file.path()));
    modules.compile(&wasm(5)).unwrap();
    assert_eq!(modules.stats().compiled, 1);
}

#[test]
fn a_refused_module_is_refused_again_and_never_kept() {
    let modules = modules(None);
    let wasm = wat::parse_str("(module)").unwrap();
    for _ in 0..2 {
        assert_eq!(modules.compile(&wasm).unwrap_err(), Refusal::NoRule);
        assert_eq!(modules.compile_within(&wasm, Duration::from_secs(60)).unwrap_err(), Refusal::NoRule);
    }
    assert_eq!(modules.stats(), Stats::default());
}

#[test]
fn waiting_for_the_compiler_has_an_end_and_the_result_is_kept() {
    let modules = modules(None);
    let wasm = large();
    let refusal = modules.compile_within(&wasm, Duration::ZERO).unwrap_err();
    assert!(refusal.is_ours());
    assert!(refusal.to_string().contains("did not compile within 0 ms"), "{refusal}");
    let compiled = modules.compile_within(&wasm, Duration::from_secs(300)).unwrap();
    assert!(Arc::ptr_eq(&compiled, &modules.compile(&wasm).unwrap()));
}

#[test]
fn only_so_many_compile_and_wait_at_once() {
    let helpers = Arc::new(Helpers::default());
    let soon = || Instant::now() + Duration::from_millis(1);
    let one = Helpers::take(&helpers, soon()).unwrap().unwrap();
    let _two = Helpers::take(&helpers, soon()).unwrap().unwrap();
    assert!(Helpers::take(&helpers, soon()).unwrap().is_none(), "no third helper");
    helpers.lock().waiting = WAITING;
    let Err(refusal) = Helpers::take(&helpers, soon()) else { panic!("the queue is full") };
    assert_eq!(refusal, Refusal::Busy { running: HELPERS, waiting: WAITING });
    helpers.lock().waiting = 0;
    // Whoever waits gets the helper that is given back.
    let waiter = {
        let helpers = Arc::clone(&helpers);
        std::thread::spawn(move || {
            Helpers::take(&helpers, Instant::now() + Duration::from_secs(300)).unwrap().is_some()
        })
    };
    drop(one);
    assert!(waiter.join().unwrap());
}

#[test]
fn modules_that_nobody_runs_make_room() {
    let modules = modules(None);
    let kept = modules.compile(&wasm(0)).unwrap();
    // Other names for one compiled module: a thousand real ones would take a while.
    let other = modules.compile(&wasm(1)).unwrap();
    let copy = || {
        Arc::new(Compiled {
            inspected: other.inspected.clone(),
            ready: other.ready.clone(),
            engine: Arc::clone(&other.engine),
            code: other.code,
        })
    };
    for n in 0..MODULES_MAX {
        modules.cache.insert(format!("copy {n}"), copy());
    }
    modules.compile(&wasm(2)).unwrap();
    let stats = modules.stats();
    assert_eq!((stats.modules, stats.forgotten), (3, MODULES_MAX as u64));
    assert!(Arc::ptr_eq(&kept, &modules.find(&kept.inspected.digest).unwrap()), "what runs is kept");
}
