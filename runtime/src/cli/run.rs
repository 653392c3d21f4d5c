//! `tidegate run`: starts a node, says where it listens, and stops it when asked.
//!
//! Signals are caught before anything else happens: one that comes early stops the program in order, and a stray SIGHUP
//! does not end it.

use super::compile;
use super::failure::{Exit, Failure, OrExit};
use super::logging::{self, Talk};
use super::screen::Screen;
use super::server::{Server, Where};
use crate::config::{self, Config, Fleet, Input, InputKind};
use crate::node::Node;
use crate::rules;
use reqwest::Method;
use serde_json::json;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{Instrument, info_span};

/// What is left on other threads when the node has stopped is waited for so long.
const REST: Duration = Duration::from_secs(1);

/// How a node is to run.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration; else TIDEGATE_CONFIG, ./tidegate.toml, /etc/tidegate/tidegate.toml, or the built-in one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data directory, instead of the configuration's.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Keep everything in memory: nothing survives a stop, rules included.
    #[arg(long)]
    no_log: bool,
    /// Simulate a fleet of machines, to have something to look at.
    #[arg(long)]
    demo: bool,
    /// How log lines look; text on a terminal, JSON elsewhere.
    #[arg(long, value_enum)]
    log_format: Option<logging::Format>,
}

/// Runs until asked to stop.
pub fn go(args: Args, screen: &Screen) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let signals = Signals::catch()?;
        let talk = logging::start(args.log_format)?;
        run(&args, screen, signals, talk).await
    });
    runtime.shutdown_timeout(REST);
    outcome
}

async fn run(args: &Args, screen: &Screen, mut signals: Signals, talk: Talk) -> Result<(), Failure> {
    let config = configure(args, talk)?;
    let node = tokio::select! {
        node = Node::start_compiling(config, Some(compile::apart())).instrument(info_span!("start")) => node?,
        // The log is safe at every moment, so there is nothing to finish yet.
        () = signals.stop() => return Ok(()),
    };
    if args.demo {
        deploy_demo(&node, talk).await;
    }
    announce(&node, screen)?;
    signals.stop().await;
    talk.say("stopping; a second signal stops at once");
    tokio::select! {
        () = node.stop().instrument(info_span!("stop")) => Ok(()),
        () = signals.stop() => Err(Failure::say(Exit::Failed, "stopped before everything was finished")),
    }
}

fn configure(args: &Args, talk: Talk) -> Result<Config, Failure> {
    let mut environment = config::environment();
    if args.no_log {
        // Said before the rest is read, because what an ack can mean depends on it.
        environment.insert(format!("{}LOG__ENABLED", config::PREFIX), "false".into());
    }
    let mut config = config::load(args.config.as_deref(), &environment).or_exit(Exit::Invalid)?;
    for warning in config.warnings() {
        talk.warn(&warning);
    }
    if let Some(data) = &args.data {
        config.data = data.clone();
    }
    if args.demo && !config.inputs.iter().any(|input| matches!(input.kind, InputKind::Fleet(_))) {
        config.inputs.push(demo());
    }
    Ok(config)
}

/// The input that `--demo` adds where the configuration has no fleet of its own.
fn demo() -> Input {
    let (every, incidents) = (Duration::from_secs(1), Duration::from_secs(120));
    let fleet = Fleet { hosts: 40, services: 12, every, incidents, seed: 1 };
    Input { name: "demo".into(), kind: InputKind::Fleet(fleet) }
}

/// Deploys the rules inside this program, as anybody would, unless there are rules of these names.
async fn deploy_demo(node: &Node, talk: Talk) {
    let Some((_, address)) = node.addresses().iter().find(|(name, _)| name == "http") else { return };
    let outcome = async {
        let server = Server::at(&Where { server: format!("http://{address}") })?;
        for rule in rules::ALL {
            if server.ask(Method::GET, server.url(&["rules", rule.name], &[]), None).await?.is_ok() {
                continue;
            }
            let set: Vec<(String, &str)> =
                rule.example.iter().map(|(name, value)| (format!("set.{name}"), *value)).collect();
            let set: Vec<(&str, &str)> = set.iter().map(|(name, value)| (name.as_str(), *value)).collect();
            let url = server.url(&["rules", rule.name], &set);
            server.ask(Method::PUT, url, Some(rule.wasm.to_vec())).await??;
        }
        Ok::<_, Failure>(())
    };
    if let Err(failure) = outcome.await {
        talk.warn(&format!("the demo's rules are not all there: {failure}"));
    }
}

/// Says what listens where, with the real ports, and last that all of it works.
fn announce(node: &Node, screen: &Screen) -> Result<(), Failure> {
    for (name, address) in node.addresses() {
        match screen.json {
            true => screen.line(json!({ "listener": name, "address": address.to_string() }))?,
            false => screen.line(listener(name, *address))?,
        }
    }
    if screen.json { screen.line(json!({ "ready": true })) } else { screen.line("ready") }
}

/// A listener for people: the page as an address that can be opened.
fn listener(name: &str, address: SocketAddr) -> String {
    match name {
        "http" => format!("page http://{address}/"),
        other => format!("{other} {address}"),
    }
}

/// Requests to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn catch() -> Result<Self, Failure> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next request to stop.
    async fn stop(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => {
                    tracing::warn!("SIGHUP: the configuration is read at the start only; restart to change it");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_an_address_to_open() {
        let address = "127.0.0.1:5559".parse().unwrap();
        assert_eq!(listener("http", address), "page http://127.0.0.1:5559/");
        assert_eq!(listener("riemann tcp", address), "riemann tcp 127.0.0.1:5559");
    }
}
