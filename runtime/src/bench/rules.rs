//! The rules that benches run: those of the program, and smaller ones that each show one thing.

use crate::rules::{self, BuiltIn, native};
use anyhow::{Context, anyhow};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tidegate_engine::guest::{Fault, Guest, Guests, Spent};
use tidegate_engine::rule::{RuleSpec, Width};
use tidegate_event::{Batch, Reply};
use tidegate_wasm::{Host, HostOptions};

/// Rules for benches alone; their sources are in `benches/rules`.
const ALL: &[BuiltIn] = &[
    BuiltIn {
        name: "numeric",
        about: "adds up numbers",
        wasm: include_bytes!("../../rules/bench_numeric.wasm"),
        example: &[],
        native: native::<bench_numeric::Numeric>,
    },
    BuiltIn {
        name: "filter",
        about: "lets one event in a hundred through",
        wasm: include_bytes!("../../rules/bench_filter.wasm"),
        example: &[],
        native: native::<bench_filter::Filter>,
    },
    BuiltIn {
        name: "map",
        about: "one answer to each event",
        wasm: include_bytes!("../../rules/bench_map.wasm"),
        example: &[],
        native: native::<bench_map::Map>,
    },
    BuiltIn {
        name: "rate",
        about: "one part of the SDK",
        wasm: include_bytes!("../../rules/bench_parts.wasm"),
        example: &[("part", "rate")],
        native: native::<bench_parts::Parts>,
    },
    BuiltIn {
        name: "p99",
        about: "one part of the SDK",
        wasm: include_bytes!("../../rules/bench_parts.wasm"),
        example: &[("part", "p99")],
        native: native::<bench_parts::Parts>,
    },
    BuiltIn {
        name: "changed",
        about: "one part of the SDK",
        wasm: include_bytes!("../../rules/bench_parts.wasm"),
        example: &[("part", "changed")],
        native: native::<bench_parts::Parts>,
    },
    BuiltIn {
        name: "throttle",
        about: "one part of the SDK",
        wasm: include_bytes!("../../rules/bench_parts.wasm"),
        example: &[("part", "throttle")],
        native: native::<bench_parts::Parts>,
    },
    BuiltIn {
        name: "top",
        about: "one part of the SDK",
        wasm: include_bytes!("../../rules/bench_parts.wasm"),
        example: &[("part", "top")],
        native: native::<bench_parts::Parts>,
    },
    BuiltIn {
        name: "standard:filter",
        about: "the same as a pipeline",
        wasm: include_bytes!("../../rules/standard.wasm"),
        example: &[(
            "pipeline",
            "[[stage]]\nwhere = 'service =~ \"http.%\" and metric > 225'\n[[stage]]\nto = 'main'\n",
        )],
        native: native::<standard::Standard>,
    },
    BuiltIn {
        name: "standard:ewma",
        about: "the same as a pipeline",
        wasm: include_bytes!("../../rules/standard.wasm"),
        example: &[(
            "pipeline",
            "[[stage]]\newma-timeless = 0.1\n[[stage]]\nwhere = 'metric > 1000000'\n[[stage]]\nto = 'main'\n",
        )],
        native: native::<standard::Standard>,
    },
    BuiltIn {
        name: "standard:rate",
        about: "the same as a pipeline",
        wasm: include_bytes!("../../rules/standard.wasm"),
        example: &[("pipeline", "[[stage]]\nrate = '10s'\n[[stage]]\nto = 'main'\n")],
        native: native::<standard::Standard>,
    },
    BuiltIn {
        name: "standard:p99",
        about: "the same as a pipeline",
        wasm: include_bytes!("../../rules/standard.wasm"),
        example: &[("pipeline", "[[stage]]\npercentiles = [0.99]\nevery = '10s'\n[[stage]]\nto = 'main'\n")],
        native: native::<standard::Standard>,
    },
    BuiltIn {
        name: "standard:changed",
        about: "the same as a pipeline",
        wasm: include_bytes!("../../rules/standard.wasm"),
        example: &[(
            "pipeline",
            "[[stage]]\nsplit = [{ where = 'metric > 225', then = [{ with = { state = 'high' } }, { next = true }] }]\nelse = [{ with = { state = 'low' } }, { next = true }]\n[[stage]]\nchanged = 'state'\n[[stage]]\nto = 'main'\n",
        )],
        native: native::<standard::Standard>,
    },
    BuiltIn {
        name: "standard:throttle",
        about: "the same as a pipeline",
        wasm: include_bytes!("../../rules/standard.wasm"),
        example: &[("pipeline", "[[stage]]\nthrottle = 1\nevery = '10s'\n[[stage]]\nto = 'main'\n")],
        native: native::<standard::Standard>,
    },
    BuiltIn {
        name: "standard:top",
        about: "the same as a pipeline",
        wasm: include_bytes!("../../rules/standard.wasm"),
        example: &[("pipeline", "[[stage]]\ntop = 10\n[[stage]]\nto = 'main'\n")],
        native: native::<standard::Standard>,
    },
    BuiltIn {
        name: "standard:by",
        about: "the same as a pipeline",
        wasm: include_bytes!("../../rules/standard.wasm"),
        example: &[(
            "pipeline",
            "[[stage]]\nby = ['host', 'service']\n[[stage]]\newma-timeless = 0.1\n[[stage]]\nwhere = 'metric > 1000000'\n[[stage]]\nto = 'main'\n",
        )],
        native: native::<standard::Standard>,
    },
];

/// The names of all of them.
pub fn names() -> impl Iterator<Item = &'static str> {
    rules::ALL.iter().chain(ALL).map(|rule| rule.name)
}

/// The rule of that name.
pub fn find(name: &str) -> anyhow::Result<&'static BuiltIn> {
    let here = ALL.iter().find(|rule| rule.name == name);
    here.map_or_else(
        || {
            let more: Vec<_> = ALL.iter().map(|rule| rule.name).collect();
            rules::find(name).map_err(|error| anyhow!("{error}; for benches {}", more.join(", ")))
        },
        Ok,
    )
}

fn module(digest: &str) -> Option<Vec<u8>> {
    let here = ALL.iter().map(|rule| rule.wasm).find(|wasm| tidegate_wasm::digest(wasm) == digest);
    here.or_else(|| rules::by_digest(digest)).map(<[u8]>::to_vec)
}

/// A rule with its example settings, not started anywhere.
pub fn resting(name: &str) -> anyhow::Result<RuleSpec> {
    let rule = find(name)?;
    let inspected = tidegate_wasm::inspect(rule.wasm).map_err(|refusal| anyhow!("{refusal}"))?;
    let manifest = &inspected.manifest;
    let set = rule.example.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let resolved = manifest.resolve(&set, &BTreeMap::new()).map_err(|error| anyhow!(error))?;
    let mut spec = RuleSpec { name: name.to_owned(), ..manifest.rule(&inspected.digest, resolved) };
    // Pipelines are held against rules that remember for each stream; `by` does that itself.
    if name.starts_with("standard:") && !name.ends_with(":by") {
        spec.per = Width::Stream;
    }
    Ok(spec)
}

/// A rule with its example settings, and a host that has its module compiled.
pub fn built_in(name: &str) -> anyhow::Result<(RuleSpec, Host)> {
    built_in_for(name, 0)
}

/// The same with a host that can start at least so many guests.
pub fn built_in_for(name: &str, guests: usize) -> anyhow::Result<(RuleSpec, Host)> {
    let spec = resting(name)?;
    let usual = HostOptions::default();
    let instances = usual.instances.max(u32::try_from(guests)?);
    let host = Host::new(&HostOptions { instances, ..usual }, Arc::new(module))?;
    host.start(&spec).map_err(|fault| anyhow!("{fault}")).context("the built-in rule does not start")?;
    Ok((spec, host))
}

/// A built-in rule linked in: what a shard costs without wasm.
pub struct Linked(pub &'static BuiltIn);

impl Guests for Linked {
    fn start(&self, rule: &RuleSpec) -> Result<Box<dyn Guest>, Fault> {
        (self.0.native)(&rule.settings)
            .map_err(|error| Fault::new(tidegate_engine::guest::FaultKind::Start, error))
    }
}

/// Guests that do nothing: what is left is the shard's own work.
pub struct Idle;

impl Guests for Idle {
    fn start(&self, _: &RuleSpec) -> Result<Box<dyn Guest>, Fault> {
        Ok(Box::new(IdleGuest))
    }
}

struct IdleGuest;

impl Guest for IdleGuest {
    fn call(&mut self, _: &Batch, reply: &mut Reply) -> Result<Spent, Fault> {
        reply.clear();
        Ok(Spent::default())
    }

    fn bind(&mut self, _: u32, _: &RuleSpec) -> Result<(), Fault> {
        Ok(())
    }

    fn unbind(&mut self, _: u32) -> Result<(), Fault> {
        Ok(())
    }
}

/// Guests whose events are counted, as proof that they were called at all. Costs one addition for each call.
pub struct Counted<G> {
    guests: G,
    events: Arc<AtomicU64>,
}

impl<G: Guests> Counted<G> {
    /// Counts what these guests are given.
    pub fn new(guests: G) -> (Arc<Self>, Arc<AtomicU64>) {
        let events = Arc::new(AtomicU64::new(0));
        (Arc::new(Self { guests, events: events.clone() }), events)
    }
}

impl<G: Guests> Guests for Counted<G> {
    fn start(&self, rule: &RuleSpec) -> Result<Box<dyn Guest>, Fault> {
        let guest = self.guests.start(rule)?;
        Ok(Box::new(CountedGuest { guest, events: self.events.clone() }))
    }

    fn ready(&self, rule: &RuleSpec) -> Result<(), Fault> {
        self.guests.ready(rule)
    }
}

struct CountedGuest {
    guest: Box<dyn Guest>,
    events: Arc<AtomicU64>,
}

impl Guest for CountedGuest {
    fn call(&mut self, batch: &Batch, reply: &mut Reply) -> Result<Spent, Fault> {
        self.events.fetch_add(batch.len() as u64, Ordering::Relaxed);
        self.guest.call(batch, reply)
    }

    fn bind(&mut self, binding: u32, rule: &RuleSpec) -> Result<(), Fault> {
        self.guest.bind(binding, rule)
    }

    fn unbind(&mut self, binding: u32) -> Result<(), Fault> {
        self.guest.unbind(binding)
    }

    fn memory(&self) -> usize {
        self.guest.memory()
    }
}
