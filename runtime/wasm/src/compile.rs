//! Bytes to compiled modules: once for each digest, kept in memory, and on disk where a data directory is given.
//!
//! Compiling takes some 100 ms and runs on the caller's thread, or on a helper thread that the caller stops waiting for
//! ([`Modules::compile_within`]). Never on a shard's thread: shards find what has been warmed before. Where the modules are
//! strangers', the thread only waits: a process of its own compiles (`apart.rs`).
//!
//! Two who ask for the same module at the same moment both compile it, and the first result is kept. That wastes a
//! little work in a rare case, and no lock is ever held while compiling.

use crate::apart::Apart;
use crate::artefact::{Artefacts, Found};
use crate::budget::Meter;
use crate::engine::Engine;
use crate::inspect::{Inspected, Refusal, digest, inspect};
use dashmap::DashMap;
use serde::Serialize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};
use wasmtime::{InstancePre, Linker, Module};

/// The most compiled modules in memory. Beyond, those that no guest runs are forgotten.
pub const MODULES_MAX: usize = 1_000;

/// Helper threads that compile at the same time.
const HELPERS: usize = 2;
/// Requests that may wait for a helper.
const WAITING: usize = 16;

/// A module that can be started at once.
pub struct Compiled {
    /// What it says and needs.
    pub inspected: Inspected,
    pub(crate) ready: InstancePre<Meter>,
    // Keeps deadlines working for as long as there is a guest of this module.
    pub(crate) engine: Arc<Engine>,
    code: usize,
}

impl std::fmt::Debug for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compiled").field("inspected", &self.inspected).field("code", &self.code).finish()
    }
}

/// Counters and sizes, for the node's metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Modules in memory.
    pub modules: usize,
    /// Bytes of their machine code.
    pub code_bytes: usize,
    /// Modules compiled since the start.
    pub compiled: u64,
    /// Requests that were answered from memory.
    pub cache_hits: u64,
    /// Modules loaded from disk instead of being compiled.
    pub artefacts_loaded: u64,
    /// Files that were not ours or damaged.
    pub artefacts_rejected: u64,
    /// Files that could not be written.
    pub artefacts_unwritten: u64,
    /// Modules forgotten to make room.
    pub forgotten: u64,
}

#[derive(Default)]
struct Counters {
    compiled: AtomicU64,
    cache_hits: AtomicU64,
    artefacts_loaded: AtomicU64,
    artefacts_rejected: AtomicU64,
    artefacts_unwritten: AtomicU64,
    forgotten: AtomicU64,
}

/// All compiled modules of a process.
pub struct Modules {
    engine: Arc<Engine>,
    cache: DashMap<String, Arc<Compiled>>,
    artefacts: Option<Artefacts>,
    apart: Option<Apart>,
    helpers: Arc<Helpers>,
    counters: Counters,
}

impl Modules {
    /// No modules yet. With a data directory, machine code is kept there; without, or when it cannot be used (which is
    /// logged), in memory only.
    pub(crate) fn new(engine: Arc<Engine>, data: Option<&Path>, apart: Option<Apart>) -> Arc<Self> {
        let artefacts = data.and_then(|data| {
            Artefacts::open(data, &engine)
                .inspect_err(|error| {
                    tracing::warn!(data = %data.display(), %error, "compiled modules are not kept on disk");
                })
                .ok()
        });
        Arc::new(Self {
            engine,
            cache: DashMap::new(),
            artefacts,
            apart,
            helpers: Arc::default(),
            counters: Counters::default(),
        })
    }

    /// The module of that digest, if it is in memory.
    pub fn find(&self, digest: &str) -> Option<Arc<Compiled>> {
        // The guard ends with the statement: nothing else is called while it is held.
        let found = self.cache.get(digest).map(|entry| Arc::clone(entry.value()));
        if found.is_some() {
            self.counters.cache_hits.fetch_add(1, Ordering::Relaxed);
        }
        found
    }

    /// Inspects and compiles a module on this thread, unless it is there already.
    pub fn compile(&self, wasm: &[u8]) -> Result<Arc<Compiled>, Refusal> {
        let digest = digest(wasm);
        if let Some(found) = self.find(&digest) {
            return Ok(found);
        }
        let inspected = inspect(wasm)?;
        let module = match self.load(&digest) {
            Some(module) => module,
            None => self.translate(&digest, wasm)?,
        };
        let code = module.image_range();
        let code = code.end as usize - code.start as usize;
        let ready = Linker::<Meter>::new(&self.engine.wasmtime)
            .instantiate_pre(&module)
            .map_err(|error| Refusal::Compile { reason: format!("{error:#}") })?;
        let compiled = Arc::new(Compiled { inspected, ready, engine: Arc::clone(&self.engine), code });
        self.make_room();
        Ok(Arc::clone(self.cache.entry(digest).or_insert(compiled).value()))
    }

    /// The same on a helper thread, which is waited for so long and no longer. What comes after that is kept
    /// all the same: asking again later finds it.
    pub fn compile_within(self: &Arc<Self>, wasm: &[u8], wait: Duration) -> Result<Arc<Compiled>, Refusal> {
        if let Some(found) = self.find(&digest(wasm)) {
            return Ok(found);
        }
        // Cheap and bounded by the module's size, so a broken module need not wait for its turn.
        inspect(wasm)?;
        let until = Instant::now() + wait;
        let slow = || Refusal::Slow { millis: wait.as_millis() };
        let helper = Helpers::take(&self.helpers, until)?.ok_or_else(slow)?;
        let (send, receive) = mpsc::sync_channel(1);
        let modules = Arc::clone(self);
        let wasm = wasm.to_vec();
        std::thread::Builder::new()
            .name("wasm-compile".into())
            .spawn(move || {
                // Nobody may be waiting any more.
                let _ = send.send(modules.compile(&wasm));
                drop(helper);
            })
            .map_err(|error| Refusal::Compile { reason: format!("no thread to compile on: {error}") })?;
        match receive.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(outcome) => outcome,
            Err(mpsc::RecvTimeoutError::Timeout) => Err(slow()),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                Err(Refusal::Compile { reason: "the thread that compiled it ended early".into() })
            }
        }
    }

    /// Forgets a module, and what was compiled from it. Guests that run it go on.
    pub fn forget(&self, digest: &str) {
        self.cache.remove(digest);
        if let Some(artefacts) = &self.artefacts {
            artefacts.remove(digest);
        }
    }

    /// Counters and sizes.
    pub fn stats(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        let (mut modules, mut code_bytes) = (0, 0);
        for entry in &self.cache {
            modules += 1;
            code_bytes += entry.value().code;
        }
        Stats {
            modules,
            code_bytes,
            compiled: read(&counters.compiled),
            cache_hits: read(&counters.cache_hits),
            artefacts_loaded: read(&counters.artefacts_loaded),
            artefacts_rejected: read(&counters.artefacts_rejected),
            artefacts_unwritten: read(&counters.artefacts_unwritten),
            forgotten: read(&counters.forgotten),
        }
    }

    fn load(&self, digest: &str) -> Option<Module> {
        match self.artefacts.as_ref()?.load(&self.engine, digest) {
            Found::Module(module) => {
                self.counters.artefacts_loaded.fetch_add(1, Ordering::Relaxed);
                Some(module)
            }
            Found::Nothing => None,
            Found::Rejected => {
                self.counters.artefacts_rejected.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    fn translate(&self, digest: &str, wasm: &[u8]) -> Result<Module, Refusal> {
        let (module, code) = match &self.apart {
            Some(apart) => apart.compile(&self.engine, digest, wasm)?,
            None => self.translate_here(wasm)?,
        };
        self.counters.compiled.fetch_add(1, Ordering::Relaxed);
        if let Some(artefacts) = &self.artefacts
            && let Err(error) = artefacts.store(digest, &code)
        {
            tracing::warn!(digest, %error, "the compiled module is not kept on disk");
            self.counters.artefacts_unwritten.fetch_add(1, Ordering::Relaxed);
        }
        Ok(module)
    }

    /// Compiles on this thread, and gives the machine code as well where it is kept.
    fn translate_here(&self, wasm: &[u8]) -> Result<(Module, Vec<u8>), Refusal> {
        let compile = || -> wasmtime::Result<(Module, Vec<u8>)> {
            let module = Module::from_binary(&self.engine.wasmtime, wasm)?;
            let code = if self.artefacts.is_some() { module.serialize()? } else { Vec::new() };
            Ok((module, code))
        };
        // A module on which the compiler itself trips is refused like any other that does not compile.
        match catch_unwind(AssertUnwindSafe(compile)) {
            Ok(outcome) => outcome.map_err(|error| Refusal::Compile { reason: format!("{error:#}") }),
            Err(_) => Err(Refusal::Compile { reason: "the compiler panicked on it".into() }),
        }
    }

    /// Forgets modules that nobody runs when there are too many. Those that run are bounded by the number of instances.
    fn make_room(&self) {
        if self.cache.len() < MODULES_MAX {
            return;
        }
        let before = self.cache.len();
        self.cache.retain(|_, compiled| Arc::strong_count(compiled) > 1);
        let gone = before.saturating_sub(self.cache.len());
        self.counters.forgotten.fetch_add(gone as u64, Ordering::Relaxed);
    }
}

/// The helper threads, as far as they are taken.
#[derive(Default)]
struct Helpers {
    taken: Mutex<Taken>,
    free: Condvar,
}

#[derive(Default)]
struct Taken {
    running: usize,
    waiting: usize,
}

impl Helpers {
    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Two numbers: nothing that a panic could leave half done.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a helper; `None` when none was free in time.
    fn take(helpers: &Arc<Self>, until: Instant) -> Result<Option<Helper>, Refusal> {
        let mut taken = helpers.lock();
        if taken.waiting >= WAITING {
            return Err(Refusal::Busy { running: taken.running, waiting: taken.waiting });
        }
        taken.waiting += 1;
        let wait = until.saturating_duration_since(Instant::now());
        let (mut taken, _) = helpers
            .free
            .wait_timeout_while(taken, wait, |taken| taken.running >= HELPERS)
            .unwrap_or_else(PoisonError::into_inner);
        taken.waiting -= 1;
        if taken.running >= HELPERS {
            return Ok(None);
        }
        taken.running += 1;
        Ok(Some(Helper(Arc::clone(helpers))))
    }
}

/// A helper that has been taken; dropping it gives it back, even from a thread that panics.
struct Helper(Arc<Helpers>);

impl Drop for Helper {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
        self.0.free.notify_one();
    }
}

#[cfg(test)]
mod tests;
