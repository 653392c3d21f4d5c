//! How wasmtime is set up, and the thread by whose ticks a guest that does not answer is stopped.
//!
//! Everything that a rule could use to tell two runs apart is off or made canonical: threads, relaxed SIMD, the bits of a
//! NaN. Everything that rules have no use for is off as well, because each feature is code that strangers could reach.
//!
//! **Deadlines.** Compiled code looks at a counter, the epoch, at each loop and function entry, and traps once it has
//! passed the store's deadline. One thread raises the counter each millisecond, by exactly one: a tick that comes late
//! (the machine is busy) lengthens every running deadline a little and is never made up for, so a guest is never stopped
//! before its time. What happens once a deadline has passed is decided in `budget.rs`. The thread lives as long as any
//! guest or compiled module of the engine.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;
use wasmparser::WasmFeatures;
use wasmtime::{Config, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

/// The most memory that any instance may have, in bytes: what a slot of the pool holds. It also bounds how long a single
/// `memory.fill` can run, which no deadline interrupts.
pub const MEMORY_MAX: u64 = 64 << 20;

/// How many instances there may be at once, unless the options say otherwise.
pub const INSTANCES: u32 = 4_000;

/// Fewer than this and something is wrong with the machine: better to say so than to crawl.
const INSTANCES_MIN: u32 = 16;

/// Memory mappings that the kernel counts for one instance.
const MAPPINGS: u64 = 4;

/// Stack of a guest, in bytes. Threads that call guests need room for this and their own frames.
const STACK: usize = 512 << 10;

/// How many functions a backtrace names at most.
const FRAMES: usize = 16;

/// How often the epoch moves.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// What a module may be made of. The same set is given to the checks in `inspect.rs` and to the compiler.
pub(crate) const FEATURES: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::FLOATS);

/// Why there can be no host for guests on this machine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// Wasmtime did not accept the machine or the settings.
    #[error("the wasm engine does not start: {0:#}")]
    Engine(wasmtime::Error),
    /// No address space for the pool, not even for a few instances.
    #[error(
        "no address space for {INSTANCES_MIN} wasm instances ({error:#}): each reserves 4 GiB of addresses, not of \
         memory; raise the limit on virtual memory (`ulimit -v`)"
    )]
    Pool {
        /// What wasmtime said.
        error: wasmtime::Error,
    },
    /// The thread that moves deadlines did not start.
    #[error("the thread that moves deadlines does not start: {0}")]
    Ticker(std::io::Error),
}

/// Wasmtime's engine and the thread that moves its epoch; whoever holds one keeps deadlines working.
pub(crate) struct Engine {
    pub(crate) wasmtime: wasmtime::Engine,
    pub(crate) fuel: bool,
    pub(crate) instances: u32,
    // Dropped with the engine: the ticker sees that and ends.
    _ticking: Sender<()>,
}

impl Engine {
    /// An engine for at most so many instances at once; fewer where the machine does not give that many, with a warning.
    pub(crate) fn new(wanted: u32, fuel: bool) -> Result<Arc<Self>, HostError> {
        let mut instances = clamp(wanted, map_count());
        let wasmtime = loop {
            match wasmtime::Engine::new(&config(instances, fuel)) {
                Ok(engine) => break engine,
                // Too small a machine for the pool and a mistake in the settings look alike from here.
                Err(error) if instances <= INSTANCES_MIN => {
                    return Err(match wasmtime::Engine::new(&settings(fuel)) {
                        Ok(_) => HostError::Pool { error },
                        Err(error) => HostError::Engine(error),
                    });
                }
                Err(error) => {
                    let fewer = (instances / 2).max(INSTANCES_MIN);
                    tracing::warn!(instances, fewer, %error, "no address space for that many wasm instances");
                    instances = fewer;
                }
            }
        };
        let ticking = start_ticker(&wasmtime).map_err(HostError::Ticker)?;
        Ok(Arc::new(Self { wasmtime, fuel, instances, _ticking: ticking }))
    }
}

fn start_ticker(engine: &wasmtime::Engine) -> Result<Sender<()>, std::io::Error> {
    let (ticking, stop) = mpsc::channel::<()>();
    // Weak: the thread must not keep the pool alive for a millisecond longer than its users.
    let weak = engine.weak();
    std::thread::Builder::new().name("wasm-ticker".into()).spawn(move || {
        while stop.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            match weak.upgrade() {
                Some(engine) => engine.increment_epoch(),
                None => return,
            }
        }
    })?;
    Ok(ticking)
}

fn settings(fuel: bool) -> Config {
    let mut config = Config::new();
    let ours = wasmtime::WasmFeatures::from_bits_truncate(FEATURES.bits());
    config
        .wasm_features(wasmtime::WasmFeatures::all().difference(ours), false)
        .wasm_features(ours, true)
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_nan_canonicalization(true)
        .epoch_interruption(true)
        .consume_fuel(fuel)
        .max_wasm_stack(STACK)
        .memory_init_cow(true)
        .wasm_backtrace_max_frames(NonZeroUsize::new(FRAMES))
        // Debug sections are input from strangers; names come from the name section.
        .wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Disable)
        .generate_address_map(false)
        .native_unwind_info(false);
    config
}

fn config(instances: u32, fuel: bool) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(instances)
        .total_memories(instances)
        .total_tables(instances)
        .max_memories_per_module(1)
        .max_tables_per_module(1)
        .table_elements(crate::inspect::TABLE_MAX as usize)
        .max_memory_size(MEMORY_MAX as usize);
    let mut config = settings(fuel);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// As many instances as wanted, but half of the kernel's mappings at most: the rest of the process needs some too.
fn clamp(wanted: u32, mappings: Option<u64>) -> u32 {
    let Some(mappings) = mappings else { return wanted.max(1) };
    let room = u32::try_from(mappings / 2 / MAPPINGS).unwrap_or(u32::MAX).max(INSTANCES_MIN);
    if wanted > room {
        tracing::warn!(
            wanted,
            room,
            "vm.max_map_count = {mappings} leaves room for fewer wasm instances than wanted; raise it with \
             `sysctl vm.max_map_count={}`",
            u64::from(wanted) * MAPPINGS * 2
        );
    }
    wanted.clamp(1, room)
}

fn map_count() -> Option<u64> {
    std::fs::read_to_string("/proc/sys/vm/max_map_count").ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn the_number_of_instances_is_held_to_what_the_kernel_maps() {
        assert_eq!(clamp(4_000, Some(65_530)), 4_000);
        assert_eq!(clamp(100_000, Some(65_530)), 8_191);
        assert_eq!(clamp(100_000, None), 100_000);
        assert_eq!(clamp(4_000, Some(0)), INSTANCES_MIN);
        assert_eq!(clamp(0, Some(65_530)), 1);
    }

    #[test]
    fn the_features_we_check_are_those_we_compile() {
        // Two versions of the parser are linked, ours and wasmtime's: a bit must mean the same in both.
        for (name, flag) in FEATURES.iter_names() {
            let theirs = wasmtime::WasmFeatures::from_name(name).unwrap();
            assert_eq!(theirs.bits(), flag.bits(), "{name}");
        }
        let engine = Engine::new(INSTANCES_MIN, false).unwrap();
        let threads = "(module (memory 1 1 shared))";
        for (text, off) in [
            (threads, "shared memory"),
            ("(module (memory i64 1))", "memory64"),
            ("(module (memory 1) (memory 1))", "several memories"),
            ("(module (func $f return_call $f))", "tail calls"),
            ("(module (func (param externref)))", "references to the host"),
            ("(module (tag))", "exceptions"),
        ] {
            let wasm = wat::parse_str(text).unwrap();
            assert!(wasmtime::Module::new(&engine.wasmtime, &wasm).is_err(), "{off} must be off");
        }
    }

    #[test]
    fn the_ticker_ends_with_its_engine() {
        let engine = Engine::new(INSTANCES_MIN, false).unwrap();
        let weak = engine.wasmtime.weak();
        drop(engine);
        let start = Instant::now();
        while weak.upgrade().is_some() {
            assert!(start.elapsed() < Duration::from_secs(30), "something keeps the engine alive");
            std::thread::sleep(TICK);
        }
    }
}
