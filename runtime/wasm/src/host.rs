//! The host of all guests of a process: one engine, the compiled modules, and where to find modules that are not
//! compiled yet.

use crate::apart::Apart;
use crate::compile::{Compiled, Modules, Stats};
use crate::engine::{Engine, HostError, INSTANCES};
use crate::inspect::{Refusal, digest};
use crate::instance::{WasmGuest, start_fault};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tidegate_engine::guest::{Fault, Guest, Guests};
use tidegate_engine::rule::RuleSpec;
use tidegate_event::{Batch, KeyState, Reply};

/// Where deployed modules are kept.
pub trait ModuleStore: Send + Sync {
    /// The bytes of the module with that digest, if there is one.
    fn load(&self, digest: &str) -> Option<Vec<u8>>;
}

impl<F: Fn(&str) -> Option<Vec<u8>> + Send + Sync> ModuleStore for F {
    fn load(&self, digest: &str) -> Option<Vec<u8>> {
        self(digest)
    }
}

/// What a host is told when it is made.
#[derive(Clone, Debug)]
pub struct HostOptions {
    /// Guests that may run at once. Each reserves addresses and four of the kernel's memory mappings; where those do not
    /// suffice there are fewer, and a warning.
    pub instances: u32,
    /// Count instructions, as `tidegate test` does: slower, and the same on every machine.
    pub fuel: bool,
    /// Where to keep machine code between runs; in memory only without.
    pub data: Option<PathBuf>,
    /// Compile in a process of its own with limits, so that no module can hurt this one; in this process without, which is
    /// for those who trust their modules: tests, benches, a rule's author.
    pub apart: Option<Apart>,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self { instances: INSTANCES, fuel: false, data: None, apart: None }
    }
}

/// Starts guests for all shards.
pub struct Host {
    modules: Arc<Modules>,
    store: Arc<dyn ModuleStore>,
}

impl Host {
    /// A host that finds modules in this store.
    pub fn new(options: &HostOptions, store: Arc<dyn ModuleStore>) -> Result<Self, HostError> {
        let engine = Engine::new(options.instances, options.fuel)?;
        Ok(Self { modules: Modules::new(engine, options.data.as_deref(), options.apart.clone()), store })
    }

    /// Inspects and compiles a module on this thread, unless it is compiled already.
    pub fn compile(&self, wasm: &[u8]) -> Result<Arc<Compiled>, Refusal> {
        self.modules.compile(wasm)
    }

    /// The same on a helper thread, waited for so long and no longer.
    pub fn compile_within(&self, wasm: &[u8], wait: Duration) -> Result<Arc<Compiled>, Refusal> {
        self.modules.compile_within(wasm, wait)
    }

    /// Compiles the module of a rule, so that starting it later takes microseconds.
    pub fn warm(&self, rule: &RuleSpec) -> Result<Arc<Compiled>, Fault> {
        if let Some(found) = self.modules.find(&rule.module) {
            return Ok(found);
        }
        let wasm = self.store.load(&rule.module).ok_or_else(|| {
            start_fault(format!("module {} is not here: deploy it again", short(&rule.module)))
        })?;
        let found = digest(&wasm);
        if found != rule.module {
            return Err(start_fault(format!(
                "module {} is damaged where it is kept, its digest is now {}: deploy it again",
                short(&rule.module),
                short(&found)
            )));
        }
        self.modules.compile(&wasm).map_err(|refusal| start_fault(refusal.to_string()))
    }

    /// A fresh guest for a rule, as [`Guests::start`] gives it but with its own type.
    pub fn guest(&self, rule: &RuleSpec) -> Result<WasmGuest, Fault> {
        WasmGuest::start(self.warm(rule)?, rule)
    }

    /// Tries a rule before it is deployed: starts it, hands over its settings and a batch without events, and drops it.
    pub fn dry_run(&self, module: &Arc<Compiled>, rule: &RuleSpec) -> Result<(), Fault> {
        let mut guest = WasmGuest::start(Arc::clone(module), rule)?;
        guest.call(&Batch::default(), &mut Reply::default()).map(|_| ())
    }

    /// Tries whether a rule takes in what keys of the version before it remember, saved by that schema: a fault of kind
    /// `State` names what does not fit.
    pub fn try_state(
        &self,
        module: &Arc<Compiled>,
        rule: &RuleSpec,
        schema: u32,
        keys: &[KeyState],
    ) -> Result<(), Fault> {
        WasmGuest::start(Arc::clone(module), rule)?.restore(schema, keys).map(drop)
    }

    /// The compiled modules.
    pub fn modules(&self) -> &Arc<Modules> {
        &self.modules
    }

    /// Counters and sizes.
    pub fn stats(&self) -> Stats {
        self.modules.stats()
    }
}

impl Guests for Host {
    fn start(&self, rule: &RuleSpec) -> Result<Box<dyn Guest>, Fault> {
        Ok(Box::new(self.guest(rule)?))
    }

    /// Only whether its module is here and compiles: whether it accepts its settings was tried before it was deployed.
    fn ready(&self, rule: &RuleSpec) -> Result<(), Fault> {
        self.warm(rule).map(drop)
    }
}

/// Enough of a digest for people.
fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::skeleton::{Module, rule};
    use tidegate_engine::guest::FaultKind;
    use tidegate_event::{BatchBuilder, NewEvent};

    fn host_with(
        fuel: bool,
        instances: u32,
        store: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Host {
        Host::new(&HostOptions { instances, fuel, ..HostOptions::default() }, Arc::new(store)).unwrap()
    }

    fn batch(rows: usize) -> Batch {
        let mut builder = BatchBuilder::new();
        (0..rows).for_each(|_| builder.push(&NewEvent { service: Some("http"), ..NewEvent::default() }));
        builder.finish()
    }

    #[test]
    fn a_module_is_loaded_from_the_store_and_compiled_once() {
        let wasm = Module::default().wasm();
        let rule = rule(&digest(&wasm));
        let host = host_with(false, 16, move |_| Some(wasm.clone()));
        host.warm(&rule).unwrap();
        for _ in 0..3 {
            let mut reply = Reply::default();
            host.start(&rule).unwrap().call(&batch(2), &mut reply).unwrap();
            assert_eq!(reply.len(), 2);
        }
        let stats = host.stats();
        assert_eq!((stats.compiled, stats.cache_hits), (1, 3));
    }

    #[test]
    fn a_missing_or_damaged_module_is_a_fault_that_says_so() {
        let start = |store: fn(&str) -> Option<Vec<u8>>, module: &str| {
            host_with(false, 16, store).start(&rule(module)).err().unwrap()
        };
        let missing = start(|_| None, &"ab".repeat(32));
        assert_eq!(missing.to_string(), "start: module abababababab is not here: deploy it again");
        let damaged = start(|_| Some(b"\0asm".to_vec()), &"ab".repeat(32));
        assert!(damaged.message.contains("is damaged where it is kept"), "{damaged}");
        let refused = start(|_| Some(b"\x7fELF".to_vec()), &digest(b"\x7fELF"));
        assert_eq!(refused.kind, FaultKind::Start);
        assert!(refused.message.contains("an ELF file"), "{refused}");
    }

    #[test]
    fn a_dry_run_finds_what_a_first_batch_would() {
        let host = host_with(false, 16, |_| None);
        let good = host.compile(&Module::default().wasm()).unwrap();
        host.dry_run(&good, &rule(&good.inspected.digest)).unwrap();
        let bad = host.compile(&Module { batch: "(unreachable)", ..Module::default() }.wasm()).unwrap();
        assert_eq!(host.dry_run(&bad, &rule(&bad.inspected.digest)).unwrap_err().kind, FaultKind::Trap);
    }

    #[test]
    fn when_all_instances_are_taken_the_next_guest_does_not_start_until_one_is_free() {
        let host = host_with(false, 2, |_| None);
        let rule = rule(&host.compile(&Module::default().wasm()).unwrap().inspected.digest);
        let one = host.guest(&rule).unwrap();
        let _two = host.guest(&rule).unwrap();
        let fault = host.guest(&rule).err().unwrap();
        assert_eq!(fault.kind, FaultKind::Start);
        assert!(fault.message.contains("all 2 wasm instances of this node are taken"), "{fault}");
        drop(one);
        host.guest(&rule).unwrap();
    }

    #[test]
    fn fuel_is_the_same_for_the_same_calls_and_grows_with_the_work() {
        let host = host_with(true, 16, |_| None);
        let rule = rule(&host.compile(&Module::default().wasm()).unwrap().inspected.digest);
        let spent = |rows: &[usize]| {
            let mut guest = host.guest(&rule).unwrap();
            for rows in rows {
                guest.call(&batch(*rows), &mut Reply::default()).unwrap();
            }
            guest.fuel_spent()
        };
        assert_eq!(spent(&[3, 5]), spent(&[3, 5]));
        let (start, three, five) = (spent(&[]), spent(&[3]), spent(&[5]));
        assert!(start < three && three < five, "{start} {three} {five}");
        assert_eq!(spent(&[3, 5]) - start, (three - start) + (five - start));
        let without = host_with(false, 16, |_| None);
        without.compile(&Module::default().wasm()).unwrap();
        assert_eq!(without.guest(&rule).unwrap().fuel_spent(), 0);
    }

    #[test]
    fn a_guest_is_still_stopped_after_its_host_has_gone() {
        let host = host_with(false, 16, |_| None);
        let module = Module { batch: "(loop $spin (br $spin)) (i32.const 0)", ..Module::default() };
        let mut rule = rule(&host.compile(&module.wasm()).unwrap().inspected.digest);
        rule.limits.deadline_ms = 20;
        let mut guest = host.guest(&rule).unwrap();
        drop(host);
        let fault = guest.call(&batch(1), &mut Reply::default()).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Deadline);
    }
}
