//! A pipeline of Riemann's streams, described by a parameter: rules for people who write no Rust.
//!
//! An ordinary rule through the ordinary door. Its parameter `pipeline` holds TOML or JSON (`docs/rules/without-rust.md`);
//! `plan.rs` reads it into a graph of stages, `machine.rs` runs that for each key, and the stages themselves are the SDK's
//! parts (`keep.rs`) or remember nothing (`map.rs`).

#![allow(missing_docs)]

pub mod func;
pub mod keep;
pub mod machine;
pub mod map;
pub mod plan;
pub mod pred;
pub mod run;
pub mod tree;
pub mod value;
pub mod words;

use machine::{Call, Machine};
use plan::Plan;
use run::Clock;
use tidegate_sdk::params::{Settings, value};
use tidegate_sdk::prelude::*;

/// What the rule is told.
#[derive(Debug)]
pub struct Pipeline {
    plan: Plan,
    main: Outputs,
}

impl Params for Pipeline {
    const SCHEMA: &'static str = r#"[{"name":"pipeline","kind":"text","doc":"The stages, as TOML or JSON.","optional":false},{"name":"main","kind":"outputs","doc":"Receives what the pipeline sends to a name that the deployment does not mention.","optional":false}]"#;

    fn read(settings: &mut Settings<'_>) -> Result<Self, String> {
        let text: String = value(settings, "pipeline")?;
        Ok(Self { plan: Plan::read(&text)?, main: value(settings, "main")? })
    }
}

/// What we remember about one key.
#[derive(Debug, Serialize, Deserialize)]
pub struct Standard {
    /// Apart, so that the table of all keys stays small.
    machine: Box<Machine>,
    /// Whether an event had a host, and whether one had a service.
    #[serde(default)]
    had: (bool, bool),
}

#[rule(query = "true", per = Whole)]
impl Rule for Standard {
    type Params = Pipeline;

    fn first_seen(_: &Event<'_>, _: &Pipeline) -> Self {
        Self { machine: Box::default(), had: (false, false) }
    }

    fn on_event(&mut self, event: &Event<'_>, pipeline: &Pipeline, out: &mut Out<'_>) {
        self.had.0 |= event.host_bytes().is_some();
        self.had.1 |= event.service_bytes().is_some();
        let clock = Clock { now: out.now(), event: Some(event) };
        self.machine.event(&mut Call { plan: &pipeline.plan, outputs: &pipeline.main, clock, out });
    }

    fn on_wake(&mut self, pipeline: &Pipeline, out: &mut Out<'_>) {
        let clock = Clock { now: out.time(), event: None };
        self.machine.wake(&mut Call { plan: &pipeline.plan, outputs: &pipeline.main, clock, out });
    }

    fn on_expire(&mut self, event: &Event<'_>, pipeline: &Pipeline, out: &mut Out<'_>) {
        // The goodbye of a key that has several streams is nobody's event; those of its streams have come before.
        if (event.host_bytes().is_some(), event.service_bytes().is_some()) == self.had {
            self.on_event(event, pipeline, out);
        }
        let clock = Clock { now: out.now(), event: None };
        self.machine.end(&mut Call { plan: &pipeline.plan, outputs: &pipeline.main, clock, out });
    }
}
