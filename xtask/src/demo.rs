//! `cargo xtask demo`: from a fresh clone to a page that moves, in one command.
//!
//! Builds the example rules and the program, runs it on this machine's real metrics and a simulated fleet whose hosts get
//! into trouble now and then, deploys the rules, and shows what they say until it is told to stop.

use crate::program::{self, Workspace};
use crate::server::Server;
use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What kind of demonstration is wanted.
pub struct Wish {
    /// It ends by itself after this long; else it runs until Ctrl-C.
    pub ends_after: Option<Duration>,
    /// Where the page is to be.
    pub port: u16,
}

impl Default for Wish {
    fn default() -> Self {
        Self { ends_after: None, port: 5559 }
    }
}

/// A rule of the demonstration: its package, and what is said when it is deployed.
struct Deployment {
    package: &'static str,
    arguments: &'static [&'static str],
}

const DEPLOYMENTS: &[Deployment] = &[
    Deployment { package: "latency_state", arguments: &["--name", "slow-requests", "--set", "limit_ms=250"] },
    Deployment { package: "service_silent", arguments: &["--name", "silent-hosts"] },
    Deployment { package: "error_ratio", arguments: &["--name", "failing-requests"] },
    Deployment { package: "top_talkers", arguments: &["--name", "top-talkers"] },
];

/// Lines of the rules that are shown in a second at most, so that they can be read.
const LINES: u32 = 8;

pub fn run(wish: &Wish) -> Result<()> {
    // From the first moment on: whoever presses Ctrl-C during the build gets an end, not half a demonstration.
    let stop = Arc::new(AtomicBool::new(false));
    let workspace = Workspace::ask()?;
    println!("── the example rules, as WebAssembly");
    workspace.build_rules()?;
    println!("── the program (the first build takes some minutes)");
    let tidegate = workspace.build_program("release")?;

    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, stop.clone()).context("Ctrl-C cannot be watched")?;
    }
    let data = program::root().join("tidegate-data/demo");
    std::fs::create_dir_all(&data).with_context(|| format!("{} cannot be made", data.display()))?;
    let config = data.join("demo.toml");
    std::fs::write(&config, settings(wish.port))
        .with_context(|| format!("{} cannot be written", config.display()))?;
    println!("── the server, with its data in tidegate-data/demo");
    let server = Server::start(&tidegate, &config, &data)?;
    let shown = show(wish, &workspace, &tidegate, &server, &stop);
    println!("── stopping");
    shown.and(server.stop())
}

fn show(
    wish: &Wish,
    workspace: &Workspace,
    tidegate: &Path,
    server: &Server,
    stop: &AtomicBool,
) -> Result<()> {
    let page = server.page()?.to_owned();
    for (name, address) in &server.listeners {
        println!("{name} {address}");
    }
    for deployment in DEPLOYMENTS {
        let module = workspace.module(deployment.package);
        let mut deploy = program::command(tidegate, &["deploy"]);
        deploy.arg(module.strip_prefix(program::root()).unwrap_or(&module));
        deploy.args(deployment.arguments).args(["--server", &page]);
        program::run(deploy)?;
    }
    println!("\n    the page       {page}/");
    println!("    ask the index  tidegate query 'state = \"critical\"' --server {page}");
    println!("    the program    {}", tidegate.strip_prefix(program::root()).unwrap_or(tidegate).display());
    match wish.ends_after {
        Some(span) => println!("\nWhat the rules say, for {} seconds:\n", span.as_secs()),
        None => println!("\nWhat the rules say, until Ctrl-C:\n"),
    }
    follow(wish, tidegate, &page, server, stop)
}

/// Shows what goes to the console output, and now and then how things are.
fn follow(wish: &Wish, tidegate: &Path, page: &str, server: &Server, stop: &AtomicBool) -> Result<()> {
    let started = Instant::now();
    let (mut second, mut shown, mut held_back) = (0, 0, 0);
    while !stop.load(Relaxed) && wish.ends_after.is_none_or(|span| started.elapsed() < span) {
        let line = server.line(Duration::from_millis(200))?;
        if started.elapsed().as_secs() != second {
            if held_back > 0 {
                println!("  … and {held_back} more lines in this second");
            }
            second = started.elapsed().as_secs();
            (shown, held_back) = (0, 0);
        }
        match line {
            Some(line) if shown < LINES => {
                println!("  {line}");
                shown += 1;
            }
            Some(_) => held_back += 1,
            None => {}
        }
    }
    println!();
    program::run(program::command(tidegate, &["rules", "--server", page]))
}

/// The configuration: ports as usual where they are free, all of it on this machine only.
fn settings(port: u16) -> String {
    let tcp = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let udp = |port: u16| UdpSocket::bind(("127.0.0.1", port)).is_ok();
    let pick = |what: &str, port: u16, free: bool| {
        if free {
            return port;
        }
        println!("port {port} for {what} is taken: another one is used");
        0
    };
    let riemann = pick("Riemann", 5555, tcp(5555) && udp(5555));
    let websocket = pick("Riemann's WebSocket", 5556, tcp(5556));
    let page = pick("the page", port, tcp(port));
    format!(
        "# Written by `cargo xtask demo` at each start.\n\
         [http]\n\
         address = \"127.0.0.1:{page}\"\n\n\
         [websocket]\n\
         address = \"127.0.0.1:{websocket}\"\n\n\
         [log]\n\
         keep_bytes = \"256MiB\"\n\n\
         [inputs.riemann]\n\
         type = \"riemann\"\n\
         tcp = \"127.0.0.1:{riemann}\"\n\
         udp = \"127.0.0.1:{riemann}\"\n\n\
         [inputs.this-machine]\n\
         type = \"host\"\n\
         every = \"2s\"\n\n\
         [inputs.fleet]\n\
         type = \"fleet\"\n\
         hosts = 40\n\
         services = 12\n\
         every = \"1s\"\n\
         incidents = \"30s\"\n\n\
         [outputs.screen]\n\
         type = \"console\"\n\
         where = \"state = \\\"critical\\\" or state = \\\"expired\\\" and service = \\\"cpu\\\"\"\n"
    )
}

/// Runs the demonstration for a few seconds on free ports, as a chore of `cargo xtask test`.
pub fn rehearse() -> Result<()> {
    let wish = Wish { ends_after: Some(Duration::from_secs(8)), port: 0 };
    run(&wish)
}

/// Every rule that is deployed is there to be built.
pub fn check(workspace: &Workspace) -> Result<()> {
    for deployment in DEPLOYMENTS {
        if !workspace.rules.iter().any(|rule| rule.package == deployment.package) {
            bail!("the demonstration deploys {}, which is not in examples-wasm", deployment.package);
        }
    }
    Ok(())
}
