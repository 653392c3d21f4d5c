//! Machine code on disk: what is loaded is what was kept, and nothing else.

use super::*;
use crate::skeleton::Module;
use std::sync::Arc;

struct Bench {
    data: tempfile::TempDir,
    engine: Arc<Engine>,
    code: Vec<u8>,
}

const DIGEST: &str = "00ff";

impl Bench {
    fn new() -> Self {
        let engine = Engine::new(16, false).unwrap();
        let module = wasmtime::Module::new(&engine.wasmtime, Module::default().wasm()).unwrap();
        Self { data: tempfile::tempdir().unwrap(), engine, code: module.serialize().unwrap() }
    }

    fn open(&self) -> Artefacts {
        Artefacts::open(self.data.path(), &self.engine).unwrap()
    }

    /// The one file in the folder.
    fn file(&self) -> PathBuf {
        let mut files: Vec<_> =
            fs::read_dir(self.data.path().join(FOLDER)).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 1);
        files.remove(0)
    }
}

fn is_module(found: &Found) -> bool {
    matches!(found, Found::Module(_))
}

#[test]
fn what_was_stored_is_found_by_the_next_run() {
    let bench = Bench::new();
    assert!(matches!(bench.open().load(&bench.engine, DIGEST), Found::Nothing));
    bench.open().store(DIGEST, &bench.code).unwrap();
    let Found::Module(module) = bench.open().load(&bench.engine, DIGEST) else { panic!("not found") };
    assert!(module.exports().any(|export| export.name() == "tg_batch"));
    assert!(matches!(bench.open().load(&bench.engine, "other"), Found::Nothing));
}

#[test]
fn a_single_changed_bit_anywhere_is_noticed_and_the_file_deleted() {
    let bench = Bench::new();
    let artefacts = bench.open();
    artefacts.store(DIGEST, &bench.code).unwrap();
    let path = bench.file();
    let good = fs::read(&path).unwrap();
    let last = good.len() - 1;
    for at in [0, KEY - 1, KEY, KEY + 100, last / 2, last] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, &bad).unwrap();
        assert!(matches!(artefacts.load(&bench.engine, DIGEST), Found::Rejected), "byte {at}");
        assert!(!path.exists());
    }
    for cut in [0, 5, KEY, last] {
        fs::write(&path, &good[..cut]).unwrap();
        assert!(matches!(artefacts.load(&bench.engine, DIGEST), Found::Rejected), "cut at {cut}");
    }
    fs::write(&path, &good).unwrap();
    assert!(is_module(&artefacts.load(&bench.engine, DIGEST)));
}

#[test]
fn an_artefact_does_not_pass_for_another_modules() {
    let bench = Bench::new();
    let artefacts = bench.open();
    artefacts.store(DIGEST, &bench.code).unwrap();
    fs::rename(bench.file(), artefacts.folder.join(artefacts.seal.name("beef"))).unwrap();
    assert!(matches!(artefacts.load(&bench.engine, "beef"), Found::Rejected));
}

#[test]
fn an_engine_with_other_settings_does_not_look_at_it() {
    let bench = Bench::new();
    bench.open().store(DIGEST, &bench.code).unwrap();
    let other = Engine::new(16, true).unwrap();
    let artefacts = Artefacts::open(bench.data.path(), &other).unwrap();
    assert!(matches!(artefacts.load(&other, DIGEST), Found::Nothing));
}

#[test]
fn another_key_makes_every_artefact_worthless() {
    let bench = Bench::new();
    bench.open().store(DIGEST, &bench.code).unwrap();
    let key = bench.data.path().join(KEY_FILE);
    fs::remove_file(&key).unwrap();
    assert!(matches!(bench.open().load(&bench.engine, DIGEST), Found::Rejected));
    assert_eq!(fs::read(&key).unwrap().len(), KEY);
}

#[cfg(unix)]
#[test]
fn a_key_that_others_could_read_is_replaced() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    bench.open().store(DIGEST, &bench.code).unwrap();
    let path = bench.data.path().join(KEY_FILE);
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    let key = fs::read(&path).unwrap();
    restrict(&path, 0o640).unwrap();
    assert!(matches!(bench.open().load(&bench.engine, DIGEST), Found::Rejected));
    assert_ne!(fs::read(&path).unwrap(), key);
    assert_eq!(mode(), 0o600);
}

#[test]
fn a_key_of_the_wrong_length_is_replaced() {
    let bench = Bench::new();
    let path = bench.data.path().join(KEY_FILE);
    for len in [0, KEY - 1, KEY + 1] {
        fs::write(&path, vec![7; len]).unwrap();
        restrict(&path, 0o600).unwrap();
        bench.open();
        assert_eq!(fs::read(&path).unwrap().len(), KEY);
    }
}

#[test]
fn the_folder_is_bounded_and_the_oldest_go_first() {
    let bench = Bench::new();
    let artefacts = bench.open();
    for n in 0..FILES_MAX + 3 {
        let path = artefacts.folder.join(format!("old-{n:04}"));
        let file = File::create(&path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(n as u64)).unwrap();
    }
    artefacts.store(DIGEST, &bench.code).unwrap();
    assert_eq!(fs::read_dir(&artefacts.folder).unwrap().count(), FILES_MAX);
    assert!(is_module(&artefacts.load(&bench.engine, DIGEST)));
    assert!(!artefacts.folder.join("old-0003").exists());
    assert!(artefacts.folder.join("old-0004").exists());
}
